/* SPDX-License-Identifier: MIT */
/* Kernels over one row (AVX-512). */
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

#define NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* Rounds 16 numbers to a half block; returns their negated sum. */
SLMK_INLINE int32_t quantize_half(__m512 x, __m512 inverse, int8_t *q)
{
    __m512i n = _mm512_cvt_roundps_epi32(_mm512_mul_ps(x, inverse), NEAREST);
    n = _mm512_max_epi32(_mm512_min_epi32(n, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(n));
    return -_mm512_reduce_add_epi32(n);
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
        out->scale = slmk_round_scale(max / 127.0f);
        out->neg_sum_half[0] = quantize_half(first, inverse, out->q);
        out->neg_sum_half[1] = quantize_half(second, inverse, out->q + 16);
        out->neg_sum_128 = 128 * slmk_neg_sum(out);
    }
}

void slmk_rms_norm_avx512(const float *x, const float *weight, float eps, uint32_t n, float *out)
{
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(first_lanes(n - i), x + i);
        lanes = _mm512_fmadd_ps(v, v, lanes);
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / sqrtf(join_lanes(lanes) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, weight + i));
        _mm512_mask_storeu_ps(out + i, mask, v);
    }
}

void slmk_add_avx512(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i),
                                   _mm512_maskz_loadu_ps(mask, b + i));
        _mm512_mask_storeu_ps(out + i, mask, sum);
    }
}

void slmk_silu_mul_avx512(const float *gate, const float *up, uint32_t n, float *out)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 sign = _mm512_set1_ps(-0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
        __m512 y = _mm512_div_ps(g, _mm512_add_ps(one, exp_16(_mm512_xor_ps(g, sign))));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(y, u));
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
        __mmask16 mask = first_lanes(n_pairs - i);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i);
        __m512 b = _mm512_maskz_loadu_ps(mask, x + n_pairs + i);
        turn(&a, &b, _mm512_maskz_loadu_ps(mask, cos + i), _mm512_maskz_loadu_ps(mask, sin + i));
        _mm512_mask_storeu_ps(x + i, mask, a);
        _mm512_mask_storeu_ps(x + n_pairs + i, mask, b);
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
        uint32_t left = 2 * (n_pairs - i);
        __mmask16 mask = first_lanes(n_pairs - i);
        __mmask16 mask_1 = first_lanes(left);
        __mmask16 mask_2 = left > 16 ? first_lanes(left - 16) : 0;
        __m512 x1 = _mm512_maskz_loadu_ps(mask_1, x + 2 * i);
        __m512 x2 = _mm512_maskz_loadu_ps(mask_2, x + 2 * i + 16);
        __m512 a = _mm512_permutex2var_ps(x1, even, x2);
        __m512 b = _mm512_permutex2var_ps(x1, odd, x2);
        turn(&a, &b, _mm512_maskz_loadu_ps(mask, cos + i), _mm512_maskz_loadu_ps(mask, sin + i));
        _mm512_mask_storeu_ps(x + 2 * i, mask_1, _mm512_permutex2var_ps(a, low, b));
        _mm512_mask_storeu_ps(x + 2 * i + 16, mask_2, _mm512_permutex2var_ps(a, high, b));
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
        __mmask16 mask = first_lanes(n - i);
        __m512 e = exp_16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), max_16));
        lanes = _mm512_mask_add_ps(lanes, mask, lanes, e);
        if (out) {
            _mm512_mask_storeu_ps(out + i, mask, e);
        }
    }
    return join_lanes(lanes);
}
