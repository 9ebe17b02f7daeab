/* SPDX-License-Identifier: MIT */
/* Random calls on sequences: tokens, copies, parameters, generations. */
#include "fuzz_api.h"
#include "slm/experimental/speculate.h"

/* A sequence that is written to a name, which forgets what it had. */
static void set_name(world *w, const player *p, slm_sequence id, int exact)
{
    w->ids[take(w) % N_IDS] = (named_sequence){ id, p, exact };
}

static int is_exact(world *w, const player *p, slm_sequence id)
{
    const named_sequence *name = find_name(w, p, id);
    return name != NULL && name->exact;
}

static void taint(world *w, const player *p, slm_sequence id)
{
    named_sequence *name = find_name(w, p, id);
    if (name != NULL) {
        name->exact = 0;
    }
}

static size_t take_tokens(world *w, int32_t tokens[255])
{
    const size_t n = take(w);
    const uint8_t first = take(w);
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)(first + i) % (TINY_VOCAB + (first == 255));
    }
    if (n > 0 && first == 254) {
        tokens[n - 1] = (int32_t)take_number(w);
    }
    return n;
}

static void add(world *w, const player *p)
{
    slm_sequence id;
    const slm_status status = slm_session_add_sequence(p->session, &id, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_BUDGET);
    MUST((id != 0) == (status == SLM_OK));
    set_name(w, p, id, status == SLM_OK);
}

static void fork(world *w, const player *p, slm_sequence id)
{
    slm_sequence copy;
    const int exact = is_exact(w, p, id);
    const slm_status status = slm_session_fork_sequence(p->session, id, &copy, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID, SLM_ERR_BUDGET);
    MUST((copy != 0) == (status == SLM_OK));
    set_name(w, p, copy, exact && status == SLM_OK);
}

static void append(world *w, const player *p, slm_sequence id)
{
    int32_t tokens[255];
    const size_t n = take_tokens(w, tokens);
    MAY_BE(w, slm_session_append(p->session, id, tokens, n, take(w) % 3, fresh_error(w)),
           SLM_ERR_STALE_ID, SLM_ERR_OUT_OF_RANGE, SLM_ERR_CONTEXT_FULL, SLM_ERR_BUDGET,
           SLM_ERR_INVALID_ARGUMENT);
}

static void append_text(world *w, const player *p, slm_sequence id)
{
    const size_t wanted = take(w);
    const uint32_t flags = take(w) % 16;
    const size_t length = wanted < w->size ? wanted : w->size;
    MAY_BE(w, slm_session_append_text(p->session, id, (const char *)w->data, length, flags,
                                      fresh_error(w)),
           SLM_ERR_STALE_ID, SLM_ERR_CONTEXT_FULL, SLM_ERR_BUDGET, SLM_ERR_INVALID_ARGUMENT,
           SLM_ERR_INVALID_UTF8);
}

static void append_prefix(world *w, const player *p, slm_sequence id)
{
    const named_prefix *prefix = &w->prefixes[take(w) % N_PREFIXES];
    const slm_status status =
        slm_session_append_prefix(p->session, id, prefix->prefix, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID, SLM_ERR_STATE, SLM_ERR_MISMATCH, SLM_ERR_CONTEXT_FULL,
           SLM_ERR_BUDGET, SLM_ERR_INVALID_ARGUMENT);
    if (status == SLM_OK && !prefix->exact) {
        taint(w, p, id);
    }
}

/* With options that follow from a number, and what came of it. */
static void speculate(world *w, const player *p, slm_sequence id, uint32_t number)
{
    slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
    slm_x_speculation figures = SLM_X_SPECULATION_INIT;
    options.method = number % 4;
    options.flags = number / 4 % 4 == 3 ? 2 : SLM_X_SPECULATE_ALWAYS;
    options.least_match = number / 16 % 4;
    options.most_tokens = number / 64;
    MAY_BE(w, slm_x_session_speculate(p->session, id, &options, fresh_error(w)), SLM_ERR_STALE_ID,
           SLM_ERR_STATE, SLM_ERR_INVALID_ARGUMENT);
    const slm_status status =
        slm_x_session_get_speculation(p->session, id, &figures, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID);
    MUST(figures.n_accepted <= figures.n_guessed && figures.n_batches <= figures.n_guessed);
}

