/* SPDX-License-Identifier: MIT */
/* The naive twin of the sampler: sorts everything, keeps everything in plain sight. */
#ifndef SLM_TESTS_NAIVE_H
#define SLM_TESTS_NAIVE_H

#include "sampler/sampler.h"

#define NAIVE_MOST_VOCAB 70000

/* What can be drawn, in the order in which it is drawn from. */
typedef struct naive {
    uint32_t n;
    int32_t ids[NAIVE_MOST_VOCAB];
    float logits[NAIVE_MOST_VOCAB]; /* penalised, of ids */
} naive;

/* As slmi_sampler_sample() with temperature > 0, without the draw. */
void naive_filter(naive *out, const slmi_sampler_settings *settings, const slmk_table *kernels,
                  const float *logits, uint32_t n_vocab, const int32_t *history, size_t n_history);

/* The whole draw, temperature 0 included. */
int32_t naive_sample(const slmi_sampler_settings *settings, const slmk_table *kernels,
                     const float *logits, uint32_t n_vocab, const int32_t *history, size_t n_history,
                     uint64_t draw);

#endif
