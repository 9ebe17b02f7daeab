/* SPDX-License-Identifier: MIT */
/* Rows of panel blocks of 256: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. */
#include "kernels/panel_fields.h"

/* Source blocks, from the GGUF specification (little-endian):
 *   Q2_K   16 bytes of scales, 64 of 2-bit weights, d, dmin
 *   Q3_K   32 bytes of bit 2, 64 of bits 0..1, 12 of scales, d
 *   Q4_K   d, dmin, 12 bytes of scales, 128 of nibbles
 *   Q5_K   d, dmin, 12 bytes of scales, 32 of bit 4, 128 of nibbles
 *   Q6_K   128 bytes of nibbles, 64 of bits 4..5, 16 of scales, d
 * Weights stand in sub-blocks of 32, s = 0..7: byte l of a run belongs to weight l of several
 * sub-blocks. */

/* Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minima in 12 bytes. */
static uint8_t scale_of(const uint8_t *packed, uint32_t s)
{
    return s < 4 ? packed[s] & 63 : (uint8_t)((packed[s + 4] & 15) | packed[s - 4] >> 6 << 4);
}

static uint8_t minimum_of(const uint8_t *packed, uint32_t s)
{
    return s < 4 ? packed[s + 4] & 63 : (uint8_t)(packed[s + 4] >> 4 | packed[s] >> 6 << 4);
}

/* Writes the half-precision factor at `d` of each row. */
static void put_factors(const uint8_t *d, size_t stride, uint32_t n_rows, uint16_t *out)
{
    for (uint32_t row = 0; row < n_rows; row++) {
        out[row] = slmi_read_u16(d + row * stride);
    }
}

void slmk_pack_q2_k(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q2_k *out = block;
    put_factors(source + 80, stride, n_rows, out->d);
    put_factors(source + 82, stride, n_rows, out->dmin);
    for (uint32_t s = 0; s < 8; s++) { /* sub-blocks 4n + j have bits 2j..2j+1 of run n */
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = source + row * stride;
            out->sub[s].sc[0][row] = from[2 * s];
            out->sub[s].sc[1][row] = from[2 * s + 1];
            slmk_put_pairs(out->sub[s].q, row, from + 16 + s / 4 * 32, s % 4 * 2);
        }
    }
}

/* Q3_K: scale i of sixteen 6-bit ones, 4 bits in bytes 0..7 and 2 in bytes 8..11. */
static int8_t signed_scale_of(const uint8_t *packed, uint32_t i)
{
    const int low = packed[i % 8] >> i / 8 * 4 & 15;
    const int high = packed[8 + i % 4] >> i / 4 * 2 & 3;
    return (int8_t)((low | high << 4) - 32);
}

void slmk_pack_q3_k(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q3_k *out = block;
    put_factors(source + 108, stride, n_rows, out->d);
    for (uint32_t s = 0; s < 8; s++) {
        uint64_t h[8] = { 0 };
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = source + row * stride;
            out->sub[s].sc[0][row] = signed_scale_of(from + 96, 2 * s);
            out->sub[s].sc[1][row] = signed_scale_of(from + 96, 2 * s + 1);
            slmk_put_pairs(out->sub[s].q, row, from + 32 + s / 4 * 32, s % 4 * 2); /* as Q2_K */
            slmk_put_bits(h, row, from, s);
        }
        memcpy(out->sub[s].h, h, sizeof(h));
    }
}

void slmk_pack_q4_k(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q4_k *out = block;
    put_factors(source, stride, n_rows, out->d);
    put_factors(source + 2, stride, n_rows, out->dmin);
    for (uint32_t s = 0; s < 8; s++) { /* sub-blocks 2c and 2c + 1 share run c */
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = source + row * stride;
            out->sub[s].sc[row] = scale_of(from + 4, s);
            out->sub[s].mn[row] = minimum_of(from + 4, s);
            slmk_put_nibbles(out->sub[s].q, row, from + 16 + s / 2 * 32, s % 2 * 4);
        }
    }
}

void slmk_pack_q5_k(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q5_k *out = block;
    put_factors(source, stride, n_rows, out->d);
    put_factors(source + 2, stride, n_rows, out->dmin);
    for (uint32_t s = 0; s < 8; s++) {
        uint64_t h[8] = { 0 };
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = source + row * stride;
            out->sub[s].sc[row] = scale_of(from + 4, s);
            out->sub[s].mn[row] = minimum_of(from + 4, s);
            slmk_put_nibbles(out->sub[s].q, row, from + 48 + s / 2 * 32, s % 2 * 4); /* as Q4_K */
            slmk_put_bits(h, row, from + 16, s);
        }
        memcpy(out->sub[s].h, h, sizeof(h));
    }
}

