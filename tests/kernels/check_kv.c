/* SPDX-License-Identifier: MIT */
/* The key and value cache: rounding and layout of each number type, attention over pages of it. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/kv.h"
#include "slm/base.h"

static const char *const kv_names[SLMK_N_KV_TYPES] = { "f16", "f32", "q8", "q4" };

/* Head widths of real models, and every tail that a block can have. */
static uint32_t random_width(uint32_t i)
{
    static const uint32_t widths[] = { 64, 128, 80, 96, 48, 24, 8, 1 };
    return i % 2 ? 1 + check_below(150) : widths[check_below(8)];
}

/* Numbers of one of several kinds, each of which tries a rule of the rounding. */
static void fill_numbers(float *x, uint32_t n, uint32_t kind)
{
    static const float special[] = { 0,         -0.0f,    INFINITY, -INFINITY, NAN,     FLT_MAX,
                                     -FLT_MAX,  0x1p-149f, 65520.0f, -65520.0f, 8.4e6f, 0x1p-25f,
                                     -0x1p-18f, 1 };
    const float scale = ldexpf(1, (int)check_below(120) - 90);
    check_floats(x, n);
    for (uint32_t i = 0; i < n; i++) {
        if (kind == 1) { /* ties between codes, and equal magnitudes of both signs */
            x[i] = (float)((int)check_below(255) - 127) * 0.5f;
        } else if (kind == 2 && check_below(20) == 0) {
            x[i] = special[check_below(sizeof special / sizeof *special)];
        } else if (kind == 3) { /* scales that are denormal, zero or too large */
            x[i] *= scale;
        } else if (kind == 4) { /* what every type can hold */
            x[i] *= 0x1p-8f;
        }
    }
}

static void store_level(const slmk_table *ref, const slmk_table *table)
{
    for (uint32_t i = 0; i < 1600; i++) {
        const uint32_t d = random_width(i / 4);
        const uint32_t kv_type = i % 4;
        const uint32_t lane = check_below(16);
        const size_t row_bytes = slmk_kv_row_bytes(kv_type, d);
        const size_t unit = kv_type == SLMK_KV_F32 ? 4 : kv_type == SLMK_KV_F16 ? 2 : 1;
        float *x = check_alloc(d * sizeof(float), 4 * check_below(16));
        char *expected = check_alloc(16 * row_bytes, 0);
        char *got = check_alloc(16 * row_bytes, (unit == 1 ? 2 : unit) * check_below(16));
        char *row = check_alloc(row_bytes, unit * check_below(16));
        fill_numbers(x, d, check_below(4));
        memset(expected, 0x11, 16 * row_bytes);
        memset(got, 0x11, 16 * row_bytes);
        ref->store_key(x, d, kv_type, lane, expected);
        table->store_key(x, d, kv_type, lane, got);
        assert_memory_equal(expected, got, 16 * row_bytes);
        memset(row, 0x22, row_bytes);
        ref->store_value(x, d, kv_type, expected);
        table->store_value(x, d, kv_type, row);
        assert_memory_equal(expected, row, row_bytes);
        check_free(x);
        check_free(expected);
        check_free(got);
        check_free(row);
    }
}

void test_store(void **state)
{
    (void)state;
    check_levels(store_level);
}

/* Queries, running results and one page; [0] of the results is for the reference. */
typedef struct page_data {
    uint32_t n_rows, d, kv_type;
    size_t stride;
    float *q, *number;
    char *k, *v;
    uint32_t n_keys[40];
    float max[2][40], sum[2][40];
    float *out[2];
    size_t n_out;
} page_data;

static void make_page(page_data *p)
{
    const size_t bytes = slmk_kv_head_bytes(p->kv_type, p->d);
    p->stride = p->d + check_below(4);
    p->n_out = p->n_rows * p->stride - (p->stride - p->d);
    p->q = check_alloc(p->n_out * sizeof(float), 4 * check_below(16));
    p->number = check_alloc(p->d * sizeof(float), 0);
    p->k = check_alloc(bytes, 4 * check_below(16));
    p->v = check_alloc(bytes, 4 * check_below(16));
    p->out[0] = check_alloc(p->n_out * sizeof(float), 0);
    p->out[1] = check_alloc(p->n_out * sizeof(float), 4 * check_below(16));
    memset(p->out[0], 0, p->n_out * sizeof(float));
    memset(p->out[1], 0, p->n_out * sizeof(float));
    check_floats(p->q, p->n_out);
    for (uint32_t r = 0; r < p->n_rows; r++) {
        p->max[0][r] = p->max[1][r] = -INFINITY;
        p->sum[0][r] = p->sum[1][r] = 0;
    }
}

