/* SPDX-License-Identifier: MIT */
/* Blobs in all forms: whole and relative to a prefix, in every cache type, and as token ids. */
#include "session_fixture.h"

#include <fenv.h>

#include "session/session.h"

#define MOST_BYTES (1u << 20)

static slm_model *model;
static slm_error error;
static uint8_t blob[MOST_BYTES];

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

static slm_session *make_typed(uint32_t kv_type, uint32_t n)
{
    slm_session *s;
    slm_session_options options = small_options(n, 400);
    options.kv_type = kv_type;
    OK(slm_session_create(model, &options, &s, NULL));
    return s;
}

static size_t save_as(slm_session *s, slm_sequence q, uint32_t form, uint32_t whole)
{
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    size_t size = 0, needed = 0;
    options.form = form;
    options.whole = whole;
    memset(blob, 0xA5, sizeof(blob));
    FAILS(slm_session_save_sequence(s, q, &options, NULL, 0, &needed, &error), SLM_ERR_BUFFER_TOO_SMALL,
          SLM_NO_OFFSET);
    FAILS(slm_session_save_sequence(s, q, &options, blob, needed - 1, &size, &error),
          SLM_ERR_BUFFER_TOO_SMALL, SLM_NO_OFFSET);
    assert_int_equal(size, needed);
    assert_int_equal(blob[0], 0xA5);
    OK(slm_session_save_sequence(s, q, &options, blob, sizeof(blob), &size, NULL));
    assert_int_equal(size, needed);
    assert_int_equal(blob[size], 0xA5);
    return size;
}

static slm_sequence restore(slm_session *s, size_t size, slm_prefix *prefix)
{
    slm_sequence q;
    OK(slm_session_restore_sequence(s, blob, size, prefix, &q, NULL));
    return q;
}

static slm_saved_info info_of_blob(size_t size)
{
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    OK(slm_saved_get_info(blob, size, &info, NULL));
    assert_int_equal(info.format, 2);
    return info;
}

static slm_prefix *make_prefix(slm_session *s, uint32_t n, const char *name)
{
    slm_prefix *prefix;
    const slm_sequence q = begin_text(s, n);
    finish(s);
    OK(slm_prefix_create(s, q, name, &prefix, NULL));
    OK(slm_session_remove_sequence(s, q, NULL));
    return prefix;
}

static const struct {
    uint32_t type, form; /* SLM_SAVE_* that rounds to it, or SLM_SAVE_CACHE */
    uint64_t row_bytes;  /* of a key or value of 16 numbers */
    double distance;     /* that rounding to it may make in the logits */
} kinds[] = {
    { SLM_KV_F16, SLM_SAVE_CACHE, 32, 5e-3 },
    { SLM_KV_F32, SLM_SAVE_CACHE, 64, 1e-6 },
    { SLM_KV_Q8, SLM_SAVE_Q8, 18, 0.05 },
    { SLM_KV_Q4, SLM_SAVE_Q4, 10, 0.6 },
};

#define N_KINDS 4

/* From every cache type through every form into every cache type: what the blob has in the session's own type
 * comes back bit for bit, the rest near. */
static void converts_between_all_types(void **state)
{
    (void)state;
    for (size_t from = 0; from < N_KINDS; from++) {
        slm_session *source = make_typed(kinds[from].type, 1);
        const slm_sequence q = begin_text(source, 150);
        future expected, f;
        finish(source);
        for (uint32_t form = SLM_SAVE_CACHE; form <= SLM_SAVE_Q4; form++) {
            const size_t kept = form == SLM_SAVE_CACHE ? from : form == SLM_SAVE_Q8 ? 2 : 3;
            const size_t size = save_as(source, q, form, 0);
            /* Header, tokens, two layers of one head, checksum. */
            assert_int_equal(size, 160 + 304 + 150 * 2 * 2 * kinds[kept].row_bytes + 8);
            const slm_saved_info info = info_of_blob(size);
            assert_int_equal(info.kv_type, kinds[kept].type);
            assert_int_equal(info.n_tokens, 150);
            assert_int_equal(info.n_cached, 150);
            for (size_t to = 0; to < N_KINDS; to++) {
                slm_session *target = make_typed(kinds[to].type, 1);
                slm_session *fresh = make_typed(kinds[from].type, 1);
                look_ahead(fresh, begin_text(fresh, 150), &expected);
                look_ahead(target, restore(target, size, NULL), &f);
                if (from == kept && from == to) {
                    assert_same_future(&expected, &f);
                } else {
                    assert_true(future_distance(&expected, &f) <=
                                kinds[from].distance + kinds[kept].distance + kinds[to].distance);
                }
                slm_session_release(target);
                slm_session_release(fresh);
            }
        }
        slm_session_release(source);
    }
}

