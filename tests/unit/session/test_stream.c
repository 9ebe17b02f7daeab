/* SPDX-License-Identifier: MIT */
/* What of the tokens' text is shown when: whole characters, and nothing of a stop text. */
#include "session_fixture.h"

#include "session/session.h"

typedef struct fixture {
    slmi_stream stream;
    char held[512], stops[SLMI_STREAM_STOP_SIZE], out[512];
    size_t length;
} fixture;

static void begin(fixture *f, const char *const *stops, uint32_t n)
{
    memset(f, 0, sizeof(*f));
    f->stream.held = f->held;
    f->stream.stop = f->stops;
    f->stream.capacity = sizeof(f->held);
    f->stream.n_stop = n;
    for (uint32_t i = 0; i < n; i++) {
        f->stream.stop_length[i] = (uint8_t)strlen(stops[i]);
        memcpy(f->stops + i * SLMI_STOP_BYTES, stops[i], strlen(stops[i]));
    }
}

static int pushes(fixture *f, const char *bytes, const char *shown)
{
    const int stopped = slmi_stream_push(&f->stream, bytes, strlen(bytes), f->out, &f->length);
    assert_int_equal(f->length, strlen(shown));
    assert_memory_equal(f->out, shown, f->length);
    return stopped;
}

static void flushes(fixture *f, int finally, const char *shown)
{
    slmi_stream_flush(&f->stream, finally, f->out, &f->length);
    assert_int_equal(f->length, strlen(shown));
    assert_memory_equal(f->out, shown, f->length);
}

static void never_splits_a_character(void **state)
{
    (void)state;
    static fixture f;
    begin(&f, NULL, 0);
    assert_false(pushes(&f, "a\xC3", "a"));
    assert_false(pushes(&f, "\xA9", "\xC3\xA9"));
    pushes(&f, "\xF0", "");
    pushes(&f, "\x9F", "");
    pushes(&f, "\x99", "");
    pushes(&f, "\x82x", "\xF0\x9F\x99\x82x");
    pushes(&f, "\xE2\x82", "");
    pushes(&f, "b", "\xEF\xBF\xBD" "b");
    pushes(&f, "\xFF\x80", "\xEF\xBF\xBD\xEF\xBF\xBD");
    pushes(&f, "\xE2", "");
    flushes(&f, 0, "");
    pushes(&f, "\x82\xAC", "\xE2\x82\xAC");
    pushes(&f, "\xE2\x82", "");
    flushes(&f, 1, "\xEF\xBF\xBD");
}

static void holds_back_stop_texts(void **state)
{
    (void)state;
    static fixture f;
    static const char *const stops[] = { "END", "aab", "\xC3\xA9" };
    begin(&f, stops, 3);
    pushes(&f, "xE", "x");
    pushes(&f, "NE", "EN");
    pushes(&f, "N", "");
    assert_true(pushes(&f, "D rest", ""));
    begin(&f, stops, 3);
    assert_true(pushes(&f, "END", ""));
    begin(&f, stops, 3);
    pushes(&f, "aa", "");
    pushes(&f, "a", "a");
    assert_true(pushes(&f, "b", ""));
    begin(&f, stops, 3);
    pushes(&f, "q\xC3", "q");
    assert_true(pushes(&f, "\xA9 more", ""));
    begin(&f, stops, 3);
    pushes(&f, "EN", "");
    flushes(&f, 0, "EN");
    begin(&f, stops, 3);
    assert_true(pushes(&f, "12aab34END", "12"));
}

static void strips_one_space(void **state)
{
    (void)state;
    static fixture f;
    begin(&f, NULL, 0);
    f.stream.strips_space = 1;
    pushes(&f, "", "");
    pushes(&f, "  a", " a");
    pushes(&f, " b", " b");
}

/* The beginning of a character belongs to the tokens that it came from. */
static void keeps_the_beginning_with_its_tokens(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    slm_model *model = make_model(&description);
    slm_session *s = make_session(model, 2);
    slm_sequence q = add_sequence(s, "abc"), copy;
    slmi_stream *stream = &s->sequences[0].stream;
    stream->tail[0] = '\xC3';
    stream->n_tail = 1;
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    assert_int_equal(s->sequences[1].stream.n_tail, 1);
    assert_int_equal(s->sequences[1].stream.tail[0], '\xC3');
    OK(slm_session_truncate_sequence(s, q, 3, NULL));
    assert_int_equal(stream->n_tail, 1);
    OK(slm_session_truncate_sequence(s, q, 2, NULL));
    assert_int_equal(stream->n_tail, 0);
    slm_session_release(s);
    slm_model_release(model);
}

/* The same through a session: stop texts made of the tokens that the model is going to write. */
static void stops_a_generation(void **state)
{
    (void)state;
    const tiny_model description = { .seed = 3 };
    slm_model *model = make_model(&description);
    slm_session *s = make_session(model, 1);
    static result free_run, r;
    slm_sequence q = add_sequence(s, "abc");
    make_greedy(s, q);
    generate(s, q, 100, SLM_GENERATE_IGNORE_END | SLM_GENERATE_SHOW_SPECIAL);
    run(s, q, 0, &free_run);
    assert_int_equal(free_run.reason, SLM_DONE_LENGTH);
    for (size_t at = 0; at + 3 < free_run.length; at++) {
        char stop[4] = { 0 };
        const char *stops[1] = { stop };
        memcpy(stop, free_run.text + at, 3);
        slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
        options.max_tokens = 100;
        options.flags = SLM_GENERATE_IGNORE_END | SLM_GENERATE_SHOW_SPECIAL;
        options.stop = stops;
        options.n_stop = 1;
        OK(slm_session_truncate_sequence(s, q, 3, NULL));
        if (slm_session_generate(s, q, &options, NULL) != SLM_OK) {
            continue; /* cut through a character, or a zero */
        }
        run(s, q, 0, &r);
        assert_int_equal(r.reason, SLM_DONE_STOP);
        const char *found = strstr(free_run.text, stop);
        assert_int_equal(r.length, found - free_run.text);
        assert_memory_equal(r.text, free_run.text, r.length);
    }
    slm_session_release(s);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_splits_a_character),
        cmocka_unit_test(holds_back_stop_texts),
        cmocka_unit_test(strips_one_space),
        cmocka_unit_test(keeps_the_beginning_with_its_tokens),
        cmocka_unit_test(stops_a_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
