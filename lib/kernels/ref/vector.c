/* SPDX-License-Identifier: MIT */
/* Kernels over one row, in plain C: the specification of docs/numerics.md. */
#include "kernels/ref/math.h"
#include "kernels/ref/ref.h"

#define INFINITY_BITS 0x7f800000u
#define NAN_BITS 0x7fc00000u

static uint32_t magnitude_bits(float x)
{
    return slmk_bits_from_float(x) & 0x7fffffff;
}

static void quantize_block(const float *x, slmk_block_a *out)
{
    uint32_t bits = 0;
    for (int i = 0; i < SLMK_BLOCK; i++) {
        uint32_t other = magnitude_bits(x[i]);
        bits = other > bits ? other : bits;
    }
    memset(out, 0, sizeof *out);
    if (bits >= INFINITY_BITS) {
        out->scale = slmk_float_from_bits(NAN_BITS);
        return;
    }
    float max = slmk_float_from_bits(bits);
    if (max < 0x1p-100f) {
        return;
    }
    out->scale = slmk_round_scale(max / 127.0f);
    float inverse = 127.0f / max;
    for (int i = 0; i < SLMK_BLOCK; i++) {
        int q = (int)slmk_rintf(x[i] * inverse);
        q = q > 127 ? 127 : q < -127 ? -127 : q;
        out->q[i] = (int8_t)q;
        out->neg_sum_half[i / 16] -= q;
    }
    out->neg_sum_128 = 128 * slmk_neg_sum(out);
}

void slmk_quantize_ref(const float *x, uint32_t n, slmk_block_a *out)
{
    for (uint32_t b = 0; b < n / SLMK_BLOCK; b++) {
        quantize_block(x + (size_t)b * SLMK_BLOCK, out + b);
    }
}

void slmk_rms_norm_ref(const float *x, const float *weight, float eps, uint32_t n, float *out)
{
    float lanes[16] = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        lanes[i % 16] = slmk_fmaf(x[i], x[i], lanes[i % 16]);
    }
    float inverse = 1.0f / sqrtf(slmk_join_lanes(lanes) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (x[i] * inverse) * weight[i];
    }
}

void slmk_add_ref(const float *a, const float *b, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}

void slmk_silu_mul_ref(const float *gate, const float *up, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (gate[i] / (1.0f + slmk_expf(-gate[i]))) * up[i];
    }
}

void slmk_rope_ref(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                   uint32_t n_pairs, uint32_t halves)
{
    for (uint32_t h = 0; h < n_heads; h++) {
        for (uint32_t i = 0; i < n_pairs; i++) {
            float *first = x + (size_t)h * d + (halves ? i : 2 * i);
            float *second = first + (halves ? n_pairs : 1);
            float a = *first;
            float b = *second;
            *first = slmk_fmaf(a, cos[i], -(b * sin[i]));
            *second = slmk_fmaf(a, sin[i], b * cos[i]);
        }
    }
}

int slmk_max_finite_ref(const float *x, uint32_t n, float *max)
{
    int finite = 1;
    float largest = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        finite &= magnitude_bits(x[i]) < INFINITY_BITS;
        largest = x[i] > largest ? x[i] : largest;
    }
    *max = largest;
    return finite;
}

float slmk_exp_sum_ref(const float *x, uint32_t n, float max, float *out)
{
    float lanes[16] = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        float e = slmk_expf(x[i] - max);
        lanes[i % 16] += e;
        if (out) {
            out[i] = e;
        }
    }
    return slmk_join_lanes(lanes);
}
