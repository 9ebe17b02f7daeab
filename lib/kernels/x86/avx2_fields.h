/* SPDX-License-Identifier: MIT */
/* Weights, scales and minima of a panel block of any block type, 8 rows at a time (AVX2). */
#ifndef SLMI_KERNELS_X86_AVX2_FIELDS_H
#define SLMI_KERNELS_X86_AVX2_FIELDS_H

#include "kernels/x86/avx2.h"

/* Blocks of 32 inputs that are unpacked at a time: one super-block of the K types. */
#define SLMK_STRIP 8

/*
 * Up to 256 inputs of a panel, unpacked from its type's encoding for all tokens of a product: 8 groups of
 * 4 inputs for each of the 16 rows, as unsigned bytes. A type in two parts has scales of its own for each
 * 16 inputs.
 */
typedef struct slmk_strip {
    float scale[SLMK_STRIP][2][16];         /* d or d * sc */
    float minus_min[SLMK_STRIP][2][16];     /* -m or dmin * mn: what the negated sum is multiplied by */
    const uint8_t (*q[SLMK_STRIP])[16][4];  /* 8 groups; in two planes: 8 low nibbles, 8 high ones */
    uint8_t bytes[SLMK_STRIP][16][16][4];   /* where they lie if they had to be unpacked */
} slmk_strip;

/* Stands for a type where weights come from a strip. */
#define SLMK_UNPACKED SLMK_N_TYPES

/* Weights of 8 bits may be wanted in two planes of 4 bits, of which the second counts 16-fold. */
enum { WHOLE, LOW_PLANE, HIGH_PLANE };

/* In the functions below `row` (0 or 8) is the first of 8 rows, and `type` is known at compile time. */

SLMK_INLINE __m256i low_bits(__m256i bytes, unsigned shift, char mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, (int)shift), _mm256_set1_epi8(mask));
}

/* q[4]: groups j, j + 4 */
SLMK_INLINE __m256i nibbles(const uint8_t (*q)[16][4], unsigned row, unsigned g)
{
    return low_bits(load_bytes(q[g & 3][row]), g < 4 ? 0 : 4, 15);
}

/* q[2]: groups j, j + 2, j + 4, j + 6 */
SLMK_INLINE __m256i crumbs(const uint8_t (*q)[16][4], unsigned row, unsigned g)
{
    return low_bits(load_bytes(q[g & 1][row]), g / 2 * 2, 3);
}

/* 32 bits of the plane become 32 bytes, `value` where the bit is set. */
SLMK_INLINE __m256i plane_bits(const uint64_t h[8], unsigned row, unsigned g, char value)
{
    const __m256i byte_of =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bytes = broadcast_word((const uint8_t *)h + 8 * g + row / 2);
    __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(bytes, byte_of), bit_of);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of), _mm256_set1_epi8(value));
}

/* slmk_iq4_nl_values + 128 */
SLMK_INLINE __m256i look_up(__m256i codes, unsigned plane)
{
    const __m128i values = load_bytes_16(slmk_iq4_nl_values);
    __m256i table = _mm256_xor_si256(_mm256_broadcastsi128_si256(values), _mm256_set1_epi8(-128));
    if (plane != WHOLE) {
        table = low_bits(table, plane == LOW_PLANE ? 0 : 4, 15);
    }
    return _mm256_shuffle_epi8(table, codes);
}

/* Group g of 32-block `index`: unsigned weights as they are stored. */
SLMK_INLINE __m256i weights_of(int type, const void *panel, size_t index, unsigned row, unsigned g,
                               unsigned plane)
{
    switch (type) {
    case SLMK_UNPACKED:
        return load_bytes(((const slmk_strip *)panel)->q[index][g + (plane == HIGH_PLANE ? 8 : 0)][row]);
    case SLMK_Q8_0: {
        __m256i bytes = load_bytes(((const slmk_panel_q8_0 *)panel)[index].q[g][row]);
        return plane == WHOLE ? bytes : low_bits(bytes, plane == LOW_PLANE ? 0 : 4, 15);
    }
    case SLMK_Q4_0:
        return nibbles(((const slmk_panel_q4_0 *)panel)[index].q, row, g);
    case SLMK_IQ4_NL:
        return look_up(nibbles(((const slmk_panel_q4_0 *)panel)[index].q, row, g), plane);
    case SLMK_Q4_1:
        return nibbles(((const slmk_panel_q4_1 *)panel)[index].q, row, g);
    case SLMK_Q5_0: {
        const slmk_panel_q5_0 *b = (const slmk_panel_q5_0 *)panel + index;
        return _mm256_or_si256(nibbles(b->q, row, g), plane_bits(b->h, row, g, 16));
    }
    case SLMK_Q5_1: {
        const slmk_panel_q5_1 *b = (const slmk_panel_q5_1 *)panel + index;
        return _mm256_or_si256(nibbles(b->q, row, g), plane_bits(b->h, row, g, 16));
    }
    case SLMK_Q2_K:
        return crumbs(((const slmk_panel_q2_k *)panel)[index / 8].sub[index % 8].q, row, g);
    case SLMK_Q3_K: {
        const slmk_panel_q3_k *b = (const slmk_panel_q3_k *)panel + index / 8;
        return _mm256_or_si256(crumbs(b->sub[index % 8].q, row, g),
                               plane_bits(b->sub[index % 8].h, row, g, 4));
    }
    case SLMK_Q4_K:
        return nibbles(((const slmk_panel_q4_k *)panel)[index / 8].sub[index % 8].q, row, g);
    case SLMK_Q5_K: {
        const slmk_panel_q5_k *b = (const slmk_panel_q5_k *)panel + index / 8;
        return _mm256_or_si256(nibbles(b->sub[index % 8].q, row, g),
                               plane_bits(b->sub[index % 8].h, row, g, 16));
    }
    default: {
        const slmk_panel_q6_k *b = (const slmk_panel_q6_k *)panel + index / 8;
        return _mm256_or_si256(nibbles(b->sub[index % 8].q, row, g),
                               _mm256_slli_epi16(crumbs(b->sub[index % 8].h, row, g), 4));
    }
    }
}

