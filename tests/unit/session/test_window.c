/* SPDX-License-Identifier: MIT */
/* Windows: what a token sees and what it does not, pages that stay few, the same bits in every manner. */
#include "session_fixture.h"

#define WINDOW 100
#define SINKS 64

static slm_model *model, *deep;
static slm_error error;

static int set_up(void **state)
{
    (void)state;
    model = make_small(1); /* logits depend on the tokens that the last one sees, and on nothing else */
    deep = make_small(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    slm_model_release(deep);
    return 0;
}

static slm_sequence add_windowed(slm_session *s, uint32_t window, uint32_t sinks)
{
    const slm_sequence q = add_sequence(s, "");
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, window, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_SINKS, sinks, NULL));
    return q;
}

/* Logits after n tokens of the long text, of which the one at `changed` is another. */
static void logits_with(slm_session *s, slm_sequence q, uint32_t n, uint32_t changed, float *logits)
{
    int32_t tokens[512];
    result r;
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = i == changed ? TINY_SPACE : text_token(i);
    }
    OK(slm_session_truncate_sequence(s, q, 0, NULL));
    OK(slm_session_append(s, q, tokens, n - 1, 0, NULL));
    OK(slm_session_append(s, q, tokens + n - 1, 1, SLM_APPEND_LOGITS, NULL));
    run(s, q, 0, &r);
    assert_int_equal(r.n_logits, 1);
    memcpy(logits, r.logits, sizeof(r.logits));
}

/* 1 if the token at position `last` sees the one at `position`, as slm/sequence.h has it. */
static int sees(uint32_t last, uint32_t position, uint32_t window, uint32_t sinks)
{
    const uint32_t from = last + 1 > window ? (last + 1 - window) / 64 * 64 : 0;
    return position >= from || position < (sinks + 63) / 64 * 64;
}

static void logits_depend_on_what_is_seen(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 512);
    static const uint32_t windows[] = { 1, 64, WINDOW, 128 };
    static const uint32_t sinks[] = { 0, 1, 64, 65 };
    for (size_t w = 0; w < 4; w++) {
        slm_sequence q = add_windowed(s, windows[w], sinks[w]);
        for (uint32_t n = 255; n <= 340; n += 28) {
            float plain[TINY_VOCAB], logits[TINY_VOCAB];
            logits_with(s, q, n, UINT32_MAX, plain);
            /* The first and the last token of each page, and one between. */
            for (uint32_t changed = 0; changed < n; changed += changed % 64 == 63 ? 1 : 21) {
                logits_with(s, q, n, changed, logits);
                const int differs = memcmp(plain, logits, sizeof(plain)) != 0;
                assert_int_equal(differs, sees(n - 1, changed, windows[w], sinks[w]));
            }
        }
        OK(slm_session_remove_sequence(s, q, NULL));
    }
    slm_session_release(s);
}

/* Most pages that the text's end needs: sinks, the window from the beginning of its page, and one that is
 * being written. */
static uint32_t most_pages(uint32_t window, uint32_t sinks)
{
    return (sinks + 63) / 64 + (window + 63 + 63) / 64 + 1;
}

