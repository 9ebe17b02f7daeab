/* SPDX-License-Identifier: MIT */
/* The scheduler: which tokens of which sequences the next batch computes. Sequences that write come
 * first, one token each; what is left of the batch goes to appended text, in turns. */
#include <string.h>

#include "base/sort.h"
#include "session/session.h"

/* Batches that a sequence waits for until it counts as one priority higher. */
#define PATIENCE 16

/* Tokens that somebody waits for and that can be computed: what was appended, and what generation needs. */
static uint32_t n_pending(const slmi_sequence *sequence)
{
    if (!sequence->in_use || sequence->move.active) {
        return 0;
    }
    const int writes = sequence->generation.active && !sequence->generation.waits;
    const uint32_t end = writes ? sequence->n_tokens : sequence->n_requested;
    return end > sequence->n_computed ? end - sequence->n_computed : 0;
}

int slmi_session_has_work(const slm_session *session)
{
    if (session->phase != SLMI_PHASE_IDLE || session->n_moving > 0) {
        return 1;
    }
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        if (n_pending(&session->sequences[i]) > 0) {
            return 1;
        }
    }
    return 0;
}

static void add_row(slm_session *session, int32_t token, uint32_t position, uint8_t *page)
{
    slmi_batch *batch = &session->batch;
    session->batch_tokens[batch->n_tokens] = token;
    session->batch_positions[batch->n_tokens] = position;
    session->batch_row_pages[batch->n_tokens] = page;
    batch->n_tokens++;
}

/* Wants the logits of the row that is added next. */
static slmi_wanted *want_row(slm_session *session, uint32_t index, uint32_t position)
{
    slmi_batch *batch = &session->batch;
    slmi_wanted *wanted = &session->wanted[batch->n_wanted];
    session->batch_wanted[batch->n_wanted++] = batch->n_tokens;
    *wanted = (slmi_wanted){ .sequence = index, .position = position,
                             .n_changes = session->sequences[index].n_changes };
    return wanted;
}

/* Adds the guesses that the sequence takes behind its last token. */
static void add_guesses(slm_session *session, uint32_t index)
{
    slmi_sequence *sequence = &session->sequences[index];
    slmi_speculation *speculation = &sequence->speculation;
    for (uint32_t i = 0; i < speculation->n_taken; i++) {
        const uint32_t position = sequence->n_tokens + i;
        slmi_wanted *wanted = want_row(session, index, position);
        wanted->guess = i + 1;
        wanted->area = ++session->n_batch_guesses;
        add_row(session, speculation->guesses[i], position, sequence->page_data[position / SLMK_PAGE]);
    }
    speculation->n_batches += speculation->n_taken > 0;
    speculation->n_guessed += speculation->n_taken;
}

/* Adds up to `most` pending tokens of a sequence as one run, as far as rows of logits are left. */
static void add_run(slm_session *session, uint32_t index, uint32_t most)
{
    slmi_sequence *sequence = &session->sequences[index];
    slmi_batch *batch = &session->batch;
    const uint32_t first = sequence->n_computed;
    const uint32_t begin = batch->n_tokens;
    uint32_t n = n_pending(sequence);
    n = n < most ? n : most;
    uint32_t i = 0;
    for (; i < n; i++) {
        const uint32_t position = first + i;
        const uint32_t deliver = (uint32_t)slmi_wants_logits(sequence, position);
        const int sample = sequence->generation.active && !sequence->generation.waits &&
                           position + 1 == sequence->n_tokens;
        if (deliver || sample) {
            if (batch->n_wanted - session->n_batch_guesses == session->config.logit_rows) {
                break;
            }
            want_row(session, index, position)->deliver = deliver;
        }
        add_row(session, sequence->tokens[position], position, sequence->page_data[position / SLMK_PAGE]);
    }
    if (i == 0) {
        sequence->speculation.n_taken = 0;
    }
    add_guesses(session, index);
    if (batch->n_tokens > begin) {
        session->run_sequences[batch->n_runs] = index;
        session->runs[batch->n_runs++] =
            (slmi_run){ begin, batch->n_tokens - begin, first, sequence->page_data,
                        sequence->params.window, slmk_pages_of(sequence->params.sinks) };
        sequence->n_waited = 0;
    }
}

static uint32_t is_writing(const slmi_sequence *sequence)
{
    return sequence->generation.active && n_pending(sequence) == 1;
}

/* Those that write come first, so that they do so steadily, and with them those that lost patience. */
static uint32_t comes_early(const slmi_sequence *sequence)
{
    return is_writing(sequence) || sequence->n_waited >= PATIENCE;
}