/* d * scale, from unsigned or signed bytes. */
SLMK_INLINE __m256 times_u8(const uint16_t *d, __m128i scales)
{
    return _mm256_mul_ps(load_f16(d), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scales)));
}

SLMK_INLINE __m256 times_i8(const uint16_t *d, const int8_t *scales)
{
    return _mm256_mul_ps(load_f16(d), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes_8(scales))));
}

/* Scale of part 0 or 1 of 32-block `index`. */
SLMK_INLINE __m256 scale_of(int type, const void *panel, size_t index, unsigned row, unsigned part)
{
    switch (type) {
    case SLMK_UNPACKED:
        return load_f32(((const slmk_strip *)panel)->scale[index][part] + row);
    case SLMK_Q8_0:
        return load_f16(((const slmk_panel_q8_0 *)panel)[index].d + row);
    case SLMK_Q4_0:
    case SLMK_IQ4_NL:
        return load_f16(((const slmk_panel_q4_0 *)panel)[index].d + row);
    case SLMK_Q4_1:
        return load_f16(((const slmk_panel_q4_1 *)panel)[index].d + row);
    case SLMK_Q5_0:
        return load_f16(((const slmk_panel_q5_0 *)panel)[index].d + row);
    case SLMK_Q5_1:
        return load_f16(((const slmk_panel_q5_1 *)panel)[index].d + row);
    case SLMK_Q2_K: {
        const slmk_panel_q2_k *b = (const slmk_panel_q2_k *)panel + index / 8;
        __m128i both = load_bytes_8(b->sub[index % 8].sc[part] + row);
        return times_u8(b->d + row, _mm_and_si128(both, _mm_set1_epi8(15)));
    }
    case SLMK_Q3_K: {
        const slmk_panel_q3_k *b = (const slmk_panel_q3_k *)panel + index / 8;
        return times_i8(b->d + row, b->sub[index % 8].sc[part] + row);
    }
    case SLMK_Q4_K: {
        const slmk_panel_q4_k *b = (const slmk_panel_q4_k *)panel + index / 8;
        return times_u8(b->d + row, load_bytes_8(b->sub[index % 8].sc + row));
    }
    case SLMK_Q5_K: {
        const slmk_panel_q5_k *b = (const slmk_panel_q5_k *)panel + index / 8;
        return times_u8(b->d + row, load_bytes_8(b->sub[index % 8].sc + row));
    }
    default: {
        const slmk_panel_q6_k *b = (const slmk_panel_q6_k *)panel + index / 8;
        return times_i8(b->d + row, b->sub[index % 8].sc[part] + row);
    }
    }
}

SLMK_INLINE __m256 negated(__m256 x)
{
    return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
}

/* Of types with minima: what the negated sum of activations is multiplied by. */
SLMK_INLINE __m256 minus_min_of(int type, const void *panel, size_t index, unsigned row, unsigned part)
{
    switch (type) {
    case SLMK_UNPACKED:
        return load_f32(((const slmk_strip *)panel)->minus_min[index][part] + row);
    case SLMK_Q4_1:
        return negated(load_f16(((const slmk_panel_q4_1 *)panel)[index].m + row));
    case SLMK_Q5_1:
        return negated(load_f16(((const slmk_panel_q5_1 *)panel)[index].m + row));
    case SLMK_Q2_K: {
        const slmk_panel_q2_k *b = (const slmk_panel_q2_k *)panel + index / 8;
        __m128i both = load_bytes_8(b->sub[index % 8].sc[part] + row);
        return times_u8(b->dmin + row, _mm_and_si128(_mm_srli_epi16(both, 4), _mm_set1_epi8(15)));
    }
    case SLMK_Q4_K: {
        const slmk_panel_q4_k *b = (const slmk_panel_q4_k *)panel + index / 8;
        return times_u8(b->dmin + row, load_bytes_8(b->sub[index % 8].mn + row));
    }
    default: {
        const slmk_panel_q5_k *b = (const slmk_panel_q5_k *)panel + index / 8;
        return times_u8(b->dmin + row, load_bytes_8(b->sub[index % 8].mn + row));
    }
    }
}

#endif