static void pages_stay_few(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = small_options(1, 2048);
    options.pool_tokens = 64 * most_pages(WINDOW, SINKS);
    OK(slm_session_create(deep, &options, &s, NULL));
    const slm_sequence q = add_windowed(s, WINDOW, SINKS);
    for (uint32_t n = 0; n < 1900; n += 50) {
        append_text_tokens(s, q, n, n + 50, 0);
        finish(s);
        assert_true(info_of(s, q).n_pages <= most_pages(WINDOW, SINKS));
        assert_int_equal(info_of(s, q).n_computed, n + 50);
    }
    result r;
    generate(s, q, 100, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    assert_int_equal(r.n_tokens, 100);
    assert_true(info_of(s, q).n_pages <= most_pages(WINDOW, SINKS));
    slm_session_release(s);
}

/* What a manner of computing 500 tokens of the text leads to. */
static void future_in(uint32_t n_threads, uint32_t batch, uint32_t piece, uint64_t budget, uint32_t level,
                      future *f)
{
    slm_session *s;
    slm_session_options options = small_options(1, 600);
    options.n_threads = n_threads;
    options.batch_tokens = batch;
    options.cpu_level = level;
    OK(slm_session_create(deep, &options, &s, NULL));
    const slm_sequence q = add_windowed(s, WINDOW, SINKS);
    for (uint32_t n = 0; n < 500; n += piece) {
        result r;
        append_text_tokens(s, q, n, n + piece < 500 ? n + piece : 500, 0);
        run(s, q, budget, &r);
    }
    look_ahead(s, q, f);
    slm_session_release(s);
}

static void same_bits_in_every_manner(void **state)
{
    (void)state;
    future expected, f;
    future_in(1, 0, 500, 0, SLM_CPU_BEST, &expected);
    static const struct {
        uint32_t n_threads, batch, piece;
        uint64_t budget;
        uint32_t level; /* tiles of plain C are small: attention takes several passes over the pages */
    } manners[] = {
        { 1, 1, 500, 0, 0 }, { 1, 64, 64, 0, 0 }, { 1, 500, 1, 0, 0 }, { 2, 0, 37, 0, 0 },
        { 3, 200, 499, 0, 0 }, { 1, 100, 500, 1, 0 }, { 3, 0, 300, 20, 0 },
        { 1, 500, 500, 0, SLM_CPU_SCALAR }, { 3, 100, 37, 1, SLM_CPU_SCALAR },
    };
    for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
        future_in(manners[i].n_threads, manners[i].batch, manners[i].piece, manners[i].budget,
                  manners[i].level, &f);
        assert_same_future(&expected, &f);
    }
}

static void saved_forked_and_truncated(void **state)
{
    (void)state;
    slm_session *s = make_sized(deep, 3, 600);
    const slm_sequence q = add_windowed(s, WINDOW, SINKS);
    slm_sequence copy, restored;
    future expected, f;
    static uint8_t blob[1 << 20];
    size_t size;
    append_text_tokens(s, q, 0, 500, 0);
    finish(s);
    OK(slm_session_save_sequence(s, q, NULL, blob, sizeof(blob), &size, NULL));
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    look_ahead(s, q, &expected);
    look_ahead(s, copy, &f);
    assert_same_future(&expected, &f);
    OK(slm_session_restore_sequence(s, blob, size, NULL, &restored, NULL));
    assert_int_equal(info_of(s, restored).n_tokens, 500);
    assert_int_equal(info_of(s, restored).n_computed, 500);
    assert_true(info_of(s, restored).n_pages <= most_pages(WINDOW, SINKS));
    look_ahead(s, restored, &f);
    assert_same_future(&expected, &f);
    /* Back to what the window has hidden: everything is computed again. */
    static const uint32_t cuts[] = { 500, 499, 450, 400, 300, 128, 64, 3 };
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        slm_session *fresh_session = make_sized(deep, 1, 600);
        const slm_sequence fresh = add_windowed(fresh_session, WINDOW, SINKS);
        append_text_tokens(fresh_session, fresh, 0, cuts[i], 0);
        look_ahead(fresh_session, fresh, &expected);
        slm_session_release(fresh_session);
        OK(slm_session_remove_sequence(s, restored, NULL));
        OK(slm_session_restore_sequence(s, blob, size, NULL, &restored, NULL));
        OK(slm_session_truncate_sequence(s, restored, cuts[i], NULL));
        look_ahead(s, restored, &f);
        assert_same_future(&expected, &f);
    }
    slm_session_release(s);
}

