/* SPDX-License-Identifier: MIT */
/* Random numbers, and sampling at every processor level: no public function takes or tells these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/os/os.h"
#include "naive.h"
#include "sampler/philox.h"

#define N_LEVELS 7

static const uint32_t levels[N_LEVELS] = {
    SLM_CPU_SCALAR, SLM_CPU_AVX2, SLM_CPU_AVX_VNNI, SLM_CPU_AVX512,
    SLM_CPU_NEON,   SLM_CPU_NEON_DOT, SLM_CPU_NEON_I8MM,
};

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
    for (uint64_t draw = 0; draw < 1000; draw++) {
        const uint64_t far = draw << draw % 50;
        assert_true(slmi_philox_uniform((uint32_t)(draw << 22), far) ==
                    naive_uniform((uint32_t)(draw << 22), far));
    }
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

static void levels_give_the_same_bits(void **state)
{
    (void)state;
    enum { V = 3001 };
    static float logits[V];
    uint64_t random = 99;
    slmi_sampler_scratch scratch = new_scratch(V);
    const slmk_table *scalar = slmk_table_get(SLM_CPU_SCALAR);
    for (int round = 0; round < 60; round++) {
        slmi_sampler_settings s = naive_plain();
        s.top_p = round % 2 == 0 ? 0.95f : 1;
        s.min_p = round % 3 == 0 ? 0.02f : 0;
        naive_fill(logits, V, round % 6, &random);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_matches_known_answers),
        cmocka_unit_test(uniform_numbers_are_uniform),
        cmocka_unit_test(levels_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
