/* SPDX-License-Identifier: MIT */
/* The naive twin of the sampler: sorts everything, keeps everything in plain sight. With what tests of both
 * public and hidden functions need beside it. */
#ifndef SLM_TESTS_NAIVE_H
#define SLM_TESTS_NAIVE_H

#include "sampler/sampler.h"

#define NAIVE_MOST_VOCAB 70000

/* Uniform number in [0, 1) of a seed and a draw. */
double naive_uniform(uint32_t seed, uint64_t draw);

/* The whole draw. */
int32_t naive_sample(const slmi_sampler_settings *settings, const float *logits, uint32_t n_vocab,
                     const int32_t *history, size_t n_history, uint64_t draw);

/* Checks a token's log-probability, and the best tokens. */
void naive_check_logprobs(const float *logits, uint32_t n_vocab, int32_t token, float logprob,
                          const int32_t *top_tokens, const float *top_logprobs, uint32_t n_top);

/* No filter, no penalty, temperature 1. */
slmi_sampler_settings naive_plain(void);

/* Gives a sampler all settings. */
void naive_apply(slm_sampler *sampler, const slmi_sampler_settings *settings);

/* The n-th number of a row of uniform ones; counts on. */
double naive_next(uint64_t *n);

/* Logits of a kind: 0 bell-shaped, 1 many ties, 2 flat, 3 one far above, 4 huge range, 5 all equal. */
void naive_fill(float *logits, uint32_t n_vocab, int kind, uint64_t *random);

/* For large vocabularies: logits, bell-shaped, some with many ties, and settings, which the round chooses. */
void naive_fill_large(float *logits, uint32_t n_vocab, uint32_t round);
slmi_sampler_settings naive_large_settings(uint32_t round);

#endif
