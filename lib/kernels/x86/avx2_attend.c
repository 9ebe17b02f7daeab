/* SPDX-License-Identifier: MIT */
/* Attention over one cache page for AVX2, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/kv.h"
#include "kernels/ref/ref.h"
#include "kernels/x86/avx2.h"

/* Query rows that share loads of keys and values. A tile of 4 rows by 2 vectors, or of 1 row by 4,
 * has enough independent accumulators to hide the latency of fma. */
#define ROWS 4
#define MAX_VECTORS 4

/* Query rows of one tile, and what is known of each. */
typedef struct tile {
    const slmk_attend *job;
    uint32_t first;           /* row of the job */
    uint32_t n_common;        /* keys that all rows see */
    float p[ROWS][SLMK_PAGE]; /* scores, then their exponentials */
    float old_factor[ROWS];   /* of the running sums */
    float new_factor[ROWS];   /* of this page's sums */
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

/* Weighted sums of 8 * n_vectors channels from `channel` on, merged into the running ones. */
SLMK_INLINE void add_values(uint32_t kv_type, const tile *tl, uint32_t n_rows, uint32_t channel,
                            uint32_t n_vectors)
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
            __m256 weight = _mm256_set1_ps(tl->p[r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                acc[r][v] = _mm256_fmadd_ps(weight, values[v], acc[r][v]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        const uint32_t row = tl->first + r;
        float *out = job->out + row * job->out_stride + channel;
        const __m256 old_factor = _mm256_set1_ps(tl->old_factor[r]);
        const __m256 new_factor = _mm256_set1_ps(tl->new_factor[r]);
        for (uint32_t key = tl->n_common; key < job->n_keys[row]; key++) {
            __m256 weight = _mm256_set1_ps(tl->p[r][key]);
            SLMK_UNROLL
            for (uint32_t v = 0; v < n_vectors; v++) {
                __m256 value = load_8(kv_type, job->v, (size_t)key * job->d + channel + 8 * v);
                acc[r][v] = _mm256_fmadd_ps(weight, value, acc[r][v]);
            }
        }
        SLMK_UNROLL
        for (uint32_t v = 0; v < n_vectors; v++) {
            __m256 added = _mm256_mul_ps(acc[r][v], new_factor);
            __m256 merged = _mm256_fmadd_ps(load_f32(out + 8 * v), old_factor, added);
            _mm256_storeu_ps(out + 8 * v, merged);
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
    const uint32_t d = job->d, n_vectors = n_rows == 1 ? 4 : 2;
    tile tl = { .job = job, .first = first, .n_common = SLMK_PAGE };
    uint32_t n_most = 0;
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t n = job->n_keys[first + r];
        tl.n_common = n < tl.n_common ? n : tl.n_common;
        n_most = n > n_most ? n : n_most;
    }
    for (uint32_t key = 0; key < n_most; key += 8 * n_vectors) {
        score_keys(kv_type, &tl, n_rows, key / 16, n_vectors);
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        soften(&tl, r);
    }
    uint32_t i = 0;
    for (; i + 8 * n_vectors <= d; i += 8 * n_vectors) {
        add_values(kv_type, &tl, n_rows, i, n_vectors);
    }
    for (; i + 8 <= d; i += 8) {
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

void slmk_attend_avx2(const slmk_attend *job)
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

void slmk_store_key_avx2(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
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
        keys[(size_t)i * 16 + lane] = _cvtss_sh(key[i], _MM_FROUND_TO_NEAREST_INT);
    }
}

void slmk_store_value_avx2(const float *value, uint32_t d, uint32_t kv_type, void *row)
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
    for (; i + 8 <= d; i += 8) {
        __m128i halves = _mm256_cvtps_ph(load_f32(value + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(void *)(values + i), halves);
    }
    for (; i < d; i++) {
        values[i] = _cvtss_sh(value[i], _MM_FROUND_TO_NEAREST_INT);
    }
}
