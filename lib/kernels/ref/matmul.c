/* SPDX-License-Identifier: MIT */
/* Matrix products of every weight type, in plain C: the specification of docs/numerics.md. */
#include "kernels/panel_fields.h"
#include "kernels/ref/math.h"
#include "kernels/ref/ref.h"

static void clear(float *out, size_t out_stride, uint32_t n_tokens, uint32_t n_panels)
{
    for (uint32_t t = 0; t < n_tokens; t++) {
        memset(out + t * out_stride, 0, (size_t)n_panels * SLMK_ROWS * sizeof *out);
    }
}

/* Adds the product of 32 weights of one row and 32 activations in 1 or 2 parts. */
static inline float add_block(float acc, const slmk_row_block *w, const slmk_block_a *a,
                              uint32_t n_parts, uint32_t has_min)
{
    for (uint32_t part = 0; part < n_parts; part++) {
        uint32_t first = part * 16;
        uint32_t last = n_parts == 1 ? 32 : first + 16;
        int32_t dot = 0;
        for (uint32_t i = first; i < last; i++) {
            dot += w->q[i] * a->q[i];
        }
        acc = slmk_fmaf(w->scale[part] * a->scale, (float)dot, acc);
        if (has_min) {
            int32_t sum = -(n_parts == 1 ? slmk_neg_sum(a) : a->neg_sum_half[part]);
            acc = slmk_fmaf(w->min[part] * a->scale, (float)sum, acc);
        }
    }
    return acc;
}

static inline void matmul_blocks(int type, uint32_t n_parts, uint32_t has_min, const void *panels,
                                 uint32_t n_panels, uint32_t k, const void *act,
                                 size_t act_stride, uint32_t n_tokens, float *out,
                                 size_t out_stride)
{
    slmk_read_fn *read = slmk_row_reader(type);
    clear(out, out_stride, n_tokens, n_panels);
    for (uint32_t p = 0; p < n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)panels + p * slmk_panel_size(type, k);
        for (uint32_t b = 0; b < k / SLMK_BLOCK; b++) {
            slmk_row_block w[SLMK_ROWS];
            for (uint32_t r = 0; r < SLMK_ROWS; r++) {
                read(panel, b, r, &w[r]);
            }
            for (uint32_t t = 0; t < n_tokens; t++) {
                const char *row = (const char *)act + t * act_stride;
                const slmk_block_a *a = (const slmk_block_a *)(const void *)row + b;
                float *acc = out + t * out_stride + (size_t)p * SLMK_ROWS;
                for (uint32_t r = 0; r < SLMK_ROWS; r++) {
                    acc[r] = add_block(acc[r], &w[r], a, n_parts, has_min);
                }
            }
        }
    }
}

static inline float load_weight(int type, const void *panel, size_t at)
{
    switch (type) {
    case SLMK_F32: return ((const float *)panel)[at];
    case SLMK_F16: return slmk_f16_to_f32(((const uint16_t *)panel)[at]);
    default: return slmk_bf16_to_f32(((const uint16_t *)panel)[at]);
    }
}

static inline void matmul_floats(int type, const void *panels, uint32_t n_panels, uint32_t k,
                                 const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                                 size_t out_stride)
{
    clear(out, out_stride, n_tokens, n_panels);
    for (uint32_t p = 0; p < n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)panels + p * slmk_panel_size(type, k);
        for (uint32_t t = 0; t < n_tokens; t++) {
            const char *row = (const char *)act + t * act_stride;
            const float *x = (const float *)(const void *)row;
            float *acc = out + t * out_stride + (size_t)p * SLMK_ROWS;
            for (uint32_t i = 0; i < k; i++) {
                for (uint32_t r = 0; r < SLMK_ROWS; r++) {
                    float w = load_weight(type, panel, (size_t)i * SLMK_ROWS + r);
                    acc[r] = slmk_fmaf(w, x[i], acc[r]);
                }
            }
        }
    }
}

#define MATMUL_FLOATS(name, type)                                                                  \
    void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,                  \
              size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)                 \
    {                                                                                              \
        matmul_floats(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);      \
    }

#define MATMUL_BLOCKS(name, type, n_parts, has_min)                                                \
    void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,                  \
              size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)                 \
    {                                                                                              \
        matmul_blocks(type, n_parts, has_min, panels, n_panels, k, act, act_stride, n_tokens, out, \
                      out_stride);                                                                 \
    }

MATMUL_FLOATS(slmk_matmul_f32_ref, SLMK_F32)
MATMUL_FLOATS(slmk_matmul_f16_ref, SLMK_F16)
MATMUL_FLOATS(slmk_matmul_bf16_ref, SLMK_BF16)
MATMUL_BLOCKS(slmk_matmul_q8_0_ref, SLMK_Q8_0, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q4_0_ref, SLMK_Q4_0, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q4_1_ref, SLMK_Q4_1, 1, 1)
MATMUL_BLOCKS(slmk_matmul_q5_0_ref, SLMK_Q5_0, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q5_1_ref, SLMK_Q5_1, 1, 1)
MATMUL_BLOCKS(slmk_matmul_q2_k_ref, SLMK_Q2_K, 2, 1)
MATMUL_BLOCKS(slmk_matmul_q3_k_ref, SLMK_Q3_K, 2, 0)
MATMUL_BLOCKS(slmk_matmul_q4_k_ref, SLMK_Q4_K, 1, 1)
MATMUL_BLOCKS(slmk_matmul_q5_k_ref, SLMK_Q5_K, 1, 1)
MATMUL_BLOCKS(slmk_matmul_q6_k_ref, SLMK_Q6_K, 2, 0)
MATMUL_BLOCKS(slmk_matmul_iq4_nl_ref, SLMK_IQ4_NL, 1, 0)
