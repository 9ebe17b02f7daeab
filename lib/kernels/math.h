/* SPDX-License-Identifier: MIT */
/* Elementary functions and half-precision conversions that give the same bits on every platform. */
#ifndef SLMI_KERNELS_MATH_H
#define SLMI_KERNELS_MATH_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "intermediate results must have the type's own precision (x86: -msse2 -mfpmath=sse)"
#endif

/* Sine and cosine of |x| <= 2^20, error below 1 ulp; NaN beyond, since the reduction is not made
 * for it. */
double slmk_sin(double x);
double slmk_cos(double x);

/* e^x, error below 1 ulp except for denormal results. */
double slmk_exp(double x);

/* Natural logarithm of a positive normal number, error below 1 ulp. */
double slmk_log(double x);

/* x^y for a positive normal x and |y ln x| < 700, error below 2 ulp. */
double slmk_pow(double x, double y);

static inline float slmk_float_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t slmk_bits_from_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Exact; a signalling NaN becomes quiet, as the processors' instructions do it. */
static inline float slmk_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 31) {
        uint32_t quiet = mantissa ? 0x400000 : 0;
        return slmk_float_from_bits(sign | 0x7f800000 | mantissa << 13 | quiet);
    }
    if (exponent) {
        return slmk_float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    }
    float denormal = (float)mantissa * 0x1p-24f;
    return slmk_float_from_bits(sign | slmk_bits_from_float(denormal));
}

/* Nearest even; too large numbers become infinite. */
static inline uint16_t slmk_f32_to_f16(float x)
{
    uint32_t bits = slmk_bits_from_float(x);
    uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
    }
    if (bits >= 0x477ff000) { /* 65520, halfway to the number after the largest one */
        return (uint16_t)(sign | 0x7c00);
    }
    if (bits < 0x38800000) { /* 2^-14: the sum's last place is that of denormal halves */
        float sum = slmk_float_from_bits(bits) + 0.5f;
        return (uint16_t)(sign | (slmk_bits_from_float(sum) - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

static inline float slmk_bf16_to_f32(uint16_t half)
{
    return slmk_float_from_bits((uint32_t)half << 16);
}

#endif
