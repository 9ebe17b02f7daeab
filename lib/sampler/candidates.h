/* SPDX-License-Identifier: MIT */
/* The tokens that may still be drawn, and the filters that thin them out. */
#ifndef SLMI_SAMPLER_CANDIDATES_H
#define SLMI_SAMPLER_CANDIDATES_H

#include <stdint.h>

#include "kernels/kernels.h"

/* Pairs of logit and token id in two arrays. A filter works in place and leaves the survivors in front:
 * best first after top-k and top-p (ties: the lower id is better), else in the order they had. */
typedef struct slmi_candidates {
    float *values; /* [n] */
    int32_t *ids;  /* [n] */
    uint32_t n;
    uint32_t is_sorted; /* best first */
    float max;          /* largest value */
} slmi_candidates;

/* The k best of logits [V], 1 <= k <= V, best first. values may be the logits themselves. */
void slmi_candidates_best(slmi_candidates *candidates, const float *logits, uint32_t n_vocab, uint32_t k);

/* All of values [V], with their ids. */
void slmi_candidates_all(slmi_candidates *candidates, uint32_t n_vocab);

/* Keeps the smallest set of best ones whose probabilities sum to p < 1 or more, at least one. Source:
 * Holtzman et al., "The curious case of neural text degeneration", 2019. */
void slmi_candidates_top_p(slmi_candidates *candidates, const slmk_table *kernels, float p);

/* Keeps those that are at least p times as probable as the best. Source: Nguyen et al., "Turning up the
 * heat: min-p sampling", 2024. */
void slmi_candidates_min_p(slmi_candidates *candidates, float p);

/* Draws one by a uniform number in [0, 1); spoils the values. */
int32_t slmi_candidates_draw(slmi_candidates *candidates, const slmk_table *kernels, float temperature,
                             double uniform);

#endif
