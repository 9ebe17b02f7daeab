/* SPDX-License-Identifier: MIT */
/* slm/session.h: arguments and ids; the work is done in session/. */
#include "session/session.h"

#include <string.h>

#include "api/check.h"
#include "base/fpenv.h"
#include "base/options.h"

/* Every call on a session: there is one, and it is not inside a step. */
static slm_status check_session(const slm_session *session, slm_error *err)
{
    REFUSE_NULL(session);
    SLM_FAIL_IF(session->busy, SLM_ERR_BUSY, "a step of this session is in progress");
    return SLM_OK;
}

/* The same, and a sequence by its id. */
static slm_status check_sequence(const slm_session *session, slm_sequence id, slmi_sequence **out,
                                 slm_error *err)
{
    SLM_TRY(check_session(session, err));
    return slmi_sequence_find(session, id, out, err);
}

static slm_status read_options(const slm_session_options *caller, slm_session_options *own,
                               slm_error *err)
{
    memset(own, 0, sizeof(*own));
    own->struct_size = sizeof(*own);
    return caller == NULL
               ? SLM_OK
               : slmi_options_copy(own, sizeof(*own), caller, "slm_session_options", err);
}

SLM_API slm_status slm_session_estimate(const slm_model *model, const slm_session_options *options,
                                        slm_session_memory *memory, slm_error *err)
{
    slm_session_options own_options;
    slm_session_memory own = SLM_SESSION_MEMORY_INIT;
    REFUSE_NULL(model);
    REFUSE_NULL(memory);
    SLM_TRY(read_options(options, &own_options, err));
    SLM_TRY(slmi_session_estimate(model, &own_options, &own, err));
    return slmi_result_copy(memory, &own, sizeof(own), "slm_session_memory", err);
}

SLM_API slm_status slm_session_create(slm_model *model, const slm_session_options *options,
                                      slm_session **session, slm_error *err)
{
    slm_session_options own;
    REFUSE_NULL(session);
    *session = NULL;
    REFUSE_NULL(model);
    SLM_TRY(read_options(options, &own, err));
    SLM_TRY(slmi_session_create(model, &own, session, err));
    slm_model_retain(model);
    return SLM_OK;
}

SLM_API void slm_session_release(slm_session *session)
{
    if (session == NULL) {
        return;
    }
    if (session->busy) {
        /* From a callback of its own step, which frees it at its end. */
        atomic_store(&session->release_when_idle, 1);
        return;
    }
    slm_model *model = session->model;
    slmi_session_destroy(session);
    slm_model_release(model);
}

SLM_API slm_model *slm_session_get_model(const slm_session *session)
{
    return session == NULL ? NULL : session->model;
}

SLM_API slm_status slm_session_add_sequence(slm_session *session, slm_sequence *sequence,
                                            slm_error *err)
{
    slmi_sequence *added;
    REFUSE_NULL(sequence);
    *sequence = 0;
    SLM_TRY(check_session(session, err));
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
    SLM_TRY(check_sequence(session, source, &original, err));
    SLM_TRY(slmi_sequence_fork(session, original, &copy, err));
    *sequence = slmi_sequence_id(session, copy);
    return SLM_OK;
}

SLM_API slm_status slm_session_remove_sequence(slm_session *session, slm_sequence sequence,
                                               slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(check_sequence(session, sequence, &found, err));
    slmi_sequence_remove(session, found);
    return SLM_OK;
}

SLM_API slm_status slm_session_append(slm_session *session, slm_sequence sequence,
                                      const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                      slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(check_sequence(session, sequence, &found, err));
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
    SLM_TRY(check_sequence(session, sequence, &found, err));
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
    SLM_TRY(check_sequence(session, sequence, &found, err));
    REFUSE_NULL(sampler);
    SLM_FAIL_IF(sampler->scratch.n_vocab != session->model->hyper.n_vocab, SLM_ERR_INVALID_ARGUMENT,
                "the sampler was made for a vocabulary of %u, the model has %u",
                sampler->scratch.n_vocab, session->model->hyper.n_vocab);
    found->sampler = sampler->settings;
    return SLM_OK;
}

