/* SPDX-License-Identifier: MIT */
/* Times matrix products and attention of every level and type on one thread. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/os.h"
#include "kernels/kv.h"

static double seconds(void)
{
    return 1e-9 * (double)slmi_clock_ns();
}

typedef struct problem {
    int type;
    uint32_t k, n_panels, n_tokens;
    uint8_t *panels;
    char *act;
    size_t act_stride;
    float *out;
} problem;

/* Best of several runs, each of which lasts long enough to be measured. */
static double best_time(void (*work)(const slmk_table *, const void *), const slmk_table *table,
                        const void *ctx)
{
    double best = 1e9;
    uint32_t repeats = 1;
    for (int run = 0; run < 6;) {
        double start = seconds();
        for (uint32_t i = 0; i < repeats; i++) {
            work(table, ctx);
        }
        double elapsed = seconds() - start;
        if (elapsed < 0.002) {
            repeats *= 2;
            continue;
        }
        best = elapsed / repeats < best ? elapsed / repeats : best;
        run++;
    }
    return best;
}

static void multiply(const slmk_table *table, const void *ctx)
{
    const problem *p = ctx;
    table->matmul[p->type](p->panels, p->n_panels, p->k, p->act, p->act_stride, p->n_tokens, p->out,
                           16 * p->n_panels);
}

static void bench_type(const slmk_table *table, int type, uint32_t k)
{
    problem p = { .type = type, .k = k };
    const size_t panel_size = slmk_panel_size(type, k);
    const uint32_t max_panels = (uint32_t)(3000000 / panel_size) + 1; /* beyond the first caches */
    p.act_stride =
        slmk_types[type].is_float ? k * sizeof(float) : k / SLMK_BLOCK * sizeof(slmk_block_a);
    p.panels = check_alloc(max_panels * panel_size, 0);
    p.act = check_alloc(256 * p.act_stride, 0);
    p.out = check_alloc(256 * 16 * max_panels * sizeof(float), 0);
    for (uint32_t i = 0; i < max_panels; i++) {
        check_panel(type, k, 16, 256, p.panels + i * panel_size);
    }
    float *x = malloc(k * sizeof *x);
    for (uint32_t t = 0; x && t < 256; t++) {
        check_floats(x, k);
        if (slmk_types[type].is_float) {
            check_floats((float *)(void *)(p.act + t * p.act_stride), k);
        } else {
            slmk_table_get(SLM_CPU_BEST)->quantize(x, k, (void *)(p.act + t * p.act_stride));
        }
    }
    free(x);
    p.n_panels = max_panels;
    p.n_tokens = 1;
    double one = best_time(multiply, table, &p);
    p.n_panels = 4;
    p.n_tokens = 256;
    double many = best_time(multiply, table, &p);
    printf("%-8s %-6s k=%4u   1 token %6.1f GB/s   256 tokens %6.1f GOP/s\n", table->name,
           slmk_types[type].name, k, 1e-9 * (double)(max_panels * panel_size) / one,
           1e-9 * 2 * 16 * 4 * 256 * k / many);
    check_free(p.panels);
    check_free(p.act);
    check_free(p.out);
}

#define N_PAGES 32 /* of one head: beyond the first cache for one row */
#define MAX_ROWS 64

typedef struct attention {
    slmk_attend job;
    uint8_t *keys, *values; /* N_PAGES heads each */
    const float *row;       /* [d] */
} attention;

static void attend(const slmk_table *table, const void *ctx)
{
    const attention *a = ctx;
    slmk_attend job = a->job;
    for (size_t page = 0; page < N_PAGES; page++) {
        job.k = a->keys + page * slmk_kv_head_bytes(job.kv_type, job.d);
        job.v = a->values + page * slmk_kv_head_bytes(job.kv_type, job.d);
        table->attend(&job);
    }
}

static void store(const slmk_table *table, const void *ctx)
{
    const attention *a = ctx;
    const uint32_t d = a->job.d, kv_type = a->job.kv_type;
    for (uint32_t key = 0; key < SLMK_PAGE; key++) {
        table->store_key(a->row, d, kv_type, key % 16,
                         a->keys + key / 16 * slmk_kv_panel_bytes(kv_type, d));
        table->store_value(a->row, d, kv_type, a->values + key * slmk_kv_row_bytes(kv_type, d));
    }
}

static void bench_attention(const slmk_table *table, uint32_t kv_type, uint32_t d)
{
    static const char *const names[SLMK_N_KV_TYPES] = { "f16", "f32", "q8", "q4" };
    static float q[MAX_ROWS * 128], out[MAX_ROWS * 128], max[MAX_ROWS], sum[MAX_ROWS];
    static uint32_t n_keys[MAX_ROWS];
    const size_t bytes = slmk_kv_head_bytes(kv_type, d);
    attention a = { .job = { .q = q, .q_stride = d, .d = d, .kv_type = kv_type, .scale = 0.1f,
                             .n_keys = n_keys, .max = max, .sum = sum, .out = out,
                             .out_stride = d },
                    .keys = check_alloc(N_PAGES * bytes, 0),
                    .values = check_alloc(N_PAGES * bytes, 0), .row = q };
    for (uint32_t i = 0; i < MAX_ROWS * d; i++) {
        q[i] = (float)check_below(2000) * 1e-3f - 1;
    }
    store(table, &a);
    for (size_t page = 1; page < N_PAGES; page++) {
        memcpy(a.keys + page * bytes, a.keys, bytes);
        memcpy(a.values + page * bytes, a.values, bytes);
    }
    static const uint32_t row_counts[3] = { 1, 3, MAX_ROWS };
    double ns[3];
    for (int i = 0; i < 3; i++) {
        a.job.n_rows = row_counts[i];
        memset(out, 0, sizeof out);
        for (uint32_t r = 0; r < MAX_ROWS; r++) {
            n_keys[r] = SLMK_PAGE;
            max[r] = -INFINITY;
            sum[r] = 0;
        }
        ns[i] = 1e9 * best_time(attend, table, &a) / N_PAGES / a.job.n_rows;
    }
    printf("%-8s attend %-4s d=%3u   ns a row and page: 1 row %4.0f  3 rows %4.0f  64 rows %4.0f"
           "   store %4.2f ns a number\n", table->name, names[kv_type], d, ns[0], ns[1], ns[2],
           1e9 * best_time(store, table, &a) / (2 * SLMK_PAGE * d));
    check_free(a.keys);
    check_free(a.values);
}

static const char *bench_name; /* of the only level to time, or NULL */

static void bench_level(const slmk_table *ref, const slmk_table *table)
{
    (void)ref;
    if (bench_name && strcmp(bench_name, table->name) != 0) {
        return;
    }
    for (uint32_t d = 64; d <= 128; d *= 2) {
        for (uint32_t kv_type = 0; kv_type < SLMK_N_KV_TYPES; kv_type++) {
            bench_attention(table, kv_type, d);
        }
    }
    for (int type = 0; type < SLMK_N_TYPES; type++) {
        static const uint32_t widths[] = { 576, 1536, 2048 };
        for (int i = 0; i < 3; i++) {
            if (widths[i] % slmk_types[type].block == 0) {
                bench_type(table, type, widths[i]);
            }
        }
    }
}

void bench_kernels(const char *level)
{
    bench_name = level;
    check_levels(bench_level);
}
