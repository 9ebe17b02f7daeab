/* SPDX-License-Identifier: MIT */
/* Products of the types in blocks of 32: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL (AVX-512, VNNI). */
#include "kernels/x86/avx512_blocks.h"
#include "kernels/x86/avx512_kernels.h"

/* slmk_iq4_nl_values + 128 */
static const uint8_t iq4_nl_stored[16] = {
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241,
};

SLMK_INLINE __m512 negate(__m512 x)
{
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
}

SLMK_INLINE void unpack_q8_0(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q8_0 *block = (const slmk_panel_q8_0 *)(const void *)panel + index;
    w->scale[0] = load_halves(block->d);
    SLMK_UNROLL
    for (int g = 0; g < 8; g++) {
        w->q[g] = _mm512_loadu_si512(block->q[g]);
    }
}

SLMK_INLINE void unpack_q4_0(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q4_0 *block = (const slmk_panel_q4_0 *)(const void *)panel + index;
    w->scale[0] = load_halves(block->d);
    unpack_nibbles(block->q, w->q);
}

SLMK_INLINE void unpack_iq4_nl(const uint8_t *panel, uint32_t index, weights *w)
{
    const __m512i values =
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)iq4_nl_stored));
    unpack_q4_0(panel, index, w);
    SLMK_UNROLL
    for (int g = 0; g < 8; g++) {
        w->q[g] = _mm512_shuffle_epi8(values, w->q[g]);
    }
}

SLMK_INLINE void unpack_q4_1(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q4_1 *block = (const slmk_panel_q4_1 *)(const void *)panel + index;
    w->scale[0] = load_halves(block->d);
    w->minus_min[0] = negate(load_halves(block->m));
    unpack_nibbles(block->q, w->q);
}

SLMK_INLINE void unpack_q5_0(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q5_0 *block = (const slmk_panel_q5_0 *)(const void *)panel + index;
    w->scale[0] = load_halves(block->d);
    unpack_nibbles(block->q, w->q);
    add_bits(block->h, 16, w->q);
}

SLMK_INLINE void unpack_q5_1(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q5_1 *block = (const slmk_panel_q5_1 *)(const void *)panel + index;
    w->scale[0] = load_halves(block->d);
    w->minus_min[0] = negate(load_halves(block->m));
    unpack_nibbles(block->q, w->q);
    add_bits(block->h, 16, w->q);
}

MATMUL_BLOCKS(slmk_matmul_q8_0_avx512, SLMK_Q8_0, unpack_q8_0, 1, 0, 7)
MATMUL_BLOCKS(slmk_matmul_q4_0_avx512, SLMK_Q4_0, unpack_q4_0, 1, 0, 3)
MATMUL_BLOCKS(slmk_matmul_q4_1_avx512, SLMK_Q4_1, unpack_q4_1, 1, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q5_0_avx512, SLMK_Q5_0, unpack_q5_0, 1, 0, 4)
MATMUL_BLOCKS(slmk_matmul_q5_1_avx512, SLMK_Q5_1, unpack_q5_1, 1, 1, 0)
MATMUL_BLOCKS(slmk_matmul_iq4_nl_avx512, SLMK_IQ4_NL, unpack_iq4_nl, 1, 0, 7)
