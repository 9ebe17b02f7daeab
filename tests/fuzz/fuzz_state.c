/* SPDX-License-Identifier: MIT */
/* Any bytes as a saved sequence, of both formats, whole and relative to a prefix: restored or refused, the
 * session goes on working. The first byte tells what is put right before, so that what lies behind the
 * checks of owner, size and checksum is reached as well. */
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "session/blob.h"
#include "support/tiny_model.h"

/* Bits of the first byte; the cache type stands above them. */
enum { PUT_RIGHT = 1, GIVE_PREFIX = 2, RESIZE = 4, KV_SHIFT = 3 };

#define N_KV_TYPES 4
#define PREFIX_TOKENS 70
#define MAX_BLOB (1u << 18)

static slm_model *load(void)
{
    const tiny_model description = {
        .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1, .ffn_width = 32
    };
    size_t size;
    slm_model *model;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    uint8_t *file = tiny_model_make(&description, &size);
    MUST(slm_model_load_memory(file, size, &options, &model, NULL) == SLM_OK);
    free(file);
    return model;
}

static slm_session *make_session(slm_model *model, uint32_t kv_type)
{
    slm_session *session = NULL;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = 2;
    options.context_length = 320;
    options.kv_type = kv_type;
    const slm_status status = slm_session_create(model, &options, &session, NULL);
    MUST(status == SLM_OK || status == SLM_ERR_INVALID_ARGUMENT);
    return session;
}

static slm_prefix *make_prefix(slm_session *session)
{
    int32_t tokens[PREFIX_TOKENS];
    slm_sequence sequence;
    slm_prefix *prefix;
    for (int i = 0; i < PREFIX_TOKENS; i++) {
        tokens[i] = TINY_LETTER + i % 26;
    }
    MUST(slm_session_add_sequence(session, &sequence, NULL) == SLM_OK);
    MUST(slm_session_append(session, sequence, tokens, PREFIX_TOKENS, 0, NULL) == SLM_OK);
    while (slm_session_step(session, 0, NULL) == SLM_MORE) {
    }
    MUST(slm_prefix_create(session, sequence, "persona", &prefix, NULL) == SLM_OK);
    MUST(slm_session_remove_sequence(session, sequence, NULL) == SLM_OK);
    return prefix;
}

/* The size that the header asks for, if that is not beyond what a test should allocate. */
static size_t wanted_size(const slm_session *session, const uint8_t *blob, size_t size)
{
    uint64_t wanted = size;
    if (slmi_read_u32(blob + 8) == 1) {
        const uint64_t n_pages = ((uint64_t)slmi_read_u32(blob + 36) + SLMK_PAGE - 1) / SLMK_PAGE;
        wanted = 48 + slmi_round_up((uint64_t)slmi_read_u32(blob + 32) * 4, 8) +
                 n_pages * session->exec_plan.page_bytes + SLMI_BLOB_CHECKSUM;
    } else if (size >= SLMI_BLOB_HEADER) {
        const slmi_blob told = {
            .kv_type = slmi_read_u32(blob + 12), .n_tokens = slmi_read_u32(blob + 24),
            .n_cached = slmi_read_u32(blob + 32), .n_prefix = slmi_read_u32(blob + 36),
            .hidden_begin = slmi_read_u32(blob + 48), .hidden_end = slmi_read_u32(blob + 52),
            .token_bytes = slmi_read_u32(blob + 80) };
        const uint64_t left = (uint64_t)told.n_tokens - told.n_prefix;
        const uint64_t cached = (uint64_t)told.n_cached - told.n_prefix -
                                ((uint64_t)told.hidden_end - told.hidden_begin);
        if (told.kv_type < N_KV_TYPES && left <= MAX_BLOB && cached <= MAX_BLOB) {
            wanted = SLMI_BLOB_HEADER + slmi_round_up(left * told.token_bytes, 8) +
                     slmi_blob_cache_bytes(&told, &session->model->plan) + SLMI_BLOB_CHECKSUM;
        }
    }
    return wanted >= 56 && wanted <= MAX_BLOB ? (size_t)wanted : size;
}

