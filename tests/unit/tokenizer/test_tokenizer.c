/* SPDX-License-Identifier: MIT */
/* Special tokens, spans, decoding, malformed vocabularies and allocation failures, on tiny vocabularies
 * whose ids one can tell by hand. */
#include "tokenizer_fixture.h"

/* ---- an SPM vocabulary: id, piece, score, type ---- */

enum {
    UNK, BOS, EOS, BYTE_0A, BYTE_E2, BYTE_82, BYTE_AC, MARK, A, B, MARK_A, A_B, MARK_A_B, CALL, N_SPM
};

static const char *const spm_tokens[N_SPM] = {
    "<unk>", "<s>", "</s>", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>",
    "\xE2\x96\x81", "a", "b", "\xE2\x96\x81" "a", "ab", "\xE2\x96\x81" "ab", "<call>",
};
static const float spm_scores[N_SPM] = { 0, 0, 0, 0, 0, 0, 0, -9, -8, -7, -3, -2, -1, 0 };
static const int32_t spm_types[N_SPM] = { 2, 3, 3, 6, 6, 6, 6, 1, 1, 1, 1, 1, 1, 4 };

static void add_spm(gguf_builder *b)
{
    gguf_builder_init(b);
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(b, "tokenizer.ggml.tokens", spm_tokens, N_SPM);
    gguf_add_f32s(b, "tokenizer.ggml.scores", spm_scores, N_SPM);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", spm_types, N_SPM);
}

/* ---- a byte-level one; "\xC4\xA0" is the alphabet's letter for a space ---- */

enum { X_A, X_B, X_SPACE, X_AB, X_SPACE_AB, X_TEXT_END, X_TURN_END, X_TOOL, X_TOOL_LONG, N_BPE };

static const char *const bpe_tokens[N_BPE] = {
    "a", "b", "\xC4\xA0", "ab", ("\xC4\xA0" "ab"), "<|endoftext|>", "<|im_end|>", "<t", "<t>",
};
static const int32_t bpe_types[N_BPE] = { 1, 1, 1, 1, 1, 3, 3, 4, 4 };
static const char *const bpe_merges[] = { "a b", "\xC4\xA0 ab", "a zz", "b b", "nonsense", "" };

static void add_bpe(gguf_builder *b, const char *pre)
{
    gguf_builder_init(b);
    gguf_add_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(b, "tokenizer.ggml.pre", pre);
    gguf_add_strings(b, "tokenizer.ggml.tokens", bpe_tokens, N_BPE);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", bpe_types, N_BPE);
    gguf_add_strings(b, "tokenizer.ggml.merges", bpe_merges, 6);
}

static slm_tokenizer *make(gguf_builder *b)
{
    slm_tokenizer *t;
    slm_error err = SLM_ERROR_INIT;
    if (create_built(b, NULL, &t, &err) != SLM_OK) {
        fail_msg("%s", err.message);
    }
    return t;
}

static slm_tokenizer *make_spm(void)
{
    gguf_builder b;
    add_spm(&b);
    return make(&b);
}

static slm_tokenizer *make_bpe(const char *pre)
{
    gguf_builder b;
    add_bpe(&b, pre);
    return make(&b);
}

#define CHECK(t, text, flags, ...)                                                       \
    do {                                                                                 \
        const int32_t expected_[] = { __VA_ARGS__ };                                     \
        check_ids(t, text, sizeof(text) - 1, flags, expected_, sizeof(expected_) / 4);   \
    } while (0)

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
    slmi_tokenizer_info(t, &info);
    assert_true(info.n_vocab == N_SPM && info.bos == BOS && info.eos == EOS && info.unk == UNK);
    assert_true(info.eot == -1 && info.adds_bos == 1 && info.adds_eos == 0);
    assert_string_equal(info.kind, "spm");
    assert_string_equal(info.pre, "");
    assert_true(slmi_tokenizer_is_end(t, EOS));
    assert_false(slmi_tokenizer_is_end(t, BOS));
    assert_false(slmi_tokenizer_is_end(t, -1));
    assert_false(slmi_tokenizer_is_end(t, N_SPM));
    slmi_tokenizer_release(t);
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
    assert_false(slmi_tokenizer_strips_space(t));
    assert_true(slmi_tokenizer_is_end(t, CALL));
    slmi_tokenizer_release(t);
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
    slmi_tokenizer_release(t);
}

