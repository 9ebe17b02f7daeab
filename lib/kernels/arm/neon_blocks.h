/* SPDX-License-Identifier: MIT */
/* Products of block types for NEON, bit for bit as in ref/: a level includes this and defines dot_groups. */
#ifndef SLMI_KERNELS_ARM_NEON_BLOCKS_H
#define SLMI_KERNELS_ARM_NEON_BLOCKS_H

#include "kernels/arm/neon.h"

/*
 * A tile has 8 of a panel's 16 rows, from `row` (0 or 8) on, as two vectors of 4 rows. The 16 bytes of a
 * group in a vector are 4 neighbouring k of these rows.
 */

/* Tokens that share the weights once these are unpacked into registers. */
#define TILE 4

/* How groups of 4 k are encoded. `q` and `h` point to the fields of a panel block. */
typedef enum encoding {
    NIBBLES,        /* q[4]: groups j, j + 4 */
    NIBBLES_BIT,    /* and bit 4 in the plane h */
    NIBBLES_CRUMBS, /* and bits 4..5 in h[2]: groups j, j + 2, j + 4, j + 6 */
    CRUMBS,         /* q[2]: groups j, j + 2, j + 4, j + 6 */
    CRUMBS_BIT,     /* and bit 2 in the plane h */
    BYTES,          /* q[8], value + 128 */
    CODES           /* q[4] nibbles of IQ4_NL */
} encoding;

typedef const slmk_block_a *activations[TILE]; /* the current block of each token */

typedef struct field {
    const uint8_t (*q)[16][4];
    const void *h;
} field;

/* Eight rows of numbers. */
typedef struct rows_f32 {
    float32x4_t v[2];
} rows_f32;

typedef struct rows_i32 {
    int32x4_t v[2];
} rows_i32;

/* In the functions below `row` is the first of 4 rows, a multiple of 4. */

SLMK_INLINE uint8x16_t nibbles(const field *f, unsigned row, unsigned g)
{
    uint8x16_t q = vld1q_u8(f->q[g & 3][row]);
    return g < 4 ? vandq_u8(q, vdupq_n_u8(15)) : vshrq_n_u8(q, 4);
}

SLMK_INLINE uint8x16_t crumbs(const void *base, unsigned row, unsigned g)
{
    const uint8_t(*q)[16][4] = base;
    const int8x16_t shift = vdupq_n_s8((int8_t) - (int)(g >> 1 << 1));
    return vandq_u8(vshlq_u8(vld1q_u8(q[g & 1][row]), shift), vdupq_n_u8(3));
}

/* 16 bits of the plane become 16 bytes, `value` where the bit is set. */
SLMK_INLINE uint8x16_t plane_bits(const void *h, unsigned row, unsigned g, uint8_t value)
{
    const uint8_t *bits = (const uint8_t *)h + 8 * g + row / 2;
    const uint8x8_t bit_of = vcreate_u8(0x8040201008040201);
    uint8x16_t bytes = vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1]));
    uint8x16_t set = vtstq_u8(bytes, vcombine_u8(bit_of, bit_of));
    return vandq_u8(set, vdupq_n_u8(value));
}

/* The weights of group g, less their offset where it is that of a signed byte. */
SLMK_INLINE int8x16_t unpack(encoding how, const field *f, unsigned row, unsigned g)
{
    uint8x16_t w = vdupq_n_u8(0);
    switch (how) {
    case NIBBLES:
        w = nibbles(f, row, g);
        break;
    case NIBBLES_BIT:
        w = vorrq_u8(nibbles(f, row, g), plane_bits(f->h, row, g, 16));
        break;
    case NIBBLES_CRUMBS:
        w = vorrq_u8(nibbles(f, row, g), vshlq_n_u8(crumbs(f->h, row, g), 4));
        break;
    case CRUMBS:
        w = crumbs(f->q, row, g);
        break;
    case CRUMBS_BIT:
        w = vorrq_u8(crumbs(f->q, row, g), plane_bits(f->h, row, g, 4));
        break;
    case BYTES:
        w = veorq_u8(vld1q_u8(f->q[g][row]), vdupq_n_u8(128));
        break;
    case CODES:
        return vqtbl1q_s8(vld1q_s8(slmk_iq4_nl_values), nibbles(f, row, g));
    }
    return vreinterpretq_s8_u8(w);
}