/* A blob that a conversion made gives the same bits in every session of its type. */
static void conversions_are_exact_in_themselves(void **state)
{
    (void)state;
    for (size_t kind = 2; kind < N_KINDS; kind++) {
        slm_session *source = make_typed(SLM_KV_F32, 1), *target = make_typed(kinds[kind].type, 2);
        const slm_sequence q = begin_text(source, 150);
        future a, b;
        finish(source);
        size_t size = save_as(source, q, kinds[kind].form, 0);
        const slm_sequence first = restore(target, size, NULL);
        size = save_as(target, first, SLM_SAVE_CACHE, 0); /* the same numbers again */
        look_ahead(target, first, &a);
        look_ahead(target, restore(target, size, NULL), &b);
        assert_same_future(&a, &b);
        slm_session_release(source);
        slm_session_release(target);
    }
}

/* A host may round as it likes: what is converted is rounded as the library does, and the host's stays. */
static void converts_in_the_library_s_own_rounding(void **state)
{
    (void)state;
    static uint8_t expected[MOST_BYTES];
    slm_session *s = make_typed(SLM_KV_F16, 2);
    result r;
    const slm_sequence q = add_sequence(s, "the moon is a balloon");
    run(s, q, 0, &r);
    for (uint32_t form = SLM_SAVE_Q8; form <= SLM_SAVE_Q4; form++) {
        const size_t size = save_as(s, q, form, 0);
        memcpy(expected, blob, size);
        const slm_sequence near_by = restore(s, size, NULL);
        const size_t restored = save_as(s, near_by, SLM_SAVE_CACHE, 0);
        static uint8_t cache[MOST_BYTES];
        memcpy(cache, blob, restored);
        OK(slm_session_remove_sequence(s, near_by, NULL));

        assert_int_equal(fesetround(FE_UPWARD), 0);
        assert_int_equal(save_as(s, q, form, 0), size);
        assert_memory_equal(blob, expected, size);
        const slm_sequence other = restore(s, size, NULL);
        assert_int_equal(fegetround(), FE_UPWARD);
        assert_int_equal(fesetround(FE_TONEAREST), 0);
        assert_int_equal(save_as(s, other, SLM_SAVE_CACHE, 0), restored);
        assert_memory_equal(blob, cache, restored);
        OK(slm_session_remove_sequence(s, other, NULL));
    }
    slm_session_release(s);
}

static void saves_relative_to_its_prefix(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 1, 63, 64, 100, 128 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t n = lengths[i];
        slm_session *s = make_typed(SLM_KV_F16, 2), *other = make_typed(SLM_KV_F16, 1);
        slm_prefix *prefix = make_prefix(s, n, "persona"), *twin = make_prefix(other, n, "another name");
        const slm_sequence q = add_sequence(s, "");
        future expected, f;
        OK(slm_session_append_prefix(s, q, prefix, NULL));
        append_text_tokens(s, q, n, n + 70, 0);
        finish(s);
        for (uint32_t whole = 0; whole < 2; whole++) {
            const size_t size = save_as(s, q, SLM_SAVE_CACHE, whole);
            const slm_saved_info info = info_of_blob(size);
            assert_int_equal(info.n_tokens, n + 70);
            assert_int_equal(info.n_cached, whole ? n + 70 : 70);
            assert_int_equal(info.n_prefix_tokens, whole ? 0 : n);
            assert_string_equal(info.prefix, whole ? "" : "persona");
            const slm_sequence back = restore(s, size, whole ? NULL : prefix);
            assert_int_equal(info_of(s, back).n_prefix_tokens, whole ? 0 : n);
            assert_int_equal(info_of(s, back).n_computed, n + 70);
            look_ahead(s, back, &f);
            OK(slm_session_remove_sequence(s, back, NULL));
            const slm_sequence fresh = begin_text(other, n + 70);
            look_ahead(other, fresh, &expected);
            OK(slm_session_remove_sequence(other, fresh, NULL));
            assert_same_future(&expected, &f);
        }
        /* Any prefix with these tokens will do. */
        const size_t size = save_as(s, q, SLM_SAVE_CACHE, 0);
        slm_session_release(s);
        look_ahead(other, restore(other, size, twin), &f);
        assert_same_future(&expected, &f);
        slm_prefix_release(prefix);
        slm_prefix_release(twin);
        slm_session_release(other);
    }
}