static void test_bpe(void **state)
{
    (void)state;
    slm_tokenizer *t = make_bpe("gpt-2");
    CHECK(t, "ab abb", 0, X_AB, X_SPACE_AB, X_B);
    CHECK(t, "ab?", 0, X_AB); /* a byte without a token is left out */
    CHECK(t, "a<t>b<tb<t", 0, X_A, X_TOOL_LONG, X_B, X_TOOL, X_B, X_TOOL);
    CHECK(t, "b<|im_end|>", SLM_TEXT_PARSE_SPECIAL, X_B, X_TURN_END);
    CHECK(t, "b<|im_end|>", 0, X_B);
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    slmi_tokenizer_info(t, &info);
    assert_true(info.bos == -1 && info.eos == -1 && info.eot == X_TURN_END && info.unk == -1);
    assert_true(info.adds_bos == 0);
    assert_string_equal(info.kind, "bpe");
    assert_string_equal(info.pre, "gpt-2");
    assert_true(slmi_tokenizer_is_end(t, X_TURN_END) && slmi_tokenizer_is_end(t, X_TEXT_END));
    assert_int_equal(slmi_tokenizer_find(t, "<|im_end|>", 10), X_TURN_END);
    assert_int_equal(slmi_tokenizer_find(t, " ab", 3), X_SPACE_AB);
    assert_int_equal(slmi_tokenizer_find(t, "zz", 2), -1);
    assert_int_equal(slmi_tokenizer_find(t, "", 0), -1);
    assert_int_equal(slmi_tokenizer_longest_piece(t), 13);
    slmi_tokenizer_retain(t);
    slmi_tokenizer_release(t);
    slmi_tokenizer_release(t);
    slmi_tokenizer_release(NULL);
}

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
    slmi_tokenizer_release(t);
}

static void test_invalid_utf8(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    int32_t ids[16];
    size_t n = 99;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slmi_tokenizer_encode(t, "ab\xFF" "ab", 5, 0, NULL, 0, ids, 16, &n, &err),
                     SLM_ERR_INVALID_UTF8);
    assert_int_equal(err.offset, 2);
    assert_int_equal(n, 0);
    CHECK(t, "ab\xFF", SLM_TEXT_REPLACE_INVALID, MARK_A_B, UNK);
    slmi_tokenizer_release(t);
}

static void test_capacity(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    int32_t ids[2];
    size_t n;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slmi_tokenizer_encode(t, "a b ab", 6, 0, NULL, 0, ids, 2, &n, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 4);
    assert_int_equal(slmi_tokenizer_encode(t, "a b ab", 6, 0, NULL, 0, NULL, 0, &n, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 4);
    slmi_tokenizer_release(t);
}

/* A text whose length does not fit into 31 bits is refused before a byte of it is read. */
static void test_huge_length(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    size_t n;
    static const size_t lengths[] = { (size_t)INT32_MAX + 1, SIZE_MAX / 2, SIZE_MAX };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(slmi_tokenizer_encode(t, "x", lengths[i], 0, NULL, 0, NULL, 0, &n, NULL),
                         SLM_ERR_INVALID_ARGUMENT);
    }
    slmi_tokenizer_release(t);
}

