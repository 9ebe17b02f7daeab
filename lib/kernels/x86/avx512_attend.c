/* SPDX-License-Identifier: MIT */
/* Attention over one cache page (AVX-512): tiles of query rows share loads of keys and values. */
#include "kernels/kv.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

#define MAX_ROWS 4
#define MAX_BLOCKS 4 /* of values whose weights are made together */

/* Rows of a tile while it is worked on. */
typedef struct tile {
    const slmk_attend *job;
    uint32_t row;              /* the first one */
    uint32_t n_min, n_max;     /* least and most visible keys of a row */
    float p[MAX_ROWS][SLMK_PAGE];
    float old_factor[MAX_ROWS];
    float new_factor[MAX_ROWS];
    float weights[MAX_ROWS][SLMK_PAGE][MAX_BLOCKS]; /* Q8, Q4: p times the scales of some blocks */
} tile;

/* Lanes of keys [key, key + 16) that are among the first n. */
SLMK_INLINE __mmask16 lanes_below(uint32_t key, uint32_t n)
{
    return n > key ? first_lanes(n - key) : 0;
}

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

/* 16 codes of Q8, or 32 of Q4 from the low and the high nibbles, as float32. */
SLMK_INLINE void load_codes(const uint32_t kv_type, __m128i bytes, __m512 *low, __m512 *high)
{
    if (kv_type == SLMK_KV_Q8) {
        *low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
        return;
    }
    const __m512 values = _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)slmk_iq4_nl_values)));
    const __m512i both = _mm512_cvtepu8_epi32(bytes);
    *low = _mm512_permutexvar_ps(both, values); /* heeds the four lowest bits of each index */
    *high = _mm512_permutexvar_ps(_mm512_srli_epi32(both, 4), values);
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

/* Adds q times one element, or with Q4 two, of the keys of n_panels panels to t. `codes` is a code row of
 * the first panel. */
SLMK_INLINE void add_codes(__m512 t[MAX_ROWS][4], const tile *work, const uint32_t kv_type,
                           const uint32_t n_rows, const uint32_t n_panels, const uint8_t *codes,
                           const float *q, const uint32_t n_elements)
{
    const slmk_attend *job = work->job;
    const size_t panel_bytes = slmk_kv_panel_bytes(kv_type, job->d);
    __m512 keys[2][4];
    SLMK_UNROLL
    for (uint32_t p = 0; p < n_panels; p++) {
        load_codes(kv_type, _mm_loadu_si128((const void *)(codes + p * panel_bytes)), &keys[0][p],
                   &keys[1][p]);
    }
    SLMK_UNROLL
    for (uint32_t e = 0; e < n_elements; e++) {
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            const __m512 q_i = _mm512_set1_ps(q[r * job->q_stride + e]);
            SLMK_UNROLL
            for (uint32_t p = 0; p < n_panels; p++) {
                t[r][p] = _mm512_fmadd_ps(q_i, keys[e][p], t[r][p]);
            }
        }
    }
}

/* score_tile for Q8 and Q4. */
SLMK_INLINE void score_tile_blocks(tile *work, const uint32_t kv_type, const uint32_t n_rows,
                                   const uint32_t n_panels)
{
    const slmk_attend *job = work->job;
    const size_t panel_bytes = slmk_kv_panel_bytes(kv_type, job->d);
    const uint32_t per_row = kv_type == SLMK_KV_Q8 ? 1 : 2; /* elements in a code row */
    const uint32_t last = slmk_kv_n_blocks(job->d) - 1;
    for (uint32_t b = 0; b <= last; b++) {
        const uint8_t *block = (const uint8_t *)job->k + slmk_kv_key_block(kv_type, b);
        const uint8_t *codes = block + 16 * sizeof(uint16_t);
        const float *q = job->q + work->row * job->q_stride + b * SLMK_KV_BLOCK;
        const uint32_t n = slmk_kv_block_width(job->d, b);
        __m512 t[MAX_ROWS][4];
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            SLMK_UNROLL
            for (uint32_t p = 0; p < n_panels; p++) {
                t[r][p] = _mm512_setzero_ps();
            }
        }
        uint32_t i = 0;
        for (; i + per_row <= n; i += per_row, codes += 16) {
            add_codes(t, work, kv_type, n_rows, n_panels, codes, q + i, per_row);
        }
        if (i < n) {
            add_codes(t, work, kv_type, n_rows, n_panels, codes, q + i, 1);
        }
        const __m512 scale = _mm512_set1_ps(b == last ? job->scale : 1);
        SLMK_UNROLL
        for (uint32_t p = 0; p < n_panels; p++) {
            const __m512 block_scale = load_halves(block + p * panel_bytes);
            SLMK_UNROLL
            for (uint32_t r = 0; r < n_rows; r++) {
                float *sum = work->p[r] + 16 * p;
                __m512 s = b == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(sum);
                s = _mm512_fmadd_ps(t[r][p], block_scale, s);
                _mm512_storeu_ps(sum, _mm512_mul_ps(s, scale));
            }
        }
    }
}

