/* SPDX-License-Identifier: MIT */
/* Products of block types strip by strip, and the unpacking of strips (AVX2). */
#include "kernels/x86/avx2_blocks.h"

/* A strip times all tokens. */
static void multiply_strip(const slmk_block_product *product, slmk_tile tile, uint32_t n_tokens)
{
    for (uint32_t t = 0; t < n_tokens; t += SLMK_TILE) {
        tile.n_tokens = n_tokens - t < SLMK_TILE ? n_tokens - t : SLMK_TILE;
        product->strip(&tile);
        tile.act += SLMK_TILE * tile.act_stride;
        tile.out += SLMK_TILE * tile.out_stride;
    }
}

void slmk_matmul_blocks_avx2(const slmk_block_product *product, const void *panels, uint32_t n_panels,
                             uint32_t k, const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                             size_t out_stride)
{
    slmk_strip strip;
    const uint32_t n_blocks = k / SLMK_BLOCK;
    const size_t panel_bytes = slmk_panel_size(product->type, k);
    const uint8_t *panel = panels;
    slmk_tile tile = { .begin = 1, .shift = product->shift, .n_tokens = 1, .act_stride = act_stride,
                       .out_stride = out_stride };
    for (uint32_t p = 0; p < n_panels; p++, panel += panel_bytes, out += SLMK_ROWS) {
        tile.out = out;
        if (n_tokens == 1) {
            tile.panel = panel;
            tile.n_blocks = n_blocks;
            tile.act = act;
            product->single(&tile);
            continue;
        }
        tile.panel = &strip;
        for (uint32_t b = 0; b < n_blocks; b += SLMK_STRIP) {
            tile.begin = b == 0;
            tile.n_blocks = n_blocks - b < SLMK_STRIP ? n_blocks - b : SLMK_STRIP;
            tile.act = (const uint8_t *)act + b * sizeof(slmk_block_a);
            product->unpack(panel, b, tile.n_blocks, &strip);
            multiply_strip(product, tile, n_tokens);
        }
    }
}

SLMK_INLINE void store_f32(float *p, __m256 x)
{
    _mm256_storeu_ps(p, x);
}

SLMK_INLINE void unpack(int type, unsigned n_planes, unsigned n_parts, unsigned has_min, const void *panel,
                        size_t first, uint32_t n_blocks, slmk_strip *strip)
{
    for (uint32_t b = 0; b < n_blocks; b++) {
        SLMK_UNROLL
        for (unsigned i = 0; i < 2 * n_parts; i++) {
            const unsigned row = 8 * (i % 2), part = i / 2;
            store_f32(strip->scale[b][part] + row, scale_of(type, panel, first + b, row, part));
            if (has_min) {
                store_f32(strip->minus_min[b][part] + row, minus_min_of(type, panel, first + b, row, part));
            }
        }
        if (type == SLMK_Q8_0 && n_planes == 1) {
            strip->q[b] = ((const slmk_panel_q8_0 *)panel)[first + b].q;
            continue;
        }
        strip->q[b] = (const uint8_t(*)[16][4])strip->bytes[b];
        SLMK_UNROLL
        for (unsigned i = 0; i < 16; i++) {
            const unsigned row = 8 * (i % 2), g = i / 2;
            if (n_planes == 1) {
                store_bytes(strip->bytes[b][g][row], weights_of(type, panel, first + b, row, g, WHOLE));
            } else {
                store_bytes(strip->bytes[b][g][row], weights_of(type, panel, first + b, row, g, LOW_PLANE));
                store_bytes(strip->bytes[b][g + 8][row],
                            weights_of(type, panel, first + b, row, g, HIGH_PLANE));
            }
        }
    }
}

#define UNPACK(name, type, n_planes, n_parts, has_min)                                             \
    void slmk_unpack_##name##_avx2(const void *panel, size_t first, uint32_t n_blocks,             \
                                   slmk_strip *strip)                                              \
    {                                                                                              \
        unpack(type, n_planes, n_parts, has_min, panel, first, n_blocks, strip);                   \
    }

UNPACK(q8_0, SLMK_Q8_0, 1, 1, 0)
UNPACK(q8_0_planes, SLMK_Q8_0, 2, 1, 0)
UNPACK(q4_0, SLMK_Q4_0, 1, 1, 0)
UNPACK(q4_1, SLMK_Q4_1, 1, 1, 1)
UNPACK(q5_0, SLMK_Q5_0, 1, 1, 0)
UNPACK(q5_1, SLMK_Q5_1, 1, 1, 1)
UNPACK(q2_k, SLMK_Q2_K, 1, 2, 1)
UNPACK(q3_k, SLMK_Q3_K, 1, 2, 0)
UNPACK(q4_k, SLMK_Q4_K, 1, 1, 1)
UNPACK(q5_k, SLMK_Q5_K, 1, 1, 1)
UNPACK(q6_k, SLMK_Q6_K, 1, 2, 0)
UNPACK(iq4_nl, SLMK_IQ4_NL, 1, 1, 0)
UNPACK(iq4_nl_planes, SLMK_IQ4_NL, 2, 1, 0)