/* Makes the blob one of this session, with the header's other numbers as they are. */
static void put_right(const slm_session *session, const slm_prefix *prefix, uint8_t *blob, size_t size)
{
    if (size < 56 || size % 8 != 0) {
        return;
    }
    slmi_write_u64(blob + 16, session->model->identity);
    if (slmi_read_u32(blob + 8) == 1) {
        slmi_write_u64(blob + 24, session->exec_plan.page_bytes);
    } else if (size >= SLMI_BLOB_HEADER + SLMI_BLOB_CHECKSUM) {
        const uint64_t tokens = slmi_round_up(
            ((uint64_t)slmi_read_u32(blob + 24) - slmi_read_u32(blob + 36)) * slmi_read_u32(blob + 80), 8);
        slmi_write_u64(blob + 88, size - SLMI_BLOB_HEADER - tokens - SLMI_BLOB_CHECKSUM);
        if (prefix != NULL) {
            slmi_write_u64(blob + 40, prefix->fingerprint);
        }
    }
    slmi_blob_write_checksum(blob, size);
}

static void use(slm_session *session, slm_sequence sequence)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = 2;
    const slm_status status = slm_session_generate(session, sequence, &options, NULL);
    MUST(status == SLM_OK || status == SLM_ERR_STATE || status == SLM_ERR_CONTEXT_FULL ||
         status == SLM_ERR_BUDGET);
    int n_steps = 0;
    while (slm_session_step(session, 0, NULL) == SLM_MORE) {
        MUST(++n_steps < 1000);
    }
    MUST(slm_session_remove_sequence(session, sequence, NULL) == SLM_OK);
}

/* What was restored can be saved and restored again. */
static void save_again(slm_session *session, slm_sequence sequence, slm_prefix *prefix)
{
    size_t size = 0, length;
    slm_sequence copy;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    MUST(slm_session_save_sequence(session, sequence, NULL, NULL, 0, &size, NULL) ==
         SLM_ERR_BUFFER_TOO_SMALL);
    uint8_t *blob = malloc(size);
    MUST(blob != NULL);
    MUST(slm_session_save_sequence(session, sequence, NULL, blob, size, &length, NULL) == SLM_OK);
    MUST(length == size && slm_saved_get_info(blob, size, &info, NULL) == SLM_OK);
    const slm_status status = slm_session_restore_sequence(
        session, blob, size, info.n_prefix_tokens > 0 ? prefix : NULL, &copy, NULL);
    MUST(status == SLM_OK || status == SLM_ERR_BUDGET);
    free(blob);
    if (status == SLM_OK) {
        MUST(slm_session_remove_sequence(session, copy, NULL) == SLM_OK);
    }
}

static void restore(slm_session *session, const uint8_t *blob, size_t size, slm_prefix *prefix)
{
    slm_sequence sequence;
    slm_error err = SLM_ERROR_INIT;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    const slm_status told = slm_saved_get_info(blob, size, &info, NULL);
    const slm_status status =
        slm_session_restore_sequence(session, blob, size, prefix, &sequence, &err);
    MUST(status == SLM_OK || (status < 0 && status == err.code && sequence == 0));
    MUST(status == SLM_OK || err.offset <= size || err.offset == SLM_NO_OFFSET);
    MUST(told == SLM_OK || told == status);
    if (status == SLM_OK) {
        MUST(memchr(info.prefix, 0, sizeof(info.prefix)) != NULL);
        save_again(session, sequence, prefix);
        use(session, sequence);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_model *model; /* one for all inputs, and prefixes */
    static slm_prefix *prefixes[N_KV_TYPES];
    const uint32_t kv_type = size == 0 ? 0 : data[0] >> KV_SHIFT & (N_KV_TYPES - 1);
    if (model == NULL) {
        model = load();
    }
    slm_session *session = make_session(model, kv_type);
    if (size == 0 || session == NULL) {
        slm_session_release(session);
        return 0;
    }
    if (prefixes[kv_type] == NULL) {
        prefixes[kv_type] = make_prefix(session);
    }
    slm_prefix *prefix = data[0] & GIVE_PREFIX ? prefixes[kv_type] : NULL;
    const size_t told = size - 1;
    const size_t blob_size =
        data[0] & RESIZE && told >= 48 ? wanted_size(session, data + 1, told) : told;
    uint8_t *blob = calloc(1, blob_size > 0 ? blob_size : 1);
    MUST(blob != NULL);
    memcpy(blob, data + 1, told < blob_size ? told : blob_size);
    if (data[0] & PUT_RIGHT) {
        put_right(session, prefix, blob, blob_size);
    }
    restore(session, blob, blob_size, prefix);
    free(blob);
    const int32_t token = TINY_LETTER;
    slm_sequence sequence;
    MUST(slm_session_add_sequence(session, &sequence, NULL) == SLM_OK);
    MUST(slm_session_append(session, sequence, &token, 1, 0, NULL) == SLM_OK);
    use(session, sequence);
    slm_session_release(session);
    return 0;
}