static void is_relative_as_long_as_it_begins_so(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 2);
    slm_prefix *prefix = make_prefix(s, 64, "persona");
    const slm_sequence q = add_sequence(s, "");
    const int32_t token = TINY_SPACE;
    slm_sequence copy;
    future expected, f;
    OK(slm_session_append_prefix(s, q, prefix, NULL));
    assert_int_equal(save_as(s, q, SLM_SAVE_CACHE, 0), 168); /* nothing but the header and the checksum */
    generate(s, q, 5, SLM_GENERATE_IGNORE_END); /* the last token is to be computed again */
    assert_int_equal(save_as(s, q, SLM_SAVE_CACHE, 0), 168);
    const slm_sequence back = restore(s, 168, prefix);
    look_ahead(s, back, &f);
    OK(slm_session_remove_sequence(s, back, NULL));
    OK(slm_session_truncate_sequence(s, q, 64, NULL));
    look_ahead(s, q, &expected);
    assert_same_future(&expected, &f);
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    size_t size = save_as(s, copy, SLM_SAVE_CACHE, 0);
    assert_int_equal(info_of_blob(size).n_prefix_tokens, 64);
    OK(slm_session_truncate_sequence(s, copy, 63, NULL));
    append_text_tokens(s, copy, 63, 64, 0);
    finish(s);
    size = save_as(s, copy, SLM_SAVE_CACHE, 0);
    assert_int_equal(info_of_blob(size).n_prefix_tokens, 0);
    OK(slm_session_replace(s, q, 30, 1, &token, 1, 0, NULL));
    size = save_as(s, q, SLM_SAVE_CACHE, 0);
    assert_int_equal(info_of_blob(size).n_prefix_tokens, 0);
    slm_prefix_release(prefix);
    slm_session_release(s);
}

static void refuses_the_wrong_prefix(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 2), *other = make_typed(SLM_KV_F32, 1);
    slm_prefix *prefix = make_prefix(s, 64, "persona"), *longer = make_prefix(s, 65, "longer");
    slm_prefix *typed = make_prefix(other, 64, "persona");
    slm_sequence q = add_sequence(s, ""), back = 7;
    OK(slm_session_append_prefix(s, q, prefix, NULL));
    append_text_tokens(s, q, 64, 70, 0);
    finish(s);
    size_t size = save_as(s, q, SLM_SAVE_CACHE, 0);
    const int wrong = SLM_ERR_MISMATCH;
    FAILS(slm_session_restore_sequence(s, blob, size, NULL, &back, &error), wrong, 36);
    assert_non_null(strstr(error.message, "persona"));
    FAILS(slm_session_restore_sequence(s, blob, size, longer, &back, &error), wrong, 40);
    FAILS(slm_session_restore_sequence(s, blob, size, typed, &back, &error), wrong, 40);
    assert_true(back == 0);
    size = save_as(s, q, SLM_SAVE_CACHE, 1);
    FAILS(slm_session_restore_sequence(s, blob, size, prefix, &back, &error), wrong, SLM_NO_OFFSET);
    slm_prefix_release(prefix);
    slm_prefix_release(longer);
    slm_prefix_release(typed);
    slm_session_release(s);
    slm_session_release(other);
}

