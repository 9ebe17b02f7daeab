/* SPDX-License-Identifier: MIT */
/* Single tokens of the key and value cache, in portable C. */
#include "kernels/kv.h"

/* A walk over the rows of a key panel: each has 16 elements in the panel, n in the compact form. */
typedef struct lanes {
    uint32_t first, n;
    size_t panel_at, compact_at;
} lanes;

/* Copies the lanes of n_rows rows of elements of `size` bytes; one of the two is written. */
static void save_rows(lanes *l, size_t n_rows, size_t size, const uint8_t *panel, uint8_t *compact)
{
    for (size_t row = 0; row < n_rows; row++) {
        memcpy(compact + l->compact_at, panel + l->panel_at + l->first * size, l->n * size);
        l->panel_at += SLMK_ROWS * size;
        l->compact_at += l->n * size;
    }
}

static void restore_rows(lanes *l, size_t n_rows, size_t size, const uint8_t *compact,
                         uint8_t *panel)
{
    for (size_t row = 0; row < n_rows; row++) {
        memcpy(panel + l->panel_at + l->first * size, compact + l->compact_at, l->n * size);
        l->panel_at += SLMK_ROWS * size;
        l->compact_at += l->n * size;
    }
}

static size_t number_size(uint32_t kv_type)
{
    return kv_type == SLMK_KV_F32 ? sizeof(float) : sizeof(uint16_t);
}

void slmk_kv_save_keys(uint32_t kv_type, uint32_t d, const void *panel, uint32_t first, uint32_t n,
                       void *out)
{
    lanes l = { .first = first, .n = n };
    if (n == SLMK_ROWS) {
        memcpy(out, panel, slmk_kv_panel_bytes(kv_type, d));
    } else if (!slmk_kv_has_blocks(kv_type)) {
        save_rows(&l, d, number_size(kv_type), panel, out);
    } else {
        for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
            save_rows(&l, 1, sizeof(uint16_t), panel, out);
            save_rows(&l, slmk_kv_code_bytes(kv_type, slmk_kv_block_width(d, b)), 1, panel, out);
        }
    }
}

void slmk_kv_restore_keys(uint32_t kv_type, uint32_t d, const void *in, uint32_t first, uint32_t n,
                          void *panel)
{
    lanes l = { .first = first, .n = n };
    if (n == SLMK_ROWS) {
        memcpy(panel, in, slmk_kv_panel_bytes(kv_type, d));
    } else if (!slmk_kv_has_blocks(kv_type)) {
        restore_rows(&l, d, number_size(kv_type), in, panel);
    } else {
        for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
            restore_rows(&l, 1, sizeof(uint16_t), in, panel);
            restore_rows(&l, slmk_kv_code_bytes(kv_type, slmk_kv_block_width(d, b)), 1, in, panel);
        }
    }
}

/* d numbers of a float type that lie `stride` numbers apart. */
static void load_numbers(uint32_t kv_type, uint32_t d, const void *numbers, size_t stride, float *out)
{
    const size_t size = number_size(kv_type);
    for (uint32_t i = 0; i < d; i++) {
        const uint8_t *at = (const uint8_t *)numbers + i * stride * size;
        if (kv_type == SLMK_KV_F32) {
            memcpy(out + i, at, size);
        } else {
            out[i] = slmk_kv_scale(at);
        }
    }
}

void slmk_kv_load_key(uint32_t kv_type, uint32_t d, const void *panel, uint32_t lane, float *out)
{
    if (!slmk_kv_has_blocks(kv_type)) {
        const uint8_t *first = (const uint8_t *)panel + lane * number_size(kv_type);
        load_numbers(kv_type, d, first, SLMK_ROWS, out);
        return;
    }
    for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
        const uint8_t *block = (const uint8_t *)panel + slmk_kv_key_block(kv_type, b);
        const uint8_t *codes = block + SLMK_ROWS * sizeof(uint16_t);
        const float scale = slmk_kv_scale(block + lane * sizeof(uint16_t));
        for (uint32_t i = 0; i < slmk_kv_block_width(d, b); i++) {
            out[b * SLMK_KV_BLOCK + i] = scale * (float)slmk_kv_key_code(kv_type, codes, i, lane);
        }
    }
}

void slmk_kv_load_value(uint32_t kv_type, uint32_t d, const void *row, float *out)
{
    if (!slmk_kv_has_blocks(kv_type)) {
        load_numbers(kv_type, d, row, 1, out);
        return;
    }
    for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
        const uint8_t *codes = (const uint8_t *)row + slmk_kv_value_codes(kv_type, d, b);
        const float scale = slmk_kv_scale((const uint8_t *)row + b * sizeof(uint16_t));
        const uint32_t n = slmk_kv_block_width(d, b);
        for (uint32_t i = 0; i < n; i++) {
            out[b * SLMK_KV_BLOCK + i] = scale * (float)slmk_kv_value_code(kv_type, codes, i, n);
        }
    }
}
