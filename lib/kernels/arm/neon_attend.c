/* SPDX-License-Identifier: MIT */
/* Attention over one cache page for NEON, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/kv.h"
#include "kernels/arm/neon.h"

/* Query rows that share loads of keys and values, and vectors of keys or channels that are worked on
 * together: enough independent accumulators to hide the latency of fma, and no more than there are
 * registers. */
#define ROWS 4
#define MAX_VECTORS 8

SLMK_INLINE uint32_t vectors_of(uint32_t n_rows)
{
    return n_rows <= 2 ? MAX_VECTORS : 4;
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

SLMK_INLINE float32x4_t load_4(uint32_t kv_type, const void *base, size_t at)
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

/* Scores of 4 * n_vectors keys from key panel `panel` on. */
SLMK_INLINE void score_keys(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t panel,
                            uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    const float *q = job->q + tl->first * job->q_stride;
    const size_t panel_size = (size_t)16 * job->d;
    float32x4_t acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = vdupq_n_f32(0);
        }
    }
    for (uint32_t i = 0; i < job->d; i++) {
        float32x4_t keys[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            size_t at = (panel + v / 4) * panel_size + (size_t)i * 16 + v % 4 * 4;
            keys[v] = load_4(kv_type, job->k, at);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            float32x4_t x = vdupq_n_f32(q[r * job->q_stride + i]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = vfmaq_f32(acc[r][v], x, keys[v]);
            }
        }
    }
    const float32x4_t scale = vdupq_n_f32(job->scale);
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            vst1q_f32(&tl->p[r][16 * panel + 4 * v], vmulq_f32(acc[r][v], scale));
        }
    }
}

/* Code rows of a panel's block of n elements as in Q8; for Q4 they are made in `space`. */
SLMK_INLINE const int8_t *key_codes(uint32_t kv_type, const uint8_t *codes, uint32_t n,
                                    int8_t *space)
{
    if (kv_type == SLMK_KV_Q8) {
        return (const int8_t *)codes;
    }
    for (uint32_t i = 0; i < n; i += 2) {
        const uint8x16_t bytes = vld1q_u8(codes + i / 2 * SLMK_ROWS);
        vst1q_s8(space + i * SLMK_ROWS, look_up(bytes, 0));
        vst1q_s8(space + (i + 1) * SLMK_ROWS, look_up(bytes, 1));
    }
    return space;
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
        const int8_t *codes[MAX_VECTORS / 4];
        float32x4_t t[ROWS][MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_vectors / 4; p++) {
            codes[p] = key_codes(kv_type, block + p * panel_bytes + 16 * sizeof(uint16_t), n,
                                 tl->codes[p * SLMK_ROWS]);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                t[r][v] = vdupq_n_f32(0);
            }
        }
        for (uint32_t i = 0; i < n; i++) {
            float32x4_t keys[MAX_VECTORS];
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v += 2) {
                float_codes(vld1_s8(codes[v / 4] + i * SLMK_ROWS + v % 4 * 4), keys + v);
            }
            SLMK_UNROLL
            for (uint32_t r = 0; r < n_rows; r++) {
                const float32x4_t x = vdupq_n_f32(q[r * job->q_stride + i]);
                SLMK_UNROLL
                for (uint32_t v = 0; v < n_vectors; v++) {
                    t[r][v] = vfmaq_f32(t[r][v], x, keys[v]);
                }
            }
        }
        const float32x4_t scale = vdupq_n_f32(b == last ? job->scale : 1);
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            const float32x4_t block_scale = load_f16(block + v / 4 * panel_bytes + v % 4 * 8);
            SLMK_UNROLL
            for (uint32_t r = 0; r < n_rows; r++) {
                float *sum = &tl->p[r][16 * panel + 4 * v];
                const float32x4_t s = b == 0 ? vdupq_n_f32(0) : load_f32(sum);
                vst1q_f32(sum, vmulq_f32(vfmaq_f32(s, t[r][v], block_scale), scale));
            }
        }
    }
}