/* Only ids: the steps that follow compute all that was computed, and whoever reads on gets the same bits. */
static void computes_tokens_again(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 2), *other = make_typed(SLM_KV_Q8, 1);
    slm_prefix *prefix = make_prefix(s, 64, "persona");
    for (int with_prefix = 0; with_prefix < 2; with_prefix++) {
        const slm_sequence q = add_sequence(s, "");
        future expected, f;
        result r;
        if (with_prefix) {
            OK(slm_session_append_prefix(s, q, prefix, NULL));
        } else {
            append_text_tokens(s, q, 0, 64, 0);
        }
        append_text_tokens(s, q, 64, 90, 0);
        generate(s, q, 30, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &r);
        const size_t size = save_as(s, q, SLM_SAVE_TOKENS, 0);
        assert_int_equal(size, 160 + (with_prefix ? 112 : 240) + 8);
        assert_int_equal(info_of_blob(size).n_cached, 0);
        const slm_sequence back = restore(s, size, with_prefix ? prefix : NULL);
        assert_int_equal(info_of(s, back).n_computed, with_prefix ? 64 : 0);
        assert_int_equal(info_of(s, back).n_tokens, 120);
        finish(s);
        assert_int_equal(info_of(s, back).n_computed, 119);
        look_ahead(s, q, &expected);
        look_ahead(s, back, &f);
        assert_same_future(&expected, &f);
        OK(slm_session_remove_sequence(s, q, NULL));
        OK(slm_session_remove_sequence(s, back, NULL));
        if (!with_prefix) { /* ids fit every cache type */
            look_ahead(other, restore(other, size, NULL), &f);
            assert_true(future_distance(&expected, &f) < 0.1);
        }
    }
    slm_prefix_release(prefix);
    slm_session_release(s);
    slm_session_release(other);
}

/* Parameters come back; windows and what they have hidden, too. */
static void keeps_parameters(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 2);
    const slm_sequence q = add_sequence(s, "");
    for (uint32_t param = SLM_SEQUENCE_PRIORITY; param <= SLM_SEQUENCE_SINKS; param++) {
        OK(slm_session_set_u32(s, q, param, param == SLM_SEQUENCE_FULL ? 2 : 20 + param, NULL));
    }
    append_text_tokens(s, q, 0, 300, 0);
    finish(s);
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    size_t size;
    options.form = SLM_SAVE_TOKENS;
    FAILS(slm_session_save_sequence(s, q, &options, blob, sizeof(blob), &size, &error), SLM_ERR_STATE,
          SLM_NO_OFFSET);
    for (uint32_t form = SLM_SAVE_CACHE; form <= SLM_SAVE_Q8; form++) {
        size = save_as(s, q, form, 0);
        assert_int_equal(info_of_blob(size).n_cached, 300 - 192); /* tokens 64 to 255 are hidden */
        const slm_sequence back = restore(s, size, NULL);
        for (uint32_t param = SLM_SEQUENCE_PRIORITY; param <= SLM_SEQUENCE_SINKS; param++) {
            uint32_t value;
            OK(slm_session_get_u32(s, back, param, &value, NULL));
            assert_int_equal(value, param == SLM_SEQUENCE_FULL ? 2 : 20 + param);
        }
        assert_int_equal(info_of(s, back).n_pages, info_of(s, q).n_pages);
        assert_int_equal(info_of(s, back).n_computed, 300);
        OK(slm_session_remove_sequence(s, back, NULL));
    }
    slm_session_release(s);
}

/* A sequence that is computed in part, while its batch is under way. */
static void saves_between_steps(void **state)
{
    (void)state;
    future expected, f;
    slm_session *plain = make_typed(SLM_KV_F16, 1);
    look_ahead(plain, begin_text(plain, 100), &expected);
    for (int n_steps = 0; n_steps < 60; n_steps += 3) {
        uint64_t time;
        slm_session_options options = small_options(2, 400);
        options.batch_tokens = 70;
        slm_session *s = make_piecewise(model, options, &time);
        const slm_sequence q = begin_text(s, 100);
        for (int i = 0; i < n_steps; i++) {
            (void)slm_session_step(s, 1, NULL);
        }
        const uint32_t n_computed = info_of(s, q).n_computed;
        const size_t size = save_as(s, q, SLM_SAVE_CACHE, 0);
        const slm_sequence back = restore(s, size, NULL);
        assert_int_equal(info_of(s, back).n_computed, n_computed);
        look_ahead(s, back, &f);
        assert_same_future(&expected, &f);
        look_ahead(s, q, &f);
        assert_same_future(&expected, &f);
        slm_session_release(s);
    }
    slm_session_release(plain);
}