void slmk_pack_q6_k(const uint8_t *source, size_t stride, uint32_t n_rows, void *block)
{
    slmk_panel_q6_k *out = block;
    put_factors(source + 208, stride, n_rows, out->d);
    for (uint32_t s = 0; s < 8; s++) {
        /* Of each half's four sub-blocks, the first two have the low nibbles of its two runs. */
        const uint8_t *run = source + s / 4 * 64 + s % 2 * 32;
        for (uint32_t row = 0; row < n_rows; row++) {
            const uint8_t *from = source + row * stride;
            out->sub[s].sc[0][row] = (int8_t)from[192 + 2 * s];
            out->sub[s].sc[1][row] = (int8_t)from[192 + 2 * s + 1];
            slmk_put_nibbles(out->sub[s].q, row, run + row * stride, s % 4 / 2 * 4);
            slmk_put_pairs(out->sub[s].h, row, from + 128 + s / 4 * 32, s % 4 * 2);
        }
    }
}

static void set_weights(slmk_row_block *out, const uint8_t *low, const uint8_t *high, int shift,
                        int offset)
{
    for (uint32_t k = 0; k < SLMK_BLOCK; k++) {
        out->q[k] = (int8_t)((low[k] | high[k] << shift) - offset);
    }
}

static void set_half(slmk_row_block *out, int half, float scale, float minimum)
{
    out->scale[half] = scale;
    out->min[half] = -minimum;
}

void slmk_read_q2_k(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q2_k *block = (const slmk_panel_q2_k *)panel + index / 8;
    float d = slmk_f16_to_f32(block->d[row]);
    float dmin = slmk_f16_to_f32(block->dmin[row]);
    uint8_t v[SLMK_BLOCK];
    uint8_t none[SLMK_BLOCK] = { 0 };
    slmk_get_pairs(v, block->sub[index % 8].q, row);
    set_weights(out, v, none, 0, 0);
    for (int half = 0; half < 2; half++) {
        uint8_t sc = block->sub[index % 8].sc[half][row];
        set_half(out, half, d * (float)(sc & 15), dmin * (float)(sc >> 4));
    }
}

void slmk_read_q3_k(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q3_k *block = (const slmk_panel_q3_k *)panel + index / 8;
    float d = slmk_f16_to_f32(block->d[row]);
    uint8_t v[SLMK_BLOCK];
    uint8_t high[SLMK_BLOCK];
    slmk_get_pairs(v, block->sub[index % 8].q, row);
    slmk_get_bits(high, block->sub[index % 8].h, row);
    set_weights(out, v, high, 2, 4);
    for (int half = 0; half < 2; half++) {
        set_half(out, half, d * (float)block->sub[index % 8].sc[half][row], 0);
    }
}

void slmk_read_q4_k(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q4_k *block = (const slmk_panel_q4_k *)panel + index / 8;
    float d = slmk_f16_to_f32(block->d[row]);
    float dmin = slmk_f16_to_f32(block->dmin[row]);
    uint8_t v[SLMK_BLOCK];
    uint8_t none[SLMK_BLOCK] = { 0 };
    slmk_get_nibbles(v, block->sub[index % 8].q, row);
    set_weights(out, v, none, 0, 0);
    for (int half = 0; half < 2; half++) {
        set_half(out, half, d * (float)block->sub[index % 8].sc[row],
                 dmin * (float)block->sub[index % 8].mn[row]);
    }
}

void slmk_read_q5_k(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q5_k *block = (const slmk_panel_q5_k *)panel + index / 8;
    float d = slmk_f16_to_f32(block->d[row]);
    float dmin = slmk_f16_to_f32(block->dmin[row]);
    uint8_t v[SLMK_BLOCK];
    uint8_t high[SLMK_BLOCK];
    slmk_get_nibbles(v, block->sub[index % 8].q, row);
    slmk_get_bits(high, block->sub[index % 8].h, row);
    set_weights(out, v, high, 4, 0);
    for (int half = 0; half < 2; half++) {
        set_half(out, half, d * (float)block->sub[index % 8].sc[row],
                 dmin * (float)block->sub[index % 8].mn[row]);
    }
}

void slmk_read_q6_k(const void *panel, uint32_t index, uint32_t row, slmk_row_block *out)
{
    const slmk_panel_q6_k *block = (const slmk_panel_q6_k *)panel + index / 8;
    float d = slmk_f16_to_f32(block->d[row]);
    uint8_t v[SLMK_BLOCK];
    uint8_t high[SLMK_BLOCK];
    slmk_get_nibbles(v, block->sub[index % 8].q, row);
    slmk_get_pairs(high, block->sub[index % 8].h, row);
    set_weights(out, v, high, 4, 32);
    for (int half = 0; half < 2; half++) {
        set_half(out, half, d * (float)block->sub[index % 8].sc[half][row], 0);
    }
}
