/* SPDX-License-Identifier: MIT */
/* Logits to a token: penalties, filters, the draw. Works on plain arrays; knows no model. */
#ifndef SLMI_SAMPLER_SAMPLER_H
#define SLMI_SAMPLER_SAMPLER_H

#include "base/alloc.h"
#include "kernels/kernels.h"
#include "slm/sampler.h"

/* All settings; plain data, copied freely. */
typedef struct slmi_sampler_settings {
    float temperature;
    uint32_t top_k;
    float top_p;
    float min_p;
    uint32_t seed;
    float repetition_penalty;
    float frequency_penalty;
    float presence_penalty;
    uint32_t penalty_last_n;
} slmi_sampler_settings;

void slmi_sampler_settings_default(slmi_sampler_settings *settings);

/* One of `n` by its parameter id; type and range are checked. */
slm_status slmi_sampler_settings_set(slmi_sampler_settings *settings, uint32_t param, uint32_t type,
                                     double value, slm_error *err);
slm_status slmi_sampler_settings_get(const slmi_sampler_settings *settings, uint32_t param,
                                     uint32_t type, double *value, slm_error *err);
slm_status slmi_sampler_param_info(uint32_t index, uint32_t *param, slm_param_info *info, slm_error *err);

/* Scratch for one draw at a time over n_vocab logits: no allocation while sampling. */
typedef struct slmi_sampler_scratch {
    uint32_t n_vocab;
    float *values;    /* [V] penalised logits, then probabilities */
    int32_t *ids;     /* [V] candidates */
    uint32_t *counts; /* [V] occurrences in the history; all zero between draws */
} slmi_sampler_scratch;

/* Bytes of the block that slmi_sampler_scratch_init() divides; aligned to SLMI_CACHE_LINE. */
size_t slmi_sampler_scratch_size(uint32_t n_vocab);
void slmi_sampler_scratch_init(slmi_sampler_scratch *scratch, uint32_t n_vocab, void *block);

/* As slm_sampler_sample(). */
slm_status slmi_sampler_sample(const slmi_sampler_settings *settings, slmi_sampler_scratch *scratch,
                               const slmk_table *kernels, const float *logits, const int32_t *history,
                               size_t n_history, uint64_t draw, int32_t *token, float *logprob,
                               slm_error *err);

/* As slm_sampler_get_top(). */
slm_status slmi_sampler_top(slmi_sampler_scratch *scratch, const slmk_table *kernels,
                            const float *logits, uint32_t n, int32_t *tokens, float *logprobs,
                            slm_error *err);

/* The public object: settings and scratch of its own. */
struct slm_sampler {
    slmi_alloc alloc;
    slmi_sampler_settings settings;
    slmi_sampler_scratch scratch;
    void *block;
    const slmk_table *kernels;
};

#endif
