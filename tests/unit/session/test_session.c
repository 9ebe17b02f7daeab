/* SPDX-License-Identifier: MIT */
/* Sessions through the public calls: statuses, sequences and their pages, generation, budgets. */
#include "session_fixture.h"

static slm_model *model;
static slm_error error;

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

static void refuses_null(void **state)
{
    (void)state;
    slm_session *s;
    slm_sequence q = 7;
    slm_event event = SLM_EVENT_INIT;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    size_t size;
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    FAILS(slm_session_create(NULL, NULL, &s, &error), bad, SLM_NO_OFFSET);
    assert_null(s);
    FAILS(slm_session_create(model, NULL, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_estimate(NULL, NULL, &memory, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_estimate(model, NULL, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_add_sequence(NULL, &q, &error), bad, SLM_NO_OFFSET);
    assert_true(q == 0);
    FAILS(slm_session_fork_sequence(NULL, 1, &q, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_remove_sequence(NULL, 1, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append(NULL, 1, NULL, 0, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append_text(NULL, 1, "", 0, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_set_sampler(NULL, 1, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_generate(NULL, 1, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_step(NULL, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_event(NULL, &event, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_sequence_info(NULL, 1, &info, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_truncate_sequence(NULL, 1, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_save_sequence(NULL, 1, NULL, NULL, 0, &size, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_restore_sequence(NULL, "", 0, NULL, &q, &error), bad, SLM_NO_OFFSET);
    s = make_session(model, 1);
    q = add_sequence(s, "ab");
    FAILS(slm_session_add_sequence(s, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_fork_sequence(s, q, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append(s, q, NULL, 1, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append(s, q, NULL, 0, 6, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_set_sampler(s, q, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_event(s, NULL, &error), bad, SLM_NO_OFFSET);
    const int32_t token = 5;
    OK(slm_session_append(s, q, &token, 1, SLM_APPEND_LOGITS, NULL));
    OK(slm_session_step(s, UINT64_MAX, NULL)); /* a budget without end */
    event.struct_size = 3;
    FAILS(slm_session_get_event(s, &event, &error), bad, SLM_NO_OFFSET);
    event = (slm_event)SLM_EVENT_INIT;
    OK(slm_session_get_event(s, &event, NULL)); /* it is still there */
    assert_int_equal(event.type, SLM_EVENT_LOGITS);
    FAILS(slm_session_get_sequence_info(s, q, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_save_sequence(s, q, NULL, NULL, 0, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_save_sequence(s, q, NULL, NULL, 1, &size, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_restore_sequence(s, NULL, 1, NULL, &q, &error), bad, SLM_NO_OFFSET);
    assert_true(q == 0);
    FAILS(slm_session_restore_sequence(s, "", 0, NULL, NULL, &error), bad, SLM_NO_OFFSET);
    assert_ptr_equal(slm_session_get_model(s), model);
    assert_null(slm_session_get_model(NULL));
    slm_session_cancel(NULL);
    slm_session_release(s);
    slm_session_release(NULL);
}

static void refuses_options(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    const struct {
        size_t field;
        uint32_t value;
        slm_status status;
    } cases[] = {
        { offsetof(slm_session_options, struct_size), 0, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, n_threads), 257, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, context_length), 513, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, n_sequences), 65536, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, batch_tokens), 4097, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, kv_type), 4, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, top_logprobs), 65, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, cpu_level), 12345, SLM_ERR_UNSUPPORTED },
        { offsetof(slm_session_options, reserved0), 1, SLM_ERR_INVALID_ARGUMENT },
        { offsetof(slm_session_options, max_memory_bytes), 1000, SLM_ERR_BUDGET },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        memcpy((char *)&options + cases[i].field, &cases[i].value, sizeof(uint32_t));
        FAILS(slm_session_create(model, &options, &s, &error), cases[i].status, SLM_NO_OFFSET);
        assert_null(s);
        if (cases[i].status != SLM_ERR_BUDGET) {
            FAILS(slm_session_estimate(model, &options, &memory, &error), cases[i].status,
                  SLM_NO_OFFSET);
        }
    }
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_allocator allocator = SLM_ALLOCATOR_INIT; /* without functions */
    options.host = &host;
    host.allocator = &allocator;
    FAILS(slm_session_create(model, &options, &s, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    assert_null(s);
    host.struct_size = 5;
    FAILS(slm_session_create(model, &options, &s, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_session_estimate(model, &options, &memory, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
}

static void ids_go_stale(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 2);
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_sequence q = add_sequence(s, "a"), other = add_sequence(s, ""), third;
    size_t size;
    const int stale = SLM_ERR_STALE_ID;
    FAILS(slm_session_add_sequence(s, &third, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    FAILS(slm_session_fork_sequence(s, q, &third, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    const slm_sequence old = q;
    for (int i = 0; i < 100; i++) {
        OK(slm_session_remove_sequence(s, q, NULL));
        OK(slm_session_add_sequence(s, &q, NULL));
        assert_true(q != old && q != other && q != 0);
    }
    const slm_sequence wrong[] = { 0, old, UINT64_MAX, 3, (q & UINT32_MAX) | UINT64_C(1) << 63 };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        FAILS(slm_session_remove_sequence(s, wrong[i], &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_fork_sequence(s, wrong[i], &third, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_append(s, wrong[i], NULL, 0, 0, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_append_text(s, wrong[i], "", 0, 0, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_set_sampler(s, wrong[i], NULL, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_generate(s, wrong[i], NULL, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_truncate_sequence(s, wrong[i], 0, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_get_sequence_info(s, wrong[i], &info, &error), stale, SLM_NO_OFFSET);
        FAILS(slm_session_save_sequence(s, wrong[i], NULL, NULL, 0, &size, &error), stale, SLM_NO_OFFSET);
    }
    slm_session_release(s);
}

static void refuses_tokens_and_generations(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 1);
    slm_sequence q = add_sequence(s, "");
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    slm_sampler *sampler;
    int32_t tokens[513] = { 3, 4, TINY_VOCAB };
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    FAILS(slm_session_generate(s, q, NULL, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    FAILS(slm_session_append(s, q, tokens, 3, 0, &error), SLM_ERR_OUT_OF_RANGE, 2);
    tokens[1] = -1;
    FAILS(slm_session_append(s, q, tokens, 3, 0, &error), SLM_ERR_OUT_OF_RANGE, 1);
    FAILS(slm_session_append(s, q, tokens, 513, 0, &error), SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    FAILS(slm_session_append_text(s, q, "ab\xFF", 3, 0, &error), SLM_ERR_INVALID_UTF8, 2);
    OK(slm_session_get_sequence_info(s, q, &info, NULL));
    assert_int_equal(info.n_tokens, 0);
    tokens[1] = tokens[2] = 5;
    OK(slm_session_append(s, q, tokens, 500, 0, NULL));
    FAILS(slm_session_append_text(s, q, "aaaaaaaaaaaaaaaaaaaaaaaaaa", 26, 0, &error),
          SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    FAILS(slm_session_truncate_sequence(s, q, 501, &error), SLM_ERR_OUT_OF_RANGE, SLM_NO_OFFSET);
    OK(slm_sampler_create(TINY_VOCAB + 1, NULL, &sampler, NULL));
    FAILS(slm_session_set_sampler(s, q, sampler, &error), bad, SLM_NO_OFFSET);
    slm_sampler_release(sampler);
    result r;
    run(s, q, 0, &r);
    const char *stop[17] = { "x", "a\xC3", "", NULL };
    options.flags = 4;
    FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    options.flags = 0;
    options.n_top = 6;
    FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    options.n_top = 0;
    options.reserved0 = 1;
    FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    options.reserved0 = 0;
    options.n_stop = 1;
    FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    options.stop = stop;
    options.n_stop = 2;
    FAILS(slm_session_generate(s, q, &options, &error), SLM_ERR_INVALID_UTF8, 1);
    stop[1] = "y";
    for (options.n_stop = 3; options.n_stop <= 17; options.n_stop += 14) {
        FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    }
    stop[2] = NULL;
    options.n_stop = 3;
    FAILS(slm_session_generate(s, q, &options, &error), bad, SLM_NO_OFFSET);
    assert_non_null(strstr(error.message, "stop[2]"));
    OK(slm_session_get_sequence_info(s, q, &info, NULL));
    assert_int_equal(info.n_computed, 500);
    assert_int_equal(info.is_generating, 0);
    OK(slm_session_append(s, q, tokens, 12, 0, NULL));
    FAILS(slm_session_generate(s, q, NULL, &error), SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    slm_session_release(s);
}

static void generates_until_the_context_is_full(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 1);
    slm_sequence q = add_sequence(s, "ab");
    result r;
    generate(s, q, 0, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
    assert_int_equal(r.reason, SLM_DONE_CONTEXT_FULL);
    assert_int_equal(r.n_tokens, 510);
    assert_int_equal(r.n_generated, 510);
    assert_int_equal(r.n_done, 1);
    slm_session_release(s);
}

/* A pool of three pages for four sequences. */
static void uses_up_the_pool(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = 4;
    options.pool_tokens = 129;
    OK(slm_session_create(model, &options, &s, NULL));
    int32_t tokens[193] = { 0 };
    slm_sequence a = add_sequence(s, ""), b, c, d;
    result r;
    FAILS(slm_session_append(s, a, tokens, 193, 0, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    OK(slm_session_append(s, a, tokens, 64, 0, NULL));
    run(s, a, 0, &r);
    OK(slm_session_fork_sequence(s, a, &b, NULL)); /* shares the full page */
    OK(slm_session_append(s, a, tokens, 1, 0, NULL));
    OK(slm_session_append(s, b, tokens, 1, 0, NULL));
    FAILS(slm_session_fork_sequence(s, a, &c, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    OK(slm_session_remove_sequence(s, b, NULL));
    OK(slm_session_fork_sequence(s, a, &c, NULL));
    FAILS(slm_session_fork_sequence(s, a, &d, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    generate(s, c, 0, SLM_GENERATE_IGNORE_END);
    run(s, c, 0, &r);
    assert_int_equal(r.last_step, SLM_ERR_BUDGET);
    assert_int_equal(r.reason, SLM_DONE_ERROR);
    assert_int_equal(r.status, SLM_ERR_BUDGET);
    assert_int_equal(r.n_generated, 63);
    OK(slm_session_remove_sequence(s, a, NULL));
    generate(s, c, 5, SLM_GENERATE_IGNORE_END);
    run(s, c, 0, &r);
    assert_int_equal(r.reason, SLM_DONE_LENGTH);
    slm_session_release(s);
}

static void logits_of(slm_session *s, slm_sequence q, int32_t token, float *logits)
{
    result r;
    OK(slm_session_append(s, q, &token, 1, SLM_APPEND_LOGITS, NULL));
    run(s, q, 0, &r);
    assert_int_equal(r.n_logits, 1);
    memcpy(logits, r.logits, sizeof(r.logits));
}

static void forks_diverge_as_if_unshared(void **state)
{
    (void)state;
    static const char *const prefixes[] = {
        "abcdefghij", "abcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh" /* a page */
    };
    for (int p = 0; p < 2; p++) {
        slm_session *s = make_session(model, 4);
        float first[2][TINY_VOCAB], second[2][TINY_VOCAB];
        slm_sequence a = add_sequence(s, prefixes[p]), b, alone;
        result r;
        run(s, a, 0, &r);
        OK(slm_session_fork_sequence(s, a, &b, NULL));
        logits_of(s, a, TINY_LETTER, first[0]);
        logits_of(s, b, TINY_LETTER + 1, second[0]);
        logits_of(s, a, TINY_LETTER + 2, first[1]);
        logits_of(s, b, TINY_LETTER + 2, second[1]);
        for (int i = 0; i < 2; i++) {
            float expected[TINY_VOCAB];
            alone = add_sequence(s, prefixes[p]);
            logits_of(s, alone, TINY_LETTER + i, expected);
            assert_memory_equal(expected, i == 0 ? first[0] : second[0], sizeof(expected));
            logits_of(s, alone, TINY_LETTER + 2, expected);
            assert_memory_equal(expected, i == 0 ? first[1] : second[1], sizeof(expected));
            OK(slm_session_truncate_sequence(s, alone, (uint32_t)strlen(prefixes[p]) - 3, NULL));
            OK(slm_session_remove_sequence(s, alone, NULL));
        }
        slm_session_release(s);
    }
}

static void truncates_and_goes_on(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 3);
    float expected[TINY_VOCAB], logits[TINY_VOCAB];
    slm_sequence a = add_sequence(s, "abcdef"), copy, b = add_sequence(s, "abc");
    result r;
    run(s, a, 0, &r);
    OK(slm_session_fork_sequence(s, a, &copy, NULL));
    OK(slm_session_truncate_sequence(s, a, 3, NULL));
    logits_of(s, a, TINY_LETTER + 9, logits);
    logits_of(s, b, TINY_LETTER + 9, expected);
    assert_memory_equal(expected, logits, sizeof(logits));
    OK(slm_session_truncate_sequence(s, a, 0, NULL));
    OK(slm_session_truncate_sequence(s, b, 0, NULL));
    logits_of(s, copy, TINY_LETTER, logits);
    slm_sequence fresh = a;
    for (const char *c = "abcdef"; *c != '\0'; c++) {
        const int32_t token = TINY_LETTER + (*c - 'a');
        OK(slm_session_append(s, fresh, &token, 1, 0, NULL));
    }
    logits_of(s, fresh, TINY_LETTER, expected);
    assert_memory_equal(expected, logits, sizeof(logits));
    slm_session_release(s);
}

/* Generation may be asked for while the prompt is half computed, and in any other phase of a step. */
static void generates_whatever_the_phase(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 2);
    slm_sequence expected_q = add_sequence(s, "abcdefgh");
    result expected, r;
    make_greedy(s, expected_q);
    generate(s, expected_q, 6, SLM_GENERATE_IGNORE_END);
    run(s, expected_q, 0, &expected);
    for (int n_steps = 1; n_steps < 200; n_steps++) {
        slm_sequence q = add_sequence(s, "abcdefgh");
        make_greedy(s, q);
        for (int i = 0; i < n_steps; i++) {
            (void)slm_session_step(s, 1, NULL);
        }
        generate(s, q, 6, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        assert_int_equal(r.n_done, 1);
        assert_int_equal(r.n_tokens, 6);
        assert_memory_equal(r.tokens, expected.tokens, 6 * sizeof(int32_t));
        OK(slm_session_remove_sequence(s, q, NULL));
    }
    slm_session_release(s);
}

static uint64_t jumping_clock(void *ctx)
{
    uint64_t *time = ctx;
    return *time += 1000000000; /* a second at every look */
}

static void makes_progress_with_a_jumping_clock(void **state)
{
    (void)state;
    uint64_t time = 0;
    slm_host host = SLM_HOST_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session *s, *plain = make_session(model, 1);
    result expected, r;
    host.clock = jumping_clock;
    host.clock_ctx = &time;
    options.host = &host;
    options.n_threads = 1;
    OK(slm_session_create(model, &options, &s, NULL));
    slm_sequence q = add_sequence(s, "abcdefgh"), p = add_sequence(plain, "abcdefgh");
    generate(s, q, 4, SLM_GENERATE_IGNORE_END);
    generate(plain, p, 4, SLM_GENERATE_IGNORE_END);
    run(s, q, 1, &r);
    run(plain, p, 0, &expected);
    assert_int_equal(r.n_tokens, 4);
    assert_memory_equal(r.tokens, expected.tokens, 4 * sizeof(int32_t));
    slm_session_release(s);
    slm_session_release(plain);
}

static void delivers_more_logits_than_rows(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 2); /* two rows */
    slm_sequence q = add_sequence(s, "abc");
    int32_t tokens[40] = { 5, 6, 7, 8 };
    result r;
    OK(slm_session_append(s, q, tokens, 40, SLM_APPEND_LOGITS, NULL));
    run(s, q, 0, &r);
    assert_int_equal(r.n_logits, 40);
    slm_session_release(s);
}

static void cancels_and_goes_on(void **state)
{
    (void)state;
    slm_session *s = make_session(model, 1);
    slm_sequence q = add_sequence(s, "abcdef");
    result r;
    generate(s, q, 0, SLM_GENERATE_IGNORE_END);
    assert_int_equal(slm_session_step(s, 1, NULL), SLM_MORE);
    slm_session_cancel(s);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_CANCELLED);
    assert_int_equal(r.reason, SLM_DONE_CANCELLED);
    run(s, q, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
    generate(s, q, 3, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.n_tokens, 3);
    slm_session_release(s);
}

static void estimates_to_the_byte(void **state)
{
    (void)state;
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        failing_alloc f;
        failing_alloc_init(&f);
        slm_session *s;
        slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        options.n_threads = n_threads;
        options.n_sequences = n_threads;
        options.top_logprobs = 3;
        options.host = &f.host;
        OK(slm_session_estimate(model, &options, &memory, NULL));
        options.max_memory_bytes = memory.total_bytes;
        OK(slm_session_create(model, &options, &s, NULL));
        assert_true(f.live_bytes == memory.total_bytes);
        failing_alloc_arm(&f, 1, 1);
        slm_sequence q = add_sequence(s, "abc");
        result r;
        generate(s, q, 100, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        assert_int_equal(f.n_calls, 0); /* nothing is allocated while stepping */
        slm_session_release(s);
        assert_true(failing_alloc_is_clean(&f));
        options.max_memory_bytes--;
        failing_alloc_arm(&f, 0, 0);
        FAILS(slm_session_create(model, &options, &s, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
        assert_true(failing_alloc_is_clean(&f));
        failing_alloc_destroy(&f);
    }
}

static void survives_broken_weights(void **state)
{
    (void)state;
    const tiny_model description = { .broken_token = TINY_LETTER + 25, .own_head = 1 };
    slm_model *broken = make_model(&description);
    slm_session *s = make_session(broken, 3);
    slm_sequence a = add_sequence(s, "abc"), b = add_sequence(s, "abz"), c = add_sequence(s, "abc");
    result r, expected;
    make_greedy(s, a);
    generate(s, b, 4, SLM_GENERATE_IGNORE_END);
    run(s, b, 0, &r);
    assert_int_equal(r.last_step, SLM_ERR_NOT_FINITE);
    assert_int_equal(r.reason, SLM_DONE_ERROR);
    assert_int_equal(r.status, SLM_ERR_NOT_FINITE);
    /* Logits that were asked for come without numbers and with the status. */
    slm_sequence asking;
    slm_event event = SLM_EVENT_INIT;
    const int32_t bad = TINY_LETTER + 25;
    OK(slm_session_remove_sequence(s, c, NULL));
    OK(slm_session_add_sequence(s, &asking, NULL));
    OK(slm_session_append(s, asking, &bad, 1, SLM_APPEND_LOGITS, NULL));
    FAILS(slm_session_step(s, 0, &error), SLM_ERR_NOT_FINITE, SLM_NO_OFFSET);
    OK(slm_session_get_event(s, &event, NULL));
    assert_int_equal(event.type, SLM_EVENT_LOGITS);
    assert_true(event.sequence == asking && event.logits == NULL && event.n_logits == 0);
    assert_int_equal(event.status, SLM_ERR_NOT_FINITE);
    /* Asked for by a generation too: the step tells it once, and either is told. */
    OK(slm_session_append(s, asking, &bad, 1, SLM_APPEND_LOGITS, NULL));
    generate(s, asking, 4, SLM_GENERATE_IGNORE_END);
    FAILS(slm_session_step(s, 0, &error), SLM_ERR_NOT_FINITE, SLM_NO_OFFSET);
    OK(slm_session_get_event(s, &event, NULL));
    assert_true(event.type == SLM_EVENT_LOGITS && event.status == SLM_ERR_NOT_FINITE);
    OK(slm_session_get_event(s, &event, NULL));
    assert_true(event.type == SLM_EVENT_DONE && event.status == SLM_ERR_NOT_FINITE);
    assert_true(event.reason == SLM_DONE_ERROR && event.n_generated == 0);
    OK(slm_session_remove_sequence(s, asking, NULL));
    generate(s, a, 4, SLM_GENERATE_IGNORE_END);
    run(s, a, 0, &expected);
    assert_int_equal(expected.last_step, SLM_OK);
    assert_int_equal(expected.n_tokens, 4);
    /* Cut before the broken token, the sequence is as good as any. */
    OK(slm_session_truncate_sequence(s, b, 2, NULL));
    make_greedy(s, b);
    const int32_t token = TINY_LETTER + 2;
    OK(slm_session_append(s, b, &token, 1, 0, NULL));
    generate(s, b, 4, SLM_GENERATE_IGNORE_END);
    run(s, b, 0, &r);
    assert_int_equal(r.n_tokens, 4);
    assert_memory_equal(r.tokens, expected.tokens, 4 * sizeof(int32_t));
    slm_model_release(broken); /* before the session */
    slm_session_release(s);
}

/* A generation computes its last token once more, for which a shared page must be copied. */
static void generates_only_with_room(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = small_options(2, 200);
    slm_sequence copy;
    options.pool_tokens = 64;
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = begin_text(s, 64);
    finish(s);
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    FAILS(slm_session_generate(s, copy, NULL, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_int_equal(info_of(s, copy).is_generating, 0);
    assert_int_equal(info_of(s, copy).n_computed, 64);
    OK(slm_session_remove_sequence(s, q, NULL));
    make_greedy(s, copy);
    OK(slm_session_generate(s, copy, NULL, NULL)); /* now the page is its own */
    slm_session_release(s);
}

/* A sequence that leaves between any two pieces of work leaves the other alone. */
static void leaves_whatever_the_phase(void **state)
{
    (void)state;
    static result expected, r;
    slm_model *small = make_small(1);
    int was_idle = 0;
    for (uint32_t n_pieces = 0; !was_idle; n_pieces++) {
        uint64_t time;
        slm_session *s = make_piecewise(small, small_options(2, 200), &time);
        const slm_sequence leaving = begin_text(s, 70), q = begin_text(s, 5);
        slm_status status = SLM_MORE;
        make_greedy(s, q);
        make_greedy(s, leaving);
        generate(s, q, 6, SLM_GENERATE_IGNORE_END);
        generate(s, leaving, 3, SLM_GENERATE_IGNORE_END);
        memset(&r, 0, sizeof(r));
        for (uint32_t i = 0; i < n_pieces && status == SLM_MORE; i++) {
            slm_event event = SLM_EVENT_INIT;
            status = slm_session_step(s, 1, NULL);
            while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
                if (event.sequence == q) {
                    note_event(&r, &event);
                }
            }
        }
        was_idle = status != SLM_MORE;
        OK(slm_session_remove_sequence(s, leaving, NULL));
        static result rest;
        run(s, q, 0, &rest);
        memcpy(r.tokens + r.n_tokens, rest.tokens, rest.n_tokens * sizeof(int32_t));
        r.n_tokens += rest.n_tokens;
        assert_int_equal(r.n_tokens, 6);
        if (n_pieces == 0) {
            expected = r;
        }
        assert_memory_equal(r.tokens, expected.tokens, 6 * sizeof(int32_t));
        slm_session_release(s);
    }
    slm_model_release(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_null),
        cmocka_unit_test(refuses_options),
        cmocka_unit_test(ids_go_stale),
        cmocka_unit_test(refuses_tokens_and_generations),
        cmocka_unit_test(generates_until_the_context_is_full),
        cmocka_unit_test(uses_up_the_pool),
        cmocka_unit_test(forks_diverge_as_if_unshared),
        cmocka_unit_test(truncates_and_goes_on),
        cmocka_unit_test(generates_whatever_the_phase),
        cmocka_unit_test(makes_progress_with_a_jumping_clock),
        cmocka_unit_test(delivers_more_logits_than_rows),
        cmocka_unit_test(cancels_and_goes_on),
        cmocka_unit_test(estimates_to_the_byte),
        cmocka_unit_test(survives_broken_weights),
        cmocka_unit_test(generates_only_with_room),
        cmocka_unit_test(leaves_whatever_the_phase),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
