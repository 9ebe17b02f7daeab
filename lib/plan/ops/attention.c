/* SPDX-License-Identifier: MIT */
/* Attention over cache pages: page by page from the left, all query heads of a kv head together.
 *
 * A tile takes the tokens of its rows through some pages; what they have gathered so far lies in the rows of
 * the result: the weighted sum of the values and, behind it, the maxima and the sums of all heads. Passes
 * follow each other until all pages are seen. */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "kernels/kv.h"
#include "plan/ops/ops.h"

/* Query rows of a tile: tokens times query heads of one kv head. They read keys and values together, so there
 * should not be few of them. With more keys a tile has fewer rows, or there are several passes, so that it
 * stays at about 50 us. */
#define MOST_QUERY_ROWS 64
#define LEAST_QUERY_ROWS 24     /* of a tile that takes all pages in one pass */
#define QUERY_ROWS_IN_PASSES 48
#define TOKEN_GROUP 4           /* tokens that kernels take together */
#define TILE_PRODUCTS (768u << 10) /* rows times keys times head width */
#define TILE_PRODUCTS_SCALAR (64u << 10)

enum { TOKENS, PAGES, PASS, N_PASSES }; /* exec->shape: tokens of a tile, pages of a pass, ... */

/* G: query heads that share a kv head. */
static uint32_t heads_per_group(const slmi_plan *plan, const slmi_exec_op *op)
{
    return op->n_heads / plan->slots[op->slot].n_heads;
}

/* Tokens of a tile of n_rows query rows at most: in whole groups of what kernels take together. */
static uint32_t tokens_of_rows(const slmi_plan *plan, const slmi_exec_op *op, uint32_t n_rows)
{
    const uint32_t tokens = n_rows / heads_per_group(plan, op);
    return tokens == 0 ? 1 : tokens < TOKEN_GROUP ? tokens : tokens / TOKEN_GROUP * TOKEN_GROUP;
}

/* Pages that tokens [first, first + n) of a run see: the sinks, and those from where the first token's window
 * begins. */
typedef struct visible_pages {
    uint32_t n_sinks, n_skipped, n;
} visible_pages;

static visible_pages find_pages(const slmi_run *run, uint32_t first, uint32_t n)
{
    const uint32_t end = slmk_pages_of(run->position + first + n);
    const uint32_t begin = slmi_window_page(run->window, run->sink_pages, run->position + first);
    visible_pages pages = { run->sink_pages, 0, end };
    if (end > begin) {
        pages.n_skipped = begin - run->sink_pages;
        pages.n = end - pages.n_skipped;
    }
    return pages;
}

/* Most pages that `tokens` neighbouring tokens of the batch see, and most tokens that neighbours are. */
static uint32_t most_pages(const slmi_batch *batch, uint32_t tokens, uint32_t *most_tokens)
{
    uint32_t most = 0;
    *most_tokens = 0;
    for (uint32_t r = 0; r < batch->n_runs; r++) {
        const slmi_run *run = &batch->runs[r];
        for (uint32_t first = 0; first < run->n_rows; first += tokens) {
            const uint32_t n = slmi_min_u32(tokens, run->n_rows - first);
            most = slmi_max_u32(most, find_pages(run, first, n).n);
            *most_tokens = slmi_max_u32(*most_tokens, n);
        }
    }
    return most;
}

/* Tiles of a pass. */
static uint32_t count_tiles(slmi_exec *exec, uint32_t n_kv_heads)
{
    uint32_t tiles = 0;
    for (uint32_t r = 0; r < exec->batch.n_runs; r++) {
        const uint32_t tokens = exec->shape[TOKENS];
        exec->batch.run_tiles[r] = tiles;
        tiles += (exec->batch.runs[r].n_rows + tokens - 1) / tokens * n_kv_heads;
    }
    exec->batch.run_tiles[exec->batch.n_runs] = tiles;
    return tiles;
}

