/* SPDX-License-Identifier: MIT */
/* Rows of panel blocks of 32: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL. */
#include "kernels/panel_fields.h"

/* Source blocks, from the GGUF specification (little-endian):
 *   Q8_0          d, 32 bytes                     Q4_0, IQ4_NL  d, 16 bytes
 *   Q4_1          d, m, 16 bytes                  Q5_0          d, 4 bytes of bit 4, 16 bytes
 *   Q5_1          d, m, 4 bytes of bit 4, 16 bytes
 * Byte j of 16 holds weight j in its low nibble and weight j + 16 in its high one. */

/* Splits 16 bytes of nibbles; `high` has one more bit for each weight, weight 0 lowest. */
static void split(const uint8_t *nibbles, uint32_t high, uint8_t v[SLMK_BLOCK])
{
    for (uint32_t j = 0; j < 16; j++) {
        v[j] = (uint8_t)((nibbles[j] & 15) | (high >> j & 1) << 4);
        v[j + 16] = (uint8_t)(nibbles[j] >> 4 | (high >> (j + 16) & 1) << 4);
    }
}

static uint32_t load_u32(const uint8_t *bytes)
{
    return slmk_load_u16(bytes) | (uint32_t)slmk_load_u16(bytes + 2) << 16;
}

void slmk_pack_q8_0(const uint8_t *source, uint32_t row, void *block)
{
    slmk_panel_q8_0 *out = block;
    out->d[row] = slmk_load_u16(source);
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        out->q[k / 4][row][k % 4] = source[2 + k] ^ 0x80;
    }
}

void slmk_pack_q4_0(const uint8_t *source, uint32_t row, void *block)
{
    slmk_panel_q4_0 *out = block;
    uint8_t v[SLMK_BLOCK];
    out->d[row] = slmk_load_u16(source);
    split(source + 2, 0, v);
    slmk_put_nibbles(out->q, row, v);
}

void slmk_pack_q4_1(const uint8_t *source, uint32_t row, void *block)
{
    slmk_panel_q4_1 *out = block;
    uint8_t v[SLMK_BLOCK];
    out->d[row] = slmk_load_u16(source);
    out->m[row] = slmk_load_u16(source + 2);
    split(source + 4, 0, v);
    slmk_put_nibbles(out->q, row, v);
}

void slmk_pack_q5_0(const uint8_t *source, uint32_t row, void *block)
{
    slmk_panel_q5_0 *out = block;
    uint8_t v[SLMK_BLOCK];
    out->d[row] = slmk_load_u16(source);
    split(source + 6, load_u32(source + 2), v);
    slmk_put_nibbles(out->q, row, v);
    slmk_put_bits(out->h, row, v, 4);
}

void slmk_pack_q5_1(const uint8_t *source, uint32_t row, void *block)
{
    slmk_panel_q5_1 *out = block;
    uint8_t v[SLMK_BLOCK];
    out->d[row] = slmk_load_u16(source);
    out->m[row] = slmk_load_u16(source + 2);
    split(source + 8, load_u32(source + 4), v);
    slmk_put_nibbles(out->q, row, v);
    slmk_put_bits(out->h, row, v, 4);
}

/* Half-precision -0, which leaves every sum as it is. */
#define NO_MINIMUM 0x8000

/* Sets what has one value for all 32 weights. */
static void set_scale(slmk_row_block *out, uint16_t d, uint16_t m)
{
    out->scale[0] = out->scale[1] = slmk_f16_to_f32(d);
    out->min[0] = out->min[1] = slmk_f16_to_f32(m);
}

/* Weights from nibbles and bit 4; h may be NULL. */
static void read_weights(const uint8_t q[4][16][4], const uint64_t *h, uint32_t row, int offset,
                         slmk_row_block *out)
{
    uint8_t v[SLMK_BLOCK];
    uint8_t high[SLMK_BLOCK] = { 0 };
    slmk_get_nibbles(v, q, row);
    if (h) {
        slmk_get_bits(high, h, row);
    }
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        out->q[k] = (int8_t)((v[k] | high[k] << 4) - offset);
    }
}

void slmk_read_q8_0(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q8_0 *block = (const slmk_panel_q8_0 *)panel + index;
    set_scale(out, block->d[row], NO_MINIMUM);
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        out->q[k] = (int8_t)(block->q[k / 4][row][k % 4] - 128);
    }
}

void slmk_read_q4_0(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q4_0 *block = (const slmk_panel_q4_0 *)panel + index;
    set_scale(out, block->d[row], NO_MINIMUM);
    read_weights(block->q, NULL, row, 8, out);
}

void slmk_read_iq4_nl(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q4_0 *block = (const slmk_panel_q4_0 *)panel + index;
    set_scale(out, block->d[row], NO_MINIMUM);
    read_weights(block->q, NULL, row, 0, out);
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        out->q[k] = slmk_iq4_nl_values[out->q[k]];
    }
}

void slmk_read_q4_1(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q4_1 *block = (const slmk_panel_q4_1 *)panel + index;
    set_scale(out, block->d[row], block->m[row]);
    read_weights(block->q, NULL, row, 0, out);
}

void slmk_read_q5_0(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q5_0 *block = (const slmk_panel_q5_0 *)panel + index;
    set_scale(out, block->d[row], NO_MINIMUM);
    read_weights(block->q, block->h, row, 16, out);
}

void slmk_read_q5_1(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q5_1 *block = (const slmk_panel_q5_1 *)panel + index;
    set_scale(out, block->d[row], block->m[row]);
    read_weights(block->q, block->h, row, 0, out);
}
