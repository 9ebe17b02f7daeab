/* SPDX-License-Identifier: MIT */
/* The executable plan: a canonical plan lowered for one processor level and one set of largest extents.
 *
 * Lowering places the rounding of activations, joins ops into stages that follow each other, and
 * lays out memory. It changes no bit: what is rounded, and where, follows from the canonical plan. */
#ifndef SLMI_PLAN_LOWER_H
#define SLMI_PLAN_LOWER_H

#include "kernels/kv.h"
#include "plan/plan.h"

/* Executable ops. Row ops compute one row from the same row of their inputs, so that any chain of them
 * runs as one stage. */
enum {
    SLMI_EXEC_EMBED,
    SLMI_EXEC_RMS_NORM,
    SLMI_EXEC_ANGLES,
    SLMI_EXEC_ROPE,
    SLMI_EXEC_SILU_MUL,
    SLMI_EXEC_ADD,
    SLMI_EXEC_SELECT,
    SLMI_EXEC_ROUND,   /* the rounded form of in */
    SLMI_EXEC_STORE,   /* keys in[1] and values in[2] into the slot */
    SLMI_EXEC_LAST_ROW_OP = SLMI_EXEC_STORE,
    SLMI_EXEC_MATMUL,  /* up to three matrices with one input */
    SLMI_EXEC_ATTEND
};

#define SLMI_MATMUL_PARTS 3

typedef struct slmi_exec_op {
    uint32_t kind;
    uint32_t extent;    /* SLMI_PER_* */
    slmi_value out;     /* of parts[0] for MATMUL */
    slmi_value in[3];
    slmi_index vector, rope, slot;
    uint32_t group, n_heads;
    float number;
    /* MATMUL */
    uint32_t n_parts;
    struct {
        slmi_index matrix, vector;
        slmi_value out;
    } parts[SLMI_MATMUL_PARTS];
    uint32_t reads_rounded; /* in[0] is read in its rounded form */
    uint32_t gated;         /* `out` = silu(part 0) * part 1; the parts have no out of their own */
    uint32_t writes_float;  /* gated MATMUL: `out` is wanted as float */
    uint32_t writes_rounded; /* gated MATMUL, ATTEND: `out` is wanted rounded */
} slmi_exec_op;

/* Ops [first, first + n_ops) that run as one stage: several row ops, or one other op. */
typedef struct slmi_stage {
    uint32_t first;
    uint32_t n_ops;
    uint32_t extent;
} slmi_stage;

/* Where a form of a value lies in scratch memory while it is needed. */
typedef struct slmi_place {
    size_t offset;
    size_t stride;     /* bytes from row to row; 0 = this form does not exist */
    uint32_t first;    /* stage that writes it */
    uint32_t last;     /* last stage that reads it */
} slmi_place;

typedef struct slmi_lower_options {
    uint32_t max_tokens;  /* T */
    uint32_t max_wanted;  /* W */
    uint32_t kv_type;     /* SLMK_KV_* */
    uint32_t fuse;        /* 0: one op a stage and no joined ops; for tests of equal bits */
    const uint8_t *watched; /* [n_values] 1: keep until the step's end; NULL = none but the logits */
} slmi_lower_options;

typedef struct slmi_exec_plan {
    const slmi_plan *plan;
    slmi_alloc *alloc;
    slmi_exec_op *ops;
    uint32_t n_ops, ops_capacity;
    slmi_stage *stages;
    uint32_t n_stages, stages_capacity;
    slmi_place *floats;   /* [n_values] */
    slmi_place *rounded;  /* [n_values] */
    size_t scratch_bytes; /* for all values */
    size_t worker_bytes;  /* private scratch of each worker */
    size_t *slot_offset;  /* [n_slots] inside a cache page */
    size_t page_bytes;
    uint32_t max_tokens, max_wanted, kv_type;
} slmi_exec_plan;

slm_status slmi_lower(const slmi_plan *plan, const slmi_lower_options *options, slmi_alloc *alloc,
                      slmi_exec_plan *out, slm_error *err);

/* Frees it; a zeroed one does nothing. */
void slmi_exec_plan_free(slmi_exec_plan *exec);

/* Where the keys of one head of a slot lie in a cache page, in panels of 16 tokens, and its values, in rows:
 * a page holds, slot by slot, the keys of all heads, then their values. */
static inline uint8_t *slmi_cache_keys(const slmi_exec_plan *plan, uint8_t *page, uint32_t slot,
                                       uint32_t head)
{
    return page + plan->slot_offset[slot] +
           head * slmk_kv_head_bytes(plan->kv_type, plan->plan->slots[slot].head_width);
}

static inline uint8_t *slmi_cache_values(const slmi_exec_plan *plan, uint8_t *page, uint32_t slot,
                                         uint32_t head)
{
    return slmi_cache_keys(plan, page, slot, plan->plan->slots[slot].n_heads + head);
}

/* Keys and values of one token in a slot. */
static inline size_t slmi_cache_token_bytes(const slmi_exec_plan *plan, uint32_t slot)
{
    const slmi_slot *s = &plan->plan->slots[slot];
    return 2 * s->n_heads * slmk_kv_head_bytes(plan->kv_type, s->head_width) / SLMK_PAGE;
}

/* layout.c: gives every form of every value a place, and cache slots their offsets. */
void slmi_layout_places(slmi_exec_plan *exec, const uint8_t *watched);
void slmi_layout_cache(slmi_exec_plan *exec);

#endif
