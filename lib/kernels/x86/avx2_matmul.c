/* SPDX-License-Identifier: MIT */
/* Matrix products for AVX2 with quantized weights, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/x86/avx2.h"

/*
 * A vector holds 8 of a panel's 16 rows: a "half", whose first row is `row` (0 or 8). The 32 bytes
 * of a group in a half are 4 neighbouring k of 8 rows; the same 4 activations are broadcast as a
 * 32-bit word, and vpmaddubsw (unsigned weights times signed activations) adds neighbours to 16
 * bits.
 *
 * These 16-bit sums of several groups are added before vpmaddwd widens them. Activations are at
 * most 127 in magnitude, so a pair is at most 2 * 127 * w for weights 0..w, and PAIRS(w) of them
 * fit an int16; nothing saturates or wraps. Weights of 8 bits do not fit even once (2 * 127 * 255),
 * so they are split into two planes of 4 bits, of which 8 groups fit: 8 * 2 * 127 * 15 = 30480.
 */
#define PAIRS(w) (32767u / (2 * 127 * (w)))

/* Tokens that share the weights of a half once these are unpacked into registers. */
#define TILE 4

/* How groups of 4 k are encoded. `q` and `h` point to the fields of a panel block. */
typedef enum encoding {
    NIBBLES,        /* q[4]: groups j, j + 4 */
    NIBBLES_BIT,    /* and bit 4 in the plane h */
    NIBBLES_CRUMBS, /* and bits 4..5 in h[2]: groups j, j + 2, j + 4, j + 6 */
    CRUMBS,         /* q[2]: groups j, j + 2, j + 4, j + 6 */
    CRUMBS_BIT,     /* and bit 2 in the plane h */
    BYTES,          /* q[8], as two planes of 4 bits */
    CODES           /* q[4] nibbles of IQ4_NL, looked up as two planes of 4 bits */
} encoding;

typedef const slmk_block_a *activations[TILE]; /* the current block of each token */

typedef struct field {
    const uint8_t (*q)[16][4];
    const void *h;
} field;

SLMK_INLINE __m256i nibbles(const field *f, unsigned row, unsigned g)
{
    __m256i q = load_bytes(f->q[g & 3][row]);
    return _mm256_and_si256(g < 4 ? q : _mm256_srli_epi16(q, 4), _mm256_set1_epi8(15));
}

SLMK_INLINE __m256i crumbs(const void *base, unsigned row, unsigned g)
{
    const uint8_t(*q)[16][4] = base;
    __m256i bytes = load_bytes(q[g & 1][row]);
    return _mm256_and_si256(_mm256_srli_epi16(bytes, (int)(g >> 1) * 2), _mm256_set1_epi8(3));
}

/* 32 bits of the plane become 32 bytes, `value` where the bit is set. */
SLMK_INLINE __m256i plane_bits(const void *h, unsigned row, unsigned g, char value)
{
    const __m256i byte_of =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i bytes = broadcast_word((const uint8_t *)h + 8 * g + row / 2);
    __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(bytes, byte_of), bit_of);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of), _mm256_set1_epi8(value));
}

/* Keeps a sum where it stands: gcc would reorder a chain of integer additions into a tree, which
 * needs far more registers than there are. */
SLMK_INLINE __m256i in_order(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

/* The unsigned weights of group g: one plane, or two of which the second counts 16-fold. */
SLMK_INLINE void unpack(encoding how, const field *f, unsigned row, unsigned g, __m256i planes[2])
{
    const __m256i low_4 = _mm256_set1_epi8(15);
    switch (how) {
    case NIBBLES:
        planes[0] = nibbles(f, row, g);
        break;
    case NIBBLES_BIT:
        planes[0] = _mm256_or_si256(nibbles(f, row, g), plane_bits(f->h, row, g, 16));
        break;
    case NIBBLES_CRUMBS:
        planes[0] = _mm256_or_si256(nibbles(f, row, g), _mm256_slli_epi16(crumbs(f->h, row, g), 4));
        break;
    case CRUMBS:
        planes[0] = crumbs(f->q, row, g);
        break;
    case CRUMBS_BIT:
        planes[0] = _mm256_or_si256(crumbs(f->q, row, g), plane_bits(f->h, row, g, 4));
        break;
    case BYTES: {
        __m256i bytes = load_bytes(f->q[g][row]);
        planes[0] = _mm256_and_si256(bytes, low_4);
        planes[1] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_4);
        break;
    }
    case CODES: {
        __m128i values = load_bytes_16(slmk_iq4_nl_values);
        __m256i offset_128 = _mm256_set1_epi8(-128);
        __m256i table = _mm256_xor_si256(_mm256_broadcastsi128_si256(values), offset_128);
        __m256i table_0 = _mm256_and_si256(table, low_4);
        __m256i table_1 = _mm256_and_si256(_mm256_srli_epi16(table, 4), low_4);
        planes[0] = _mm256_shuffle_epi8(table_0, nibbles(f, row, g));
        planes[1] = _mm256_shuffle_epi8(table_1, nibbles(f, row, g));
        break;
    }
    }
}

