/* SPDX-License-Identifier: MIT */
/* Products of the types in super-blocks of 256: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K (AVX-512, VNNI). */
#include "kernels/x86/avx512_blocks.h"
#include "kernels/x86/avx512_kernels.h"

SLMK_INLINE __m512 scales_u8(__m128i bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

SLMK_INLINE __m512 scales_i8(const int8_t *bytes)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x));
}

SLMK_INLINE __m128i load_16(const uint8_t *bytes)
{
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

SLMK_INLINE void unpack_pairs(const uint8_t q[2][16][4], __m512i out[8])
{
    const __m512i low = _mm512_set1_epi8(3);
    SLMK_UNROLL
    for (int j = 0; j < 2; j++) {
        __m512i x = _mm512_loadu_si512(q[j]);
        out[j] = _mm512_and_si512(x, low);
        out[j + 2] = _mm512_and_si512(_mm512_srli_epi16(x, 2), low);
        out[j + 4] = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
        out[j + 6] = _mm512_and_si512(_mm512_srli_epi16(x, 6), low);
    }
}

#define A_OR_B_AND_C 0xf8 /* truth table for vpternlog */

/* Puts the pairs of h into bits 4..5 of q. */
SLMK_INLINE void or_pairs(const uint8_t h[2][16][4], __m512i q[8])
{
    const __m512i field = _mm512_set1_epi8(0x30);
    SLMK_UNROLL
    for (int j = 0; j < 2; j++) {
        __m512i x = _mm512_loadu_si512(h[j]);
        __m512i x0 = _mm512_slli_epi16(x, 4);
        __m512i x1 = _mm512_slli_epi16(x, 2);
        __m512i x3 = _mm512_srli_epi16(x, 2);
        q[j] = _mm512_ternarylogic_epi32(q[j], x0, field, A_OR_B_AND_C);
        q[j + 2] = _mm512_ternarylogic_epi32(q[j + 2], x1, field, A_OR_B_AND_C);
        q[j + 4] = _mm512_ternarylogic_epi32(q[j + 4], x, field, A_OR_B_AND_C);
        q[j + 6] = _mm512_ternarylogic_epi32(q[j + 6], x3, field, A_OR_B_AND_C);
    }
}

SLMK_INLINE void unpack_q2_k(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q2_k *block = (const slmk_panel_q2_k *)(const void *)panel + index / 8;
    const __m128i low = _mm_set1_epi8(15);
    const __m512 d = load_halves(block->d);
    const __m512 dmin = load_halves(block->dmin);
    SLMK_UNROLL
    for (int half = 0; half < 2; half++) {
        __m128i sc = load_16(block->sub[index % 8].sc[half]);
        __m128i mn = _mm_and_si128(_mm_srli_epi16(sc, 4), low);
        w->scale[half] = _mm512_mul_ps(d, scales_u8(_mm_and_si128(sc, low)));
        w->minus_min[half] = _mm512_mul_ps(dmin, scales_u8(mn));
    }
    unpack_pairs(block->sub[index % 8].q, w->q);
}

SLMK_INLINE void unpack_q3_k(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q3_k *block = (const slmk_panel_q3_k *)(const void *)panel + index / 8;
    const __m512 d = load_halves(block->d);
    w->scale[0] = _mm512_mul_ps(d, scales_i8(block->sub[index % 8].sc[0]));
    w->scale[1] = _mm512_mul_ps(d, scales_i8(block->sub[index % 8].sc[1]));
    unpack_pairs(block->sub[index % 8].q, w->q);
    add_bits(block->sub[index % 8].h, 4, w->q);
}

SLMK_INLINE void unpack_q4_k(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q4_k *block = (const slmk_panel_q4_k *)(const void *)panel + index / 8;
    w->scale[0] =
        _mm512_mul_ps(load_halves(block->d), scales_u8(load_16(block->sub[index % 8].sc)));
    w->minus_min[0] =
        _mm512_mul_ps(load_halves(block->dmin), scales_u8(load_16(block->sub[index % 8].mn)));
    unpack_nibbles(block->sub[index % 8].q, w->q);
}

SLMK_INLINE void unpack_q5_k(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q5_k *block = (const slmk_panel_q5_k *)(const void *)panel + index / 8;
    w->scale[0] =
        _mm512_mul_ps(load_halves(block->d), scales_u8(load_16(block->sub[index % 8].sc)));
    w->minus_min[0] =
        _mm512_mul_ps(load_halves(block->dmin), scales_u8(load_16(block->sub[index % 8].mn)));
    unpack_nibbles(block->sub[index % 8].q, w->q);
    add_bits(block->sub[index % 8].h, 16, w->q);
}

SLMK_INLINE void unpack_q6_k(const uint8_t *panel, uint32_t index, weights *w)
{
    const slmk_panel_q6_k *block = (const slmk_panel_q6_k *)(const void *)panel + index / 8;
    const __m512 d = load_halves(block->d);
    w->scale[0] = _mm512_mul_ps(d, scales_i8(block->sub[index % 8].sc[0]));
    w->scale[1] = _mm512_mul_ps(d, scales_i8(block->sub[index % 8].sc[1]));
    unpack_nibbles(block->sub[index % 8].q, w->q);
    or_pairs(block->sub[index % 8].h, w->q);
}

MATMUL_BLOCKS(slmk_matmul_q2_k_avx512, SLMK_Q2_K, unpack_q2_k, 2, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q3_k_avx512, SLMK_Q3_K, unpack_q3_k, 2, 0, 2)
MATMUL_BLOCKS(slmk_matmul_q4_k_avx512, SLMK_Q4_K, unpack_q4_k, 1, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q5_k_avx512, SLMK_Q5_K, unpack_q5_k, 1, 1, 0)
MATMUL_BLOCKS(slmk_matmul_q6_k_avx512, SLMK_Q6_K, unpack_q6_k, 2, 0, 5)
