/* SPDX-License-Identifier: MIT */
/* What the AVX2 kernels share: loads, conversions, the 16 virtual lanes and the exponential. */
#ifndef SLMI_KERNELS_X86_AVX2_H
#define SLMI_KERNELS_X86_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/ref/math.h"

/* Kernels are one generic body per shape, specialized by constant arguments: that needs inlining
 * and full unrolling whenever the compiler optimizes at all. */
#ifdef __OPTIMIZE__
#define SLMK_INLINE static inline __attribute__((always_inline))
#else
#define SLMK_INLINE static inline
#endif
/* SLMK_APART: what is not worth a copy in each place that it is called from. */
#ifdef __clang__
#define SLMK_APART static __attribute__((noinline))
#define SLMK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SLMK_APART static __attribute__((noipa))
#define SLMK_UNROLL _Pragma("GCC unroll 16")
#endif

SLMK_INLINE __m256i load_bytes(const void *p)
{
    return _mm256_loadu_si256(p);
}

SLMK_INLINE __m128i load_bytes_16(const void *p)
{
    return _mm_loadu_si128(p);
}

SLMK_INLINE __m128i load_bytes_8(const void *p)
{
    return _mm_loadl_epi64(p);
}

/* One 32-bit word in all eight lanes. */
SLMK_INLINE __m256i broadcast_word(const void *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

SLMK_INLINE __m256 load_f32(const void *p)
{
    return _mm256_loadu_ps(p);
}

/* One float in all eight lanes. */
SLMK_INLINE __m256 broadcast_f32(const void *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_ps(x);
}

/* Eight half-precision or bfloat16 numbers as float32. */
SLMK_INLINE __m256 load_f16(const void *p)
{
    return _mm256_cvtph_ps(load_bytes_16(p));
}

SLMK_INLINE __m256 load_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_bytes_16(p)), 16));
}

SLMK_INLINE void store_bytes(void *p, __m256i bytes)
{
    _mm256_storeu_si256(p, bytes);
}

/* Lanes that are NaN are ignored, as `x > max ? x : max` does. */
SLMK_INLINE float largest_lane(__m256 lanes)
{
    float x[8], max = -INFINITY;
    _mm256_storeu_ps(x, lanes);
    for (int i = 0; i < 8; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

/* 2^n for -126 <= n <= 127 */
SLMK_INLINE __m256 exp2_8(__m256i n)
{
    __m256i biased = _mm256_add_epi32(n, _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

/* slmk_expf of eight numbers. */
SLMK_INLINE __m256 exp_8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(SLMK_LOG2_E)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(SLMK_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(SLMK_LN2_LO), r);
    __m256 p = _mm256_set1_ps(SLMK_EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SLMK_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SLMK_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SLMK_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(SLMK_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i exponent = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(exponent, 1);
    __m256 e =
        _mm256_mul_ps(_mm256_mul_ps(p, exp2_8(half)), exp2_8(_mm256_sub_epi32(exponent, half)));
    __m256 above = _mm256_cmp_ps(x, _mm256_set1_ps(SLMK_EXP_MAX), _CMP_GT_OQ);
    __m256 below = _mm256_cmp_ps(x, _mm256_set1_ps(SLMK_EXP_MIN), _CMP_LT_OQ);
    e = _mm256_blendv_ps(e, _mm256_set1_ps(INFINITY), above);
    return _mm256_andnot_ps(below, e);
}

slmk_matmul_fn slmk_matmul_f32_avx2, slmk_matmul_f16_avx2, slmk_matmul_bf16_avx2;

void slmk_quantize_avx2(const float *x, uint32_t n, slmk_block_a *out);
void slmk_rms_norm_avx2(const float *x, const float *weight, float eps, uint32_t n, float *out);
void slmk_add_avx2(const float *a, const float *b, uint32_t n, float *out);
void slmk_silu_mul_avx2(const float *gate, const float *up, uint32_t n, float *out);
void slmk_rope_avx2(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                    uint32_t n_pairs, uint32_t halves);
int slmk_max_finite_avx2(const float *x, uint32_t n, float *max);
float slmk_exp_sum_avx2(const float *x, uint32_t n, float max, float *out);

void slmk_store_key_avx2(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane,
                         void *panel);
void slmk_store_value_avx2(const float *value, uint32_t d, uint32_t kv_type, void *row);
void slmk_attend_avx2(const slmk_attend *job);

/* What the tables of AVX2 and AVX-VNNI have in common. */
#define SLMK_AVX2_KERNELS                                                                          \
    .quantize = slmk_quantize_avx2, .rms_norm = slmk_rms_norm_avx2, .add = slmk_add_avx2,          \
    .silu_mul = slmk_silu_mul_avx2, .rope = slmk_rope_avx2, .store_key = slmk_store_key_avx2,      \
    .store_value = slmk_store_value_avx2, .attend = slmk_attend_avx2,                              \
    .max_finite = slmk_max_finite_avx2, .exp_sum = slmk_exp_sum_avx2
#define SLMK_AVX2_FLOAT_PRODUCTS                                                                   \
    [SLMK_F32] = slmk_matmul_f32_avx2, [SLMK_F16] = slmk_matmul_f16_avx2,                          \
    [SLMK_BF16] = slmk_matmul_bf16_avx2

#endif
