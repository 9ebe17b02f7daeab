/* SPDX-License-Identifier: MIT */
/* Cancelling one sequence or all, between any two pieces of work and from other threads. */
#include "session_fixture.h"

#include <stdatomic.h>

#include "base/os/os.h"

static slm_model *model;

static int set_up(void **state)
{
    (void)state;
    model = make_small(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

#define N_WRITTEN 4
#define N_SEQUENCES 3

/* Three sequences of different kinds that write, in pieces as small as can be. */
typedef struct scene {
    uint64_t time;
    slm_session *s;
    slm_sequence q[N_SEQUENCES];
    result r[N_SEQUENCES];
} scene;

static void begin_scene(scene *c)
{
    memset(c, 0, sizeof(*c));
    slm_session_options options = small_options(N_SEQUENCES, 128);
    options.top_logprobs = 2;
    c->s = make_piecewise(model, options, &c->time);
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        slm_generate_options asked = SLM_GENERATE_OPTIONS_INIT;
        asked.max_tokens = N_WRITTEN;
        asked.flags = SLM_GENERATE_IGNORE_END;
        asked.n_top = i;
        c->q[i] = begin_text(c->s, 3 + 30 * i);
        append_text_tokens(c->s, c->q[i], 3 + 30 * i, 5 + 30 * i, i == 1 ? SLM_APPEND_LOGITS : 0);
        OK(slm_session_generate(c->s, c->q[i], &asked, NULL));
    }
}

static slm_status step_scene(scene *c, uint64_t budget)
{
    slm_event event = SLM_EVENT_INIT;
    const slm_status status = slm_session_step(c->s, budget, NULL);
    while (slm_session_get_event(c->s, &event, NULL) == SLM_OK) {
        for (uint32_t i = 0; i < N_SEQUENCES; i++) {
            if (event.sequence == c->q[i]) {
                note_event(&c->r[i], &event);
            }
        }
    }
    return status;
}

static void expect_text(int32_t expected[N_SEQUENCES][N_WRITTEN])
{
    scene c;
    begin_scene(&c);
    while (step_scene(&c, 0) == SLM_MORE) {
    }
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        assert_int_equal(c.r[i].n_tokens, N_WRITTEN);
        memcpy(expected[i], c.r[i].tokens, sizeof(expected[i]));
    }
    assert_int_equal(c.r[1].n_logits, 2);
    slm_session_release(c.s);
}

/* The generation is asked for once more, and what it wrote in both parts is what it writes in one. */
static void restart(scene *c, uint32_t i, int32_t expected[N_SEQUENCES][N_WRITTEN])
{
    result *r = &c->r[i];
    assert_int_equal(r->n_done, 1);
    if (r->reason == SLM_DONE_LENGTH) {
        assert_int_equal(r->n_tokens, N_WRITTEN);
    } else {
        assert_int_equal(r->reason, SLM_DONE_CANCELLED);
        assert_int_equal(r->n_generated, r->n_tokens);
        assert_int_equal(info_of(c->s, c->q[i]).n_tokens, 5 + 30 * i + r->n_tokens);
        if (r->n_tokens < N_WRITTEN) {
            generate(c->s, c->q[i], N_WRITTEN - r->n_tokens, SLM_GENERATE_IGNORE_END);
        }
    }
    while (step_scene(c, 1) == SLM_MORE) {
    }
    assert_int_equal(r->n_tokens, N_WRITTEN);
    assert_memory_equal(r->tokens, expected[i], N_WRITTEN * sizeof(int32_t));
    assert_int_equal(info_of(c->s, c->q[i]).is_generating, 0);
}

