/* SPDX-License-Identifier: MIT */
/* The canonical plan: what a model computes, as a flat list of small ops over named values. A family
 * writes it; lowering (lower.h) turns it into what runs.
 *
 * Shapes: T tokens of a step, W wanted rows of a step, D model width, H heads, K kv heads, d head width,
 * F feed-forward width, V vocabulary. A value is a matrix of T or W rows of `width` float32. */
#ifndef SLMI_PLAN_PLAN_H
#define SLMI_PLAN_PLAN_H

#include "base/alloc.h"
#include "kernels/kernels.h"

/* A matrix [rows, cols] of weights in panels of 16 rows. Read-only once loaded. */
typedef struct slmi_matrix {
    uint32_t rows;
    uint32_t cols;
    int32_t type;         /* SLMK_* */
    uint32_t n_panels;    /* ceil(rows / 16) */
    size_t panel_bytes;   /* of one panel */
    uint8_t *panels;      /* in one of the plan's blocks, or foreign and never written */
} slmi_matrix;

/* Memory of matrices. */
typedef struct slmi_weight_block {
    uint8_t *data;
    size_t size, used;
} slmi_weight_block;

/* A norm weight or a bias, always float32. */
typedef struct slmi_vector {
    uint32_t length;
    float *data;
} slmi_vector;

typedef uint16_t slmi_value;
typedef uint16_t slmi_index; /* of a matrix, vector, rope or slot of the plan */

#define SLMI_NONE UINT16_MAX

enum { SLMI_PER_TOKEN = 0, SLMI_PER_WANTED = 1 };

#define SLMI_NAME_SIZE 32

typedef struct slmi_value_info {
    char name[SLMI_NAME_SIZE]; /* "blk.3.attn_q" */
    uint32_t width;
    uint32_t extent; /* SLMI_PER_* */
} slmi_value_info;

/* How positions turn heads: pair i by position * frequency[i]. */
typedef struct slmi_rope {
    uint32_t n_pairs;
    uint32_t halves;     /* 0: pairs (2i, 2i + 1); 1: pairs (i, i + n_pairs) */
    double *frequency;   /* [n_pairs] */
} slmi_rope;

/* Memory that a sequence keeps per token: keys and values of one layer, in pages. */
typedef struct slmi_slot {
    uint32_t n_heads;    /* K */
    uint32_t head_width; /* d */
} slmi_slot;

enum {
    SLMI_OP_EMBED,     /* out[T, D] = rows of matrix at the token ids */
    SLMI_OP_RMS_NORM,  /* out = in normalised in groups of `group` elements, times vector */
    SLMI_OP_MATMUL,    /* out = in . matrix^T (+ vector); a block-type matrix reads rounded activations */
    SLMI_OP_ANGLES,    /* out[T, 2 * n_pairs] = cosines, then sines, of the tokens' positions */
    SLMI_OP_ROPE,      /* out = in with each head turned by angles in2 */
    SLMI_OP_ATTENTION, /* out = attention of in over slot, after in2 (keys), in3 (values) are stored */
    SLMI_OP_SILU_MUL,  /* out = silu(in) * in2 */
    SLMI_OP_ADD,       /* out = in + in2 */
    SLMI_OP_SELECT     /* out[W, D] = wanted rows of in[T, D] */
};

typedef struct slmi_op {
    uint32_t kind; /* SLMI_OP_* */
    slmi_value out;
    slmi_value in[3];   /* SLMI_NONE where there is none */
    slmi_index matrix;
    slmi_index vector;  /* norm weight or bias */
    slmi_index rope;
    slmi_index slot;
    uint32_t group;     /* RMS_NORM: elements of a group */
    uint32_t n_heads;   /* ROPE, ATTENTION: heads of in */
    float number;       /* RMS_NORM: epsilon; ATTENTION: factor of the scores */
} slmi_op;

typedef struct slmi_plan {
    slmi_alloc *alloc;
    slmi_op *ops;
    uint32_t n_ops, ops_capacity;
    slmi_value_info *values;
    uint32_t n_values, values_capacity;
    slmi_weight_block *blocks;
    uint32_t n_blocks, blocks_capacity;
    slmi_matrix *matrices;
    uint32_t n_matrices, matrices_capacity;
    slmi_vector *vectors;
    uint32_t n_vectors, vectors_capacity;
    slmi_rope *ropes;
    uint32_t n_ropes, ropes_capacity;
    slmi_slot *slots;
    uint32_t n_slots, slots_capacity;
    slmi_value logits; /* [W, V] */
    uint32_t n_vocab;
} slmi_plan;

void slmi_plan_init(slmi_plan *plan, slmi_alloc *alloc);

/* Frees the plan with its matrices and vectors. A zeroed plan does nothing. */
void slmi_plan_free(slmi_plan *plan);

/* Each adds one thing and returns its index through `out`; room is made, the rest is the caller's. */
slm_status slmi_plan_add_op(slmi_plan *plan, const slmi_op *op, slm_error *err);
slm_status slmi_plan_add_value(slmi_plan *plan, const char *name, uint32_t width, uint32_t extent,
                               slmi_value *out, slm_error *err);
slm_status slmi_plan_add_matrix(slmi_plan *plan, int32_t type, uint32_t rows, uint32_t cols,
                                slmi_index *out, slm_error *err);
slm_status slmi_plan_add_vector(slmi_plan *plan, uint32_t length, slmi_index *out, slm_error *err);
slm_status slmi_plan_add_rope(slmi_plan *plan, uint32_t n_pairs, uint32_t halves, slmi_index *out,
                              slm_error *err);
slm_status slmi_plan_add_slot(slmi_plan *plan, uint32_t n_heads, uint32_t head_width, slmi_index *out,
                              slm_error *err);

/* A matrix whose panels lie elsewhere, and longer than the plan. */
slm_status slmi_plan_add_foreign_matrix(slmi_plan *plan, int32_t type, uint32_t rows, uint32_t cols,
                                        const uint8_t *panels, slmi_index *out, slm_error *err);

/* Takes one block for matrices to come; the next that does not fit gets a block of its own. */
slm_status slmi_plan_reserve(slmi_plan *plan, uint64_t size, slm_error *err);

/* What a matrix takes of a block. */
uint64_t slmi_plan_matrix_size(int32_t type, uint32_t rows, uint32_t cols);

/* How the keys of a slot are turned to their positions; NULL = they are not. */
const slmi_rope *slmi_plan_key_rope(const slmi_plan *plan, slmi_index slot);

/* Bytes of all matrices' panels. */
uint64_t slmi_plan_weight_bytes(const slmi_plan *plan);

#endif
