/* SPDX-License-Identifier: MIT */
/* Merging, special tokens, what is no valid text, and decoding, on tiny vocabularies. */
#include "tokenizer_fixture.h"

static void test_spm(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    CHECK(t, "ab", 0, MARK_A_B);
    CHECK(t, "a b ab", 0, MARK_A, MARK, B, MARK_A_B);
    CHECK(t, "aab", 0, MARK_A, A_B);
    CHECK(t, "\xE2\x96\x81" "ab", 0, MARK, MARK_A_B); /* a word mark in the text is a space */
    CHECK(t, "ab\n\xE2\x82\xAC", 0, MARK_A_B, BYTE_0A, BYTE_E2, BYTE_82, BYTE_AC);
    CHECK(t, "\xC3\xA9", 0, MARK, UNK); /* bytes without tokens */
    CHECK(t, "ab", SLM_TEXT_ADD_SPECIAL, BOS, MARK_A_B);
    CHECK(t, "<call>ab", 0, CALL, MARK_A_B);
    CHECK(t, "ab</s>ab", SLM_TEXT_PARSE_SPECIAL, MARK_A_B, EOS, MARK_A_B);
    check_ids(t, "", 0, 0, NULL, 0);
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    assert_int_equal(slm_tokenizer_get_info(t, &info, NULL), SLM_OK);
    assert_true(info.n_vocab == N_SPM && info.bos == BOS && info.eos == EOS && info.unk == UNK);
    assert_true(info.eot == -1 && info.adds_bos == 1 && info.adds_eos == 0);
    assert_string_equal(info.kind, "spm");
    assert_string_equal(info.pre, "");
    assert_true(slm_tokenizer_is_end(t, EOS));
    assert_false(slm_tokenizer_is_end(t, BOS));
    assert_false(slm_tokenizer_is_end(t, -1));
    assert_false(slm_tokenizer_is_end(t, N_SPM));
    slm_tokenizer_release(t);
}

static void test_spm_options(void **state)
{
    (void)state;
    gguf_builder b;
    add_spm(&b);
    gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", 0);
    gguf_add_bool(&b, "tokenizer.ggml.add_bos_token", 0);
    gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", 1);
    gguf_add_u32(&b, "tokenizer.ggml.eot_token_id", CALL);
    slm_tokenizer *t = make(&b);
    CHECK(t, "ab", SLM_TEXT_ADD_SPECIAL, A_B, EOS);
    static const int32_t ids[] = { MARK_A_B };
    check_text(t, ids, 1, 0, " ab"); /* and decoding drops none */
    assert_true(slm_tokenizer_is_end(t, CALL));
    slm_tokenizer_release(t);
}

static void test_phi_3_strips(void **state)
{
    (void)state;
    gguf_builder b;
    add_spm(&b);
    gguf_add_string(&b, "general.name", "Microsoft Phi-3 mini");
    slm_tokenizer *t = make(&b);
    CHECK(t, "<call> \n ab", 0, CALL, MARK_A_B);
    CHECK(t, "<s> ab", SLM_TEXT_PARSE_SPECIAL, BOS, MARK, MARK_A_B);
    CHECK(t, "<call> \t", 0, CALL);
    slm_tokenizer_release(t);
}

static void test_bpe(void **state)
{
    (void)state;
    slm_tokenizer *t = make_bpe("gpt-2");
    CHECK(t, "ab abb", 0, X_AB, X_SPACE_AB, X_B);
    CHECK(t, "ab?", 0, X_AB); /* a byte without a token is left out */
    CHECK(t, "a\xC3\xA9" "b", 0, X_A, X_B);
    CHECK(t, "a<t>b<tb<t", 0, X_A, X_TOOL_LONG, X_B, X_TOOL, X_B, X_TOOL);
    CHECK(t, "b<|im_end|>", SLM_TEXT_PARSE_SPECIAL, X_B, X_TURN_END);
    CHECK(t, "b<|im_end|>", 0, X_B);
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    assert_int_equal(slm_tokenizer_get_info(t, &info, NULL), SLM_OK);
    assert_true(info.bos == -1 && info.eos == -1 && info.eot == X_TURN_END && info.unk == -1);
    assert_true(info.adds_bos == 0);
    assert_string_equal(info.kind, "bpe");
    assert_string_equal(info.pre, "gpt-2");
    assert_true(slm_tokenizer_is_end(t, X_TURN_END) && slm_tokenizer_is_end(t, X_TEXT_END));
    assert_ptr_equal(slm_tokenizer_retain(t), t);
    slm_tokenizer_release(t);
    CHECK(t, "ab", 0, X_AB);
    slm_tokenizer_release(t);
    slm_tokenizer_release(NULL);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    int32_t ids[16];
    size_t n = 99;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slm_tokenizer_encode(t, "ab\xFF" "ab", 5, 0, ids, 16, &n, &err),
                     SLM_ERR_INVALID_UTF8);
    assert_int_equal(err.offset, 2);
    assert_int_equal(n, 0);
    CHECK(t, "ab\xFF", SLM_TEXT_REPLACE_INVALID, MARK_A_B, UNK);
    slm_tokenizer_release(t);
}