uint32_t slmi_attend_prepare(slmi_exec *exec, const slmi_exec_op *op)
{
    const slmi_plan *plan = exec->plan->plan;
    const slmi_slot *slot = &plan->slots[op->slot];
    const uint64_t row_page = (uint64_t)SLMK_PAGE * slot->head_width; /* products of a row and a page */
    const uint64_t products =
        exec->kernels->level == SLM_CPU_SCALAR ? TILE_PRODUCTS_SCALAR : TILE_PRODUCTS;
    uint32_t n_tokens;
    const uint32_t all_pages = most_pages(&exec->batch, 1, &n_tokens);
    const uint64_t fitting = products / (row_page * all_pages);
    const uint32_t n_rows = fitting > MOST_QUERY_ROWS    ? MOST_QUERY_ROWS
                            : fitting < LEAST_QUERY_ROWS ? QUERY_ROWS_IN_PASSES
                                                         : (uint32_t)fitting;
    exec->shape[TOKENS] = tokens_of_rows(plan, op, n_rows);
    const uint32_t n_pages = most_pages(&exec->batch, exec->shape[TOKENS], &n_tokens);
    const uint64_t pages = products / (row_page * n_tokens * heads_per_group(plan, op));
    exec->shape[PAGES] = pages == 0 ? 1 : pages > n_pages ? n_pages : (uint32_t)pages;
    exec->shape[PASS] = 0;
    exec->shape[N_PASSES] = (n_pages + exec->shape[PAGES] - 1) / exec->shape[PAGES];
    return count_tiles(exec, slot->n_heads);
}

uint32_t slmi_attend_again(slmi_exec *exec)
{
    return ++exec->shape[PASS] < exec->shape[N_PASSES] ? exec->batch.run_tiles[exec->batch.n_runs] : 0;
}

/* What a tile works on: tokens [first, first + n_tokens) of a run, for the G query heads of a kv head. */
typedef struct tile_work {
    const slmi_run *run;
    uint32_t first, n_tokens;
    uint32_t kv_head, group;
    uint32_t d;
    visible_pages pages;
} tile_work;

static tile_work find_tile(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile)
{
    const slmi_slot *slot = &exec->plan->plan->slots[op->slot];
    uint32_t r = 0;
    while (tile >= exec->batch.run_tiles[r + 1]) {
        r++;
    }
    const slmi_run *run = &exec->batch.runs[r];
    const uint32_t parts = (run->n_rows + exec->shape[TOKENS] - 1) / exec->shape[TOKENS];
    tile -= exec->batch.run_tiles[r];
    tile_work w = { .run = run, .d = slot->head_width, .group = heads_per_group(exec->plan->plan, op) };
    w.kv_head = tile / parts; /* neighbours read the same keys */
    w.first = tile % parts * exec->shape[TOKENS];
    w.n_tokens = slmi_min_u32(exec->shape[TOKENS], run->n_rows - w.first);
    w.pages = find_pages(run, w.first, w.n_tokens);
    return w;
}

/* Private scratch: maxima and sums of the tile's rows, [n_calls][n_rows], and the keys that each row sees of
 * a page. A call of the kernel takes the tokens of one head, or the heads of one token if there are more. */
typedef struct tile_memory {
    float *max, *sum;
    uint32_t *n_keys;
    uint32_t by_token; /* rows of a call are heads */
    uint32_t n_calls, n_rows;
} tile_memory;

static tile_memory divide(uint8_t *scratch, const tile_work *w)
{
    tile_memory m;
    const uint32_t n = w->n_tokens * w->group;
    m.max = (float *)(void *)scratch;
    m.sum = m.max + n;
    m.n_keys = (uint32_t *)(void *)(m.sum + n);
    m.by_token = w->n_tokens < w->group;
    m.n_calls = m.by_token ? w->n_tokens : w->group;
    m.n_rows = m.by_token ? w->group : w->n_tokens;
    return m;
}

size_t slmi_attend_scratch(const slmi_exec_plan *plan, const slmi_exec_op *op)
{
    const uint32_t rows = tokens_of_rows(plan->plan, op, MOST_QUERY_ROWS) *
                          heads_per_group(plan->plan, op);
    return (size_t)rows * 3 * sizeof(float);
}

/* Where a row of the result keeps the maximum of head 0 and, n_heads further, its sum. */
static float *row_state(const slmi_exec *exec, const slmi_exec_op *op, uint32_t row)
{
    return slmi_exec_float(exec, op->out, row) +
           slmi_round_up(exec->plan->plan->values[op->out].width, SLMK_ROWS);
}