/* Truncating into what is hidden needs all pages again. */
static void truncates_within_the_pool(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = small_options(1, 1024);
    options.pool_tokens = 64 * most_pages(WINDOW, SINKS);
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = add_windowed(s, WINDOW, SINKS);
    for (uint32_t n = 0; n < 800; n += 50) {
        append_text_tokens(s, q, n, n + 50, 0);
        finish(s);
    }
    FAILS(slm_session_truncate_sequence(s, q, 600, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_int_equal(info_of(s, q).n_tokens, 800);
    assert_int_equal(info_of(s, q).n_computed, 800);
    future f;
    look_ahead(s, q, &f); /* still goes on */
    OK(slm_session_truncate_sequence(s, q, 100, NULL));
    look_ahead(s, q, &f);
    slm_session_release(s);
}

static void as_wide_as_the_context_is_none(void **state)
{
    (void)state;
    slm_session *s = make_sized(deep, 2, 400);
    future expected, f;
    look_ahead(s, begin_text(s, 350), &expected);
    static const uint32_t windows[] = { 400, 401, 1u << 20 };
    for (size_t i = 0; i < 3; i++) {
        const slm_sequence q = add_windowed(s, windows[i], 0);
        append_text_tokens(s, q, 0, 350, 0);
        look_ahead(s, q, &f);
        assert_same_future(&expected, &f);
        OK(slm_session_remove_sequence(s, q, NULL));
    }
    slm_session_release(s);
}

/* Takes the events, which tell of the tokens in turn, and compares their logits. */
static void take_logits(slm_session *s, float (*expected)[TINY_VOCAB], uint32_t *n_seen, int fill)
{
    slm_event event = SLM_EVENT_INIT;
    while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
        assert_int_equal(event.type, SLM_EVENT_LOGITS);
        assert_int_equal(event.position, *n_seen);
        if (fill) {
            memcpy(expected[*n_seen], event.logits, sizeof(expected[0]));
        }
        assert_memory_equal(expected[*n_seen], event.logits, sizeof(expected[0]));
        ++*n_seen;
    }
}

/* Logits of many tokens at once, given up while they wait to be delivered: the tokens are computed once more,
 * which needs what they saw the first time. */
static void recomputes_interrupted_rows(void **state)
{
    (void)state;
    enum { N = 400 };
    static float expected[N][TINY_VOCAB];
    for (int cancels = -1; cancels < 2; cancels++) {
        uint64_t time;
        slm_session_options options = small_options(1, 600);
        options.logit_rows = 256;
        options.batch_tokens = 256;
        slm_session *s = make_piecewise(deep, options, &time);
        const slm_sequence q = add_windowed(s, WINDOW, SINKS);
        slm_status status = SLM_MORE;
        uint32_t n_seen = 0, n_given_up = 0;
        append_text_tokens(s, q, 0, N, SLM_APPEND_LOGITS);
        while (status != SLM_OK) {
            const uint32_t n_before = n_seen;
            status = slm_session_step(s, cancels < 0 ? 0 : 1, NULL);
            take_logits(s, expected, &n_seen, cancels < 0);
            if (cancels >= 0 && n_seen > n_before && n_seen % 40 == 0) {
                n_given_up++;
                if (cancels) {
                    slm_session_cancel(s);
                    assert_int_equal(slm_session_step(s, 1, NULL), SLM_CANCELLED);
                } else {
                    make_greedy(s, q);
                }
            }
        }
        assert_int_equal(n_seen, N);
        assert_true(cancels < 0 || n_given_up > 5);
        assert_true(info_of(s, q).n_pages <= most_pages(WINDOW, SINKS));
        slm_session_release(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_depend_on_what_is_seen),
        cmocka_unit_test(pages_stay_few),
        cmocka_unit_test(same_bits_in_every_manner),
        cmocka_unit_test(saved_forked_and_truncated),
        cmocka_unit_test(truncates_within_the_pool),
        cmocka_unit_test(as_wide_as_the_context_is_none),
        cmocka_unit_test(recomputes_interrupted_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