static void test_capacity(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    int32_t ids[2];
    size_t n;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slm_tokenizer_encode(t, "a b ab", 6, 0, ids, 2, &n, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 4);
    assert_int_equal(slm_tokenizer_encode(t, "a b ab", 6, 0, NULL, 0, &n, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 4);
    slm_tokenizer_release(t);
}

/* A text whose length does not fit into 31 bits is refused before a byte of it is read. */
static void test_huge_length(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    size_t n;
    static const size_t lengths[] = { (size_t)INT32_MAX + 1, SIZE_MAX / 2, SIZE_MAX };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(slm_tokenizer_encode(t, "x", lengths[i], 0, NULL, 0, &n, NULL),
                         SLM_ERR_INVALID_ARGUMENT);
    }
    slm_tokenizer_release(t);
}

static void test_decode(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    static const int32_t words[] = { BOS, MARK_A_B, MARK_A, CALL, EOS };
    check_text(t, words, 5, 0, "ab a<call>");
    check_text(t, words, 5, SLM_TEXT_SHOW_SPECIAL, "<s> ab a<call></s>");
    static const int32_t euro[] = { BYTE_E2, BYTE_82, BYTE_AC, A };
    check_text(t, euro, 4, 0, "\xE2\x82\xAC" "a");
    check_text(t, euro, 2, 0, "\xEF\xBF\xBD"); /* cut off: one replacement for the rest */
    static const int32_t broken[] = { BYTE_E2, A, BYTE_82, BYTE_E2, BYTE_E2, BYTE_82, BYTE_AC };
    check_text(t, broken, 7, 0,
               "\xEF\xBF\xBD" "a\xEF\xBF\xBD\xEF\xBF\xBD\xE2\x82\xAC");
    check_text(t, NULL, 0, 0, "");
    char small[3];
    size_t length;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slm_tokenizer_decode(t, words, 5, 0, small, 3, &length, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(length, 10);
    static const int32_t wrong[] = { A, N_SPM };
    assert_int_equal(slm_tokenizer_decode(t, wrong, 2, 0, small, 3, &length, &err),
                     SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(err.offset, 1);
    static const int32_t negative[] = { -1 };
    assert_int_equal(slm_tokenizer_decode(t, negative, 1, 0, small, 3, &length, &err),
                     SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(err.offset, 0);
    slm_tokenizer_release(t);
}

static void test_pieces(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    const char *bytes;
    size_t length;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slm_tokenizer_get_piece(t, MARK_A, &bytes, &length, NULL), SLM_OK);
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, " a", 2);
    assert_int_equal(slm_tokenizer_get_piece(t, BYTE_0A, &bytes, &length, NULL), SLM_OK);
    assert_true(length == 1 && bytes[0] == '\n');
    static const int32_t begin[] = { BOS };
    check_text(t, begin, 1, 0, "");
    assert_int_equal(slm_tokenizer_get_piece(t, BOS, &bytes, &length, NULL), SLM_OK);
    assert_int_equal(length, 3);
    assert_memory_equal(bytes, "<s>", 3);
    assert_int_equal(slm_tokenizer_get_piece(t, N_SPM, &bytes, &length, &err), SLM_ERR_OUT_OF_RANGE);
    assert_string_equal(err.message, "token 14 is not in the vocabulary of 14 tokens");
    assert_int_equal(slm_tokenizer_get_piece(t, -1, &bytes, &length, NULL), SLM_ERR_OUT_OF_RANGE);
    slm_tokenizer_release(t);
}

/* A word that is a piece is taken whole by some vocabularies, though no merges lead to it; bos and eos need
 * room like any other token. */
static void test_whole_words(void **state)
{
    (void)state;
    static const char *const tokens[] = { "a", "b", "ab", "<s>", "</s>" };
    static const int32_t types[] = { 1, 1, 1, 3, 3 };
    static const char *const pres[] = { "gpt-2", "llama-bpe" };
    for (int whole = 0; whole < 2; whole++) {
        gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
        gguf_add_string(&b, "tokenizer.ggml.pre", pres[whole]);
        gguf_add_strings(&b, "tokenizer.ggml.tokens", tokens, 5);
        gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 5);
        gguf_add_strings(&b, "tokenizer.ggml.merges", NULL, 0);
        gguf_add_u32(&b, "tokenizer.ggml.bos_token_id", 3);
        gguf_add_u32(&b, "tokenizer.ggml.eos_token_id", 4);
        gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", 1);
        slm_tokenizer *t = make(&b);
        if (whole) {
            CHECK(t, "ab", 0, 2);
            CHECK(t, "aab", SLM_TEXT_ADD_SPECIAL, 3, 0, 0, 1, 4); /* adds bos unless the file says no */
        } else {
            CHECK(t, "ab", 0, 0, 1);
            CHECK(t, "aab", SLM_TEXT_ADD_SPECIAL, 0, 0, 1, 4);
        }
        slm_tokenizer_release(t);
    }
}

