/* SPDX-License-Identifier: MIT */
/* Other tokens in the place of some, and the room that a full context needs. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

/* What becomes of a position when tokens [first, first + n_removed) give way to n_tokens others. */
typedef struct edit {
    uint32_t first, n_removed, n_tokens;
} edit;

static uint32_t edited(const edit *e, uint32_t position)
{
    if (position <= e->first) {
        return position;
    }
    const uint32_t behind = e->first + e->n_removed;
    return e->first + e->n_tokens + (position > behind ? position - behind : 0);
}

/* Wishes for logits move with their tokens; the new tokens have none. */
static void edit_wishes(slmi_sequence *sequence, const edit *e, uint32_t n_after)
{
    const uint32_t n_before = sequence->n_tokens;
    const uint32_t behind = e->first + e->n_removed;
    const uint32_t begin = e->first + e->n_tokens;
    if (begin <= behind) {
        for (uint32_t i = behind; i < n_before; i++) {
            slmi_want_logits(sequence, begin + (i - behind), slmi_wants_logits(sequence, i));
        }
    } else {
        for (uint32_t i = n_before; i > behind; i--) {
            slmi_want_logits(sequence, begin + (i - 1 - behind), slmi_wants_logits(sequence, i - 1));
        }
    }
    for (uint32_t i = e->first; i < begin; i++) {
        slmi_want_logits(sequence, i, 0);
    }
    for (uint32_t i = n_after; i < n_before; i++) {
        slmi_want_logits(sequence, i, 0);
    }
}

static void edit_tokens(slmi_sequence *sequence, const edit *e, const int32_t *tokens)
{
    const uint32_t behind = e->first + e->n_removed;
    const uint32_t n_after = sequence->n_tokens - e->n_removed + e->n_tokens;
    edit_wishes(sequence, e, n_after);
    slmi_lookup_forget(&sequence->speculation.lookup, e->first);
    if (behind == sequence->n_tokens) {
        sequence->stream.n_tail = 0; /* a character that was not complete yet is gone */
    }
    memmove(sequence->tokens + e->first + e->n_tokens, sequence->tokens + behind,
            (sequence->n_tokens - behind) * sizeof(int32_t));
    if (e->n_tokens > 0) {
        memcpy(sequence->tokens + e->first, tokens, e->n_tokens * sizeof(int32_t));
    }
    const uint32_t new_end = e->first + e->n_tokens;
    sequence->n_requested = edited(e, sequence->n_requested);
    if (e->n_tokens > 0 && sequence->n_requested < new_end) {
        sequence->n_requested = new_end;
    }
    sequence->n_prefix = sequence->n_prefix < e->first ? sequence->n_prefix : e->first;
    sequence->n_tokens = n_after;
}

static slm_status check_edit(const slm_session *session, const slmi_sequence *sequence, const edit *e,
                             const int32_t *tokens, slm_error *err)
{
    SLM_FAIL_IF(e->first > sequence->n_tokens || e->n_removed > sequence->n_tokens - e->first,
                SLM_ERR_OUT_OF_RANGE, "tokens %u to %llu: the sequence has %u", e->first,
                (unsigned long long)e->first + e->n_removed, sequence->n_tokens);
    SLM_TRY(slmi_sequence_check_tokens(session, tokens, e->n_tokens, err));
    const uint32_t n_left = sequence->n_tokens - e->n_removed;
    SLM_FAIL_IF(e->n_tokens > session->config.context_length - n_left, SLM_ERR_CONTEXT_FULL,
                "%u tokens do not fit: %u of %u would be taken", e->n_tokens, n_left,
                session->config.context_length);
    SLM_FAIL_IF(sequence->generation.active && n_left + e->n_tokens == 0, SLM_ERR_STATE,
                "the generation in progress would have nothing to go on from");
    return SLM_OK;
}

/* A sequence whose window has hidden pages must not come to see them: what is dropped is whole pages, and
 * hidden itself, or all that lies between the sinks and some visible token. */
static slm_status check_window(const slmi_sequence *sequence, const edit *e, slm_error *err)
{
    const uint32_t hidden_end = slmi_pages_hidden_end(sequence) * SLMK_PAGE;
    const uint32_t sinks = slmk_pages_of(sequence->params.sinks) * SLMK_PAGE;
    SLM_FAIL_IF(hidden_end > 0 && e->n_removed % SLMK_PAGE != 0, SLM_ERR_INVALID_ARGUMENT,
                "n_removed is %u; with a window it must be a multiple of %d", e->n_removed, SLMK_PAGE);
    SLM_FAIL_IF(hidden_end > 0 && (e->first < sinks || e->first > hidden_end),
                SLM_ERR_INVALID_ARGUMENT,
                "first is %u; with this window it must lie between %u (the sinks) and %u (what it hides)",
                e->first, sinks, hidden_end);
    SLM_FAIL_IF(hidden_end > 0 && e->first > sinks && e->first + e->n_removed > hidden_end,
                SLM_ERR_INVALID_ARGUMENT,
                "without tokens %u to %u the window would come to see what it has hidden, up to %u",
                e->first, e->first + e->n_removed, hidden_end);
    return SLM_OK;
}

