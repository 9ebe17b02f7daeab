/* SPDX-License-Identifier: MIT */
/* Prefixes: the same bits as computing their tokens, in any session and thread; ends in any order. */
#include "session_fixture.h"

#include "base/os/os.h"

static slm_model *model;
static slm_error error;

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

static slm_prefix *make_prefix(slm_session *s, uint32_t n, const char *name)
{
    slm_prefix *prefix;
    const slm_sequence q = begin_text(s, n);
    finish(s);
    OK(slm_prefix_create(s, q, name, &prefix, NULL));
    OK(slm_session_remove_sequence(s, q, NULL));
    return prefix;
}

static slm_sequence begin_with(slm_session *s, slm_prefix *prefix)
{
    const slm_sequence q = add_sequence(s, "");
    OK(slm_session_append_prefix(s, q, prefix, NULL));
    return q;
}

/* What comes after n tokens of the long text. */
static void expected_future(uint32_t n, future *f)
{
    slm_session *s = make_sized(model, 1, 256);
    const slm_sequence q = begin_text(s, n);
    finish(s);
    look_ahead(s, q, f);
    slm_session_release(s);
}

static void equals_computed_tokens(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 1, 63, 64, 65, 128, 190 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t n = lengths[i];
        slm_session *s = make_sized(model, 3, 256), *other = make_sized(model, 1, 256);
        slm_prefix *prefix = make_prefix(s, n, "begin");
        future expected, f;
        expected_future(n, &expected);
        const slm_sequence a = begin_with(s, prefix), b = begin_with(s, prefix);
        const slm_sequence c = begin_with(other, prefix);
        const slm_sequence_info info = info_of(s, a);
        assert_int_equal(info.n_tokens, n);
        assert_int_equal(info.n_computed, n);
        assert_int_equal(info.n_prefix_tokens, n);
        assert_int_equal(info.tokens[n - 1], text_token(n - 1));
        look_ahead(s, a, &f);
        assert_same_future(&expected, &f);
        look_ahead(s, b, &f); /* what a wrote is not seen by b */
        assert_same_future(&expected, &f);
        slm_session_release(s);
        slm_prefix_release(prefix); /* the sequence in `other` keeps it */
        look_ahead(other, c, &f);
        assert_same_future(&expected, &f);
        slm_session_release(other);
    }
}

/* A generation right behind a prefix needs the logits of the prefix's last token. */
static void generates_at_once(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    result expected, r;
    for (uint32_t n = 63; n <= 65; n++) {
        slm_prefix *prefix = make_prefix(s, n, "begin");
        const slm_sequence a = begin_text(s, n), b = begin_with(s, prefix);
        generate(s, a, 20, SLM_GENERATE_IGNORE_END);
        run(s, a, 0, &expected);
        generate(s, b, 20, SLM_GENERATE_IGNORE_END);
        run(s, b, 0, &r);
        assert_int_equal(r.n_tokens, 20);
        assert_memory_equal(r.tokens, expected.tokens, 20 * sizeof(int32_t));
        OK(slm_session_remove_sequence(s, a, NULL));
        OK(slm_session_remove_sequence(s, b, NULL));
        slm_prefix_release(prefix);
    }
    slm_session_release(s);
}

