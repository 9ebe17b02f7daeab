/* SPDX-License-Identifier: MIT */
/* Sampling against the naive twin, against statistics, against stored choices, at every processor level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/os.h"
#include "naive.h"
#include "sampler/philox.h"

#define N_LEVELS 4

static const uint32_t levels[N_LEVELS] = { SLM_CPU_SCALAR, SLM_CPU_AVX2, SLM_CPU_AVX512, SLM_CPU_NEON_DOT };

static const slmk_table *kernels; /* the best */

static slmi_sampler_scratch new_scratch(uint32_t n_vocab)
{
    slmi_sampler_scratch scratch;
    void *block = slmi_os_alloc(slmi_sampler_scratch_size(n_vocab), SLMI_CACHE_LINE);
    assert_non_null(block);
    memset(block, 0xA5, slmi_sampler_scratch_size(n_vocab));
    slmi_sampler_scratch_init(&scratch, n_vocab, block);
    return scratch;
}

static void free_scratch(slmi_sampler_scratch *scratch)
{
    for (uint32_t i = 0; i < scratch->n_vocab; i++) {
        assert_int_equal(scratch->counts[i], 0);
    }
    slmi_os_free(scratch->values);
}

/* No filter, temperature 1. */
static slmi_sampler_settings plain(void)
{
    slmi_sampler_settings s;
    slmi_sampler_settings_default(&s);
    s.temperature = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    return s;
}

static int32_t sample(const slmi_sampler_settings *s, slmi_sampler_scratch *scratch,
                      const float *logits, uint64_t draw)
{
    int32_t token = -1;
    assert_int_equal(slmi_sampler_sample(s, scratch, kernels, logits, NULL, 0, draw, &token, NULL, NULL),
                     SLM_OK);
    return token;
}

static double uniform(uint64_t *n)
{
    return slmi_philox_uniform(12345, (*n)++);
}

/* Logits of a kind: 0 bell-shaped, 1 many ties, 2 flat, 3 one far above, 4 huge range, 5 all equal. */
static void fill(float *logits, uint32_t n_vocab, int kind, uint64_t *random)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        const double u = uniform(random) + uniform(random) + uniform(random) - 1.5;
        const double scales[] = { 6, 4, 0.01, 3, 1e38, 0 };
        const double x = u * scales[kind];
        logits[i] = kind == 1 ? (float)(int)x : (float)x;
    }
    if (kind == 3) {
        logits[(uint32_t)(uniform(random) * n_vocab)] = 40;
    }
}

static void philox_matches_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        slmi_philox(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof(out));
    }
    assert_true(slmi_philox_uniform(0, 0) == (double)(UINT64_C(0x6627e8d5e169c58d) >> 11) * 0x1p-53);
}

static void uniform_numbers_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 64, DRAWS = 64000 };
    int bins[BINS] = { 0 };
    double sum = 0, squares = 0;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        const double u = slmi_philox_uniform(7, draw);
        assert_true(u >= 0 && u < 1);
        bins[(int)(u * BINS)]++;
        sum += u;
        squares += u * u;
    }
    double chi = 0;
    for (int i = 0; i < BINS; i++) {
        const double d = bins[i] - (double)DRAWS / BINS;
        chi += d * d / ((double)DRAWS / BINS);
    }
    assert_true(chi > 30 && chi < 110); /* 63 degrees of freedom */
    assert_true(fabs(sum / DRAWS - 0.5) < 0.005);
    assert_true(fabs(squares / DRAWS - 1.0 / 3) < 0.005);
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
        slmi_sampler_scratch scratch = new_scratch(n_vocab);
        slmi_sampler_settings s = plain();
        s.top_k = ks[(int)(uniform(&random) * 7)];
        s.top_p = ps[(int)(uniform(&random) * 7)];
        s.min_p = min_ps[(int)(uniform(&random) * 5)];
        s.temperature = temperatures[(int)(uniform(&random) * 6)];
        s.seed = (uint32_t)round;
        fill(logits, n_vocab, (int)(uniform(&random) * 6), &random);
        if (round % 3 == 0) {
            s.repetition_penalty = 1.3f;
            s.frequency_penalty = 0.2f;
            s.presence_penalty = -0.4f;
            s.penalty_last_n = (uint32_t)(uniform(&random) * 100);
        }
        for (int i = 0; i < 80; i++) {
            history[i] = (int32_t)(uniform(&random) * 1.2 * n_vocab) - (int32_t)(n_vocab / 10);
        }
        for (uint64_t draw = 0; draw < 4; draw++) {
            int32_t token;
            assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 80, draw, &token,
                                                 NULL, NULL),
                             SLM_OK);
            assert_int_equal(token, naive_sample(&s, kernels, logits, n_vocab, history, 80, draw));
        }
        free_scratch(&scratch);
    }
}

