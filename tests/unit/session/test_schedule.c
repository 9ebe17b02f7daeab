/* SPDX-License-Identifier: MIT */
/* The scheduler: batches of many sequences, priorities, turns, and nobody who waits for ever. */
#include "session_fixture.h"

#define MOST 16

static slm_model *model;

static int set_up(void **state)
{
    (void)state;
    model = make_small(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

static slm_session *make_batching(uint32_t n, uint32_t batch_tokens)
{
    slm_session *s;
    slm_session_options options = small_options(n, 1024);
    options.batch_tokens = batch_tokens;
    OK(slm_session_create(model, &options, &s, NULL));
    return s;
}

static slm_sequence begin_priority(slm_session *s, uint32_t n, uint32_t priority)
{
    const slm_sequence q = begin_text(s, n);
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_PRIORITY, priority, NULL));
    return q;
}

/* Counts the tokens that a step writes for each sequence. */
static void count_tokens(slm_session *s, const slm_sequence *q, uint32_t n, uint32_t *counts)
{
    slm_event event = SLM_EVENT_INIT;
    while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
        for (uint32_t i = 0; i < n && event.type == SLM_EVENT_TOKEN; i++) {
            counts[i] += event.sequence == q[i];
        }
    }
}

static void batches_all_together(void **state)
{
    (void)state;
    slm_session *s = make_batching(MOST, 0);
    slm_sequence q[MOST];
    for (uint32_t i = 0; i < MOST; i++) {
        q[i] = begin_text(s, 10 + i); /* 280 tokens in two batches */
        generate(s, q[i], 8, SLM_GENERATE_IGNORE_END);
    }
    uint32_t first[MOST] = { 0 };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        count_tokens(s, q, MOST, first);
    }
    for (uint32_t i = 0; i < MOST; i++) {
        assert_true(first[i] >= 1);
    }
    for (int step = 0; step < 3; step++) {
        uint32_t counts[MOST] = { 0 };
        assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        count_tokens(s, q, MOST, counts);
        for (uint32_t i = 0; i < MOST; i++) {
            assert_int_equal(counts[i], 1);
        }
    }
    finish(s);
    slm_session_release(s);
}

/* What matters more is computed first, though it came last. */
static void priorities_go_first(void **state)
{
    (void)state;
    slm_session *s = make_batching(3, 64);
    const slm_sequence low = begin_priority(s, 200, 0), high = begin_priority(s, 200, 255);
    const slm_sequence middle = begin_priority(s, 200, 7);
    (void)slm_session_step(s, 0, NULL);
    assert_int_equal(info_of(s, high).n_computed, 64);
    assert_int_equal(info_of(s, middle).n_computed + info_of(s, low).n_computed, 0);
    for (int i = 0; i < 3; i++) {
        (void)slm_session_step(s, 0, NULL);
    }
    assert_int_equal(info_of(s, high).n_computed, 200);
    assert_int_equal(info_of(s, middle).n_computed, 56);
    for (int i = 0; i < 3; i++) {
        (void)slm_session_step(s, 0, NULL);
    }
    assert_int_equal(info_of(s, middle).n_computed, 200);
    finish(s);
    slm_session_release(s);
}

/* One that writes has its token in every batch, however long and important the others' texts are. */
static void writing_is_steady(void **state)
{
    (void)state;
    slm_session *s = make_batching(4, 32);
    const slm_sequence writer = begin_priority(s, 5, 0);
    generate(s, writer, 100, SLM_GENERATE_IGNORE_END);
    (void)slm_session_step(s, 0, NULL);
    const slm_sequence texts[3] = { begin_priority(s, 800, 200), begin_priority(s, 800, 3),
                                    begin_priority(s, 300, 0) };
    for (int step = 0; step < 60; step++) {
        uint32_t count = 0;
        assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        count_tokens(s, &writer, 1, &count);
        assert_int_equal(count, 1);
    }
    uint32_t n_computed = 0;
    for (int i = 0; i < 3; i++) {
        n_computed += info_of(s, texts[i]).n_computed;
    }
    assert_int_equal(n_computed, 60 * 31);
    slm_session_release(s);
}

/* A long text of no importance beside important ones that never end, and beside writing that fills every
 * batch: it advances all the same. */
