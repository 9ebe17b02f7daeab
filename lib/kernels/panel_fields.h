/* SPDX-License-Identifier: MIT */
/* Writing and reading one row of a panel block: what panel_32.c and panel_k.c share. */
#ifndef SLMI_KERNELS_PANEL_FIELDS_H
#define SLMI_KERNELS_PANEL_FIELDS_H

#include "base/bytes.h"
#include "kernels/math.h"
#include "kernels/panel.h"

/* One row of 32 weights: value = scale * q + min, with an own scale and minimum for each half. */
typedef struct slmk_row_block {
    int8_t q[SLMK_BLOCK];
    float scale[2]; /* d, or d * sc */
    float min[2];   /* m, or -(dmin * mn), or -0 */
} slmk_row_block;

/* Writes a source block of each of n_rows (1..16) rows, which lie `stride` bytes apart, into a panel block;
 * the places of missing rows stay as they are, but for bits that share a word with those of others: 0. */
typedef void slmk_pack_fn(const uint8_t *source, size_t stride, uint32_t n_rows, void *block);

/* Reads 32-block `index` of a row of a panel. */
typedef void slmk_read_fn(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out);

slmk_pack_fn slmk_pack_q8_0, slmk_pack_q4_0, slmk_pack_q4_1, slmk_pack_q5_0, slmk_pack_q5_1;
slmk_pack_fn slmk_pack_q2_k, slmk_pack_q3_k, slmk_pack_q4_k, slmk_pack_q5_k, slmk_pack_q6_k;

slmk_read_fn slmk_read_q8_0, slmk_read_q4_0, slmk_read_q4_1, slmk_read_q5_0, slmk_read_q5_1;
slmk_read_fn slmk_read_q2_k, slmk_read_q3_k, slmk_read_q4_k, slmk_read_q5_k, slmk_read_q6_k;
slmk_read_fn slmk_read_iq4_nl;

/* The reader of a type that is not a float type. */
slmk_read_fn *slmk_row_reader(int type);

/* Eight neighbouring bytes as one number, for what is done to each byte alone: where a mask keeps bits from
 * crossing over, the order of the bytes in it does not matter. */
static inline uint64_t slmk_load_bytes(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Stores eight bytes as those of a row in two neighbouring groups. */
static inline void slmk_store_bytes(uint8_t q[2][16][4], uint32_t row, uint64_t word)
{
    uint8_t bytes[8];
    memcpy(bytes, &word, sizeof(word));
    memcpy(q[0][row], bytes, 4);
    memcpy(q[1][row], bytes + 4, 4);
}

/* The low 4, 2 or 1 bits of each byte. */
#define SLMK_NIBBLES UINT64_C(0x0F0F0F0F0F0F0F0F)
#define SLMK_PAIRS UINT64_C(0x0303030303030303)
#define SLMK_BITS UINT64_C(0x0101010101010101)

/* Fields of a row, from 32 bytes that hold them at `shift`: nibbles two to a byte, pairs of bits four. */

static inline void slmk_put_nibbles(uint8_t q[4][16][4], uint32_t row, const uint8_t *run, uint32_t shift)
{
    for (uint32_t j = 0; j < 4; j += 2) {
        const uint64_t low = slmk_load_bytes(run + 4 * j) >> shift & SLMK_NIBBLES;
        const uint64_t high = slmk_load_bytes(run + 16 + 4 * j) >> shift & SLMK_NIBBLES;
        slmk_store_bytes(q + j, row, low | high << 4);
    }
}

static inline void slmk_put_pairs(uint8_t q[2][16][4], uint32_t row, const uint8_t *run, uint32_t shift)
{
    uint64_t word = 0;
    for (uint32_t f = 0; f < 4; f++) {
        word |= (slmk_load_bytes(run + 8 * f) >> shift & SLMK_PAIRS) << 2 * f;
    }
    slmk_store_bytes(q, row, word);
}

/* Bit `shift` of 32 bytes, into planes that are zero in this row's places. */
static inline void slmk_put_bits(uint64_t h[8], uint32_t row, const uint8_t *run, uint32_t shift)
{
    for (uint32_t g = 0; g < 8; g += 2) {
        /* Moves the lowest bit of byte i to bit 56 + i; no two products meet. */
        const uint64_t bits = slmi_read_u64(run + 4 * g) >> shift & SLMK_BITS;
        const uint64_t eight = bits * UINT64_C(0x0102040810204080) >> 56;
        h[g] |= (eight & 15) << 4 * row;
        h[g + 1] |= eight >> 4 << 4 * row;
    }
}

static inline void slmk_get_nibbles(uint8_t v[SLMK_BLOCK], const uint8_t q[4][16][4], uint32_t row)
{
    for (uint32_t k = 0; k < 16; k++) {
        v[k] = q[k / 4][row][k % 4] & 15;
        v[k + 16] = q[k / 4][row][k % 4] >> 4;
    }
}

static inline void slmk_get_pairs(uint8_t v[SLMK_BLOCK], const uint8_t q[2][16][4], uint32_t row)
{
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        v[k] = q[k / 4 % 2][row][k % 4] >> k / 8 * 2 & 3;
    }
}

static inline void slmk_get_bits(uint8_t v[SLMK_BLOCK], const uint64_t h[8], uint32_t row)
{
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        v[k] = h[k / 4] >> (4 * row + k % 4) & 1;
    }
}

#endif