/* dot[t] += weights of groups first..first + n_groups - 1 times the activations of token t. */
SLMK_INLINE void dot_groups(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                            const activations a, unsigned n_tokens, rows_i32 dot[TILE]);

/* Weights are stored as value + 2^shift; NO_OFFSET: as they are. */
#define NO_OFFSET (-1)

/* -(sum of the activations) of a whole block or of one half. */
SLMK_INLINE int32_t neg_sum(const slmk_block_a *a, unsigned first, unsigned n_groups)
{
    return n_groups == 8 ? slmk_neg_sum(a) : a->neg_sum_half[first / 4];
}

/* acc = fma(scale * A, float(dot), acc) over n_groups (4 or 8) groups, for each token. */
SLMK_INLINE void add_dots(encoding how, int shift, rows_f32 scale, field f, unsigned row,
                          unsigned first, unsigned n_groups, const activations a, unsigned n_tokens,
                          rows_f32 acc[TILE])
{
    rows_i32 dot[TILE];
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        int32_t start = shift == NO_OFFSET ? 0 : neg_sum(a[t], first, n_groups) * (1 << shift);
        dot[t].v[0] = dot[t].v[1] = vdupq_n_s32(start);
    }
    dot_groups(how, f, row, first, n_groups, a, n_tokens, dot);
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < 2; v++) {
            float32x4_t factor = vmulq_n_f32(scale.v[v], a[t]->scale);
            acc[t].v[v] = vfmaq_f32(acc[t].v[v], factor, vcvtq_f32_s32(dot[t].v[v]));
        }
    }
}

/* acc = fma(m * A, float(S), acc), or fma(-(m * A), ...) if `negative`; the block has -S. */
SLMK_INLINE void add_minimum(int negative, rows_f32 m, unsigned first, unsigned n_groups,
                             const activations a, unsigned n_tokens, rows_f32 acc[TILE])
{
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        int32_t sum = -neg_sum(a[t], first, n_groups);
        float32x4_t sums = vdupq_n_f32((float)sum);
        SLMK_UNROLL
        for (unsigned v = 0; v < 2; v++) {
            float32x4_t factor = vmulq_n_f32(m.v[v], a[t]->scale);
            acc[t].v[v] = negative ? vfmsq_f32(acc[t].v[v], factor, sums)
                                   : vfmaq_f32(acc[t].v[v], factor, sums);
        }
    }
}

SLMK_INLINE void advance(activations a, unsigned n_tokens)
{
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        a[t]++;
    }
}

SLMK_INLINE rows_f32 halves(const uint16_t *p)
{
    return (rows_f32){ { load_f16(p), load_f16(p + 4) } };
}

/* d * scale of eight rows, from unsigned or signed bytes. */
SLMK_INLINE rows_f32 times_u8(rows_f32 d, uint8x8_t scales)
{
    uint16x8_t wide = vmovl_u8(scales);
    float32x4_t low = vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
    float32x4_t high = vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide)));
    return (rows_f32){ { vmulq_f32(d.v[0], low), vmulq_f32(d.v[1], high) } };
}

SLMK_INLINE rows_f32 times_i8(rows_f32 d, const int8_t *scales)
{
    int16x8_t wide = vmovl_s8(vld1_s8(scales));
    float32x4_t low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    float32x4_t high = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
    return (rows_f32){ { vmulq_f32(d.v[0], low), vmulq_f32(d.v[1], high) } };
}

/* Types with blocks of 32; m may be NULL. */
SLMK_INLINE void block_32(encoding how, int shift, const uint16_t *d, const uint16_t *m, field f,
                          unsigned row, activations a, unsigned n_tokens, rows_f32 acc[TILE])
{
    add_dots(how, shift, halves(d + row), f, row, 0, 8, a, n_tokens, acc);
    if (m != NULL) {
        add_minimum(0, halves(m + row), 0, 8, a, n_tokens, acc);
    }
    advance(a, n_tokens);
}

