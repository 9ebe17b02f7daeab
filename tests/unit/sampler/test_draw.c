/* SPDX-License-Identifier: MIT */
/* Draws from large vocabularies, all that is wanted at once, piece by piece: against the naive twin, in
 * turns, given up, not finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/os/os.h"
#include "naive.h"
#include "sampler/draw.h"

#define N_HISTORY 60
#define N_TOP 5
#define MOST NAIVE_MOST_VOCAB

static const slmk_table *kernels; /* the best */

/* A draw with memory of its own. */
typedef struct drawing {
    slmi_sampler_scratch scratch;
    void *block;
    slmi_draw draw;
    int32_t history[N_HISTORY], top_tokens[N_TOP];
    float top_logprobs[N_TOP];
} drawing;

static void init(drawing *d, uint32_t n_vocab, const float *logits)
{
    memset(d, 0, sizeof(*d));
    d->block = slmi_os_alloc(slmi_sampler_scratch_size(n_vocab), SLMI_CACHE_LINE);
    assert_non_null(d->block);
    memset(d->block, 0xA5, slmi_sampler_scratch_size(n_vocab));
    slmi_sampler_scratch_init(&d->scratch, n_vocab, d->block);
    for (uint32_t i = 0; i < N_HISTORY; i++) {
        d->history[i] = (int32_t)(i * 7919 % n_vocab);
    }
    d->draw = (slmi_draw){ .scratch = &d->scratch, .kernels = kernels, .logits = logits,
                           .history = d->history, .n_history = N_HISTORY, .wants_token = 1,
                           .wants_logprob = 1, .n_top = N_TOP, .top_tokens = d->top_tokens,
                           .top_logprobs = d->top_logprobs };
}

static void end(drawing *d)
{
    for (uint32_t i = 0; i < d->scratch.n_vocab; i++) {
        assert_int_equal(d->scratch.counts[i], 0);
    }
    slmi_os_free(d->block);
}

static const uint32_t sizes[] = { 8191, 8192, 8193, 16384, 20001, 65536, MOST };

static void equals_the_twin(void **state)
{
    (void)state;
    static float logits[MOST];
    for (uint32_t round = 0; round < 60; round++) {
        const uint32_t n_vocab = sizes[round % 7];
        drawing d;
        uint32_t n_pieces = 1;
        naive_fill_large(logits, n_vocab, round);
        init(&d, n_vocab, logits);
        d.draw.settings = naive_large_settings(round);
        d.draw.number = round;
        slmi_draw_begin(&d.draw);
        while (!slmi_draw_advance(&d.draw)) {
            n_pieces++;
        }
        assert_true(n_pieces > 2 * (n_vocab / 8192));
        assert_int_equal(d.draw.finite, 1);
        assert_int_equal(d.draw.token, naive_sample(&d.draw.settings, logits, n_vocab, d.history, N_HISTORY,
                                                    round));
        naive_check_logprobs(logits, n_vocab, d.draw.token, d.draw.logprob, d.top_tokens, d.top_logprobs,
                             N_TOP);
        end(&d);
    }
}

/* Two draws whose pieces alternate do not know of each other. */
static void takes_turns(void **state)
{
    (void)state;
    static float logits[2][MOST];
    for (uint32_t round = 0; round < 12; round++) {
        drawing d[2];
        int is_done[2] = { 0, 0 };
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t n_vocab = sizes[(round + 3 * i) % 7];
            naive_fill_large(logits[i], n_vocab, round + i);
            init(&d[i], n_vocab, logits[i]);
            d[i].draw.settings = naive_large_settings(round + 5 * i);
            slmi_draw_begin(&d[i].draw);
        }
        while (!is_done[0] || !is_done[1]) {
            for (uint32_t i = 0; i < 2; i++) {
                is_done[i] = is_done[i] || slmi_draw_advance(&d[i].draw);
            }
        }
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(d[i].draw.token,
                             naive_sample(&d[i].draw.settings, logits[i], d[i].scratch.n_vocab, d[i].history,
                                          N_HISTORY, 0));
            end(&d[i]);
        }
    }
}

/* A draw that was given up after any number of pieces leaves its memory good for the next one. */
static void given_up_anywhere(void **state)
{
    (void)state;
    static float logits[20001];
    naive_fill_large(logits, 20001, 4);
    for (uint32_t round = 0; round < 3; round++) {
        drawing d;
        init(&d, 20001, logits);
        d.draw.settings = naive_large_settings(round == 0 ? 1 : round == 1 ? 16 : 10); /* with penalties */
        assert_true(d.draw.settings.frequency_penalty > 0);
        const int32_t expected = naive_sample(&d.draw.settings, logits, 20001, d.history, N_HISTORY, 0);
        int is_done = 0;
        for (uint32_t k = 0; !is_done; k++) {
            slmi_draw_begin(&d.draw);
            for (uint32_t i = 0; i < k && !is_done; i++) {
                is_done = slmi_draw_advance(&d.draw);
            }
            slmi_draw_abandon(&d.draw);
            slmi_draw_begin(&d.draw);
            while (!slmi_draw_advance(&d.draw)) {
            }
            assert_int_equal(d.draw.token, expected);
        }
        end(&d);
    }
}

static void finds_what_is_not_finite(void **state)
{
    (void)state;
    static float logits[20001];
    static const uint32_t places[] = { 0, 8191, 8192, 16384, 20000 };
    static const float bad[] = { INFINITY, -INFINITY, NAN };
    for (uint32_t i = 0; i < 15; i++) {
        drawing d;
        naive_fill_large(logits, 20001, 4);
        logits[places[i % 5]] = bad[i / 5];
        init(&d, 20001, logits);
        d.draw.settings = naive_large_settings(i);
        d.draw.wants_token = i % 2;
        slmi_draw_begin(&d.draw);
        while (!slmi_draw_advance(&d.draw)) {
        }
        assert_int_equal(d.draw.finite, 0);
        end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_twin),
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(given_up_anywhere),
        cmocka_unit_test(finds_what_is_not_finite),
    };
    kernels = slmk_table_get(SLM_CPU_BEST);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
