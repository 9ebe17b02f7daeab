/* SPDX-License-Identifier: MIT */
/* Sequences: ids and tokens. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

slm_sequence slmi_sequence_id(const slm_session *session, const slmi_sequence *sequence)
{
    const uint64_t index = (uint64_t)(sequence - session->sequences);
    return (uint64_t)sequence->generation_number << 32 | (index + 1);
}

slm_status slmi_sequence_find(const slm_session *session, slm_sequence id, slmi_sequence **out,
                              slm_error *err)
{
    const uint64_t index = (id & UINT32_MAX) - 1;
    const int exists = index < session->config.n_sequences && session->sequences[index].in_use &&
                       session->sequences[index].generation_number == id >> 32;
    SLM_FAIL_IF(!exists, SLM_ERR_STALE_ID, "there is no sequence %llx", (unsigned long long)id);
    *out = &session->sequences[index];
    return SLM_OK;
}

slm_status slmi_sequence_add(slm_session *session, slmi_sequence **out, slm_error *err)
{
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        if (!sequence->in_use) {
            sequence->in_use = 1;
            sequence->generation_number++;
            sequence->n_tokens = 0;
            sequence->n_computed = 0;
            sequence->n_requested = 0;
            sequence->n_pages = 0;
            sequence->n_prefix = 0;
            sequence->n_waited = 0;
            memset(&sequence->generation, 0, sizeof(sequence->generation));
            memset(sequence->wants_logits, 0, (session->config.context_length + 7) / 8);
            sequence->stream.n_tail = 0;
            slmi_stream_reset(&sequence->stream);
            slmi_speculation_reset(&sequence->speculation);
            slmi_params_default(&sequence->params);
            slmi_sampler_settings_default(&sequence->sampler);
            *out = sequence;
            return SLM_OK;
        }
    }
    return slmi_fail(err, SLM_ERR_BUDGET, SLM_NO_OFFSET, "all %u sequences of the session are in use",
                     session->config.n_sequences);
}

slm_status slmi_sequence_fork(slm_session *session, const slmi_sequence *source, slmi_sequence **out,
                              slm_error *err)
{
    slmi_sequence *copy;
    SLM_TRY(slmi_sequence_add(session, &copy, err));
    slmi_pages_share(session, source, copy);
    copy->n_tokens = source->n_tokens;
    copy->n_computed = source->n_computed;
    copy->n_requested = slmi_max_u32(source->n_requested,
                                     source->move.active ? slmi_move_end(source) : 0);
    copy->n_prefix = source->n_prefix;
    copy->prefix = source->prefix;
    slmi_prefix_retain(copy->prefix);
    copy->params = source->params;
    copy->sampler = source->sampler;
    slmi_speculation_copy(&copy->speculation, &source->speculation);
    copy->stream.n_tail = source->stream.n_tail;
    memcpy(copy->stream.tail, source->stream.tail, sizeof(copy->stream.tail));
    memcpy(copy->tokens, source->tokens, source->n_tokens * sizeof(int32_t));
    slmi_pages_drop(session, copy, slmk_pages_of(copy->n_tokens));
    /* The page that the copy will write next is copied now, so that a full pool shows here. What the source
     * has on the move is computed again, and behind a window's hidden pages everything is. */
    const slm_status status =
        slmi_pages_rewind(session, copy, copy->n_computed, copy->n_tokens, err);
    if (status != SLM_OK) {
        slmi_sequence_remove(session, copy);
        return status;
    }
    *out = copy;
    return SLM_OK;
}

void slmi_sequence_remove(slm_session *session, slmi_sequence *sequence)
{
    slmi_batch_leave(session, sequence);
    slmi_move_abandon(session, sequence);
    slmi_pages_drop(session, sequence, 0);
    slmi_prefix_release(sequence->prefix);
    sequence->prefix = NULL;
    sequence->in_use = 0;
    sequence->generation.active = 0;
}

