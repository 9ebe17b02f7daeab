/* SPDX-License-Identifier: MIT */
/* The scheduler: which tokens of which sequences the next batch computes. Sequences that write come
 * first, one token each; what is left of the batch goes to appended text, in turns. */
#include <string.h>

#include "session/session.h"

/* Tokens that somebody waits for: what was appended, and what generation needs. */
static uint32_t n_pending(const slmi_sequence *sequence)
{
    if (!sequence->in_use) {
        return 0;
    }
    const uint32_t end = sequence->generation.active ? sequence->n_tokens : sequence->n_requested;
    return end > sequence->n_computed ? end - sequence->n_computed : 0;
}

int slmi_session_has_work(const slm_session *session)
{
    if (session->phase != SLMI_PHASE_IDLE) {
        return 1;
    }
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        if (n_pending(&session->sequences[i]) > 0) {
            return 1;
        }
    }
    return 0;
}

static int wants_logits(const slmi_sequence *sequence, uint32_t position)
{
    return sequence->wants_logits[position / 8] >> position % 8 & 1;
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
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t position = first + i;
        const uint32_t deliver = (uint32_t)wants_logits(sequence, position);
        const int sample = sequence->generation.active && position + 1 == sequence->n_tokens;
        if (deliver || sample) {
            if (batch->n_wanted == session->config.logit_rows) {
                break;
            }
            session->batch_wanted[batch->n_wanted] = batch->n_tokens;
            session->wanted[batch->n_wanted++] = (slmi_wanted){ index, position, deliver };
        }
        session->batch_tokens[batch->n_tokens] = sequence->tokens[position];
        session->batch_positions[batch->n_tokens] = position;
        session->batch_row_pages[batch->n_tokens] = sequence->page_data[position / SLMK_PAGE];
        batch->n_tokens++;
    }
    if (batch->n_tokens > begin) {
        session->run_sequences[batch->n_runs] = index;
        session->runs[batch->n_runs++] =
            (slmi_run){ begin, batch->n_tokens - begin, first, sequence->page_data };
    }
}

int slmi_batch_make(slm_session *session)
{
    slmi_batch *batch = &session->batch;
    const uint32_t n = session->config.n_sequences;
    memset(batch, 0, sizeof(*batch));
    for (uint32_t writing = 1; writing != UINT32_MAX; writing--) {
        for (uint32_t i = 0; i < n && batch->n_tokens < session->config.batch_tokens; i++) {
            const uint32_t index = (session->next_sequence + i) % n;
            const slmi_sequence *sequence = &session->sequences[index];
            const uint32_t pending = n_pending(sequence);
            const uint32_t is_writing = sequence->generation.active && pending == 1;
            if (pending > 0 && is_writing == writing) {
                add_run(session, index, session->config.batch_tokens - batch->n_tokens);
            }
        }
    }
    if (batch->n_tokens == 0) {
        return 0;
    }
    session->next_sequence = (session->run_sequences[batch->n_runs - 1] + 1) % n;
    batch->tokens = session->batch_tokens;
    batch->positions = session->batch_positions;
    batch->row_pages = session->batch_row_pages;
    batch->wanted = session->batch_wanted;
    batch->runs = session->runs;
    batch->run_tiles = session->run_tiles;
    return 1;
}

int slmi_batch_holds(const slm_session *session, const slmi_sequence *sequence)
{
    const uint32_t index = (uint32_t)(sequence - session->sequences);
    for (uint32_t r = 0; session->phase != SLMI_PHASE_IDLE && r < session->batch.n_runs; r++) {
        if (session->run_sequences[r] == index) {
            return 1;
        }
    }
    return 0;
}

void slmi_batch_abandon(slm_session *session)
{
    /* Rows that were computed but not used yet are computed once more, with the same bits. */
    const uint32_t end = session->phase == SLMI_PHASE_SAMPLE ? session->batch.n_wanted : 0;
    for (uint32_t row = session->next_wanted; row < end; row++) {
        slmi_sequence *sequence = &session->sequences[session->wanted[row].sequence];
        if (sequence->in_use && sequence->n_computed > session->wanted[row].position) {
            sequence->n_computed = session->wanted[row].position;
        }
    }
    session->phase = SLMI_PHASE_IDLE;
    session->batch.n_runs = 0;
}