static void restores_all_or_nothing(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 1), *small;
    slm_prefix *prefix = make_prefix(s, 100, "persona");
    const slm_sequence q = add_sequence(s, "");
    slm_sequence back = 7;
    slm_session_options options = small_options(2, 400);
    OK(slm_session_append_prefix(s, q, prefix, NULL));
    append_text_tokens(s, q, 100, 200, 0);
    finish(s);
    size_t size = save_as(s, q, SLM_SAVE_CACHE, 0);
    FAILS(slm_session_restore_sequence(s, blob, size, prefix, &back, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_true(back == 0);
    options.pool_tokens = 128;
    OK(slm_session_create(model, &options, &small, NULL));
    FAILS(slm_session_restore_sequence(small, blob, size, prefix, &back, &error), SLM_ERR_BUDGET,
          SLM_NO_OFFSET);
    size = save_as(s, q, SLM_SAVE_CACHE, 1);
    FAILS(slm_session_restore_sequence(small, blob, size, NULL, &back, &error), SLM_ERR_BUDGET,
          SLM_NO_OFFSET);
    assert_int_equal(small->n_free_pages, 2);
    const slm_sequence one = begin_text(small, 64), two = begin_text(small, 64); /* all is still there */
    assert_true(one != 0 && two != 0);
    /* Neither the page that a prefix shares with what follows nor that of a window's sinks has room. */
    OK(slm_session_remove_sequence(small, two, NULL));
    append_text_tokens(small, one, 64, 128, 0);
    assert_int_equal(small->n_free_pages, 0);
    size = save_as(s, q, SLM_SAVE_CACHE, 0);
    FAILS(slm_session_restore_sequence(small, blob, size, prefix, &back, &error), SLM_ERR_BUDGET,
          SLM_NO_OFFSET);
    OK(slm_session_truncate_sequence(s, q, 0, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, 64, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_SINKS, 10, NULL));
    append_text_tokens(s, q, 0, 300, 0);
    finish(s);
    size = save_as(s, q, SLM_SAVE_CACHE, 0);
    FAILS(slm_session_restore_sequence(small, blob, size, NULL, &back, &error), SLM_ERR_BUDGET,
          SLM_NO_OFFSET);
    assert_int_equal(small->n_free_pages, 0);
    OK(slm_session_remove_sequence(small, one, NULL));
    assert_int_equal(small->n_free_pages, 2);
    slm_session_release(small);
    slm_prefix_release(prefix);
    slm_session_release(s);
}

static void refuses_options(void **state)
{
    (void)state;
    slm_session *s = make_typed(SLM_KV_F16, 1);
    const slm_sequence q = begin_text(s, 3);
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    size_t size;
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    const struct {
        size_t field;
        uint32_t value;
    } cases[] = { { offsetof(slm_save_options, struct_size), 3 }, { offsetof(slm_save_options, form), 4 },
                  { offsetof(slm_save_options, whole), 2 }, { offsetof(slm_save_options, reserved0), 1 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        options = (slm_save_options)SLM_SAVE_OPTIONS_INIT;
        memcpy((char *)&options + cases[i].field, &cases[i].value, sizeof(uint32_t));
        FAILS(slm_session_save_sequence(s, q, &options, blob, sizeof(blob), &size, &error), bad,
              SLM_NO_OFFSET);
    }
    size = save_as(s, q, SLM_SAVE_CACHE, 0);
    FAILS(slm_saved_get_info(NULL, size, &info, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_saved_get_info(blob, size, NULL, &error), bad, SLM_NO_OFFSET);
    info.struct_size = 2;
    FAILS(slm_saved_get_info(blob, size, &info, &error), bad, SLM_NO_OFFSET);
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_between_all_types),
        cmocka_unit_test(conversions_are_exact_in_themselves),
        cmocka_unit_test(converts_in_the_library_s_own_rounding),
        cmocka_unit_test(saves_relative_to_its_prefix),
        cmocka_unit_test(is_relative_as_long_as_it_begins_so),
        cmocka_unit_test(refuses_the_wrong_prefix),
        cmocka_unit_test(computes_tokens_again),
        cmocka_unit_test(keeps_parameters),
        cmocka_unit_test(saves_between_steps),
        cmocka_unit_test(restores_all_or_nothing),
        cmocka_unit_test(refuses_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
