/* SPDX-License-Identifier: MIT */
/* Products of F32, F16 and BF16 weights with float activations (AVX-512). */
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

SLMK_INLINE __m512 load_row(const int type, const uint8_t *panel, uint32_t i)
{
    switch (type) {
    case SLMK_F32: return _mm512_loadu_ps((const float *)(const void *)panel + (size_t)i * 16);
    case SLMK_F16: return load_halves(panel + (size_t)i * 32);
    default: return load_bf16(panel + (size_t)i * 32);
    }
}

/* n_panels panels times n_tokens tokens, both constant, at most 16 sums in all. Several sums are in
 * flight because each one is a chain of dependent fma along k. */
SLMK_INLINE void float_tile(const int type, const uint8_t *panels, size_t panel_size,
                            const uint32_t n_panels, uint32_t k, const char *act,
                            size_t act_stride, const uint32_t n_tokens, float *out,
                            size_t out_stride)
{
    __m512 acc[16];
    SLMK_UNROLL
    for (uint32_t s = 0; s < n_panels * n_tokens; s++) {
        acc[s] = _mm512_setzero_ps();
    }
    for (uint32_t i = 0; i < k; i++) {
        __m512 w[8];
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            w[p] = load_row(type, panels + p * panel_size, i);
        }
        const char *x = act + (size_t)i * sizeof(float);
        SLMK_UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            const __m512 x_i = _mm512_set1_ps(*(const float *)(const void *)x);
            SLMK_UNROLL
            for (uint32_t p = 0; p < n_panels; p++) {
                acc[t * n_panels + p] = _mm512_fmadd_ps(w[p], x_i, acc[t * n_panels + p]);
            }
            x += act_stride;
        }
    }
    SLMK_UNROLL
    for (uint32_t s = 0; s < n_panels * n_tokens; s++) {
        _mm512_storeu_ps(out + s / n_panels * out_stride + s % n_panels * SLMK_ROWS, acc[s]);
    }
}

/* All tokens times n_panels panels. */
SLMK_INLINE void float_strip(const int type, const uint8_t *panels, size_t panel_size,
                             const uint32_t n_panels, uint32_t k, const char *act,
                             size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)
{
    const uint32_t tile = 16 / n_panels > 8 ? 8 : 16 / n_panels;
    uint32_t t = 0;
    for (; t + tile <= n_tokens; t += tile) {
        float_tile(type, panels, panel_size, n_panels, k, act + t * act_stride, act_stride, tile,
                   out + t * out_stride, out_stride);
    }
    for (; t < n_tokens; t++) {
        float_tile(type, panels, panel_size, n_panels, k, act + t * act_stride, act_stride, 1,
                   out + t * out_stride, out_stride);
    }
}

SLMK_INLINE void matmul_floats(const int type, const uint8_t *panels, uint32_t n_panels, uint32_t k,
                               const char *act, size_t act_stride, uint32_t n_tokens, float *out,
                               size_t out_stride)
{
    const size_t size = slmk_panel_size(type, k);
    uint32_t p = 0;
    for (; p + 4 <= n_panels; p += 4) {
        float_strip(type, panels + p * size, size, 4, k, act, act_stride, n_tokens,
                    out + (size_t)p * SLMK_ROWS, out_stride);
    }
    for (; p + 2 <= n_panels; p += 2) {
        float_strip(type, panels + p * size, size, 2, k, act, act_stride, n_tokens,
                    out + (size_t)p * SLMK_ROWS, out_stride);
    }
    for (; p < n_panels; p++) {
        float_strip(type, panels + p * size, size, 1, k, act, act_stride, n_tokens,
                    out + (size_t)p * SLMK_ROWS, out_stride);
    }
}

#define MATMUL_FLOATS(name, type)                                                                  \
    void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,                  \
              size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)                 \
    {                                                                                              \
        matmul_floats(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);      \
    }

MATMUL_FLOATS(slmk_matmul_f32_avx512, SLMK_F32)
MATMUL_FLOATS(slmk_matmul_f16_avx512, SLMK_F16)
MATMUL_FLOATS(slmk_matmul_bf16_avx512, SLMK_BF16)
