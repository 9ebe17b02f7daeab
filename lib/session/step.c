/* SPDX-License-Identifier: MIT */
/* A step: make a batch, compute it, draw, commit; stop and go on anywhere between. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

static uint64_t now(const slm_session *session)
{
    return session->exec.clock(session->exec.clock_ctx);
}

/* Ends the generations that slm_session_cancel_sequence() named. */
static void cancel_named(slm_session *session)
{
    if (atomic_exchange(&session->any_cancelled, 0) == 0) {
        return;
    }
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        const uint32_t named = atomic_exchange(&session->cancelled[i], 0);
        if (named != 0 && named == sequence->generation_number && sequence->in_use &&
            sequence->generation.active) {
            slmi_generation_end(session, sequence, SLM_DONE_CANCELLED, SLM_OK);
        }
    }
}

static int is_late(const slm_session *session, uint64_t deadline)
{
    return deadline != 0 && now(session) >= deadline;
}

static slm_status cancel_all(slm_session *session)
{
    slmi_batch_abandon(session);
    cancel_named(session); /* what was named before has ended, too */
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        if (sequence->in_use && sequence->generation.active) {
            slmi_generation_end(session, sequence, SLM_DONE_CANCELLED, SLM_OK);
        }
    }
    atomic_store(&session->cancel, 0);
    return SLM_CANCELLED;
}

/* The batch's keys and values are in the cache: its tokens count as computed. From the first row on that is
 * still to be committed they may be computed once more, and so may the last one. */
static void count_computed(slm_session *session)
{
    uint32_t row = 0;
    for (uint32_t r = 0; r < session->batch.n_runs; r++) {
        const uint32_t index = session->run_sequences[r];
        slmi_sequence *sequence = &session->sequences[index];
        sequence->n_computed = session->runs[r].position + session->runs[r].n_rows -
                               sequence->speculation.n_taken;
        uint32_t first = sequence->n_computed - 1;
        for (; row < session->batch.n_wanted && session->wanted[row].sequence == index; row++) {
            first = slmi_min_u32(first, session->wanted[row].position);
        }
        slmi_pages_hide(session, sequence, first);
    }
}

static slm_status deliver_logits(slm_session *session, uint32_t row, slm_error *err)
{
    const slmi_wanted *wanted = &session->wanted[row];
    slmi_sequence *sequence = &session->sequences[wanted->sequence];
    slmi_want_logits(sequence, wanted->position, 0);
    slm_event *event = slmi_event_add(session, SLM_EVENT_LOGITS, sequence);
    event->position = wanted->position;
    event->token = sequence->tokens[wanted->position];
    if (!wanted->finite) {
        event->status = slmi_fail(err, SLM_ERR_NOT_FINITE, SLM_NO_OFFSET,
                                  "the logits after token %u are not finite", wanted->position);
        return event->status;
    }
    event->logits = slmi_exec_float(&session->exec, session->model->plan.logits, row);
    event->n_logits = session->model->hyper.n_vocab;
    return SLM_OK;
}

/* Commits one row; the first error of a step is what the step returns. */
static slm_status commit_row(slm_session *session, uint32_t row, slm_error *err)
{
    const slmi_wanted *wanted = &session->wanted[row];
    slmi_sequence *sequence = &session->sequences[wanted->sequence];
    slm_status status = SLM_OK;
    if (sequence->n_changes != wanted->n_changes) {
        return SLM_OK; /* it has changed or left since, and what it still wants is computed again */
    }
    if (wanted->guess != 0 && !slmi_speculation_holds(session, sequence, wanted)) {
        return SLM_OK;
    }
    if (wanted->deliver) {
        status = deliver_logits(session, row, err);
    }
    if (sequence->generation.active && wanted->position + 1 == sequence->n_tokens) {
        const slm_status taken =
            slmi_generation_take(session, sequence, row, status == SLM_OK ? err : NULL);
        status = status == SLM_OK ? taken : status;
    }
    return status;
}

/* Goes through the rows until they are used up or the time is. A step that begins here commits one in any
 * case (owes_row), so that it makes progress however short its time. */
static slm_status commit_rows(slm_session *session, uint64_t deadline, int owes_row, slm_error *err)
{
    slm_status status = SLM_OK;
    while (session->next_commit < session->batch.n_wanted) {
        const int late = !owes_row && is_late(session, deadline);
        if (atomic_load(&session->cancel) != 0 || late) {
            return status;
        }
        owes_row = 0;
        const slm_status used =
            commit_row(session, session->next_commit++, status == SLM_OK ? err : NULL);
        status = status == SLM_OK ? used : status;
    }
    slmi_batch_abandon(session); /* done with it */
    session->gain.is_done = 1;
    return status;
}

/* Each phase does at least one piece of work once it is entered, so a step enters none when it is late. */
static void begin_batch(slm_session *session, uint64_t deadline)
{
    const int moves = session->n_moving > 0;
    if (!slmi_moves_run(session, deadline) || (moves && is_late(session, deadline))) {
        return;
    }
    if (session->draft != NULL && !slmi_draft_run(session, deadline)) {
        return;
    }
    if (slmi_batch_make(session)) {
        slmi_exec_begin(&session->exec, &session->batch);
        session->phase = SLMI_PHASE_COMPUTE;
    }
}

/* Computes and draws; a step that computed does not draw when it is late. */
static void go_on_with_batch(slm_session *session, uint64_t deadline)
{
    if (session->phase == SLMI_PHASE_COMPUTE && slmi_exec_run(&session->exec, deadline)) {
        count_computed(session);
        slmi_draws_begin(session);
        session->phase = SLMI_PHASE_DRAW;
        if (is_late(session, deadline)) {
            return;
        }
    }
    if (session->phase == SLMI_PHASE_DRAW && slmi_draws_run(session, deadline)) {
        session->phase = SLMI_PHASE_COMMIT;
    }
}

slm_status slmi_session_advance(slm_session *session, uint64_t deadline, slm_error *err)
{
    slm_status status = SLM_OK;
    const int owes_row = session->phase == SLMI_PHASE_COMMIT;
    if (session->phase == SLMI_PHASE_IDLE) {
        begin_batch(session, deadline);
    }
    go_on_with_batch(session, deadline);
    cancel_named(session);
    if (session->phase == SLMI_PHASE_COMMIT) {
        status = commit_rows(session, deadline, owes_row, err);
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
    SLM_TRY(slmi_pool_start(session->pool, err));
    session->n_events = 0;
    session->next_event = 0;
    if (atomic_load(&session->cancel) != 0) {
        return cancel_all(session);
    }
    cancel_named(session);
    uint64_t deadline = 0;
    if (budget_us != 0) {
        const uint64_t begin = now(session);
        deadline = budget_us > (UINT64_MAX - begin) / 1000 ? UINT64_MAX : begin + budget_us * 1000;
    }
    if (session->config.n_guesses == 0) {
        return slmi_session_advance(session, deadline, err);
    }
    const uint64_t begin = now(session);
    session->gain.drafted = 0;
    const slm_status status = slmi_session_advance(session, deadline, err);
    const uint64_t end = now(session);
    session->gain.elapsed += end > begin + session->gain.drafted ? end - begin - session->gain.drafted : 0;
    if (session->gain.is_done) {
        slmi_gain_note(&session->gain);
    }
    return status;
}
