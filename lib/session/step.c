/* SPDX-License-Identifier: MIT */
/* A step: make a batch, compute it, deliver logits and sample; stop and go on anywhere between. */
#include <string.h>

#include "base/error.h"
#include "session/session.h"

static uint64_t now(const slm_session *session)
{
    return session->exec.clock(session->exec.clock_ctx);
}

static slm_status cancel_all(slm_session *session)
{
    slmi_batch_abandon(session);
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        if (sequence->in_use && sequence->generation.active) {
            slmi_generation_end(session, sequence, SLM_DONE_CANCELLED, SLM_OK);
        }
    }
    atomic_store(&session->cancel, 0);
    return SLM_CANCELLED;
}

/* The batch's keys and values are in the cache: its tokens count as computed. */
static void count_computed(slm_session *session)
{
    for (uint32_t r = 0; r < session->batch.n_runs; r++) {
        slmi_sequence *sequence = &session->sequences[session->run_sequences[r]];
        sequence->n_computed = session->runs[r].position + session->runs[r].n_rows;
    }
    session->phase = SLMI_PHASE_SAMPLE;
    session->next_wanted = 0;
}

static slm_status deliver_logits(slm_session *session, const slmi_wanted *wanted, const float *logits,
                                 slm_error *err)
{
    slmi_sequence *sequence = &session->sequences[wanted->sequence];
    const uint32_t n_vocab = session->model->hyper.n_vocab;
    float most;
    sequence->wants_logits[wanted->position / 8] &= (uint8_t)~(1u << wanted->position % 8);
    slm_event *event = slmi_event_add(session, SLM_EVENT_LOGITS, sequence);
    event->position = wanted->position;
    event->token = sequence->tokens[wanted->position];
    if (!session->config.kernels->max_finite(logits, n_vocab, &most)) {
        event->status = slmi_fail(err, SLM_ERR_NOT_FINITE, SLM_NO_OFFSET,
                                  "the logits after token %u are not finite", wanted->position);
        return event->status;
    }
    event->logits = logits;
    event->n_logits = n_vocab;
    return SLM_OK;
}

/* Uses one wanted row; the first error of a step is what the step returns. */
static slm_status use_row(slm_session *session, uint32_t row, slm_error *err)
{
    const slmi_wanted *wanted = &session->wanted[row];
    const float *logits = slmi_exec_float(&session->exec, session->model->plan.logits, row);
    slmi_sequence *sequence = &session->sequences[wanted->sequence];
    slm_status status = SLM_OK;
    if (wanted->deliver) {
        status = deliver_logits(session, wanted, logits, err);
    }
    /* More tokens may have been appended, or the generation ended, since the batch was made. */
    if (sequence->in_use && sequence->generation.active &&
        wanted->position + 1 == sequence->n_tokens) {
        const slm_status sampled = slmi_generation_sample(session, sequence, logits, err);
        status = status == SLM_OK ? sampled : status;
    }
    return status;
}

/* Goes through the wanted rows until they are used up or the time is. A step that begins here uses one
 * in any case (owes_row), so that it makes progress however short its time. */
static slm_status use_rows(slm_session *session, uint64_t deadline, int owes_row, slm_error *err)
{
    slm_status status = SLM_OK;
    while (session->next_wanted < session->batch.n_wanted) {
        const int late = !owes_row && deadline != 0 && now(session) >= deadline;
        if (atomic_load(&session->cancel) != 0 || late) {
            return status;
        }
        owes_row = 0;
        const slm_status used = use_row(session, session->next_wanted++, err);
        status = status == SLM_OK ? used : status;
    }
    slmi_batch_abandon(session); /* done with it */
    return status;
}

static slm_status advance(slm_session *session, uint64_t deadline, slm_error *err)
{
    const int owes_row = session->phase == SLMI_PHASE_SAMPLE;
    if (session->phase == SLMI_PHASE_IDLE && slmi_batch_make(session)) {
        slmi_exec_begin(&session->exec, &session->batch);
        session->phase = SLMI_PHASE_COMPUTE;
    }
    if (session->phase == SLMI_PHASE_COMPUTE) {
        if (slmi_exec_run(&session->exec, deadline)) {
            count_computed(session);
        }
    }
    slm_status status = SLM_OK;
    if (session->phase == SLMI_PHASE_SAMPLE) {
        status = use_rows(session, deadline, owes_row, err);
    }
    if (atomic_load(&session->cancel) != 0) {
        return cancel_all(session);
    }
    if (status != SLM_OK) {
        return status;
    }
    return slmi_session_has_work(session) ? SLM_MORE : SLM_OK;
}

slm_status slmi_session_step(slm_session *session, uint64_t budget_us, slm_error *err)
{
    SLM_TRY(slmi_pool_start(&session->pool, err));
    session->n_events = 0;
    session->next_event = 0;
    if (atomic_load(&session->cancel) != 0) {
        return cancel_all(session);
    }
    uint64_t deadline = 0;
    if (budget_us != 0) {
        const uint64_t begin = now(session);
        deadline = budget_us > (UINT64_MAX - begin) / 1000 ? UINT64_MAX : begin + budget_us * 1000;
    }
    return advance(session, deadline, err);
}
