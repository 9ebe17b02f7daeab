/* SPDX-License-Identifier: MIT */
/* Tests of the elementary functions, the half-precision conversions and the panel formats. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#if defined(_WIN32) && defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/levels.h"
#include "kernels/ref/math.h"
#include "slm/base.h"

/* Distance in units of the last place of the reference. */
static double ulps(double got, long double expected)
{
    double nearest = (double)expected;
    double unit = nextafter(fabs(nearest), INFINITY) - fabs(nearest);
    return (double)(fabsl((long double)got - expected) / unit);
}

void test_expf(void **state)
{
    (void)state;
    assert_true(slmk_expf(0) == 1 && slmk_expf(-0.0f) == 1);
    assert_true(slmk_expf(-INFINITY) == 0 && slmk_expf(-88) == 0);
    assert_true(slmk_expf(INFINITY) == INFINITY && slmk_expf(88.73f) == INFINITY);
    assert_true(isnan(slmk_expf(NAN)));
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 1021) { /* every exponent */
        float x = slmk_float_from_bits((uint32_t)bits);
        if (!(x >= SLMK_EXP_MIN && x <= SLMK_EXP_MAX)) {
            continue;
        }
        double expected = exp((double)x);
        double unit = (double)nextafterf((float)expected, INFINITY) - (double)(float)expected;
        assert_true(fabs((double)slmk_expf(x) - expected) < unit);
    }
}

static double uniform(double limit)
{
    return ((double)(check_random() >> 11) * 0x1p-52 - 1) * limit;
}

void test_doubles(void **state)
{
    (void)state;
    assert_true(slmk_exp(0) == 1 && slmk_log(1) == 0 && slmk_sin(0) == 0 && slmk_cos(0) == 1);
    assert_true(slmk_exp(-INFINITY) == 0 && slmk_exp(710) == INFINITY && isnan(slmk_exp(NAN)));
    assert_true(slmk_pow(2, 10) == 1024 && slmk_pow(9, .5) == 3);
    assert_true(slmk_pow(1e12, -0.0) == 1 && slmk_pow(1e-30, 0) == 1 && slmk_pow(1, -2) == 1);
    assert_true(isnan(slmk_sin(INFINITY)) && isnan(slmk_cos(2e6)) && isnan(slmk_sin(-2e6)));
    assert_true(isnan(slmk_sin(NAN)) && slmk_cos(-0x1p20) == slmk_cos(0x1p20));
    for (int i = 0; i < 200000; i++) {
        double x = ldexp(uniform(1), (int)check_below(41) - 20);
        if (i % 3 == 0) { /* near the multiples of pi / 2, where the reduction cancels */
            x = (double)check_below(600000) * 1.5707963267948966;
        }
#if !defined(_WIN32) /* MinGW's are the processor's fsin and fcos, which know pi to 66 bits only */
        assert_true(ulps(slmk_sin(x), sinl(x)) < 1.5);
        assert_true(ulps(slmk_cos(x), cosl(x)) < 1.5);
#endif
        x = uniform(i % 2 ? 1 : 700);
        assert_true(ulps(slmk_exp(x), expl(x)) < 1.5);
        x = i % 2 ? exp(uniform(700)) : 1 + ldexp(uniform(0.5), -(int)check_below(30));
        assert_true(ulps(slmk_log(x), logl(x)) < 1.5);
        x = exp(fabs(uniform(14)));
        double y = uniform(i % 2 ? 1 : 40);
        assert_true(ulps(slmk_pow(x, y), powl(x, y)) < 2);
    }
}

/* FNV-1a over results whose arguments need no C library: the same on every system. */
void test_doubles_are_the_same(void **state)
{
    (void)state;
    uint64_t hash = 0xcbf29ce484222325u;
    uint64_t random = 1;
    for (int i = 0; i < 100000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const double unit = (double)(random >> 11) * 0x1p-53;
        const double signed_unit = 2 * unit - 1;
        const double results[] = {
            slmk_sin(signed_unit * (double)(1 << i % 21)),
            slmk_cos((double)(random >> 44) * 1.5707963267948966),
            slmk_exp(signed_unit * 700),
            slmk_log(unit * (double)(1 << i % 30) + 0x1p-60),
            slmk_pow(1 + unit * 100000, signed_unit * 40),
        };
        for (size_t j = 0; j < sizeof(results) / sizeof(results[0]); j++) {
            uint64_t bits;
            memcpy(&bits, &results[j], sizeof(bits));
            hash = (hash ^ bits) * 0x100000001b3u;
        }
    }
    if (hash != 0x904c6fab42dfaa9du) {
        fail_msg("0x%016llxu", (unsigned long long)hash);
    }
}

/* Any exponent, or exponents that make the parts of a sum overlap. */
static float fma_operand(int close, uint32_t exponent, uint32_t range)
{
    uint32_t bits = (uint32_t)check_random();
    if (close) {
        bits = (bits & 0x807fffff) | (exponent + check_below(range)) << 23;
    }
    return slmk_float_from_bits(bits);
}

/* The C library's, or the processor's where that one rounds twice. */
#if defined(_WIN32) && defined(__x86_64__)

__attribute__((target("fma"))) static float true_fmaf(float a, float b, float c)
{
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}

#else

static float true_fmaf(float a, float b, float c)
{
    return fmaf(a, b, c);
}

#endif

