/* SPDX-License-Identifier: MIT */
/* The table of the AVX-VNNI level: AVX2's kernels, with products of block types by vpdpbusd. */
#include "kernels/levels.h"
#include "kernels/x86/avx2_blocks.h"
#include "slm/base.h"

SLMK_INLINE void dots(tile_shape shape, const slmk_tile *tile, size_t index, unsigned part,
                      const activations a, __m256i out[SLMK_TILE][2])
{
    const unsigned n_groups = 8 / shape.n_parts;
    SLMK_UNROLL
    for (unsigned t = 0; t < shape.n_tokens; t++) {
        out[t][0] = out[t][1] = shape.has_min ? _mm256_setzero_si256()
                                              : neg_offsets(shape.n_parts, part, a[t], tile->shift);
    }
    SLMK_UNROLL
    for (unsigned g = part * n_groups; g < (part + 1) * n_groups; g++) {
        const __m256i low = weights_of(shape.type, tile->panel, index, 0, g, WHOLE);
        const __m256i high = weights_of(shape.type, tile->panel, index, 8, g, WHOLE);
        SLMK_UNROLL
        for (unsigned t = 0; t < shape.n_tokens; t++) {
            const __m256i x = broadcast_word(a[t]->q + 4 * g);
            out[t][0] = _mm256_dpbusd_epi32(out[t][0], low, x);
            out[t][1] = _mm256_dpbusd_epi32(out[t][1], high, x);
        }
    }
}

/* Products of strips of several types: with an offset or with minima, and of these in two parts. */
#define STRIP(kind, n_parts, has_min)                                                              \
    static void strip_##kind(const slmk_tile *tile)                                                \
    {                                                                                              \
        run_tile((tile_shape){ SLMK_UNPACKED, n_parts, has_min, SLMK_TILE }, dots, tile);          \
    }

STRIP(offset, 1, 0)
STRIP(min, 1, 1)
STRIP(offset_parts, 2, 0)
STRIP(min_parts, 2, 1)

#define MATMUL(name, type, shift, n_parts, has_min, kind)                                          \
    static void single_##name(const slmk_tile *tile)                                               \
    {                                                                                              \
        run_tile((tile_shape){ type, n_parts, has_min, 1 }, dots, tile);                           \
    }                                                                                              \
    SLMK_BLOCK_PRODUCT(matmul_##name, type, shift, slmk_unpack_##name##_avx2, strip_##kind,        \
                       single_##name)

MATMUL(q8_0, SLMK_Q8_0, 7, 1, 0, offset)
MATMUL(q4_0, SLMK_Q4_0, 3, 1, 0, offset)
MATMUL(q4_1, SLMK_Q4_1, 0, 1, 1, min)
MATMUL(q5_0, SLMK_Q5_0, 4, 1, 0, offset)
MATMUL(q5_1, SLMK_Q5_1, 0, 1, 1, min)
MATMUL(q2_k, SLMK_Q2_K, 0, 2, 1, min_parts)
MATMUL(q3_k, SLMK_Q3_K, 2, 2, 0, offset_parts)
MATMUL(q4_k, SLMK_Q4_K, 0, 1, 1, min)
MATMUL(q5_k, SLMK_Q5_K, 0, 1, 1, min)
MATMUL(q6_k, SLMK_Q6_K, 5, 2, 0, offset_parts)
MATMUL(iq4_nl, SLMK_IQ4_NL, 7, 1, 0, offset)

const slmk_table *slmk_table_avx_vnni(void)
{
    static const slmk_table table = {
        .name = "avx-vnni",
        .level = SLM_CPU_AVX_VNNI,
        SLMK_AVX2_KERNELS,
        .matmul = { SLMK_AVX2_FLOAT_PRODUCTS, SLMK_AVX2_BLOCK_PRODUCTS },
    };
    return &table;
}
