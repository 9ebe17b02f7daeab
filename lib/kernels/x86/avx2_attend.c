/* SPDX-License-Identifier: MIT */
/* Attention over one cache page for AVX2, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/kv.h"
#include "kernels/x86/avx2.h"

/* Query rows that share loads of keys and values, and vectors of keys or channels that are worked on
 * together: enough independent accumulators to hide the latency of fma, and no more than there are
 * registers. */
#define ROWS 4
#define MAX_VECTORS 4

SLMK_INLINE uint32_t vectors_of(uint32_t n_rows)
{
    return n_rows <= 2 ? MAX_VECTORS : 2;
}

#define MAX_BLOCKS 4 /* of values whose weights are made together */

/* Query rows of one tile, and what is known of each. */
typedef struct tile {
    const slmk_attend *job;
    uint32_t first;           /* row of the job */
    uint32_t n_common;        /* keys that all rows see */
    float p[ROWS][SLMK_PAGE]; /* scores, then their exponentials */
    float old_factor[ROWS];   /* of the running sums */
    float new_factor[ROWS];   /* of this page's sums */
    float weights[ROWS][SLMK_PAGE][MAX_BLOCKS]; /* Q8, Q4: p times the scales of some blocks */
    int8_t codes[SLMK_PAGE][SLMK_KV_BLOCK];     /* Q4: one block of the values, or of keys */
} tile;

SLMK_INLINE __m256 load_8(uint32_t kv_type, const void *base, size_t at)
{
    if (kv_type == SLMK_KV_F32) {
        return load_f32((const float *)base + at);
    }
    return load_f16((const uint16_t *)base + at);
}

SLMK_INLINE float load_1(uint32_t kv_type, const void *base, size_t at)
{
    if (kv_type == SLMK_KV_F32) {
        return ((const float *)base)[at];
    }
    return slmk_f16_to_f32(((const uint16_t *)base)[at]);
}

/* Scores of 8 * n_vectors keys from key panel `panel` on. */
SLMK_INLINE void score_keys(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t panel,
                            uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    const float *q = job->q + tl->first * job->q_stride;
    const size_t panel_size = (size_t)16 * job->d;
    __m256 acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = _mm256_setzero_ps();
        }
    }
    for (uint32_t i = 0; i < job->d; i++) {
        __m256 keys[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            size_t at = (panel + v / 2) * panel_size + (size_t)i * 16 + v % 2 * 8;
            keys[v] = load_8(kv_type, job->k, at);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            __m256 x = broadcast_f32(q + r * job->q_stride + i);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = _mm256_fmadd_ps(x, keys[v], acc[r][v]);
            }
        }
    }
    const __m256 scale = _mm256_set1_ps(job->scale);
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            _mm256_storeu_ps(&tl->p[r][16 * panel + 8 * v], _mm256_mul_ps(acc[r][v], scale));
        }
    }
}

/* Eight integers of 8 bits as float32. */
SLMK_INLINE __m256 float_codes(const int8_t *codes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes_8(codes)));
}

/* Q4: what the low nibbles stand for, then what the high ones do. */
SLMK_INLINE __m256i look_up(__m128i bytes)
{
    const __m256i values = _mm256_broadcastsi128_si256(load_bytes_16(slmk_iq4_nl_values));
    const __m256i shifts = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4);
    const __m256i nibbles = _mm256_srlv_epi32(_mm256_broadcastsi128_si256(bytes), shifts);
    return _mm256_shuffle_epi8(values, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)));
}

/* Makes code rows of a panel's block of n elements as they are in Q8. */
SLMK_APART void look_up_keys(const uint8_t *codes, uint32_t n, int8_t *out)
{
    for (uint32_t i = 0; i < n; i += 2) {
        store_bytes(out + i * SLMK_ROWS, look_up(load_bytes_16(codes + i / 2 * SLMK_ROWS)));
    }
}

