/* SPDX-License-Identifier: MIT */
/* The canonical plan: growing lists of ops, values, weights, ropes and slots. */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* Makes room for one more element of a list and counts it. `list` points to the list's pointer, whose
 * type differs from caller to caller. */
static slm_status grow(slmi_plan *plan, void *list, uint32_t *n, uint32_t *capacity,
                       size_t element_size, slm_error *err)
{
    if (*n == *capacity) {
        SLM_FAIL_IF(*n >= SLMI_NONE / 2, SLM_ERR_LIMIT, "the model needs more than %d plan entries",
                    SLMI_NONE / 2);
        const uint32_t larger = *capacity == 0 ? 16 : *capacity * 2;
        void *data = slmi_new_array(plan->alloc, larger, element_size, SLMI_CACHE_LINE);
        if (data == NULL) {
            return slmi_alloc_fail(plan->alloc, larger * element_size, err);
        }
        void *old;
        memcpy(&old, list, sizeof(old));
        if (*n > 0) {
            memcpy(data, old, *n * element_size);
        }
        slmi_free(plan->alloc, old, *capacity * element_size, SLMI_CACHE_LINE);
        memcpy(list, &data, sizeof(data));
        *capacity = larger;
    }
    (*n)++;
    return SLM_OK;
}

void slmi_plan_init(slmi_plan *plan, slmi_alloc *alloc)
{
    memset(plan, 0, sizeof(*plan));
    plan->alloc = alloc;
    plan->logits = SLMI_NONE;
}

static size_t matrix_bytes(const slmi_matrix *matrix)
{
    return matrix->n_panels * matrix->panel_bytes;
}

void slmi_plan_free(slmi_plan *plan)
{
    slmi_alloc *alloc = plan->alloc;
    if (alloc == NULL) {
        return;
    }
    for (uint32_t i = 0; i < plan->n_blocks; i++) {
        slmi_free(alloc, plan->blocks[i].data, plan->blocks[i].size, SLMI_CACHE_LINE);
    }
    for (uint32_t i = 0; i < plan->n_vectors; i++) {
        slmi_free(alloc, plan->vectors[i].data, plan->vectors[i].length * sizeof(float),
                  SLMI_CACHE_LINE);
    }
    for (uint32_t i = 0; i < plan->n_ropes; i++) {
        slmi_free(alloc, plan->ropes[i].frequency, plan->ropes[i].n_pairs * sizeof(double),
                  SLMI_CACHE_LINE);
    }
    slmi_free(alloc, plan->ops, plan->ops_capacity * sizeof(slmi_op), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->values, plan->values_capacity * sizeof(slmi_value_info), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->blocks, plan->blocks_capacity * sizeof(slmi_weight_block), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->matrices, plan->matrices_capacity * sizeof(slmi_matrix), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->vectors, plan->vectors_capacity * sizeof(slmi_vector), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->ropes, plan->ropes_capacity * sizeof(slmi_rope), SLMI_CACHE_LINE);
    slmi_free(alloc, plan->slots, plan->slots_capacity * sizeof(slmi_slot), SLMI_CACHE_LINE);
    memset(plan, 0, sizeof(*plan));
}

slm_status slmi_plan_add_op(slmi_plan *plan, const slmi_op *op, slm_error *err)
{
    SLM_TRY(grow(plan, &plan->ops, &plan->n_ops, &plan->ops_capacity, sizeof(*op), err));
    plan->ops[plan->n_ops - 1] = *op;
    return SLM_OK;
}

slm_status slmi_plan_add_value(slmi_plan *plan, const char *name, uint32_t width, uint32_t extent,
                               slmi_value *out, slm_error *err)
{
    SLM_TRY(grow(plan, &plan->values, &plan->n_values, &plan->values_capacity,
                 sizeof(slmi_value_info), err));
    slmi_value_info *value = &plan->values[plan->n_values - 1];
    snprintf(value->name, sizeof(value->name), "%s", name);
    value->width = width;
    value->extent = extent;
    *out = (slmi_value)(plan->n_values - 1);
    return SLM_OK;
}

slm_status slmi_plan_reserve(slmi_plan *plan, uint64_t size, slm_error *err)
{
    SLM_FAIL_IF(size > SIZE_MAX, SLM_ERR_LIMIT, "the weights exceed this machine's address space");
    SLM_TRY(grow(plan, &plan->blocks, &plan->n_blocks, &plan->blocks_capacity,
                 sizeof(slmi_weight_block), err));
    slmi_weight_block *block = &plan->blocks[plan->n_blocks - 1];
    block->used = 0;
    block->size = (size_t)size;
    block->data = slmi_new_large(plan->alloc, block->size);
    return block->data == NULL ? slmi_alloc_fail(plan->alloc, block->size, err) : SLM_OK;
}

