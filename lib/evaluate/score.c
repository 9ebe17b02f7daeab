/* SPDX-License-Identifier: MIT */
/* Logits to -ln p and KL, in binary64; running sums, and the figures made of them. */
#include "evaluate/score.h"

#include <math.h>

#include "kernels/math.h"

static uint32_t find_largest(const float *logits, uint32_t n_vocab)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n_vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

/* ln of the sum of exp(logit - largest). Kernels sum in binary32, which is too coarse for the KL of two
 * nearly equal rows. */
static double log_sum(const float *logits, uint32_t n_vocab, double largest)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        sum += slmk_exp((double)logits[i] - largest);
    }
    return slmk_log(sum);
}

/* With a and b the logits of p and q, and A and B their normalisers: ln(p / q) = (a - b) - (A - B), so
 * KL = E(a - b) - (A - B), where E is the mean under p. Differences are formed before sums. */
static void compare_rows(const float *logits, const float *reference, uint32_t n_vocab, double largest,
                         double log_q, int32_t target, slmi_score *score)
{
    const uint32_t top = find_largest(reference, n_vocab);
    const double reference_largest = (double)reference[top];
    double sum = 0;
    double weighted = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        const double e = slmk_exp((double)reference[i] - reference_largest);
        sum += e;
        weighted += e * ((double)reference[i] - (double)logits[i]);
    }
    const double log_p = slmk_log(sum);
    const double kl = weighted / sum - ((reference_largest - largest) + (log_p - log_q));
    score->kl = kl > 0 ? kl : 0; /* below 0 by rounding only */
    score->reference_nll = log_p - ((double)reference[target] - reference_largest);
    score->same_top = find_largest(logits, n_vocab) == top;
}

slmi_score slmi_score_row(const float *logits, const float *reference, uint32_t n_vocab, int32_t target)
{
    slmi_score score = { 0 };
    const double largest = (double)logits[find_largest(logits, n_vocab)];
    const double log_q = log_sum(logits, n_vocab, largest);
    score.nll = log_q - ((double)logits[target] - largest);
    if (reference != NULL) {
        compare_rows(logits, reference, n_vocab, largest, log_q, target, &score);
    }
    return score;
}

void slmi_sums_add(slmi_sums *sums, const slmi_score *score)
{
    const double change = score->nll - score->reference_nll;
    sums->n_scored++;
    sums->n_same_top += score->same_top;
    sums->nll += score->nll;
    sums->nll_squares += score->nll * score->nll;
    sums->reference_nll += score->reference_nll;
    sums->change_squares += change * change;
    sums->kl += score->kl;
    sums->kl_squares += score->kl * score->kl;
    sums->kl_max = score->kl > sums->kl_max ? score->kl : sums->kl_max;
}

double slmi_standard_error(double sum, double squares, uint64_t n)
{
    if (n < 2) {
        return 0;
    }
    const double mean = sum / (double)n;
    const double variance = squares / (double)n - mean * mean;
    return variance > 0 ? sqrt(variance / (double)(n - 1)) : 0;
}

/* Hoare's selection: what lies left of the pivot's place is not larger, what lies right not smaller. */
double slmi_percentile(double *values, size_t n, double share)
{
    size_t begin = 0;
    size_t end = n;
    size_t wanted = (size_t)(share * (double)n);
    wanted -= wanted > 0 && (double)wanted >= share * (double)n;
    while (end - begin > 1) {
        const double pivot = values[begin + (end - 1 - begin) / 2]; /* never the last one */
        size_t i = begin;
        size_t j = end - 1;
        for (;;) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            const double moved = values[i];
            values[i++] = values[j];
            values[j--] = moved;
        }
        if (wanted <= j) {
            end = j + 1;
        } else {
            begin = j + 1;
        }
    }
    return values[begin];
}
