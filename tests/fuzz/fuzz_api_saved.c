/* SPDX-License-Identifier: MIT */
/* Random calls on prefixes and saved sequences, and the comparison with a sequence computed anew. */
#include "fuzz_api.h"

#include "session/blob.h"

static void make_prefix(world *w, const player *p, slm_sequence id)
{
    static const char *const names[] = { "a", "persona", "", "\xFF",
                                         "0123456789012345678901234567890123456789012345678901234567890123" };
    named_prefix *named = &w->prefixes[take(w) % N_PREFIXES];
    const named_sequence *source = find_name(w, p, id);
    slm_prefix *prefix;
    const slm_status status = slm_prefix_create(p->session, id, names[take(w) % 5], &prefix,
                                                fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID, SLM_ERR_STATE, SLM_ERR_INVALID_UTF8,
           SLM_ERR_INVALID_ARGUMENT);
    MUST((prefix != NULL) == (status == SLM_OK));
    if (status == SLM_OK) {
        slm_prefix_info info = SLM_PREFIX_INFO_INIT;
        MUST(slm_prefix_get_info(prefix, &info, NULL) == SLM_OK);
        MUST(info.n_tokens > 0 && info.kv_type == p->kv_type && info.tokens[0] >= 0);
        slm_prefix_release(named->prefix);
        *named = (named_prefix){ prefix, source != NULL && source->exact };
    }
}

static void drop_prefix(world *w)
{
    named_prefix *named = &w->prefixes[take(w) % N_PREFIXES];
    if (take(w) & 1) {
        slm_prefix_release(slm_prefix_retain(named->prefix));
    } else {
        slm_prefix_release(named->prefix);
        named->prefix = NULL;
    }
}

static void save(world *w, const player *p, slm_sequence id)
{
    WITH_TAIL(slm_save_options, options, SLM_SAVE_OPTIONS_INIT);
    blob *b = &w->blobs[take(w) % N_BLOBS];
    const named_sequence *source = find_name(w, p, id);
    size_t size = 0;
    options.known.form = take(w) % 5;
    options.known.whole = take(w) % 3;
    wild_size(w, &options, sizeof(options.known));
    const slm_status status = slm_session_save_sequence(p->session, id, &options.known, NULL, 0, &size,
                                                        fresh_error(w));
    MAY_BE(w, status, SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_STALE_ID, SLM_ERR_STATE,
           SLM_ERR_INVALID_ARGUMENT, SLM_ERR_UNSUPPORTED);
    if (status != SLM_ERR_BUFFER_TOO_SMALL) {
        return;
    }
    size_t again = 0;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    free(b->bytes);
    b->bytes = malloc(size);
    b->size = size;
    b->kv_type = p->kv_type;
    b->form = options.known.struct_size > offsetof(slm_save_options, form) ? options.known.form : 0;
    b->exact = source != NULL && source->exact;
    MUST(b->bytes != NULL);
    MUST(slm_session_save_sequence(p->session, id, &options.known, b->bytes, size - 1, &again, NULL) ==
         SLM_ERR_BUFFER_TOO_SMALL);
    MUST(again == size);
    MUST(slm_session_save_sequence(p->session, id, &options.known, b->bytes, size, &again, NULL) ==
         SLM_OK);
    MUST(slm_saved_get_info(b->bytes, size, &info, NULL) == SLM_OK);
    MUST(b->form != SLM_SAVE_TOKENS || info.n_cached == 0);
}

