/* SPDX-License-Identifier: MIT */
/* Scalar binary32 functions of the specification: fma and exp. */
#ifndef SLMI_KERNELS_REF_MATH_H
#define SLMI_KERNELS_REF_MATH_H

#include "kernels/math.h"

#include <math.h>

/* a * b + c with one rounding. */
static inline float slmk_fmaf(float a, float b, float c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return fmaf(a, b, c);
#else
    /* The product is exact in binary64. The sum is rounded to odd there, which keeps enough of what
     * is lost for the second rounding to be right (Boldo and Melquiond, "Emulation of FMA and
     * correctly rounded sums", 2008). */
    double product = (double)a * (double)b;
    double addend = (double)c;
    double sum = product + addend;
    double part = sum - product;
    double error = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    int is_finite = (bits >> 52 & 0x7ff) != 0x7ff;
    if (is_finite && error != 0 && !(bits & 1)) {
        bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
#endif
}

/* Nearest integer, ties to even, for |x| < 2^22. */
static inline float slmk_rintf(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* Rounds a positive finite number to 11 significant bits, to nearest even: the precision, not the range,
 * of half floats. Weight scale times activation scale is then exact for scales without a sub-block. */
static inline float slmk_round_scale(float x)
{
    const uint32_t bits = slmk_bits_from_float(x);
    return slmk_float_from_bits((bits + 0xFFF + (bits >> 13 & 1)) & ~UINT32_C(0x1FFF));
}

/* 2^n for -126 <= n <= 127 */
static inline float slmk_exp2i(int32_t n)
{
    return slmk_float_from_bits((uint32_t)(n + 127) << 23);
}

/* Coefficients of r^2 .. r^6 of the minimax polynomial of e^r with relative error, |r| <= 0.34665,
 * the first two being 1; relative error 3.8e-9 after rounding to binary32. */
#define SLMK_EXP_C2 0x1.fffffcp-2f
#define SLMK_EXP_C3 0x1.555492p-3f
#define SLMK_EXP_C4 0x1.5558f2p-5f
#define SLMK_EXP_C5 0x1.1239f4p-7f
#define SLMK_EXP_C6 0x1.6a2416p-10f

#define SLMK_EXP_MAX 88.72283f
#define SLMK_EXP_MIN (-87.33654f)
#define SLMK_LOG2_E 1.44269504f
#define SLMK_LN2_HI 0.693359375f
#define SLMK_LN2_LO (-2.12194440e-4f) /* SLMK_LN2_HI + SLMK_LN2_LO = ln 2 */

/* e^x, error below 1 ulp. */
static inline float slmk_expf(float x)
{
    if (!(x <= SLMK_EXP_MAX)) {
        return x > 0 ? INFINITY : x;
    }
    if (x < SLMK_EXP_MIN) {
        return 0;
    }
    float n = slmk_rintf(x * SLMK_LOG2_E);
    float r = slmk_fmaf(n, -SLMK_LN2_HI, x);
    r = slmk_fmaf(n, -SLMK_LN2_LO, r);
    float p = SLMK_EXP_C6;
    p = slmk_fmaf(p, r, SLMK_EXP_C5);
    p = slmk_fmaf(p, r, SLMK_EXP_C4);
    p = slmk_fmaf(p, r, SLMK_EXP_C3);
    p = slmk_fmaf(p, r, SLMK_EXP_C2);
    p = slmk_fmaf(p, r, 1.0f);
    p = slmk_fmaf(p, r, 1.0f);
    int32_t exponent = (int32_t)n;
    int32_t half = exponent >> 1;
    return p * slmk_exp2i(half) * slmk_exp2i(exponent - half);
}

/* Sum of 16 virtual lanes by the one tree; the lanes are overwritten. */
static inline float slmk_join_lanes(float lanes[16])
{
    for (int width = 8; width >= 1; width /= 2) {
        for (int j = 0; j < width; j++) {
            lanes[j] += lanes[j + width];
        }
    }
    return lanes[0];
}

#endif
