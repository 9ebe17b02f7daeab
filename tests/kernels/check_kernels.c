/* SPDX-License-Identifier: MIT */
/* Compares every kernel of every level with the scalar one, bit for bit; --bench [LEVEL] times them. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/levels.h"
#include "kernels/math.h"
#include "slm/base.h"

/* The row of activations t, act_stride bytes apart, as blocks or floats; mode 1: extreme values. */
static void fill_activations(int type, uint32_t k, uint32_t mode, void *row)
{
    if (slmk_types[type].is_float) {
        check_floats(row, k);
        return;
    }
    float *x = malloc(k * sizeof *x);
    assert_non_null(x);
    check_floats(x, k);
    for (uint32_t i = 0; mode == 1 && i < k; i++) {
        x[i] = check_below(2) || i < 64 ? 127.0f : -127.0f;
    }
    slmk_table_get(SLM_CPU_SCALAR)->quantize(x, k, row);
    if (mode == 2) {
        ((slmk_block_a *)row)->scale = NAN;
    }
    free(x);
}

static void compare_matmul(const slmk_table *ref, const slmk_table *table, int type, uint32_t k,
                           uint32_t n_panels, uint32_t n_tokens, uint32_t mode)
{
    static const uint32_t fills[] = { 0x80, 0xff, 0x00, 0x7f };
    const size_t panel_size = slmk_panel_size(type, k);
    const size_t row_bytes =
        slmk_types[type].is_float ? k * sizeof(float) : k / SLMK_BLOCK * sizeof(slmk_block_a);
    const size_t act_stride = row_bytes + 4 * check_below(5);
    const size_t out_stride = 16 * n_panels + check_below(3);
    const size_t n_out = n_tokens * out_stride - (out_stride - 16 * n_panels);
    uint8_t *panels = check_alloc(n_panels * panel_size, 8 * check_below(8));
    char *act = check_alloc(n_tokens * act_stride, 4 * check_below(16));
    float *expected = check_alloc(n_out * sizeof(float), 0);
    float *got = check_alloc(n_out * sizeof(float), 4 * check_below(16));
    for (uint32_t p = 0; p < n_panels; p++) {
        uint32_t fill = mode == 1 ? fills[check_below(4)] : 256;
        check_panel(type, k, 1 + check_below(16), fill, panels + p * panel_size);
    }
    for (uint32_t t = 0; t < n_tokens; t++) {
        fill_activations(type, k, mode, act + t * act_stride);
    }
    memset(expected, 0x5a, n_out * sizeof(float));
    memset(got, 0x5a, n_out * sizeof(float));
    ref->matmul[type](panels, n_panels, k, act, act_stride, n_tokens, expected, out_stride);
    table->matmul[type](panels, n_panels, k, act, act_stride, n_tokens, got, out_stride);
    char what[80];
    snprintf(what, sizeof what, "%s %s k=%u panels=%u tokens=%u", table->name,
             slmk_types[type].name, k, n_panels, n_tokens);
    check_same(expected, got, n_out, what);
    check_free(panels);
    check_free(act);
    check_free(expected);
    check_free(got);
}

static void matmul_level(const slmk_table *ref, const slmk_table *table)
{
    for (int type = 0; type < SLMK_N_TYPES; type++) {
        const uint32_t unit = slmk_types[type].is_float ? 1 : slmk_types[type].block;
        for (uint32_t n_tokens = 1; n_tokens <= 35; n_tokens += n_tokens < 17 ? 1 : 9) {
            for (uint32_t mode = 0; mode < 3; mode++) {
                uint32_t k = unit * (1 + check_below(unit == 1 ? 100 : unit == 32 ? 9 : 3));
                compare_matmul(ref, table, type, k, 1 + check_below(5), n_tokens, mode);
            }
        }
    }
}

void test_matmul(void **state)
{
    (void)state;
    check_levels(matmul_level);
}

static void quantize_level(const slmk_table *ref, const slmk_table *table)
{
    static const float special[] = { 0,        -0.0f,     INFINITY, -INFINITY, NAN, FLT_MAX,
                                     -FLT_MAX, 0x1p-149f, 0x1p-100f, 0x1.fffffep-101f, 1 };
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t n_blocks = 1 + check_below(4);
        float *x = check_alloc(n_blocks * 32 * sizeof *x, 4 * check_below(16));
        slmk_block_a *expected = check_alloc(n_blocks * sizeof *expected, 0);
        slmk_block_a *got = check_alloc(n_blocks * sizeof *got, 4 * check_below(16));
        float scale = ldexpf(1, (int)check_below(250) - 125);
        for (uint32_t j = 0; j < 32 * n_blocks; j++) {
            x[j] = check_float() * scale;
            if (i % 5 == 1) { /* many ties */
                x[j] = (float)((int)check_below(255) - 127) * 0.5f;
            } else if (i % 5 == 2 && check_below(40) == 0) {
                x[j] = special[check_below(sizeof special / sizeof *special)];
            }
        }
        ref->quantize(x, 32 * n_blocks, expected);
        table->quantize(x, 32 * n_blocks, got);
        assert_memory_equal(expected, got, n_blocks * sizeof *expected);
        check_free(x);
        check_free(expected);
        check_free(got);
    }
}

void test_quantize(void **state)
{
    (void)state;
    slmk_block_a a[2];
    float x[64] = { 127, -127, 0.5f, 1.5f, 2.5f };
    x[40] = -INFINITY;
    slmk_table_get(SLM_CPU_SCALAR)->quantize(x, 64, a);
    const int8_t first[6] = { 127, -127, 0, 2, 2, 0 };
    assert_memory_equal(a[0].q, first, sizeof first);
    assert_true(a[0].scale == 1 && a[0].neg_sum_128 == -4 * 128 && a[0].neg_sum_half[1] == 0);
    assert_int_equal(slmk_bits_from_float(a[1].scale), 0x7fc00000);
    assert_int_equal(a[1].neg_sum_128, 0);
    check_levels(quantize_level);
}

