/* SPDX-License-Identifier: MIT */
/* The tokens that may still be drawn, and the filters that thin them out, a piece at a time. */
#ifndef SLMI_SAMPLER_CANDIDATES_H
#define SLMI_SAMPLER_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* Elements that one piece looks at: some 10 us. Sums of exponentials are joined from pieces, so this is
 * part of docs/numerics.md. */
#define SLMI_SAMPLER_PIECE 8192

/* Where the piece that begins at `at` ends. */
static inline size_t slmi_end_of_piece(size_t at, size_t end)
{
    return end - at < SLMI_SAMPLER_PIECE ? end : at + SLMI_SAMPLER_PIECE;
}

/* Pairs of logit and token id in two arrays. A filter works in place and leaves the survivors in front:
 * best first after top-k and top-p (ties: the lower id is better), else in the order they had. */
typedef struct slmi_candidates {
    float *values; /* [n] */
    int32_t *ids;  /* [n] */
    uint32_t n;
    uint32_t is_sorted; /* best first */
    float max;          /* largest value */

    /* Where the filter in progress stands; all zero when one begins. */
    struct {
        uint32_t stage;
        uint32_t at;
        uint32_t begin, end; /* the range that is a heap */
        uint32_t front;      /* top-p: candidates that it hardly goes beyond */
        uint32_t count;      /* top-p: candidates in order; draw: the chosen one */
        double total, enough, sum;
    } work;
} slmi_candidates;

/* Each does one piece of its work and returns 1 when it is done; then the next filter may begin. */

/* The k best of logits [V], 1 <= k <= V, best first. values may be the logits themselves. */
int slmi_candidates_best(slmi_candidates *candidates, const slmk_table *kernels, const float *logits,
                         uint32_t n_vocab, uint32_t k);

/* All of logits [V], with their ids. values may be the logits themselves. */
int slmi_candidates_all(slmi_candidates *candidates, const float *logits, uint32_t n_vocab);

/* Keeps the smallest set of best ones whose probabilities sum to p < 1 or more, at least one. Source:
 * Holtzman et al., "The curious case of neural text degeneration", 2019. */
int slmi_candidates_top_p(slmi_candidates *candidates, const slmk_table *kernels, float p);

/* Keeps those that are at least p times as probable as the best. Source: Nguyen et al., "Turning up the
 * heat: min-p sampling", 2024. */
int slmi_candidates_min_p(slmi_candidates *candidates, float p);

/* Draws *id by a uniform number in [0, 1); spoils the values. */
int slmi_candidates_draw(slmi_candidates *candidates, const slmk_table *kernels, float temperature,
                         double uniform, int32_t *id);

#endif
