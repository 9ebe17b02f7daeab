/* SPDX-License-Identifier: MIT */
/* Attention over cache pages: page by page from the left, all query heads of a kv head together. */
#include <math.h>
#include <string.h>

#include "kernels/kv.h"
#include "base/bytes.h"
#include "plan/ops/ops.h"

/* Query rows of a tile: tokens times query heads of one kv head. The more keys they see, the fewer they are,
 * so that a tile stays at about 50 us. */
#define MOST_QUERY_ROWS 64
#define LEAST_QUERY_ROWS 4
#define TILE_PRODUCTS (768u << 10) /* rows times keys times head width */
#define TILE_PRODUCTS_SCALAR (64u << 10)

enum { TOKENS }; /* exec->shape: tokens of a tile */

/* G: query heads that share a kv head. */
static uint32_t heads_per_group(const slmi_plan *plan, const slmi_exec_op *op)
{
    return op->n_heads / plan->slots[op->slot].n_heads;
}

/* Tokens of a tile of n_rows query rows at most. */
static uint32_t tokens_of_rows(const slmi_plan *plan, const slmi_exec_op *op, uint32_t n_rows)
{
    const uint32_t tokens = n_rows / heads_per_group(plan, op);
    return tokens == 0 ? 1 : tokens;
}

/* Most keys that a token of the batch sees. */
static uint32_t most_keys(const slmi_batch *batch)
{
    uint32_t most = 0;
    for (uint32_t r = 0; r < batch->n_runs; r++) {
        const slmi_run *run = &batch->runs[r];
        const uint32_t seen = run->window != 0 ? run->window + run->sink_pages * SLMK_PAGE : UINT32_MAX;
        const uint32_t keys = slmi_min_u32(run->position + run->n_rows, seen);
        most = slmi_max_u32(most, keys);
    }
    return most;
}

uint32_t slmi_attend_prepare(slmi_exec *exec, const slmi_exec_op *op)
{
    const slmi_plan *plan = exec->plan->plan;
    const uint64_t keys_times_width =
        (uint64_t)most_keys(&exec->batch) * plan->slots[op->slot].head_width;
    const uint64_t products =
        exec->kernels->level == SLM_CPU_SCALAR ? TILE_PRODUCTS_SCALAR : TILE_PRODUCTS;
    const uint64_t fitting = products / keys_times_width;
    const uint32_t n_rows = fitting > MOST_QUERY_ROWS    ? MOST_QUERY_ROWS
                            : fitting < LEAST_QUERY_ROWS ? LEAST_QUERY_ROWS
                                                         : (uint32_t)fitting;
    const uint32_t tokens = tokens_of_rows(plan, op, n_rows);
    uint32_t tiles = 0;
    exec->shape[TOKENS] = tokens;
    for (uint32_t r = 0; r < exec->batch.n_runs; r++) {
        exec->batch.run_tiles[r] = tiles;
        tiles += (exec->batch.runs[r].n_rows + tokens - 1) / tokens * plan->slots[op->slot].n_heads;
    }
    exec->batch.run_tiles[exec->batch.n_runs] = tiles;
    return tiles;
}

/* Private scratch of a tile, R rows of queries: q [R][d], out [R][d], max, sum and n_keys [R]. */
typedef struct tile_memory {
    float *q, *out, *max, *sum;
    uint32_t *n_keys;
} tile_memory;

static tile_memory divide(uint8_t *scratch, uint32_t n_rows, uint32_t d)
{
    tile_memory m;
    m.q = (float *)(void *)scratch;
    m.out = m.q + (size_t)n_rows * d;
    m.max = m.out + (size_t)n_rows * d;
    m.sum = m.max + n_rows;
    m.n_keys = (uint32_t *)(void *)(m.sum + n_rows);
    return m;
}

size_t slmi_attend_scratch(const slmi_exec_plan *plan, const slmi_exec_op *op)
{
    const uint32_t rows = tokens_of_rows(plan->plan, op, MOST_QUERY_ROWS) *
                          heads_per_group(plan->plan, op);
    return (size_t)rows * (2 * plan->plan->slots[op->slot].head_width + 3) * sizeof(float);
}

/* Keys of a page that the token at a position sees, from the first on. */
static uint32_t n_visible(const slmi_run *run, uint32_t page, uint32_t position)
{
    const uint32_t before = page * SLMK_PAGE;
    const uint32_t first = slmi_window_page(run->window, run->sink_pages, position);
    if (position < before || (page >= run->sink_pages && page < first)) {
        return 0;
    }
    return slmi_min_u32(SLMK_PAGE, position + 1 - before); /* a token sees itself */
}

