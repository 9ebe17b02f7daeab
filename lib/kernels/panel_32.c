/* SPDX-License-Identifier: MIT */
/* Rows of panel blocks of 32: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL. */
#include "kernels/panel_fields.h"

/* Source blocks, from the GGUF specification (little-endian):
 *   Q8_0          d, 32 bytes                     Q4_0, IQ4_NL  d, 16 bytes
 *   Q4_1          d, m, 16 bytes                  Q5_0          d, 4 bytes of bit 4, 16 bytes
 *   Q5_1          d, m, 4 bytes of bit 4, 16 bytes
 * Byte j of 16 holds weight j in its low nibble and weight j + 16 in its high one. */

/* Byte j of n of a source block is, of a panel block, byte j % 4 of group j / 4. */
static inline void put_bytes(uint8_t (*q)[16][4], uint32_t row, const uint8_t *bytes, uint32_t n,
                             uint64_t flip)
{
    for (uint32_t j = 0; j < n; j += 8) {
        slmk_store_bytes(q + j / 4, row, slmk_load_bytes(bytes + j) ^ flip);
    }
}

/* Bit 4 of 32 weights, weight 0 lowest. */
static void put_high(uint64_t h[8], uint32_t row, const uint8_t *bytes)
{
    const uint64_t bits = slmi_read_u32(bytes);
    for (uint32_t g = 0; g < 8; g++) {
        h[g] |= (bits >> 4 * g & 15) << 4 * row;
    }
}

void slmk_pack_q8_0(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q8_0 *out = block;
    for (uint32_t row = 0; row < n_rows; row++, source += stride) {
        out->d[row] = slmi_read_u16(source);
        put_bytes(out->q, row, source + 2, 32, UINT64_C(0x8080808080808080));
    }
}

void slmk_pack_q4_0(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q4_0 *out = block;
    for (uint32_t row = 0; row < n_rows; row++, source += stride) {
        out->d[row] = slmi_read_u16(source);
        put_bytes(out->q, row, source + 2, 16, 0);
    }
}

void slmk_pack_q4_1(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q4_1 *out = block;
    for (uint32_t row = 0; row < n_rows; row++, source += stride) {
        out->d[row] = slmi_read_u16(source);
        out->m[row] = slmi_read_u16(source + 2);
        put_bytes(out->q, row, source + 4, 16, 0);
    }
}

void slmk_pack_q5_0(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q5_0 *out = block;
    uint64_t h[8] = { 0 };
    for (uint32_t row = 0; row < n_rows; row++, source += stride) {
        out->d[row] = slmi_read_u16(source);
        put_high(h, row, source + 2);
        put_bytes(out->q, row, source + 6, 16, 0);
    }
    memcpy(out->h, h, sizeof(h));
}

void slmk_pack_q5_1(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q5_1 *out = block;
    uint64_t h[8] = { 0 };
    for (uint32_t row = 0; row < n_rows; row++, source += stride) {
        out->d[row] = slmi_read_u16(source);
        out->m[row] = slmi_read_u16(source + 2);
        put_high(h, row, source + 4);
        put_bytes(out->q, row, source + 8, 16, 0);
    }
    memcpy(out->h, h, sizeof(h));
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
