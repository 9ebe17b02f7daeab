/* SPDX-License-Identifier: MIT */
/* Matrix products for NEON with float32, float16 and bfloat16 weights. */
#include "kernels/arm/neon.h"

/* Float weights: a tile is 4 vectors (one panel) by 4 tokens, or 8 vectors (two panels) by 1 or 2
 * tokens: enough independent accumulators to hide the latency of fma, which each output needs one
 * by one. */
#define MAX_VECTORS 8
#define TILE 4

SLMK_INLINE float32x4_t load_weights(int type, const uint8_t *panel, size_t index)
{
    switch (type) {
    case SLMK_F16:
        return load_f16(panel + index * 2);
    case SLMK_BF16:
        return load_bf16(panel + index * 2);
    default:
        return load_f32(panel + index * 4);
    }
}

/* Rows of n_vectors / 4 panels times n_tokens rows of activations. */
SLMK_INLINE void float_tile(int type, const uint8_t *panel, unsigned n_vectors, uint32_t k,
                            const uint8_t *act, size_t act_stride, unsigned n_tokens, float *out,
                            size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    float32x4_t acc[TILE][MAX_VECTORS];
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            acc[t][v] = vdupq_n_f32(0);
        }
    }
    for (uint32_t i = 0; i < k; i++) {
        float32x4_t w[MAX_VECTORS];
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            w[v] = load_weights(type, panel + v / 4 * panel_bytes, 16 * (size_t)i + v % 4 * 4);
        }
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            float32x4_t x = vld1q_dup_f32((const float *)(const void *)(act + t * act_stride) + i);
            SLMK_UNROLL
            for (unsigned v = 0; v < n_vectors; v++) {
                acc[t][v] = vfmaq_f32(acc[t][v], w[v], x);
            }
        }
    }
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            vst1q_f32(out + t * out_stride + 4 * v, acc[t][v]);
        }
    }
}

/* The last n_tokens (1 or 2) rows of activations. */
SLMK_INLINE void float_tail(int type, const uint8_t *panel, uint32_t n_panels, uint32_t k,
                            const uint8_t *act, size_t act_stride, unsigned n_tokens, float *out,
                            size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    uint32_t p = 0;
    for (; p + 2 <= n_panels; p += 2) {
        float_tile(type, panel + p * panel_bytes, 8, k, act, act_stride, n_tokens,
                   out + SLMK_ROWS * p, out_stride);
    }
    if (p < n_panels) {
        float_tile(type, panel + p * panel_bytes, 4, k, act, act_stride, n_tokens,
                   out + SLMK_ROWS * p, out_stride);
    }
}

SLMK_INLINE void float_matmul(int type, const void *panels, uint32_t n_panels, uint32_t k,
                              const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                              size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    const uint8_t *panel = panels, *x = act;
    uint32_t t = n_tokens / TILE * TILE;
    for (uint32_t p = 0; p < n_panels; p++) {
        for (uint32_t first = 0; first < t; first += TILE) {
            float_tile(type, panel + p * panel_bytes, 4, k, x + first * act_stride, act_stride,
                       TILE, out + first * out_stride + SLMK_ROWS * p, out_stride);
        }
    }
    if (n_tokens - t >= 2) {
        float_tail(type, panel, n_panels, k, x + t * act_stride, act_stride, 2,
                   out + t * out_stride, out_stride);
        t += 2;
    }
    if (t < n_tokens) {
        float_tail(type, panel, n_panels, k, x + t * act_stride, act_stride, 1,
                   out + t * out_stride, out_stride);
    }
}

#define FLOAT_MATMUL_TYPE(suffix, type)                                                            \
    void slmk_matmul_##suffix##_neon(const void *panels, uint32_t n_panels, uint32_t k,            \
                                     const void *act, size_t act_stride, uint32_t n_tokens,        \
                                     float *out, size_t out_stride)                                \
    {                                                                                              \
        float_matmul(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);       \
    }

FLOAT_MATMUL_TYPE(f32, SLMK_F32)
FLOAT_MATMUL_TYPE(f16, SLMK_F16)
FLOAT_MATMUL_TYPE(bf16, SLMK_BF16)
