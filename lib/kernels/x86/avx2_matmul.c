/* SPDX-License-Identifier: MIT */
/* The table of the AVX2 level, and its products of block types. */
#include "kernels/levels.h"
#include "kernels/x86/avx2_blocks.h"
#include "slm/base.h"

/*
 * vpmaddubsw (unsigned weights times signed activations) adds neighbours to 16 bits. These sums of
 * several groups are added before vpmaddwd widens them. Activations are at most 127 in magnitude, so
 * a pair is at most 2 * 127 * w for weights 0..w, and GROUPS(w) of them fit an int16; nothing
 * saturates or wraps. Weights of 8 bits do not fit even once (2 * 127 * 255), so they are split into
 * two planes of 4 bits, of which 8 groups fit: 8 * 2 * 127 * 15 = 30480.
 */
#define GROUPS(w) (32767u / (2 * 127 * (w)))

/* Keeps a sum where it stands: gcc would reorder a chain of integer additions into a tree, which
 * needs far more registers than there are. */
SLMK_INLINE __m256i in_order(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

/* The same address, of which the compiler does not know it: it would keep what it has read from there in
 * registers that there are not. */
SLMK_INLINE const slmk_block_a *once_more(const slmk_block_a *a)
{
    __asm__("" : "+r"(a));
    return a;
}

/* Adds the dot products of one plane of weights 0..max_weight, each counting `unit` times. */
SLMK_INLINE void add_plane(unsigned plane, unsigned max_weight, tile_shape shape, const slmk_tile *tile,
                           size_t index, unsigned part, const activations a, __m256i out[SLMK_TILE][2])
{
    const unsigned n_groups = 8 / shape.n_parts, first = part * n_groups;
    const unsigned span = GROUPS(max_weight);
    const __m256i unit = _mm256_set1_epi16(plane == HIGH_PLANE ? 16 : 1);
    __m256i sums[SLMK_TILE][2];
    SLMK_UNROLL
    for (unsigned g = 0; g < n_groups; g++) {
        const __m256i low = weights_of(shape.type, tile->panel, index, 0, first + g, plane);
        const __m256i high = weights_of(shape.type, tile->panel, index, 8, first + g, plane);
        SLMK_UNROLL
        for (unsigned t = 0; t < shape.n_tokens; t++) {
            const __m256i x = broadcast_word(a[t]->q + 4 * (first + g));
            SLMK_UNROLL
            for (unsigned half = 0; half < 2; half++) {
                __m256i pairs = _mm256_maddubs_epi16(half ? high : low, x);
                sums[t][half] = g % span ? _mm256_add_epi16(sums[t][half], pairs) : pairs;
                sums[t][half] = in_order(sums[t][half]);
                if (g % span == span - 1 || g == n_groups - 1) {
                    __m256i wide = _mm256_madd_epi16(sums[t][half], unit);
                    out[t][half] = in_order(_mm256_add_epi32(out[t][half], wide));
                }
            }
        }
    }
}

/* Dot products of weights 0..max_weight, or 0..255 in two planes of 4 bits. */
SLMK_INLINE void dots(unsigned n_planes, unsigned max_weight, tile_shape shape, const slmk_tile *tile,
                      size_t index, unsigned part, const activations a, __m256i out[SLMK_TILE][2])
{
    activations second;
    SLMK_UNROLL
    for (unsigned t = 0; t < shape.n_tokens; t++) {
        out[t][0] = out[t][1] = shape.has_min ? _mm256_setzero_si256()
                                              : neg_offsets(shape.n_parts, part, a[t], tile->shift);
        second[t] = once_more(a[t]);
    }
    if (n_planes == 1) {
        add_plane(WHOLE, max_weight, shape, tile, index, part, a, out);
    } else {
        add_plane(LOW_PLANE, max_weight, shape, tile, index, part, a, out);
        add_plane(HIGH_PLANE, max_weight, shape, tile, index, part, second, out);
    }
}

/* Products of strips of several types, by the weights that they have. */
#define STRIP(kind, n_planes, max_weight, n_parts, has_min)                                        \
    SLMK_INLINE void dots_##kind(tile_shape shape, const slmk_tile *tile, size_t index,            \
                                 unsigned part, const activations a, __m256i out[SLMK_TILE][2])    \
    {                                                                                              \
        dots(n_planes, max_weight, shape, tile, index, part, a, out);                              \
    }                                                                                              \
    static void strip_##kind(const slmk_tile *tile)                                                \
    {                                                                                              \
        run_tile((tile_shape){ SLMK_UNPACKED, n_parts, has_min, SLMK_TILE }, dots_##kind, tile);   \
    }

STRIP(planes, 2, 15, 1, 0)
STRIP(15, 1, 15, 1, 0)
STRIP(15_min, 1, 15, 1, 1)
STRIP(31, 1, 31, 1, 0)
STRIP(31_min, 1, 31, 1, 1)
STRIP(3_min_parts, 1, 3, 2, 1)
STRIP(7_parts, 1, 7, 2, 0)
STRIP(63_parts, 1, 63, 2, 0)

#define MATMUL(name, type, shift, n_parts, has_min, unpack, kind)                                  \
    static void single_##name(const slmk_tile *tile)                                               \
    {                                                                                              \
        run_tile((tile_shape){ type, n_parts, has_min, 1 }, dots_##kind, tile);                    \
    }                                                                                              \
    SLMK_BLOCK_PRODUCT(matmul_##name, type, shift, slmk_unpack_##unpack##_avx2, strip_##kind,      \
                       single_##name)

MATMUL(q8_0, SLMK_Q8_0, 7, 1, 0, q8_0_planes, planes)
MATMUL(q4_0, SLMK_Q4_0, 3, 1, 0, q4_0, 15)
MATMUL(q4_1, SLMK_Q4_1, 0, 1, 1, q4_1, 15_min)
MATMUL(q5_0, SLMK_Q5_0, 4, 1, 0, q5_0, 31)
MATMUL(q5_1, SLMK_Q5_1, 0, 1, 1, q5_1, 31_min)
MATMUL(q2_k, SLMK_Q2_K, 0, 2, 1, q2_k, 3_min_parts)
MATMUL(q3_k, SLMK_Q3_K, 2, 2, 0, q3_k, 7_parts)
MATMUL(q4_k, SLMK_Q4_K, 0, 1, 1, q4_k, 15_min)
MATMUL(q5_k, SLMK_Q5_K, 0, 1, 1, q5_k, 31_min)
MATMUL(q6_k, SLMK_Q6_K, 5, 2, 0, q6_k, 63_parts)
MATMUL(iq4_nl, SLMK_IQ4_NL, 7, 1, 0, iq4_nl_planes, planes)

const slmk_table *slmk_table_avx2(void)
{
    static const slmk_table table = {
        .name = "avx2",
        .level = SLM_CPU_AVX2,
        SLMK_AVX2_KERNELS,
        .matmul = { SLMK_AVX2_FLOAT_PRODUCTS, SLMK_AVX2_BLOCK_PRODUCTS },
    };
    return &table;
}
