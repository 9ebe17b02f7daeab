/* SPDX-License-Identifier: MIT */
/* Storing keys and values (AVX-512): rounding to the number type of the cache. */
#include "kernels/ref/kv_block.h"
#include "kernels/x86/avx512.h"
#include "kernels/x86/avx512_kernels.h"

static void store_codes(uint8_t *codes, __m512i low, __m512i high)
{
    _mm_storeu_si128((void *)codes, _mm512_cvtepi32_epi8(low));
    _mm_storeu_si128((void *)(codes + 16), _mm512_cvtepi32_epi8(high));
}

SLMK_INLINE __m512i round_codes(__m512 x, __m512 inverse)
{
    const __m512 y = _mm512_max_ps(_mm512_mul_ps(x, inverse), _mm512_set1_ps(-127));
    return _mm512_cvtps_epi32(_mm512_min_ps(y, _mm512_set1_ps(127)));
}

/* slmk_kv_round_q8 of a whole block. */
static uint16_t round_q8(const float *x, uint8_t *codes)
{
    const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    const __m512i sign = _mm512_set1_epi32(0x7fffffff);
    const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), sign),
                                          _mm512_and_si512(_mm512_castps_si512(high), sign));
    const uint32_t largest = (uint32_t)_mm512_reduce_max_epi32(bits);
    const int finite = largest < 0x7f800000;
    const uint16_t scale =
        finite ? slmk_kv_scale_q8(slmk_float_from_bits(largest)) : SLMK_HALF_NAN;
    if (!finite || scale == 0) {
        memset(codes, 0, SLMK_KV_BLOCK);
        return scale;
    }
    const __m512 inverse = _mm512_set1_ps(1.0f / slmk_f16_to_f32(scale));
    store_codes(codes, round_codes(low, inverse), round_codes(high, inverse));
    return scale;
}

/* Indices of the values nearest to y. */
SLMK_INLINE __m512i find_codes(__m512 y)
{
    const __m512 middles = _mm512_maskz_loadu_ps(0x7fff, slmk_kv_middles);
    __m512i code = _mm512_setzero_si512();
    SLMK_UNROLL
    for (int step = 8; step > 0; step /= 2) {
        const __m512i at = _mm512_add_epi32(code, _mm512_set1_epi32(step - 1));
        const __mmask16 above =
            _mm512_cmp_ps_mask(y, _mm512_permutexvar_ps(at, middles), _CMP_GT_OQ);
        code = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(step));
    }
    return code;
}

/* slmk_kv_round_q4 of a whole block. */
static uint16_t round_q4(const float *x, uint8_t *codes)
{
    const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    const __m512 values = _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)slmk_iq4_nl_values)));
    const __mmask16 not_finite = /* quiet and signalling NaN, both infinities */
        _mm512_fpclass_ps_mask(low, 0x99) | _mm512_fpclass_ps_mask(high, 0x99);
    const float least = _mm512_reduce_min_ps(_mm512_min_ps(low, high));
    const float most = _mm512_reduce_max_ps(_mm512_max_ps(low, high));
    const float extreme = most >= -least ? most : least;
    float least_error = INFINITY;
    uint16_t best = not_finite ? SLMK_HALF_NAN : 0;
    __m512i best_low = _mm512_set1_epi32(SLMK_KV_Q4_ZERO), best_high = best_low;
    for (int t = 0; t < SLMK_KV_TRIES && !not_finite; t++) {
        const uint16_t bits = slmk_kv_round_scale(extreme * slmk_kv_tries[t]);
        if ((bits << 1 & 0xffff) == 0) {
            continue;
        }
        const float scale = slmk_f16_to_f32(bits);
        const __m512 inverse = _mm512_set1_ps(1.0f / scale), all_scale = _mm512_set1_ps(scale);
        const __m512i code_low = find_codes(_mm512_mul_ps(low, inverse));
        const __m512i code_high = find_codes(_mm512_mul_ps(high, inverse));
        const __m512 error_low =
            _mm512_fnmadd_ps(all_scale, _mm512_permutexvar_ps(code_low, values), low);
        const __m512 error_high =
            _mm512_fnmadd_ps(all_scale, _mm512_permutexvar_ps(code_high, values), high);
        const __m512 squares = _mm512_fmadd_ps(error_low, error_low, _mm512_setzero_ps());
        const float error = join_lanes(_mm512_fmadd_ps(error_high, error_high, squares));
        if (error <= least_error) {
            least_error = error;
            best = bits;
            best_low = code_low;
            best_high = code_high;
        }
    }
    store_codes(codes, best_low, best_high);
    return best;
}

static uint16_t round_block(uint32_t kv_type, const float *x, uint32_t n, uint8_t *codes)
{
    if (n < SLMK_KV_BLOCK) {
        return slmk_kv_round_block(kv_type, x, n, codes);
    }
    return kv_type == SLMK_KV_Q8 ? round_q8(x, codes) : round_q4(x, codes);
}

void slmk_store_key_avx512(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane,
                           void *panel)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_kv_store_key_blocks(round_block, key, d, kv_type, lane, panel);
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
        slmk_kv_store_value_blocks(round_block, value, d, kv_type, row);
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
