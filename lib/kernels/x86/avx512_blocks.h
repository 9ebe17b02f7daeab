/* SPDX-License-Identifier: MIT */
/* Products of block types: the generic driver; a type adds its unpack function (AVX-512, VNNI). */
#ifndef SLMI_KERNELS_X86_AVX512_BLOCKS_H
#define SLMI_KERNELS_X86_AVX512_BLOCKS_H

#include "kernels/x86/avx512.h"

/* Blocks that are fetched ahead of use, to the second cache: with few tokens a panel is walked once or twice,
 * and so slowly that the processor's own prefetching lags behind. 8 to 32 were equally good, fewer came late.
 * One token alone is bound by reading anyhow. */
#define FETCH_AHEAD 16

/* 32 weights of 16 rows: lane r of a vector is row r. */
typedef struct weights {
    __m512i q[8];         /* unsigned bytes of group g: [16 rows][4] */
    __m512 scale[2];      /* d or d * sc; [1] only for types in two parts */
    __m512 minus_min[2];  /* -m or dmin * mn: what is multiplied by the negated sum */
} weights;

/* Unpacks 32-block `index` of a panel. */
typedef void unpack_fn(const uint8_t *panel, uint32_t index, weights *w);

/* What a type is, all of it known at compile time. */
typedef struct block_type {
    unpack_fn *unpack;
    uint32_t n_parts;     /* scales along the 32 weights: 1 or 2 */
    uint32_t has_min;
    uint32_t offset_bits; /* stored = value + 2^offset_bits; 0: stored = value */
} block_type;

SLMK_INLINE void unpack_nibbles(const uint8_t q[4][16][4], __m512i out[8])
{
    const __m512i low = _mm512_set1_epi8(15);
    SLMK_UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i x = _mm512_loadu_si512(q[j]);
        out[j] = _mm512_and_si512(x, low);
        out[j + 4] = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
    }
}

/* Adds `value` where the bit plane has a one. */
SLMK_INLINE void add_bits(const uint64_t h[8], char value, __m512i q[8])
{
    SLMK_UNROLL
    for (int g = 0; g < 8; g++) {
        q[g] = _mm512_mask_add_epi8(q[g], h[g], q[g], _mm512_set1_epi8(value));
    }
}

/* 16 activations of 4 bytes each, the same in every lane. */
SLMK_INLINE __m512i broadcast_group(const slmk_block_a *a, int group)
{
    int32_t word;
    memcpy(&word, a->q + 4 * group, sizeof word);
    return _mm512_set1_epi32(word);
}

/* -(sum of the activations) * 2^shift of a whole block or of one of its two parts, in every lane. */
SLMK_INLINE __m512i neg_sums(const slmk_block_a *a, uint32_t n_parts, uint32_t part, uint32_t shift)
{
    return n_parts == 1 ? _mm512_srai_epi32(_mm512_set1_epi32(a->neg_sum_128), 7 - shift)
                        : _mm512_slli_epi32(_mm512_set1_epi32(a->neg_sum_half[part]), shift);
}

/* Tiles: one token times one panel; a few tokens times one panel; many times two, which share what is read of
 * the tokens. */
#define NARROW_TOKENS 4
#define WIDE_TOKENS 8
#define WIDE_PANELS 2

/* Adds the products of 32 weights of 16 n_panels rows and one token's 32 activations to acc [n_panels]. */
SLMK_INLINE void add_block(const block_type type, const uint32_t n_panels, const weights *w,
                           const slmk_block_a *a, __m512 *acc)
{
    const __m512 a_scale = _mm512_set1_ps(a->scale);
    const int n_groups = type.n_parts == 1 ? 8 : 4;
    SLMK_UNROLL
    for (uint32_t part = 0; part < type.n_parts; part++) {
        __m512i dot[WIDE_PANELS];
        dot[0] = type.offset_bits ? neg_sums(a, type.n_parts, part, type.offset_bits)
                                  : _mm512_setzero_si512();
        dot[1] = dot[0];
        SLMK_UNROLL
        for (int g = 0; g < n_groups; g++) {
            const int group = (int)part * 4 + g;
            const __m512i word = broadcast_group(a, group);
            SLMK_UNROLL
            for (uint32_t p = 0; p < n_panels; p++) {
                dot[p] = _mm512_dpbusd_epi32(dot[p], w[p].q[group], word);
            }
        }
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            acc[p] = _mm512_fmadd_ps(_mm512_mul_ps(w[p].scale[part], a_scale),
                                     _mm512_cvtepi32_ps(dot[p]), acc[p]);
        }
        const __m512 neg_sum = _mm512_cvtepi32_ps(neg_sums(a, type.n_parts, part, 0));
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            if (type.has_min) {
                acc[p] = _mm512_fmadd_ps(_mm512_mul_ps(w[p].minus_min[part], a_scale), neg_sum, acc[p]);
            }
        }
    }
}