/* Four vectors of 16 lanes to vectors of four rows: lane i and i + 8 of each joined by `join`, then i and
 * i + 4. */
#define JOIN_ROWS(join_8, join_4, lanes, four)                                                     \
    SLMK_UNROLL                                                                                    \
    for (uint32_t r = 0; r < MAX_ROWS; r++) {                                                      \
        const __m256 eight =                                                                       \
            join_8(_mm512_castps512_ps256(lanes[r]), _mm512_extractf32x8_ps(lanes[r], 1));         \
        four[r] = join_4(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));          \
    }                                                                                              \
    _MM_TRANSPOSE4_PS(four[0], four[1], four[2], four[3])

/* The maximum of each row's 16 lanes. */
SLMK_INLINE __m128 max_of_rows(const __m512 lanes[MAX_ROWS])
{
    __m128 four[MAX_ROWS];
    JOIN_ROWS(_mm256_max_ps, _mm_max_ps, lanes, four);
    return _mm_max_ps(_mm_max_ps(four[0], four[2]), _mm_max_ps(four[1], four[3]));
}

/* join_lanes of each row. */
SLMK_INLINE __m128 sum_of_rows(const __m512 lanes[MAX_ROWS])
{
    __m128 four[MAX_ROWS];
    JOIN_ROWS(_mm256_add_ps, _mm_add_ps, lanes, four);
    return _mm_add_ps(_mm_add_ps(four[0], four[2]), _mm_add_ps(four[1], four[3]));
}

/* Merges the rows' maxima and sums of this page, and leaves the factors for their values. A row that sees no
 * key stays as it is. */
SLMK_INLINE void merge_sums(tile *work, const uint32_t n_keys[MAX_ROWS], __m128 max, __m128 sum)
{
    const slmk_attend *job = work->job;
    __mmask8 seen = 0;
    SLMK_UNROLL
    for (uint32_t r = 0; r < MAX_ROWS; r++) {
        seen |= (__mmask8)((n_keys[r] != 0) << r);
    }
    const __m128 old_max = _mm_maskz_loadu_ps(seen, job->max + work->row);
    const __m128 all_max = _mm_max_ps(old_max, max);
    const __m512 differences =
        _mm512_castps256_ps512(_mm256_set_m128(_mm_sub_ps(max, all_max), _mm_sub_ps(old_max, all_max)));
    const __m256 factors = _mm512_castps512_ps256(exp_16(differences));
    const __m128 old_factor =
        _mm_mask_mov_ps(_mm_set1_ps(1), seen, _mm256_castps256_ps128(factors));
    const __m128 new_factor = _mm_maskz_mov_ps(seen, _mm256_extractf128_ps(factors, 1));
    const __m128 old_sum = _mm_maskz_loadu_ps(seen, job->sum + work->row);
    _mm_mask_storeu_ps(job->max + work->row, seen, all_max);
    _mm_mask_storeu_ps(job->sum + work->row, seen,
                       _mm_fmadd_ps(old_sum, old_factor, _mm_mul_ps(sum, new_factor)));
    _mm_storeu_ps(work->old_factor, old_factor);
    _mm_storeu_ps(work->new_factor, new_factor);
}

