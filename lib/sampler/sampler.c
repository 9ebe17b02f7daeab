/* SPDX-License-Identifier: MIT */
/* Logits to a token: penalties, filters, the draw, log-probabilities. */
#include "sampler/sampler.h"

#include <float.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "kernels/math.h"
#include "sampler/candidates.h"
#include "sampler/philox.h"

/* Bytes of one array [V] of 4-byte elements. */
static size_t array_size(uint32_t n_vocab)
{
    return (size_t)slmi_round_up((uint64_t)n_vocab * sizeof(uint32_t), SLMI_CACHE_LINE);
}

size_t slmi_sampler_scratch_size(uint32_t n_vocab)
{
    return 3 * array_size(n_vocab);
}

void slmi_sampler_scratch_init(slmi_sampler_scratch *scratch, uint32_t n_vocab, void *block)
{
    unsigned char *bytes = block;
    scratch->n_vocab = n_vocab;
    scratch->values = (float *)block;
    scratch->ids = (int32_t *)(void *)(bytes + array_size(n_vocab));
    scratch->counts = (uint32_t *)(void *)(bytes + 2 * array_size(n_vocab));
    memset(scratch->counts, 0, array_size(n_vocab));
}

/* What log-probabilities are counted from. */
typedef struct normaliser {
    float max;
    double log_sum; /* of exp(logit - max) */
} normaliser;

static slm_status find_max(const slmk_table *kernels, const float *logits, uint32_t n_vocab, float *max,
                           slm_error *err)
{
    SLM_FAIL_IF(!kernels->max_finite(logits, n_vocab, max), SLM_ERR_NOT_FINITE,
                "a logit is infinite or not a number");
    return SLM_OK;
}

static normaliser normalise(const slmk_table *kernels, const float *logits, uint32_t n_vocab, float max)
{
    return (normaliser){ max, slmk_log((double)kernels->exp_sum(logits, n_vocab, max, NULL)) };
}

static float log_probability(const normaliser *n, float logit)
{
    return (float)(((double)logit - (double)n->max) - n->log_sum);
}

/* A penalised logit stays finite. */
static float clamp_finite(float x)
{
    return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
}

/* Repetition as in Keskar et al., "CTRL", 2019, but dividing positive logits only; then frequency and
 * presence as in OpenAI's interface. */
static float penalise(const slmi_sampler_settings *settings, float logit, uint32_t count)
{
    const float scaled = logit > 0 ? logit / settings->repetition_penalty
                                   : logit * settings->repetition_penalty;
    const float frequency = (float)count * settings->frequency_penalty;
    return clamp_finite((clamp_finite(scaled) - frequency) - settings->presence_penalty);
}

static void apply_penalties(const slmi_sampler_settings *settings, slmi_sampler_scratch *scratch,
                            const int32_t *history, size_t n_history)
{
    if (settings->repetition_penalty == 1 && settings->frequency_penalty == 0 &&
        settings->presence_penalty == 0) {
        return;
    }
    const size_t n_seen = n_history < settings->penalty_last_n ? n_history : settings->penalty_last_n;
    const int32_t *seen = n_seen > 0 ? history + (n_history - n_seen) : NULL;
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i] >= 0 && (uint32_t)seen[i] < scratch->n_vocab) {
            scratch->counts[seen[i]]++;
        }
    }
    /* A token is penalised where it occurs first; the rest of the walk finds its count back at 0. */
    for (size_t i = 0; i < n_seen; i++) {
        if (seen[i] >= 0 && (uint32_t)seen[i] < scratch->n_vocab && scratch->counts[seen[i]] != 0) {
            scratch->values[seen[i]] =
                penalise(settings, scratch->values[seen[i]], scratch->counts[seen[i]]);
            scratch->counts[seen[i]] = 0;
        }
    }
}

static int32_t find_largest(const slmi_sampler_scratch *scratch, float max)
{
    uint32_t i = 0;
    while (scratch->values[i] != max) {
        i++;
    }
    return (int32_t)i;
}

static int32_t draw_token(const slmi_sampler_settings *settings, slmi_sampler_scratch *scratch,
                          const slmk_table *kernels, float max, uint64_t draw)
{
    slmi_candidates candidates = { scratch->values, scratch->ids, 0, 0, max };
    if (settings->top_k > 0 && settings->top_k < scratch->n_vocab) {
        slmi_candidates_best(&candidates, scratch->values, scratch->n_vocab, settings->top_k);
    } else {
        slmi_candidates_all(&candidates, scratch->n_vocab);
    }
    if (settings->top_p < 1) {
        slmi_candidates_top_p(&candidates, kernels, settings->top_p);
    }
    if (settings->min_p > 0) {
        slmi_candidates_min_p(&candidates, settings->min_p);
    }
    return slmi_candidates_draw(&candidates, kernels, settings->temperature,
                                slmi_philox_uniform(settings->seed, draw));
}

slm_status slmi_sampler_sample(const slmi_sampler_settings *settings, slmi_sampler_scratch *scratch,
                               const slmk_table *kernels, const float *logits, const int32_t *history,
                               size_t n_history, uint64_t draw, int32_t *token, float *logprob,
                               slm_error *err)
{
    const uint32_t n_vocab = scratch->n_vocab;
    float max;
    SLM_TRY(find_max(kernels, logits, n_vocab, &max, err));
    memcpy(scratch->values, logits, n_vocab * sizeof(float));
    apply_penalties(settings, scratch, history, n_history);
    float penalised_max = max;
    SLM_TRY(find_max(kernels, scratch->values, n_vocab, &penalised_max, err));
    *token = settings->temperature > 0
                 ? draw_token(settings, scratch, kernels, penalised_max, draw)
                 : find_largest(scratch, penalised_max);
    if (logprob != NULL) {
        const normaliser n = normalise(kernels, logits, n_vocab, max);
        *logprob = log_probability(&n, logits[*token]);
    }
    return SLM_OK;
}

slm_status slmi_sampler_top(slmi_sampler_scratch *scratch, const slmk_table *kernels,
                            const float *logits, uint32_t n, int32_t *tokens, float *logprobs,
                            slm_error *err)
{
    float max;
    SLM_TRY(find_max(kernels, logits, scratch->n_vocab, &max, err));
    if (n == 0) {
        return SLM_OK;
    }
    slmi_candidates best = { scratch->values, scratch->ids, 0, 0, max };
    slmi_candidates_best(&best, logits, scratch->n_vocab, n);
    const normaliser all = normalise(kernels, logits, scratch->n_vocab, max);
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = best.ids[i];
        logprobs[i] = log_probability(&all, best.values[i]);
    }
    return SLM_OK;
}
