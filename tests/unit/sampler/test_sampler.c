/* SPDX-License-Identifier: MIT */
/* Sampling through the public functions: against the naive twin, statistics and stored choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "naive.h"

static slm_sampler *new_sampler(uint32_t n_vocab)
{
    slm_sampler *sampler = NULL;
    assert_int_equal(slm_sampler_create(n_vocab, NULL, &sampler, NULL), SLM_OK);
    assert_non_null(sampler);
    return sampler;
}

static int32_t sample(slm_sampler *sampler, const float *logits, const int32_t *history, size_t n_history,
                      uint64_t draw)
{
    int32_t token = -1;
    assert_int_equal(slm_sampler_sample(sampler, logits, history, n_history, draw, &token, NULL, NULL),
                     SLM_OK);
    return token;
}

/* Random settings and logits: the same token as the twin, every time. */
static void draws_equal_the_twin(void **state)
{
    (void)state;
    static float logits[4096];
    static const uint32_t sizes[] = { 1, 2, 3, 17, 100, 1000, 4096 };
    static const uint32_t ks[] = { 0, 1, 2, 5, 40, 999, 5000 };
    static const float ps[] = { 0, 1e-6f, 0.3f, 0.9f, 0.999f, 0.99999994f, 1 };
    static const float min_ps[] = { 0, 0, 0.01f, 0.5f, 1 };
    static const float temperatures[] = { 0, 0.1f, 0.8f, 1, 2.5f, 1e-30f };
    uint64_t random = 0;
    int32_t history[80];
    for (int round = 0; round < 700; round++) {
        const uint32_t n_vocab = sizes[round % 7];
        slm_sampler *sampler = new_sampler(n_vocab);
        slmi_sampler_settings s = naive_plain();
        s.top_k = ks[(int)(naive_next(&random) * 7)];
        s.top_p = ps[(int)(naive_next(&random) * 7)];
        s.min_p = min_ps[(int)(naive_next(&random) * 5)];
        s.temperature = temperatures[(int)(naive_next(&random) * 6)];
        s.seed = (uint32_t)round;
        naive_fill(logits, n_vocab, (int)(naive_next(&random) * 6), &random);
        if (round % 3 == 0) {
            s.repetition_penalty = 1.3f;
            s.frequency_penalty = 0.2f;
            s.presence_penalty = -0.4f;
            s.penalty_last_n = (uint32_t)(naive_next(&random) * 100);
        }
        for (int i = 0; i < 80; i++) {
            history[i] = (int32_t)(naive_next(&random) * 1.2 * n_vocab) - (int32_t)(n_vocab / 10);
        }
        naive_apply(sampler, &s);
        for (uint64_t draw = 0; draw < 4; draw++) {
            assert_int_equal(sample(sampler, logits, history, 80, draw),
                             naive_sample(&s, logits, n_vocab, history, 80, draw));
        }
        slm_sampler_release(sampler);
    }
}

/* Vocabularies of several pieces of work, with the log-probabilities of the token and of the best ones. */
static void large_draws_equal_the_twin(void **state)
{
    (void)state;
    enum { N_HISTORY = 9000, N_TOP = 5 };
    static const uint32_t sizes[] = { 8191, 8192, 8193, 16384, 20001, 65536, NAIVE_MOST_VOCAB };
    static float logits[NAIVE_MOST_VOCAB];
    static int32_t history[N_HISTORY];
    for (uint32_t round = 0; round < 60; round++) {
        const uint32_t n_vocab = sizes[round % 7];
        /* A short history, or one of several pieces as well. */
        const size_t n_history = round % 4 == 0 ? N_HISTORY : 60;
        slm_sampler *sampler = new_sampler(n_vocab);
        slmi_sampler_settings s = naive_large_settings(round);
        int32_t token, top_tokens[N_TOP];
        float logprob, top_logprobs[N_TOP];
        for (size_t i = 0; i < n_history; i++) {
            history[i] = (int32_t)(i * 7919 % n_vocab);
        }
        s.penalty_last_n = round % 24 == 16 ? UINT32_MAX : 64; /* two of the rounds with penalties */
        naive_apply(sampler, &s);
        naive_fill_large(logits, n_vocab, round);
        assert_int_equal(slm_sampler_sample(sampler, logits, history, n_history, round, &token, &logprob,
                                            NULL),
                         SLM_OK);
        assert_int_equal(token, naive_sample(&s, logits, n_vocab, history, n_history, round));
        assert_int_equal(slm_sampler_get_top(sampler, logits, N_TOP, top_tokens, top_logprobs, NULL),
                         SLM_OK);
        naive_check_logprobs(logits, n_vocab, token, logprob, top_tokens, top_logprobs, N_TOP);
        slm_sampler_release(sampler);
    }
}

/* With p next to 1, rounding can make the tokens that hardly count necessary: more than half of them, which
 * the temperature makes as likely as the rest. */
