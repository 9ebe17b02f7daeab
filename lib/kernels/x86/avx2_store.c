/* SPDX-License-Identifier: MIT */
/* Storing keys and values (AVX2): rounding to the number type of the cache. */
#include "kernels/ref/kv_block.h"
#include "kernels/x86/avx2.h"

#define VECTORS 4 /* of a block */

/* Largest bit pattern without sign: 0x7f800000 or more if a number is not finite. */
static uint32_t largest_magnitude(const __m256 x[VECTORS])
{
    const __m256i sign = _mm256_set1_epi32(0x7fffffff);
    __m256i bits = _mm256_setzero_si256();
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        bits = _mm256_max_epi32(bits, _mm256_and_si256(_mm256_castps_si256(x[v]), sign));
    }
    int32_t lanes[8], largest = 0;
    store_bytes(lanes, bits);
    for (int i = 0; i < 8; i++) {
        largest = lanes[i] > largest ? lanes[i] : largest;
    }
    return (uint32_t)largest;
}

/* 32 integers as bytes, in their order. */
static void store_codes(uint8_t *codes, const __m256i q[VECTORS])
{
    const __m256i low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    store_bytes(codes, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
}

/* slmk_kv_round_q8 of a whole block. */
static uint16_t round_q8(const __m256 x[VECTORS], uint8_t *codes)
{
    const uint32_t largest = largest_magnitude(x);
    const int finite = largest < 0x7f800000;
    const uint16_t scale =
        finite ? slmk_kv_scale_q8(slmk_float_from_bits(largest)) : SLMK_HALF_NAN;
    if (!finite || scale == 0) {
        memset(codes, 0, SLMK_KV_BLOCK);
        return scale;
    }
    const __m256 inverse = _mm256_set1_ps(1.0f / slmk_f16_to_f32(scale));
    __m256i q[VECTORS];
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        const __m256 y = _mm256_max_ps(_mm256_mul_ps(x[v], inverse), _mm256_set1_ps(-127));
        q[v] = _mm256_cvtps_epi32(_mm256_min_ps(y, _mm256_set1_ps(127)));
    }
    store_codes(codes, q);
    return scale;
}

/* Indices of the values nearest to y. */
SLMK_INLINE __m256i find_codes(__m256 y)
{
    __m256i code = _mm256_setzero_si256();
    SLMK_UNROLL
    for (int k = 0; k < 15; k++) {
        const __m256 above = _mm256_cmp_ps(y, broadcast_f32(slmk_kv_middles + k), _CMP_GT_OQ);
        code = _mm256_sub_epi32(code, _mm256_castps_si256(above));
    }
    return code;
}

/* slmk_kv_try_q4 of a whole block. */
SLMK_INLINE float try_q4(const __m256 x[VECTORS], float scale, __m256i q[VECTORS])
{
    const __m256 all_scale = _mm256_set1_ps(scale), inverse = _mm256_set1_ps(1.0f / scale);
    const __m128i values = load_bytes_16(slmk_iq4_nl_values);
    /* The other three bytes of each index pick 0. */
    const __m256i clear = _mm256_set1_epi32((int)0x80808000);
    __m256 sums[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    float lanes[16];
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        q[v] = find_codes(_mm256_mul_ps(x[v], inverse));
        const __m256i value = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values),
                                                  _mm256_or_si256(q[v], clear));
        const __m256i wide = _mm256_srai_epi32(_mm256_slli_epi32(value, 24), 24);
        const __m256 error = _mm256_fnmadd_ps(all_scale, _mm256_cvtepi32_ps(wide), x[v]);
        sums[v % 2] = _mm256_fmadd_ps(error, error, sums[v % 2]);
    }
    _mm256_storeu_ps(lanes, sums[0]);
    _mm256_storeu_ps(lanes + 8, sums[1]);
    return slmk_join_lanes(lanes);
}

/* slmk_kv_round_q4 of a whole block. */
static uint16_t round_q4(const __m256 x[VECTORS], uint8_t *codes)
{
    memset(codes, SLMK_KV_Q4_ZERO, SLMK_KV_BLOCK);
    if (largest_magnitude(x) >= 0x7f800000) {
        return SLMK_HALF_NAN;
    }
    const __m256 high = _mm256_max_ps(_mm256_max_ps(x[0], x[1]), _mm256_max_ps(x[2], x[3]));
    const __m256 low = _mm256_min_ps(_mm256_min_ps(x[0], x[1]), _mm256_min_ps(x[2], x[3]));
    const float most = largest_lane(high);
    const float opposite = largest_lane(_mm256_xor_ps(low, _mm256_set1_ps(-0.0f)));
    const float extreme = most >= opposite ? most : -opposite;
    float least = INFINITY;
    uint16_t best = 0;
    for (int t = 0; t < SLMK_KV_TRIES; t++) {
        const uint16_t scale = slmk_kv_round_scale(extreme * slmk_kv_tries[t]);
        __m256i q[VECTORS];
        if (scale << 1 & 0xffff) { /* not 0 */
            const float error = try_q4(x, slmk_f16_to_f32(scale), q);
            if (error <= least) {
                least = error;
                best = scale;
                store_codes(codes, q);
            }
        }
    }
    return best;
}

static uint16_t round_block(uint32_t kv_type, const float *x, uint32_t n, uint8_t *codes)
{
    if (n < SLMK_KV_BLOCK) {
        return slmk_kv_round_block(kv_type, x, n, codes);
    }
    const __m256 vectors[VECTORS] = { load_f32(x), load_f32(x + 8), load_f32(x + 16),
                                      load_f32(x + 24) };
    return kv_type == SLMK_KV_Q8 ? round_q8(vectors, codes) : round_q4(vectors, codes);
}

void slmk_store_key_avx2(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_kv_store_key_blocks(round_block, key, d, kv_type, lane, panel);
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
        slmk_kv_store_value_blocks(round_block, value, d, kv_type, row);
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