static void check_text(const slm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                       const char *expected)
{
    char text[64];
    size_t length;
    assert_int_equal(slmi_tokenizer_decode(t, ids, n, flags, text, sizeof(text), &length, NULL),
                     SLM_OK);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
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
    assert_int_equal(slmi_tokenizer_decode(t, words, 5, 0, small, 3, &length, &err),
                     SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(length, 10);
    static const int32_t wrong[] = { A, N_SPM };
    assert_int_equal(slmi_tokenizer_decode(t, wrong, 2, 0, small, 3, &length, &err),
                     SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(err.offset, 1);
    static const int32_t negative[] = { -1 };
    assert_int_equal(slmi_tokenizer_decode(t, negative, 1, 0, small, 3, &length, &err),
                     SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(err.offset, 0);
    slmi_tokenizer_release(t);
}

static void test_pieces(void **state)
{
    (void)state;
    slm_tokenizer *t = make_spm();
    const char *bytes;
    size_t length;
    assert_int_equal(slmi_tokenizer_piece(t, MARK_A, 0, &bytes, &length, NULL), SLM_OK);
    assert_int_equal(length, 2);
    assert_memory_equal(bytes, " a", 2);
    assert_int_equal(slmi_tokenizer_piece(t, BYTE_0A, 0, &bytes, &length, NULL), SLM_OK);
    assert_true(length == 1 && bytes[0] == '\n');
    assert_int_equal(slmi_tokenizer_piece(t, BOS, 0, &bytes, &length, NULL), SLM_OK);
    assert_int_equal(length, 0);
    assert_int_equal(slmi_tokenizer_piece(t, BOS, SLM_TEXT_SHOW_SPECIAL, &bytes, &length, NULL),
                     SLM_OK);
    assert_int_equal(length, 3);
    assert_int_equal(slmi_tokenizer_piece(t, N_SPM, 0, &bytes, &length, NULL), SLM_ERR_OUT_OF_RANGE);
    slmi_tokenizer_release(t);
}

static void refuse(gguf_builder *b, slm_status code, const char *part_of_message)
{
    slm_tokenizer *t;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(create_built(b, NULL, &t, &err), code);
    assert_null(t);
    assert_int_equal(err.code, code);
    if (strstr(err.message, part_of_message) == NULL) {
        fail_msg("'%s' lacks '%s'", err.message, part_of_message);
    }
}

static void test_unknown_kinds(void **state)
{
    (void)state;
    static const char *const kinds[] = { "bert", "t5", "rwkv", "plamo2", "no_vocab", "" };
    gguf_builder b;
    for (size_t i = 0; i < 6; i++) {
        gguf_builder_init(&b);
        gguf_add_string(&b, "tokenizer.ggml.model", kinds[i]);
        refuse(&b, SLM_ERR_UNSUPPORTED, kinds[i]);
    }
    gguf_builder_init(&b);
    refuse(&b, SLM_ERR_FORMAT, "no tokenizer");
    static const char *const pres[] = { "falcon", "tekken", "default", "gpt-2x", "" };
    for (size_t i = 0; i < 5; i++) {
        add_bpe(&b, pres[i]);
        refuse(&b, SLM_ERR_UNSUPPORTED, pres[i]);
    }
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
    refuse(&b, SLM_ERR_UNSUPPORTED, "tokenizer.ggml.pre");
}

/* As CVE-2025-49847 and others: arrays that contradict each other, ids outside of the vocabulary. */
static void test_malformed(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.tokens");
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(&b, "tokenizer.ggml.tokens", spm_tokens, 0);
    refuse(&b, SLM_ERR_FORMAT, "empty");
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    gguf_add_i32s(&b, "tokenizer.ggml.tokens", spm_types, N_SPM);
    refuse(&b, SLM_ERR_FORMAT, "an array of i32");
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(&b, "tokenizer.ggml.tokens", spm_tokens, N_SPM);
    gguf_add_f32s(&b, "tokenizer.ggml.scores", spm_scores, N_SPM - 1);
    refuse(&b, SLM_ERR_FORMAT, "13 elements for 14 tokens");
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(&b, "tokenizer.ggml.tokens", spm_tokens, N_SPM - 1);
    gguf_add_i32s(&b, "tokenizer.ggml.token_type", spm_types, N_SPM);
    refuse(&b, SLM_ERR_FORMAT, "14 elements for 13 tokens");
    static const char *const keys[] = { "bos", "eos", "eot", "eom", "unknown" };
    for (size_t i = 0; i < 5; i++) {
        char key[64];
        snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", keys[i]);
        add_spm(&b);
        gguf_add_u32(&b, key, N_SPM);
        refuse(&b, SLM_ERR_FORMAT, key);
        add_spm(&b);
        gguf_add_i32(&b, key, -1);
        refuse(&b, SLM_ERR_FORMAT, key);
        add_spm(&b);
        gguf_add_string(&b, key, "1");
        refuse(&b, SLM_ERR_FORMAT, key);
    }
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&b, "tokenizer.ggml.pre", "gpt-2");
    gguf_add_strings(&b, "tokenizer.ggml.tokens", bpe_tokens, N_BPE);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.merges");
}

/* Strange vocabularies that load all the same: empty, doubled and invalid pieces, NaN scores, types
 * that do not exist, no types and no scores. */
static void test_strange(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        "a", "", "a", "\xFF", "<0xZZ>", "aa", "\xC3", " ", "<0x0A>", "\xE2\x96", "<s>",
    };
    static const int32_t types[] = { 1, 4, 1, 4, 6, 99, 3, 1, 6, -1, 3 };
    static const uint32_t not_a_number[] = { 0x7FC00000, 0xFFC00000, 0xFF800000, 0x7F800000,
                                             0xFFFFFFFF, 0x7FFFFFFF, 0, 0x80000000, 1, 2, 3 };
    float scores[11];
    memcpy(scores, not_a_number, sizeof(scores));
    for (int with = 0; with < 2; with++) {
        gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_string(&b, "tokenizer.ggml.model", "llama");
        gguf_add_strings(&b, "tokenizer.ggml.tokens", tokens, 11);
        if (with) {
            gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 11);
            gguf_add_f32s(&b, "tokenizer.ggml.scores", scores, 11);
        }
        slm_tokenizer *t = make(&b);
        CHECK(t, "aaaa\n", 0, 5, 5, 8);
        CHECK(t, "a", 0, 0);
        slmi_tokenizer_release(t);
    }
}