static void almost_all_equals_the_twin(void **state)
{
    (void)state;
    enum { V = 4096 };
    static float logits[V];
    uint64_t random = 7;
    slm_sampler *sampler = new_sampler(V);
    slmi_sampler_settings s = naive_plain();
    int n_with_low = 0;
    s.top_p = 0.99999994f;
    s.temperature = 100;
    for (uint32_t round = 0; round < 40; round++) {
        int n_low = 0;
        s.seed = round;
        naive_apply(sampler, &s);
        naive_fill(logits, V, 2, &random);
        for (uint32_t i = 0; i < V; i++) {
            logits[i] -= i % 5 < 3 ? 40 : 0;
        }
        for (uint64_t draw = 0; draw < 20; draw++) {
            const int32_t token = sample(sampler, logits, NULL, 0, draw);
            assert_int_equal(token, naive_sample(&s, logits, V, NULL, 0, draw));
            n_low += token % 5 < 3;
        }
        n_with_low += n_low > 0;
    }
    assert_true(n_with_low > 0 && n_with_low < 40);
    slm_sampler_release(sampler);
}

/* What is not finite is found in any piece, by both functions. */
static void finds_what_is_not_finite(void **state)
{
    (void)state;
    static float logits[20001];
    static const uint32_t places[] = { 0, 8191, 8192, 16384, 20000 };
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    slm_sampler *sampler = new_sampler(20001);
    for (uint32_t i = 0; i < 15; i++) {
        const slmi_sampler_settings s = naive_large_settings(i);
        int32_t token;
        float logprob;
        naive_fill_large(logits, 20001, 4);
        logits[places[i % 5]] = bad[i / 5];
        naive_apply(sampler, &s);
        assert_int_equal(slm_sampler_sample(sampler, logits, NULL, 0, 0, &token, NULL, NULL),
                         SLM_ERR_NOT_FINITE);
        assert_int_equal(slm_sampler_get_top(sampler, logits, 1, &token, &logprob, NULL), SLM_ERR_NOT_FINITE);
    }
    slm_sampler_release(sampler);
}

/* Equal logits make a draw show its random number: the numbers of a seed are uniform. */
static void draws_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 64, DRAWS = 64000 };
    const float logits[BINS] = { 0 };
    int bins[BINS] = { 0 };
    slm_sampler *sampler = new_sampler(BINS);
    slmi_sampler_settings s = naive_plain();
    s.seed = 7;
    naive_apply(sampler, &s);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        const int32_t bin = sample(sampler, logits, NULL, 0, draw);
        assert_int_equal(bin, (int)(naive_uniform(7, draw) * BINS));
        bins[bin]++;
    }
    double chi = 0;
    for (int i = 0; i < BINS; i++) {
        const double d = bins[i] - (double)DRAWS / BINS;
        chi += d * d / ((double)DRAWS / BINS);
    }
    assert_true(chi > 30 && chi < 110); /* 63 degrees of freedom */
    slm_sampler_release(sampler);
}

/* Frequencies of 40,000 draws against the probabilities, by Pearson's test. */
static void assert_frequencies(const slmi_sampler_settings *s, const float *logits, uint32_t n_vocab,
                               const double *expected)
{
    enum { DRAWS = 40000 };
    int counts[16] = { 0 };
    slm_sampler *sampler = new_sampler(n_vocab);
    naive_apply(sampler, s);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        counts[sample(sampler, logits, NULL, 0, draw)]++;
    }
    double chi = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        if (expected[i] == 0) {
            assert_int_equal(counts[i], 0);
        } else {
            const double d = counts[i] - expected[i] * DRAWS;
            chi += d * d / (expected[i] * DRAWS);
        }
    }
    assert_true(chi < 22); /* at most 7 degrees of freedom: p = 0.0025 */
    slm_sampler_release(sampler);
}

static void frequencies_are_right(void **state)
{
    (void)state;
    static const double p[8] = { 0.05, 0.25, 0.1, 0.3, 0.02, 0.08, 0.15, 0.05 };
    float logits[8];
    for (int i = 0; i < 8; i++) {
        logits[i] = (float)log(p[i]) + 3;
    }
    slmi_sampler_settings s = naive_plain();
    s.seed = 4;
    assert_frequencies(&s, logits, 8, p);

    s.top_k = 3; /* 0.3, 0.25, 0.15 */
    assert_frequencies(&s, logits, 8, (const double[8]){ 0, 25.0 / 70, 0, 30.0 / 70, 0, 0, 15.0 / 70, 0 });

    s.top_k = 0;
    s.top_p = 0.75f; /* 0.3, 0.25, 0.15, 0.1 */
    assert_frequencies(&s, logits, 8,
                       (const double[8]){ 0, 25.0 / 80, 10.0 / 80, 30.0 / 80, 0, 0, 15.0 / 80, 0 });

    s.top_k = 3; /* 0.3 and 0.25 are more than 0.75 of what top-k left */
    assert_frequencies(&s, logits, 8, (const double[8]){ 0, 25.0 / 55, 0, 30.0 / 55, 0, 0, 0, 0 });

    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0.45f; /* at least 0.135 */
    assert_frequencies(&s, logits, 8, (const double[8]){ 0, 25.0 / 70, 0, 30.0 / 70, 0, 0, 15.0 / 70, 0 });

    s.min_p = 0;
    s.temperature = 0.5f;
    double squares[8], sum = 0;
    for (int i = 0; i < 8; i++) {
        squares[i] = p[i] * p[i];
        sum += squares[i];
    }
    for (int i = 0; i < 8; i++) {
        squares[i] /= sum;
    }
    assert_frequencies(&s, logits, 8, squares);
}