/* Fills the page with `limit` tokens; NaN where no token is. */
static void fill_page(const slmk_table *ref, page_data *p, uint32_t limit, uint32_t kind)
{
    const size_t bytes = slmk_kv_head_bytes(p->kv_type, p->d);
    memset(p->k, 0xff, bytes);
    memset(p->v, 0xff, bytes);
    for (uint32_t key = 0; key < limit; key++) {
        fill_numbers(p->number, p->d, kind);
        ref->store_key(p->number, p->d, p->kv_type, key % 16,
                       p->k + key / 16 * slmk_kv_panel_bytes(p->kv_type, p->d));
        fill_numbers(p->number, p->d, kind);
        ref->store_value(p->number, p->d, p->kv_type,
                         p->v + key * slmk_kv_row_bytes(p->kv_type, p->d));
    }
}

static void free_page(page_data *p)
{
    check_free(p->q);
    check_free(p->number);
    check_free(p->k);
    check_free(p->v);
    check_free(p->out[0]);
    check_free(p->out[1]);
}

static void attend_page(const slmk_table *table, page_data *p, int which, float scale)
{
    const slmk_attend job = { p->q, p->stride, p->k, p->v, p->n_rows, p->d, p->kv_type, scale,
                              p->n_keys, p->max[which], p->sum[which], p->out[which], p->stride };
    table->attend(&job);
}

static void compare_attend(const slmk_table *ref, const slmk_table *table, uint32_t n_rows,
                           uint32_t d, uint32_t kv_type)
{
    page_data p = { .n_rows = n_rows, .d = d, .kv_type = kv_type };
    make_page(&p);
    for (uint32_t chunk = 0; chunk < 3; chunk++) {
        const uint32_t limit = check_below(SLMK_PAGE + 1);
        fill_page(ref, &p, limit, chunk == 2 ? check_below(4) : 0);
        for (uint32_t r = 0; r < n_rows; r++) {
            p.n_keys[r] = check_below(2) ? limit : check_below(limit + 1);
        }
        attend_page(ref, &p, 0, 0.3f);
        attend_page(table, &p, 1, 0.3f);
        check_same(p.max[0], p.max[1], n_rows, kv_names[kv_type]);
        check_same(p.sum[0], p.sum[1], n_rows, kv_names[kv_type]);
        check_same(p.out[0], p.out[1], p.n_out, kv_names[kv_type]);
    }
    free_page(&p);
}

static void attend_level(const slmk_table *ref, const slmk_table *table)
{
    for (uint32_t i = 0; i < 400; i++) {
        const uint32_t n_rows = 1 + check_below(i % 7 ? 9 : 40);
        compare_attend(ref, table, n_rows, random_width(i / 4), i % 4);
    }
}

void test_attend(void **state)
{
    (void)state;
    check_levels(attend_level);
}

static void test_sizes(void)
{
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_F16, 80), 160);
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_F32, 80), 320);
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_Q8, 64), 68);
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_Q4, 64), 36);
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_Q8, 80), 86);
    assert_int_equal(slmk_kv_row_bytes(SLMK_KV_Q4, 33), 21);
    assert_int_equal(slmk_kv_panel_bytes(SLMK_KV_Q4, 1), 48);
    assert_int_equal(slmk_kv_head_bytes(SLMK_KV_Q8, 128), 64 * 136);
}

/* A value that is stored and loaded again. */
static void round_trip(uint32_t kv_type, const float *x, uint32_t d, float *out)
{
    char row[4 * 64];
    slmk_table_get(SLM_CPU_SCALAR)->store_value(x, d, kv_type, row);
    slmk_kv_load_value(kv_type, d, row, out);
}

static void test_rounding(void)
{
    const float q8[34] = { 127, -127, 0.5f, 1.5f, -2.5f, [32] = 8.4e6f, [33] = -1e30f };
    const float q8_rounded[34] = { 127, -127, 0, 2, -2, [32] = 127 * 65504.0f,
                                   [33] = -127 * 65504.0f };
    float x[64], out[64];
    round_trip(SLMK_KV_Q8, q8, 34, out);
    for (int i = 0; i < 34; i++) {
        assert_true(out[i] == q8_rounded[i]);
    }
    for (int i = 0; i < 64; i++) { /* all values of the table, with each sign of the scale */
        x[i] = (i < 32 ? 0.25f : -0.25f) * (float)slmk_iq4_nl_values[i % 16];
    }
    round_trip(SLMK_KV_Q4, x, 64, out);
    assert_memory_equal(x, out, sizeof x);
    for (uint32_t kv_type = SLMK_KV_Q8; kv_type <= SLMK_KV_Q4; kv_type++) {
        for (int i = 0; i < 64; i++) { /* one block not finite, one below what a scale can be */
            x[i] = i < 32 ? 1.0f : 0x1p-40f;
        }
        x[5] = kv_type == SLMK_KV_Q8 ? NAN : -INFINITY;
        round_trip(kv_type, x, 64, out);
        for (int i = 0; i < 64; i++) {
            assert_true(i < 32 ? isnan(out[i]) : out[i] == 0);
        }
    }
}

