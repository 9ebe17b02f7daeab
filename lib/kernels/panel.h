/* SPDX-License-Identifier: MIT */
/* Layout of weight panels and of quantized activations: the data that kernels work on. */
#ifndef SLMI_KERNELS_PANEL_H
#define SLMI_KERNELS_PANEL_H

#include <stddef.h>
#include <stdint.h>

/* Weight types, in the order of the kernel tables. */
enum {
    SLMK_F32,
    SLMK_F16,
    SLMK_BF16,
    SLMK_Q8_0,
    SLMK_Q4_0,
    SLMK_Q4_1,
    SLMK_Q5_0,
    SLMK_Q5_1,
    SLMK_Q2_K,
    SLMK_Q3_K,
    SLMK_Q4_K,
    SLMK_Q5_K,
    SLMK_Q6_K,
    SLMK_IQ4_NL,
    SLMK_N_TYPES
};

/* Rows of a panel: one per virtual lane. */
#define SLMK_ROWS 16

/* Elements of an activation block, and of the smallest weight block along k. */
#define SLMK_BLOCK 32

/*
 * A matrix [R, K] (R output rows of K inputs) is kept as ceil(R / 16) panels, one after the other.
 * A panel holds 16 rows (missing ones are zero) and is a sequence of panel blocks in ascending k.
 *
 * Integers of four neighbouring k of one row stand together, so that one dot-product instruction
 * feeds 16 rows: "group g" of a 32-block is k = 4g .. 4g+3, stored [16 rows][4]. Where a byte packs
 * fields of several groups, the comments say which. A bit plane h[8] has one 64-bit word per group:
 * bit 4 * row + i belongs to k = 4g + i. Scales are IEEE half-precision bits.
 */

typedef struct slmk_panel_q8_0 {
    uint16_t d[16];
    uint8_t q[8][16][4]; /* value + 128 */
} slmk_panel_q8_0;

/* Also IQ4_NL, whose nibbles index slmk_iq4_nl_values. */
typedef struct slmk_panel_q4_0 {
    uint16_t d[16];
    uint8_t q[4][16][4]; /* low nibble: group j, high nibble: group j + 4; value + 8 */
} slmk_panel_q4_0;

typedef struct slmk_panel_q4_1 {
    uint16_t d[16];
    uint16_t m[16];
    uint8_t q[4][16][4]; /* as Q4_0, value */
} slmk_panel_q4_1;

typedef struct slmk_panel_q5_0 {
    uint16_t d[16];
    uint64_t h[8];       /* bit 4 */
    uint8_t q[4][16][4]; /* bits 0..3 as Q4_0; value + 16 */
} slmk_panel_q5_0;

typedef struct slmk_panel_q5_1 {
    uint16_t d[16];
    uint16_t m[16];
    uint64_t h[8];
    uint8_t q[4][16][4];
} slmk_panel_q5_1;

/* K types: super-blocks of 256 with 8 sub-blocks of 32. */
typedef struct slmk_panel_q2_k {
    uint16_t d[16];
    uint16_t dmin[16];
    struct {
        uint8_t sc[2][16];   /* per half of 16: low nibble scale, high nibble minimum */
        uint8_t q[2][16][4]; /* bits 2f..2f+1 of q[j]: group j + 2f; value */
    } sub[8];
} slmk_panel_q2_k;

typedef struct slmk_panel_q3_k {
    uint16_t d[16];
    struct {
        int8_t sc[2][16];    /* per half of 16, -32..31 */
        uint8_t q[2][16][4]; /* bits 0..1 of the value, as Q2_K */
        uint64_t h[8];       /* bit 2; value + 4 */
    } sub[8];
} slmk_panel_q3_k;

typedef struct slmk_panel_q4_k {
    uint16_t d[16];
    uint16_t dmin[16];
    struct {
        uint8_t sc[16]; /* 0..63 */
        uint8_t mn[16]; /* 0..63 */
        uint8_t q[4][16][4];
    } sub[8];
} slmk_panel_q4_k;

typedef struct slmk_panel_q5_k {
    uint16_t d[16];
    uint16_t dmin[16];
    struct {
        uint8_t sc[16];
        uint8_t mn[16];
        uint64_t h[8];
        uint8_t q[4][16][4];
    } sub[8];
} slmk_panel_q5_k;

typedef struct slmk_panel_q6_k {
    uint16_t d[16];
    struct {
        int8_t sc[2][16];    /* per half of 16 */
        uint8_t q[4][16][4]; /* bits 0..3, as Q4_0 */
        uint8_t h[2][16][4]; /* bits 2f..2f+1 of h[j]: bits 4..5 of group j + 2f; value + 32 */
    } sub[8];
} slmk_panel_q6_k;

/* F32 panels are float [K][16], F16 and BF16 panels uint16_t [K][16]. */

/* Counts the layouts in this file: files of stored panels say which they have. Raised by any change to
 * them, which the test of panels' bytes finds. */
#define SLMK_PANELS_VERSION 1

/* 32 activations rounded to 8 bits: x = scale * q. The sums are stored negated because they correct
 * for the offset of unsigned weights: an integer accumulator starts at -(sum) * offset, and the most
 * frequent offset is 128. */
typedef struct slmk_block_a {
    float scale;
    int32_t neg_sum_128;     /* -128 * (q[0] + ... + q[31]) */
    int32_t neg_sum_half[2]; /* -(q[0] + ... + q[15]), -(q[16] + ... + q[31]) */
    int8_t q[SLMK_BLOCK];    /* -127..127 */
} slmk_block_a;

/* -(q[0] + ... + q[31]) */
static inline int32_t slmk_neg_sum(const slmk_block_a *a)
{
    return a->neg_sum_half[0] + a->neg_sum_half[1];
}

typedef struct slmk_type_traits {
    const char *name;      /* "Q8_0" */
    uint16_t block;        /* elements of a source block: 1, 32 or 256 */
    uint16_t source_bytes; /* bytes of a source block of one row */
    uint16_t panel_bytes;  /* bytes of a panel block: 16 rows of `block` elements */
    uint16_t is_float;     /* 1: activations stay float32; 0: they are rounded to slmk_block_a */
} slmk_type_traits;

extern const slmk_type_traits slmk_types[SLMK_N_TYPES];

extern const int8_t slmk_iq4_nl_values[16];

/* Bytes of one panel of rows of k elements; k is a multiple of the type's block. */
static inline size_t slmk_panel_size(int type, size_t k)
{
    return k / slmk_types[type].block * slmk_types[type].panel_bytes;
}

/* Bytes of one source row. */
static inline size_t slmk_row_size(int type, size_t k)
{
    return k / slmk_types[type].block * slmk_types[type].source_bytes;
}

/* Writes one panel from n_rows (1..16) source rows that lie row_stride bytes apart. */
void slmk_repack(int type, const void *rows, size_t row_stride, uint32_t n_rows, uint32_t k,
                 void *panel);

/* Reads row 0..15 of a panel back as float32 [k]; see docs/numerics.md for the rounding. */
void slmk_panel_row(int type, const void *panel, uint32_t row, uint32_t k, float *out);

#endif
