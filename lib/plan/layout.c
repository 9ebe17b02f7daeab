/* SPDX-License-Identifier: MIT */
/* Memory of an executable plan: places of values in scratch, offsets of slots in a cache page. */
#include "base/bytes.h"
#include "kernels/kv.h"
#include "plan/lower.h"

static void define(slmi_place *place, size_t stride, uint32_t stage)
{
    place->stride = (size_t)slmi_round_up(stride, SLMI_CACHE_LINE);
    place->first = stage;
    place->last = stage;
}

static void define_float(slmi_exec_plan *exec, slmi_value value, uint32_t stage)
{
    if (value != SLMI_NONE) {
        /* Matrix products write whole panels. */
        const uint64_t width = slmi_round_up(exec->plan->values[value].width, SLMK_ROWS);
        define(&exec->floats[value], (size_t)width * sizeof(float), stage);
    }
}

static void define_rounded(slmi_exec_plan *exec, slmi_value value, uint32_t stage)
{
    const size_t blocks = exec->plan->values[value].width / SLMK_BLOCK;
    define(&exec->rounded[value], blocks * sizeof(slmk_block_a), stage);
}

/* Notes which stage makes and which last reads every form of every value. */
static void find_lifetimes(slmi_exec_plan *exec, uint32_t stage, const slmi_exec_op *op)
{
    for (int i = 0; i < 3; i++) {
        if (op->in[i] != SLMI_NONE) {
            slmi_place *read = op->reads_rounded ? exec->rounded : exec->floats;
            read[op->in[i]].last = stage;
        }
    }
    if (op->kind == SLMI_EXEC_ROUND) {
        define_rounded(exec, op->in[0], stage);
    } else if (op->kind == SLMI_EXEC_ATTEND) {
        /* Sums on the way, with a maximum and a sum of weights for each head. */
        const uint64_t width = slmi_round_up(exec->plan->values[op->out].width, SLMK_ROWS);
        define(&exec->floats[op->out], (size_t)(width + 2 * op->n_heads) * sizeof(float), stage);
        if (op->writes_rounded) {
            define_rounded(exec, op->out, stage);
        }
    } else if (op->gated) {
        if (op->writes_float) {
            define_float(exec, op->out, stage);
        }
        if (op->writes_rounded) {
            define_rounded(exec, op->out, stage);
        }
    } else if (op->kind == SLMI_EXEC_MATMUL) {
        for (uint32_t i = 0; i < op->n_parts; i++) {
            define_float(exec, op->parts[i].out, stage);
        }
    } else {
        define_float(exec, op->out, stage);
    }
}

static int overlap_in_time(const slmi_place *a, const slmi_place *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The place that stands `index`-th: all float forms, then all rounded ones. */
static slmi_place *place_at(const slmi_exec_plan *exec, uint32_t index)
{
    const uint32_t n = exec->plan->n_values;
    return index < n ? &exec->floats[index] : &exec->rounded[index - n];
}

static size_t place_bytes(const slmi_exec_plan *exec, uint32_t index)
{
    const uint32_t n = exec->plan->n_values;
    const uint32_t extent = exec->plan->values[index < n ? index : index - n].extent;
    const uint32_t rows = extent == SLMI_PER_WANTED ? exec->max_wanted : exec->max_tokens;
    return rows * place_at(exec, index)->stride;
}

/* First fit: the lowest offset at which nothing that lives at the same time is in the way. */
static void find_offset(slmi_exec_plan *exec, uint32_t index)
{
    slmi_place *place = place_at(exec, index);
    const size_t bytes = place_bytes(exec, index);
    size_t offset = 0;
    for (uint32_t other = 0; other < index; other++) {
        const slmi_place *taken = place_at(exec, other);
        const size_t end = taken->offset + place_bytes(exec, other);
        if (taken->stride != 0 && overlap_in_time(place, taken) && offset < end &&
            taken->offset < offset + bytes) {
            offset = end;
            other = UINT32_MAX; /* begin again: ++ makes it 0 */
        }
    }
    place->offset = offset;
    if (offset + bytes > exec->scratch_bytes) {
        exec->scratch_bytes = offset + bytes;
    }
}

void slmi_layout_places(slmi_exec_plan *exec, const uint8_t *watched)
{
    for (uint32_t s = 0; s < exec->n_stages; s++) {
        const slmi_stage *stage = &exec->stages[s];
        for (uint32_t i = 0; i < stage->n_ops; i++) {
            find_lifetimes(exec, s, &exec->ops[stage->first + i]);
        }
    }
    for (uint32_t v = 0; v < exec->plan->n_values; v++) {
        if (v == exec->plan->logits || (watched != NULL && watched[v])) {
            exec->floats[v].last = exec->n_stages;
        }
    }
    for (uint32_t i = 0; i < 2 * exec->plan->n_values; i++) {
        if (place_at(exec, i)->stride != 0) {
            find_offset(exec, i);
        }
    }
}

void slmi_layout_cache(slmi_exec_plan *exec)
{
    size_t offset = 0;
    for (uint32_t s = 0; s < exec->plan->n_slots; s++) {
        const slmi_slot *slot = &exec->plan->slots[s];
        const size_t head_bytes = slmk_kv_head_bytes(exec->kv_type, slot->head_width);
        exec->slot_offset[s] = offset;
        offset += (size_t)slmi_round_up((size_t)2 * slot->n_heads * head_bytes, SLMI_CACHE_LINE);
    }
    exec->page_bytes = offset;
}