/* The tokens of a vocabulary where only a short form keeps its last letter from what comes behind: merging
 * that letter with 'x' goes before all else. Text is the short form, "x" behind it. */
static void check_short_form(const char *pre, const char *form, int splits)
{
    char last_and_x[3] = { form[strlen(form) - 1], 'x', 0 }, first[2] = { form[1], 0 };
    char last[2] = { last_and_x[0], 0 }, text[8], merges[3][16];
    const int two = form[2] != 0;
    /* ids:                      0    1    2      3     4           5 */
    const char *const tokens[] = { "'", "x", first, last, last_and_x, form, form + 1 };
    const char *const lines[] = { merges[0], merges[1], merges[2] };
    gguf_builder b;
    snprintf(text, sizeof(text), "%sx", form);
    snprintf(merges[0], sizeof(merges[0]), "%s x", last);
    snprintf(merges[1], sizeof(merges[1]), two ? "%s %s" : "' %s", first, last);
    snprintf(merges[2], sizeof(merges[2]), "' %s", form + 1);
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&b, "tokenizer.ggml.pre", pre);
    gguf_add_strings(&b, "tokenizer.ggml.tokens", tokens, 7);
    gguf_add_strings(&b, "tokenizer.ggml.merges", lines, 3);
    slm_tokenizer *t = make(&b);
    const int32_t apart[] = { 5, 1 }, one_letter[] = { 0, 4 }, two_letters[] = { 0, 2, 4 };
    if (splits) {
        check_ids(t, text, strlen(text), 0, apart, 2);
        check_ids(t, form, strlen(form), 0, apart, 1);
    } else if (two) {
        check_ids(t, text, strlen(text), 0, two_letters, 3);
    } else {
        check_ids(t, text, strlen(text), 0, one_letter, 2);
    }
    slm_tokenizer_release(t);
}

static void test_short_forms(void **state)
{
    (void)state;
    static const char *const small[] = { "'s", "'t", "'m", "'d", "'re", "'ve", "'ll" };
    static const char *const large[] = { "'S", "'T", "'M", "'D", "'Re", "'rE", "'VE", "'vE", "'Ll", "'LL" };
    static const char *const none[] = { "'a", "'r", "'v", "'l", "'rs", "'vs", "'ls", "'er" };
    static const char *const pres[] = { "gpt-2", "smollm", "llama-bpe", "qwen2" };
    for (size_t p = 0; p < 4; p++) {
        for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
            check_short_form(pres[p], small[i], 1);
        }
        for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
            check_short_form(pres[p], large[i], p >= 2);
        }
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
            check_short_form(pres[p], none[i], 0);
        }
    }
}

/* Long runs of one character take a moment, not minutes: merging is not quadratic. */
static void test_long_runs(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    char *text = malloc(LENGTH);
    assert_non_null(text);
    static const char *const pres[] = { "gpt-2", "llama-bpe", "qwen2", "smollm" };
    for (size_t i = 0; i < 5; i++) {
        slm_tokenizer *t = i < 4 ? make_bpe(pres[i]) : make_spm();
        for (const char *c = " a\n<1"; *c != '\0'; c++) {
            size_t n;
            memset(text, *c, LENGTH);
            const slm_status status = slm_tokenizer_encode(
                t, text, LENGTH, SLM_TEXT_PARSE_SPECIAL, NULL, 0, &n, NULL);
            assert_true(status == SLM_ERR_BUFFER_TOO_SMALL || n == 0);
        }
        slm_tokenizer_release(t);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_spm_options),
        cmocka_unit_test(test_phi_3_strips),
        cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_whole_words),
        cmocka_unit_test(test_short_forms),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_huge_length),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
