/* SPDX-License-Identifier: MIT */
/* The naive twin of the sampler: sorts everything, keeps everything in plain sight. */
#include "naive.h"

#include <stdlib.h>

#include "kernels/math.h"
#include "sampler/philox.h"

typedef struct entry {
    float logit;
    int32_t id;
} entry;

static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1) : (x->id > y->id ? 1 : -1);
}

static int compare_ids(const void *a, const void *b)
{
    return ((const entry *)a)->id > ((const entry *)b)->id ? 1 : -1;
}

static float penalise(const slmi_sampler_settings *s, float logit, int32_t id, const int32_t *history,
                      size_t n_history)
{
    uint32_t count = 0;
    const size_t first = n_history > s->penalty_last_n ? n_history - s->penalty_last_n : 0;
    for (size_t i = first; i < n_history; i++) {
        count += history[i] == id;
    }
    if (count == 0) {
        return logit;
    }
    logit = logit > 0 ? logit / s->repetition_penalty : logit * s->repetition_penalty;
    logit = logit - (float)count * s->frequency_penalty;
    return logit - s->presence_penalty;
}

/* As docs/numerics.md has it: pieces of 8,192 in binary32, added up in binary64. */
static double sum_of_weights(const slmk_table *kernels, const float *values, uint32_t n, float max)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i += 8192) {
        sum += (double)kernels->exp_sum(values + i, n - i < 8192 ? n - i : 8192, max, NULL);
    }
    return sum;
}

/* Length of the nucleus of n sorted entries. `total` is summed in the order of their ids, or of the
 * sorted survivors of top-k, as the sampler does. */
static uint32_t nucleus(const entry *sorted, uint32_t n, double p, double total)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += slmk_exp((double)sorted[i].logit - (double)sorted[0].logit);
        if (sum >= p * total) {
            return i + 1;
        }
    }
    return n;
}

void naive_filter(naive *out, const slmi_sampler_settings *s, const slmk_table *kernels,
                  const float *logits, uint32_t n_vocab, const int32_t *history, size_t n_history)
{
    static entry e[NAIVE_MOST_VOCAB];
    static float in_order[NAIVE_MOST_VOCAB];
    uint32_t n = n_vocab;
    for (uint32_t i = 0; i < n_vocab; i++) {
        in_order[i] = penalise(s, logits[i], (int32_t)i, history, n_history);
        e[i] = (entry){ in_order[i], (int32_t)i };
    }
    qsort(e, n, sizeof(*e), compare);
    const float max = e[0].logit;
    const int has_top_k = s->top_k > 0 && s->top_k < n;
    if (has_top_k) {
        n = s->top_k;
        for (uint32_t i = 0; i < n; i++) {
            in_order[i] = e[i].logit;
        }
    }
    if (s->top_p < 1) {
        n = nucleus(e, n, s->top_p, sum_of_weights(kernels, in_order, n, max));
    } else if (!has_top_k) {
        qsort(e, n, sizeof(*e), compare_ids);
    }
    out->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s->min_p == 0 || (double)e[i].logit - (double)max >= slmk_log(s->min_p)) {
            out->ids[out->n] = e[i].id;
            out->logits[out->n++] = e[i].logit;
        }
    }
}

int32_t naive_sample(const slmi_sampler_settings *s, const slmk_table *kernels, const float *logits,
                     uint32_t n_vocab, const int32_t *history, size_t n_history, uint64_t draw)
{
    static naive kept;
    static float weights[NAIVE_MOST_VOCAB];
    slmi_sampler_settings settings = *s;
    if (s->temperature == 0) {
        settings.top_k = 1;
    }
    naive_filter(&kept, &settings, kernels, logits, n_vocab, history, n_history);
    if (s->temperature == 0) {
        return kept.ids[0];
    }
    float max = kept.logits[0];
    for (uint32_t i = 1; i < kept.n; i++) {
        max = kept.logits[i] > max ? kept.logits[i] : max;
    }
    for (uint32_t i = 0; i < kept.n; i++) {
        weights[i] = (kept.logits[i] - max) / s->temperature;
    }
    kernels->exp_sum(weights, kept.n, 0, weights);
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < kept.n; i++) {
        total += (double)weights[i];
    }
    const double target = slmi_philox_uniform(s->seed, draw) * total;
    uint32_t i = 0;
    while (i + 1 < kept.n && (sum += (double)weights[i]) <= target) {
        i++;
    }
    return kept.ids[i];
}
