/* SPDX-License-Identifier: MIT */
/* Asking for guesses: options, statuses, memory, figures; that guesses are right where a text repeats. */
#include "session_fixture.h"
#include "slm/experimental/speculate.h"

static slm_error error;
static slm_model *model;

/* What follows a token depends on it alone, so what is written soon goes round in a circle. */
static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { .is_flat = 1, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .context_length = 2048, .own_head = 1 };
    model = make_model(&description);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

static slm_session *make_guessing(uint32_t n_sequences, uint32_t n_guesses)
{
    slm_session *s;
    slm_session_options options = small_options(n_sequences, 512);
    options.n_guesses = n_guesses;
    OK(slm_session_create(model, &options, &s, NULL));
    return s;
}

static void always(slm_session *s, slm_sequence q, uint32_t most)
{
    slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
    options.flags = SLM_X_SPECULATE_ALWAYS;
    options.most_tokens = most;
    OK(slm_x_session_speculate(s, q, &options, NULL));
}

static slm_x_speculation figures_of(slm_session *s, slm_sequence q)
{
    slm_x_speculation figures = SLM_X_SPECULATION_INIT;
    OK(slm_x_session_get_speculation(s, q, &figures, NULL));
    return figures;
}

static void every_status(void **state)
{
    (void)state;
    const slm_status bad = SLM_ERR_INVALID_ARGUMENT;
    slm_session *plain = make_guessing(1, 0), *s = make_guessing(1, 8);
    const slm_sequence p = add_sequence(plain, "ab"), q = add_sequence(s, "ab");
    slm_x_speculation figures = SLM_X_SPECULATION_INIT;
    FAILS(slm_x_session_speculate(NULL, q, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_x_session_speculate(s, 77, NULL, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_x_session_speculate(plain, p, NULL, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    FAILS(slm_x_session_get_speculation(NULL, q, &figures, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_x_session_get_speculation(s, 77, &figures, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_x_session_get_speculation(s, q, NULL, &error), bad, SLM_NO_OFFSET);
    enum { BYTES = sizeof(slm_x_speculate_options) };
    static const slm_x_speculate_options refused[] = {
        { BYTES, 3, 0, 0, 0, 0 },  { BYTES, 0, 2, 0, 0, 0 },  { BYTES, 0, 0, 9, 0, 0 },
        { BYTES, 0, 0, 0, 17, 0 }, { BYTES, 0, 0, 0, 0, 65 }, { BYTES, 0, 0, 0, 4, 3 }, { 2, 0, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        FAILS(slm_x_session_speculate(s, q, &refused[i], &error), bad, SLM_NO_OFFSET);
    }
    slm_x_speculate_options drafts = SLM_X_SPECULATE_OPTIONS_INIT;
    drafts.method = SLM_X_GUESS_DRAFT;
    FAILS(slm_x_session_speculate(s, q, &drafts, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    figures = figures_of(s, q);
    assert_true(figures.n_tokens == 0 && figures.n_batches == 0 && figures.is_on == 0);
    OK(slm_x_session_speculate(s, q, NULL, NULL));
    slm_session_options options = small_options(1, 64);
    slm_session *none;
    options.n_guesses = 65;
    FAILS(slm_session_create(model, &options, &none, &error), bad, SLM_NO_OFFSET);
    options.n_guesses = 64;
    options.reserved1 = 1;
    FAILS(slm_session_create(model, &options, &none, &error), bad, SLM_NO_OFFSET);
    slm_session_release(plain);
    slm_session_release(s);
}

/* A draft model needs room for guesses and the same tokens. */
static void draft_models_that_do_not_fit(void **state)
{
    (void)state;
    const tiny_model larger = { .n_vocab = TINY_VOCAB + 5 };
    slm_model *other = make_model(&larger);
    slm_session *none;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    slm_session_options options = small_options(1, 64);
    options.draft_model = model;
    FAILS(slm_session_create(model, &options, &none, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    options.n_guesses = 4;
    options.draft_model = other;
    FAILS(slm_session_create(model, &options, &none, &error), SLM_ERR_MISMATCH, SLM_NO_OFFSET);
    FAILS(slm_session_estimate(model, &options, &memory, &error), SLM_ERR_MISMATCH, SLM_NO_OFFSET);
    assert_null(none);
    slm_model_release(other);
}

/* Writes 300 tokens; the steps that it took. */
static uint32_t write_circle(slm_session *s, slm_sequence q, result *r)
{
    uint32_t n_steps = 0;
    slm_event event = SLM_EVENT_INIT;
    memset(r, 0, sizeof(*r));
    make_greedy(s, q);
    generate(s, q, 300, SLM_GENERATE_IGNORE_END | SLM_GENERATE_SHOW_SPECIAL);
    do {
        r->last_step = slm_session_step(s, 0, NULL);
        n_steps++;
        while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
            if (event.sequence == q) {
                note_event(r, &event);
            }
        }
    } while (r->last_step == SLM_MORE);
    assert_int_equal(r->last_step, SLM_OK);
    assert_int_equal(r->n_tokens, 300);
    return n_steps;
}

static void repetition_is_guessed(void **state)
{
    (void)state;
    static result expected, r;
    slm_session *plain = make_guessing(1, 0), *s = make_guessing(1, 16);
    assert_true(write_circle(plain, add_sequence(plain, "abc"), &expected) >= 300);
    const slm_sequence q = add_sequence(s, "abc");
    always(s, q, 0);
    const uint32_t n_steps = write_circle(s, q, &r);
    assert_memory_equal(&r, &expected, sizeof(r));
    slm_x_speculation figures = figures_of(s, q);
    assert_true(figures.n_tokens == 300 && figures.n_accepted + n_steps == 300);
    assert_true(figures.n_accepted > 240 && n_steps < 60 && figures.n_guessed < 300);
    assert_true(figures.n_batches < n_steps && figures.n_guessed >= figures.n_accepted);

    /* Fewer at a time, then none. */
    OK(slm_session_truncate_sequence(s, q, 3, NULL));
    always(s, q, 1);
    const uint32_t n_pairs = write_circle(s, q, &r);
    assert_true(n_pairs >= 150 && n_pairs < 200);
    assert_true(figures_of(s, q).n_accepted - figures.n_accepted + n_pairs == 300);
    assert_memory_equal(&r, &expected, sizeof(r));
    slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
    options.method = SLM_X_GUESS_NONE;
    OK(slm_x_session_speculate(s, q, &options, NULL));
    OK(slm_session_truncate_sequence(s, q, 3, NULL));
    figures = figures_of(s, q);
    assert_int_equal(write_circle(s, q, &r), 300);
    assert_true(figures_of(s, q).n_guessed == figures.n_guessed && !figures_of(s, q).is_on);
    slm_session_release(plain);
    slm_session_release(s);
}

/* The model itself as its draft: all that it guesses comes true, from the first token on. */
static void drafts_are_guessed(void **state)
{
    (void)state;
    static result expected, r;
    slm_session *plain = make_guessing(1, 0), *s;
    slm_session_options options = small_options(1, 512);
    slm_x_speculate_options drafts = SLM_X_SPECULATE_OPTIONS_INIT;
    options.n_guesses = 9;
    options.draft_model = model;
    OK(slm_session_create(model, &options, &s, NULL));
    (void)write_circle(plain, add_sequence(plain, "abc"), &expected);
    const slm_sequence q = add_sequence(s, "abc");
    drafts.method = SLM_X_GUESS_DRAFT;
    drafts.flags = SLM_X_SPECULATE_ALWAYS;
    OK(slm_x_session_speculate(s, q, &drafts, NULL));
    assert_int_equal(write_circle(s, q, &r), 31); /* one with the prompt, 30 of 10 tokens, the last shorter */
    assert_memory_equal(&r, &expected, sizeof(r));
    assert_int_equal(figures_of(s, q).n_accepted, figures_of(s, q).n_guessed);
    slm_session_release(plain);
    slm_session_release(s);
}

/* Guesses go on in the spare page, which becomes the sequence's if they come true; that all pages and the
 * spare come round shows in a pool that is just large enough. */
static void pages_go_round(void **state)
{
    (void)state;
    static result expected, r;
    slm_session *plain = make_guessing(1, 0), *s = make_guessing(2, 60);
    (void)write_circle(plain, add_sequence(plain, "abc"), &expected);
    for (int i = 0; i < 5; i++) {
        const slm_sequence q = add_sequence(s, "abc");
        always(s, q, 0);
        assert_true(write_circle(s, q, &r) < 60);
        assert_memory_equal(&r, &expected, sizeof(r));
        slm_sequence copy;
        future before, after;
        OK(slm_session_fork_sequence(s, q, &copy, NULL));
        look_ahead(s, copy, &before);
        look_ahead(s, q, &after);
        assert_same_future(&before, &after);
        assert_true(figures_of(s, copy).n_accepted > 0); /* a fork guesses as its source */
        OK(slm_session_remove_sequence(s, q, NULL));
        OK(slm_session_remove_sequence(s, copy, NULL));
    }
    slm_session_release(plain);
    slm_session_release(s);
}

static void estimates_to_the_byte(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 64; n += 9) {
        failing_alloc f;
        failing_alloc_init(&f);
        slm_session *s;
        slm_session_memory memory = SLM_SESSION_MEMORY_INIT, without = SLM_SESSION_MEMORY_INIT;
        slm_session_options options = small_options(n, 512);
        options.top_logprobs = 3;
        options.host = &f.host;
        OK(slm_session_estimate(model, &options, &without, NULL));
        options.n_guesses = n;
        options.draft_model = n % 2 == 0 ? model : NULL;
        OK(slm_session_estimate(model, &options, &memory, NULL));
        assert_true(memory.logit_bytes > without.logit_bytes && memory.n_pages == without.n_pages);
        options.max_memory_bytes = memory.total_bytes;
        OK(slm_session_create(model, &options, &s, NULL));
        assert_true(f.live_bytes == memory.total_bytes);
        options.max_memory_bytes--;
        slm_session *none;
        FAILS(slm_session_create(model, &options, &none, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
        failing_alloc_arm(&f, 1, 1);
        const slm_sequence q = add_sequence(s, "abc");
        result r;
        always(s, q, 0);
        (void)write_circle(s, q, &r);
        assert_int_equal(f.n_calls, 0); /* nothing is allocated while stepping */
        slm_session_release(s);
        assert_true(failing_alloc_is_clean(&f));
        failing_alloc_destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status),
        cmocka_unit_test(draft_models_that_do_not_fit),
        cmocka_unit_test(repetition_is_guessed),
        cmocka_unit_test(drafts_are_guessed),
        cmocka_unit_test(pages_go_round),
        cmocka_unit_test(estimates_to_the_byte),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
