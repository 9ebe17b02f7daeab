/* SPDX-License-Identifier: MIT */
/* Layout of the key and value cache: sizes, and single tokens of a page taken out and put back. */
#ifndef SLMI_KERNELS_KV_H
#define SLMI_KERNELS_KV_H

#include <string.h>

#include "kernels/kernels.h"
#include "kernels/math.h"

/*
 * A page of one kv head is 64 tokens: four key panels of 16 keys, then 64 value rows, of head width d.
 *
 * F16, F32  key panel [d][16], value row [d].
 * Q8, Q4    the head width is cut into blocks of 32, the last one shorter where d is no multiple; each
 *           has one half-precision scale, and x = scale * code.
 *           Key panel, block after block: scales [16], then code rows of 16 lanes: Q8 one row an element
 *           (int8), Q4 one row for elements 2j (low nibble) and 2j + 1 (high nibble).
 *           Value row: all scales [ceil(d / 32)], then codes block by block: Q8 [n] (int8), Q4 [h] with
 *           h = ceil(n / 2): element j (low nibble) and element j + h (high nibble).
 *           A Q4 code is an index into slmk_iq4_nl_values. The nibble left over of an odd n is 0.
 *
 * A row of values may begin at any address; key panels are whole multiples of 16 bytes.
 */
#define SLMK_KV_BLOCK 32

static inline int slmk_kv_has_blocks(uint32_t kv_type)
{
    return kv_type == SLMK_KV_Q8 || kv_type == SLMK_KV_Q4;
}

static inline uint32_t slmk_kv_n_blocks(uint32_t d)
{
    return (d + SLMK_KV_BLOCK - 1) / SLMK_KV_BLOCK;
}

/* Elements of block b of a head of d. */
static inline uint32_t slmk_kv_block_width(uint32_t d, uint32_t b)
{
    const uint32_t left = d - b * SLMK_KV_BLOCK;
    return left < SLMK_KV_BLOCK ? left : SLMK_KV_BLOCK;
}

/* Bytes of the codes of n elements of one token. */
static inline size_t slmk_kv_code_bytes(uint32_t kv_type, uint32_t n)
{
    return kv_type == SLMK_KV_Q8 ? n : (n + 1) / 2;
}

/* Bytes of one token's value row; a key takes as much. */
static inline size_t slmk_kv_row_bytes(uint32_t kv_type, uint32_t d)
{
    switch (kv_type) {
    case SLMK_KV_F16: return d * sizeof(uint16_t);
    case SLMK_KV_F32: return d * sizeof(float);
    default: return slmk_kv_n_blocks(d) * sizeof(uint16_t) + slmk_kv_code_bytes(kv_type, d);
    }
}

/* Bytes of a panel of 16 keys. */
static inline size_t slmk_kv_panel_bytes(uint32_t kv_type, uint32_t d)
{
    return SLMK_ROWS * slmk_kv_row_bytes(kv_type, d);
}

/* Bytes of the keys, or of the values, of one kv head in a page. */
static inline size_t slmk_kv_head_bytes(uint32_t kv_type, uint32_t d)
{
    return SLMK_PAGE * slmk_kv_row_bytes(kv_type, d);
}

/* Where block b of a key panel begins: its scales, followed by its code rows. Q8 and Q4 only. */
static inline size_t slmk_kv_key_block(uint32_t kv_type, uint32_t b)
{
    return b * (size_t)SLMK_ROWS * (sizeof(uint16_t) + slmk_kv_code_bytes(kv_type, SLMK_KV_BLOCK));
}

/* Where the codes of block b begin in a value row. Q8 and Q4 only. */
static inline size_t slmk_kv_value_codes(uint32_t kv_type, uint32_t d, uint32_t b)
{
    return slmk_kv_n_blocks(d) * sizeof(uint16_t) +
           b * slmk_kv_code_bytes(kv_type, SLMK_KV_BLOCK);
}

/* The scale at an address of any alignment. */
static inline float slmk_kv_scale(const void *at)
{
    uint16_t bits;
    memcpy(&bits, at, sizeof bits);
    return slmk_f16_to_f32(bits);
}

/* Code of element i of a block's lane; `codes` are the block's code rows. */
static inline int32_t slmk_kv_key_code(uint32_t kv_type, const uint8_t *codes, uint32_t i,
                                       uint32_t lane)
{
    if (kv_type == SLMK_KV_Q8) {
        return (int8_t)codes[i * SLMK_ROWS + lane];
    }
    const uint8_t byte = codes[i / 2 * SLMK_ROWS + lane];
    return slmk_iq4_nl_values[i % 2 ? byte >> 4 : byte & 15];
}

/* Code of element i of a value row's block of n elements. */
static inline int32_t slmk_kv_value_code(uint32_t kv_type, const uint8_t *codes, uint32_t i,
                                         uint32_t n)
{
    if (kv_type == SLMK_KV_Q8) {
        return (int8_t)codes[i];
    }
    const uint32_t half = (n + 1) / 2;
    return slmk_iq4_nl_values[i < half ? codes[i] & 15 : codes[i - half] >> 4];
}

/* Copies lanes [first, first + n) of a key panel to n * slmk_kv_row_bytes bytes. All 16 lanes are a copy
 * of the panel as it is. */
void slmk_kv_save_keys(uint32_t kv_type, uint32_t d, const void *panel, uint32_t first, uint32_t n,
                       void *out);

/* The other way round; the other lanes of the panel stay as they are. */
void slmk_kv_restore_keys(uint32_t kv_type, uint32_t d, const void *in, uint32_t first, uint32_t n,
                          void *panel);

/* One key or value as float32 [d], exactly as attention reads it. */
void slmk_kv_load_key(uint32_t kv_type, uint32_t d, const void *panel, uint32_t lane, float *out);
void slmk_kv_load_value(uint32_t kv_type, uint32_t d, const void *row, float *out);

#endif
