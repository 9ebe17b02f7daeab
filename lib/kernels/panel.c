/* SPDX-License-Identifier: MIT */
/* Repacking of source rows to panels and reading of rows, for every weight type. */
#include "kernels/panel.h"

#include "kernels/panel_fields.h"

const slmk_type_traits slmk_types[SLMK_N_TYPES] = {
    [SLMK_F32] = { "F32", 1, 4, 64, 1 },
    [SLMK_F16] = { "F16", 1, 2, 32, 1 },
    [SLMK_BF16] = { "BF16", 1, 2, 32, 1 },
    [SLMK_Q8_0] = { "Q8_0", 32, 34, sizeof(slmk_panel_q8_0), 0 },
    [SLMK_Q4_0] = { "Q4_0", 32, 18, sizeof(slmk_panel_q4_0), 0 },
    [SLMK_Q4_1] = { "Q4_1", 32, 20, sizeof(slmk_panel_q4_1), 0 },
    [SLMK_Q5_0] = { "Q5_0", 32, 22, sizeof(slmk_panel_q5_0), 0 },
    [SLMK_Q5_1] = { "Q5_1", 32, 24, sizeof(slmk_panel_q5_1), 0 },
    [SLMK_Q2_K] = { "Q2_K", 256, 84, sizeof(slmk_panel_q2_k), 0 },
    [SLMK_Q3_K] = { "Q3_K", 256, 110, sizeof(slmk_panel_q3_k), 0 },
    [SLMK_Q4_K] = { "Q4_K", 256, 144, sizeof(slmk_panel_q4_k), 0 },
    [SLMK_Q5_K] = { "Q5_K", 256, 176, sizeof(slmk_panel_q5_k), 0 },
    [SLMK_Q6_K] = { "Q6_K", 256, 210, sizeof(slmk_panel_q6_k), 0 },
    [SLMK_IQ4_NL] = { "IQ4_NL", 32, 18, sizeof(slmk_panel_q4_0), 0 },
};

/* From the GGUF specification. */
const int8_t slmk_iq4_nl_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

static slmk_pack_fn *const pack_functions[SLMK_N_TYPES] = {
    [SLMK_Q8_0] = slmk_pack_q8_0,   [SLMK_Q4_0] = slmk_pack_q4_0, [SLMK_Q4_1] = slmk_pack_q4_1,
    [SLMK_Q5_0] = slmk_pack_q5_0,   [SLMK_Q5_1] = slmk_pack_q5_1, [SLMK_Q2_K] = slmk_pack_q2_k,
    [SLMK_Q3_K] = slmk_pack_q3_k,   [SLMK_Q4_K] = slmk_pack_q4_k, [SLMK_Q5_K] = slmk_pack_q5_k,
    [SLMK_Q6_K] = slmk_pack_q6_k,   [SLMK_IQ4_NL] = slmk_pack_q4_0,
};

static slmk_read_fn *const read_functions[SLMK_N_TYPES] = {
    [SLMK_Q8_0] = slmk_read_q8_0,   [SLMK_Q4_0] = slmk_read_q4_0, [SLMK_Q4_1] = slmk_read_q4_1,
    [SLMK_Q5_0] = slmk_read_q5_0,   [SLMK_Q5_1] = slmk_read_q5_1, [SLMK_Q2_K] = slmk_read_q2_k,
    [SLMK_Q3_K] = slmk_read_q3_k,   [SLMK_Q4_K] = slmk_read_q4_k, [SLMK_Q5_K] = slmk_read_q5_k,
    [SLMK_Q6_K] = slmk_read_q6_k,   [SLMK_IQ4_NL] = slmk_read_iq4_nl,
};

slmk_read_fn *slmk_row_reader(int type)
{
    return read_functions[type];
}

/* Spreads a row's n numbers of `width` bytes over a tile [n][16] of a panel. */
static inline void spread(const uint8_t *source, uint32_t n, size_t width, uint8_t *tile)
{
    for (uint32_t i = 0; i < n; i++) {
        memcpy(tile + i * SLMK_ROWS * width, source + i * width, width);
    }
}

/* Transposes rows of 2- or 4-byte numbers to [k][16], a cache line of each row at a time: of rows that lie a
 * power of two apart, few lines stay in the cache together. */
static void repack_floats(const uint8_t *rows, size_t row_stride, uint32_t n_rows, uint32_t k,
                          uint32_t width, uint8_t *panel)
{
    const uint32_t most = 64 / width;
    for (uint32_t i = 0; i < k; i += most) {
        const uint32_t n = k - i < most ? k - i : most;
        uint8_t *tile = panel + (size_t)i * SLMK_ROWS * width;
        if (n_rows < SLMK_ROWS) {
            memset(tile, 0, (size_t)n * SLMK_ROWS * width);
        }
        for (uint32_t r = 0; r < n_rows; r++) {
            const uint8_t *source = rows + r * row_stride + (size_t)i * width;
            if (width == 2) {
                spread(source, n, 2, tile + 2 * r);
            } else {
                spread(source, n, 4, tile + 4 * r);
            }
        }
    }
}

void slmk_repack(int type, const void *rows, size_t row_stride, uint32_t n_rows, uint32_t k,
                 void *panel)
{
    const slmk_type_traits *traits = &slmk_types[type];
    if (traits->is_float) {
        repack_floats(rows, row_stride, n_rows, k, traits->source_bytes, panel);
        return;
    }
    const uint8_t *source = rows;
    uint8_t *block = panel;
    for (uint32_t b = 0; b < k / traits->block; b++) {
        if (n_rows < SLMK_ROWS) {
            memset(block, 0, traits->panel_bytes);
        }
        pack_functions[type](source, row_stride, n_rows, block);
        source += traits->source_bytes;
        block += traits->panel_bytes;
    }
}

static void read_float_row(int type, const void *panel, uint32_t row, uint32_t k, float *out)
{
    const float *f32 = panel;
    const uint16_t *f16 = panel;
    for (uint32_t i = 0; i < k; i++) {
        size_t at = (size_t)i * SLMK_ROWS + row;
        out[i] = type == SLMK_F32   ? f32[at]
                 : type == SLMK_F16 ? slmk_f16_to_f32(f16[at])
                                    : slmk_bf16_to_f32(f16[at]);
    }
}

void slmk_panel_row(int type, const void *panel, uint32_t row, uint32_t k, float *out)
{
    if (slmk_types[type].is_float) {
        read_float_row(type, panel, row, k, out);
        return;
    }
    for (uint32_t b = 0; b < k / SLMK_BLOCK; b++) {
        slmk_row_block w;
        read_functions[type](panel, b, row, &w);
        for (uint32_t i = 0; i < SLMK_BLOCK; i++) {
            out[b * SLMK_BLOCK + i] = w.scale[i / 16] * (float)w.q[i] + w.min[i / 16];
        }
    }
}