slm_status slmi_sequence_truncate(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens,
                                  slm_error *err)
{
    slmi_batch_leave(session, sequence);
    SLM_TRY(slmi_pages_rewind(session, sequence, n_tokens, n_tokens, err));
    slmi_move_abandon(session, sequence);
    for (uint32_t i = n_tokens; i < sequence->n_tokens; i++) {
        slmi_want_logits(sequence, i, 0);
    }
    if (n_tokens < sequence->n_tokens) {
        sequence->stream.n_tail = 0;
    }
    sequence->generation.active = 0;
    slmi_lookup_forget(&sequence->speculation.lookup, n_tokens);
    sequence->n_tokens = n_tokens;
    sequence->n_requested = sequence->n_requested < n_tokens ? sequence->n_requested : n_tokens;
    sequence->n_prefix = sequence->n_prefix < n_tokens ? sequence->n_prefix : n_tokens;
    slmi_pages_drop(session, sequence, slmk_pages_of(n_tokens));
    return SLM_OK;
}

slm_status slmi_sequence_check_tokens(const slm_session *session, const int32_t *tokens,
                                      size_t n_tokens, slm_error *err)
{
    for (size_t i = 0; i < n_tokens; i++) {
        SLM_FAIL_AT_IF(tokens[i] < 0 || (uint32_t)tokens[i] >= session->model->hyper.n_vocab,
                       SLM_ERR_OUT_OF_RANGE, i, "token id %d is not in the vocabulary of %u",
                       (int)tokens[i], session->model->hyper.n_vocab);
    }
    return SLM_OK;
}

slm_status slmi_sequence_append(slm_session *session, slmi_sequence *sequence, const int32_t *tokens,
                                size_t n_tokens, uint32_t flags, slm_error *err)
{
    const uint32_t room = session->config.context_length - sequence->n_tokens;
    SLM_FAIL_IF(n_tokens > room, SLM_ERR_CONTEXT_FULL,
                "%llu tokens do not fit: %u of %u are taken", (unsigned long long)n_tokens,
                sequence->n_tokens, session->config.context_length);
    SLM_TRY(slmi_sequence_check_tokens(session, tokens, n_tokens, err));
    const uint32_t end = sequence->n_tokens + (uint32_t)n_tokens;
    SLM_TRY(slmi_pages_own(session, sequence, slmi_move_end(sequence), end, err));
    if (n_tokens > 0) {
        memmove(sequence->tokens + sequence->n_tokens, tokens, n_tokens * sizeof(int32_t));
    }
    if (flags & SLM_APPEND_LOGITS) {
        for (uint32_t i = sequence->n_tokens; i < end; i++) {
            slmi_want_logits(sequence, i, 1);
        }
    }
    sequence->generation.active = 0;
    sequence->stream.n_tail = 0;
    sequence->n_tokens = end;
    sequence->n_requested = end;
    return SLM_OK;
}

slm_status slmi_sequence_append_prefix(slm_session *session, slmi_sequence *sequence,
                                       slm_prefix *prefix, slm_error *err)
{
    SLM_FAIL_IF(sequence->n_tokens > 0, SLM_ERR_STATE,
                "a prefix begins a sequence; this one has %u tokens", sequence->n_tokens);
    SLM_FAIL_IF(sequence->params.window != 0, SLM_ERR_STATE,
                "a sequence with a window cannot begin with a prefix");
    SLM_FAIL_IF(prefix->model != session->model->identity, SLM_ERR_MISMATCH,
                "prefix '%s' was made with another model", prefix->name);
    SLM_FAIL_IF(prefix->kv_type != session->config.kv_type, SLM_ERR_MISMATCH,
                "prefix '%s' was made with another kv_type", prefix->name);
    SLM_FAIL_IF(prefix->n_tokens > session->config.context_length, SLM_ERR_CONTEXT_FULL,
                "prefix '%s' has %u tokens; the context has room for %u", prefix->name,
                prefix->n_tokens, session->config.context_length);
    slmi_pages_share_prefix(sequence, prefix);
    /* The page that the sequence will write next is copied now, so that a full pool shows here. */
    const uint32_t n = prefix->n_tokens;
    const slm_status status = slmi_pages_own(session, sequence, n, n, err);
    if (status != SLM_OK) {
        slmi_pages_drop(session, sequence, 0);
        return status;
    }
    memcpy(sequence->tokens, prefix->tokens, n * sizeof(int32_t));
    sequence->n_tokens = n;
    sequence->n_computed = n;
    sequence->n_requested = n;
    sequence->n_prefix = n;
    slmi_prefix_retain(prefix);
    slmi_prefix_release(sequence->prefix);
    sequence->prefix = prefix;
    return SLM_OK;
}
