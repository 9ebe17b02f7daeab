/* SPDX-License-Identifier: MIT */
/* The kernel table: raw-pointer arithmetic, one table per processor level, all of them giving the bits
 * of ref/. Kernels know no tensor, thread or allocator and cannot fail. */
#ifndef SLMI_KERNELS_KERNELS_H
#define SLMI_KERNELS_KERNELS_H

#include "kernels/panel.h"

/* Tokens of a cache page; an attention chunk is one page. */
#define SLMK_PAGE 64

/* Pages that n tokens take. */
static inline uint32_t slmk_pages_of(uint32_t n)
{
    return n / SLMK_PAGE + (n % SLMK_PAGE != 0);
}

/* Number types of the key and value cache, as SLM_KV_*. */
enum { SLMK_KV_F16, SLMK_KV_F32, SLMK_KV_Q8, SLMK_KV_Q4, SLMK_N_KV_TYPES };

/*
 * out[t * out_stride + 16 p + r] = sum over k of W[16 p + r, k] * act[t, k]
 *
 * panels      n_panels panels of the kernel's type, k inputs each
 * act         n_tokens rows, act_stride bytes apart: slmk_block_a [k / 32], or float [k] for float types
 * out         n_tokens rows of 16 * n_panels floats, out_stride floats apart
 */
typedef void slmk_matmul_fn(const void *panels, uint32_t n_panels, uint32_t k, const void *act,
                            size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride);

/*
 * Attention of n_rows query rows over one page of one key-value head, merged into running results.
 * Keys of a page are four panels of 16 keys, values are 64 rows, both of kv_type (kv.h).
 */
typedef struct slmk_attend {
    const float *q;         /* n_rows rows of d floats, q_stride floats apart */
    size_t q_stride;
    const void *k;          /* four key panels */
    const void *v;          /* 64 value rows */
    uint32_t n_rows;
    uint32_t d;             /* head width, any number >= 1 */
    uint32_t kv_type;       /* SLMK_KV_* */
    float scale;            /* scores are multiplied by this */
    const uint32_t *n_keys; /* [n_rows] keys of this page that a row sees, 0..64, from the first on */
    float *max;             /* [n_rows] running maximum, -INFINITY before the first page */
    float *sum;             /* [n_rows] running sum, 0 before */
    float *out;             /* n_rows rows of d floats, running weighted sum of values, 0 before */
    size_t out_stride;
} slmk_attend;

typedef struct slmk_table {
    const char *name;
    uint32_t level; /* SLM_CPU_* */

    slmk_matmul_fn *matmul[SLMK_N_TYPES];

    /* Rounds n floats (a multiple of 32) to n / 32 blocks. */
    void (*quantize)(const float *x, uint32_t n, slmk_block_a *out);

    /* out[i] = (x[i] * (1 / sqrt(mean(x^2) + eps))) * weight[i]; out may be x. */
    void (*rms_norm)(const float *x, const float *weight, float eps, uint32_t n, float *out);

    /* out[i] = a[i] + b[i]; out may be a or b. */
    void (*add)(const float *a, const float *b, uint32_t n, float *out);

    /* out[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i]; out may be gate or up. */
    void (*silu_mul)(const float *gate, const float *up, uint32_t n, float *out);

    /* Rotates n_heads heads of d floats in place. Pair i of the first 2 * n_pairs elements turns by
     * cos[i], sin[i]: elements (2i, 2i + 1), or (i, i + n_pairs) if halves is not 0. */
    void (*rope)(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                 uint32_t n_pairs, uint32_t halves);

    /* Stores a key of d floats as lane 0..15 of a key panel of kv_type. */
    void (*store_key)(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel);

    /* Stores a value of d floats as a row of kv_type. */
    void (*store_value)(const float *value, uint32_t d, uint32_t kv_type, void *row);

    void (*attend)(const slmk_attend *job);

    /* Largest of n >= 1 floats into *max. Returns 1 if all are finite, else 0. */
    int (*max_finite)(const float *x, uint32_t n, float *max);

    /* out[i] = exp(x[i] - max); returns their sum over 16 virtual lanes. out may be NULL or x. */
    float (*exp_sum)(const float *x, uint32_t n, float max, float *out);
} slmk_table;

/* The table of a level, or the best one for SLM_CPU_BEST; NULL if the processor or the operating
 * system lacks it, or the level belongs to another architecture. */
const slmk_table *slmk_table_get(uint32_t level);

#endif