static void forks_truncates_and_replaces(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 3, 256);
    slm_prefix *prefix = make_prefix(s, 130, "begin");
    future expected, f;
    const slm_sequence q = begin_with(s, prefix);
    slm_sequence copy;
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    assert_int_equal(info_of(s, copy).n_prefix_tokens, 130);
    expected_future(130, &expected);
    look_ahead(s, q, &f);
    assert_same_future(&expected, &f);
    look_ahead(s, copy, &f);
    assert_same_future(&expected, &f);
    static const uint32_t cuts[] = { 129, 128, 100, 64, 63, 1 };
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        const slm_sequence cut = begin_with(s, prefix);
        OK(slm_session_truncate_sequence(s, cut, cuts[i], NULL));
        assert_int_equal(info_of(s, cut).n_prefix_tokens, cuts[i]);
        expected_future(cuts[i], &expected);
        look_ahead(s, cut, &f);
        assert_same_future(&expected, &f);
        OK(slm_session_remove_sequence(s, cut, NULL));
    }
    /* Another token in the middle, and then the old one again. */
    const slm_sequence changed = begin_with(s, prefix);
    const int32_t other = TINY_SPACE, before = text_token(70);
    OK(slm_session_replace(s, changed, 70, 1, &other, 1, 0, NULL));
    assert_int_equal(info_of(s, changed).n_prefix_tokens, 70);
    finish(s);
    OK(slm_session_replace(s, changed, 70, 1, &before, 1, 0, NULL));
    finish(s);
    expected_future(130, &expected);
    look_ahead(s, changed, &f);
    assert_same_future(&expected, &f);
    OK(slm_session_remove_sequence(s, changed, NULL));
    look_ahead(s, begin_with(s, prefix), &f); /* the prefix itself is as it was */
    assert_same_future(&expected, &f);
    slm_session_release(s);
    slm_prefix_release(prefix);
}

/* A sequence may be emptied and begin again, also with another prefix. */
static void changes_prefixes(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    slm_prefix *one = make_prefix(s, 64, "one"), *two = make_prefix(s, 100, "two");
    future expected, f;
    const slm_sequence q = begin_with(s, one);
    OK(slm_session_truncate_sequence(s, q, 0, NULL));
    OK(slm_session_append_prefix(s, q, two, NULL));
    slm_prefix_release(one);
    expected_future(100, &expected);
    look_ahead(s, q, &f);
    assert_same_future(&expected, &f);
    slm_prefix_release(two);
    slm_session_release(s);
}

static void prefix_of_a_prefix(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    slm_prefix *first = make_prefix(s, 64, "first"), *second;
    future expected, f;
    const slm_sequence q = begin_with(s, first);
    slm_prefix_release(first);
    append_text_tokens(s, q, 64, 150, 0);
    finish(s);
    OK(slm_prefix_create(s, q, "second", &second, NULL));
    expected_future(150, &expected);
    look_ahead(s, begin_with(s, second), &f);
    assert_same_future(&expected, &f);
    slm_prefix_release(second);
    slm_session_release(s);
}