/* score_keys for Q8 and Q4. */
SLMK_INLINE void score_blocks(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t panel,
                              uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    const size_t panel_bytes = slmk_kv_panel_bytes(kv_type, job->d);
    const uint32_t last = slmk_kv_n_blocks(job->d) - 1;
    for (uint32_t b = 0; b <= last; b++) {
        const uint8_t *block =
            (const uint8_t *)job->k + panel * panel_bytes + slmk_kv_key_block(kv_type, b);
        const float *q = job->q + tl->first * job->q_stride + b * SLMK_KV_BLOCK;
        const uint32_t n = slmk_kv_block_width(job->d, b);
        const int8_t *codes[MAX_VECTORS / 2];
        __m256 t[ROWS][MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_vectors / 2; p++) {
            codes[p] = (const int8_t *)block + p * panel_bytes + 16 * sizeof(uint16_t);
            if (kv_type == SLMK_KV_Q4) {
                look_up_keys((const uint8_t *)codes[p], n, tl->codes[p * SLMK_ROWS]);
                codes[p] = tl->codes[p * SLMK_ROWS];
            }
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                t[r][v] = _mm256_setzero_ps();
            }
        }
        for (uint32_t i = 0; i < n; i++) {
            __m256 keys[MAX_VECTORS];
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                keys[v] = float_codes(codes[v / 2] + i * SLMK_ROWS + v % 2 * 8);
            }
            SLMK_UNROLL
            for (uint32_t r = 0; r < n_rows; r++) {
                const __m256 x = broadcast_f32(q + r * job->q_stride + i);
                SLMK_UNROLL
                for (uint32_t v = 0; v < n_vectors; v++) {
                    t[r][v] = _mm256_fmadd_ps(x, keys[v], t[r][v]);
                }
            }
        }
        const __m256 scale = _mm256_set1_ps(b == last ? job->scale : 1);
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            const __m256 block_scale = load_f16(block + v / 2 * panel_bytes + v % 2 * 16);
            SLMK_UNROLL
            for (uint32_t r = 0; r < n_rows; r++) {
                float *sum = &tl->p[r][16 * panel + 8 * v];
                __m256 s = b == 0 ? _mm256_setzero_ps() : load_f32(sum);
                s = _mm256_fmadd_ps(t[r][v], block_scale, s);
                _mm256_storeu_ps(sum, _mm256_mul_ps(s, scale));
            }
        }
    }
}

/* Scores of one row become exponentials; the row's maximum and sum take them in. */
SLMK_APART void soften(tile *tl, uint32_t r)
{
    const slmk_attend *job = tl->job;
    const uint32_t row = tl->first + r, n = job->n_keys[row];
    float *p = tl->p[r];
    /* Keys that the row does not see fill up the last 16 as if infinitely low. */
    for (uint32_t i = n; i % 16 != 0; i++) {
        p[i] = -INFINITY;
    }
    __m256 largest = _mm256_set1_ps(-INFINITY);
    for (uint32_t i = 0; i < n; i += 8) {
        largest = _mm256_max_ps(load_f32(p + i), largest);
    }
    const float max = largest_lane(largest);

    float lanes[16];
    const __m256 shift = _mm256_set1_ps(max);
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m256 e_low = exp_8(_mm256_sub_ps(load_f32(p + i), shift));
        __m256 e_high = exp_8(_mm256_sub_ps(load_f32(p + i + 8), shift));
        low = _mm256_add_ps(low, e_low);
        high = _mm256_add_ps(high, e_high);
        _mm256_storeu_ps(p + i, e_low);
        _mm256_storeu_ps(p + i + 8, e_high);
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);

    float all_max = job->max[row] > max ? job->max[row] : max;
    tl->old_factor[r] = slmk_expf(job->max[row] - all_max);
    tl->new_factor[r] = slmk_expf(max - all_max);
    job->max[row] = all_max;
    job->sum[row] =
        slmk_fmaf(job->sum[row], tl->old_factor[r], slmk_join_lanes(lanes) * tl->new_factor[r]);
}

/* Merges a weighted sum of 8 channels into the running one. */
SLMK_INLINE void merge(const tile *tl, uint32_t r, uint32_t channel, __m256 sum)
{
    const slmk_attend *job = tl->job;
    float *out = job->out + (tl->first + r) * job->out_stride + channel;
    const __m256 added = _mm256_mul_ps(sum, _mm256_set1_ps(tl->new_factor[r]));
    _mm256_storeu_ps(out,
                     _mm256_fmadd_ps(load_f32(out), _mm256_set1_ps(tl->old_factor[r]), added));
}