/* Scores of one row become exponentials; the row's maximum and sum take them in. */
static void soften(tile *tl, uint32_t r)
{
    const slmk_attend *job = tl->job;
    const uint32_t row = tl->first + r, n = job->n_keys[row];
    float *p = tl->p[r];
    /* Keys that the row does not see fill up the last 16 as if infinitely low. */
    for (uint32_t i = n; i % 16 != 0; i++) {
        p[i] = -INFINITY;
    }
    float32x4_t largest = vdupq_n_f32(-INFINITY);
    for (uint32_t i = 0; i < n; i += 4) {
        largest = larger(load_f32(p + i), largest);
    }
    const float max = largest_lane(largest);

    float lanes[16] = { 0 };
    const float32x4_t shift = vdupq_n_f32(max);
    for (uint32_t i = 0; i < n; i += 4) {
        float32x4_t e = exp_4(vsubq_f32(load_f32(p + i), shift));
        vst1q_f32(p + i, e);
        vst1q_f32(lanes + i % 16, vaddq_f32(load_f32(lanes + i % 16), e));
    }

    float all_max = job->max[row] > max ? job->max[row] : max;
    tl->old_factor[r] = slmk_expf(job->max[row] - all_max);
    tl->new_factor[r] = slmk_expf(max - all_max);
    job->max[row] = all_max;
    job->sum[row] =
        slmk_fmaf(job->sum[row], tl->old_factor[r], slmk_join_lanes(lanes) * tl->new_factor[r]);
}

/* Merges a weighted sum of 4 channels into the running one. */
SLMK_INLINE void merge(const tile *tl, uint32_t r, uint32_t channel, float32x4_t sum)
{
    const slmk_attend *job = tl->job;
    float *out = job->out + (tl->first + r) * job->out_stride + channel;
    const float32x4_t added = vmulq_f32(sum, vdupq_n_f32(tl->new_factor[r]));
    vst1q_f32(out, vfmaq_f32(added, load_f32(out), vdupq_n_f32(tl->old_factor[r])));
}

/* Weighted sums of 4 * n_vectors channels from `channel` on, merged into the running ones. */
SLMK_INLINE void add_values(uint32_t kv_type, const tile *tl, uint32_t n_rows, uint32_t channel,
                            uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    float32x4_t acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = vdupq_n_f32(0);
        }
    }
    for (uint32_t key = 0; key < tl->n_common; key++) {
        float32x4_t values[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            values[v] = load_4(kv_type, job->v, (size_t)key * job->d + channel + 4 * v);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            float32x4_t weight = vdupq_n_f32(tl->p[r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = vfmaq_f32(acc[r][v], weight, values[v]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        const uint32_t row = tl->first + r;
        for (uint32_t key = tl->n_common; key < job->n_keys[row]; key++) {
            float32x4_t weight = vdupq_n_f32(tl->p[r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                float32x4_t value = load_4(kv_type, job->v, (size_t)key * job->d + channel + 4 * v);
                acc[r][v] = vfmaq_f32(acc[r][v], weight, value);
            }
        }
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            merge(tl, r, channel + 4 * v, acc[r][v]);
        }
    }
}

/* The same for one channel of one row. */
SLMK_INLINE void add_value(uint32_t kv_type, const tile *tl, uint32_t r, uint32_t channel)
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
SLMK_INLINE float32x4_t load_scales(const uint8_t *scales, uint32_t n)
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
    return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(bits)));
}

/* Weights of values: p times the scales of blocks [first, first + n_blocks). */
SLMK_INLINE void weigh_blocks(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t n_keys,
                              uint32_t first, uint32_t n_blocks)
{
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, tl->job->d);
    const uint8_t *scales = (const uint8_t *)tl->job->v + first * sizeof(uint16_t);
    for (uint32_t key = 0; key < n_keys; key++, scales += row_bytes) {
        const float32x4_t four = load_scales(scales, n_blocks);
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            vst1q_f32(tl->weights[r][key], vmulq_n_f32(four, tl->p[r][key]));
        }
    }
}

/* n (1..15) bytes from any address, and zeros. */
SLMK_INLINE uint8x16_t load_part(const uint8_t *from, uint32_t n)
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
    const uint64x2_t bytes = n & 8 ? vcombine_u64(vcreate_u64(first), vcreate_u64(rest))
                                   : vcombine_u64(vcreate_u64(rest), vcreate_u64(0));
    return vreinterpretq_u8_u64(bytes);
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
SLMK_INLINE value_block find_values(uint32_t kv_type, tile *tl, uint32_t n_keys, uint32_t b)
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
        const uint8x16_t bytes =
            half == SLMK_KV_BLOCK / 2 ? vld1q_u8(codes) : load_part(codes, half);
        vst1q_s8(tl->codes[key], look_up(bytes, 0));
        vst1q_s8(tl->codes[key] + half, look_up(bytes, 1));
    }
    at.codes = tl->codes[0];
    at.stride = SLMK_KV_BLOCK;
    return at;
}