/* Groups whose 16-bit sums may be added. */
SLMK_INLINE unsigned groups_per_sum(encoding how)
{
    switch (how) {
    case NIBBLES_BIT:
        return PAIRS(31);
    case NIBBLES_CRUMBS:
        return PAIRS(63);
    default:
        return PAIRS(15);
    }
}

/* dot[t] += weights of groups first..first + n_groups - 1 times the activations of token t. */
SLMK_INLINE void dot_groups(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                            const activations a, unsigned n_tokens, __m256i dot[TILE])
{
    const unsigned n_planes = how == BYTES || how == CODES ? 2 : 1;
    const unsigned span = groups_per_sum(how);
    __m256i sums[TILE][2];
    SLMK_UNROLL
    for (unsigned g = 0; g < n_groups; g++) {
        __m256i planes[2];
        unpack(how, &f, row, first + g, planes);
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            __m256i x = broadcast_word(a[t]->q + 4 * (first + g));
            SLMK_UNROLL
            for (unsigned i = 0; i < n_planes; i++) {
                __m256i pairs = _mm256_maddubs_epi16(planes[i], x);
                if (g % span != 0) {
                    pairs = _mm256_add_epi16(sums[t][i], pairs);
                }
                sums[t][i] = in_order(pairs);
                if (g % span == span - 1 || g == n_groups - 1) {
                    __m256i unit = _mm256_set1_epi16(i == 0 ? 1 : 16);
                    dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(sums[t][i], unit));
                }
            }
        }
    }
}

/* Weights are stored as value + 2^shift; NO_OFFSET: as they are. */
#define NO_OFFSET (-1)

/* -(sum of the activations) * 2^shift of a whole block or of one half. */
SLMK_INLINE __m256i neg_sums(const slmk_block_a *a, unsigned first, unsigned n_groups, int shift)
{
    return n_groups == 8 ? _mm256_srai_epi32(_mm256_set1_epi32(a->neg_sum_128), 7 - shift)
                         : _mm256_slli_epi32(_mm256_set1_epi32(a->neg_sum_half[first / 4]), shift);
}

/* acc = fma(scale * A, float(dot), acc) over n_groups (4 or 8) groups, for each token. */
SLMK_INLINE void add_dots(encoding how, int shift, __m256 scale, field f, unsigned row,
                          unsigned first, unsigned n_groups, const activations a, unsigned n_tokens,
                          __m256 acc[TILE])
{
    __m256i dot[TILE];
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        dot[t] = _mm256_setzero_si256();
        if (shift != NO_OFFSET) {
            dot[t] = neg_sums(a[t], first, n_groups, shift);
        }
    }
    dot_groups(how, f, row, first, n_groups, a, n_tokens, dot);
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(a[t]->scale));
        acc[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dot[t]), acc[t]);
    }
}

/* acc = fma(m * A, float(S), acc); the block has -S, which flips the product's sign twice. */
SLMK_INLINE void add_minimum(__m256 m, const activations a, unsigned n_tokens, __m256 acc[TILE])
{
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        __m256 factor = _mm256_mul_ps(m, _mm256_set1_ps(a[t]->scale));
        acc[t] = _mm256_fnmadd_ps(factor, _mm256_cvtepi32_ps(neg_sums(a[t], 0, 8, 0)), acc[t]);
    }
}

