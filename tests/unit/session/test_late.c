/* SPDX-License-Identifier: MIT */
/* What was asked of a sequence and is not done yet, when a new generation begins. */
#include "session_fixture.h"

static slm_model *model;

static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    model = make_model(&description);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

/* Time flies: a step with a budget does one piece of work. */
static uint64_t next_millisecond(void *ctx)
{
    return *(uint64_t *)ctx += 1000000;
}

static slm_session *make_slow_session(uint64_t *time)
{
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    host.clock = next_millisecond;
    host.clock_ctx = time;
    options.n_threads = 1;
    options.host = &host;
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

static void a_generation_may_begin_while_keys_move(void **state)
{
    (void)state;
    for (uint32_t n_left = 1; n_left <= 20; n_left++) {
        uint64_t time = 0;
        slm_session *session = make_slow_session(&time);
        slm_sequence sequence = add_sequence(session, "abcdefghijklmnopqrstuvwxyz");
        result r;
        run(session, sequence, 0, &r);
        assert_int_equal(r.last_step, SLM_OK);
        OK(slm_session_replace(session, sequence, 0, 26 - n_left, NULL, 0, SLM_REPLACE_SHIFT, NULL));
        if (n_left % 2 == 0) {
            assert_int_equal(slm_session_step(session, 1, NULL), SLM_MORE); /* some of them are there */
        }
        generate(session, sequence, 3, SLM_GENERATE_IGNORE_END);
        run(session, sequence, 0, &r);
        assert_int_equal(r.last_step, SLM_OK);
        assert_int_equal(r.n_tokens, 3);
        assert_int_equal(r.reason, SLM_DONE_LENGTH);
        slm_session_release(session);
    }
}

static void a_cancel_is_not_for_a_later_generation(void **state)
{
    (void)state;
    slm_session *session = make_session(model, 1);
    slm_sequence sequence = add_sequence(session, "abc");
    result r;
    slm_session_cancel_sequence(session, sequence); /* it does not generate */
    generate(session, sequence, 3, SLM_GENERATE_IGNORE_END);
    run(session, sequence, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    generate(session, sequence, 3, SLM_GENERATE_IGNORE_END);
    slm_session_cancel_sequence(session, sequence);
    generate(session, sequence, 3, SLM_GENERATE_IGNORE_END); /* takes its place */
    run(session, sequence, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    generate(session, sequence, 3, SLM_GENERATE_IGNORE_END);
    slm_session_cancel_sequence(session, sequence);
    run(session, sequence, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_CANCELLED);
    assert_int_equal(r.n_tokens, 0);
    slm_session_release(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_may_begin_while_keys_move),
        cmocka_unit_test(a_cancel_is_not_for_a_later_generation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
