/* SPDX-License-Identifier: MIT */
/* Full contexts: generations that end, drop the oldest tokens, or wait for the host. */
#include "session_fixture.h"

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

static void set(slm_session *s, slm_sequence q, uint32_t param, uint32_t value)
{
    OK(slm_session_set_u32(s, q, param, value, NULL));
}

static slm_sequence begin_policy(slm_session *s, uint32_t n, uint32_t full, uint32_t keep, uint32_t drop)
{
    const slm_sequence q = begin_text(s, n);
    set(s, q, SLM_SEQUENCE_FULL, full);
    set(s, q, SLM_SEQUENCE_KEEP, keep);
    set(s, q, SLM_SEQUENCE_DROP, drop);
    return q;
}

/* Follows a generation of n tokens through its shifts with a list of tokens of its own. */
static void follow(slm_session *s, slm_sequence q, uint32_t context, uint32_t n, uint64_t budget,
                   uint32_t *n_shifts)
{
    static int32_t mirror[4096];
    slm_sequence_info info = info_of(s, q);
    uint32_t length = info.n_tokens, n_seen = 0, is_done = 0;
    slm_status status = SLM_MORE;
    *n_shifts = 0;
    memcpy(mirror, info.tokens, length * sizeof(int32_t));
    generate(s, q, n, SLM_GENERATE_IGNORE_END);
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(s, budget, NULL);
        while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
            assert_true(event.sequence == q);
            if (event.type == SLM_EVENT_TOKEN) {
                assert_int_equal(event.position, length);
                mirror[length++] = event.token;
                n_seen++;
            } else if (event.type == SLM_EVENT_SHIFT) {
                assert_int_equal(length, context);
                assert_true(event.n_removed > 0 && event.position + event.n_removed < length);
                memmove(mirror + event.position, mirror + event.position + event.n_removed,
                        (length - event.position - event.n_removed) * sizeof(int32_t));
                length -= event.n_removed;
                ++*n_shifts;
            } else {
                assert_int_equal(event.type, SLM_EVENT_DONE);
                assert_int_equal(event.reason, SLM_DONE_LENGTH);
                assert_int_equal(event.n_generated, n);
                is_done = 1;
            }
        }
        info = info_of(s, q);
        assert_int_equal(info.n_tokens, length);
        assert_memory_equal(info.tokens, mirror, length * sizeof(int32_t));
    }
    assert_int_equal(status, SLM_OK);
    assert_int_equal(n_seen, n);
    assert_int_equal(is_done, 1);
}

