/* SPDX-License-Identifier: MIT */
/* Counter-based random numbers: Philox4x32-10. */
#include "sampler/philox.h"

#include <string.h>

#define ROUNDS 10

/* Multipliers, and the Weyl increments of the key: the golden ratio and sqrt(3) - 1. */
#define MULTIPLIER_0 UINT32_C(0xD2511F53)
#define MULTIPLIER_1 UINT32_C(0xCD9E8D57)
#define INCREMENT_0 UINT32_C(0x9E3779B9)
#define INCREMENT_1 UINT32_C(0xBB67AE85)

void slmi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x[4];
    memcpy(x, counter, sizeof(x));
    uint32_t key_0 = key[0];
    uint32_t key_1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t a = (uint64_t)MULTIPLIER_0 * x[0];
        const uint64_t b = (uint64_t)MULTIPLIER_1 * x[2];
        x[0] = (uint32_t)(b >> 32) ^ x[1] ^ key_0;
        x[1] = (uint32_t)b;
        x[2] = (uint32_t)(a >> 32) ^ x[3] ^ key_1;
        x[3] = (uint32_t)a;
        key_0 += INCREMENT_0;
        key_1 += INCREMENT_1;
    }
    memcpy(out, x, sizeof(x));
}

double slmi_philox_uniform(uint32_t seed, uint64_t draw)
{
    const uint32_t counter[4] = { (uint32_t)draw, (uint32_t)(draw >> 32), 0, 0 };
    const uint32_t key[2] = { seed, 0 };
    uint32_t words[4];
    slmi_philox(counter, key, words);
    const uint64_t bits = (uint64_t)words[0] << 32 | words[1];
    return (double)(bits >> 11) * 0x1p-53;
}
