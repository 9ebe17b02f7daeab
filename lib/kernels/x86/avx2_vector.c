/* SPDX-License-Identifier: MIT */
/* Kernels over one row for AVX2, bit for bit as in ref/ (docs/numerics.md). */
#include "kernels/x86/avx2.h"

/* What is left of a row after whole vectors is computed by the scalar formulas, which give the same
 * bits. The 16 virtual lanes of a reduction are two vectors. */

#define INFINITY_BITS 0x7f800000
#define NAN_BITS 0x7fc00000u

SLMK_INLINE __m256i magnitude_bits(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

SLMK_INLINE int32_t largest_of_8(__m256i x)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtsi128_si32(m);
}

/* |x * inverse| is below 127.5, so that no integer needs clipping. */
SLMK_INLINE __m256i round_scaled(__m256 x, __m256 inverse)
{
    return _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse));
}

static void quantize_block(const float *x, slmk_block_a *out)
{
    __m256 x0 = load_f32(x), x1 = load_f32(x + 8), x2 = load_f32(x + 16), x3 = load_f32(x + 24);
    __m256i m01 = _mm256_max_epi32(magnitude_bits(x0), magnitude_bits(x1));
    __m256i m23 = _mm256_max_epi32(magnitude_bits(x2), magnitude_bits(x3));
    int32_t bits = largest_of_8(_mm256_max_epi32(m01, m23));
    float max = slmk_float_from_bits((uint32_t)bits);
    if (bits >= INFINITY_BITS || max < 0x1p-100f) {
        memset(out, 0, sizeof *out);
        out->scale = bits >= INFINITY_BITS ? slmk_float_from_bits(NAN_BITS) : 0;
        return;
    }
    out->scale = slmk_round_scale(max / 127.0f);
    __m256 inverse = _mm256_set1_ps(127.0f / max);
    __m256i q01 = _mm256_packs_epi32(round_scaled(x0, inverse), round_scaled(x1, inverse));
    __m256i q23 = _mm256_packs_epi32(round_scaled(x2, inverse), round_scaled(x3, inverse));
    /* Packing works on 128-bit lanes; the permutation puts groups of four back in order. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i q = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(q01, q23), order);
    store_bytes(out->q, q);

    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m256i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(-1));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
    out->neg_sum_half[0] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums));
    out->neg_sum_half[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1));
    out->neg_sum_128 = 128 * slmk_neg_sum(out);
}

void slmk_quantize_avx2(const float *x, uint32_t n, slmk_block_a *out)
{
    for (uint32_t b = 0; b < n / SLMK_BLOCK; b++) {
        quantize_block(x + (size_t)b * SLMK_BLOCK, out + b);
    }
}

void slmk_rms_norm_avx2(const float *x, const float *weight, float eps, uint32_t n, float *out)
{
    float lanes[16];
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = load_f32(x + i), b = load_f32(x + i + 8);
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (; i < n; i++) {
        lanes[i % 16] = slmk_fmaf(x[i], x[i], lanes[i % 16]);
    }

    float inverse = 1.0f / sqrtf(slmk_join_lanes(lanes) / (float)n + eps);
    __m256 factor = _mm256_set1_ps(inverse);
    for (i = 0; i + 8 <= n; i += 8) {
        __m256 scaled = _mm256_mul_ps(load_f32(x + i), factor);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, load_f32(weight + i)));
    }
    for (; i < n; i++) {
        out[i] = (x[i] * inverse) * weight[i];
    }
}

void slmk_add_avx2(const float *a, const float *b, uint32_t n, float *out)
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(out + i, _mm256_add_ps(load_f32(a + i), load_f32(b + i)));
    }
    for (; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}

void slmk_silu_mul_avx2(const float *gate, const float *up, uint32_t n, float *out)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = load_f32(gate + i);
        __m256 e = exp_8(_mm256_xor_ps(g, sign));
        __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(silu, load_f32(up + i)));
    }
    for (; i < n; i++) {
        out[i] = (gate[i] / (1.0f + slmk_expf(-gate[i]))) * up[i];
    }
}

static void rotate_pair(float *first, float *second, float cos, float sin)
{
    float a = *first, b = *second;
    *first = slmk_fmaf(a, cos, -(b * sin));
    *second = slmk_fmaf(a, sin, b * cos);
}

static void rotate_halves(float *x, const float *cos, const float *sin, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 8 <= n_pairs; i += 8) {
        __m256 a = load_f32(x + i), b = load_f32(x + n_pairs + i);
        __m256 c = load_f32(cos + i), s = load_f32(sin + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + n_pairs + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
    for (; i < n_pairs; i++) {
        rotate_pair(x + i, x + n_pairs + i, cos[i], sin[i]);
    }
}

static void rotate_neighbours(float *x, const float *cos, const float *sin, uint32_t n_pairs)
{
    uint32_t i = 0;
    for (; i + 4 <= n_pairs; i += 4) {
        __m128 c = _mm_loadu_ps(cos + i), s = _mm_loadu_ps(sin + i);
        __m256 turn = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));
        __m256 pairs = load_f32(x + 2 * i);
        __m256 a = _mm256_moveldup_ps(pairs), b = _mm256_movehdup_ps(pairs);
        /* Even elements a * cos - (b * sin), odd ones a * sin + (b * cos). */
        __m256 product = _mm256_mul_ps(b, _mm256_permute_ps(turn, 0xb1));
        _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(a, turn, product));
    }
    for (; i < n_pairs; i++) {
        rotate_pair(x + 2 * i, x + 2 * i + 1, cos[i], sin[i]);
    }
}

void slmk_rope_avx2(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                    uint32_t n_pairs, uint32_t halves)
{
    for (uint32_t h = 0; h < n_heads; h++, x += d) {
        if (halves) {
            rotate_halves(x, cos, sin, n_pairs);
        } else {
            rotate_neighbours(x, cos, sin, n_pairs);
        }
    }
}

int slmk_max_finite_avx2(const float *x, uint32_t n, float *max)
{
    const __m256i infinity = _mm256_set1_epi32(INFINITY_BITS);
    __m256 largest = _mm256_set1_ps(-INFINITY);
    __m256i finite = _mm256_set1_epi32(-1);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = load_f32(x + i);
        largest = _mm256_max_ps(v, largest);
        finite = _mm256_and_si256(finite, _mm256_cmpgt_epi32(infinity, magnitude_bits(v)));
    }
    float all = largest_lane(largest);
    int all_finite = _mm256_movemask_epi8(finite) == -1;
    for (; i < n; i++) {
        all = x[i] > all ? x[i] : all;
        all_finite &= (slmk_bits_from_float(x[i]) & 0x7fffffff) < INFINITY_BITS;
    }
    *max = all;
    return all_finite;
}

float slmk_exp_sum_avx2(const float *x, uint32_t n, float max, float *out)
{
    float lanes[16];
    const __m256 shift = _mm256_set1_ps(max);
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 e_low = exp_8(_mm256_sub_ps(load_f32(x + i), shift));
        __m256 e_high = exp_8(_mm256_sub_ps(load_f32(x + i + 8), shift));
        low = _mm256_add_ps(low, e_low);
        high = _mm256_add_ps(high, e_high);
        if (out) {
            _mm256_storeu_ps(out + i, e_low);
            _mm256_storeu_ps(out + i + 8, e_high);
        }
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (; i < n; i++) {
        float e = slmk_expf(x[i] - max);
        lanes[i % 16] += e;
        if (out) {
            out[i] = e;
        }
    }
    return slmk_join_lanes(lanes);
}