void test_fmaf(void **state)
{
    (void)state;
#if defined(_WIN32) && defined(__x86_64__)
    if (!slmk_cpu_has(SLM_CPU_AVX2)) {
        skip();
    }
#endif
    for (int i = 0; i < 1000000; i++) {
        uint32_t base = check_below(100);
        float a = fma_operand(i & 1, 127 - base / 2, 30);
        float b = fma_operand(i & 1, 100 - base / 2, 30);
        float c = fma_operand(i & 1, 100 - base, 60);
        float expected = true_fmaf(a, b, c);
        float got = slmk_fmaf(a, b, c);
        check_same(&expected, &got, 1, "fmaf");
    }
}

void test_halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float x = slmk_f16_to_f32((uint16_t)h);
        int exponent = (int)(h >> 10 & 31);
        double mantissa = (double)(h & 1023) / 1024;
        double expected = exponent == 31 ? (mantissa != 0 ? NAN : INFINITY)
                                         : ldexp(exponent ? 1 + mantissa : mantissa,
                                                 exponent ? exponent - 15 : -14);
        if (isnan(expected)) {
            assert_true(isnan(x));
            assert_int_equal(slmk_f32_to_f16(x), h | 0x200);
            continue;
        }
        assert_true((double)x == (h & 0x8000 ? -expected : expected));
        assert_int_equal(slmk_f32_to_f16(x), h);
        if (exponent == 31) {
            continue;
        }
        /* The halfway point to the next number goes to the even one, its neighbours to theirs. */
        float next = (h & 0x7fff) == 0x7bff ? copysignf(65536, x)
                                            : slmk_f16_to_f32((uint16_t)(h + 1));
        float middle = x * 0.5f + next * 0.5f;
        assert_int_equal(slmk_f32_to_f16(middle), h & 1 ? h + 1 : h);
        assert_int_equal(slmk_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(slmk_f32_to_f16(nextafterf(middle, next * 2)), h + 1);
    }
    assert_int_equal(slmk_f32_to_f16(0x1p-149f), 0);
    assert_true(slmk_bf16_to_f32(0x3fc0) == 1.5f);
}

enum { PANEL_K = 512, PANEL_ROWS = 13 };
static uint64_t counted_panel[16 * PANEL_K * 4 / 8];

/* A panel of counted bytes. */
static void make_panel(int type)
{
    static uint8_t rows[PANEL_ROWS * PANEL_K * 4];
    const size_t row_size = slmk_row_size(type, PANEL_K);
    uint32_t seed = 1;
    for (size_t i = 0; i < PANEL_ROWS * row_size; i++) {
        seed = seed * 1664525 + 1013904223;
        /* Clearing bit 6 of every byte keeps all scales finite, wherever they stand. */
        rows[i] = (uint8_t)(seed >> 24 & 0xbf);
    }
    slmk_repack(type, rows, row_size, PANEL_ROWS, PANEL_K, counted_panel);
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    return hash;
}

/* FNV-1a over rows that slmk_panel_row reads from two blocks' worth of counted bytes; the values
 * were compared with gguf.quants.dequantize when the hashes were stored. */
static uint64_t hash_type(int type)
{
    static float out[PANEL_K];
    make_panel(type);
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t r = 0; r < 16; r++) {
        slmk_panel_row(type, counted_panel, r, PANEL_K, out);
        for (uint32_t i = 0; i < PANEL_K; i++) {
            if (r >= PANEL_ROWS) {
                assert_true(out[i] == 0);
                continue;
            }
            uint32_t bits = slmk_bits_from_float(out[i] + 0.0f);
            const uint8_t bytes[4] = { (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                                       (uint8_t)(bits >> 24) };
            hash = hash_bytes(hash, bytes, 4);
        }
    }
    return hash;
}

/* Files keep panels: whoever changes a layout raises SLMK_PANELS_VERSION with this hash. */
void test_panels_version(void **state)
{
    (void)state;
    uint64_t hash = 0xcbf29ce484222325u;
    for (int type = 0; type < SLMK_N_TYPES; type++) {
        make_panel(type);
        hash = hash_bytes(hash, (const uint8_t *)counted_panel, slmk_panel_size(type, PANEL_K));
    }
    assert_int_equal(SLMK_PANELS_VERSION, 1);
    if (hash != 0x1e732bfb4fcd96acu) {
        fail_msg("0x%016llxu", (unsigned long long)hash);
    }
}

void test_panels(void **state)
{
    (void)state;
    static const uint64_t golden[SLMK_N_TYPES] = {
        [SLMK_F32] = 0x19dfa58f46d71d2fu,
        [SLMK_F16] = 0xd29e934066f22296u,
        [SLMK_BF16] = 0xef719c0469ecff0cu,
        [SLMK_Q8_0] = 0xeb8554ee2c2bac01u,
        [SLMK_Q4_0] = 0x8b43fb5bb71779d6u,
        [SLMK_Q4_1] = 0x208b46748aa1635fu,
        [SLMK_Q5_0] = 0x54fbe6bc4ecbe6e8u,
        [SLMK_Q5_1] = 0x044989f9594a128cu,
        [SLMK_Q2_K] = 0x0438b5676b6621d6u,
        [SLMK_Q3_K] = 0x6ee0ced46a8df012u,
        [SLMK_Q4_K] = 0x87e591e9c88f9685u,
        [SLMK_Q5_K] = 0x1a3c41e17af841cdu,
        [SLMK_Q6_K] = 0xe1e9f5a2abb045c2u,
        [SLMK_IQ4_NL] = 0x1bf8ace5221b0f4fu,
    };
    for (int type = 0; type < SLMK_N_TYPES; type++) {
        uint64_t hash = hash_type(type);
        if (hash != golden[type]) {
            fail_msg("%s: 0x%016llxu", slmk_types[type].name, (unsigned long long)hash);
        }
    }
}