/* Scores of the tile's rows to weights, MAX_ROWS side by side; rows from n_rows on count as seeing no key. */
SLMK_APART void softmax_tile(tile *work, uint32_t n_rows)
{
    uint32_t n_keys[MAX_ROWS];
    __m512 largest[MAX_ROWS], lanes[MAX_ROWS];
    float row_max[MAX_ROWS];
    SLMK_UNROLL
    for (uint32_t r = 0; r < MAX_ROWS; r++) {
        n_keys[r] = r < n_rows ? work->job->n_keys[work->row + r] : 0;
        largest[r] = _mm512_set1_ps(-INFINITY);
        lanes[r] = _mm512_setzero_ps();
    }
    for (uint32_t key = 0; key < work->n_max; key += 16) {
        SLMK_UNROLL
        for (uint32_t r = 0; r < MAX_ROWS; r++) {
            const __mmask16 mask = lanes_below(key, n_keys[r]);
            const __m512 score = _mm512_maskz_loadu_ps(mask, work->p[r] + key);
            largest[r] = _mm512_mask_max_ps(largest[r], mask, score, largest[r]);
        }
    }
    const __m128 max = max_of_rows(largest);
    _mm_storeu_ps(row_max, max);
    for (uint32_t key = 0; key < work->n_max; key += 16) {
        SLMK_UNROLL
        for (uint32_t r = 0; r < MAX_ROWS; r++) {
            const __mmask16 mask = lanes_below(key, n_keys[r]);
            const __m512 score = _mm512_maskz_loadu_ps(mask, work->p[r] + key);
            const __m512 p = exp_16(_mm512_sub_ps(score, _mm512_set1_ps(row_max[r])));
            lanes[r] = _mm512_mask_add_ps(lanes[r], mask, lanes[r], p);
            _mm512_storeu_ps(work->p[r] + key, p);
        }
    }
    merge_sums(work, n_keys, max, sum_of_rows(lanes));
}

/* Merges vector c of this page's weighted values into the running sums of channels from `channel` on. */
SLMK_INLINE void merge_values(const tile *work, uint32_t first, const uint32_t n_rows, uint32_t channel,
                              __mmask16 mask, __m512 o[MAX_ROWS][4], const uint32_t c)
{
    const slmk_attend *job = work->job;
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        if (job->n_keys[work->row + first + r] == 0) {
            continue;
        }
        float *out = job->out + (work->row + first + r) * job->out_stride + channel;
        const __m512 y = _mm512_mul_ps(o[r][c], _mm512_set1_ps(work->new_factor[first + r]));
        const __m512 old_factor = _mm512_set1_ps(work->old_factor[first + r]);
        const __m512 sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, out), old_factor, y);
        _mm512_mask_storeu_ps(out, mask, sum);
    }
}

/* Weighted values of n_rows rows from row `first` of the tile on and n_vectors vectors of channels from
 * `channel` on; both numbers are constant. `tail` masks the last vector. */
SLMK_INLINE void value_tile(const tile *work, const uint32_t kv_type, uint32_t first,
                            const uint32_t n_rows, const uint32_t n_vectors, uint32_t channel,
                            __mmask16 tail)
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
            if (key >= work->n_min && key >= job->n_keys[work->row + first + r]) {
                continue;
            }
            const __m512 p = _mm512_set1_ps(work->p[first + r][key]);
            SLMK_UNROLL
            for (uint32_t c = 0; c < n_vectors; c++) {
                o[r][c] = _mm512_fmadd_ps(p, v[c], o[r][c]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t c = 0; c < n_vectors; c++) {
        merge_values(work, first, n_rows, channel + 16 * c, n_vectors == 1 ? tail : (__mmask16)0xffff, o, c);
    }
}

/* Weights of values: p times the scales of blocks [first, first + n_blocks). */
SLMK_INLINE void weigh_blocks(tile *work, const uint32_t kv_type, const uint32_t n_rows,
                              uint32_t first, uint32_t n_blocks)
{
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, work->job->d);
    const uint8_t *scales = (const uint8_t *)work->job->v + first * sizeof(uint16_t);
    const __mmask8 mask = (__mmask8)((1u << n_blocks) - 1);
    for (uint32_t key = 0; key < work->n_max; key++, scales += row_bytes) {
        const __m128 four = _mm_cvtph_ps(_mm_maskz_loadu_epi16(mask, scales));
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            _mm_storeu_ps(work->weights[r][key], _mm_mul_ps(_mm_set1_ps(work->p[r][key]), four));
        }
    }
}