/* Walks the pages that the last token sees; earlier tokens see less of the last ones. */
static void attend_pages(const slmi_exec *exec, const slmi_exec_op *op, slmk_attend *job,
                         uint32_t *visible, const slmi_run *run, uint32_t kv_head,
                         uint32_t position)
{
    const uint32_t group = heads_per_group(exec->plan->plan, op);
    const uint32_t last = position + job->n_rows / group - 1;
    for (uint32_t page = 0; page <= last / SLMK_PAGE; page++) {
        if (page == run->sink_pages) { /* what the first token does not see any more, none does */
            page = slmi_window_page(run->window, run->sink_pages, position);
        }
        job->k = slmi_cache_keys(exec->plan, run->pages[page], op->slot, kv_head);
        job->v = slmi_cache_values(exec->plan, run->pages[page], op->slot, kv_head);
        for (uint32_t i = 0; i < job->n_rows; i++) {
            visible[i] = n_visible(run, page, position + i / group);
        }
        exec->kernels->attend(job);
    }
}

static void finish_row(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row, uint32_t column,
                       float *group_out, uint32_t width)
{
    if (op->writes_float) {
        memcpy(slmi_exec_float(exec, op->out, row) + column, group_out, width * sizeof(float));
    }
    if (op->writes_rounded) {
        exec->kernels->quantize(group_out, width,
                                slmi_exec_rounded(exec, op->out, row) + column / SLMK_BLOCK);
    }
}

void slmi_attend_run(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile, uint8_t *scratch)
{
    const slmi_plan *plan = exec->plan->plan;
    const slmi_slot *slot = &plan->slots[op->slot];
    const uint32_t d = slot->head_width;
    const uint32_t group = heads_per_group(plan, op);
    uint32_t r = 0;
    while (tile >= exec->batch.run_tiles[r + 1]) {
        r++;
    }
    const slmi_run *run = &exec->batch.runs[r];
    tile -= exec->batch.run_tiles[r];
    const uint32_t kv_head = tile % slot->n_heads;
    const uint32_t first = tile / slot->n_heads * exec->shape[TOKENS];
    const uint32_t n_tokens = slmi_min_u32(exec->shape[TOKENS], run->n_rows - first);
    const uint32_t width = group * d;
    const tile_memory m = divide(scratch, n_tokens * group, d);
    for (uint32_t t = 0; t < n_tokens; t++) {
        memcpy(m.q + (size_t)t * width,
               slmi_exec_float(exec, op->in[0], run->row + first + t) + kv_head * width,
               width * sizeof(float));
    }
    memset(m.out, 0, (size_t)n_tokens * width * sizeof(float));
    for (uint32_t i = 0; i < n_tokens * group; i++) {
        m.max[i] = -INFINITY;
        m.sum[i] = 0.0f;
    }
    slmk_attend job = { .q = m.q, .q_stride = d, .n_rows = n_tokens * group, .d = d,
                        .kv_type = exec->plan->kv_type, .scale = op->number, .n_keys = m.n_keys,
                        .max = m.max, .sum = m.sum, .out = m.out, .out_stride = d };
    attend_pages(exec, op, &job, m.n_keys, run, kv_head, run->position + first);
    for (uint32_t i = 0; i < n_tokens * group; i++) {
        const float inverse = 1.0f / m.sum[i];
        for (uint32_t c = 0; c < d; c++) {
            m.out[(size_t)i * d + c] *= inverse;
        }
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        finish_row(exec, op, run->row + first + t, kv_head * width, m.out + (size_t)t * width, width);
    }
}

/* Keys that the token at a position sees. */
static uint64_t keys_seen(const slmi_run *run, uint32_t position)
{
    const uint32_t hidden = slmi_window_page(run->window, run->sink_pages, position) - run->sink_pages;
    return position + 1 - (position / SLMK_PAGE < run->sink_pages ? 0 : (uint64_t)hidden * SLMK_PAGE);
}

/* Scores and weighted values take a product for each key and channel. The cache is read once for each run:
 * what its last token sees, and what is in front of that and only its first ones see. */
void slmi_attend_cost(const slmi_exec *exec, const slmi_exec_op *op, slmi_cost *cost)
{
    const slmi_slot *slot = &exec->plan->plan->slots[op->slot];
    const uint64_t token_bytes = slmi_cache_token_bytes(exec->plan, op->slot);
    for (uint32_t r = 0; r < exec->batch.n_runs; r++) {
        const slmi_run *run = &exec->batch.runs[r];
        for (uint32_t i = 0; i < run->n_rows; i++) {
            cost->float_products +=
                2 * keys_seen(run, run->position + i) * op->n_heads * slot->head_width;
        }
        cost->cache_bytes += (keys_seen(run, run->position) + run->n_rows - 1) * token_bytes;
    }
}