/* 1 if sequence a comes before b: it comes early, it matters more, or it is its turn. */
static int goes_first(const void *ctx, uint32_t a, uint32_t b)
{
    const slm_session *session = ctx;
    const uint32_t n = session->config.n_sequences;
    const slmi_sequence *x = &session->sequences[a];
    const slmi_sequence *y = &session->sequences[b];
    if (comes_early(x) != comes_early(y)) {
        return comes_early(x) > comes_early(y);
    }
    const uint64_t x_rank = (uint64_t)x->params.priority + x->n_waited / PATIENCE;
    const uint64_t y_rank = (uint64_t)y->params.priority + y->n_waited / PATIENCE;
    if (x_rank != y_rank) {
        return x_rank > y_rank;
    }
    return (a + n - session->next_sequence) % n < (b + n - session->next_sequence) % n;
}

/* The sequences with something to compute, in the order in which they get it. */
static uint32_t find_ready(slm_session *session, uint32_t *n_writing)
{
    uint32_t n = 0;
    *n_writing = 0;
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        if (n_pending(&session->sequences[i]) > 0) {
            session->ready[n++] = i;
            *n_writing += is_writing(&session->sequences[i]);
        }
    }
    slmi_sort_indices(session->ready, n, goes_first, session);
    return n;
}

uint32_t slmi_batch_writing(slm_session *session)
{
    uint32_t n_writing;
    const uint32_t n_ready = find_ready(session, &n_writing);
    return n_writing == n_ready ? n_ready : 0;
}

int slmi_batch_make(slm_session *session)
{
    slmi_batch *batch = &session->batch;
    memset(batch, 0, sizeof(*batch));
    session->n_batch_guesses = 0;
    session->drafts = SLMI_DRAFTS_NONE;
    uint32_t n_writing; /* that have not had their token */
    const uint32_t n_ready = find_ready(session, &n_writing);
    const int all_write = n_writing == n_ready;
    slmi_speculation_plan(session, n_ready, n_writing);
    const uint32_t least = n_writing >= session->config.batch_tokens; /* they would take all */
    for (uint32_t i = 0; i < n_ready; i++) {
        slmi_sequence *sequence = &session->sequences[session->ready[i]];
        const uint32_t room =
            session->config.batch_tokens - (batch->n_tokens - session->n_batch_guesses);
        n_writing -= is_writing(sequence);
        sequence->n_waited += sequence->n_waited < UINT32_MAX;
        if (room > 0) {
            /* Before those that write, a text takes what they leave, and a token if they leave none. */
            const uint32_t most = room > n_writing ? room - n_writing : is_writing(sequence) ? 1 : least;
            add_run(session, session->ready[i], most);
        }
    }
    if (batch->n_tokens == 0) {
        return 0;
    }
    slmi_gain_begin(&session->gain, all_write ? batch->n_tokens : 0, session->n_batch_guesses);
    session->next_sequence =
        (session->run_sequences[batch->n_runs - 1] + 1) % session->config.n_sequences;
    batch->tokens = session->batch_tokens;
    batch->positions = session->batch_positions;
    batch->row_pages = session->batch_row_pages;
    batch->wanted = session->batch_wanted;
    batch->runs = session->runs;
    batch->run_tiles = session->run_tiles;
    return 1;
}

static int holds(const slm_session *session, const slmi_sequence *sequence)
{
    const uint32_t index = (uint32_t)(sequence - session->sequences);
    for (uint32_t r = 0; r < session->batch.n_runs; r++) {
        if (session->run_sequences[r] == index) {
            return 1;
        }
    }
    return 0;
}

/* Rows that were computed but not committed are computed once more, with the same bits: those of one
 * sequence, or of all. */
static void give_up_rows(slm_session *session, const slmi_sequence *only)
{
    for (uint32_t row = session->next_commit; row < session->batch.n_wanted; row++) {
        const slmi_wanted *wanted = &session->wanted[row];
        slmi_sequence *sequence = &session->sequences[wanted->sequence];
        if ((only == NULL || only == sequence) && sequence->n_changes == wanted->n_changes &&
            sequence->n_computed > wanted->position) {
            sequence->n_computed = wanted->position;
        }
    }
}

void slmi_batch_leave(slm_session *session, slmi_sequence *sequence)
{
    if (session->phase == SLMI_PHASE_COMPUTE && holds(session, sequence)) {
        slmi_batch_abandon(session);
    } else if (session->phase != SLMI_PHASE_IDLE && session->phase != SLMI_PHASE_COMPUTE) {
        give_up_rows(session, sequence);
    }
    sequence->n_changes++;
    if (session->phase == SLMI_PHASE_DRAW) {
        slmi_draws_leave(session, sequence);
    }
}

void slmi_batch_abandon(slm_session *session)
{
    if (session->phase == SLMI_PHASE_DRAW || session->phase == SLMI_PHASE_COMMIT) {
        give_up_rows(session, NULL);
        slmi_draws_abandon(session);
    }
    for (uint32_t r = 0; r < session->batch.n_runs; r++) {
        slmi_sequence *sequence = &session->sequences[session->run_sequences[r]];
        if (sequence->in_use && sequence->n_computed > 0) {
            slmi_pages_hide(session, sequence, sequence->n_computed - 1);
        }
    }
    session->phase = SLMI_PHASE_IDLE;
    session->batch.n_runs = 0;
    session->batch.n_wanted = 0;
}