/* value_tile for n_blocks whole blocks of Q8 or Q4 (constant), or one of width n < 32, from `block` on;
 * the first of them has the `at`-th weights. A block is two vectors of channels. */
SLMK_INLINE void value_tile_blocks(const tile *work, const uint32_t kv_type, uint32_t first,
                                   const uint32_t n_rows, const uint32_t n_blocks, uint32_t block,
                                   uint32_t at, uint32_t n)
{
    const slmk_attend *job = work->job;
    const size_t row_bytes = slmk_kv_row_bytes(kv_type, job->d);
    const uint8_t *codes = (const uint8_t *)job->v + slmk_kv_value_codes(kv_type, job->d, block);
    const uint32_t second = kv_type == SLMK_KV_Q8 ? 16 : (n + 1) / 2; /* channel of vector 1 */
    const __mmask16 low_mask = first_lanes(n < second ? n : second);
    const __mmask16 high_mask = n < second ? 0 : first_lanes(n - second);
    __m512 o[MAX_ROWS][4];
    SLMK_UNROLL
    for (uint32_t r = 0; r < n_rows; r++) {
        SLMK_UNROLL
        for (uint32_t c = 0; c < 2 * n_blocks; c++) {
            o[r][c] = _mm512_setzero_ps();
        }
    }
    for (uint32_t key = 0; key < work->n_max; key++, codes += row_bytes) {
        __m512 v[4];
        SLMK_UNROLL
        for (uint32_t b = 0; b < n_blocks; b++) {
            const uint8_t *from = codes + b * slmk_kv_code_bytes(kv_type, SLMK_KV_BLOCK);
            load_codes(kv_type, _mm_maskz_loadu_epi8(low_mask, from), &v[2 * b], &v[2 * b + 1]);
            if (kv_type == SLMK_KV_Q8) {
                const __m128i bytes = _mm_maskz_loadu_epi8(high_mask, from + 16);
                load_codes(kv_type, bytes, &v[2 * b + 1], NULL);
            }
        }
        SLMK_UNROLL
        for (uint32_t r = 0; r < n_rows; r++) {
            if (key >= work->n_min && key >= job->n_keys[work->row + first + r]) {
                continue;
            }
            SLMK_UNROLL
            for (uint32_t c = 0; c < 2 * n_blocks; c++) {
                const __m512 weight = _mm512_set1_ps(work->weights[first + r][key][at + c / 2]);
                o[r][c] = _mm512_fmadd_ps(weight, v[c], o[r][c]);
            }
        }
    }
    SLMK_UNROLL
    for (uint32_t c = 0; c < 2 * n_blocks; c++) {
        const uint32_t channel = (block + c / 2) * SLMK_KV_BLOCK + c % 2 * second;
        merge_values(work, first, n_rows, channel, c % 2 ? high_mask : low_mask, o, c);
    }
}

/* One block, of a whole tile's rows together or of one row after the other. */
SLMK_APART void value_block(const tile *work, const uint32_t kv_type, const uint32_t n_rows,
                            uint32_t block, uint32_t at)
{
    const uint32_t n = slmk_kv_block_width(work->job->d, block);
    const uint32_t together = n_rows == MAX_ROWS ? MAX_ROWS : 1;
    for (uint32_t r = 0; r < n_rows; r += together) {
        if (kv_type == SLMK_KV_Q8 && together == 1) {
            value_tile_blocks(work, SLMK_KV_Q8, r, 1, 1, block, at, n);
        } else if (kv_type == SLMK_KV_Q8) {
            value_tile_blocks(work, SLMK_KV_Q8, r, MAX_ROWS, 1, block, at, n);
        } else if (together == 1) {
            value_tile_blocks(work, SLMK_KV_Q4, r, 1, 1, block, at, n);
        } else {
            value_tile_blocks(work, SLMK_KV_Q4, r, MAX_ROWS, 1, block, at, n);
        }
    }
}

