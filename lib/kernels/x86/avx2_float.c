/* SPDX-License-Identifier: MIT */
/* Matrix products for AVX2 with float32, float16 and bfloat16 weights. */
#include "kernels/x86/avx2.h"

/* A tile is 2 vectors (one panel) by 4 tokens, or 4 vectors (two panels) by 1 or 2 tokens: enough
 * independent accumulators to hide the latency of fma, which each output needs one by one. */
#define MAX_TOKENS 4
#define MAX_VECTORS 4

SLMK_INLINE __m256 load_weights(int type, const uint8_t *panel, size_t index)
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

/* Rows of n_vectors / 2 panels times n_tokens rows of activations. */
SLMK_INLINE void tile(int type, const uint8_t *panel, unsigned n_vectors, uint32_t k,
                      const uint8_t *act, size_t act_stride, unsigned n_tokens, float *out,
                      size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    __m256 acc[MAX_TOKENS][MAX_VECTORS];
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            acc[t][v] = _mm256_setzero_ps();
        }
    }
    for (uint32_t i = 0; i < k; i++) {
        __m256 w[MAX_VECTORS];
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            w[v] = load_weights(type, panel + v / 2 * panel_bytes, 16 * (size_t)i + v % 2 * 8);
        }
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            __m256 x = broadcast_f32(act + t * act_stride + 4 * (size_t)i);
            SLMK_UNROLL
            for (unsigned v = 0; v < n_vectors; v++) {
                acc[t][v] = _mm256_fmadd_ps(w[v], x, acc[t][v]);
            }
        }
    }
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < n_vectors; v++) {
            _mm256_storeu_ps(out + t * out_stride + 8 * v, acc[t][v]);
        }
    }
}

/* The last n_tokens (1 or 2) rows of activations. */
SLMK_INLINE void tail(int type, const uint8_t *panel, uint32_t n_panels, uint32_t k,
                      const uint8_t *act, size_t act_stride, unsigned n_tokens, float *out,
                      size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    uint32_t p = 0;
    for (; p + 2 <= n_panels; p += 2) {
        tile(type, panel + p * panel_bytes, 4, k, act, act_stride, n_tokens, out + SLMK_ROWS * p,
             out_stride);
    }
    if (p < n_panels) {
        tile(type, panel + p * panel_bytes, 2, k, act, act_stride, n_tokens, out + SLMK_ROWS * p,
             out_stride);
    }
}

SLMK_INLINE void matmul(int type, const void *panels, uint32_t n_panels, uint32_t k,
                        const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                        size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    const uint8_t *panel = panels, *x = act;
    uint32_t t = n_tokens / MAX_TOKENS * MAX_TOKENS;
    for (uint32_t p = 0; p < n_panels; p++) {
        for (uint32_t first = 0; first < t; first += MAX_TOKENS) {
            tile(type, panel + p * panel_bytes, 2, k, x + first * act_stride, act_stride,
                 MAX_TOKENS, out + first * out_stride + SLMK_ROWS * p, out_stride);
        }
    }
    if (n_tokens - t >= 2) {
        tail(type, panel, n_panels, k, x + t * act_stride, act_stride, 2, out + t * out_stride,
             out_stride);
        t += 2;
    }
    if (t < n_tokens) {
        tail(type, panel, n_panels, k, x + t * act_stride, act_stride, 1, out + t * out_stride,
             out_stride);
    }
}

#define MATMUL_TYPE(suffix, type)                                                                  \
    void slmk_matmul_##suffix##_avx2(const void *panels, uint32_t n_panels, uint32_t k,            \
                                     const void *act, size_t act_stride, uint32_t n_tokens,        \
                                     float *out, size_t out_stride)                                \
    {                                                                                              \
        matmul(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);             \
    }

MATMUL_TYPE(f32, SLMK_F32)
MATMUL_TYPE(f16, SLMK_F16)
MATMUL_TYPE(bf16, SLMK_BF16)
