/* SPDX-License-Identifier: MIT */
/* One draw as a list of steps: penalties, filters, the draw itself, log-probabilities. */
#include "sampler/draw.h"

#include <float.h>
#include <string.h>

#include "kernels/math.h"
#include "sampler/philox.h"

/* The largest of some more values into *max. Returns 1 at the end, which an infinite value or NaN is too. */
static int find_max(slmi_draw *d, const float *values, float *max)
{
    const size_t end = slmi_end_of_piece(d->at, d->scratch->n_vocab);
    float most;
    d->finite = d->kernels->max_finite(values + d->at, (uint32_t)(end - d->at), &most);
    *max = d->at == 0 || most > *max ? most : *max;
    d->at = end;
    return !d->finite || end == d->scratch->n_vocab;
}

static int find_logit_max(slmi_draw *d)
{
    const int done = find_max(d, d->logits, &d->max);
    d->penalised_max = d->max;
    return done;
}

static int find_penalised_max(slmi_draw *d)
{
    return find_max(d, d->scratch->values, &d->penalised_max);
}

static int copy_logits(slmi_draw *d)
{
    const size_t end = slmi_end_of_piece(d->at, d->scratch->n_vocab);
    memcpy(d->scratch->values + d->at, d->logits + d->at, (end - d->at) * sizeof(float));
    d->at = end;
    d->source = d->scratch->values;
    return end == d->scratch->n_vocab;
}

/* Number of tokens of the history that the penalties see. */
static size_t n_seen(const slmi_draw *d)
{
    const size_t n = d->n_history + d->n_tail;
    return n < d->settings.penalty_last_n ? n : d->settings.penalty_last_n;
}

/* Number i of the n that they see, as a place in the counts; NULL if it is not in the vocabulary. */
static uint32_t *seen_count(const slmi_draw *d, size_t n, size_t i)
{
    const size_t at = d->n_history + d->n_tail - n + i;
    const int32_t token = at < d->n_history ? d->history[at] : d->tail[at - d->n_history];
    return token >= 0 && (uint32_t)token < d->scratch->n_vocab ? &d->scratch->counts[token] : NULL;
}

static int count_history(slmi_draw *d)
{
    const size_t n = n_seen(d);
    for (const size_t end = slmi_end_of_piece(d->at, n); d->at < end; d->at++) {
        uint32_t *count = seen_count(d, n, d->at);
        if (count != NULL) {
            ++*count;
        }
    }
    return d->at == n;
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

/* A token is penalised where it occurs first; the rest of the walk finds its count back at 0. */
static int apply_penalties(slmi_draw *d)
{
    const size_t n = n_seen(d);
    for (const size_t end = slmi_end_of_piece(d->at, n); d->at < end; d->at++) {
        uint32_t *count = seen_count(d, n, d->at);
        if (count != NULL && *count != 0) {
            float *value = &d->scratch->values[count - d->scratch->counts];
            *value = penalise(&d->settings, *value, *count);
            *count = 0;
        }
    }
    return d->at == n;
}

static int find_largest(slmi_draw *d)
{
    for (const size_t end = slmi_end_of_piece(d->at, d->scratch->n_vocab); d->at < end; d->at++) {
        if (d->source[d->at] == d->penalised_max) {
            d->token = (int32_t)d->at;
            return 1;
        }
    }
    return 0;
}

static int keep_best(slmi_draw *d)
{
    return slmi_candidates_best(&d->candidates, d->kernels, d->source, d->scratch->n_vocab,
                                d->settings.top_k);
}

static int keep_all(slmi_draw *d)
{
    d->candidates.max = d->penalised_max;
    return slmi_candidates_all(&d->candidates, d->source, d->scratch->n_vocab);
}

static int keep_top_p(slmi_draw *d)
{
    return slmi_candidates_top_p(&d->candidates, d->kernels, d->settings.top_p);
}

static int keep_min_p(slmi_draw *d)
{
    return slmi_candidates_min_p(&d->candidates, d->settings.min_p);
}

static int draw_token(slmi_draw *d)
{
    return slmi_candidates_draw(&d->candidates, d->kernels, d->settings.temperature,
                                slmi_philox_uniform(d->settings.seed, d->number), &d->token);
}

/* What log-probabilities are counted from. */
static int sum_all(slmi_draw *d)
{
    const size_t end = slmi_end_of_piece(d->at, d->scratch->n_vocab);
    d->sum += (double)d->kernels->exp_sum(d->logits + d->at, (uint32_t)(end - d->at), d->max, NULL);
    d->at = end;
    return end == d->scratch->n_vocab;
}

static float log_probability(const slmi_draw *d, float logit)
{
    return (float)(((double)logit - (double)d->max) - slmk_log(d->sum));
}

static int tell_logprob(slmi_draw *d)
{
    d->logprob = log_probability(d, d->logits[d->token]);
    return 1;
}

static int find_top(slmi_draw *d)
{
    if (!slmi_candidates_best(&d->candidates, d->kernels, d->logits, d->scratch->n_vocab, d->n_top)) {
        return 0;
    }
    for (uint32_t i = 0; i < d->n_top; i++) {
        d->top_tokens[i] = d->candidates.ids[i];
        d->top_logprobs[i] = log_probability(d, d->candidates.values[i]);
    }
    return 1;
}

static void add_step(slmi_draw *d, slmi_draw_step *step)
{
    d->steps[d->n_steps++] = step;
}

static void add_token_steps(slmi_draw *d)
{
    const slmi_sampler_settings *s = &d->settings;
    if (s->repetition_penalty != 1 || s->frequency_penalty != 0 || s->presence_penalty != 0) {
        add_step(d, copy_logits);
        add_step(d, count_history);
        add_step(d, apply_penalties);
        add_step(d, find_penalised_max);
    }
    if (s->temperature == 0) {
        add_step(d, find_largest);
        return;
    }
    add_step(d, s->top_k > 0 && s->top_k < d->scratch->n_vocab ? keep_best : keep_all);
    if (s->top_p < 1) {
        add_step(d, keep_top_p);
    }
    if (s->min_p > 0) {
        add_step(d, keep_min_p);
    }
    add_step(d, draw_token);
}

void slmi_draw_begin(slmi_draw *d)
{
    memset(&d->candidates, 0, sizeof(d->candidates));
    d->candidates.values = d->scratch->values;
    d->candidates.ids = d->scratch->ids;
    d->source = d->logits;
    d->n_steps = 0;
    d->step = 0;
    d->at = 0;
    d->sum = 0;
    add_step(d, find_logit_max);
    if (d->wants_token) {
        add_token_steps(d);
    }
    if (d->wants_logprob || d->n_top > 0) {
        add_step(d, sum_all);
    }
    if (d->wants_logprob) {
        add_step(d, tell_logprob);
    }
    if (d->n_top > 0) {
        add_step(d, find_top);
    }
}

int slmi_draw_advance(slmi_draw *d)
{
    if (d->steps[d->step](d)) {
        d->step++;
        d->at = 0;
    }
    return !d->finite || d->step == d->n_steps;
}

void slmi_draw_abandon(slmi_draw *d)
{
    /* A count that is not 0 again would penalise in the next draw. */
    memset(d->scratch->counts, 0, d->scratch->n_vocab * sizeof(uint32_t));
}