/* All values for Q8 and Q4. */
SLMK_INLINE void value_blocks(tile *work, const uint32_t kv_type, const uint32_t n_rows)
{
    const uint32_t d = work->job->d, n_blocks = slmk_kv_n_blocks(d);
    for (uint32_t first = 0; first < n_blocks; first += MAX_BLOCKS) {
        const uint32_t left = n_blocks - first, n = left < MAX_BLOCKS ? left : MAX_BLOCKS;
        weigh_blocks(work, kv_type, n_rows, first, n);
        for (uint32_t at = 0; at < n;) {
            const uint32_t block = first + at;
            if (d >= (block + 2) * SLMK_KV_BLOCK && at + 2 <= n) {
                value_tile_blocks(work, kv_type, 0, n_rows, 2, block, at, SLMK_KV_BLOCK);
                at += 2;
            } else {
                value_block(work, kv_type, n_rows, block, at);
                at += 1;
            }
        }
    }
}

/* What is left of the channels, of a whole tile's rows together or of one row after the other. */
SLMK_APART void last_channels(const tile *work, const uint32_t kv_type, const uint32_t n_rows,
                              uint32_t channel)
{
    const uint32_t together = n_rows == MAX_ROWS ? MAX_ROWS : 1;
    for (; channel < work->job->d; channel += 16) {
        const __mmask16 tail = first_lanes(work->job->d - channel);
        for (uint32_t r = 0; r < n_rows; r += together) {
            if (kv_type == SLMK_KV_F32 && together == 1) {
                value_tile(work, SLMK_KV_F32, r, 1, 1, channel, tail);
            } else if (kv_type == SLMK_KV_F32) {
                value_tile(work, SLMK_KV_F32, r, MAX_ROWS, 1, channel, tail);
            } else if (together == 1) {
                value_tile(work, SLMK_KV_F16, r, 1, 1, channel, tail);
            } else {
                value_tile(work, SLMK_KV_F16, r, MAX_ROWS, 1, channel, tail);
            }
        }
    }
}

/* All values for the float types. */
SLMK_INLINE void value_channels(const tile *work, const uint32_t kv_type, const uint32_t n_rows)
{
    const uint32_t d = work->job->d;
    uint32_t channel = 0;
    for (; channel + 64 <= d; channel += 64) {
        value_tile(work, kv_type, 0, n_rows, 4, channel, 0xffff);
    }
    if (channel < d) {
        last_channels(work, kv_type, n_rows, channel);
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
    if (work.n_max == 0) {
        return;
    }
    if (slmk_kv_has_blocks(kv_type)) {
        score_tile_blocks(&work, kv_type, n_rows, 4);
    } else if (work.n_max <= 2 * SLMK_ROWS) {
        score_tile(&work, kv_type, n_rows, 2);
    } else {
        score_tile(&work, kv_type, n_rows, 4);
    }
    softmax_tile(&work, n_rows);
    if (slmk_kv_has_blocks(kv_type)) {
        value_blocks(&work, kv_type, n_rows);
    } else {
        value_channels(&work, kv_type, n_rows);
    }
}

SLMK_INLINE void attend_rows(const slmk_attend *job, const uint32_t kv_type)
{
    uint32_t row = 0;
    for (; row + MAX_ROWS <= job->n_rows; row += MAX_ROWS) {
        attend_tile(job, kv_type, MAX_ROWS, row);
    }
    switch (job->n_rows - row) {
    case 1: attend_tile(job, kv_type, 1, row); break;
    case 2: attend_tile(job, kv_type, 2, row); break;
    case 3: attend_tile(job, kv_type, 3, row); break;
    default: break;
    }
}

void slmk_attend_avx512(const slmk_attend *job)
{
    switch (job->kv_type) {
    case SLMK_KV_F32: attend_rows(job, SLMK_KV_F32); break;
    case SLMK_KV_Q8: attend_rows(job, SLMK_KV_Q8); break;
    case SLMK_KV_Q4: attend_rows(job, SLMK_KV_Q4); break;
    default: attend_rows(job, SLMK_KV_F16); break;
    }
}
