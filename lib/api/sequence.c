/* SPDX-License-Identifier: MIT */
/* slm/sequence.h: arguments and ids; the work is done in session/. */
#include "slm/sequence.h"

#include "api/check_session.h"
#include "base/options.h"
#include "slm/tokenizer.h"

SLM_API slm_status slm_session_add_sequence(slm_session *session, slm_sequence *sequence,
                                            slm_error *err)
{
    slmi_sequence *added;
    REFUSE_NULL(sequence);
    *sequence = 0;
    SLM_TRY(slmi_check_session(session, err));
    SLM_TRY(slmi_sequence_add(session, &added, err));
    *sequence = slmi_sequence_id(session, added);
    return SLM_OK;
}

SLM_API slm_status slm_session_fork_sequence(slm_session *session, slm_sequence source,
                                             slm_sequence *sequence, slm_error *err)
{
    slmi_sequence *original, *copy;
    REFUSE_NULL(sequence);
    *sequence = 0;
    SLM_TRY(slmi_check_sequence(session, source, &original, err));
    SLM_TRY(slmi_sequence_fork(session, original, &copy, err));
    *sequence = slmi_sequence_id(session, copy);
    return SLM_OK;
}

SLM_API slm_status slm_session_remove_sequence(slm_session *session, slm_sequence sequence,
                                               slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    slmi_sequence_remove(session, found);
    return SLM_OK;
}

SLM_API slm_status slm_session_append(slm_session *session, slm_sequence sequence,
                                      const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                      slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    SLM_FAIL_IF(tokens == NULL && n_tokens > 0, SLM_ERR_INVALID_ARGUMENT, "tokens must not be NULL");
    SLM_FAIL_IF((flags & ~(uint32_t)SLM_APPEND_LOGITS) != 0, SLM_ERR_INVALID_ARGUMENT,
                "flags 0x%x are unknown", flags);
    return slmi_sequence_append(session, found, tokens, n_tokens, flags, err);
}

SLM_API slm_status slm_session_append_text(slm_session *session, slm_sequence sequence,
                                           const char *text, size_t length, uint32_t flags,
                                           slm_error *err)
{
    slmi_sequence *found;
    size_t n_tokens = 0;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    if (found->n_tokens > 0) {
        flags &= ~(uint32_t)SLM_TEXT_ADD_SPECIAL;
    }
    /* The ids are written where the sequence will have them. */
    int32_t *ids = found->tokens + found->n_tokens;
    const size_t room = session->config.context_length - found->n_tokens;
    const slm_status status = slm_tokenizer_encode(session->model->tokenizer, text, length, flags, ids,
                                                   room, &n_tokens, err);
    SLM_FAIL_IF(status == SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_CONTEXT_FULL,
                "the text's %llu tokens do not fit: %u of %u are taken", (unsigned long long)n_tokens,
                found->n_tokens, session->config.context_length);
    SLM_TRY(status);
    return slmi_sequence_append(session, found, ids, n_tokens, 0, err);
}

SLM_API slm_status slm_session_set_sampler(slm_session *session, slm_sequence sequence,
                                           const slm_sampler *sampler, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(sampler);
    SLM_FAIL_IF(sampler->scratch.n_vocab != session->model->hyper.n_vocab, SLM_ERR_INVALID_ARGUMENT,
                "the sampler was made for a vocabulary of %u, the model has %u",
                sampler->scratch.n_vocab, session->model->hyper.n_vocab);
    if (session->phase != SLMI_PHASE_COMPUTE) {
        slmi_batch_leave(session, found); /* a draw under way has the settings of before */
    }
    found->sampler = sampler->settings;
    return SLM_OK;
}

SLM_API slm_status slm_session_set_u32(slm_session *session, slm_sequence sequence, uint32_t param,
                                       uint32_t value, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    return slmi_params_set(session, found, param, value, err);
}

SLM_API slm_status slm_session_get_u32(const slm_session *session, slm_sequence sequence,
                                       uint32_t param, uint32_t *value, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(value);
    return slmi_params_get(found, param, value, err);
}

SLM_API slm_status slm_session_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
                                              slm_error *err)
{
    return slmi_params_info(index, param, info, err);
}

SLM_API slm_status slm_session_replace(slm_session *session, slm_sequence sequence, uint32_t first,
                                       uint32_t n_removed, const int32_t *tokens, size_t n_tokens,
                                       uint32_t flags, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    SLM_FAIL_IF(tokens == NULL && n_tokens > 0, SLM_ERR_INVALID_ARGUMENT, "tokens must not be NULL");
    SLM_FAIL_IF((flags & ~(uint32_t)SLM_REPLACE_SHIFT) != 0, SLM_ERR_INVALID_ARGUMENT,
                "flags 0x%x are unknown", flags);
    SLM_FAIL_IF(n_tokens > session->config.context_length, SLM_ERR_CONTEXT_FULL,
                "%llu tokens do not fit a context of %u", (unsigned long long)n_tokens,
                session->config.context_length);
    return slmi_sequence_replace(session, found, first, n_removed, tokens, (uint32_t)n_tokens, flags,
                                 err);
}

static uint32_t n_hidden(const slmi_sequence *sequence)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < sequence->n_pages; i++) {
        n += sequence->pages[i] == SLMI_HIDDEN_PAGE;
    }
    return n;
}

SLM_API slm_status slm_session_get_sequence_info(const slm_session *session, slm_sequence sequence,
                                                 slm_sequence_info *info, slm_error *err)
{
    slmi_sequence *found;
    slm_sequence_info own = SLM_SEQUENCE_INFO_INIT;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(info);
    own.n_tokens = found->n_tokens;
    own.n_computed = found->n_computed;
    own.is_generating = found->generation.active;
    own.tokens = found->tokens;
    own.n_pages = found->n_pages - n_hidden(found);
    own.n_prefix_tokens = found->n_prefix;
    return slmi_result_copy(info, &own, sizeof(own), "slm_sequence_info", err);
}

SLM_API slm_status slm_session_truncate_sequence(slm_session *session, slm_sequence sequence,
                                                 uint32_t n_tokens, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    SLM_FAIL_IF(n_tokens > found->n_tokens, SLM_ERR_OUT_OF_RANGE,
                "n_tokens is %u; the sequence has %u", n_tokens, found->n_tokens);
    return slmi_sequence_truncate(session, found, n_tokens, err);
}
