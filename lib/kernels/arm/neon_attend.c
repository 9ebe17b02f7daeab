/* SPDX-License-Identifier: MIT */
/* Attention over one cache page for NEON, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/kv.h"
#include "kernels/ref/ref.h"
#include "kernels/arm/neon.h"

/* Query rows that share loads of keys and values. A tile of 4 rows by 4 vectors, or of 1 row by 8,
 * has enough independent accumulators to hide the latency of fma. */
#define ROWS 4
#define MAX_VECTORS 8

/* Query rows of one tile, and what is known of each. */
typedef struct tile {
    const slmk_attend *job;
    uint32_t first;           /* row of the job */
    uint32_t n_common;        /* keys that all rows see */
    float p[ROWS][SLMK_PAGE]; /* scores, then their exponentials */
    float old_factor[ROWS];   /* of the running sums */
    float new_factor[ROWS];   /* of this page's sums */
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
        float *out = job->out + row * job->out_stride + channel;
        const float32x4_t old_factor = vdupq_n_f32(tl->old_factor[r]);
        const float32x4_t new_factor = vdupq_n_f32(tl->new_factor[r]);
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
            float32x4_t added = vmulq_f32(acc[r][v], new_factor);
            float32x4_t merged = vfmaq_f32(added, load_f32(out + 4 * v), old_factor);
            vst1q_f32(out + 4 * v, merged);
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

/* n_rows (1 or ROWS) rows that see at least one key each. */
SLMK_INLINE void attend_rows(uint32_t kv_type, const slmk_attend *job, uint32_t first,
                             uint32_t n_rows)
{
    const uint32_t d = job->d, n_vectors = n_rows == 1 ? 8 : 4;
    tile tl = { .job = job, .first = first, .n_common = SLMK_PAGE };
    uint32_t n_most = 0;
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t n = job->n_keys[first + r];
        tl.n_common = n < tl.n_common ? n : tl.n_common;
        n_most = n > n_most ? n : n_most;
    }
    for (uint32_t key = 0; key < n_most; key += 4 * n_vectors) {
        score_keys(kv_type, &tl, n_rows, key / 16, n_vectors);
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        soften(&tl, r);
    }
    uint32_t i = 0;
    for (; i + 4 * n_vectors <= d; i += 4 * n_vectors) {
        add_values(kv_type, &tl, n_rows, i, n_vectors);
    }
    for (; i + 4 <= d; i += 4) {
        add_values(kv_type, &tl, n_rows, i, 1);
    }
    for (; i < d; i++) {
        for (uint32_t r = 0; r < n_rows; r++) {
            add_value(kv_type, &tl, r, i);
        }
    }
}

SLMK_INLINE void attend(uint32_t kv_type, const slmk_attend *job)
{
    const uint32_t *n = job->n_keys;
    uint32_t r = 0;
    while (r < job->n_rows) {
        if (job->n_rows - r >= ROWS && n[r] && n[r + 1] && n[r + 2] && n[r + 3]) {
            attend_rows(kv_type, job, r, ROWS);
            r += ROWS;
        } else {
            if (n[r]) {
                attend_rows(kv_type, job, r, 1);
            }
            r++;
        }
    }
}

void slmk_attend_neon(const slmk_attend *job)
{
    if (slmk_kv_has_blocks(job->kv_type)) {
        slmk_attend_ref(job);
        return;
    }
    if (job->kv_type == SLMK_KV_F32) {
        attend(SLMK_KV_F32, job);
    } else {
        attend(SLMK_KV_F16, job);
    }
}

void slmk_store_key_neon(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_store_key_ref(key, d, kv_type, lane, panel);
        return;
    }
    if (kv_type == SLMK_KV_F32) {
        float *keys = panel;
        for (uint32_t i = 0; i < d; i++) {
            keys[(size_t)i * 16 + lane] = key[i];
        }
        return;
    }
    uint16_t *keys = panel;
    for (uint32_t i = 0; i < d; i++) {
        keys[(size_t)i * 16 + lane] = slmk_f32_to_f16(key[i]);
    }
}

void slmk_store_value_neon(const float *value, uint32_t d, uint32_t kv_type, void *row)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_store_value_ref(value, d, kv_type, row);
        return;
    }
    if (kv_type == SLMK_KV_F32) {
        memcpy(row, value, d * sizeof *value);
        return;
    }
    uint16_t *values = row;
    uint32_t i = 0;
    for (; i + 4 <= d; i += 4) {
        float16x4_t halves = vcvt_f16_f32(load_f32(value + i));
        vst1_u16(values + i, vreinterpret_u16_f16(halves));
    }
    for (; i < d; i++) {
        values[i] = slmk_f32_to_f16(value[i]);
    }
}
