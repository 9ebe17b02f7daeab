/* SPDX-License-Identifier: MIT */
/* Products of block types at 256 bits: AVX2 and AVX-VNNI share them, each with its own dot products. */
#ifndef SLMI_KERNELS_X86_AVX2_BLOCKS_H
#define SLMI_KERNELS_X86_AVX2_BLOCKS_H

#include "kernels/x86/avx2_fields.h"

/* Tokens that share the weights of a strip once these are in registers. */
#define SLMK_TILE 4

/* Some blocks of a panel times some tokens. */
typedef struct slmk_tile {
    const void *panel;      /* a panel, or a strip */
    uint32_t n_blocks;      /* of 32 inputs */
    uint32_t begin;         /* 1: starts the rows of out; 0: adds to them */
    uint32_t shift;         /* stored weights are value + 2^shift, where a type has no minima */
    uint32_t n_tokens;      /* 1..SLMK_TILE */
    const uint8_t *act;     /* first block of the first token */
    size_t act_stride;
    float *out;
    size_t out_stride;
} slmk_tile;

/* What a product is made of. */
typedef struct slmk_block_product {
    int type; /* SLMK_* */
    uint32_t shift;
    void (*unpack)(const void *panel, size_t first, uint32_t n_blocks, slmk_strip *strip);
    void (*strip)(const slmk_tile *tile);  /* up to SLMK_TILE tokens times a strip */
    void (*single)(const slmk_tile *tile); /* one token times a panel */
} slmk_block_product;

/* slmk_matmul_fn, for a product. */
void slmk_matmul_blocks_avx2(const slmk_block_product *product, const void *panels, uint32_t n_panels,
                             uint32_t k, const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                             size_t out_stride);

#define SLMK_BLOCK_PRODUCT(name, ...)                                                              \
    static void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,           \
                     size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)          \
    {                                                                                              \
        static const slmk_block_product product = { __VA_ARGS__ };                                 \
        slmk_matmul_blocks_avx2(&product, panels, n_panels, k, act, act_stride, n_tokens, out,     \
                                out_stride);                                                       \
    }

/* The products of all block types, matmul_q8_0 and so on, in a table. */
#define SLMK_AVX2_BLOCK_PRODUCTS                                                                   \
    [SLMK_Q8_0] = matmul_q8_0, [SLMK_Q4_0] = matmul_q4_0, [SLMK_Q4_1] = matmul_q4_1,               \
    [SLMK_Q5_0] = matmul_q5_0, [SLMK_Q5_1] = matmul_q5_1, [SLMK_Q2_K] = matmul_q2_k,               \
    [SLMK_Q3_K] = matmul_q3_k, [SLMK_Q4_K] = matmul_q4_k, [SLMK_Q5_K] = matmul_q5_k,               \
    [SLMK_Q6_K] = matmul_q6_k, [SLMK_IQ4_NL] = matmul_iq4_nl

/* Unpack n_blocks from block `first` on, a multiple of SLMK_STRIP. */
typedef void slmk_unpack_fn(const void *panel, size_t first, uint32_t n_blocks, slmk_strip *strip);
slmk_unpack_fn slmk_unpack_q8_0_avx2, slmk_unpack_q4_0_avx2, slmk_unpack_q4_1_avx2, slmk_unpack_q5_0_avx2;
slmk_unpack_fn slmk_unpack_q5_1_avx2, slmk_unpack_q2_k_avx2, slmk_unpack_q3_k_avx2, slmk_unpack_q4_k_avx2;
slmk_unpack_fn slmk_unpack_q5_k_avx2, slmk_unpack_q6_k_avx2, slmk_unpack_iq4_nl_avx2;

/* The same in two planes of 4 bits. */
slmk_unpack_fn slmk_unpack_q8_0_planes_avx2, slmk_unpack_iq4_nl_planes_avx2;

/* What is known at compile time. */
typedef struct tile_shape {
    int type;
    unsigned n_parts;  /* scales along 32 inputs: 1 or 2 */
    unsigned has_min;  /* 1: minima, and stored = value; 0: stored = value + 2^shift */
    unsigned n_tokens; /* 1 or SLMK_TILE */
} tile_shape;

typedef const slmk_block_a *activations[SLMK_TILE]; /* the current block of each token */