/* acc = fma(-(m * A), float(S), acc). */
SLMK_INLINE void subtract_minimum(__m256 m, unsigned first, unsigned n_groups, const activations a,
                                  unsigned n_tokens, __m256 acc[TILE])
{
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        __m256 factor = _mm256_mul_ps(m, _mm256_set1_ps(a[t]->scale));
        __m256i sums = neg_sums(a[t], first, n_groups, 0);
        acc[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(sums), acc[t]);
    }
}

SLMK_INLINE void advance(activations a, unsigned n_tokens)
{
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        a[t]++;
    }
}

/* d * scale of eight rows, from unsigned or signed bytes. */
SLMK_INLINE __m256 times_u8(__m256 d, __m128i scales)
{
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scales)));
}

SLMK_INLINE __m256 times_i8(__m256 d, const int8_t *scales)
{
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes_8(scales))));
}

/* Types with blocks of 32; m may be NULL. */
SLMK_INLINE void block_32(encoding how, int shift, const uint16_t *d, const uint16_t *m, field f,
                          unsigned row, activations a, unsigned n_tokens, __m256 acc[TILE])
{
    add_dots(how, shift, load_f16(d + row), f, row, 0, 8, a, n_tokens, acc);
    if (m != NULL) {
        add_minimum(load_f16(m + row), a, n_tokens, acc);
    }
    advance(a, n_tokens);
}