static void nobody_waits_for_ever(void **state)
{
    (void)state;
    static const uint32_t batches[] = { 1, 2, 8 };
    for (size_t b = 0; b < 3; b++) {
        slm_session *s = make_batching(5, batches[b]);
        const slm_sequence text = begin_priority(s, 40, 0);
        for (int i = 0; i < 4; i++) {
            generate(s, begin_priority(s, 2, i % 2 == 0 ? 0 : 2), 0, SLM_GENERATE_IGNORE_END);
        }
        uint32_t n_steps = 0;
        while (info_of(s, text).n_computed < 40) {
            assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
            assert_true(++n_steps < 40 * 17 * 4);
        }
        slm_session_release(s);
    }
    slm_session *s = make_batching(2, 16);
    const slm_sequence low = begin_priority(s, 40, 0), high = begin_priority(s, 900, 1);
    while (info_of(s, low).n_computed < 40) {
        (void)slm_session_step(s, 0, NULL);
    }
    assert_true(info_of(s, high).n_computed < 900);
    slm_session_release(s);
}

/* With fewer places than sequences that write, each has its turn: in the long run all write as much. */
static void takes_turns(void **state)
{
    (void)state;
    static const uint32_t batches[] = { 1, 3, 5, 7 };
    for (size_t b = 0; b < 4; b++) {
        enum { N = 8, STEPS = 160 };
        slm_session *s = make_batching(N, batches[b]);
        slm_sequence q[N];
        uint32_t counts[N] = { 0 };
        for (uint32_t i = 0; i < N; i++) {
            q[i] = begin_text(s, 1);
            generate(s, q[i], 0, SLM_GENERATE_IGNORE_END);
        }
        for (uint32_t step = 0; step < STEPS; step++) {
            uint32_t n = 0, before[N];
            memcpy(before, counts, sizeof(counts));
            assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
            count_tokens(s, q, N, counts);
            for (uint32_t i = 0; i < N; i++) {
                n += counts[i] - before[i];
            }
            assert_int_equal(n, batches[b]);
        }
        for (uint32_t i = 0; i < N; i++) {
            const uint32_t share = STEPS * batches[b] / N;
            assert_true(counts[i] + 1 >= share && counts[i] <= share + 1);
        }
        slm_session_release(s);
    }
}

/* Among those that write, too, what matters more goes first, and the rest is not forgotten. */
static void important_ones_write_more(void **state)
{
    (void)state;
    enum { N = 6 };
    slm_session *s = make_batching(N, 2);
    slm_sequence q[N];
    uint32_t counts[N] = { 0 };
    for (uint32_t i = 0; i < N; i++) {
        q[i] = begin_priority(s, 1, i < 2 ? 1 : 0);
        generate(s, q[i], 0, SLM_GENERATE_IGNORE_END);
    }
    for (int step = 0; step < 200; step++) {
        assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        count_tokens(s, q, N, counts);
    }
    for (uint32_t i = 2; i < N; i++) {
        assert_true(counts[0] > counts[i] && counts[1] > counts[i] && counts[i] >= 5);
    }
    slm_session_release(s);
}

/* The order in which work is done does not change what comes out. */
static void order_does_not_change_results(void **state)
{
    (void)state;
    static int32_t expected[6][10];
    for (int manner = 0; manner < 4; manner++) {
        slm_session *s = make_batching(6, manner == 0 ? 0 : manner == 1 ? 1 : 7);
        slm_sequence q[6];
        int32_t tokens[6][10];
        uint32_t n[6] = { 0 };
        for (uint32_t i = 0; i < 6; i++) {
            q[i] = begin_priority(s, 3 + 20 * i, manner == 2 ? i : manner == 3 ? 5 - i : 0);
            generate(s, q[i], 10, SLM_GENERATE_IGNORE_END);
        }
        slm_status status = SLM_MORE;
        while (status == SLM_MORE) {
            slm_event event = SLM_EVENT_INIT;
            status = slm_session_step(s, 0, NULL);
            while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
                for (uint32_t i = 0; i < 6 && event.type == SLM_EVENT_TOKEN; i++) {
                    if (event.sequence == q[i]) {
                        tokens[i][n[i]++] = event.token;
                    }
                }
            }
        }
        assert_int_equal(status, SLM_OK);
        if (manner == 0) {
            memcpy(expected, tokens, sizeof(tokens));
        }
        assert_memory_equal(expected, tokens, sizeof(tokens));
        slm_session_release(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_all_together),
        cmocka_unit_test(priorities_go_first),
        cmocka_unit_test(writing_is_steady),
        cmocka_unit_test(nobody_waits_for_ever),
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(important_ones_write_more),
        cmocka_unit_test(order_does_not_change_results),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