SLMK_INLINE void block_q2_k(const slmk_panel_q2_k *b, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    rows_f32 d = halves(b->d + row), dmin = halves(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, NULL };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            uint8x8_t both = vld1_u8(b->sub[s].sc[half] + row);
            rows_f32 scale = times_u8(d, vand_u8(both, vdup_n_u8(15)));
            rows_f32 minimum = times_u8(dmin, vshr_n_u8(both, 4));
            add_dots(CRUMBS, NO_OFFSET, scale, f, row, 4 * half, 4, a, n_tokens, acc);
            add_minimum(1, minimum, 4 * half, 4, a, n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q3_k(const slmk_panel_q3_k *b, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    rows_f32 d = halves(b->d + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            rows_f32 scale = times_i8(d, b->sub[s].sc[half] + row);
            add_dots(CRUMBS_BIT, 2, scale, f, row, 4 * half, 4, a, n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q4_k(const slmk_panel_q4_k *b, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    rows_f32 d = halves(b->d + row), dmin = halves(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, NULL };
        rows_f32 scale = times_u8(d, vld1_u8(b->sub[s].sc + row));
        rows_f32 minimum = times_u8(dmin, vld1_u8(b->sub[s].mn + row));
        add_dots(NIBBLES, NO_OFFSET, scale, f, row, 0, 8, a, n_tokens, acc);
        add_minimum(1, minimum, 0, 8, a, n_tokens, acc);
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q5_k(const slmk_panel_q5_k *b, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    rows_f32 d = halves(b->d + row), dmin = halves(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        rows_f32 scale = times_u8(d, vld1_u8(b->sub[s].sc + row));
        rows_f32 minimum = times_u8(dmin, vld1_u8(b->sub[s].mn + row));
        add_dots(NIBBLES_BIT, NO_OFFSET, scale, f, row, 0, 8, a, n_tokens, acc);
        add_minimum(1, minimum, 0, 8, a, n_tokens, acc);
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q6_k(const slmk_panel_q6_k *b, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    rows_f32 d = halves(b->d + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            rows_f32 scale = times_i8(d, b->sub[s].sc[half] + row);
            add_dots(NIBBLES_CRUMBS, 5, scale, f, row, 4 * half, 4, a, n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

/* One panel block of 8 rows times n_tokens activation rows; `a` moves on to the next block. */
SLMK_INLINE void block_step(int type, const void *block, unsigned row, activations a,
                            unsigned n_tokens, rows_f32 acc[TILE])
{
    if (type == SLMK_Q8_0) {
        const slmk_panel_q8_0 *b = block;
        block_32(BYTES, NO_OFFSET, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q4_0) {
        const slmk_panel_q4_0 *b = block;
        block_32(NIBBLES, 3, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_IQ4_NL) {
        const slmk_panel_q4_0 *b = block;
        block_32(CODES, NO_OFFSET, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q4_1) {
        const slmk_panel_q4_1 *b = block;
        block_32(NIBBLES, NO_OFFSET, b->d, b->m, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q5_0) {
        const slmk_panel_q5_0 *b = block;
        block_32(NIBBLES_BIT, 4, b->d, NULL, (field){ b->q, b->h }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q5_1) {
        const slmk_panel_q5_1 *b = block;
        block_32(NIBBLES_BIT, NO_OFFSET, b->d, b->m, (field){ b->q, b->h }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q2_K) {
        block_q2_k(block, row, a, n_tokens, acc);
    } else if (type == SLMK_Q3_K) {
        block_q3_k(block, row, a, n_tokens, acc);
    } else if (type == SLMK_Q4_K) {
        block_q4_k(block, row, a, n_tokens, acc);
    } else if (type == SLMK_Q5_K) {
        block_q5_k(block, row, a, n_tokens, acc);
    } else if (type == SLMK_Q6_K) {
        block_q6_k(block, row, a, n_tokens, acc);
    }
}

/* n_rows (8 or 16) rows of a panel from `row` on, times n_tokens (at most TILE) rows of
 * activations. */
SLMK_INLINE void tile(int type, const uint8_t *panel, unsigned row, unsigned n_rows, uint32_t k,
                      const uint8_t *act, size_t act_stride, unsigned n_tokens, float *out,
                      size_t out_stride)
{
    const size_t block_bytes = slmk_types[type].panel_bytes;
    const uint32_t n_blocks = k / slmk_types[type].block;
    rows_f32 acc[2][TILE];
    SLMK_UNROLL
    for (unsigned half = 0; half < n_rows / 8; half++) {
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            acc[half][t].v[0] = acc[half][t].v[1] = vdupq_n_f32(0);
        }
    }
    for (uint32_t b = 0; b < n_blocks; b++) {
        SLMK_UNROLL
        for (unsigned half = 0; half < n_rows / 8; half++) {
            activations a;
            SLMK_UNROLL
            for (unsigned t = 0; t < n_tokens; t++) {
                a[t] = (const slmk_block_a *)(const void *)(act + t * act_stride) +
                       b * (size_t)(slmk_types[type].block / SLMK_BLOCK);
            }
            block_step(type, panel + b * block_bytes, row + 8 * half, a, n_tokens, acc[half]);
        }
    }
    SLMK_UNROLL
    for (unsigned half = 0; half < n_rows / 8; half++) {
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            float *rows = out + t * out_stride + row + 8 * half;
            vst1q_f32(rows, acc[half][t].v[0]);
            vst1q_f32(rows + 4, acc[half][t].v[1]);
        }
    }
}

/* Several tokens go half a panel at a time, which stays in the nearest cache meanwhile; a token by
 * itself takes both halves in one pass, because it is the memory that it waits for. */
SLMK_INLINE void matmul(int type, const void *panels, uint32_t n_panels, uint32_t k,
                        const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                        size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    const uint32_t n_tiled = n_tokens / TILE * TILE, n_paired = n_tokens / 2 * 2;
    const uint8_t *panel = panels, *x = act;
    for (uint32_t p = 0; p < n_panels; p++, panel += panel_bytes, out += SLMK_ROWS) {
        for (unsigned row = 0; row < SLMK_ROWS; row += 8) {
            for (uint32_t t = 0; t < n_tiled; t += TILE) {
                tile(type, panel, row, 8, k, x + t * act_stride, act_stride, TILE,
                     out + t * out_stride, out_stride);
            }
        }
        for (uint32_t t = n_tiled; t < n_paired; t += 2) {
            tile(type, panel, 0, 16, k, x + t * act_stride, act_stride, 2, out + t * out_stride,
                 out_stride);
        }
        if (n_paired < n_tokens) {
            tile(type, panel, 0, 16, k, x + n_paired * act_stride, act_stride, 1,
                 out + n_paired * out_stride, out_stride);
        }
    }
}

#define MATMUL_TYPE(name, type)                                                                    \
    static void name(const void *panels, uint32_t n_panels, uint32_t k, const void *act,           \
                     size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)          \
    {                                                                                              \
        matmul(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);             \
    }

MATMUL_TYPE(matmul_q8_0, SLMK_Q8_0)
MATMUL_TYPE(matmul_q4_0, SLMK_Q4_0)
MATMUL_TYPE(matmul_q4_1, SLMK_Q4_1)
MATMUL_TYPE(matmul_q5_0, SLMK_Q5_0)
MATMUL_TYPE(matmul_q5_1, SLMK_Q5_1)
MATMUL_TYPE(matmul_q2_k, SLMK_Q2_K)
MATMUL_TYPE(matmul_q3_k, SLMK_Q3_K)
MATMUL_TYPE(matmul_q4_k, SLMK_Q4_K)
MATMUL_TYPE(matmul_q5_k, SLMK_Q5_K)
MATMUL_TYPE(matmul_q6_k, SLMK_Q6_K)
MATMUL_TYPE(matmul_iq4_nl, SLMK_IQ4_NL)

/* These in a table. */
#define SLMK_NEON_BLOCK_PRODUCTS                                                                   \
    [SLMK_Q8_0] = matmul_q8_0, [SLMK_Q4_0] = matmul_q4_0, [SLMK_Q4_1] = matmul_q4_1,               \
    [SLMK_Q5_0] = matmul_q5_0, [SLMK_Q5_1] = matmul_q5_1, [SLMK_Q2_K] = matmul_q2_k,               \
    [SLMK_Q3_K] = matmul_q3_k, [SLMK_Q4_K] = matmul_q4_k, [SLMK_Q5_K] = matmul_q5_k,               \
    [SLMK_Q6_K] = matmul_q6_k, [SLMK_IQ4_NL] = matmul_iq4_nl

#endif