SLMK_INLINE void block_q2_k(const slmk_panel_q2_k *b, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    const __m128i low_4 = _mm_set1_epi8(15);
    __m256 d = load_f16(b->d + row), dmin = load_f16(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, NULL };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            __m128i both = load_bytes_8(b->sub[s].sc[half] + row);
            __m128i scales = _mm_and_si128(both, low_4);
            __m128i minima = _mm_and_si128(_mm_srli_epi16(both, 4), low_4);
            add_dots(CRUMBS, NO_OFFSET, times_u8(d, scales), f, row, 4 * half, 4, a, n_tokens, acc);
            subtract_minimum(times_u8(dmin, minima), 4 * half, 4, a, n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q3_k(const slmk_panel_q3_k *b, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    __m256 d = load_f16(b->d + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            add_dots(CRUMBS_BIT, 2, times_i8(d, b->sub[s].sc[half] + row), f, row, 4 * half, 4, a,
                     n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q4_k(const slmk_panel_q4_k *b, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    __m256 d = load_f16(b->d + row), dmin = load_f16(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, NULL };
        __m256 scale = times_u8(d, load_bytes_8(b->sub[s].sc + row));
        add_dots(NIBBLES, NO_OFFSET, scale, f, row, 0, 8, a, n_tokens, acc);
        __m256 minimum = times_u8(dmin, load_bytes_8(b->sub[s].mn + row));
        subtract_minimum(minimum, 0, 8, a, n_tokens, acc);
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q5_k(const slmk_panel_q5_k *b, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    __m256 d = load_f16(b->d + row), dmin = load_f16(b->dmin + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        __m256 scale = times_u8(d, load_bytes_8(b->sub[s].sc + row));
        add_dots(NIBBLES_BIT, NO_OFFSET, scale, f, row, 0, 8, a, n_tokens, acc);
        __m256 minimum = times_u8(dmin, load_bytes_8(b->sub[s].mn + row));
        subtract_minimum(minimum, 0, 8, a, n_tokens, acc);
        advance(a, n_tokens);
    }
}

SLMK_INLINE void block_q6_k(const slmk_panel_q6_k *b, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    __m256 d = load_f16(b->d + row);
    for (unsigned s = 0; s < 8; s++) {
        field f = { b->sub[s].q, b->sub[s].h };
        SLMK_UNROLL
        for (unsigned half = 0; half < 2; half++) {
            add_dots(NIBBLES_CRUMBS, 5, times_i8(d, b->sub[s].sc[half] + row), f, row, 4 * half, 4,
                     a, n_tokens, acc);
        }
        advance(a, n_tokens);
    }
}

/* One panel block of 8 rows times n_tokens activation rows; `a` moves on to the next block. */
SLMK_INLINE void block_step(int type, const void *block, unsigned row, activations a,
                            unsigned n_tokens, __m256 acc[TILE])
{
    if (type == SLMK_Q8_0) {
        const slmk_panel_q8_0 *b = block;
        block_32(BYTES, 7, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_Q4_0) {
        const slmk_panel_q4_0 *b = block;
        block_32(NIBBLES, 3, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
    } else if (type == SLMK_IQ4_NL) {
        const slmk_panel_q4_0 *b = block;
        block_32(CODES, 7, b->d, NULL, (field){ b->q, NULL }, row, a, n_tokens, acc);
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
    __m256 acc[2][TILE];
    SLMK_UNROLL
    for (unsigned half = 0; half < n_rows / 8; half++) {
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            acc[half][t] = _mm256_setzero_ps();
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
            _mm256_storeu_ps(out + t * out_stride + row + 8 * half, acc[half][t]);
        }
    }
}

/* One panel times n_tokens rows of activations. A token by itself takes both halves in one pass,
 * because it is the memory that it waits for. */
SLMK_INLINE void multiply_panel(int type, const uint8_t *panel, uint32_t k, const uint8_t *act,
                                size_t act_stride, uint32_t n_tokens, float *out, size_t out_stride)
{
    const uint32_t n_paired = n_tokens / 2 * 2;
    for (unsigned row = 0; row < SLMK_ROWS; row += 8) {
        uint32_t t = 0;
        for (; t + TILE <= n_tokens; t += TILE) {
            tile(type, panel, row, 8, k, act + t * act_stride, act_stride, TILE,
                 out + t * out_stride, out_stride);
        }
        if (t < n_paired) {
            tile(type, panel, row, 8, k, act + t * act_stride, act_stride, 2, out + t * out_stride,
                 out_stride);
        }
    }
    if (n_paired < n_tokens) {
        tile(type, panel, 0, 16, k, act + n_paired * act_stride, act_stride, 1,
             out + n_paired * out_stride, out_stride);
    }
}

/* Bytes of activations that stay in the first-level cache while panels pass by, and bytes of panels
 * that stay in the second-level cache while these blocks of tokens pass by. */
#define TOKENS_BYTES (16 * 1024)
#define PANELS_BYTES (128 * 1024)

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

SLMK_INLINE void matmul(int type, const void *panels, uint32_t n_panels, uint32_t k,
                        const void *act, size_t act_stride, uint32_t n_tokens, float *out,
                        size_t out_stride)
{
    const size_t panel_bytes = slmk_panel_size(type, k);
    const size_t row_bytes = k / SLMK_BLOCK * sizeof(slmk_block_a);
    const uint32_t panel_step = (uint32_t)(PANELS_BYTES / panel_bytes) + 1;
    const uint32_t token_step = ((uint32_t)(TOKENS_BYTES / row_bytes) / TILE + 1) * TILE;
    const uint8_t *first_panel = panels, *first_row = act;
    for (uint32_t p = 0; p < n_panels; p += panel_step) {
        const uint32_t p_end = p + smaller(panel_step, n_panels - p);
        for (uint32_t t = 0; t < n_tokens; t += token_step) {
            const uint32_t n = smaller(token_step, n_tokens - t);
            for (uint32_t i = p; i < p_end; i++) {
                multiply_panel(type, first_panel + i * panel_bytes, k, first_row + t * act_stride,
                               act_stride, n, out + t * out_stride + (size_t)i * SLMK_ROWS,
                               out_stride);
            }
        }
    }
}

#define MATMUL_TYPE(suffix, type)                                                                  \
    void slmk_matmul_##suffix##_avx2(const void *panels, uint32_t n_panels, uint32_t k,            \
                                     const void *act, size_t act_stride, uint32_t n_tokens,        \
                                     float *out, size_t out_stride)                                \
    {                                                                                              \
        matmul(type, panels, n_panels, k, act, act_stride, n_tokens, out, out_stride);             \
    }

MATMUL_TYPE(q8_0, SLMK_Q8_0)
MATMUL_TYPE(q4_0, SLMK_Q4_0)
MATMUL_TYPE(q4_1, SLMK_Q4_1)
MATMUL_TYPE(q5_0, SLMK_Q5_0)
MATMUL_TYPE(q5_1, SLMK_Q5_1)
MATMUL_TYPE(q2_k, SLMK_Q2_K)
MATMUL_TYPE(q3_k, SLMK_Q3_K)
MATMUL_TYPE(q4_k, SLMK_Q4_K)
MATMUL_TYPE(q5_k, SLMK_Q5_K)
MATMUL_TYPE(q6_k, SLMK_Q6_K)
MATMUL_TYPE(iq4_nl, SLMK_IQ4_NL)
