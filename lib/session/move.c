/* SPDX-License-Identifier: MIT */
/* Keys and values that move to smaller positions: rotary embedding makes a key at position p the key at
 * position p - n turned by n, so it is turned back. Source: Xiao et al., "Efficient streaming language
 * models with attention sinks", 2023, and Su et al., "RoFormer", 2021. */
#include <string.h>

#include "base/bytes.h"
#include "kernels/kv.h"
#include "kernels/math.h"
#include "session/session.h"

/* Tokens of one slot that move between two looks at the clock, and numbers of their keys: some 10 us. */
#define TOKENS_AT_ONCE 16
#define NUMBERS_AT_ONCE 4096

void slmi_move_begin(slm_session *session, slmi_sequence *sequence, uint32_t first, uint32_t n_removed,
                     uint32_t n_hidden)
{
    sequence->move = (slmi_move){ .active = 1, .first = first, .n_removed = n_removed,
                                  .n_moved = sequence->n_computed - (first + n_removed),
                                  .n_hidden = n_hidden, .n_done = n_hidden };
    sequence->n_computed = first;
    session->n_moving++;
}

void slmi_move_abandon(slm_session *session, slmi_sequence *sequence)
{
    if (sequence->move.active) {
        sequence->move.active = 0;
        session->n_moving--;
    }
}

/* Where the key and the value of a token lie. */
typedef struct place {
    uint8_t *panel;
    uint8_t *row;
    uint32_t lane;
} place;

static place find_place(const slm_session *session, const slmi_sequence *sequence, uint32_t slot,
                        uint32_t head, uint32_t position)
{
    const slmi_exec_plan *plan = &session->exec_plan;
    const uint32_t d = plan->plan->slots[slot].head_width;
    const uint32_t lane = position % SLMK_PAGE;
    uint8_t *page = sequence->page_data[position / SLMK_PAGE];
    return (place){ slmi_cache_keys(plan, page, slot, head) +
                        lane / SLMK_ROWS * slmk_kv_panel_bytes(plan->kv_type, d),
                    slmi_cache_values(plan, page, slot, head) +
                        lane * slmk_kv_row_bytes(plan->kv_type, d),
                    lane % SLMK_ROWS };
}

/* Cosines and sines of minus the distance, behind each other in out. */
static void turn_back(const slmi_rope *rope, uint32_t distance, float *out)
{
    for (uint32_t i = 0; i < rope->n_pairs; i++) {
        const double angle = (double)distance * rope->frequency[i];
        out[i] = (float)slmk_cos(angle);
        out[rope->n_pairs + i] = -(float)slmk_sin(angle);
    }
}

/* Moves the next tokens of the present slot. */
static void move_some(slm_session *session, slmi_sequence *sequence)
{
    slmi_move *move = &sequence->move;
    const slmi_plan *plan = &session->model->plan;
    const slmi_slot *slot = &plan->slots[move->slot];
    const uint32_t type = session->config.kv_type;
    const uint32_t d = slot->head_width;
    float *key = session->kv_row;
    float *angles = key + d;
    const slmi_rope *rope = slmi_plan_key_rope(plan, move->slot);
    if (rope != NULL) {
        turn_back(rope, move->n_removed, angles);
    }
    const uint32_t fitting = slmi_max_u32(NUMBERS_AT_ONCE / (slot->n_heads * d), 1);
    const uint32_t at_once = slmi_min_u32(TOKENS_AT_ONCE, fitting);
    const uint32_t end = move->n_done + slmi_min_u32(move->n_moved - move->n_done, at_once);
    for (; move->n_done < end; move->n_done++) {
        const uint32_t to = move->first + move->n_done;
        const uint32_t from = to + move->n_removed;
        for (uint32_t h = 0; h < slot->n_heads; h++) {
            const place old = find_place(session, sequence, move->slot, h, from);
            const place new = find_place(session, sequence, move->slot, h, to);
            slmk_kv_load_key(type, d, old.panel, old.lane, key);
            if (rope != NULL) {
                session->config.kernels->rope(key, angles, angles + rope->n_pairs, 1, d, rope->n_pairs,
                                              rope->halves);
            }
            session->config.kernels->store_key(key, d, type, new.lane, new.panel);
            memmove(new.row, old.row, slmk_kv_row_bytes(type, d));
        }
    }
    if (move->n_done == move->n_moved) {
        move->n_done = move->n_hidden;
        move->slot++;
    }
}

uint32_t slmi_move_end(const slmi_sequence *sequence)
{
    return sequence->move.active ? sequence->move.first + sequence->move.n_moved : sequence->n_computed;
}

static void arrive(slm_session *session, slmi_sequence *sequence)
{
    sequence->n_computed = slmi_move_end(sequence);
    slmi_move_abandon(session, sequence);
    slmi_pages_drop(session, sequence, slmk_pages_of(sequence->n_tokens));
    slmi_pages_hide(session, sequence, sequence->n_computed - 1);
    if (sequence->generation.active && sequence->n_computed == sequence->n_tokens) {
        sequence->n_computed--; /* the generation needs the logits of the last token */
    }
}

int slmi_moves_run(slm_session *session, uint64_t deadline)
{
    int owes_work = 1;
    for (uint32_t i = 0; session->n_moving > 0 && i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        while (sequence->move.active) { /* never of one that was removed */
            if (!owes_work && deadline != 0 &&
                session->exec.clock(session->exec.clock_ctx) >= deadline) {
                return 0;
            }
            owes_work = 0;
            move_some(session, sequence);
            if (sequence->move.slot == session->model->plan.n_slots) {
                arrive(session, sequence);
            }
        }
    }
    return 1;
}
