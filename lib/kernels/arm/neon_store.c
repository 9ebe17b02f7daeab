/* SPDX-License-Identifier: MIT */
/* Storing keys and values (NEON): rounding to the number type of the cache. */
#include "kernels/arm/neon.h"
#include "kernels/ref/kv_block.h"

#define VECTORS 8 /* of a block */

/* Largest bit pattern without sign: 0x7f800000 or more if a number is not finite. */
static uint32_t largest_magnitude(const float32x4_t x[VECTORS])
{
    uint32x4_t bits = vdupq_n_u32(0);
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        bits = vmaxq_u32(bits, vbicq_u32(vreinterpretq_u32_f32(x[v]), vdupq_n_u32(0x80000000)));
    }
    return vmaxvq_u32(bits);
}

/* 16 integers as bytes. */
SLMK_INLINE int8x16_t narrow(const int32x4_t q[4])
{
    const int16x8_t low = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));
    return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

/* slmk_kv_round_q8 of a whole block. */
static uint16_t round_q8(const float32x4_t x[VECTORS], uint8_t *codes)
{
    const uint32_t largest = largest_magnitude(x);
    const int finite = largest < 0x7f800000;
    const uint16_t scale =
        finite ? slmk_kv_scale_q8(slmk_float_from_bits(largest)) : SLMK_HALF_NAN;
    if (!finite || scale == 0) {
        memset(codes, 0, SLMK_KV_BLOCK);
        return scale;
    }
    const float32x4_t inverse = vdupq_n_f32(1.0f / slmk_f16_to_f32(scale));
    int32x4_t q[VECTORS];
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        const float32x4_t y = vmaxq_f32(vmulq_f32(x[v], inverse), vdupq_n_f32(-127));
        q[v] = vcvtnq_s32_f32(vminq_f32(y, vdupq_n_f32(127)));
    }
    vst1q_u8(codes, vreinterpretq_u8_s8(narrow(q)));
    vst1q_u8(codes + 16, vreinterpretq_u8_s8(narrow(q + 4)));
    return scale;
}

/* Indices of the values nearest to y. */
SLMK_INLINE int32x4_t find_codes(float32x4_t y)
{
    uint32x4_t code = vdupq_n_u32(0);
    SLMK_UNROLL
    for (int k = 0; k < 15; k++) {
        code = vsubq_u32(code, vcgtq_f32(y, vdupq_n_f32(slmk_kv_middles[k])));
    }
    return vreinterpretq_s32_u32(code);
}

/* slmk_kv_try_q4 of a whole block. */
SLMK_INLINE float try_q4(const float32x4_t x[VECTORS], float scale, uint8x16_t codes[2])
{
    const float32x4_t all_scale = vdupq_n_f32(scale), inverse = vdupq_n_f32(1.0f / scale);
    float32x4_t sums[4] = { vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0) };
    float lanes[16];
    SLMK_UNROLL
    for (int half = 0; half < 2; half++) {
        int32x4_t q[4];
        float32x4_t values[4];
        SLMK_UNROLL
        for (int v = 0; v < 4; v++) {
            q[v] = find_codes(vmulq_f32(x[4 * half + v], inverse));
        }
        codes[half] = vreinterpretq_u8_s8(narrow(q));
        const int8x16_t bytes = look_up(codes[half], 0);
        float_codes(vget_low_s8(bytes), values);
        float_codes(vget_high_s8(bytes), values + 2);
        SLMK_UNROLL
        for (int v = 0; v < 4; v++) {
            const float32x4_t error = vfmsq_f32(x[4 * half + v], all_scale, values[v]);
            sums[v] = vfmaq_f32(sums[v], error, error);
        }
    }
    SLMK_UNROLL
    for (int v = 0; v < 4; v++) {
        vst1q_f32(lanes + 4 * v, sums[v]);
    }
    return slmk_join_lanes(lanes);
}

/* slmk_kv_round_q4 of a whole block. */
static uint16_t round_q4(const float32x4_t x[VECTORS], uint8_t *codes)
{
    memset(codes, SLMK_KV_Q4_ZERO, SLMK_KV_BLOCK);
    if (largest_magnitude(x) >= 0x7f800000) {
        return SLMK_HALF_NAN;
    }
    float32x4_t low = x[0], high = x[0];
    SLMK_UNROLL
    for (int v = 1; v < VECTORS; v++) {
        low = vminq_f32(low, x[v]);
        high = vmaxq_f32(high, x[v]);
    }
    const float smallest = vminvq_f32(low), largest = vmaxvq_f32(high);
    const float extreme = largest >= -smallest ? largest : smallest;
    float least = INFINITY;
    uint16_t best = 0;
    for (int t = 0; t < SLMK_KV_TRIES; t++) {
        const uint16_t scale = slmk_kv_round_scale(extreme * slmk_kv_tries[t]);
        uint8x16_t tried[2];
        if (scale << 1 & 0xffff) { /* not 0 */
            const float error = try_q4(x, slmk_f16_to_f32(scale), tried);
            if (error <= least) {
                least = error;
                best = scale;
                vst1q_u8(codes, tried[0]);
                vst1q_u8(codes + 16, tried[1]);
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
    float32x4_t vectors[VECTORS];
    SLMK_UNROLL
    for (int v = 0; v < VECTORS; v++) {
        vectors[v] = load_f32(x + 4 * v);
    }
    return kv_type == SLMK_KV_Q8 ? round_q8(vectors, codes) : round_q4(vectors, codes);
}

void slmk_store_key_neon(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
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
        keys[(size_t)i * 16 + lane] = slmk_f32_to_f16(key[i]);
    }
}

void slmk_store_value_neon(const float *value, uint32_t d, uint32_t kv_type, void *row)
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
    for (; i + 4 <= d; i += 4) {
        float16x4_t halves = vcvt_f16_f32(load_f32(value + i));
        vst1_u16(values + i, vreinterpret_u16_f16(halves));
    }
    for (; i < d; i++) {
        values[i] = slmk_f32_to_f16(value[i]);
    }
}
