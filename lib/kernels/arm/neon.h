/* SPDX-License-Identifier: MIT */
/* What the NEON kernels share: loads, conversions, the exponential, and the list of kernels. */
#ifndef SLMI_KERNELS_ARM_NEON_H
#define SLMI_KERNELS_ARM_NEON_H

#include <arm_neon.h>
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
#ifdef __clang__
#define SLMK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SLMK_UNROLL _Pragma("GCC unroll 16")
#endif

/* Four half-precision or bfloat16 numbers as float32, from any address. */
SLMK_INLINE float32x4_t load_f16(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

SLMK_INLINE float32x4_t load_bf16(const void *p)
{
    uint16x4_t high = vreinterpret_u16_u8(vld1_u8(p));
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(high), 16));
}

SLMK_INLINE float32x4_t load_f32(const void *p)
{
    return vreinterpretq_f32_u8(vld1q_u8(p));
}

/* Eight integers of 8 bits as float32, two vectors. */
SLMK_INLINE void float_codes(int8x8_t bytes, float32x4_t *out)
{
    const int16x8_t wide = vmovl_s8(bytes);
    out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
}

/* Values of Q4 that the low or the high nibbles of 16 bytes stand for. */
SLMK_INLINE int8x16_t look_up(uint8x16_t bytes, const int high)
{
    const uint8x16_t nibbles = high ? vshrq_n_u8(bytes, 4) : vandq_u8(bytes, vdupq_n_u8(15));
    return vqtbl1q_s8(vld1q_s8(slmk_iq4_nl_values), nibbles);
}

/* x > max ? x : max in each lane: a lane of x that is NaN is ignored, as in ref/. */
SLMK_INLINE float32x4_t larger(float32x4_t x, float32x4_t max)
{
    return vbslq_f32(vcgtq_f32(x, max), x, max);
}

SLMK_INLINE float largest_lane(float32x4_t lanes)
{
    float x[4], max = -INFINITY;
    vst1q_f32(x, lanes);
    for (int i = 0; i < 4; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

/* 2^n for -126 <= n <= 127 */
SLMK_INLINE float32x4_t exp2_4(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* slmk_expf of four numbers. */
SLMK_INLINE float32x4_t exp_4(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(SLMK_LOG2_E)));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(SLMK_LN2_HI));
    r = vfmsq_f32(r, n, vdupq_n_f32(SLMK_LN2_LO));
    float32x4_t p = vdupq_n_f32(SLMK_EXP_C6);
    p = vfmaq_f32(vdupq_n_f32(SLMK_EXP_C5), p, r);
    p = vfmaq_f32(vdupq_n_f32(SLMK_EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(SLMK_EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(SLMK_EXP_C2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    int32x4_t exponent = vcvtnq_s32_f32(n);
    int32x4_t half = vshrq_n_s32(exponent, 1);
    float32x4_t e = vmulq_f32(vmulq_f32(p, exp2_4(half)), exp2_4(vsubq_s32(exponent, half)));
    uint32x4_t above = vcgtq_f32(x, vdupq_n_f32(SLMK_EXP_MAX));
    uint32x4_t below = vcltq_f32(x, vdupq_n_f32(SLMK_EXP_MIN));
    e = vbslq_f32(above, vdupq_n_f32(INFINITY), e);
    return vbslq_f32(below, vdupq_n_f32(0.0f), e);
}

slmk_matmul_fn slmk_matmul_f32_neon, slmk_matmul_f16_neon, slmk_matmul_bf16_neon;

void slmk_quantize_neon(const float *x, uint32_t n, slmk_block_a *out);
void slmk_rms_norm_neon(const float *x, const float *weight, float eps, uint32_t n, float *out);
void slmk_add_neon(const float *a, const float *b, uint32_t n, float *out);
void slmk_silu_mul_neon(const float *gate, const float *up, uint32_t n, float *out);
void slmk_rope_neon(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                    uint32_t n_pairs, uint32_t halves);
int slmk_max_finite_neon(const float *x, uint32_t n, float *max);
float slmk_exp_sum_neon(const float *x, uint32_t n, float max, float *out);

void slmk_store_key_neon(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane,
                         void *panel);
void slmk_store_value_neon(const float *value, uint32_t d, uint32_t kv_type, void *row);
void slmk_attend_neon(const slmk_attend *job);

/* What the tables of the NEON levels have in common. */
#define SLMK_NEON_KERNELS                                                                          \
    .quantize = slmk_quantize_neon, .rms_norm = slmk_rms_norm_neon, .add = slmk_add_neon,          \
    .silu_mul = slmk_silu_mul_neon, .rope = slmk_rope_neon, .store_key = slmk_store_key_neon,      \
    .store_value = slmk_store_value_neon, .attend = slmk_attend_neon,                              \
    .max_finite = slmk_max_finite_neon, .exp_sum = slmk_exp_sum_neon
#define SLMK_NEON_FLOAT_PRODUCTS                                                                   \
    [SLMK_F32] = slmk_matmul_f32_neon, [SLMK_F16] = slmk_matmul_f16_neon,                          \
    [SLMK_BF16] = slmk_matmul_bf16_neon

#endif
