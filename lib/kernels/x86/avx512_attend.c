/* SPDX-License-Identifier: MIT */
/* Attention over one cache page (AVX-512): tiles of query rows share loads of keys and values. */
#include "kernels/kv.h"
#include "kernels/ref/ref.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

#define MAX_ROWS 4

/* Rows of a tile while it is worked on. */
typedef struct tile {
    const slmk_attend *job;
    uint32_t row;              /* the first one */
    uint32_t n_min, n_max;     /* least and most visible keys of a row */
    float p[MAX_ROWS][SLMK_PAGE];
    float old_factor[MAX_ROWS];
    float new_factor[MAX_ROWS];
} tile;

SLMK_INLINE __m512 load_kv(const void *values, const uint32_t kv_type, size_t at)
{
    return kv_type == SLMK_KV_F32 ? _mm512_loadu_ps((const float *)values + at)
                                  : load_halves((const uint16_t *)values + at);
}

SLMK_INLINE __m512 load_kv_masked(const void *values, const uint32_t kv_type, size_t at,
                                  __mmask16 mask)
{
    return kv_type == SLMK_KV_F32
               ? _mm512_maskz_loadu_ps(mask, (const float *)values + at)
               : _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)values + at));
}

/* Scaled scores of n_rows rows and the first 16 * n_panels keys; both numbers are constant. */
SLMK_INLINE void score_tile(tile *work, const uint32_t kv_type, const uint32_t n_rows,
                            const uint32_t n_panels)
{
    const slmk_attend *job = work->job;
    const float *q = job->q + work->row * job->q_stride;
    const __m512 scale = _mm512_set1_ps(job->scale);
    __m512 s[MAX_ROWS][4];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            s[r][p] = _mm512_setzero_ps();
        }
    }
    for (uint32_t i = 0; i < job->d; i++) {
        __m512 keys[4];
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            keys[p] = load_kv(job->k, kv_type, ((size_t)p * job->d + i) * 16);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            const __m512 q_i = _mm512_set1_ps(q[r * job->q_stride + i]);
            SLMK_UNROLL
            for (uint32_t p = 0; p < n_panels; p++) {
                s[r][p] = _mm512_fmadd_ps(q_i, keys[p], s[r][p]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            _mm512_storeu_ps(work->p[r] + 16 * p, _mm512_mul_ps(s[r][p], scale));
        }
    }
}

/* Scores of row r of the tile to weights; merges maximum and sum. */
static void softmax_row(tile *work, uint32_t r)
{
    const slmk_attend *job = work->job;
    const uint32_t row = work->row + r;
    const uint32_t n = job->n_keys[row];
    if (n == 0) { /* nothing changes */
        work->old_factor[r] = 1;
        work->new_factor[r] = 0;
        return;
    }
    __m512 largest = _mm512_set1_ps(-INFINITY);
    for (uint32_t key = 0; key < n; key += 16) {
        __mmask16 mask = first_lanes(n - key);
        largest = _mm512_mask_max_ps(largest, mask, _mm512_loadu_ps(work->p[r] + key), largest);
    }
    const float max = _mm512_reduce_max_ps(largest);
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t key = 0; key < n; key += 16) {
        __mmask16 mask = first_lanes(n - key);
        __m512 score = _mm512_loadu_ps(work->p[r] + key);
        __m512 p = exp_16(_mm512_sub_ps(score, _mm512_set1_ps(max)));
        lanes = _mm512_mask_add_ps(lanes, mask, lanes, p);
        _mm512_storeu_ps(work->p[r] + key, p);
    }
    const float all_max = job->max[row] > max ? job->max[row] : max;
    const __m512 both = _mm512_set_ps(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, max - all_max,
                                      job->max[row] - all_max);
    const __m128 factors = _mm512_castps512_ps128(exp_16(both));
    work->old_factor[r] = _mm_cvtss_f32(factors);
    work->new_factor[r] = _mm_cvtss_f32(_mm_movehdup_ps(factors));
    job->max[row] = all_max;
    job->sum[row] =
        slmk_fmaf(job->sum[row], work->old_factor[r], join_lanes(lanes) * work->new_factor[r]);
}

/* Weighted values of n_rows rows and n_vectors vectors of channels from `channel` on; both numbers
 * are constant. `tail` masks the last vector. */
