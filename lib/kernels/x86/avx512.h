/* SPDX-License-Identifier: MIT */
/* What the AVX-512 kernels share: loads, tails, the 16 virtual lanes and the exponential. */
#ifndef SLMI_KERNELS_X86_AVX512_H
#define SLMI_KERNELS_X86_AVX512_H

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

/* The first n of 16 lanes; all for n >= 16. */
SLMK_INLINE __mmask16 first_lanes(uint32_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

/* Loads and stores of the first n of 16 lanes, all for n >= 16; lanes that are not loaded are 0. A whole
 * vector goes without a mask: what a masked store wrote can be loaded only once it has left the store
 * queue. */
SLMK_INLINE __m512 load_lanes(const float *p, uint32_t n)
{
    return n >= 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first_lanes(n), p);
}

SLMK_INLINE void store_lanes(float *p, uint32_t n, __m512 x)
{
    if (n >= 16) {
        _mm512_storeu_ps(p, x);
    } else {
        _mm512_mask_storeu_ps(p, first_lanes(n), x);
    }
}

SLMK_INLINE __m512 load_halves(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}

SLMK_INLINE __m512 load_bf16(const void *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

/* Sum of the 16 lanes by the tree of docs/numerics.md. */
SLMK_INLINE float join_lanes(__m512 x)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* slmk_expf of 16 numbers. The scaling by 2^n rounds at most once, as the two exact factors do. */
SLMK_INLINE __m512 exp_16(__m512 x)
{
    __m512 one = _mm512_set1_ps(1.0f);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(SLMK_LOG2_E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-SLMK_LN2_HI), x);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(-SLMK_LN2_LO), r);
    __m512 p = _mm512_set1_ps(SLMK_EXP_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SLMK_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SLMK_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SLMK_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(SLMK_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    __m512 y = _mm512_scalef_ps(p, n);
    __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(SLMK_EXP_MAX), _CMP_GT_OQ);
    __mmask16 not_small = _mm512_cmp_ps_mask(x, _mm512_set1_ps(SLMK_EXP_MIN), _CMP_NLT_UQ);
    y = _mm512_mask_mov_ps(y, large, _mm512_set1_ps(INFINITY));
    return _mm512_maskz_mov_ps(not_small, y);
}

#endif
