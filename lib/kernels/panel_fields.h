/* SPDX-License-Identifier: MIT */
/* Writing and reading one row of a panel block: what panel_32.c and panel_k.c share. */
#ifndef SLMI_KERNELS_PANEL_FIELDS_H
#define SLMI_KERNELS_PANEL_FIELDS_H

#include "kernels/math.h"
#include "kernels/panel.h"

/* One row of 32 weights: value = scale * q + min, with an own scale and minimum for each half. */
typedef struct slmk_row_block {
    int8_t q[SLMK_BLOCK];
    float scale[2]; /* d, or d * sc */
    float min[2];   /* m, or -(dmin * mn), or -0 */
} slmk_row_block;

/* Writes a source block of one row into a panel block that is all zero in this row's places. */
typedef void slmk_pack_fn(const uint8_t *source, uint32_t row, void *block);

/* Reads 32-block `index` of a row of a panel. */
typedef void slmk_read_fn(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out);

slmk_pack_fn slmk_pack_q8_0, slmk_pack_q4_0, slmk_pack_q4_1, slmk_pack_q5_0, slmk_pack_q5_1;
slmk_pack_fn slmk_pack_q2_k, slmk_pack_q3_k, slmk_pack_q4_k, slmk_pack_q5_k, slmk_pack_q6_k;

slmk_read_fn slmk_read_q8_0, slmk_read_q4_0, slmk_read_q4_1, slmk_read_q5_0, slmk_read_q5_1;
slmk_read_fn slmk_read_q2_k, slmk_read_q3_k, slmk_read_q4_k, slmk_read_q5_k, slmk_read_q6_k;
slmk_read_fn slmk_read_iq4_nl;

/* The reader of a type that is not a float type. */
slmk_read_fn *slmk_row_reader(int type);

static inline uint16_t slmk_load_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* The fields take the low 4, 2 or 1 bits of v[k] >> shift. */

static inline void slmk_put_nibbles(uint8_t q[4][16][4], uint32_t row, const uint8_t *v)
{
    for (uint32_t k = 0; k < 16; k++) {
        q[k / 4][row][k % 4] = (uint8_t)((v[k] & 15) | (v[k + 16] & 15) << 4);
    }
}

static inline void slmk_put_pairs(uint8_t q[2][16][4], uint32_t row, const uint8_t *v, int shift)
{
    for (uint32_t k = 0; k < 8; k++) {
        unsigned byte = 0;
        for (uint32_t f = 0; f < 4; f++) {
            byte |= (v[k + 8 * f] >> shift & 3u) << 2 * f;
        }
        q[k / 4][row][k % 4] = (uint8_t)byte;
    }
}

static inline void slmk_put_bits(uint64_t h[8], uint32_t row, const uint8_t *v, int shift)
{
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        h[k / 4] |= (uint64_t)(v[k] >> shift & 1) << (4 * row + k % 4);
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
