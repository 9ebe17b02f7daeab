/* SPDX-License-Identifier: MIT */
/* Little-endian numbers from bytes, checked arithmetic, and a hash. */
#ifndef SLMI_BASE_BYTES_H
#define SLMI_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t slmi_read_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t slmi_read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t slmi_read_u64(const uint8_t *p)
{
    return (uint64_t)slmi_read_u32(p) | (uint64_t)slmi_read_u32(p + 4) << 32;
}

static inline void slmi_write_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void slmi_write_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline void slmi_write_u64(uint8_t *p, uint64_t value)
{
    slmi_write_u32(p, (uint32_t)value);
    slmi_write_u32(p + 4, (uint32_t)(value >> 32));
}

static inline float slmi_bits_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline double slmi_bits_f64(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Sums and products that return 0 on overflow and 1 otherwise. */
static inline int slmi_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    *sum = a + b;
    return *sum >= a;
}

static inline int slmi_mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    *product = a * b;
    return b == 0 || *product / b == a;
}

static inline uint32_t slmi_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t slmi_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Rounds up to a multiple of a power of two. */
static inline uint64_t slmi_round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) & ~(multiple - 1);
}

/* 64-bit FNV-1a, continued from `seed` (SLMI_HASH_START for a new one).
 * Source: Fowler, Noll, Vo, draft-eastlake-fnv. */
#define SLMI_HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t slmi_hash(uint64_t seed, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) {
        seed = (seed ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return seed;
}

/* The same over little-endian words of 8 bytes, for large blocks; a shorter rest counts byte by byte. */
static inline uint64_t slmi_hash_words(uint64_t seed, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        seed = (seed ^ slmi_read_u64(p + i)) * UINT64_C(0x100000001b3);
        seed ^= seed >> 32; /* high bits must reach low ones: the product only carries upwards */
    }
    return slmi_hash(seed, p + i, size - i);
}

#endif