/* Equal pieces by the thousand: the first of a kind counts, and nothing becomes quadratic. */
static void test_many_duplicates(void **state)
{
    (void)state;
    enum { N = 200000 };
    int32_t *types = malloc(N * sizeof(*types));
    char *text = malloc(2 * N);
    assert_true(types != NULL && text != NULL);
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    gguf_add_array(&b, "tokenizer.ggml.tokens", SLMI_GGUF_STRING, N);
    for (int i = 0; i < N; i++) {
        gguf_put_string(&b.metadata, "<x");
        types[i] = 1 + i % 4;
        memcpy(text + 2 * i, "<x", 2);
    }
    gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, N);
    slm_tokenizer *t = make(&b);
    size_t n;
    assert_int_equal(slmi_tokenizer_encode(t, text, 2 * N, 0, NULL, 0, NULL, 0, &n, NULL),
                     SLM_ERR_BUFFER_TOO_SMALL);
    CHECK(t, "<x", SLM_TEXT_PARSE_SPECIAL, 1);
    slmi_tokenizer_release(t);
    free(types);
    free(text);
}

/* Ends of text and marks of infilling are control tokens, whatever type the file gives them. */
static void test_wrongly_typed_end(void **state)
{
    (void)state;
    static const char *const tokens[] = { "a", "<|im_end|>", "<|eot_id|>", "<|fim_prefix|>" };
    static const int32_t types[] = { 1, 1, 4, 4 };
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(&b, "tokenizer.ggml.pre", "qwen2");
    gguf_add_strings(&b, "tokenizer.ggml.tokens", tokens, 4);
    gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 4);
    gguf_add_strings(&b, "tokenizer.ggml.merges", tokens, 0);
    slm_tokenizer *t = make(&b);
    CHECK(t, "a<|im_end|><|eot_id|><|fim_prefix|>", 0, 0);
    CHECK(t, "a<|im_end|><|eot_id|><|fim_prefix|>", SLM_TEXT_PARSE_SPECIAL, 0, 1, 2, 3);
    assert_true(slmi_tokenizer_is_end(t, 1) && slmi_tokenizer_is_end(t, 2));
    assert_false(slmi_tokenizer_is_end(t, 3));
    static const int32_t ids[] = { 0, 1, 2, 3 };
    check_text(t, ids, 4, 0, "a");
    slmi_tokenizer_release(t);
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
            const slm_status status = slmi_tokenizer_encode(
                t, text, LENGTH, SLM_TEXT_PARSE_SPECIAL, NULL, 0, NULL, 0, &n, NULL);
            assert_true(status == SLM_ERR_BUFFER_TOO_SMALL || n == 0);
        }
        slmi_tokenizer_release(t);
    }
    free(text);
}