/* Full pages of a prefix take none of the session's. */
static void shares_pages(void **state)
{
    (void)state;
    slm_session *s, *source = make_sized(model, 1, 256);
    slm_session_options options = small_options(10, 256);
    slm_prefix *prefix = make_prefix(source, 128, "two pages"), *odd = make_prefix(source, 129, "odd");
    slm_sequence q[10];
    options.pool_tokens = 64 * 9;
    OK(slm_session_create(model, &options, &s, NULL));
    for (int i = 0; i < 9; i++) {
        q[i] = begin_with(s, prefix);
        append_text_tokens(s, q[i], 128, 129, 0); /* one page each */
    }
    q[9] = begin_with(s, prefix); /* none */
    OK(slm_session_truncate_sequence(s, q[9], 0, NULL));
    FAILS(slm_session_append_prefix(s, q[9], odd, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_int_equal(info_of(s, q[9]).n_tokens, 0);
    assert_int_equal(info_of(s, q[9]).n_pages, 0);
    OK(slm_session_remove_sequence(s, q[0], NULL));
    OK(slm_session_append_prefix(s, q[9], odd, NULL));
    slm_session_release(s);
    slm_session_release(source);
    slm_prefix_release(prefix);
    slm_prefix_release(odd);
}

static void tells_what_it_is(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 256);
    char name[SLM_PREFIX_NAME_BYTES + 2];
    slm_prefix *prefix;
    slm_prefix_info info = SLM_PREFIX_INFO_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    const slm_session_options options = small_options(1, 256);
    memset(name, 'n', sizeof(name));
    name[SLM_PREFIX_NAME_BYTES] = '\0';
    const slm_sequence q = begin_text(s, 65);
    finish(s);
    OK(slm_prefix_create(s, q, name, &prefix, NULL));
    OK(slm_session_estimate(model, &options, &memory, NULL));
    OK(slm_prefix_get_info(prefix, &info, NULL));
    assert_int_equal(info.n_tokens, 65);
    assert_int_equal(info.kv_type, SLM_KV_F16);
    assert_int_equal(info.reserved0, 0);
    assert_string_equal(info.name, name);
    assert_int_equal(info.tokens[64], text_token(64));
    assert_true(info.memory_bytes >= 2 * memory.page_bytes && info.memory_bytes < 3 * memory.page_bytes);
    assert_ptr_equal(slm_prefix_retain(prefix), prefix);
    slm_prefix_release(prefix);
    OK(slm_prefix_get_info(prefix, &info, NULL));
    slm_prefix_release(prefix);
    slm_prefix_release(NULL);
    assert_null(slm_prefix_retain(NULL));
    slm_session_release(s);
}

static void refuses_what_makes_no_prefix(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    slm_prefix *prefix = NULL;
    slm_prefix_info info = SLM_PREFIX_INFO_INIT;
    char name[SLM_PREFIX_NAME_BYTES + 2] = { 0 };
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    slm_sequence q = add_sequence(s, "");
    memset(name, 'n', SLM_PREFIX_NAME_BYTES + 1);
    FAILS(slm_prefix_create(NULL, q, "p", &prefix, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, "p", NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, NULL, &prefix, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, "", &prefix, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, name, &prefix, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, "ab\xC3", &prefix, &error), SLM_ERR_INVALID_UTF8, 2);
    FAILS(slm_prefix_create(s, 77, "p", &prefix, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_prefix_create(s, q, "p", &prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    append_text_tokens(s, q, 0, 80, 0);
    FAILS(slm_prefix_create(s, q, "p", &prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    (void)slm_session_step(s, 1, NULL);
    FAILS(slm_prefix_create(s, q, "p", &prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    finish(s);
    OK(slm_session_replace(s, q, 4, 10, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    FAILS(slm_prefix_create(s, q, "p", &prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    const slm_sequence windowed = add_sequence(s, "");
    OK(slm_session_set_u32(s, windowed, SLM_SEQUENCE_WINDOW, 64, NULL));
    append_text_tokens(s, windowed, 0, 10, 0);
    finish(s);
    FAILS(slm_prefix_create(s, windowed, "p", &prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    assert_null(prefix);
    OK(slm_prefix_create(s, q, "p", &prefix, NULL));
    FAILS(slm_prefix_get_info(NULL, &info, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_prefix_get_info(prefix, NULL, &error), bad, SLM_NO_OFFSET);
    info.struct_size = 3;
    FAILS(slm_prefix_get_info(prefix, &info, &error), bad, SLM_NO_OFFSET);
    slm_prefix_release(prefix);
    slm_session_release(s);
}

static void refuses_to_begin(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 2, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .context_length = 2048, .seed = 5 };
    slm_model *foreign_model = make_model(&description);
    slm_session *s = make_sized(model, 2, 256), *other;
    slm_session *foreign = make_sized(foreign_model, 1, 256);
    slm_session_options options = small_options(1, 99);
    slm_prefix *prefix = make_prefix(s, 100, "begin");
    const slm_sequence q = begin_text(s, 1);
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    FAILS(slm_session_append_prefix(NULL, q, prefix, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append_prefix(s, q, NULL, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_append_prefix(s, 99, prefix, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_session_append_prefix(s, q, prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    const slm_sequence windowed = add_sequence(s, "");
    OK(slm_session_set_u32(s, windowed, SLM_SEQUENCE_WINDOW, 64, NULL));
    FAILS(slm_session_append_prefix(s, windowed, prefix, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    slm_sequence p = add_sequence(foreign, "");
    FAILS(slm_session_append_prefix(foreign, p, prefix, &error), SLM_ERR_MISMATCH, SLM_NO_OFFSET);
    OK(slm_session_create(model, &options, &other, NULL));
    p = add_sequence(other, "");
    FAILS(slm_session_append_prefix(other, p, prefix, &error), SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    slm_session_release(other);
    options.context_length = 100;
    options.kv_type = SLM_KV_F32;
    OK(slm_session_create(model, &options, &other, NULL));
    p = add_sequence(other, "");
    FAILS(slm_session_append_prefix(other, p, prefix, &error), SLM_ERR_MISMATCH, SLM_NO_OFFSET);
    assert_int_equal(info_of(other, p).n_tokens, 0);
    slm_session_release(other);
    options.kv_type = SLM_KV_F16;
    OK(slm_session_create(model, &options, &other, NULL));
    p = begin_with(other, prefix); /* just fits */
    assert_int_equal(slm_session_generate(other, p, NULL, NULL), SLM_ERR_CONTEXT_FULL);
    slm_session_release(other);
    slm_session_release(foreign);
    slm_model_release(foreign_model);
    slm_session_release(s);
    slm_prefix_release(prefix);
}

/* A prefix binds its sequence: a window would hide what others share. */
static void has_no_window(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 256);
    slm_prefix *prefix = make_prefix(s, 1, "one token");
    const slm_sequence q = begin_with(s, prefix);
    generate(s, q, 1, SLM_GENERATE_IGNORE_END); /* computes the only token once more */
    FAILS(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, 64, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    slm_prefix_release(prefix);
    slm_session_release(s);
}

/* Model, session, prefix handle and using session end in every order; nothing is left. */
static void ends_in_any_order(void **state)
{
    (void)state;
    for (int order = 0; order < 24; order++) {
        const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                         .ffn_width = 32 };
        failing_alloc f;
        slm_model_options load = SLM_MODEL_OPTIONS_INIT;
        slm_model *own;
        size_t size;
        failing_alloc_init(&f);
        load.host = &f.host;
        load.n_threads = 1;
        uint8_t *file = tiny_model_make(&description, &size);
        OK(slm_model_load_memory(file, size, &load, &own, NULL));
        free(file);
        slm_session *a = make_sized(own, 1, 128), *b = make_sized(own, 2, 128);
        slm_prefix *prefix = make_prefix(a, 70, "begin");
        slm_sequence q = begin_with(b, prefix), copy;
        OK(slm_session_fork_sequence(b, q, &copy, NULL));
        int left[4] = { 0, 1, 2, 3 };
        for (int i = 0, o = order; i < 4; i++) {
            const int at = o % (4 - i);
            o /= 4 - i;
            const int what = left[at];
            left[at] = left[3 - i];
            if (what == 0) {
                slm_model_release(own);
            } else if (what == 1) {
                slm_session_release(a);
            } else if (what == 2) {
                slm_prefix_release(prefix);
            } else {
                future ahead;
                look_ahead(b, q, &ahead);
                look_ahead(b, copy, &ahead);
                slm_session_release(b);
            }
        }
        assert_true(failing_alloc_is_clean(&f));
        failing_alloc_destroy(&f);
    }
}

typedef struct use {
    slm_prefix *prefix;
    future f;
} use;

static void *use_elsewhere(void *ctx)
{
    use *u = ctx;
    slm_session *s = make_sized(model, 1, 256);
    look_ahead(s, begin_with(s, u->prefix), &u->f);
    slm_session_release(s);
    slm_prefix_release(u->prefix);
    return NULL;
}

static void serves_another_thread(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 256);
    use u = { .prefix = make_prefix(s, 127, "begin") };
    slmi_thread thread;
    future expected;
    expected_future(127, &expected);
    OK(slmi_thread_start(&thread, use_elsewhere, &u, NULL));
    slm_session_release(s);
    slmi_thread_join(&thread);
    assert_same_future(&expected, &u.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_computed_tokens),
        cmocka_unit_test(generates_at_once),
        cmocka_unit_test(forks_truncates_and_replaces),
        cmocka_unit_test(changes_prefixes),
        cmocka_unit_test(prefix_of_a_prefix),
        cmocka_unit_test(shares_pages),
        cmocka_unit_test(tells_what_it_is),
        cmocka_unit_test(refuses_what_makes_no_prefix),
        cmocka_unit_test(refuses_to_begin),
        cmocka_unit_test(has_no_window),
        cmocka_unit_test(ends_in_any_order),
        cmocka_unit_test(serves_another_thread),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
