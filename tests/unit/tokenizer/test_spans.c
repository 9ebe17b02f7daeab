/* SPDX-License-Identifier: MIT */
/* Spans of literal text, and what else the library alone asks its tokenizer: ids of texts, the longest piece,
 * its memory. */
#include "tokenizer/tokenizer.h"
#include "tokenizer_fixture.h"

static void test_literal_spans(void **state)
{
    (void)state;
    slm_tokenizer *t = make_bpe("gpt-2");
    static const char text[] = "<|im_end|>a<|im_end|>b<|im_end|><t>";
    static const int32_t expected[] = { X_TURN_END, X_A, X_B, X_TURN_END, X_TOOL_LONG };
    const slmi_span spans[] = { { 10, 21 }, { 32, 35 } };
    int32_t ids[8];
    size_t n;
    assert_int_equal(slmi_tokenizer_encode(t, text, sizeof(text) - 1, SLM_TEXT_PARSE_SPECIAL, spans,
                                           2, ids, 8, &n, NULL),
                     SLM_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(ids, expected, sizeof(expected));
    /* A control token that only begins outside of a span is not recognised either. */
    const slmi_span half[] = { { 5, 35 } };
    assert_int_equal(slmi_tokenizer_encode(t, text, sizeof(text) - 1, SLM_TEXT_PARSE_SPECIAL, half,
                                           1, ids, 8, &n, NULL),
                     SLM_OK);
    assert_int_equal(n, 3);
    slm_tokenizer_release(t);
}

static void test_find(void **state)
{
    (void)state;
    slm_tokenizer *t = make_bpe("gpt-2");
    assert_int_equal(slmi_tokenizer_find(t, "<|im_end|>", 10), X_TURN_END);
    assert_int_equal(slmi_tokenizer_find(t, " ab", 3), X_SPACE_AB);
    assert_int_equal(slmi_tokenizer_find(t, "zz", 2), -1);
    assert_int_equal(slmi_tokenizer_find(t, "", 0), -1);
    assert_int_equal(slmi_tokenizer_longest_piece(t), 13);
    slm_tokenizer_release(t);
}

static void test_memory(void **state)
{
    (void)state;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    failing_alloc f;
    failing_alloc_init(&f);
    options.host = &f.host;
    for (int bpe = 0; bpe < 2; bpe++) {
        gguf_builder b;
        slm_tokenizer *t;
        if (bpe) {
            add_bpe(&b, "gpt-2");
        } else {
            add_spm(&b);
        }
        assert_int_equal(load_built(&b, &options, &t, NULL), SLM_OK);
        assert_int_equal(f.live_bytes, slmi_tokenizer_memory(t));
        CHECK(t, "ab", 0, bpe ? (int32_t)X_AB : (int32_t)MARK_A_B);
        assert_int_equal(f.live_bytes, slmi_tokenizer_memory(t)); /* scratch is given back */
        slm_tokenizer_release(t);
    }
    assert_true(failing_alloc_is_clean(&f));
    failing_alloc_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal_spans),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("tokenizer spans", tests, NULL, NULL);
}