uint64_t slmi_plan_matrix_size(int32_t type, uint32_t rows, uint32_t cols)
{
    const uint64_t n_panels = ((uint64_t)rows + SLMK_ROWS - 1) / SLMK_ROWS;
    return slmi_round_up(n_panels * slmk_panel_size(type, cols), SLMI_CACHE_LINE);
}

slm_status slmi_plan_add_foreign_matrix(slmi_plan *plan, int32_t type, uint32_t rows, uint32_t cols,
                                        const uint8_t *panels, slmi_index *out, slm_error *err)
{
    SLM_TRY(grow(plan, &plan->matrices, &plan->n_matrices, &plan->matrices_capacity,
                 sizeof(slmi_matrix), err));
    slmi_matrix *matrix = &plan->matrices[plan->n_matrices - 1];
    matrix->rows = rows;
    matrix->cols = cols;
    matrix->type = type;
    matrix->n_panels = (rows + SLMK_ROWS - 1) / SLMK_ROWS;
    matrix->panel_bytes = slmk_panel_size(type, cols);
    matrix->panels = (uint8_t *)(uintptr_t)panels;
    *out = (slmi_index)(plan->n_matrices - 1);
    return SLM_OK;
}

slm_status slmi_plan_add_matrix(slmi_plan *plan, int32_t type, uint32_t rows, uint32_t cols,
                                slmi_index *out, slm_error *err)
{
    const uint64_t size = slmi_plan_matrix_size(type, rows, cols);
    slmi_weight_block *block = plan->n_blocks == 0 ? NULL : &plan->blocks[plan->n_blocks - 1];
    if (block == NULL || block->size - block->used < size) {
        SLM_TRY(slmi_plan_reserve(plan, size, err));
        block = &plan->blocks[plan->n_blocks - 1];
    }
    SLM_TRY(slmi_plan_add_foreign_matrix(plan, type, rows, cols, block->data + block->used, out, err));
    block->used += (size_t)size;
    return SLM_OK;
}

slm_status slmi_plan_add_vector(slmi_plan *plan, uint32_t length, slmi_index *out, slm_error *err)
{
    SLM_TRY(grow(plan, &plan->vectors, &plan->n_vectors, &plan->vectors_capacity,
                 sizeof(slmi_vector), err));
    slmi_vector *vector = &plan->vectors[plan->n_vectors - 1];
    vector->length = length;
    vector->data = slmi_new(plan->alloc, length * sizeof(float), SLMI_CACHE_LINE);
    if (vector->data == NULL) {
        return slmi_alloc_fail(plan->alloc, length * sizeof(float), err);
    }
    *out = (slmi_index)(plan->n_vectors - 1);
    return SLM_OK;
}

slm_status slmi_plan_add_rope(slmi_plan *plan, uint32_t n_pairs, uint32_t halves, slmi_index *out,
                              slm_error *err)
{
    SLM_TRY(grow(plan, &plan->ropes, &plan->n_ropes, &plan->ropes_capacity,
                 sizeof(slmi_rope), err));
    slmi_rope *rope = &plan->ropes[plan->n_ropes - 1];
    rope->n_pairs = n_pairs;
    rope->halves = halves;
    rope->frequency = slmi_new(plan->alloc, n_pairs * sizeof(double), SLMI_CACHE_LINE);
    if (rope->frequency == NULL) {
        return slmi_alloc_fail(plan->alloc, n_pairs * sizeof(double), err);
    }
    *out = (slmi_index)(plan->n_ropes - 1);
    return SLM_OK;
}

slm_status slmi_plan_add_slot(slmi_plan *plan, uint32_t n_heads, uint32_t head_width, slmi_index *out,
                              slm_error *err)
{
    SLM_TRY(grow(plan, &plan->slots, &plan->n_slots, &plan->slots_capacity,
                 sizeof(slmi_slot), err));
    plan->slots[plan->n_slots - 1].n_heads = n_heads;
    plan->slots[plan->n_slots - 1].head_width = head_width;
    *out = (slmi_index)(plan->n_slots - 1);
    return SLM_OK;
}

/* The op that makes a value. */
static const slmi_op *maker(const slmi_plan *plan, slmi_value value)
{
    const slmi_op *op = plan->ops;
    while (op->out != value) {
        op++;
    }
    return op;
}

const slmi_rope *slmi_plan_key_rope(const slmi_plan *plan, slmi_index slot)
{
    const slmi_op *op = plan->ops;
    while (op->kind != SLMI_OP_ATTENTION || op->slot != slot) {
        op++;
    }
    const slmi_op *keys = maker(plan, op->in[1]);
    return keys->kind == SLMI_OP_ROPE ? &plan->ropes[keys->rope] : NULL;
}

uint64_t slmi_plan_weight_bytes(const slmi_plan *plan)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->n_matrices; i++) {
        bytes += matrix_bytes(&plan->matrices[i]);
    }
    for (uint32_t i = 0; i < plan->n_vectors; i++) {
        bytes += plan->vectors[i].length * sizeof(float);
    }
    return bytes;
}