static void levels_give_the_same_bits(void **state)
{
    (void)state;
    enum { V = 3001 };
    static float logits[V];
    uint64_t random = 99;
    slmi_sampler_scratch scratch = new_scratch(V);
    const slmk_table *scalar = slmk_table_get(SLM_CPU_SCALAR);
    for (int round = 0; round < 60; round++) {
        slmi_sampler_settings s = plain();
        s.top_p = round % 2 == 0 ? 0.95f : 1;
        s.min_p = round % 3 == 0 ? 0.02f : 0;
        fill(logits, V, round % 6, &random);
        int32_t token, best[8];
        float logprob, logprobs[8];
        assert_int_equal(slmi_sampler_sample(&s, &scratch, scalar, logits, NULL, 0, 5, &token, &logprob,
                                             NULL),
                         SLM_OK);
        assert_int_equal(slmi_sampler_top(&scratch, scalar, logits, 8, best, logprobs, NULL), SLM_OK);
        for (int l = 1; l < N_LEVELS; l++) {
            const slmk_table *other_kernels = slmk_table_get(levels[l]);
            int32_t other, other_best[8];
            float other_logprob, other_logprobs[8];
            if (other_kernels == NULL) {
                continue;
            }
            assert_int_equal(slmi_sampler_sample(&s, &scratch, other_kernels, logits, NULL, 0, 5, &other,
                                                 &other_logprob, NULL),
                             SLM_OK);
            assert_int_equal(slmi_sampler_top(&scratch, other_kernels, logits, 8, other_best, other_logprobs,
                                              NULL),
                             SLM_OK);
            assert_int_equal(other, token);
            assert_memory_equal(&other_logprob, &logprob, sizeof(logprob));
            assert_memory_equal(other_best, best, sizeof(best));
            assert_memory_equal(other_logprobs, logprobs, sizeof(logprobs));
        }
    }
    free_scratch(&scratch);
}

/* Frequencies of 40,000 draws against the probabilities, by Pearson's test. */
static void assert_frequencies(const slmi_sampler_settings *s, const float *logits, uint32_t n_vocab,
                               const double *expected)
{
    enum { DRAWS = 40000 };
    int counts[16] = { 0 };
    slmi_sampler_scratch scratch = new_scratch(n_vocab);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        counts[sample(s, &scratch, logits, draw)]++;
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
    free_scratch(&scratch);
}

static void frequencies_are_right(void **state)
{
    (void)state;
    static const double p[8] = { 0.05, 0.25, 0.1, 0.3, 0.02, 0.08, 0.15, 0.05 };
    float logits[8];
    for (int i = 0; i < 8; i++) {
        logits[i] = (float)log(p[i]) + 3;
    }
    slmi_sampler_settings s = plain();
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
    slmi_sampler_scratch scratch = new_scratch(V);
    for (uint64_t i = 0; i < N; i++) {
        fill(logits, V, 0, &random);
        slmi_sampler_settings s[4] = { plain(), plain(), plain(), plain() };
        slmi_sampler_settings_default(&s[1]);
        s[2].top_p = 0.9f;
        s[3].seed = 0xFFFFFFFF;
        s[3].temperature = 1.5f;
        for (int k = 0; k < 4; k++) {
            assert_int_equal(sample(&s[k], &scratch, logits, i << 30), golden[k][i]);
        }
    }
    free_scratch(&scratch);
}

static void penalties_follow_their_formulas(void **state)
{
    (void)state;
    const float logits[4] = { 2, -1, 1.5f, -3 };
    const int32_t history[] = { 3, 0, 0, -5, 4, 1 << 30, INT32_MIN };
    slmi_sampler_scratch scratch = new_scratch(4);
    slmi_sampler_settings s = plain();
    int32_t token;
    float logprob;
    s.temperature = 0;
    s.repetition_penalty = 1.5f; /* 2 / 1.5 < 1.5 */
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 7, 0, &token, &logprob,
                                         NULL),
                     SLM_OK);
    assert_int_equal(token, 2);
    /* The log-probability is that of the logits as given. */
    const double sum = exp(2) + exp(-1) + exp(1.5) + exp(-3);
    assert_true(fabs((double)logprob - (1.5 - log(sum))) < 1e-6);

    s.repetition_penalty = 1;
    s.frequency_penalty = 0.2f; /* 2 - 0.4 > 1.5 */
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 7, 0, &token, NULL, NULL),
                     SLM_OK);
    assert_int_equal(token, 0);
    s.presence_penalty = 0.2f; /* 2 - 0.6 < 1.5 */
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 7, 0, &token, NULL, NULL),
                     SLM_OK);
    assert_int_equal(token, 2);
    s.penalty_last_n = 4; /* sees no valid token */
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 7, 0, &token, NULL, NULL),
                     SLM_OK);
    assert_int_equal(token, 0);
    s.penalty_last_n = UINT32_MAX;
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 7, 0, &token, NULL, NULL),
                     SLM_OK);
    assert_int_equal(token, 2);
    free_scratch(&scratch);
}

/* Penalties on the largest numbers stay numbers. */
static void extreme_logits_work(void **state)
{
    (void)state;
    const float logits[3] = { -FLT_MAX, FLT_MAX, -FLT_MAX };
    const int32_t history[] = { 0, 1, 2 };
    slmi_sampler_scratch scratch = new_scratch(3);
    slmi_sampler_settings s = plain();
    int32_t token;
    float logprob;
    s.repetition_penalty = 16;
    s.frequency_penalty = 100;
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 3, 0, &token, &logprob,
                                         NULL),
                     SLM_OK);
    assert_int_equal(token, 1);
    assert_true(logprob == 0);
    s.repetition_penalty = 0.0625f;
    s.frequency_penalty = -100;
    assert_int_equal(slmi_sampler_sample(&s, &scratch, kernels, logits, history, 3, 0, &token, &logprob,
                                         NULL),
                     SLM_OK);
    assert_int_equal(token, 1);
    free_scratch(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_known_answers),
        cmocka_unit_test(uniform_numbers_are_uniform),
        cmocka_unit_test(draws_equal_the_twin),
        cmocka_unit_test(levels_give_the_same_bits),
        cmocka_unit_test(frequencies_are_right),
        cmocka_unit_test(choices_are_stored),
        cmocka_unit_test(penalties_follow_their_formulas),
        cmocka_unit_test(extreme_logits_work),
    };
    kernels = slmk_table_get(SLM_CPU_BEST);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