/* Tokens that must not change as long as slm_numerics_version() does not. */
static void choices_are_stored(void **state)
{
    (void)state;
    enum { V = 500, N = 12 };
    static const int32_t golden[4][N] = {
        { 174, 343, 435, 259, 140, 233, 208, 274, 207, 157, 165, 385 },
        { 177, 129, 210, 97, 329, 233, 286, 267, 13, 252, 193, 21 },
        { 359, 147, 90, 432, 118, 46, 41, 105, 410, 203, 206, 396 },
        { 477, 43, 210, 390, 358, 329, 227, 318, 18, 428, 109, 81 },
    };
    float logits[V];
    uint64_t random = 1000;
    slm_sampler *sampler = new_sampler(V); /* with the defaults */
    slm_sampler *other = new_sampler(V);
    for (uint64_t i = 0; i < N; i++) {
        naive_fill(logits, V, 0, &random);
        slmi_sampler_settings s[4] = { naive_plain(), naive_plain(), naive_plain(), naive_plain() };
        s[2].top_p = 0.9f;
        s[3].seed = 0xFFFFFFFF;
        s[3].temperature = 1.5f;
        for (int k = 0; k < 4; k++) {
            naive_apply(other, &s[k]);
            assert_int_equal(sample(k == 1 ? sampler : other, logits, NULL, 0, i << 30), golden[k][i]);
        }
    }
    slm_sampler_release(sampler);
    slm_sampler_release(other);
}

static void penalties_follow_their_formulas(void **state)
{
    (void)state;
    const float logits[4] = { 2, -1, 1.5f, -3 };
    const int32_t history[] = { 3, 0, 0, -5, 4, 1 << 30, INT32_MIN };
    slm_sampler *sampler = new_sampler(4);
    slmi_sampler_settings s = naive_plain();
    int32_t token;
    float logprob;
    s.temperature = 0;
    s.repetition_penalty = 1.5f; /* 2 / 1.5 < 1.5 */
    naive_apply(sampler, &s);
    assert_int_equal(slm_sampler_sample(sampler, logits, history, 7, 0, &token, &logprob, NULL), SLM_OK);
    assert_int_equal(token, 2);
    /* The log-probability is that of the logits as given. */
    const double sum = exp(2) + exp(-1) + exp(1.5) + exp(-3);
    assert_true(fabs((double)logprob - (1.5 - log(sum))) < 1e-6);

    s.repetition_penalty = 1;
    s.frequency_penalty = 0.2f; /* 2 - 0.4 > 1.5 */
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 0);
    s.presence_penalty = 0.2f; /* 2 - 0.6 < 1.5 */
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 2);
    s.frequency_penalty = 0;
    s.presence_penalty = 0.4f; /* 2 - 0.4 > 1.5, twice or not */
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 0);
    s.presence_penalty = 0.6f;
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 2);
    s.penalty_last_n = 4; /* sees no valid token */
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 0);
    s.penalty_last_n = UINT32_MAX;
    naive_apply(sampler, &s);
    assert_int_equal(sample(sampler, logits, history, 7, 0), 2);
    slm_sampler_release(sampler);
}

/* Penalties on the largest numbers stay numbers. */
static void extreme_logits_work(void **state)
{
    (void)state;
    const float logits[3] = { -FLT_MAX, FLT_MAX, -FLT_MAX };
    const int32_t history[] = { 0, 1, 2 };
    slm_sampler *sampler = new_sampler(3);
    slmi_sampler_settings s = naive_plain();
    int32_t token;
    float logprob;
    s.repetition_penalty = 16;
    s.frequency_penalty = 100;
    naive_apply(sampler, &s);
    assert_int_equal(slm_sampler_sample(sampler, logits, history, 3, 0, &token, &logprob, NULL), SLM_OK);
    assert_int_equal(token, 1);
    assert_true(logprob == 0);
    s.repetition_penalty = 0.0625f;
    s.frequency_penalty = -100;
    naive_apply(sampler, &s);
    assert_int_equal(slm_sampler_sample(sampler, logits, history, 3, 0, &token, &logprob, NULL), SLM_OK);
    assert_int_equal(token, 1);
    slm_sampler_release(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_equal_the_twin),
        cmocka_unit_test(large_draws_equal_the_twin),
        cmocka_unit_test(almost_all_equals_the_twin),
        cmocka_unit_test(finds_what_is_not_finite),
        cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(frequencies_are_right),
        cmocka_unit_test(choices_are_stored),
        cmocka_unit_test(penalties_follow_their_formulas),
        cmocka_unit_test(extreme_logits_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