/* add_values for 4 * n_vectors elements of a block from element i on. */
SLMK_INLINE void add_codes(const tile *tl, uint32_t n_rows, const value_block *at, uint32_t i,
                           uint32_t n_vectors)
{
    const slmk_attend *job = tl->job;
    const int8_t *codes = at->codes + i;
    float32x4_t acc[ROWS][MAX_VECTORS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            acc[r][v] = vdupq_n_f32(0);
        }
    }
    for (uint32_t key = 0; key < tl->n_common; key++) {
        float32x4_t values[MAX_VECTORS];
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v += 2) {
            float_codes(vld1_s8(codes + key * at->stride + 4 * v), values + v);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            const float32x4_t weight = vdupq_n_f32(tl->weights[r][key][at->weight]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = vfmaq_f32(acc[r][v], weight, values[v]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t key = tl->n_common; key < job->n_keys[tl->first + r]; key++) {
            const float32x4_t weight = vdupq_n_f32(tl->weights[r][key][at->weight]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v += 2) {
                float32x4_t values[2];
                float_codes(vld1_s8(codes + key * at->stride + 4 * v), values);
                acc[r][v] = vfmaq_f32(acc[r][v], weight, values[0]);
                acc[r][v + 1] = vfmaq_f32(acc[r][v + 1], weight, values[1]);
            }
        }
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            merge(tl, r, at->channel + i + 4 * v, acc[r][v]);
        }
    }
}

/* The same for one element and one row. */
SLMK_INLINE void add_code(const tile *tl, uint32_t r, const value_block *at, uint32_t i)
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

/* All channels for Q8 and Q4. */
SLMK_INLINE void add_blocks(uint32_t kv_type, tile *tl, uint32_t n_rows, uint32_t n_keys)
{
    const uint32_t n_blocks = slmk_kv_n_blocks(tl->job->d), n_vectors = vectors_of(n_rows);
    for (uint32_t b = 0; b < n_blocks; b++) {
        if (b % MAX_BLOCKS == 0) {
            const uint32_t left = n_blocks - b;
            weigh_blocks(kv_type, tl, n_rows, n_keys, b, left < MAX_BLOCKS ? left : MAX_BLOCKS);
        }
        const value_block at = find_values(kv_type, tl, n_keys, b);
        uint32_t i = 0;
        for (; i + 4 * n_vectors <= at.n; i += 4 * n_vectors) {
            add_codes(tl, n_rows, &at, i, n_vectors);
        }
        for (; i + 8 <= at.n; i += 8) {
            add_codes(tl, n_rows, &at, i, 2);
        }
        for (; i < at.n; i++) {
            for (uint32_t r = 0; r < n_rows; r++) {
                add_code(tl, r, &at, i);
            }
        }
    }
}

/* All channels for the float types. */
SLMK_INLINE void add_channels(uint32_t kv_type, const tile *tl, uint32_t n_rows)
{
    const uint32_t d = tl->job->d, n_vectors = vectors_of(n_rows);
    uint32_t i = 0;
    for (; i + 4 * n_vectors <= d; i += 4 * n_vectors) {
        add_values(kv_type, tl, n_rows, i, n_vectors);
    }
    for (; i + 4 <= d; i += 4) {
        add_values(kv_type, tl, n_rows, i, 1);
    }
    for (; i < d; i++) {
        for (uint32_t r = 0; r < n_rows; r++) {
            add_value(kv_type, tl, r, i);
        }
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
    for (uint32_t key = 0; key < n_most; key += 4 * n_vectors) {
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

void slmk_attend_neon(const slmk_attend *job)
{
    switch (job->kv_type) {
    case SLMK_KV_F32: attend(SLMK_KV_F32, job); break;
    case SLMK_KV_Q8: attend(SLMK_KV_Q8, job); break;
    case SLMK_KV_Q4: attend(SLMK_KV_Q4, job); break;
    default: attend(SLMK_KV_F16, job); break;
    }
}
