/* SPDX-License-Identifier: MIT */
/* The naive twin of the sampler: sorts everything, keeps everything in plain sight. */
#include "naive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/ref/math.h"

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

/* As docs/numerics.md has it: pieces of 8,192 in 16 lanes of binary32, added up in binary64. */
static double sum_of_weights(const float *values, uint32_t n, float max)
{
    double sum = 0;
    for (uint32_t begin = 0; begin < n; begin += 8192) {
        const uint32_t end = n - begin < 8192 ? n : begin + 8192;
        float lanes[16] = { 0 };
        for (uint32_t i = begin; i < end; i++) {
            lanes[(i - begin) % 16] += slmk_expf(values[i] - max);
        }
        sum += (double)slmk_join_lanes(lanes);
    }
    return sum;
}

/* Length of the nucleus of n sorted entries. `total` is summed in the order of their ids, or of the
 * sorted survivors of top-k, as the sampler does. */
static uint32_t nucleus(const entry *sorted, uint32_t n, double p, double total)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += exp((double)sorted[i].logit - (double)sorted[0].logit);
        if (sum >= p * total) {
            return i + 1;
        }
    }
    return n;
}

double naive_uniform(uint32_t seed, uint64_t draw)
{
    uint64_t x[4] = { draw & UINT32_MAX, draw >> 32, 0, 0 }, key[2] = { seed, 0 };
    for (int round = 0; round < 10; round++) {
        const uint64_t a = x[0] * 0xD2511F53, b = x[2] * 0xCD9E8D57;
        x[0] = (b >> 32) ^ x[1] ^ ((key[0] + (uint64_t)round * 0x9E3779B9) & UINT32_MAX);
        x[2] = (a >> 32) ^ x[3] ^ ((key[1] + (uint64_t)round * 0xBB67AE85) & UINT32_MAX);
        x[1] = b & UINT32_MAX;
        x[3] = a & UINT32_MAX;
    }
    return (double)((x[0] << 32 | x[1]) >> 11) / 9007199254740992.0;
}

/* What can be drawn, in the order in which it is drawn from. */
typedef struct kept_tokens {
    uint32_t n;
    int32_t ids[NAIVE_MOST_VOCAB];
    float logits[NAIVE_MOST_VOCAB]; /* penalised, of ids */
} kept_tokens;

static void filter(kept_tokens *out, const slmi_sampler_settings *s, const float *logits,
                   uint32_t n_vocab, const int32_t *history, size_t n_history)
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
        n = nucleus(e, n, s->top_p, sum_of_weights(in_order, n, max));
    } else if (!has_top_k) {
        qsort(e, n, sizeof(*e), compare_ids);
    }
    out->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s->min_p == 0 || (double)e[i].logit - (double)max >= log((double)s->min_p)) {
            out->ids[out->n] = e[i].id;
            out->logits[out->n++] = e[i].logit;
        }
    }
}

int32_t naive_sample(const slmi_sampler_settings *s, const float *logits, uint32_t n_vocab,
                     const int32_t *history, size_t n_history, uint64_t draw)
{
    static kept_tokens kept;
    static float weights[NAIVE_MOST_VOCAB];
    slmi_sampler_settings settings = *s;
    if (s->temperature == 0) {
        settings.top_k = 1;
    }
    filter(&kept, &settings, logits, n_vocab, history, n_history);
    if (s->temperature == 0) {
        return kept.ids[0];
    }
    float max = kept.logits[0];
    for (uint32_t i = 1; i < kept.n; i++) {
        max = kept.logits[i] > max ? kept.logits[i] : max;
    }
    for (uint32_t i = 0; i < kept.n; i++) {
        weights[i] = slmk_expf((kept.logits[i] - max) / s->temperature);
    }
    double total = 0, sum = 0;
    for (uint32_t i = 0; i < kept.n; i++) {
        total += (double)weights[i];
    }
    const double target = naive_uniform(s->seed, draw) * total;
    uint32_t i = 0;
    while (i + 1 < kept.n && (sum += (double)weights[i]) <= target) {
        i++;
    }
    return kept.ids[i];
}

