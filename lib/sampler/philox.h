/* SPDX-License-Identifier: MIT */
/* Counter-based random numbers: the n-th draw of a seed without the draws before it. */
#ifndef SLMI_SAMPLER_PHILOX_H
#define SLMI_SAMPLER_PHILOX_H

#include <stdint.h>

/* Philox4x32 with 10 rounds: four random words from a counter and a key. Source: Salmon, Moraes, Dror,
 * Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011. */
void slmi_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform number in [0, 1) with 53 random bits: counter = draw, key = seed. */
double slmi_philox_uniform(uint32_t seed, uint64_t draw);

#endif
