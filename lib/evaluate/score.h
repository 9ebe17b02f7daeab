/* SPDX-License-Identifier: MIT */
/* Logits to -ln p and KL, in binary64; running sums, and the figures made of them. */
#ifndef SLMI_EVALUATE_SCORE_H
#define SLMI_EVALUATE_SCORE_H

#include <stddef.h>
#include <stdint.h>

/* What one position came to. */
typedef struct slmi_score {
    double nll;           /* -ln q(target) */
    double reference_nll; /* -ln p(target); from here on 0 without a reference */
    double kl;            /* sum of p ln(p / q) over the vocabulary, >= 0 */
    uint32_t same_top;    /* 1: the largest logit belongs to the same token, the lower id on ties */
} slmi_score;

/* Sums over positions, in their order. */
typedef struct slmi_sums {
    uint64_t n_scored;
    uint64_t n_same_top;
    double nll, nll_squares;
    double reference_nll;
    double change_squares; /* of nll - reference_nll */
    double kl, kl_squares, kl_max;
} slmi_sums;

/* Finite logits [V] of the model and, unless NULL, of the reference. 0 <= target < V. */
slmi_score slmi_score_row(const float *logits, const float *reference, uint32_t n_vocab, int32_t target);

void slmi_sums_add(slmi_sums *sums, const slmi_score *score);

/* Standard error of the mean of n values from their sum and the sum of their squares; 0 for n < 2. */
double slmi_standard_error(double sum, double squares, uint64_t n);

/* The smallest of n >= 1 values that at least share * n of them do not exceed; reorders them. */
double slmi_percentile(double *values, size_t n, double share);

#endif