/* Squared error over squared numbers that are normally distributed (nearly: sums of 12 uniform ones), or,
 * with a power of 3, their cubes, which have heavy tails. */
static double squared_error(uint32_t kv_type, int power)
{
    double error = 0, all = 0;
    for (int block = 0; block < 4000; block++) {
        float x[64], out[64];
        for (int i = 0; i < 64; i++) {
            double sum = 0;
            for (int j = 0; j < 12; j++) {
                sum += (double)(check_random() >> 11) * 0x1p-53 - 0.5;
            }
            x[i] = (float)(power == 3 ? sum * sum * sum : sum);
        }
        round_trip(kv_type, x, 64, out);
        for (int i = 0; i < 64; i++) {
            error += ((double)x[i] - (double)out[i]) * ((double)x[i] - (double)out[i]);
            all += (double)x[i] * (double)x[i];
        }
    }
    return error / all;
}

static void test_errors(void)
{
    const double q8 = squared_error(SLMK_KV_Q8, 1), q8_heavy = squared_error(SLMK_KV_Q8, 3);
    const double q4 = squared_error(SLMK_KV_Q4, 1), q4_heavy = squared_error(SLMK_KV_Q4, 3);
    print_message("relative squared error: q8 %.2e, heavy tails %.2e; q4 %.2e, heavy tails %.2e\n",
                  q8, q8_heavy, q4, q4_heavy);
    assert_true(q8 < 3e-5 && q8_heavy < 1e-4);
    assert_true(q4 < 6e-3 && q4_heavy < 1e-2);
}

/* One token alone shows how attention reads it: its weight is 1, a query of one 1 picks a channel. */
static void test_loads(uint32_t kv_type, uint32_t d)
{
    page_data p = { .n_rows = 1, .d = d, .kv_type = kv_type };
    const slmk_table *ref = slmk_table_get(SLM_CPU_SCALAR);
    const uint32_t channel = check_below(d);
    make_page(&p);
    fill_page(ref, &p, 1, 4);
    memset(p.q, 0, d * sizeof(float));
    p.q[channel] = 1;
    p.n_keys[0] = 1;
    attend_page(ref, &p, 0, 1);
    slmk_kv_load_key(kv_type, d, p.k, 0, p.out[1]);
    assert_true(p.max[0][0] == p.out[1][channel]);
    slmk_kv_load_value(kv_type, d, p.v, p.out[1]);
    for (uint32_t i = 0; i < d; i++) {
        assert_true(p.out[0][i] == p.out[1][i]);
    }
    free_page(&p);
}

/* Saved lanes take n rows; restored elsewhere they read the same, and no other lane has changed. */
static void test_lanes(uint32_t kv_type, uint32_t d)
{
    const uint32_t n = 1 + check_below(16), first = check_below(17 - n);
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, d), bytes = 16 * row_bytes;
    uint8_t *panel = check_alloc(bytes, 0), *saved = check_alloc(n * row_bytes, check_below(16));
    uint8_t *other = check_alloc(bytes, 0), *again = check_alloc(n * row_bytes, check_below(16));
    float *x = check_alloc(d * sizeof(float), 0), *y = check_alloc(d * sizeof(float), 0);
    memset(panel, 0, bytes);
    memset(other, 0, bytes);
    for (uint32_t lane = 0; lane < 16; lane++) {
        check_floats(x, d);
        slmk_table_get(SLM_CPU_SCALAR)->store_key(x, d, kv_type, lane, panel);
    }
    slmk_kv_save_keys(kv_type, d, panel, first, n, saved);
    slmk_kv_restore_keys(kv_type, d, saved, first, n, other);
    for (uint32_t lane = 0; lane < 16; lane++) {
        const int is_saved = lane >= first && lane < first + n;
        slmk_kv_load_key(kv_type, d, panel, lane, x);
        slmk_kv_load_key(kv_type, d, other, lane, y);
        for (uint32_t i = 0; i < d; i++) {
            assert_true(y[i] == (is_saved ? x[i] : 0));
        }
    }
    slmk_kv_save_keys(kv_type, d, other, first, n, again);
    assert_memory_equal(saved, again, n * row_bytes);
    if (n == 16) {
        assert_memory_equal(panel, saved, bytes);
    }
    check_free(panel);
    check_free(saved);
    check_free(other);
    check_free(again);
    check_free(x);
    check_free(y);
}

void test_kv(void **state)
{
    (void)state;
    test_sizes();
    test_rounding();
    test_errors();
    for (uint32_t i = 0; i < 600; i++) {
        test_loads(i % 4, random_width(i / 4));
        test_lanes(i % 4, random_width(i / 4));
    }
}
