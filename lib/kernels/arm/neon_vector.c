/* SPDX-License-Identifier: MIT */
/* Kernels over one row for NEON, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/arm/neon.h"

/* What is left of a row after whole vectors is computed by the scalar formulas, which give the same
 * bits. The 16 virtual lanes of a reduction are four vectors. */

#define INFINITY_BITS 0x7f800000u
#define NAN_BITS 0x7fc00000u

SLMK_INLINE uint32x4_t magnitude_bits(float32x4_t x)
{
    return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffff));
}

/* |x * inverse| is below 127.5, so that no integer needs clipping. */
SLMK_INLINE int16x8_t round_scaled(const float *x, float32x4_t inverse)
{
    int32x4_t low = vcvtnq_s32_f32(vmulq_f32(load_f32(x), inverse));
    int32x4_t high = vcvtnq_s32_f32(vmulq_f32(load_f32(x + 4), inverse));
    return vcombine_s16(vmovn_s32(low), vmovn_s32(high));
}

static void quantize_block(const float *x, slmk_block_a *out)
{
    uint32x4_t largest = vdupq_n_u32(0);
    for (int i = 0; i < SLMK_BLOCK; i += 4) {
        largest = vmaxq_u32(largest, magnitude_bits(load_f32(x + i)));
    }
    uint32_t bits = vmaxvq_u32(largest);
    float max = slmk_float_from_bits(bits);
    if (bits >= INFINITY_BITS || max < 0x1p-100f) {
        memset(out, 0, sizeof *out);
        out->scale = bits >= INFINITY_BITS ? slmk_float_from_bits(NAN_BITS) : 0;
        return;
    }
    out->scale = slmk_round_scale(max / 127.0f);
    float32x4_t inverse = vdupq_n_f32(127.0f / max);
    for (int half = 0; half < 2; half++, x += 16) {
        int8x8_t low = vmovn_s16(round_scaled(x, inverse));
        int8x8_t high = vmovn_s16(round_scaled(x + 8, inverse));
        int8x16_t q = vcombine_s8(low, high);
        vst1q_s8(out->q + 16 * half, q);
        out->neg_sum_half[half] = -vaddlvq_s8(q);
    }
    out->neg_sum_128 = 128 * slmk_neg_sum(out);
}

void slmk_quantize_neon(const float *x, uint32_t n, slmk_block_a *out)
{
    for (uint32_t b = 0; b < n / SLMK_BLOCK; b++) {
        quantize_block(x + (size_t)b * SLMK_BLOCK, out + b);
    }
}

void slmk_rms_norm_neon(const float *x, const float *weight, float eps, uint32_t n, float *out)
{
    float lanes[16];
    float32x4_t sums[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            float32x4_t a = load_f32(x + i + 4 * v);
            sums[v] = vfmaq_f32(sums[v], a, a);
        }
    }
    for (uint32_t v = 0; v < 4; v++) {
        vst1q_f32(lanes + 4 * v, sums[v]);
    }
    for (; i < n; i++) {
        lanes[i % 16] = slmk_fmaf(x[i], x[i], lanes[i % 16]);
    }

    float inverse = 1.0f / sqrtf(slmk_join_lanes(lanes) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4) {
        float32x4_t scaled = vmulq_n_f32(load_f32(x + i), inverse);
        vst1q_f32(out + i, vmulq_f32(scaled, load_f32(weight + i)));
    }
    for (; i < n; i++) {
        out[i] = (x[i] * inverse) * weight[i];
    }
}

void slmk_add_neon(const float *a, const float *b, uint32_t n, float *out)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        vst1q_f32(out + i, vaddq_f32(load_f32(a + i), load_f32(b + i)));
    }
    for (; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}

void slmk_silu_mul_neon(const float *gate, const float *up, uint32_t n, float *out)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = load_f32(gate + i);
        float32x4_t silu = vdivq_f32(g, vaddq_f32(one, exp_4(vnegq_f32(g))));
        vst1q_f32(out + i, vmulq_f32(silu, load_f32(up + i)));
    }
    for (; i < n; i++) {
        out[i] = (gate[i] / (1.0f + slmk_expf(-gate[i]))) * up[i];
    }
}

/* The pairs (a, b) of four angles become (fma(a, cos, -(b * sin)), fma(a, sin, b * cos)). */
SLMK_INLINE float32x4x2_t rotate_4(float32x4x2_t pairs, const float *cos, const float *sin)
{
    float32x4_t a = pairs.val[0], b = pairs.val[1];
    float32x4_t c = load_f32(cos), s = load_f32(sin);
    float32x4x2_t turned = { { vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c),
                               vfmaq_f32(vmulq_f32(b, c), a, s) } };
    return turned;
}

static void rotate_head(float *x, const float *cos, const float *sin, uint32_t n_pairs,
                        uint32_t halves)
{
    uint32_t i = 0;
    for (; i + 4 <= n_pairs; i += 4) {
        if (halves) {
            float32x4x2_t pairs = { { load_f32(x + i), load_f32(x + n_pairs + i) } };
            pairs = rotate_4(pairs, cos + i, sin + i);
            vst1q_f32(x + i, pairs.val[0]);
            vst1q_f32(x + n_pairs + i, pairs.val[1]);
        } else {
            vst2q_f32(x + 2 * i, rotate_4(vld2q_f32(x + 2 * i), cos + i, sin + i));
        }
    }
    for (; i < n_pairs; i++) {
        float *first = x + (halves ? i : 2 * i), *second = first + (halves ? n_pairs : 1);
        float a = *first, b = *second;
        *first = slmk_fmaf(a, cos[i], -(b * sin[i]));
        *second = slmk_fmaf(a, sin[i], b * cos[i]);
    }
}

void slmk_rope_neon(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                    uint32_t n_pairs, uint32_t halves)
{
    for (uint32_t h = 0; h < n_heads; h++) {
        rotate_head(x + (size_t)h * d, cos, sin, n_pairs, halves);
    }
}

int slmk_max_finite_neon(const float *x, uint32_t n, float *max)
{
    float32x4_t largest = vdupq_n_f32(-INFINITY);
    uint32x4_t bits = vdupq_n_u32(0);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = load_f32(x + i);
        largest = larger(v, largest);
        bits = vmaxq_u32(bits, magnitude_bits(v));
    }
    float all = largest_lane(largest);
    int all_finite = vmaxvq_u32(bits) < INFINITY_BITS;
    for (; i < n; i++) {
        all = x[i] > all ? x[i] : all;
        all_finite &= (slmk_bits_from_float(x[i]) & 0x7fffffff) < INFINITY_BITS;
    }
    *max = all;
    return all_finite;
}

float slmk_exp_sum_neon(const float *x, uint32_t n, float max, float *out)
{
    float lanes[16];
    const float32x4_t shift = vdupq_n_f32(max);
    float32x4_t sums[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < 4; v++) {
            float32x4_t e = exp_4(vsubq_f32(load_f32(x + i + 4 * v), shift));
            sums[v] = vaddq_f32(sums[v], e);
            if (out) {
                vst1q_f32(out + i + 4 * v, e);
            }
        }
    }
    for (uint32_t v = 0; v < 4; v++) {
        vst1q_f32(lanes + 4 * v, sums[v]);
    }
    for (; i < n; i++) {
        float e = slmk_expf(x[i] - max);
        lanes[i % 16] += e;
        if (out) {
            out[i] = e;
        }
    }
    return slmk_join_lanes(lanes);
}