/* The dot products of a part of block `index`, offset included, for both halves of the rows. */
typedef void tile_dots_fn(tile_shape shape, const slmk_tile *tile, size_t index, unsigned part,
                          const activations a, __m256i dots[SLMK_TILE][2]);

/* -(sum of the activations) of a part, in all lanes. */
SLMK_INLINE __m256i neg_sums(unsigned n_parts, unsigned part, const slmk_block_a *a)
{
    return n_parts == 1 ? _mm256_srai_epi32(_mm256_set1_epi32(a->neg_sum_128), 7)
                        : _mm256_set1_epi32(a->neg_sum_half[part]);
}

/* The same times 2^shift: less by what the offset of the stored weights adds. */
SLMK_INLINE __m256i neg_offsets(unsigned n_parts, unsigned part, const slmk_block_a *a, uint32_t shift)
{
    const int count = (int)shift;
    return n_parts == 1
               ? _mm256_srav_epi32(_mm256_set1_epi32(a->neg_sum_128), _mm256_set1_epi32(7 - count))
               : _mm256_sllv_epi32(_mm256_set1_epi32(a->neg_sum_half[part]), _mm256_set1_epi32(count));
}

SLMK_INLINE void add_part(tile_shape shape, tile_dots_fn *dots_of, const slmk_tile *tile, size_t index,
                          unsigned part, const activations a, __m256 acc[SLMK_TILE][2])
{
    __m256i dots[SLMK_TILE][2];
    dots_of(shape, tile, index, part, a, dots);
    SLMK_UNROLL
    for (unsigned half = 0; half < 2; half++) {
        const __m256 scale = scale_of(shape.type, tile->panel, index, 8 * half, part);
        SLMK_UNROLL
        for (unsigned t = 0; t < shape.n_tokens; t++) {
            __m256 factor = _mm256_mul_ps(scale, broadcast_f32(&a[t]->scale));
            acc[t][half] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dots[t][half]), acc[t][half]);
        }
        if (shape.has_min) {
            const __m256 minus_min = minus_min_of(shape.type, tile->panel, index, 8 * half, part);
            SLMK_UNROLL
            for (unsigned t = 0; t < shape.n_tokens; t++) {
                __m256 factor = _mm256_mul_ps(minus_min, broadcast_f32(&a[t]->scale));
                __m256 sums = _mm256_cvtepi32_ps(neg_sums(shape.n_parts, part, a[t]));
                acc[t][half] = _mm256_fmadd_ps(factor, sums, acc[t][half]);
            }
        }
    }
}

/* Tokens beyond the last are the last once more: computed, and written, again. */
SLMK_INLINE unsigned token_at(const slmk_tile *tile, tile_shape shape, unsigned t)
{
    return shape.n_tokens == 1 || t < tile->n_tokens ? t : tile->n_tokens - 1;
}

SLMK_INLINE void run_tile(tile_shape shape, tile_dots_fn *dots_of, const slmk_tile *tile)
{
    __m256 acc[SLMK_TILE][2];
    float *out[SLMK_TILE];
    const uint8_t *act[SLMK_TILE];
    SLMK_UNROLL
    for (unsigned t = 0; t < shape.n_tokens; t++) {
        act[t] = tile->act + token_at(tile, shape, t) * tile->act_stride;
        out[t] = tile->out + token_at(tile, shape, t) * tile->out_stride;
        acc[t][0] = tile->begin ? _mm256_setzero_ps() : load_f32(out[t]);
        acc[t][1] = tile->begin ? _mm256_setzero_ps() : load_f32(out[t] + 8);
    }
    for (uint32_t b = 0; b < tile->n_blocks; b++) {
        activations a;
        SLMK_UNROLL
        for (unsigned t = 0; t < shape.n_tokens; t++) {
            a[t] = (const slmk_block_a *)(const void *)act[t] + b;
        }
        SLMK_UNROLL
        for (unsigned part = 0; part < shape.n_parts; part++) {
            add_part(shape, dots_of, tile, b, part, a, acc);
        }
    }
    SLMK_UNROLL
    for (unsigned t = 0; t < shape.n_tokens; t++) {
        _mm256_storeu_ps(out[t], acc[t][0]);
        _mm256_storeu_ps(out[t] + 8, acc[t][1]);
    }
}

#endif
