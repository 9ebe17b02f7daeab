/* SPDX-License-Identifier: MIT */
/* Matrix products of one input with up to three matrices; gate and up may join into silu(gate) * up. */
#include <string.h>

#include "base/bytes.h"
#include "plan/ops/ops.h"

/* A tile is at most about 50 us: so many multiply-adds, or with few rows so many bytes of weights. */
#define TILE_PRODUCTS (4u << 20)
#define TILE_PRODUCTS_FLOAT (1u << 20)
#define TILE_PRODUCTS_SCALAR (64u << 10)
#define TILE_BYTES (384u << 10)

/* Activations of a tile stay in the second-level cache. */
#define TILE_ACTIVATION_BYTES (384u << 10)
#define TILE_ROWS 256

/* Rows up to which a product waits for weights rather than for its multiplications, and bytes that are
 * fetched between two looks at whether there is something to do. */
#define FETCHED_ROWS 4
#define FETCHED_AT_ONCE 1024

/* Rows that kernels take together. */
#define ROW_GROUP 8

/* Tiles per matrix at least, so that a few workers share it evenly. */
#define LEAST_TILES 8

/* Tiles per matrix at most, about: a ticket counts them in 24 bits. */
#define MOST_TILES (4u << 20)

/* Panels of a tile at least. */
#define LEAST_PANELS 2

enum { ROWS, ROW_TILES, PANELS, N_ROWS }; /* exec->shape: rows and panels of a tile, ... */

static const slmi_matrix *part_matrix(const slmi_exec_plan *plan, const slmi_exec_op *op, uint32_t part)
{
    return &plan->plan->matrices[op->parts[part].matrix];
}

/* Multiply-adds of a tile. `level` is the processor's, or SLM_CPU_BEST for the most that any has. */
static uint64_t tile_products(const slmi_matrix *matrix, uint32_t level)
{
    return level == SLM_CPU_SCALAR              ? TILE_PRODUCTS_SCALAR
           : slmk_types[matrix->type].is_float ? TILE_PRODUCTS_FLOAT
                                               : TILE_PRODUCTS;
}

static uint32_t rows_of_tile(const slmi_matrix *matrix, uint32_t n_rows, uint32_t level)
{
    const uint32_t number = slmk_types[matrix->type].is_float ? 4 : 2;
    const uint32_t fitting = TILE_ACTIVATION_BYTES / (matrix->cols * number) / ROW_GROUP * ROW_GROUP;
    const uint64_t by_products = tile_products(matrix, level) / (LEAST_PANELS * SLMK_ROWS * matrix->cols);
    uint32_t rows = slmi_min_u32(TILE_ROWS, fitting < ROW_GROUP ? ROW_GROUP : fitting);
    if (by_products < rows) {
        rows = by_products == 0 ? 1 : (uint32_t)by_products;
    }
    const uint64_t least = (uint64_t)n_rows * matrix->n_panels / LEAST_PANELS / MOST_TILES + 1;
    rows = slmi_max_u32(rows, (uint32_t)least);
    if (rows >= n_rows) {
        return n_rows;
    }
    /* Even shares, in whole groups of what kernels take together. */
    const uint32_t n_tiles = (n_rows + rows - 1) / rows;
    const uint32_t share = (n_rows + n_tiles - 1) / n_tiles;
    return rows < ROW_GROUP ? rows : (share + ROW_GROUP - 1) / ROW_GROUP * ROW_GROUP;
}

/* An even number, so that 32-blocks of a joined result do not straddle tiles. */
static uint32_t panels_of_tile(const slmi_matrix *matrix, uint32_t rows, uint32_t level)
{
    const uint64_t products = (uint64_t)SLMK_ROWS * matrix->cols * rows;
    const uint64_t by_products = tile_products(matrix, level) / products;
    const uint64_t by_bytes = TILE_BYTES / matrix->panel_bytes;
    const uint64_t by_share = (matrix->n_panels + LEAST_TILES - 1) / LEAST_TILES;
    uint64_t panels = by_products < by_bytes ? by_products : by_bytes;
    panels = panels < by_share ? panels : by_share;
    return panels < LEAST_PANELS ? LEAST_PANELS : (uint32_t)panels & ~1u;
}

static uint32_t panel_tiles(const slmi_matrix *matrix, uint32_t panels)
{
    return (matrix->n_panels + panels - 1) / panels;
}

/* Panels of all parts have one tile size: they share the input, so their columns. */
uint32_t slmi_matmul_prepare(slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows)
{
    const slmi_matrix *first = part_matrix(exec->plan, op, 0);
    const uint32_t level = exec->kernels->level;
    const uint32_t rows = rows_of_tile(first, n_rows, level);
    exec->shape[ROWS] = rows;
    exec->shape[ROW_TILES] = (n_rows + rows - 1) / rows;
    exec->shape[PANELS] = panels_of_tile(first, rows, level);
    exec->shape[N_ROWS] = n_rows;
    uint32_t tiles = 0;
    const uint32_t n_cut = op->gated ? 1 : op->n_parts;
    for (uint32_t part = 0; part < n_cut; part++) {
        tiles += panel_tiles(part_matrix(exec->plan, op, part), exec->shape[PANELS]);
    }
    return tiles * exec->shape[ROW_TILES];
}

/* One part of the op: panels [panel, panel + n_panels) times rows [row, row + n_rows). */
typedef struct tile_work {
    uint32_t part, panel, n_panels, row, n_rows;
} tile_work;

