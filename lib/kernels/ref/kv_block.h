/* SPDX-License-Identifier: MIT */
/* Rounding of keys and values to blocks of 8 and 4 bits: the specification of docs/numerics.md, and what
 * the levels share of storing such blocks. */
#ifndef SLMI_KERNELS_REF_KV_BLOCK_H
#define SLMI_KERNELS_REF_KV_BLOCK_H

#include "kernels/kv.h"
#include "kernels/ref/math.h"

#define SLMK_HALF_NAN 0x7e00u
#define SLMK_HALF_MAX 65504.0f

/* Q4: scales that are tried, times the number of largest magnitude. Each puts it near an end of the
 * table; the least squared error decides. */
#define SLMK_KV_TRIES 4
static const float slmk_kv_tries[SLMK_KV_TRIES] = { -0.92f / 127, -1.08f / 127, 1.0f / 113,
                                                    -1.0f / 127 };

/* Halfway between neighbours of slmk_iq4_nl_values. */
static const float slmk_kv_middles[15] = { -115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f,
                                           7,       19,     31.5f, 45.5f, 61, 79, 101 };

/* Code of all elements of a Q4 block whose scale is 0 or NaN; its value is 1. */
#define SLMK_KV_Q4_ZERO 8

/* Nearest even; what is too large becomes the largest finite half. */
static inline uint16_t slmk_kv_round_scale(float x)
{
    return slmk_f32_to_f16(x > SLMK_HALF_MAX    ? SLMK_HALF_MAX
                           : x < -SLMK_HALF_MAX ? -SLMK_HALF_MAX
                                                : x);
}

/* Scale bits of a Q8 block from its largest magnitude. */
static inline uint16_t slmk_kv_scale_q8(float max)
{
    return slmk_kv_round_scale(max / 127.0f);
}

/* Rounds n <= 32 numbers to codes; returns the bits of their scale. */
static inline uint16_t slmk_kv_round_q8(const float *x, uint32_t n, uint8_t *codes)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = slmk_bits_from_float(x[i]) & 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    memset(codes, 0, n);
    if (largest >= 0x7f800000) {
        return SLMK_HALF_NAN;
    }
    const uint16_t scale = slmk_kv_scale_q8(slmk_float_from_bits(largest));
    if (scale == 0) {
        return 0;
    }
    const float inverse = 1.0f / slmk_f16_to_f32(scale);
    for (uint32_t i = 0; i < n; i++) {
        const float y = x[i] * inverse;
        codes[i] = (uint8_t)(int)slmk_rintf(y > 127 ? 127 : y < -127 ? -127 : y);
    }
    return scale;
}

/* Nearest values of the table for one scale, and the sum of squared errors in 16 lanes. */
static inline float slmk_kv_try_q4(const float *x, uint32_t n, float scale, uint8_t *codes)
{
    const float inverse = 1.0f / scale;
    float lanes[16] = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        const float y = x[i] * inverse;
        uint8_t code = 0;
        for (uint8_t step = 8; step > 0; step /= 2) {
            code += y > slmk_kv_middles[code + step - 1] ? step : 0;
        }
        const float error = slmk_fmaf(-scale, (float)slmk_iq4_nl_values[code], x[i]);
        lanes[i % 16] = slmk_fmaf(error, error, lanes[i % 16]);
        codes[i] = code;
    }
    return slmk_join_lanes(lanes);
}

static inline uint16_t slmk_kv_round_q4(const float *x, uint32_t n, uint8_t *codes)
{
    float low = x[0], high = x[0];
    int finite = 1;
    for (uint32_t i = 0; i < n; i++) {
        finite &= (slmk_bits_from_float(x[i]) & 0x7f800000) != 0x7f800000;
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    memset(codes, SLMK_KV_Q4_ZERO, n);
    if (!finite) {
        return SLMK_HALF_NAN;
    }
    const float extreme = high >= -low ? high : low;
    float least = INFINITY;
    uint16_t best = 0;
    for (int t = 0; t < SLMK_KV_TRIES; t++) {
        const uint16_t scale = slmk_kv_round_scale(extreme * slmk_kv_tries[t]);
        uint8_t tried[SLMK_KV_BLOCK];
        if (scale << 1 & 0xffff) { /* not 0 */
            const float error = slmk_kv_try_q4(x, n, slmk_f16_to_f32(scale), tried);
            if (error <= least) {
                least = error;
                best = scale;
                memcpy(codes, tried, n);
            }
        }
    }
    return best;
}

static inline uint16_t slmk_kv_round_block(uint32_t kv_type, const float *x, uint32_t n,
                                           uint8_t *codes)
{
    return kv_type == SLMK_KV_Q8 ? slmk_kv_round_q8(x, n, codes) : slmk_kv_round_q4(x, n, codes);
}

/* How a level rounds a block; slmk_kv_round_block or its twin. */
typedef uint16_t slmk_kv_rounder(uint32_t kv_type, const float *x, uint32_t n, uint8_t *codes);

/* The levels' store_key and store_value of Q8 and Q4. */
static inline void slmk_kv_store_key_blocks(slmk_kv_rounder *round, const float *key, uint32_t d,
                                            uint32_t kv_type, uint32_t lane, void *panel)
{
    for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
        const uint32_t n = slmk_kv_block_width(d, b);
        uint8_t *block = (uint8_t *)panel + slmk_kv_key_block(kv_type, b);
        uint8_t *lane_codes = block + SLMK_ROWS * sizeof(uint16_t) + lane;
        uint8_t codes[SLMK_KV_BLOCK + 1];
        const uint16_t scale = round(kv_type, key + b * SLMK_KV_BLOCK, n, codes);
        memcpy(block + lane * sizeof scale, &scale, sizeof scale);
        if (kv_type == SLMK_KV_Q8) {
            for (uint32_t i = 0; i < n; i++) {
                lane_codes[i * SLMK_ROWS] = codes[i];
            }
            continue;
        }
        codes[n] = 0;
        for (uint32_t i = 0; i < n; i += 2) {
            lane_codes[i / 2 * SLMK_ROWS] = (uint8_t)(codes[i] | codes[i + 1] << 4);
        }
    }
}

static inline void slmk_kv_store_value_blocks(slmk_kv_rounder *round, const float *value, uint32_t d,
                                              uint32_t kv_type, void *row)
{
    for (uint32_t b = 0; b < slmk_kv_n_blocks(d); b++) {
        const uint32_t n = slmk_kv_block_width(d, b);
        uint8_t *row_codes = (uint8_t *)row + slmk_kv_value_codes(kv_type, d, b);
        uint8_t codes[SLMK_KV_BLOCK + 1];
        const uint16_t scale = round(kv_type, value + b * SLMK_KV_BLOCK, n, codes);
        memcpy((uint8_t *)row + b * sizeof scale, &scale, sizeof scale);
        if (kv_type == SLMK_KV_Q8) {
            memcpy(row_codes, codes, n);
            continue;
        }
        const uint32_t half = (n + 1) / 2;
        codes[n] = 0;
        for (uint32_t i = 0; i < half; i++) {
            row_codes[i] = (uint8_t)(codes[i] | codes[i + half] << 4);
        }
    }
}

#endif