/* Has the cache behind the removed tokens move. SLM_END: none of it is there to move. */
static slm_status shift(slm_session *session, slmi_sequence *sequence, const edit *e, slm_error *err)
{
    SLM_TRY(check_window(sequence, e, err));
    const uint32_t behind = e->first + e->n_removed;
    const uint32_t hidden_end = slmi_pages_hidden_end(sequence) * SLMK_PAGE;
    const uint32_t source = hidden_end > behind ? hidden_end : behind;
    if (source >= sequence->n_computed) {
        return SLM_END;
    }
    const uint32_t end = sequence->n_computed - e->n_removed;
    SLM_TRY(slmi_pages_own(session, sequence, source - e->n_removed, end, err));
    slmi_move_abandon(session, sequence);
    slmi_move_begin(session, sequence, e->first, e->n_removed, source - behind);
    return SLM_OK;
}

slm_status slmi_sequence_replace(slm_session *session, slmi_sequence *sequence, uint32_t first,
                                 uint32_t n_removed, const int32_t *tokens, uint32_t n_tokens,
                                 uint32_t flags, slm_error *err)
{
    const edit e = { first, n_removed, n_tokens };
    slmi_generation *generation = &sequence->generation;
    SLM_TRY(check_edit(session, sequence, &e, tokens, err));
    SLM_FAIL_IF((flags & SLM_REPLACE_SHIFT) && n_tokens > 0, SLM_ERR_INVALID_ARGUMENT,
                "SLM_REPLACE_SHIFT cannot insert tokens");
    if (n_removed == 0 && n_tokens == 0) {
        return SLM_OK;
    }
    const uint32_t n_after = sequence->n_tokens - n_removed + n_tokens;
    slmi_batch_leave(session, sequence);
    slm_status status = SLM_END;
    if (flags & SLM_REPLACE_SHIFT) {
        status = shift(session, sequence, &e, err);
    }
    if (status == SLM_END) {
        /* A generation needs the logits of the last token, so it computes at least that once more. */
        const uint32_t n_kept = generation->active && first == n_after ? first - 1 : first;
        SLM_TRY(slmi_pages_rewind(session, sequence, n_kept, n_after, err));
        slmi_move_abandon(session, sequence);
    } else if (status != SLM_OK) {
        return status;
    }
    edit_tokens(sequence, &e, tokens);
    if (!sequence->move.active) {
        slmi_pages_drop(session, sequence, slmk_pages_of(n_after));
    }
    if (n_after < session->config.context_length) {
        generation->waits = 0;
    }
    return SLM_OK;
}

/* Tokens behind the first `keep` that can be dropped at most, in whole units; at least one token stays. */
static uint32_t most_to_drop(const slmi_sequence *sequence, uint32_t keep, uint32_t unit)
{
    const uint32_t hidden_end = slmi_pages_hidden_end(sequence) * SLMK_PAGE;
    const uint32_t sinks = slmk_pages_of(sequence->params.sinks) * SLMK_PAGE;
    uint32_t end = sequence->n_tokens - 1;
    if (hidden_end > 0 && keep > sinks) {
        end = hidden_end; /* what stays must not come into sight */
    }
    return end > keep ? (end - keep) / unit * unit : 0;
}

slm_status slmi_sequence_make_room(slm_session *session, slmi_sequence *sequence, uint32_t *first,
                                   uint32_t *n_removed, slm_error *err)
{
    const slmi_params *params = &sequence->params;
    const int has_hidden = slmi_pages_hidden_end(sequence) > 0;
    const uint32_t unit = has_hidden ? SLMK_PAGE : 1;
    const uint32_t sinks = slmk_pages_of(params->sinks) * SLMK_PAGE;
    const uint32_t keep = has_hidden ? slmi_max_u32(params->keep, sinks) : params->keep;
    const uint32_t most = most_to_drop(sequence, keep, unit);
    SLM_FAIL_IF(most == 0, SLM_ERR_CONTEXT_FULL,
                "the context of %u tokens is full, and %u of them have to stay",
                session->config.context_length, keep);
    const uint32_t rest = sequence->n_tokens - keep;
    const uint64_t wanted = params->drop != 0 ? slmi_round_up(params->drop, unit)
                                              : slmi_round_up((rest + 1) / 2, SLMK_PAGE);
    *first = keep;
    *n_removed = wanted < most ? (uint32_t)wanted : most;
    return slmi_sequence_replace(session, sequence, keep, *n_removed, NULL, 0, SLM_REPLACE_SHIFT, err);
}