/* At the k-th step, for every k until it finishes: all, or the sequence with this index. */
static void cancel_everywhere(int which)
{
    int32_t expected[N_SEQUENCES][N_WRITTEN];
    expect_text(expected);
    for (int k = 0, finished = 0; !finished; k++) {
        scene c;
        slm_status status = SLM_MORE;
        begin_scene(&c);
        for (int step = 0; status == SLM_MORE && step < k; step++) {
            status = step_scene(&c, 1);
        }
        finished = status == SLM_OK;
        if (which == N_SEQUENCES) {
            slm_session_cancel(c.s);
            assert_int_equal(step_scene(&c, 1), SLM_CANCELLED);
        } else {
            slm_session_cancel_sequence(c.s, c.q[which]);
            status = step_scene(&c, 1);
            assert_int_equal(status, finished ? SLM_OK : status);
            assert_int_equal(info_of(c.s, c.q[which]).is_generating, 0);
            while (status == SLM_MORE) {
                status = step_scene(&c, 1);
            }
            assert_int_equal(status, SLM_OK);
        }
        for (uint32_t i = 0; i < N_SEQUENCES; i++) {
            if (which == N_SEQUENCES || (int)i == which) {
                restart(&c, i, expected);
            } else { /* the others did not notice */
                assert_int_equal(c.r[i].reason, SLM_DONE_LENGTH);
                assert_memory_equal(c.r[i].tokens, expected[i], N_WRITTEN * sizeof(int32_t));
            }
        }
        assert_int_equal(c.r[1].n_logits, 2);
        slm_session_release(c.s);
        k += k > 40 ? 5 : 0;
    }
}

static void cancels_all_at_every_step(void **state)
{
    (void)state;
    cancel_everywhere(N_SEQUENCES);
}

static void cancels_one_at_every_step(void **state)
{
    (void)state;
    for (int which = 0; which < N_SEQUENCES; which++) {
        cancel_everywhere(which);
    }
}

static void ids_that_name_nobody_do_nothing(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 128);
    const slm_sequence old = begin_text(s, 3);
    OK(slm_session_remove_sequence(s, old, NULL));
    const slm_sequence q = begin_text(s, 3), idle = begin_text(s, 3);
    result r;
    assert_true(q != old && (q & UINT32_MAX) == (old & UINT32_MAX)); /* in the same place */
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    const slm_sequence nobody[] = { old, 0, UINT32_MAX, 3, idle };
    for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
        slm_session_cancel_sequence(s, nobody[i]);
    }
    slm_session_cancel_sequence(NULL, q);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    assert_int_equal(r.n_tokens, 5);
    /* A stale id does not take the place of a good one. */
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    slm_session_cancel_sequence(s, q);
    slm_session_cancel_sequence(s, old);
    run(s, q, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_CANCELLED);
    assert_int_equal(r.n_tokens, 0);
    slm_session_release(s);
}

/* What was asked for before a step has no effect after it. */
static void wishes_to_cancel_do_not_outlive_the_step(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 128);
    const slm_sequence q = begin_text(s, 3);
    result r;
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    slm_session_cancel_sequence(s, q);
    slm_session_cancel(s);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_CANCELLED);
    assert_int_equal(r.n_done, 1);
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    slm_session_cancel_sequence(s, q); /* it does not generate */
    run(s, q, 0, &r);
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    slm_session_release(s);
}

/* A clock that cancels at the k-th look at it. */
typedef struct alarm_clock {
    slm_session *s;
    uint64_t n_looks, cancel_at;
} alarm_clock;

static uint64_t look(void *ctx)
{
    alarm_clock *c = ctx;
    if (++c->n_looks == c->cancel_at) {
        slm_session_cancel(c->s);
    }
    return c->n_looks;
}

