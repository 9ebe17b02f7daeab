/* SPDX-License-Identifier: MIT */
/* Random data, guarded buffers and comparison of bits for the kernel tests. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/levels.h"
#include "kernels/math.h"
#include "slm/base.h"

#define GUARD 192
#define GUARD_BYTE 0xc5

static uint64_t random_state = 0x9e3779b97f4a7c15u;

uint64_t check_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

uint32_t check_below(uint32_t n)
{
    return (uint32_t)(check_random() >> 33) % n;
}

float check_float(void)
{
    float x = (float)(int32_t)(check_random() >> 32) * 0x1p-31f;
    switch (check_below(32)) {
    case 0: return x * 0x1p20f;
    case 1: return x * 0x1p-20f;
    case 2: return 0;
    default: return x;
    }
}

void check_floats(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = check_float();
    }
}

/* The header in the first guard tells where the block ends. */
typedef struct header {
    void *block;
    size_t size;
} header;

void *check_alloc(size_t size, size_t shift)
{
    unsigned char *block = malloc(size + 2 * GUARD + 128);
    assert_non_null(block);
    uintptr_t start = ((uintptr_t)block + GUARD + 63) / 64 * 64 + shift;
    unsigned char *p = block + (start - (uintptr_t)block);
    memset(p - GUARD, GUARD_BYTE, size + 2 * GUARD);
    header h = { block, size };
    memcpy(p - GUARD, &h, sizeof h);
    return p;
}

void check_free(void *pointer)
{
    unsigned char *p = pointer;
    header h;
    memcpy(&h, p - GUARD, sizeof h);
    for (size_t i = sizeof h; i < GUARD; i++) {
        assert_int_equal(p[(ptrdiff_t)i - GUARD], GUARD_BYTE);
    }
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(p[h.size + i], GUARD_BYTE);
    }
    free(h.block);
}

void check_same(const float *expected, const float *got, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (slmk_bits_from_float(expected[i]) != slmk_bits_from_float(got[i]) &&
            !(isnan(expected[i]) && isnan(got[i]))) {
            fail_msg("%s: [%zu] is %a, not %a", what, i, (double)got[i], (double)expected[i]);
        }
    }
}

static void set_half(uint8_t *bytes)
{
    uint16_t half = slmk_f32_to_f16(check_float() * 0.125f) & 0xbfff;
    bytes[0] = (uint8_t)half;
    bytes[1] = (uint8_t)(half >> 8);
}

/* Byte positions of the scales in a source block; -1: none. */
static const int scale_at[SLMK_N_TYPES][2] = {
    [SLMK_F32] = { -1, -1 },  [SLMK_F16] = { 0, -1 },   [SLMK_BF16] = { 0, -1 },
    [SLMK_Q8_0] = { 0, -1 },  [SLMK_Q4_0] = { 0, -1 },  [SLMK_Q4_1] = { 0, 2 },
    [SLMK_Q5_0] = { 0, -1 },  [SLMK_Q5_1] = { 0, 2 },   [SLMK_Q2_K] = { 80, 82 },
    [SLMK_Q3_K] = { 108, -1 }, [SLMK_Q4_K] = { 0, 2 },  [SLMK_Q5_K] = { 0, 2 },
    [SLMK_Q6_K] = { 208, -1 }, [SLMK_IQ4_NL] = { 0, -1 },
};

void check_panel(int type, uint32_t k, uint32_t n_rows, uint32_t fill, void *panel)
{
    const size_t row_size = slmk_row_size(type, k);
    const size_t block_size = slmk_types[type].source_bytes;
    uint8_t *rows = malloc(16 * row_size);
    assert_non_null(rows);
    for (size_t at = 0; at < 16 * row_size; at++) {
        rows[at] = fill < 256 ? (uint8_t)fill : (uint8_t)check_below(256);
    }
    for (size_t at = 0; at < 16 * row_size; at += block_size) {
        for (int i = 0; i < 2; i++) {
            if (scale_at[type][i] >= 0) {
                set_half(rows + at + scale_at[type][i]);
            }
        }
        if (type == SLMK_F32) {
            float x = check_float();
            memcpy(rows + at, &x, sizeof x);
        }
    }
    slmk_repack(type, rows, row_size, n_rows, k, panel);
    free(rows);
}

void check_levels(void (*test)(const slmk_table *ref, const slmk_table *table))
{
    static const uint32_t levels[] = { SLM_CPU_AVX2, SLM_CPU_AVX_VNNI, SLM_CPU_AVX512,
                                       SLM_CPU_NEON, SLM_CPU_NEON_DOT, SLM_CPU_NEON_I8MM };
    const slmk_table *ref = slmk_table_get(SLM_CPU_SCALAR);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const slmk_table *table = slmk_table_get(levels[i]);
        if (table) {
            test(ref, table);
        }
    }
#ifdef CHECK_EVEX
    if (slmk_cpu_has(SLM_CPU_AVX512) && !slmk_cpu_has(SLM_CPU_AVX_VNNI)) {
        test(ref, check_table_evex());
    }
#endif
}
