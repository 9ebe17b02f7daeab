/* SPDX-License-Identifier: MIT */
/* Times the matrix products of every level and type on one thread. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "slm/base.h"

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
static double time_problem(const slmk_table *table, const problem *p)
{
    double best = 1e9;
    uint32_t repeats = 1;
    for (int run = 0; run < 6;) {
        double start = seconds();
        for (uint32_t i = 0; i < repeats; i++) {
            table->matmul[p->type](p->panels, p->n_panels, p->k, p->act, p->act_stride,
                                   p->n_tokens, p->out, 16 * p->n_panels);
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
    double one = time_problem(table, &p);
    p.n_panels = 4;
    p.n_tokens = 256;
    double many = time_problem(table, &p);
    printf("%-8s %-6s k=%4u   1 token %6.1f GB/s   256 tokens %6.1f GOP/s\n", table->name,
           slmk_types[type].name, k, 1e-9 * (double)(max_panels * panel_size) / one,
           1e-9 * 2 * 16 * 4 * 256 * k / many);
    check_free(p.panels);
    check_free(p.act);
    check_free(p.out);
}

static void bench_level(const slmk_table *ref, const slmk_table *table)
{
    (void)ref;
    for (int type = 0; type < SLMK_N_TYPES; type++) {
        static const uint32_t widths[] = { 576, 1536, 2048 };
        for (int i = 0; i < 3; i++) {
            if (widths[i] % slmk_types[type].block == 0) {
                bench_type(table, type, widths[i]);
            }
        }
    }
}

void bench_kernels(void)
{
    check_levels(bench_level);
}