/* Within a step, between any two looks at the clock; what it wrote until then is what it writes otherwise. */
static void cancels_between_looks_at_the_clock(void **state)
{
    (void)state;
    static result expected, r;
    slm_status last = SLM_CANCELLED;
    uint32_t n_cancelled = 0;
    for (uint64_t k = 0; k == 0 || last == SLM_CANCELLED; k++) {
        alarm_clock clock = { NULL, 0, k };
        slm_host host = SLM_HOST_INIT;
        slm_session_options options = small_options(3, 128);
        host.clock = look;
        host.clock_ctx = &clock;
        options.host = &host;
        OK(slm_session_create(model, &options, &clock.s, NULL));
        const slm_sequence q = begin_text(clock.s, 5);
        const slm_sequence others[2] = { begin_text(clock.s, 9), begin_text(clock.s, 2) };
        make_greedy(clock.s, q);
        generate(clock.s, q, 8, SLM_GENERATE_IGNORE_END);
        generate(clock.s, others[0], 8, SLM_GENERATE_IGNORE_END);
        generate(clock.s, others[1], 8, SLM_GENERATE_IGNORE_END);
        clock.n_looks = 0;
        run(clock.s, q, 1000000000, &r);
        last = r.last_step;
        if (k == 0) {
            assert_int_equal(last, SLM_OK);
            assert_int_equal(r.n_tokens, 8);
            expected = r;
            last = SLM_CANCELLED;
        }
        assert_true(r.n_tokens <= 8);
        assert_memory_equal(r.tokens, expected.tokens, r.n_tokens * sizeof(int32_t));
        assert_int_equal(r.n_done, 1);
        assert_int_equal(info_of(clock.s, q).is_generating, 0);
        n_cancelled += last == SLM_CANCELLED;
        slm_session_release(clock.s);
    }
    assert_int_equal(last, SLM_OK);
    assert_true(n_cancelled > 8);
}

typedef struct canceller {
    slm_session *s;
    slm_sequence q;
    _Atomic int is_done;
} canceller;

static void *cancel_again_and_again(void *ctx)
{
    canceller *c = ctx;
    while (!atomic_load(&c->is_done)) {
        const uint64_t then = slmi_clock_ns() + 200000;
        slm_session_cancel_sequence(c->s, c->q);
        while (slmi_clock_ns() < then) {
            slmi_thread_yield();
        }
    }
    return NULL;
}

/* Another thread keeps cancelling one sequence, which begins again and again; the other one writes what it
 * writes alone. */
static void cancels_one_from_another_thread(void **state)
{
    (void)state;
    enum { N = 300 };
    slm_session *s;
    slm_session_options options = small_options(2, 512);
    static result expected, r;
    options.n_threads = 2;
    OK(slm_session_create(model, &options, &s, NULL));
    slm_sequence q = begin_text(s, 40);
    generate(s, q, N, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &expected);
    OK(slm_session_remove_sequence(s, q, NULL));
    canceller c = { .s = s, .q = begin_text(s, 20) };
    slmi_thread thread;
    slm_status status = SLM_MORE;
    uint32_t n_cancelled = 0;
    q = begin_text(s, 40);
    generate(s, q, N, SLM_GENERATE_IGNORE_END);
    OK(slmi_thread_start(&thread, cancel_again_and_again, &c, NULL));
    memset(&r, 0, sizeof(r));
    while (status == SLM_MORE || n_cancelled == 0) {
        slm_event event = SLM_EVENT_INIT;
        if (info_of(s, c.q).is_generating == 0) {
            OK(slm_session_truncate_sequence(s, c.q, 20, NULL));
            generate(s, c.q, 0, SLM_GENERATE_IGNORE_END);
        }
        status = slm_session_step(s, r.n_tokens % 2 == 0 ? 0 : 20, NULL);
        while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
            n_cancelled += event.sequence == c.q && event.type == SLM_EVENT_DONE &&
                           event.reason == SLM_DONE_CANCELLED;
            if (event.sequence == q) {
                note_event(&r, &event);
            }
        }
        if (r.n_done > 0 && n_cancelled > 0) {
            break;
        }
    }
    atomic_store(&c.is_done, 1);
    slmi_thread_join(&thread);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    assert_memory_equal(r.tokens, expected.tokens, N * sizeof(int32_t));
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancels_all_at_every_step),
        cmocka_unit_test(cancels_one_at_every_step),
        cmocka_unit_test(ids_that_name_nobody_do_nothing),
        cmocka_unit_test(wishes_to_cancel_do_not_outlive_the_step),
        cmocka_unit_test(cancels_between_looks_at_the_clock),
        cmocka_unit_test(cancels_one_from_another_thread),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
