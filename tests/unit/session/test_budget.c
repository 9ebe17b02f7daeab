/* SPDX-License-Identifier: MIT */
/* Steps with a budget: the same events however finely the work is cut, and calls between any two pieces. */
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

/* A sampler that looks at the whole vocabulary, or, without temperature, at the largest. */
static void set_sampler(slm_session *s, slm_sequence q, float temperature, uint32_t seed)
{
    slm_sampler *sampler;
    OK(slm_sampler_create(TINY_VOCAB, NULL, &sampler, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, temperature, NULL));
    OK(slm_sampler_set_u32(sampler, SLM_SAMPLER_TOP_K, 0, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_TOP_P, 0.9f, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_REPETITION_PENALTY, 1.2f, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_FREQUENCY_PENALTY, 0.5f, NULL));
    OK(slm_sampler_set_u32(sampler, SLM_SAMPLER_SEED, seed, NULL));
    OK(slm_session_set_sampler(s, q, sampler, NULL));
    slm_sampler_release(sampler);
}

/* A record of everything that a sequence's events tell. */
typedef struct record {
    uint64_t hash;
    uint32_t n_events;
} record;

static void note(record *r, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        r->hash = (r->hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
}

static void note_all(record *r, const slm_event *event)
{
    r->n_events++;
    note(r, &event->type, sizeof(event->type));
    note(r, &event->position, sizeof(event->position));
    note(r, &event->token, sizeof(event->token));
    note(r, event->text, event->text_length);
    note(r, &event->logprob, sizeof(event->logprob));
    note(r, event->top_tokens, event->n_top * sizeof(int32_t));
    note(r, event->top_logprobs, event->n_top * sizeof(float));
    note(r, event->logits, event->n_logits * sizeof(float));
    note(r, &event->reason, sizeof(event->reason));
    note(r, &event->n_generated, sizeof(event->n_generated));
    note(r, &event->n_removed, sizeof(event->n_removed));
}

#define N_SEQUENCES 4

/* Everything at once: logits, top tokens, stops, windows, a context that shifts. */
static void play(slm_session *s, uint64_t budget, record *records)
{
    static const char *const stops[] = { "ab", "q" };
    slm_sequence q[N_SEQUENCES];
    slm_status status = SLM_MORE;
    memset(records, 0, N_SEQUENCES * sizeof(record));
    for (uint32_t i = 0; i < N_SEQUENCES; i++) {
        slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
        OK(slm_session_add_sequence(s, &q[i], NULL));
        OK(slm_session_set_u32(s, q[i], SLM_SEQUENCE_WINDOW, i == 2 ? 64 : 0, NULL));
        OK(slm_session_set_u32(s, q[i], SLM_SEQUENCE_FULL, i == 3 ? SLM_FULL_SHIFT : SLM_FULL_END, NULL));
        append_text_tokens(s, q[i], 0, 30 + 50 * i, 0);
        append_text_tokens(s, q[i], 30 + 50 * i, 33 + 50 * i, i % 2 == 0 ? SLM_APPEND_LOGITS : 0);
        set_sampler(s, q[i], 1.5f, i);
        options.max_tokens = i == 3 ? 30 : 12;
        options.flags = SLM_GENERATE_IGNORE_END;
        options.n_top = i;
        options.stop = stops;
        options.n_stop = i == 1 ? 2 : 0;
        OK(slm_session_generate(s, q[i], &options, NULL));
    }
    uint32_t n_steps = 0;
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(s, budget, NULL);
        assert_true(++n_steps < 200000);
        while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
            for (uint32_t i = 0; i < N_SEQUENCES; i++) {
                if (event.sequence == q[i]) {
                    note_all(&records[i], &event);
                }
            }
        }
    }
    assert_int_equal(status, SLM_OK);
}

static void same_events_however_cut(void **state)
{
    (void)state;
    record expected[N_SEQUENCES], got[N_SEQUENCES];
    slm_session_options options = small_options(N_SEQUENCES, 192);
    options.top_logprobs = 5;
    for (int manner = 0; manner < 7; manner++) {
        static const uint64_t budgets[] = { 0, 1, 1, 1, 20, 100, 1000000 };
        uint64_t time;
        slm_session *s;
        options.n_threads = manner == 3 || manner == 5 ? 3 : 1;
        options.batch_tokens = manner == 4 ? 5 : 0;
        if (manner == 1) {
            s = make_piecewise(model, options, &time);
        } else {
            OK(slm_session_create(model, &options, &s, NULL));
        }
        play(s, budgets[manner], manner == 0 ? expected : got);
        for (uint32_t i = 0; i < N_SEQUENCES && manner > 0; i++) {
            assert_true(got[i].hash == expected[i].hash && got[i].n_events == expected[i].n_events);
        }
        assert_true(expected[0].n_events == 16 && expected[3].n_events > 30);
        slm_session_release(s);
    }
}

enum { SET_SAMPLER, GENERATE, APPEND, TRUNCATE, REWRITE, FORK, REPLACE, N_CALLS };

/* What a plain session writes after the tokens that a sequence held when it was called. */
static void expect_after(const int32_t *tokens, uint32_t n, float temperature, uint32_t seed, result *r)
{
    slm_session *s = make_sized(model, 1, 256);
    const slm_sequence q = add_sequence(s, "");
    OK(slm_session_append(s, q, tokens, n, 0, NULL));
    set_sampler(s, q, temperature, seed);
    generate(s, q, 6, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, r);
    slm_session_release(s);
}

