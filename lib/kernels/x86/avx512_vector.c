/* SPDX-License-Identifier: MIT */
/* Kernels over one row (AVX-512). */
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* 16 numbers as bytes. None is beyond 127: the largest becomes 127 but for a rounding error. */
SLMK_INLINE __m128i round_half(__m512 x, __m512 inverse)
{
    return _mm512_cvtepi32_epi8(_mm512_cvt_roundps_epi32(_mm512_mul_ps(x, inverse), NEAREST));
}

/* Sums of the two halves of 32 bytes. */
SLMK_INLINE void sum_halves(__m256i q, int32_t sums[2])
{
    __m256i x = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
    x = _mm256_hadd_epi32(x, x);
    x = _mm256_hadd_epi32(x, x);
    sums[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(x));
    sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(x, 1));
}

void slmk_quantize_avx512(const float *x, uint32_t n, slmk_block_a *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (uint32_t i = 0; i < n; i += SLMK_BLOCK, out++) {
        __m512 first = _mm512_loadu_ps(x + i);
        __m512 second = _mm512_loadu_ps(x + i + 16);
        uint32_t bits = _mm512_reduce_max_epu32(
            _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                             _mm512_and_si512(_mm512_castps_si512(second), magnitude)));
        float max = slmk_float_from_bits(bits);
        if (bits >= 0x7f800000 || max < 0x1p-100f) {
            memset(out, 0, sizeof *out);
            out->scale = slmk_float_from_bits(bits >= 0x7f800000 ? 0x7fc00000 : 0);
            continue;
        }
        __m512 inverse = _mm512_set1_ps(127.0f / max);
        __m256i q = _mm256_set_m128i(round_half(second, inverse), round_half(first, inverse));
        int32_t sums[2];
        sum_halves(q, sums);
        out->scale = slmk_round_scale(max / 127.0f);
        out->neg_sum_128 = -128 * (sums[0] + sums[1]);
        out->neg_sum_half[0] = -sums[0];
        out->neg_sum_half[1] = -sums[1];
        _mm256_storeu_si256((__m256i *)(void *)out->q, q);
    }
}

void slmk_rms_norm_avx512(const float *x, const float *weight, float eps, uint32_t n, float *out)
{
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 v = load_lanes(x + i, n - i);
        lanes = _mm512_fmadd_ps(v, v, lanes);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / sqrtf(join_lanes(lanes) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_mul_ps(load_lanes(x + i, n - i), inverse);
        store_lanes(out + i, n - i, _mm512_mul_ps(v, load_lanes(weight + i, n - i)));
    }
}

void slmk_add_avx512(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i += 16) {
        store_lanes(out + i, n - i, _mm512_add_ps(load_lanes(a + i, n - i), load_lanes(b + i, n - i)));
    }
}

void slmk_silu_mul_avx512(const float *gate, const float *up, uint32_t n, float *out)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 sign = _mm512_set1_ps(-0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 g = load_lanes(gate + i, n - i);
        __m512 y = _mm512_div_ps(g, _mm512_add_ps(one, exp_16(_mm512_xor_ps(g, sign))));
        store_lanes(out + i, n - i, _mm512_mul_ps(y, load_lanes(up + i, n - i)));
    }
}

/* Turns 16 pairs (a, b). */
SLMK_INLINE void turn(__m512 *a, __m512 *b, __m512 cos, __m512 sin)
{
    __m512 x = *a;
    *a = _mm512_fmsub_ps(x, cos, _mm512_mul_ps(*b, sin));
    *b = _mm512_fmadd_ps(x, sin, _mm512_mul_ps(*b, cos));
}

/* Pairs (i, i + n_pairs) of one head. */
SLMK_INLINE void rope_halves(float *x, const float *cos, const float *sin, uint32_t n_pairs)
{
    for (uint32_t i = 0; i < n_pairs; i += 16) {
        const uint32_t left = n_pairs - i;
        __m512 a = load_lanes(x + i, left);
        __m512 b = load_lanes(x + n_pairs + i, left);
        turn(&a, &b, load_lanes(cos + i, left), load_lanes(sin + i, left));
        store_lanes(x + i, left, a);
        store_lanes(x + n_pairs + i, left, b);
    }
}

/* Pairs (2i, 2i + 1) of one head. */
SLMK_INLINE void rope_neighbours(float *x, const float *cos, const float *sin, uint32_t n_pairs)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const __m512i low =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    for (uint32_t i = 0; i < n_pairs; i += 16) {
        const uint32_t left = n_pairs - i;
        const uint32_t left_2 = left > 8 ? 2 * left - 16 : 0; /* numbers of the second vector */
        __m512 x1 = load_lanes(x + 2 * i, 2 * left);
        __m512 x2 = load_lanes(x + 2 * i + 16, left_2);
        __m512 a = _mm512_permutex2var_ps(x1, even, x2);
        __m512 b = _mm512_permutex2var_ps(x1, odd, x2);
        turn(&a, &b, load_lanes(cos + i, left), load_lanes(sin + i, left));
        store_lanes(x + 2 * i, 2 * left, _mm512_permutex2var_ps(a, low, b));
        store_lanes(x + 2 * i + 16, left_2, _mm512_permutex2var_ps(a, high, b));
    }
}

void slmk_rope_avx512(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                      uint32_t n_pairs, uint32_t halves)
{
    for (uint32_t h = 0; h < n_heads; h++, x += d) {
        if (halves) {
            rope_halves(x, cos, sin, n_pairs);
        } else {
            rope_neighbours(x, cos, sin, n_pairs);
        }
    }
}

int slmk_max_finite_avx512(const float *x, uint32_t n, float *max)
{
    const __m512i infinity = _mm512_set1_epi32(0x7f800000);
    __m512 largest = _mm512_set1_ps(-INFINITY);
    __mmask16 not_finite = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        __m512i exponent = _mm512_and_si512(_mm512_castps_si512(v), infinity);
        not_finite |= _mm512_cmpeq_epi32_mask(exponent, infinity);
        largest = _mm512_mask_max_ps(largest, mask, v, largest); /* NaN leaves `largest` */
    }
    *max = _mm512_reduce_max_ps(largest);
    return not_finite == 0;
}

float slmk_exp_sum_avx512(const float *x, uint32_t n, float max, float *out)
{
    const __m512 max_16 = _mm512_set1_ps(max);
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 e = exp_16(_mm512_sub_ps(load_lanes(x + i, n - i), max_16));
        lanes = _mm512_mask_add_ps(lanes, first_lanes(n - i), lanes, e);
        if (out) {
            store_lanes(out + i, n - i, e);
        }
    }
    return join_lanes(lanes);
}