/* Copies maxima and sums from the rows of the result to scratch, or back. */
static void move_state(const slmi_exec *exec, const slmi_exec_op *op, const tile_work *w,
                       const tile_memory *m, int back)
{
    for (uint32_t call = 0; call < m->n_calls; call++) {
        for (uint32_t i = 0; i < m->n_rows; i++) {
            const uint32_t token = m->by_token ? call : i, head = m->by_token ? i : call;
            float *state = row_state(exec, op, w->run->row + w->first + token) +
                           w->kv_head * w->group + head;
            float *max = &m->max[call * m->n_rows + i], *sum = &m->sum[call * m->n_rows + i];
            if (back) {
                state[0] = *max;
                state[op->n_heads] = *sum;
            } else {
                *max = state[0];
                *sum = state[op->n_heads];
            }
        }
    }
}

static void begin_rows(const slmi_exec *exec, const slmi_exec_op *op, const tile_work *w,
                       const tile_memory *m)
{
    const uint32_t width = w->group * w->d;
    for (uint32_t i = 0; i < w->n_tokens * w->group; i++) {
        m->max[i] = -INFINITY;
        m->sum[i] = 0.0f;
    }
    for (uint32_t t = 0; t < w->n_tokens; t++) {
        memset(slmi_exec_float(exec, op->out, w->run->row + w->first + t) + w->kv_head * width, 0,
               width * sizeof(float));
    }
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

static void attend_page(const slmi_exec *exec, const slmi_exec_op *op, const tile_work *w,
                        const tile_memory *m, uint32_t page)
{
    const slmi_place *in = &exec->plan->floats[op->in[0]], *out = &exec->plan->floats[op->out];
    const uint32_t row = w->run->row + w->first, position = w->run->position + w->first;
    slmk_attend job = {
        .k = slmi_cache_keys(exec->plan, w->run->pages[page], op->slot, w->kv_head),
        .v = slmi_cache_values(exec->plan, w->run->pages[page], op->slot, w->kv_head),
        .n_rows = m->n_rows, .d = w->d, .kv_type = exec->plan->kv_type, .scale = op->number,
        .n_keys = m->n_keys,
        .q_stride = m->by_token ? w->d : in->stride / sizeof(float),
        .out_stride = m->by_token ? w->d : out->stride / sizeof(float),
    };
    for (uint32_t call = 0; call < m->n_calls; call++) {
        const uint32_t token = m->by_token ? call : 0, head = m->by_token ? 0 : call;
        const uint32_t column = (w->kv_head * w->group + head) * w->d;
        for (uint32_t i = 0; i < m->n_rows && (call == 0 || m->by_token); i++) {
            m->n_keys[i] = n_visible(w->run, page, position + (m->by_token ? token : i));
        }
        job.q = slmi_exec_float(exec, op->in[0], row + token) + column;
        job.out = slmi_exec_float(exec, op->out, row + token) + column;
        job.max = m->max + call * m->n_rows;
        job.sum = m->sum + call * m->n_rows;
        exec->kernels->attend(&job);
    }
}

static void finish_rows(const slmi_exec *exec, const slmi_exec_op *op, const tile_work *w,
                        const tile_memory *m)
{
    const uint32_t width = w->group * w->d, column = w->kv_head * width;
    for (uint32_t t = 0; t < w->n_tokens; t++) {
        const uint32_t row = w->run->row + w->first + t;
        float *out = slmi_exec_float(exec, op->out, row) + column;
        for (uint32_t g = 0; g < w->group; g++) {
            const float inverse =
                1.0f / m->sum[m->by_token ? t * m->n_rows + g : g * m->n_rows + t];
            for (uint32_t c = 0; c < w->d; c++) {
                out[g * w->d + c] *= inverse;
            }
        }
        if (op->writes_rounded) {
            exec->kernels->quantize(out, width,
                                    slmi_exec_rounded(exec, op->out, row) + column / SLMK_BLOCK);
        }
    }
}

void slmi_attend_run(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile, uint8_t *scratch)
{
    const tile_work w = find_tile(exec, op, tile);
    const tile_memory m = divide(scratch, &w);
    const uint32_t begin = exec->shape[PASS] * exec->shape[PAGES];
    const uint32_t end = slmi_min_u32(begin + exec->shape[PAGES], w.pages.n);
    if (begin >= end) {
        return;
    }
    if (begin == 0) {
        begin_rows(exec, op, &w, &m);
    } else {
        move_state(exec, op, &w, &m, 0);
    }
    for (uint32_t i = begin; i < end; i++) {
        attend_page(exec, op, &w, &m, i < w.pages.n_sinks ? i : i + w.pages.n_skipped);
    }
    if (end == w.pages.n) {
        finish_rows(exec, op, &w, &m);
    } else {
        move_state(exec, op, &w, &m, 1);
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