/* Weighted sums of 8 * n_vectors channels from `channel` on, merged into the running ones, of n_rows rows
 * from `row` of the tile on. */
SLMK_INLINE void add_values(uint32_t kv_type, const tile *tl, uint32_t row, uint32_t n_rows,
                            uint32_t channel, uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    __m256 acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = _mm256_setzero_ps();
        }
    }
    for (uint32_t key = 0; key < tl->n_common; key++) {
        __m256 values[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            values[v] = load_8(kv_type, job->v, (size_t)key * job->d + channel + 8 * v);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            __m256 weight = _mm256_set1_ps(tl->p[row + r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = _mm256_fmadd_ps(weight, values[v], acc[r][v]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t key = tl->n_common; key < job->n_keys[tl->first + row + r]; key++) {
            __m256 weight = _mm256_set1_ps(tl->p[row + r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                __m256 value = load_8(kv_type, job->v, (size_t)key * job->d + channel + 8 * v);
                acc[r][v] = _mm256_fmadd_ps(weight, value, acc[r][v]);
            }
        }
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            merge(tl, row + r, channel + 8 * v, acc[r][v]);
        }
    }
}

/* The same for one channel of one row. */
SLMK_APART void add_value(uint32_t kv_type, const tile *tl, uint32_t r, uint32_t channel)
{
    const slmk_attend *job = tl->job;
    const uint32_t row = tl->first + r;
    float *out = job->out + row * job->out_stride + channel;
    float value = 0;
    for (uint32_t key = 0; key < job->n_keys[row]; key++) {
        float v = load_1(kv_type, job->v, (size_t)key * job->d + channel);
        value = slmk_fmaf(tl->p[r][key], v, value);
    }
    *out = slmk_fmaf(*out, tl->old_factor[r], value * tl->new_factor[r]);
}

/* n (1..4) scales from any address. */
SLMK_INLINE __m128 load_scales(const uint8_t *scales, uint32_t n)
{
    uint64_t bits;
    uint32_t two = 0;
    uint16_t one = 0;
    if (n == MAX_BLOCKS) {
        memcpy(&bits, scales, sizeof bits);
    } else {
        if (n >= 2) {
            memcpy(&two, scales, sizeof two);
        }
        if (n % 2 == 1) {
            memcpy(&one, scales + (n - 1) * sizeof one, sizeof one);
        }
        bits = n == 3 ? two | (uint64_t)one << 32 : two | one;
    }
    return _mm_cvtph_ps(_mm_cvtsi64_si128((int64_t)bits));
}

/* Weights of values: p times the scales of blocks [first, first + n_blocks). */
SLMK_INLINE void weigh_blocks(size_t row_bytes, tile *tl, uint32_t n_rows, uint32_t n_keys,
                              uint32_t first, uint32_t n_blocks)
{
    const uint8_t *scales = (const uint8_t *)tl->job->v + first * sizeof(uint16_t);
    for (uint32_t key = 0; key < n_keys; key++, scales += row_bytes) {
        const __m128 four = load_scales(scales, n_blocks);
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            _mm_storeu_ps(tl->weights[r][key], _mm_mul_ps(_mm_set1_ps(tl->p[r][key]), four));
        }
    }
}

/* n (1..15) bytes from any address, and zeros. */
SLMK_INLINE __m128i load_part(const uint8_t *from, uint32_t n)
{
    uint64_t first = 0, rest = 0;
    uint32_t four, shift = 0;
    uint16_t two;
    if (n & 8) {
        memcpy(&first, from, sizeof first);
        from += sizeof first;
    }
    if (n & 4) {
        memcpy(&four, from, sizeof four);
        rest = four;
        from += sizeof four;
        shift = 32;
    }
    if (n & 2) {
        memcpy(&two, from, sizeof two);
        rest |= (uint64_t)two << shift;
        from += sizeof two;
        shift += 16;
    }
    if (n & 1) {
        rest |= (uint64_t)*from << shift;
    }
    return n & 8 ? _mm_set_epi64x((int64_t)rest, (int64_t)first) : _mm_cvtsi64_si128((int64_t)rest);
}

/* Codes of one block of the values, `stride` bytes from key to key, and their weights. */
typedef struct value_block {
    const int8_t *codes;
    size_t stride;
    uint32_t n;       /* elements */
    uint32_t channel; /* of the first */
    uint32_t weight;  /* index in tile.weights */
} value_block;

/* Block b of the first n_keys values; for Q4 the codes are made in the tile. */
SLMK_APART value_block find_values(uint32_t kv_type, tile *tl, uint32_t n_keys, uint32_t b)
{
    const uint32_t d = tl->job->d;
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, d);
    const uint8_t *codes = (const uint8_t *)tl->job->v + slmk_kv_value_codes(kv_type, d, b);
    value_block at = { (const int8_t *)codes, row_bytes, slmk_kv_block_width(d, b),
                       b * SLMK_KV_BLOCK, b % MAX_BLOCKS };
    if (kv_type == SLMK_KV_Q8) {
        return at;
    }
    const uint32_t half = (at.n + 1) / 2;
    for (uint32_t key = 0; key < n_keys; key++, codes += row_bytes) {
        int8_t *out = tl->codes[key];
        if (half == SLMK_KV_BLOCK / 2) {
            store_bytes(out, look_up(load_bytes_16(codes)));
        } else {
            const __m256i values = look_up(load_part(codes, half));
            _mm_storeu_si128((void *)out, _mm256_castsi256_si128(values));
            _mm_storeu_si128((void *)(out + half), _mm256_extracti128_si256(values, 1));
        }
    }
    at.codes = tl->codes[0];
    at.stride = SLMK_KV_BLOCK;
    return at;
}

