/* SPDX-License-Identifier: MIT */
/* Row ops: everything that computes one row from the same row of its inputs. */
#include <string.h>

#include "kernels/kv.h"
#include "kernels/math.h"
#include "plan/ops/ops.h"

/* Rows of a tile: about 10 us of work at a width of 1,000. */
#define TILE_ROWS 8

/* out[D] = matrix row of the token */
static void embed(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const slmi_matrix *matrix = &exec->plan->plan->matrices[op->parts[0].matrix];
    const uint32_t token = (uint32_t)exec->batch.tokens[row];
    slmk_panel_row(matrix->type, matrix->panels + token / SLMK_ROWS * matrix->panel_bytes,
                   token % SLMK_ROWS, matrix->cols, slmi_exec_float(exec, op->out, row));
}

static void rms_norm(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const uint32_t width = exec->plan->plan->values[op->out].width;
    const float *weight = exec->plan->plan->vectors[op->vector].data;
    const float *in = slmi_exec_float(exec, op->in[0], row);
    float *out = slmi_exec_float(exec, op->out, row);
    for (uint32_t i = 0; i < width; i += op->group) {
        exec->kernels->rms_norm(in + i, weight, op->number, op->group, out + i);
    }
}

/* out[2 * n_pairs] = cosines, then sines */
static void angles(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const slmi_rope *rope = &exec->plan->plan->ropes[op->rope];
    const double position = exec->batch.positions[row];
    float *out = slmi_exec_float(exec, op->out, row);
    for (uint32_t i = 0; i < rope->n_pairs; i++) {
        const double angle = position * rope->frequency[i];
        out[i] = (float)slmk_cos(angle);
        out[rope->n_pairs + i] = (float)slmk_sin(angle);
    }
}

static void turn(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const slmi_plan *plan = exec->plan->plan;
    const slmi_rope *rope = &plan->ropes[op->rope];
    const uint32_t width = plan->values[op->out].width;
    const float *cosines = slmi_exec_float(exec, op->in[1], row);
    float *out = slmi_exec_float(exec, op->out, row);
    memcpy(out, slmi_exec_float(exec, op->in[0], row), width * sizeof(float));
    exec->kernels->rope(out, cosines, cosines + rope->n_pairs, op->n_heads, width / op->n_heads,
                        rope->n_pairs, rope->halves);
}

static void store(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const slmi_slot *slot = &exec->plan->plan->slots[op->slot];
    const uint32_t kv_type = exec->plan->kv_type;
    const uint32_t d = slot->head_width;
    const uint32_t lane = exec->batch.positions[row] % SLMK_PAGE;
    uint8_t *page = exec->batch.row_pages[row];
    const float *key = slmi_exec_float(exec, op->in[1], row);
    const float *value = slmi_exec_float(exec, op->in[2], row);
    for (uint32_t h = 0; h < slot->n_heads; h++) {
        uint8_t *panels = slmi_cache_keys(exec->plan, page, op->slot, h);
        uint8_t *rows = slmi_cache_values(exec->plan, page, op->slot, h);
        exec->kernels->store_key(key + h * d, d, kv_type, lane % SLMK_ROWS,
                                 panels + lane / SLMK_ROWS * slmk_kv_panel_bytes(kv_type, d));
        exec->kernels->store_value(value + h * d, d, kv_type,
                                   rows + lane * slmk_kv_row_bytes(kv_type, d));
    }
}

static void run_row(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    const slmi_plan *plan = exec->plan->plan;
    const slmk_table *kernels = exec->kernels;
    switch (op->kind) {
    case SLMI_EXEC_EMBED:
        embed(exec, op, row);
        break;
    case SLMI_EXEC_RMS_NORM:
        rms_norm(exec, op, row);
        break;
    case SLMI_EXEC_ANGLES:
        angles(exec, op, row);
        break;
    case SLMI_EXEC_ROPE:
        turn(exec, op, row);
        break;
    case SLMI_EXEC_SILU_MUL:
        kernels->silu_mul(slmi_exec_float(exec, op->in[0], row), slmi_exec_float(exec, op->in[1], row),
                          plan->values[op->out].width, slmi_exec_float(exec, op->out, row));
        break;
    case SLMI_EXEC_ADD:
        kernels->add(slmi_exec_float(exec, op->in[0], row), slmi_exec_float(exec, op->in[1], row),
                     plan->values[op->out].width, slmi_exec_float(exec, op->out, row));
        break;
    case SLMI_EXEC_SELECT:
        memcpy(slmi_exec_float(exec, op->out, row),
               slmi_exec_float(exec, op->in[0], exec->batch.wanted[row]),
               plan->values[op->out].width * sizeof(float));
        break;
    case SLMI_EXEC_ROUND:
        kernels->quantize(slmi_exec_float(exec, op->in[0], row), plan->values[op->in[0]].width,
                          slmi_exec_rounded(exec, op->in[0], row));
        break;
    default: /* SLMI_EXEC_STORE */
        store(exec, op, row);
        break;
    }
}

uint32_t slmi_rows_prepare(slmi_exec *exec, uint32_t n_rows)
{
    (void)exec;
    return (n_rows + TILE_ROWS - 1) / TILE_ROWS;
}

void slmi_rows_run(const slmi_exec *exec, const slmi_stage *stage, uint32_t tile, uint32_t n_rows)
{
    const uint32_t begin = tile * TILE_ROWS;
    const uint32_t end = begin + TILE_ROWS < n_rows ? begin + TILE_ROWS : n_rows;
    for (uint32_t row = begin; row < end; row++) {
        for (uint32_t i = 0; i < stage->n_ops; i++) {
            run_row(exec, &exec->plan->ops[stage->first + i], row);
        }
    }
}

/* What one row costs. A norm squares and scales, a rotation multiplies by cosine and sine, a gate by its
 * sigmoid and by up. */
static void add_row_cost(const slmi_exec_plan *plan, const slmi_exec_op *op, slmi_cost *cost)
{
    const uint64_t width = op->out == SLMI_NONE ? 0 : plan->plan->values[op->out].width;
    if (op->kind == SLMI_EXEC_RMS_NORM || op->kind == SLMI_EXEC_ROPE || op->kind == SLMI_EXEC_SILU_MUL) {
        cost->float_products += 2 * width;
    } else if (op->kind == SLMI_EXEC_EMBED) {
        cost->weight_bytes += plan->plan->matrices[op->parts[0].matrix].panel_bytes / SLMK_ROWS;
    } else if (op->kind == SLMI_EXEC_STORE) {
        cost->cache_bytes += slmi_cache_token_bytes(plan, op->slot);
    }
}

void slmi_rows_cost(const slmi_exec *exec, const slmi_stage *stage, uint32_t n_rows, slmi_cost *cost)
{
    slmi_cost row = { 0 };
    for (uint32_t i = 0; i < stage->n_ops; i++) {
        add_row_cost(exec->plan, &exec->plan->ops[stage->first + i], &row);
    }
    cost->float_products += row.float_products * n_rows;
    cost->weight_bytes += row.weight_bytes * n_rows;
    cost->cache_bytes += row.cache_bytes * n_rows;
}