SLMK_INLINE void fetch(const uint8_t *from, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += 64) {
        _mm_prefetch((const char *)from + line, _MM_HINT_T1);
    }
}

/* n_panels panels times n_tokens tokens, both constant; tokens from n_valid on stand for the last valid one.
 * The first tile of some panels fetches the ones that follow. */
SLMK_INLINE void block_tile(const block_type type, const uint32_t n_panels, size_t panel_size,
                            const uint8_t *panels, uint32_t k, const char *act, size_t act_stride,
                            const uint32_t n_tokens, const uint32_t n_valid, const int is_first,
                            float *out, size_t out_stride)
{
    __m512 acc[WIDE_TOKENS][WIDE_PANELS];
    SLMK_UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            acc[t][p] = _mm512_setzero_ps();
        }
    }
    const uint32_t n_blocks = k / SLMK_BLOCK;
    const size_t block_bytes = panel_size / n_blocks;
    for (uint32_t b = 0; b < n_blocks; b++) {
        weights w[WIDE_PANELS];
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            const uint8_t *panel = panels + p * panel_size;
            if (is_first && n_tokens > 1) {
                fetch(panel + (b + FETCH_AHEAD) * block_bytes +
                          (b + FETCH_AHEAD < n_blocks ? 0 : (n_panels - 1) * panel_size),
                      block_bytes);
            }
            type.unpack(panel, b, &w[p]);
        }
        const char *block = act + b * sizeof(slmk_block_a);
        SLMK_UNROLL
        for (uint32_t t = 0; t < n_tokens; t++) {
            add_block(type, n_panels, w, (const slmk_block_a *)(const void *)block, acc[t]);
            block += t + 1 < n_valid ? act_stride : 0;
        }
    }
    SLMK_UNROLL
    for (uint32_t t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            _mm512_storeu_ps(out + p * SLMK_ROWS, acc[t][p]);
        }
        out += t + 1 < n_valid ? out_stride : 0;
    }
}

/* n_panels panels times n_tokens tokens that are too few for a wide tile. */
SLMK_INLINE void narrow_tiles(const block_type type, uint32_t n_panels, size_t panel_size,
                              const uint8_t *panels, uint32_t k, const char *act, size_t act_stride,
                              uint32_t n_tokens, float *out, size_t out_stride)
{
    for (uint32_t p = 0; p < n_panels; p++, panels += panel_size, out += SLMK_ROWS) {
        uint32_t t = 0;
        for (; t + 1 < n_tokens; t += NARROW_TOKENS) {
            const uint32_t left = n_tokens - t;
            block_tile(type, 1, panel_size, panels, k, act + t * act_stride, act_stride, NARROW_TOKENS,
                       left < NARROW_TOKENS ? left : NARROW_TOKENS, t == 0, out + t * out_stride,
                       out_stride);
        }
        if (t < n_tokens) {
            block_tile(type, 1, panel_size, panels, k, act + t * act_stride, act_stride, 1, 1, t == 0,
                       out + t * out_stride, out_stride);
        }
    }
}

SLMK_INLINE void matmul_blocks(const block_type type, size_t panel_size, const uint8_t *panels,
                               uint32_t n_panels, uint32_t k, const char *act, size_t act_stride,
                               uint32_t n_tokens, float *out, size_t out_stride)
{
    uint32_t p = 0;
    for (; n_tokens >= WIDE_TOKENS && p + WIDE_PANELS <= n_panels; p += WIDE_PANELS) {
        uint32_t t = 0;
        for (; t + WIDE_TOKENS <= n_tokens; t += WIDE_TOKENS) {
            block_tile(type, WIDE_PANELS, panel_size, panels, k, act + t * act_stride, act_stride,
                       WIDE_TOKENS, WIDE_TOKENS, t == 0, out + t * out_stride, out_stride);
        }
        narrow_tiles(type, WIDE_PANELS, panel_size, panels, k, act + t * act_stride, act_stride,
                     n_tokens - t, out + t * out_stride, out_stride);
        panels += WIDE_PANELS * panel_size;
        out += WIDE_PANELS * SLMK_ROWS;
    }
    narrow_tiles(type, n_panels - p, panel_size, panels, k, act, act_stride, n_tokens, out, out_stride);
}

#define MATMUL_BLOCKS(name, type, unpack, n_parts, has_min, offset_bits)                           \
    void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,                  \
              size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)                 \
    {                                                                                              \
        const block_type traits = { unpack, n_parts, has_min, offset_bits };                       \
        matmul_blocks(traits, slmk_panel_size(type, k), panels, n_panels, k, act, act_stride,      \
                      n_tokens, out, out_stride);                                                  \
    }

#endif