SLMK_INLINE void value_tile(const tile *work, const uint32_t kv_type, const uint32_t n_rows,
                            const uint32_t n_vectors, uint32_t channel, __mmask16 tail)
{
    const slmk_attend *job = work->job;
    __m512 o[MAX_ROWS][4];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t c = 0; c < n_vectors; c++) {
            o[r][c] = _mm512_setzero_ps();
        }
    }
    for (uint32_t key = 0; key < work->n_max; key++) {
        const size_t at = (size_t)key * job->d + channel;
        __m512 v[4];
        SLMK_UNROLL
        for (uint32_t c = 0; c < n_vectors; c++) {
            v[c] = n_vectors == 1 ? load_kv_masked(job->v, kv_type, at, tail)
                                  : load_kv(job->v, kv_type, at + 16 * c);
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            if (key >= work->n_min && key >= job->n_keys[work->row + r]) {
                continue;
            }
            const __m512 p = _mm512_set1_ps(work->p[r][key]);
            SLMK_UNROLL
            for (uint32_t c = 0; c < n_vectors; c++) {
                o[r][c] = _mm512_fmadd_ps(p, v[c], o[r][c]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        if (job->n_keys[work->row + r] == 0) {
            continue;
        }
        float *out = job->out + (work->row + r) * job->out_stride + channel;
        const __m512 old_factor = _mm512_set1_ps(work->old_factor[r]);
        const __m512 new_factor = _mm512_set1_ps(work->new_factor[r]);
        SLMK_UNROLL
        for (uint32_t c = 0; c < n_vectors; c++) {
            const __mmask16 mask = n_vectors == 1 ? tail : (__mmask16)0xffff;
            __m512 y = _mm512_mul_ps(o[r][c], new_factor);
            y = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, out + 16 * c), old_factor, y);
            _mm512_mask_storeu_ps(out + 16 * c, mask, y);
        }
    }
}

SLMK_INLINE void attend_tile(const slmk_attend *job, const uint32_t kv_type, const uint32_t n_rows,
                             uint32_t row)
{
    tile work;
    work.job = job;
    work.row = row;
    work.n_min = work.n_max = job->n_keys[row];
    SLMK_UNROLL
    for (uint32_t r = 1; r < n_rows; r++) {
        const uint32_t n = job->n_keys[row + r];
        work.n_min = n < work.n_min ? n : work.n_min;
        work.n_max = n > work.n_max ? n : work.n_max;
    }
    switch ((work.n_max + 15) / 16) {
    case 0: return;
    case 1: score_tile(&work, kv_type, n_rows, 1); break;
    case 2: score_tile(&work, kv_type, n_rows, 2); break;
    case 3: score_tile(&work, kv_type, n_rows, 3); break;
    default: score_tile(&work, kv_type, n_rows, 4); break;
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        softmax_row(&work, r);
    }
    uint32_t channel = 0;
    for (; channel + 64 <= job->d; channel += 64) {
        value_tile(&work, kv_type, n_rows, 4, channel, 0xffff);
    }
    for (; channel < job->d; channel += 16) {
        value_tile(&work, kv_type, n_rows, 1, channel, first_lanes(job->d - channel));
    }
}

SLMK_INLINE void attend_rows(const slmk_attend *job, const uint32_t kv_type)
{
    uint32_t row = 0;
    for (; row + MAX_ROWS <= job->n_rows; row += MAX_ROWS) {
        attend_tile(job, kv_type, MAX_ROWS, row);
    }
    for (; row < job->n_rows; row++) {
        attend_tile(job, kv_type, 1, row);
    }
}

void slmk_attend_avx512(const slmk_attend *job)
{
    if (slmk_kv_has_blocks(job->kv_type)) {
        slmk_attend_ref(job);
        return;
    }
    if (job->kv_type == SLMK_KV_F32) {
        attend_rows(job, SLMK_KV_F32);
    } else {
        attend_rows(job, SLMK_KV_F16);
    }
}

void slmk_store_key_avx512(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane,
                           void *panel)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_store_key_ref(key, d, kv_type, lane, panel);
        return;
    }
    for (uint32_t i = 0; i < d; i += 16) {
        const uint32_t n = d - i < 16 ? d - i : 16;
        if (kv_type == SLMK_KV_F32) {
            for (uint32_t j = 0; j < n; j++) {
                ((float *)panel)[(size_t)(i + j) * 16 + lane] = key[i + j];
            }
            continue;
        }
        uint16_t halves[16];
        __m512 x = _mm512_maskz_loadu_ps(first_lanes(n), key + i);
        _mm256_storeu_si256((__m256i *)(void *)halves,
                            _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        for (uint32_t j = 0; j < n; j++) {
            ((uint16_t *)panel)[(size_t)(i + j) * 16 + lane] = halves[j];
        }
    }
}

void slmk_store_value_avx512(const float *value, uint32_t d, uint32_t kv_type, void *row)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_store_value_ref(value, d, kv_type, row);
        return;
    }
    if (kv_type == SLMK_KV_F32) {
        memcpy(row, value, d * sizeof *value);
        return;
    }
    for (uint32_t i = 0; i < d; i += 16) {
        const __mmask16 mask = first_lanes(d - i);
        __m256i halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, value + i),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16((uint16_t *)row + i, mask, halves);
    }
}