slmi_sampler_settings naive_plain(void)
{
    return (slmi_sampler_settings){ .temperature = 1, .top_p = 1, .repetition_penalty = 1,
                                    .penalty_last_n = 64 };
}

void naive_apply(slm_sampler *sampler, const slmi_sampler_settings *s)
{
    const struct {
        uint32_t id;
        float value;
    } numbers[] = {
        { SLM_SAMPLER_TEMPERATURE, s->temperature },
        { SLM_SAMPLER_TOP_P, s->top_p },
        { SLM_SAMPLER_MIN_P, s->min_p },
        { SLM_SAMPLER_REPETITION_PENALTY, s->repetition_penalty },
        { SLM_SAMPLER_FREQUENCY_PENALTY, s->frequency_penalty },
        { SLM_SAMPLER_PRESENCE_PENALTY, s->presence_penalty },
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(slm_sampler_set_f32(sampler, numbers[i].id, numbers[i].value, NULL), SLM_OK);
    }
    assert_int_equal(slm_sampler_set_u32(sampler, SLM_SAMPLER_TOP_K, s->top_k, NULL), SLM_OK);
    assert_int_equal(slm_sampler_set_u32(sampler, SLM_SAMPLER_SEED, s->seed, NULL), SLM_OK);
    assert_int_equal(slm_sampler_set_u32(sampler, SLM_SAMPLER_PENALTY_LAST_N, s->penalty_last_n, NULL),
                     SLM_OK);
}

double naive_next(uint64_t *n)
{
    return naive_uniform(12345, (*n)++);
}

void naive_fill(float *logits, uint32_t n_vocab, int kind, uint64_t *random)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        const double u = naive_next(random) + naive_next(random) + naive_next(random) - 1.5;
        const double scales[] = { 6, 4, 0.01, 3, 1e38, 0 };
        const double x = u * scales[kind];
        logits[i] = kind == 1 ? (float)(int)x : (float)x;
    }
    if (kind == 3) {
        logits[(uint32_t)(naive_next(random) * n_vocab)] = 40;
    }
}

void naive_fill_large(float *logits, uint32_t n_vocab, uint32_t seed)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        const double u = naive_uniform(seed, 3 * i) + naive_uniform(seed, 3 * i + 1) +
                         naive_uniform(seed, 3 * i + 2) - 1.5;
        logits[i] = seed % 3 == 0 ? (float)(int)(u * 10) : (float)(u * (seed % 3 == 1 ? 8 : 0.01));
    }
}

slmi_sampler_settings naive_large_settings(uint32_t round)
{
    static const uint32_t ks[] = { 0, 0, 0, 40, 9000, 1u << 30 };
    static const float ps[] = { 0.9f, 0.999f, 1, 0.5f, 0.01f };
    static const float min_ps[] = { 0, 0, 0, 0.001f };
    static const float temperatures[] = { 0.8f, 1, 0, 2 };
    slmi_sampler_settings s = naive_plain();
    s.top_k = ks[round % 6];
    s.top_p = ps[round % 5];
    s.min_p = min_ps[round % 4];
    s.temperature = temperatures[round / 2 % 4];
    s.seed = round;
    if (round % 3 == 1) {
        s.repetition_penalty = 1.3f;
        s.frequency_penalty = 0.2f;
    }
    return s;
}

void naive_check_logprobs(const float *logits, uint32_t n_vocab, int32_t token, float logprob,
                          const int32_t *top_tokens, const float *top_logprobs, uint32_t n_top)
{
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        sum += exp((double)logits[i]);
    }
    assert_true(fabs((double)logprob - ((double)logits[token] - log(sum))) < 1e-4);
    for (uint32_t i = 0; i < n_top; i++) {
        const int32_t best = top_tokens[i];
        uint32_t n_better = 0;
        for (uint32_t k = 0; k < n_vocab; k++) {
            n_better += logits[k] > logits[best] || (logits[k] == logits[best] && (int32_t)k < best);
        }
        assert_int_equal(n_better, i);
        assert_true(fabs((double)top_logprobs[i] - ((double)logits[best] - log(sum))) < 1e-4);
    }
}