static void shifts_add_up(void **state)
{
    (void)state;
    static const struct {
        uint32_t context, keep, drop, window;
    } cases[] = {
        { 2, 0, 0, 0 },    { 2, 0, 1, 0 },    { 2, 0, 9, 0 },     { 3, 1, 0, 0 },     { 64, 4, 0, 0 },
        { 64, 0, 1, 0 },   { 65, 4, 10, 0 },  { 65, 63, 1, 0 },   { 128, 70, 0, 0 },  { 200, 4, 0, 0 },
        { 200, 0, 150, 0 }, { 512, 4, 0, 100 }, { 512, 64, 64, 100 }, { 512, 100, 1, 64 },
        { 512, 300, 100, 64 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const uint32_t context = cases[i].context;
        for (uint64_t budget = 0; budget < 2; budget++) {
            uint64_t time;
            uint32_t n_shifts;
            slm_session *s = make_piecewise(model, small_options(1, context), &time);
            const slm_sequence q = begin_policy(s, 0, SLM_FULL_SHIFT, cases[i].keep, cases[i].drop);
            set(s, q, SLM_SEQUENCE_WINDOW, cases[i].window);
            append_text_tokens(s, q, 0, context / 2, 0);
            follow(s, q, context, context < 100 ? 5 * context : 3 * context, budget, &n_shifts);
            assert_true(n_shifts >= 2);
            /* What stays is what was there from the beginning. */
            for (uint32_t k = 0; k < cases[i].keep && k < context / 2; k++) {
                assert_int_equal(info_of(s, q).tokens[k], text_token(k));
            }
            slm_session_release(s);
        }
    }
}

static void drops_as_told(void **state)
{
    (void)state;
    static const struct {
        uint32_t context, keep, drop, window, position, n_removed;
    } cases[] = {
        { 200, 4, 0, 0, 4, 128 },      /* half of 196, rounded up to 64 */
        { 200, 4, 10, 0, 4, 10 },
        { 200, 150, 0, 0, 150, 49 },   /* the last token stays */
        { 200, 0, 1000, 0, 0, 199 },
        { 512, 4, 0, 64, 64, 256 },    /* sinks stay, whole pages go */
        { 512, 4, 1, 64, 64, 64 },
        { 512, 100, 1000, 64, 100, 256 }, /* what stays, too, would come into sight */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slm_session *s = make_sized(model, 1, cases[i].context);
        const slm_sequence q = begin_policy(s, 0, SLM_FULL_SHIFT, cases[i].keep, cases[i].drop);
        slm_event event = SLM_EVENT_INIT;
        set(s, q, SLM_SEQUENCE_WINDOW, cases[i].window);
        append_text_tokens(s, q, 0, cases[i].context - 1, 0);
        generate(s, q, 2, SLM_GENERATE_IGNORE_END);
        do {
            assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        } while (slm_session_get_event(s, &event, NULL) != SLM_OK);
        assert_int_equal(event.type, SLM_EVENT_TOKEN);
        OK(slm_session_get_event(s, &event, NULL));
        assert_int_equal(event.type, SLM_EVENT_SHIFT);
        assert_int_equal(event.position, cases[i].position);
        assert_int_equal(event.n_removed, cases[i].n_removed);
        finish(s);
        slm_session_release(s);
    }
}

/* If nothing may be dropped, the generation ends as without the policy. */
static void ends_when_all_has_to_stay(void **state)
{
    (void)state;
    static const struct {
        uint32_t context, keep, window;
    } cases[] = { { 2, 1, 0 }, { 64, 63, 0 }, { 64, 1000, 0 }, { 512, 400, 64 }, { 512, 449, 64 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slm_session *s = make_sized(model, 1, cases[i].context);
        const slm_sequence q = begin_policy(s, 0, SLM_FULL_SHIFT, cases[i].keep, 0);
        result r;
        set(s, q, SLM_SEQUENCE_WINDOW, cases[i].window);
        append_text_tokens(s, q, 0, cases[i].context - 1, 0);
        generate(s, q, 0, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        assert_int_equal(r.reason, SLM_DONE_CONTEXT_FULL);
        assert_int_equal(r.status, SLM_OK);
        assert_int_equal(r.n_shifts, 0);
        assert_int_equal(r.n_tokens, 1);
        slm_session_release(s);
    }
}

/* A generation may begin with a full context, and its shift is told like any other. */
static void begins_full(void **state)
{
    (void)state;
    for (uint32_t n_computed = 0; n_computed < 2; n_computed++) {
        slm_session *s = make_sized(model, 1, 128);
        const slm_sequence q = begin_policy(s, 128, SLM_FULL_SHIFT, 4, 50);
        uint32_t n_shifts;
        if (n_computed > 0) {
            finish(s);
        }
        follow(s, q, 128, 10, 0, &n_shifts);
        assert_int_equal(n_shifts, 1);
        assert_int_equal(info_of(s, q).n_tokens, 128 - 50 + 10);
        slm_session_release(s);
    }
    for (uint32_t full = 0; full <= SLM_FULL_WAIT; full += SLM_FULL_WAIT) {
        slm_session *s = make_sized(model, 1, 64);
        const slm_sequence q = begin_policy(s, 64, full, 4, 0);
        assert_int_equal(slm_session_generate(s, q, NULL, NULL), SLM_ERR_CONTEXT_FULL);
        slm_session_release(s);
    }
}

static void contexts_of_few_tokens(void **state)
{
    (void)state;
    static const uint32_t contexts[] = { 1, 2, 63, 64, 65 };
    for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
        const uint32_t context = contexts[i];
        slm_session *s = make_sized(model, 1, context);
        const slm_sequence q = begin_text(s, 1);
        result r;
        if (context == 1) {
            assert_int_equal(slm_session_generate(s, q, NULL, NULL), SLM_ERR_CONTEXT_FULL);
        } else {
            generate(s, q, 0, SLM_GENERATE_IGNORE_END);
            run(s, q, 0, &r);
            assert_int_equal(r.reason, SLM_DONE_CONTEXT_FULL);
            assert_int_equal(r.n_generated, context - 1);
        }
        slm_session_release(s);
    }
}

/* Steps do nothing while a generation waits, and it goes on once there is room. */
static void waits_for_room(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= SLM_REPLACE_SHIFT; flags++) {
        slm_session *s = make_sized(model, 3, 128);
        const slm_sequence q = begin_policy(s, 120, SLM_FULL_WAIT, 4, 0);
        const int32_t summary[] = { TINY_SPACE, TINY_LETTER };
        const uint32_t n_summary = flags == 0 ? 2 : 0;
        result r;
        generate(s, q, 30, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        assert_int_equal(r.last_step, SLM_OK);
        assert_int_equal(r.n_full, 1);
        assert_int_equal(r.n_tokens, 8);
        assert_int_equal(r.n_done, 0);
        for (int i = 0; i < 3; i++) {
            run(s, q, 0, &r);
            assert_int_equal(r.last_step, SLM_OK);
            assert_int_equal(r.n_full, 0);
            assert_int_equal(info_of(s, q).is_generating, 1);
        }
        /* Others go on meanwhile. */
        const slm_sequence other = begin_text(s, 10);
        generate(s, other, 5, SLM_GENERATE_IGNORE_END);
        run(s, other, 0, &r);
        assert_int_equal(r.n_tokens, 5);
        /* An exchange that makes no room does not end the wait. */
        OK(slm_session_replace(s, q, 20, 1, summary, 1, 0, NULL));
        run(s, q, 0, &r);
        assert_int_equal(r.n_tokens, 0);
        OK(slm_session_replace(s, q, 10, 100, summary, n_summary, flags, NULL));
        run(s, q, 0, &r);
        assert_int_equal(r.n_tokens, 22);
        assert_int_equal(r.n_full, 0);
        assert_int_equal(r.reason, SLM_DONE_LENGTH);
        assert_int_equal(r.n_generated, 30);
        slm_session_release(s);
    }
}

/* With room for two tokens at a time it waits again and again, and the text is that of one piece. */
static void waits_again_and_again(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 64);
    const slm_sequence q = begin_policy(s, 64, SLM_FULL_WAIT, 0, 0);
    uint32_t n_full = 0, n_tokens = 0;
    result r;
    OK(slm_session_truncate_sequence(s, q, 63, NULL));
    generate(s, q, 20, SLM_GENERATE_IGNORE_END);
    for (;;) {
        run(s, q, 1, &r);
        assert_int_equal(r.last_step, SLM_OK);
        n_full += r.n_full;
        n_tokens += r.n_tokens;
        if (r.n_done > 0) {
            break;
        }
        OK(slm_session_replace(s, q, 5, 2, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    }
    assert_int_equal(n_tokens, 20);
    assert_int_equal(n_full, 10);
    slm_session_release(s);
}

static void waiting_can_be_ended(void **state)
{
    (void)state;
    for (int how = 0; how < 5; how++) {
        slm_session *s = make_sized(model, 1, 64);
        slm_sequence q = begin_policy(s, 63, SLM_FULL_WAIT, 4, 0);
        result r;
        generate(s, q, 0, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        assert_int_equal(r.n_full, 1);
        if (how == 0) {
            slm_session_cancel_sequence(s, q);
            run(s, q, 0, &r);
            assert_int_equal(r.last_step, SLM_OK);
            assert_int_equal(r.reason, SLM_DONE_CANCELLED);
            assert_int_equal(r.n_generated, 1);
        } else if (how == 1) {
            slm_session_cancel(s);
            run(s, q, 0, &r);
            assert_int_equal(r.last_step, SLM_CANCELLED);
            assert_int_equal(r.reason, SLM_DONE_CANCELLED);
        } else if (how == 2) {
            OK(slm_session_truncate_sequence(s, q, 60, NULL));
        } else if (how == 3) {
            OK(slm_session_append(s, q, NULL, 0, 0, NULL));
        } else {
            OK(slm_session_remove_sequence(s, q, NULL));
            q = begin_text(s, 10);
        }
        run(s, q, 0, &r);
        assert_int_equal(r.last_step, SLM_OK);
        assert_int_equal(r.n_done, 0);
        assert_int_equal(info_of(s, q).is_generating, 0);
        slm_session_release(s);
    }
}

/* Tokens that are inserted while it generates may fill the context, and the policy holds then too. */
static void filled_by_an_insertion(void **state)
{
    (void)state;
    for (uint32_t full = SLM_FULL_END; full <= SLM_FULL_WAIT; full++) {
        slm_session *s = make_sized(model, 2, 128);
        const slm_sequence neighbour = begin_text(s, 20);
        const slm_sequence q = begin_policy(s, 100, full, 4, 0);
        int32_t tokens[128];
        result r;
        for (uint32_t i = 0; i < 128; i++) {
            tokens[i] = text_token(300 + i);
        }
        generate(s, q, 20, SLM_GENERATE_IGNORE_END);
        while (info_of(s, q).n_tokens < 103) {
            assert_int_equal(slm_session_step(s, 0, NULL), SLM_MORE);
        }
        OK(slm_session_replace(s, q, 50, 0, tokens, 25, 0, NULL));
        assert_int_equal(info_of(s, q).n_tokens, 128);
        run(s, q, 0, &r);
        assert_int_equal(r.last_step, SLM_OK);
        if (full == SLM_FULL_END) {
            assert_int_equal(r.reason, SLM_DONE_CONTEXT_FULL);
            assert_int_equal(r.n_generated, 3);
        } else if (full == SLM_FULL_SHIFT) {
            assert_int_equal(r.n_shifts, 1);
            assert_int_equal(r.n_tokens, 17);
            assert_int_equal(r.reason, SLM_DONE_LENGTH);
        } else {
            assert_int_equal(r.n_full, 1);
            OK(slm_session_replace(s, q, 10, 60, NULL, 0, SLM_REPLACE_SHIFT, NULL));
            run(s, q, 0, &r);
            assert_int_equal(r.n_tokens, 17);
            assert_int_equal(r.n_generated, 20);
        }
        for (uint32_t i = 0; i < 20; i++) {
            assert_int_equal(info_of(s, neighbour).tokens[i], text_token(i));
        }
        slm_session_release(s);
    }
}

/* A shift needs pages of its own; without them the generation ends with that status, and so says the step. */
static void shifts_without_pages(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = small_options(2, 128);
    options.pool_tokens = 192;
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = begin_policy(s, 127, SLM_FULL_SHIFT, 4, 10);
    slm_sequence copy;
    result r;
    finish(s);
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    generate(s, q, 0, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_ERR_BUDGET);
    assert_int_equal(r.reason, SLM_DONE_ERROR);
    assert_int_equal(r.status, SLM_ERR_BUDGET);
    assert_int_equal(r.n_tokens, 1);
    finish(s);
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shifts_add_up),
        cmocka_unit_test(drops_as_told),
        cmocka_unit_test(ends_when_all_has_to_stay),
        cmocka_unit_test(begins_full),
        cmocka_unit_test(contexts_of_few_tokens),
        cmocka_unit_test(waits_for_room),
        cmocka_unit_test(waits_again_and_again),
        cmocka_unit_test(waiting_can_be_ended),
        cmocka_unit_test(filled_by_an_insertion),
        cmocka_unit_test(shifts_without_pages),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