static void restore(world *w, const player *p)
{
    blob *b = &w->blobs[take(w) % N_BLOBS];
    const named_prefix *prefix = &w->prefixes[take(w) % N_PREFIXES];
    slm_prefix *given = take(w) & 1 ? prefix->prefix : NULL;
    named_sequence *name = &w->ids[take(w) % N_IDS];
    if (b->size > 0 && take(w) < 16) {
        b->bytes[take_number(w) % b->size] ^= 1;
        b->size -= take(w) % 4 == 0;
    }
    slm_sequence id;
    const slm_status status =
        slm_session_restore_sequence(p->session, b->bytes, b->size, given, &id, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_FORMAT, SLM_ERR_TRUNCATED, SLM_ERR_CHECKSUM, SLM_ERR_MISMATCH,
           SLM_ERR_UNSUPPORTED, SLM_ERR_CONTEXT_FULL, SLM_ERR_BUDGET, SLM_ERR_INVALID_ARGUMENT);
    MUST((id != 0) == (status == SLM_OK));
    if (status == SLM_OK) {
        const int whole = b->form == SLM_SAVE_CACHE && b->kv_type == p->kv_type;
        *name = (named_sequence){ id, p, b->exact && (whole || b->form == SLM_SAVE_TOKENS) &&
                                         (given == NULL || prefix->exact) };
    }
}

void call_saved(world *w, player *p)
{
    const uint8_t choice = take(w) % 8;
    const slm_sequence id = w->ids[take(w) % N_IDS].id;
    if (choice < 2) {
        make_prefix(w, p, id);
    } else if (choice == 2) {
        drop_prefix(w);
    } else if (choice < 5) {
        save(w, p, id);
    } else {
        restore(w, p);
    }
}

/* Saves the whole sequence; NULL if it holds nothing computed. */
static uint8_t *save_whole(slm_session *session, slm_sequence id, slmi_blob *parsed)
{
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    size_t size = 0;
    options.whole = 1;
    (void)slm_session_save_sequence(session, id, &options, NULL, 0, &size, NULL);
    uint8_t *bytes = malloc(size);
    MUST(slm_session_save_sequence(session, id, &options, bytes, size, &size, NULL) == SLM_OK);
    MUST(slmi_blob_parse(bytes, size, parsed, NULL) == SLM_OK);
    return bytes;
}

static slm_session *compute(world *w, const player *p, const slm_sequence_info *info, uint32_t window,
                            uint32_t sinks, slm_sequence *id)
{
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.context_length = info->n_tokens;
    options.kv_type = p->kv_type;
    options.batch_tokens = 50;
    MUST(slm_session_create(w->models[p->model], &options, &session, NULL) == SLM_OK);
    MUST(slm_session_add_sequence(session, id, NULL) == SLM_OK);
    MUST(slm_session_set_u32(session, *id, SLM_SEQUENCE_WINDOW, window, NULL) == SLM_OK);
    MUST(slm_session_set_u32(session, *id, SLM_SEQUENCE_SINKS, sinks, NULL) == SLM_OK);
    MUST(slm_session_append(session, *id, info->tokens, info->n_computed, 0, NULL) == SLM_OK);
    while (slm_session_step(session, 0, NULL) == SLM_MORE) {
    }
    return session;
}

void compare_with_fresh(world *w, const player *p, const named_sequence *name)
{
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    uint32_t window, sinks;
    if (slm_session_get_sequence_info(p->session, name->id, &info, NULL) != SLM_OK ||
        info.n_computed == 0) {
        return;
    }
    MUST(slm_session_get_u32(p->session, name->id, SLM_SEQUENCE_WINDOW, &window, NULL) == SLM_OK);
    MUST(slm_session_get_u32(p->session, name->id, SLM_SEQUENCE_SINKS, &sinks, NULL) == SLM_OK);
    slm_sequence id;
    slmi_blob old, fresh;
    slm_session *session = compute(w, p, &info, window, sinks, &id);
    uint8_t *old_bytes = save_whole(p->session, name->id, &old);
    uint8_t *fresh_bytes = save_whole(session, id, &fresh);
    MUST(old.n_cached == fresh.n_cached);
    /* One that was cut back may have hidden more than it would have by now. */
    if (old.hidden_begin == fresh.hidden_begin && old.hidden_end == fresh.hidden_end) {
        MUST(old.cache_bytes == fresh.cache_bytes);
        MUST(memcmp(old.cache, fresh.cache, (size_t)old.cache_bytes) == 0);
    }
    free(old_bytes);
    free(fresh_bytes);
    slm_session_release(session);
}