/* add_values for 8 * n_vectors elements of a block from element i on. */
SLMK_INLINE void add_codes(const tile *tl, uint32_t row, uint32_t n_rows, const value_block *at,
                           uint32_t i, uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    const int8_t *codes = at->codes + i;
    __m256 acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = _mm256_setzero_ps();
        }
    }
    for (uint32_t key = 0; key < tl->n_common; key++) {
        __m256 values[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            values[v] = float_codes(codes + key * at->stride + 8 * v);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            const __m256 weight = _mm256_set1_ps(tl->weights[row + r][key][at->weight]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = _mm256_fmadd_ps(weight, values[v], acc[r][v]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t key = tl->n_common; key < job->n_keys[tl->first + row + r]; key++) {
            const __m256 weight = _mm256_set1_ps(tl->weights[row + r][key][at->weight]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                const __m256 value = float_codes(codes + key * at->stride + 8 * v);
                acc[r][v] = _mm256_fmadd_ps(weight, value, acc[r][v]);
            }
        }
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            merge(tl, row + r, at->channel + i + 8 * v, acc[r][v]);
        }
    }
}

/* The same for one element and one row. */
SLMK_APART void add_code(const tile *tl, uint32_t r, const value_block *at, uint32_t i)
{
    const slmk_attend *job = tl->job;
    const uint32_t row = tl->first + r;
    float *out = job->out + row * job->out_stride + at->channel + i;
    float value = 0;
    for (uint32_t key = 0; key < job->n_keys[row]; key++) {
        const float code = at->codes[key * at->stride + i];
        value = slmk_fmaf(tl->weights[r][key][at->weight], code, value);
    }
    *out = slmk_fmaf(*out, tl->old_factor[r], value * tl->new_factor[r]);
}

/* What is left of a block from element i on: fewer elements than are worked on together. */
SLMK_APART void add_last_codes(const tile *tl, uint32_t n_rows, const value_block *at, uint32_t i)
{
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t left = i;
        for (; left + 8 <= at->n; left += 8) {
            add_codes(tl, r, 1, at, left, 1);
        }
        for (; left < at->n; left++) {
            add_code(tl, r, at, left);
        }
    }
}