SLM_API slm_status slm_session_generate(slm_session *session, slm_sequence sequence,
                                        const slm_generate_options *options, slm_error *err)
{
    slmi_sequence *found;
    slm_generate_options own = SLM_GENERATE_OPTIONS_INIT;
    SLM_TRY(check_sequence(session, sequence, &found, err));
    if (options != NULL) {
        SLM_TRY(slmi_options_copy(&own, sizeof(own), options, "slm_generate_options", err));
    }
    return slmi_generation_begin(session, found, &own, err);
}

SLM_API slm_status slm_session_step(slm_session *session, uint64_t budget_us, slm_error *err)
{
    SLM_TRY(check_session(session, err));
    session->busy = 1;
    const slmi_fpenv before = slmi_fpenv_enter();
    slm_error own = SLM_ERROR_INIT; /* a row's error does not count if the step is cancelled later */
    const slm_status status = slmi_session_step(session, budget_us, &own);
    if (status < 0) {
        (void)slmi_fail(err, own.code, own.offset, "%s", own.message);
    }
    slmi_fpenv_leave(before);
    session->busy = 0;
    if (atomic_load(&session->release_when_idle)) {
        slm_session_release(session);
    }
    return status;
}

SLM_API slm_status slm_session_get_event(slm_session *session, slm_event *event, slm_error *err)
{
    SLM_TRY(check_session(session, err));
    REFUSE_NULL(event);
    if (session->next_event == session->n_events) {
        return SLM_END;
    }
    SLM_TRY(slmi_result_copy(event, &session->events[session->next_event], sizeof(slm_event),
                             "slm_event", err));
    session->next_event++;
    return SLM_OK;
}

SLM_API slm_status slm_session_get_sequence_info(const slm_session *session, slm_sequence sequence,
                                                 slm_sequence_info *info, slm_error *err)
{
    slmi_sequence *found;
    slm_sequence_info own = SLM_SEQUENCE_INFO_INIT;
    SLM_TRY(check_sequence(session, sequence, &found, err));
    REFUSE_NULL(info);
    own.n_tokens = found->n_tokens;
    own.n_computed = found->n_computed;
    own.is_generating = found->generation.active;
    own.tokens = found->tokens;
    return slmi_result_copy(info, &own, sizeof(own), "slm_sequence_info", err);
}

SLM_API slm_status slm_session_truncate_sequence(slm_session *session, slm_sequence sequence,
                                                 uint32_t n_tokens, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(check_sequence(session, sequence, &found, err));
    SLM_FAIL_IF(n_tokens > found->n_tokens, SLM_ERR_OUT_OF_RANGE,
                "n_tokens is %u; the sequence has %u", n_tokens, found->n_tokens);
    slmi_sequence_truncate(session, found, n_tokens);
    return SLM_OK;
}

SLM_API void slm_session_cancel(slm_session *session)
{
    if (session != NULL) {
        atomic_store(&session->cancel, 1);
    }
}

SLM_API slm_status slm_session_save_sequence(const slm_session *session, slm_sequence sequence,
                                             void *blob, size_t capacity, size_t *length,
                                             slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(check_sequence(session, sequence, &found, err));
    REFUSE_NULL(length);
    SLM_FAIL_IF(blob == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT, "blob must not be NULL");
    return slmi_sequence_save(session, found, blob, capacity, length, err);
}

SLM_API slm_status slm_session_restore_sequence(slm_session *session, const void *blob, size_t length,
                                                slm_sequence *sequence, slm_error *err)
{
    slmi_sequence *restored;
    REFUSE_NULL(sequence);
    *sequence = 0;
    SLM_TRY(check_session(session, err));
    REFUSE_NULL(blob);
    SLM_TRY(slmi_sequence_restore(session, blob, length, &restored, err));
    *sequence = slmi_sequence_id(session, restored);
    return SLM_OK;
}