static void multiply(const slmi_exec *exec, const slmi_exec_op *op, const tile_work *w, float *out,
                     size_t out_stride)
{
    const slmi_matrix *matrix = part_matrix(exec->plan, op, w->part);
    const slmi_place *place =
        op->reads_rounded ? &exec->plan->rounded[op->in[0]] : &exec->plan->floats[op->in[0]];
    const uint8_t *in = exec->scratch + place->offset + w->row * place->stride;
    exec->kernels->matmul[matrix->type](matrix->panels + w->panel * matrix->panel_bytes, w->n_panels,
                                        matrix->cols, in, place->stride, w->n_rows, out, out_stride);
    if (op->parts[w->part].vector == SLMI_NONE) {
        return;
    }
    const uint32_t first = w->panel * SLMK_ROWS;
    const uint32_t width = slmi_min_u32(w->n_panels * SLMK_ROWS, matrix->rows - first);
    const float *bias = exec->plan->plan->vectors[op->parts[w->part].vector].data + first;
    for (uint32_t t = 0; t < w->n_rows; t++) {
        exec->kernels->add(out + t * out_stride, bias, width, out + t * out_stride);
    }
}

/* Gate and up of the same rows go to private scratch, their joined result to its place. */
static void multiply_gated(const slmi_exec *exec, const slmi_exec_op *op, tile_work *w,
                           uint8_t *scratch)
{
    const uint32_t stride = w->n_panels * SLMK_ROWS;
    float *gate = (float *)(void *)scratch;
    float *up = gate + (size_t)w->n_rows * stride;
    multiply(exec, op, w, gate, stride);
    w->part = 1;
    multiply(exec, op, w, up, stride);
    const uint32_t first = w->panel * SLMK_ROWS;
    const uint32_t width = slmi_min_u32(stride, exec->plan->plan->values[op->out].width - first);
    exec->kernels->silu_mul(gate, up, w->n_rows * stride, gate);
    for (uint32_t t = 0; t < w->n_rows; t++, gate += stride) {
        if (op->writes_float) {
            memcpy(slmi_exec_float(exec, op->out, w->row + t) + first, gate, width * sizeof(float));
        }
        if (op->writes_rounded) {
            exec->kernels->quantize(gate, width, slmi_exec_rounded(exec, op->out, w->row + t) +
                                                     first / SLMK_BLOCK);
        }
    }
}

void slmi_matmul_run(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile, uint8_t *scratch)
{
    const uint32_t panels = exec->shape[PANELS];
    uint32_t panel_tile = tile / exec->shape[ROW_TILES];
    tile_work w = { .row = tile % exec->shape[ROW_TILES] * exec->shape[ROWS] };
    w.n_rows = slmi_min_u32(exec->shape[ROWS], exec->shape[N_ROWS] - w.row);
    if (!op->gated) {
        while (panel_tile >= panel_tiles(part_matrix(exec->plan, op, w.part), panels)) {
            panel_tile -= panel_tiles(part_matrix(exec->plan, op, w.part), panels);
            w.part++;
        }
    }
    w.panel = panel_tile * panels;
    w.n_panels = slmi_min_u32(panels, part_matrix(exec->plan, op, w.part)->n_panels - w.panel);
    if (op->gated) {
        multiply_gated(exec, op, &w, scratch);
        return;
    }
    const slmi_value out = op->parts[w.part].out;
    multiply(exec, op, &w, slmi_exec_float(exec, out, w.row) + w.panel * SLMK_ROWS,
             exec->plan->floats[out].stride / sizeof(float));
}

size_t slmi_matmul_scratch(const slmi_exec_plan *plan, const slmi_exec_op *op)
{
    if (!op->gated) {
        return 0;
    }
    /* The largest product of rows and panels over all numbers of rows. */
    const slmi_matrix *matrix = part_matrix(plan, op, 0);
    size_t most = 0;
    for (uint32_t n = 1; n <= plan->max_tokens; n++) {
        const uint32_t rows = rows_of_tile(matrix, n, SLM_CPU_BEST);
        const size_t numbers = (size_t)rows * panels_of_tile(matrix, rows, SLM_CPU_BEST) * SLMK_ROWS;
        most = numbers > most ? numbers : most;
    }
    return 2 * most * sizeof(float);
}

void slmi_matmul_cost(const slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows, slmi_cost *cost)
{
    for (uint32_t part = 0; part < op->n_parts; part++) {
        const slmi_matrix *matrix = part_matrix(exec->plan, op, part);
        const uint64_t products = (uint64_t)matrix->rows * matrix->cols * n_rows;
        *(op->reads_rounded ? &cost->integer_products : &cost->float_products) += products;
        cost->weight_bytes += matrix->n_panels * (uint64_t)matrix->panel_bytes;
    }
}

/* The second tile: the first one is taken by whoever opens the stage. */
void slmi_matmul_fetch(const slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows,
                       int (*is_open)(const void *ctx), const void *ctx)
{
    const slmi_matrix *matrix = part_matrix(exec->plan, op, 0);
    if (n_rows > FETCHED_ROWS) {
        return;
    }
    const uint32_t panels = panels_of_tile(matrix, n_rows, exec->kernels->level);
    const size_t bytes = panels * matrix->panel_bytes;
    const uint8_t *data = matrix->panels + bytes;
    const size_t size = slmi_min_u32(2 * panels, matrix->n_panels) * matrix->panel_bytes;
    for (size_t at = bytes; at < size && !is_open(ctx); at += FETCHED_AT_ONCE) {
        for (size_t line = 0; line < FETCHED_AT_ONCE; line += SLMI_CACHE_LINE) {
            __builtin_prefetch(data + at - bytes + line, 0, 2);
        }
    }
}