static void generate(world *w, const player *p, slm_sequence id)
{
    static const char *const stops[4] = { "a", "bc", "\xC3\xA9", "\xFF" };
    WITH_TAIL(slm_generate_options, options, SLM_GENERATE_OPTIONS_INIT);
    options.known.max_tokens = take(w);
    options.known.flags = take(w) % 5;
    options.known.n_top = take(w) % 5;
    options.known.n_stop = take(w) % 5;
    options.known.stop = stops;
    wild_size(w, &options, sizeof(options.known));
    MAY_BE(w, slm_session_generate(p->session, id, &options.known, fresh_error(w)), SLM_ERR_STALE_ID,
           SLM_ERR_STATE, SLM_ERR_CONTEXT_FULL, SLM_ERR_INVALID_UTF8, SLM_ERR_BUDGET,
           SLM_ERR_INVALID_ARGUMENT, SLM_ERR_UNSUPPORTED);
    speculate(w, p, id, options.known.max_tokens);
}

static void set_parameter(world *w, const player *p, slm_sequence id)
{
    const uint32_t param = take(w) % 8;
    const uint32_t value = take_number(w);
    uint32_t back;
    const slm_status status = slm_session_set_u32(p->session, id, param, value, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID, SLM_ERR_OUT_OF_RANGE, SLM_ERR_STATE,
           SLM_ERR_INVALID_ARGUMENT);
    if (status == SLM_OK) {
        MUST(slm_session_get_u32(p->session, id, param, &back, NULL) == SLM_OK && back == value);
        if (param == SLM_SEQUENCE_FULL && value == SLM_FULL_SHIFT) {
            taint(w, p, id);
        }
    }
}

static void set_sampler(world *w, const player *p, slm_sequence id)
{
    MAY_BE(w, slm_session_set_sampler(p->session, id, w->samplers[take(w) % N_SAMPLERS],
                                      fresh_error(w)),
           SLM_ERR_STALE_ID, SLM_ERR_INVALID_ARGUMENT);
}

static void truncate(world *w, const player *p, slm_sequence id)
{
    MAY_BE(w, slm_session_truncate_sequence(p->session, id, take_number(w), fresh_error(w)),
           SLM_ERR_STALE_ID, SLM_ERR_OUT_OF_RANGE, SLM_ERR_BUDGET);
}

static void replace(world *w, const player *p, slm_sequence id)
{
    int32_t tokens[255];
    const uint32_t first = take_number(w);
    const uint32_t n_removed = take_number(w);
    const uint32_t flags = take(w) % 3;
    const size_t n = flags == SLM_REPLACE_SHIFT && take(w) > 8 ? 0 : take_tokens(w, tokens);
    const slm_status status = slm_session_replace(p->session, id, first, n_removed, n > 0 ? tokens : NULL,
                                                  n, flags, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID, SLM_ERR_OUT_OF_RANGE, SLM_ERR_CONTEXT_FULL, SLM_ERR_BUDGET,
           SLM_ERR_STATE, SLM_ERR_INVALID_ARGUMENT);
    if (status == SLM_OK && flags == SLM_REPLACE_SHIFT) {
        taint(w, p, id);
    }
}

static void describe(world *w, const player *p, slm_sequence id)
{
    WITH_TAIL(slm_sequence_info, info, SLM_SEQUENCE_INFO_INIT);
    const slm_status status =
        slm_session_get_sequence_info(p->session, id, &info.known, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_STALE_ID);
    if (status == SLM_OK) {
        for (uint32_t i = 0; i < info.known.n_tokens; i++) {
            MUST(info.known.tokens[i] >= 0 && info.known.tokens[i] < TINY_VOCAB);
        }
    }
}

void call_sequence(world *w, player *p)
{
    const uint8_t choice = take(w) % 16;
    const slm_sequence id = w->ids[take(w) % N_IDS].id;
    switch (choice) {
    case 0:
    case 1:
        add(w, p);
        break;
    case 2:
        fork(w, p, id);
        break;
    case 3:
        MAY_BE(w, slm_session_remove_sequence(p->session, id, fresh_error(w)), SLM_ERR_STALE_ID);
        break;
    case 4:
    case 5:
        append(w, p, id);
        break;
    case 6:
        append_text(w, p, id);
        break;
    case 7:
        append_prefix(w, p, id);
        break;
    case 8:
    case 9:
        generate(w, p, id);
        break;
    case 10:
        set_parameter(w, p, id);
        break;
    case 11:
        set_sampler(w, p, id);
        break;
    case 12:
        truncate(w, p, id);
        break;
    case 13:
        replace(w, p, id);
        break;
    case 14:
        slm_session_cancel_sequence(p->session, id);
        break;
    default:
        describe(w, p, id);
        if (take(w) % 4 == 0) {
            slm_session_cancel(p->session);
        }
        break;
    }
}
