/* SPDX-License-Identifier: MIT */
/* slm/session.h: arguments and ids; the work is done in session/. */
#include "session/session.h"

#include <string.h>

#include "api/check_session.h"
#include "base/fpenv.h"
#include "base/options.h"

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
    slm_model_retain(own.draft_model);
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
    slm_model *draft_model = session->draft != NULL ? session->draft->model : NULL;
    slmi_session_destroy(session);
    slm_model_release(model);
    slm_model_release(draft_model);
}

SLM_API slm_model *slm_session_get_model(const slm_session *session)
{
    return session == NULL ? NULL : session->model;
}

SLM_API slm_status slm_session_generate(slm_session *session, slm_sequence sequence,
                                        const slm_generate_options *options, slm_error *err)
{
    slmi_sequence *found;
    slm_generate_options own = SLM_GENERATE_OPTIONS_INIT;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    if (options != NULL) {
        SLM_TRY(slmi_options_copy(&own, sizeof(own), options, "slm_generate_options", err));
    }
    return slmi_generation_begin(session, found, &own, err);
}

SLM_API slm_status slm_session_step(slm_session *session, uint64_t budget_us, slm_error *err)
{
    SLM_TRY(slmi_check_session(session, err));
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
    SLM_TRY(slmi_check_session(session, err));
    REFUSE_NULL(event);
    if (session->next_event == session->n_events) {
        return SLM_END;
    }
    SLM_TRY(slmi_result_copy(event, &session->events[session->next_event], sizeof(slm_event),
                             "slm_event", err));
    session->next_event++;
    return SLM_OK;
}

SLM_API void slm_session_cancel(slm_session *session)
{
    if (session != NULL) {
        atomic_store(&session->cancel, 1);
    }
}

SLM_API void slm_session_cancel_sequence(slm_session *session, slm_sequence sequence)
{
    const uint64_t index = (sequence & UINT32_MAX) - 1;
    if (session != NULL && index < session->config.n_sequences) {
        /* The newest id wins: an older one is stale. */
        const uint32_t number = (uint32_t)(sequence >> 32);
        uint32_t before = atomic_load(&session->cancelled[index]);
        while (before < number &&
               !atomic_compare_exchange_weak(&session->cancelled[index], &before, number)) {
        }
        atomic_store(&session->any_cancelled, 1);
    }
}