/* All channels for Q8 and Q4. */
SLMK_INLINE void add_blocks(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t n_keys)
{
    const uint32_t n_blocks = slmk_kv_n_blocks(tl->job->d), n_vectors = vectors_of(n_rows);
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, tl->job->d);
    for (uint32_t b = 0; b < n_blocks; b++) {
        if (b % MAX_BLOCKS == 0) {
            const uint32_t left = n_blocks - b;
            weigh_blocks(row_bytes, tl, n_rows, n_keys, b, left < MAX_BLOCKS ? left : MAX_BLOCKS);
        }
        const value_block at = find_values(kv_type, tl, n_keys, b);
        uint32_t i = 0;
        for (; i + 8 * n_vectors <= at.n; i += 8 * n_vectors) {
            add_codes(tl, 0, n_rows, &at, i, n_vectors);
        }
        if (i < at.n) {
            add_last_codes(tl, n_rows, &at, i);
        }
    }
}

/* What is left of the channels from i on, likewise. */
SLMK_APART void add_last_channels(uint32_t kv_type, const tile *tl, uint32_t n_rows, uint32_t i)
{
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t left = i;
        for (; left + 8 <= tl->job->d; left += 8) {
            if (kv_type == SLMK_KV_F32) {
                add_values(SLMK_KV_F32, tl, r, 1, left, 1);
            } else {
                add_values(SLMK_KV_F16, tl, r, 1, left, 1);
            }
        }
        for (; left < tl->job->d; left++) {
            add_value(kv_type, tl, r, left);
        }
    }
}

/* All channels for the float types. */
SLMK_INLINE void add_channels(uint32_t kv_type, const tile *tl, uint32_t n_rows)
{
    const uint32_t d = tl->job->d, n_vectors = vectors_of(n_rows);
    uint32_t i = 0;
    for (; i + 8 * n_vectors <= d; i += 8 * n_vectors) {
        add_values(kv_type, tl, 0, n_rows, i, n_vectors);
    }
    if (i < d) {
        add_last_channels(kv_type, tl, n_rows, i);
    }
}

/* n_rows (1..ROWS, constant) rows that see at least one key each. */
SLMK_INLINE void attend_rows(uint32_t kv_type, const slmk_attend *job, uint32_t first,
                             uint32_t n_rows)
{
    const uint32_t n_vectors = vectors_of(n_rows);
    tile tl;
    tl.job = job;
    tl.first = first;
    tl.n_common = SLMK_PAGE;
    uint32_t n_most = 0;
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t n = job->n_keys[first + r];
        tl.n_common = n < tl.n_common ? n : tl.n_common;
        n_most = n > n_most ? n : n_most;
    }
    for (uint32_t key = 0; key < n_most; key += 8 * n_vectors) {
        if (slmk_kv_has_blocks(kv_type)) {
            score_blocks(kv_type, &tl, n_rows, key / 16, n_vectors);
        } else {
            score_keys(kv_type, &tl, n_rows, key / 16, n_vectors);
        }
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        soften(&tl, r);
    }
    if (slmk_kv_has_blocks(kv_type)) {
        add_blocks(kv_type, &tl, n_rows, n_most);
    } else {
        add_channels(kv_type, &tl, n_rows);
    }
}

SLMK_INLINE void attend(uint32_t kv_type, const slmk_attend *job)
{
    const uint32_t *n = job->n_keys;
    for (uint32_t r = 0; r < job->n_rows;) {
        uint32_t n_tile = 0;
        while (n_tile < ROWS && r + n_tile < job->n_rows && n[r + n_tile] > 0) {
            n_tile++;
        }
        switch (n_tile) {
        case 0: break;
        case 1: attend_rows(kv_type, job, r, 1); break;
        case 2: attend_rows(kv_type, job, r, 2); break;
        case 3: attend_rows(kv_type, job, r, 3); break;
        default: attend_rows(kv_type, job, r, ROWS); break;
        }
        r += n_tile > 0 ? n_tile : 1;
    }
}

void slmk_attend_avx2(const slmk_attend *job)
{
    switch (job->kv_type) {
    case SLMK_KV_F32: attend(SLMK_KV_F32, job); break;
    case SLMK_KV_Q8: attend(SLMK_KV_Q8, job); break;
    case SLMK_KV_Q4: attend(SLMK_KV_Q4, job); break;
    default: attend(SLMK_KV_F16, job); break;
    }
}
