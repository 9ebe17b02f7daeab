/* SPDX-License-Identifier: MIT */
/* Drawing from a batch's rows of logits: every row is drawn from by one worker at a time, in pieces, and
 * what was drawn waits for its turn to be committed. */
#include "session/session.h"

void slmi_draws_begin(slm_session *session)
{
    atomic_store(&session->next_draw, 0);
    atomic_store(&session->n_drawn, 0);
    session->next_commit = 0;
}

static void open_row(slm_session *session, slmi_drawing *drawing, uint32_t row)
{
    const slmi_wanted *wanted = &session->wanted[row];
    const slmi_sequence *sequence = &session->sequences[wanted->sequence];
    const uint32_t top = session->config.top_logprobs;
    /* What the sequence is by now: if it changes before the row is committed, the row does not count. */
    const uint32_t n_history = wanted->position + 1 - wanted->guess;
    const uint32_t samples = sequence->n_changes == wanted->n_changes && sequence->generation.active &&
                             n_history == sequence->n_tokens;
    drawing->row = row;
    drawing->is_open = 1;
    drawing->draw = (slmi_draw){ .settings = sequence->sampler,
                                 .scratch = &drawing->scratch,
                                 .kernels = session->config.kernels,
                                 .logits = slmi_exec_float(&session->exec, session->model->plan.logits, row),
                                 .history = sequence->tokens,
                                 .n_history = n_history,
                                 .tail = sequence->speculation.guesses,
                                 .n_tail = wanted->guess,
                                 .number = wanted->position + 1,
                                 .wants_token = samples,
                                 .wants_logprob = samples,
                                 .n_top = samples ? sequence->generation.n_top : 0,
                                 .top_tokens = session->top_tokens + (size_t)row * top,
                                 .top_logprobs = session->top_logprobs + (size_t)row * top };
    slmi_draw_begin(&drawing->draw);
}

/* Takes the next row that nobody draws from; guesses are drawn from behind it. Returns 0 if there is none. */
static int open_next(slm_session *session, slmi_drawing *drawing)
{
    for (;;) {
        const uint32_t row = atomic_fetch_add(&session->next_draw, 1);
        if (row >= session->batch.n_wanted) {
            atomic_fetch_sub(&session->next_draw, 1);
            return 0;
        }
        if (session->wanted[row].guess == 0) {
            open_row(session, drawing, row);
            return 1;
        }
    }
}

/* 1 if the next row is a guess that the row's draw has made come true. */
static int came_true(const slm_session *session, uint32_t row)
{
    const slmi_wanted *wanted = &session->wanted[row];
    if (row + 1 == session->batch.n_wanted || wanted[1].guess == 0) {
        return 0;
    }
    return wanted->finite &&
           wanted->token == session->sequences[wanted->sequence].speculation.guesses[wanted->guess];
}

static void close_drawing(slm_session *session, slmi_drawing *drawing)
{
    slmi_wanted *wanted = &session->wanted[drawing->row];
    wanted->finite = drawing->draw.finite;
    wanted->token = drawing->draw.token;
    wanted->logprob = drawing->draw.logprob;
    drawing->is_open = 0;
    if (drawing->draw.wants_token && came_true(session, drawing->row)) {
        open_row(session, drawing, drawing->row + 1);
    } else {
        atomic_fetch_add(&session->n_drawn, 1);
    }
}

/* Goes on with one drawing, and then with rows that are left, until there are none or time is up (0). */
static int draw_in(slm_session *session, slmi_drawing *drawing, int *owes_piece)
{
    while (drawing->is_open || open_next(session, drawing)) {
        if (!*owes_piece && slmi_exec_must_stop(&session->exec)) {
            return 0;
        }
        *owes_piece = 0;
        if (slmi_draw_advance(&drawing->draw)) {
            close_drawing(session, drawing);
        }
    }
    return 1;
}

static void draw_rows(void *ctx, uint32_t worker)
{
    slm_session *session = ctx;
    const uint32_t n = session->config.n_threads;
    int owes_piece = worker == 0; /* a run makes progress however short its time */
    int in_time = 1;
    for (uint32_t i = 0; i < n && in_time; i++) {
        slmi_drawing *drawing = &session->drawings[(worker + i) % n];
        if (atomic_exchange(&drawing->is_taken, 1) == 0) {
            in_time = draw_in(session, drawing, &owes_piece);
            atomic_store(&drawing->is_taken, 0);
        }
    }
}

int slmi_draws_run(slm_session *session, uint64_t deadline)
{
    const uint32_t n_rows = session->batch.n_wanted - session->n_batch_guesses;
    slmi_exec_allow(&session->exec, deadline);
    if (n_rows - atomic_load(&session->n_drawn) > 1) {
        slmi_pool_run(session->pool, draw_rows, session);
    } else {
        draw_rows(session, 0);
    }
    return atomic_load(&session->n_drawn) == n_rows;
}

void slmi_draws_leave(slm_session *session, const slmi_sequence *sequence)
{
    for (uint32_t i = 0; i < session->config.n_threads; i++) {
        slmi_drawing *drawing = &session->drawings[i];
        const slmi_wanted *wanted = &session->wanted[drawing->row];
        if (drawing->is_open && &session->sequences[wanted->sequence] == sequence) {
            slmi_draw_abandon(&drawing->draw);
            open_row(session, drawing, drawing->row);
        }
    }
}

void slmi_draws_abandon(slm_session *session)
{
    for (uint32_t i = 0; i < session->config.n_threads; i++) {
        if (session->drawings[i].is_open) {
            slmi_draw_abandon(&session->drawings[i].draw);
            session->drawings[i].is_open = 0;
        }
    }
}