/* Steps on; tokens of `q` go to r. */
static slm_status step_on(slm_session *s, slm_sequence q, uint64_t budget, result *r)
{
    slm_event event = SLM_EVENT_INIT;
    const slm_status status = slm_session_step(s, budget, NULL);
    while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
        if (event.sequence == q) {
            note_event(r, &event);
        }
    }
    return status;
}

/* Calls once, after k pieces of a generation. Returns 0 once it had come to its end before. */
static int call_after(int call, int k)
{
    uint64_t time;
    static result before, after, expected;
    slm_session *s = make_piecewise(model, small_options(3, 256), &time);
    const slm_sequence q = begin_text(s, 40), beside = begin_text(s, 20);
    slm_sequence followed = q;
    int32_t tokens[256];
    slm_status status = SLM_MORE;
    set_sampler(s, q, 50, 1); /* hardly ever the most probable token */
    generate(s, q, 6, SLM_GENERATE_IGNORE_END);
    generate(s, beside, 6, SLM_GENERATE_IGNORE_END);
    memset(&before, 0, sizeof(before));
    memset(&after, 0, sizeof(after));
    for (int i = 0; i < k && status == SLM_MORE; i++) {
        status = step_on(s, q, 1, &before);
    }
    const slm_sequence_info info = info_of(s, q);
    uint32_t n = info.n_tokens;
    memcpy(tokens, info.tokens, n * sizeof(int32_t));
    assert_int_equal(n, 40 + before.n_tokens);
    const uint32_t n_left = 6 - before.n_tokens;
    uint32_t n_wanted = n_left;
    float temperature = 50;
    switch (call) {
    case SET_SAMPLER:
        set_sampler(s, q, 0, 0);
        temperature = 0;
        break;
    case GENERATE:
        generate(s, q, 4, SLM_GENERATE_IGNORE_END);
        n_wanted = 4;
        break;
    case APPEND:
        append_text_tokens(s, q, 7, 9, 0);
        memcpy(tokens + n, (int32_t[]){ text_token(7), text_token(8) }, 2 * sizeof(int32_t));
        n += 2;
        n_wanted = 0;
        break;
    case TRUNCATE:
        OK(slm_session_truncate_sequence(s, q, 39, NULL));
        n = 39;
        n_wanted = 0;
        break;
    case REWRITE: /* other tokens where a draw under way has counted some */
        OK(slm_session_truncate_sequence(s, q, 20, NULL));
        append_text_tokens(s, q, 100, 140, 0);
        n = 60;
        for (uint32_t i = 20; i < n; i++) {
            tokens[i] = text_token(80 + i);
        }
        n_wanted = 0;
        break;
    case FORK:
        OK(slm_session_fork_sequence(s, q, &followed, NULL));
        n_wanted = 0;
        break;
    default:
        OK(slm_session_replace(s, q, 5, 30, NULL, 0, 0, NULL));
        memmove(tokens + 5, tokens + 35, (n - 35) * sizeof(int32_t));
        n -= 30;
        break;
    }
    status = SLM_MORE;
    while (status == SLM_MORE) {
        status = step_on(s, followed, 1, &after);
    }
    assert_int_equal(status, SLM_OK);
    assert_int_equal(after.n_tokens, n_wanted);
    if (n_wanted == 0 && call != SET_SAMPLER && call != REPLACE) { /* it ended without an event */
        assert_int_equal(after.n_done, 0);
        assert_int_equal(info_of(s, followed).n_tokens, n);
        generate(s, followed, 6, SLM_GENERATE_IGNORE_END);
        run(s, followed, 0, &after);
    }
    expect_after(tokens, n, temperature, temperature > 0, &expected);
    assert_memory_equal(after.tokens, expected.tokens, after.n_tokens * sizeof(int32_t));
    slm_session_release(s);
    return n_left > 0;
}

static void calls_between_any_two_pieces(void **state)
{
    (void)state;
    for (int call = 0; call < N_CALLS; call++) {
        int k = 0;
        while (call_after(call, k)) {
            k += k < 20 ? 1 : 7;
        }
        assert_true(k > 60);
    }
}

/* A fork in the middle of anything leaves its source alone. */
static void forks_do_not_disturb(void **state)
{
    (void)state;
    static result expected, r;
    slm_session *plain = make_sized(model, 1, 256);
    const slm_sequence p = begin_text(plain, 70);
    generate(plain, p, 6, SLM_GENERATE_IGNORE_END);
    run(plain, p, 0, &expected);
    slm_session_release(plain);
    uint64_t time;
    slm_session *s = make_piecewise(model, small_options(2, 256), &time);
    const slm_sequence q = begin_text(s, 70);
    slm_status status = SLM_MORE;
    generate(s, q, 6, SLM_GENERATE_IGNORE_END);
    memset(&r, 0, sizeof(r));
    while (status == SLM_MORE) {
        slm_sequence copy;
        status = step_on(s, q, 1, &r);
        OK(slm_session_fork_sequence(s, q, &copy, NULL));
        OK(slm_session_remove_sequence(s, copy, NULL));
    }
    assert_int_equal(r.n_tokens, 6);
    assert_memory_equal(r.tokens, expected.tokens, 6 * sizeof(int32_t));
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_events_however_cut),
        cmocka_unit_test(calls_between_any_two_pieces),
        cmocka_unit_test(forks_do_not_disturb),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