static void torture(void (*add)(gguf_builder *b), const char *text, uint32_t flags)
{
    failing_alloc f;
    failing_alloc_init(&f);
    for (int keep = 0; keep < 2; keep++) {
        for (uint64_t k = 1;; k++) {
            gguf_builder b;
            slm_tokenizer *t;
            int32_t ids[64];
            size_t n;
            add(&b);
            failing_alloc_arm(&f, k, keep);
            slm_status status = create_built(&b, &f.host, &t, NULL);
            if (status == SLM_OK) {
                status = slmi_tokenizer_encode(t, text, strlen(text), flags, NULL, 0, ids, 64, &n,
                                               NULL);
                assert_int_equal(f.live_bytes, slmi_tokenizer_memory(t));
            } else {
                assert_null(t);
            }
            assert_int_equal(status, f.n_failed > 0 ? SLM_ERR_OUT_OF_MEMORY : SLM_OK);
            slmi_tokenizer_release(t);
            assert_true(failing_alloc_is_clean(&f));
            if (f.n_failed == 0) {
                break;
            }
        }
    }
    failing_alloc_destroy(&f);
}

static void add_gpt2(gguf_builder *b)
{
    add_bpe(b, "gpt-2");
}

static void test_allocation_failures(void **state)
{
    (void)state;
    torture(add_spm, "ab a b <call>a\xFF", SLM_TEXT_REPLACE_INVALID | SLM_TEXT_ADD_SPECIAL);
    torture(add_gpt2, "ab ab<t>a\xFF", SLM_TEXT_REPLACE_INVALID);
}

static void test_budget(void **state)
{
    (void)state;
    slmi_source source;
    slmi_gguf gguf;
    slmi_alloc alloc;
    gguf_builder b;
    size_t size;
    add_spm(&b);
    uint8_t *bytes = gguf_builder_finish(&b, &size);
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    assert_int_equal(slmi_source_open_memory(&source, bytes, size, NULL), SLM_OK);
    assert_int_equal(slmi_gguf_open(&gguf, &source, NULL, &alloc, NULL), SLM_OK);
    slm_tokenizer *t;
    assert_int_equal(slmi_tokenizer_create(&gguf, NULL, 100, &t, NULL), SLM_ERR_BUDGET);
    assert_int_equal(slmi_tokenizer_create(&gguf, NULL, 1 << 20, &t, NULL), SLM_OK);
    assert_true(slmi_tokenizer_memory(t) < 1 << 20);
    slmi_tokenizer_release(t);
    slmi_gguf_close(&gguf);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_spm_options),
        cmocka_unit_test(test_phi_3_strips),
        cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_literal_spans),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_huge_length),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_unknown_kinds),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_many_duplicates),
        cmocka_unit_test(test_wrongly_typed_end),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