typedef struct row_data {
    uint32_t n;
    float *x, *y, *expected, *got;
} row_data;

static void compare_row(const slmk_table *ref, const slmk_table *table, const row_data *r)
{
    const uint32_t n = r->n;
    ref->rms_norm(r->x, r->y, 1e-5f, n, r->expected);
    table->rms_norm(r->x, r->y, 1e-5f, n, r->got);
    check_same(r->expected, r->got, n, "rms_norm");
    ref->add(r->x, r->y, n, r->expected);
    table->add(r->x, r->y, n, r->got);
    check_same(r->expected, r->got, n, "add");
    ref->silu_mul(r->x, r->y, n, r->expected);
    table->silu_mul(r->x, r->y, n, r->got);
    check_same(r->expected, r->got, n, "silu_mul");

    float max[2];
    int finite[2] = { ref->max_finite(r->x, n, &max[0]), table->max_finite(r->x, n, &max[1]) };
    assert_int_equal(finite[0], finite[1]);
    assert_true(max[0] == max[1]);
    float sum[2] = { ref->exp_sum(r->x, n, max[0], r->expected),
                     table->exp_sum(r->x, n, max[0], r->got) };
    check_same(&sum[0], &sum[1], 1, "exp_sum");
    check_same(r->expected, r->got, n, "exp_sum elements");
    sum[1] = table->exp_sum(r->x, n, max[0], NULL);
    check_same(&sum[0], &sum[1], 1, "exp_sum without output");

    ref->add(r->x, r->y, n, r->expected); /* in place */
    memcpy(r->got, r->x, n * sizeof(float));
    table->add(r->got, r->y, n, r->got);
    check_same(r->expected, r->got, n, "add in place");
}

static void vectors_level(const slmk_table *ref, const slmk_table *table)
{
    for (uint32_t i = 0; i < 1200; i++) {
        row_data r = { .n = 1 + check_below(i % 10 ? 80 : 2000) };
        const size_t bytes = r.n * sizeof(float);
        r.x = check_alloc(bytes, 4 * check_below(16));
        r.y = check_alloc(bytes, 4 * check_below(16));
        r.expected = check_alloc(bytes, 0);
        r.got = check_alloc(bytes, 4 * check_below(16));
        check_floats(r.x, r.n);
        check_floats(r.y, r.n);
        for (uint32_t j = 0; j < r.n && i % 3 == 1; j++) { /* the whole range of exp */
            r.x[j] *= 100;
        }
        if (i % 4 == 3) {
            static const float special[] = { INFINITY, -INFINITY, NAN, 0x1p-149f, -0.0f };
            r.x[check_below(r.n)] = special[check_below(5)];
        }
        compare_row(ref, table, &r);
        check_free(r.x);
        check_free(r.y);
        check_free(r.expected);
        check_free(r.got);
    }
}

void test_vectors(void **state)
{
    (void)state;
    check_levels(vectors_level);
}

static void rope_level(const slmk_table *ref, const slmk_table *table)
{
    for (uint32_t i = 0; i < 500; i++) {
        const uint32_t n_pairs = 1 + check_below(70);
        const uint32_t d = 2 * n_pairs + check_below(5);
        const uint32_t n_heads = 1 + check_below(4);
        const size_t bytes = n_heads * d * sizeof(float);
        float *expected = check_alloc(bytes, 4 * check_below(16));
        float *got = check_alloc(bytes, 4 * check_below(16));
        float *cos = check_alloc(n_pairs * sizeof(float), 4 * check_below(16));
        float *sin = check_alloc(n_pairs * sizeof(float), 4 * check_below(16));
        check_floats(expected, n_heads * d);
        check_floats(cos, n_pairs);
        check_floats(sin, n_pairs);
        memcpy(got, expected, bytes);
        ref->rope(expected, cos, sin, n_heads, d, n_pairs, i % 2);
        table->rope(got, cos, sin, n_heads, d, n_pairs, i % 2);
        check_same(expected, got, n_heads * d, "rope");
        check_free(expected);
        check_free(got);
        check_free(cos);
        check_free(sin);
    }
}

void test_rope(void **state)
{
    (void)state;
    check_levels(rope_level);
}

void test_levels(void **state)
{
    (void)state;
    const uint32_t best = slmk_cpu_best();
    assert_int_equal(slmk_table_get(SLM_CPU_BEST)->level, best);
    assert_string_equal(slmk_table_get(SLM_CPU_BEST)->name, slmk_cpu_name(best));
    assert_non_null(slmk_table_get(SLM_CPU_SCALAR));
    assert_null(slmk_table_get(99));
    assert_string_equal(slmk_cpu_name(99), "unknown");
    assert_false(slmk_cpu_has(99));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench_kernels(argc > 2 ? argv[2] : NULL);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),   cmocka_unit_test(test_halves),
        cmocka_unit_test(test_fmaf),     cmocka_unit_test(test_expf),
        cmocka_unit_test(test_doubles),  cmocka_unit_test(test_doubles_are_the_same),
        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_panels_version),
        cmocka_unit_test(test_matmul),   cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_vectors),  cmocka_unit_test(test_rope),
        cmocka_unit_test(test_store),    cmocka_unit_test(test_attend),
        cmocka_unit_test(test_kv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
