/* SPDX-License-Identifier: MIT */
/* Loading vocabularies: what is refused, what is strange but loads, memory that fails or is limited. */
#include "tokenizer_fixture.h"

#include "format/gguf.h"

static void refuse(gguf_builder *b, slm_status code, const char *part_of_message)
{
    slm_tokenizer *t;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(load_built(b, NULL, &t, &err), code);
    assert_null(t);
    assert_int_equal(err.code, code);
    if (strstr(err.message, part_of_message) == NULL) {
        fail_msg("'%s' lacks '%s'", err.message, part_of_message);
    }
}

static void test_unknown_kinds(void **state)
{
    (void)state;
    static const char *const kinds[] = { "bert", "t5", "rwkv", "plamo2", "no_vocab", "",
                                         "llamb", "gpt3" };
    gguf_builder b;
    for (size_t i = 0; i < 8; i++) {
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

/* Each entry of another type than it should have. */
static void test_wrong_types(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_u32(&b, "tokenizer.ggml.model", 1);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.model");
    gguf_builder_init(&b);
    gguf_add_string(&b, "tokenizer.ggml.model", "gpt2");
    gguf_add_u32(&b, "tokenizer.ggml.pre", 1);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.pre");
    add_tokens(&b, "llama", spm_tokens, N_SPM);
    gguf_add_f32s(&b, "tokenizer.ggml.token_type", spm_scores, N_SPM);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.token_type");
    add_tokens(&b, "llama", spm_tokens, N_SPM);
    gguf_add_i32s(&b, "tokenizer.ggml.scores", spm_types, N_SPM);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.scores");
    add_tokens(&b, "gpt2", bpe_tokens, N_BPE);
    gguf_add_i32s(&b, "tokenizer.ggml.merges", bpe_types, N_BPE);
    refuse(&b, SLM_ERR_FORMAT, "tokenizer.ggml.merges");
    static const char *const keys[] = { "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.add_bos_token",
                                        "tokenizer.ggml.add_eos_token", "general.name" };
    for (size_t i = 0; i < 4; i++) {
        add_spm(&b);
        gguf_add_u32(&b, keys[i], 1);
        refuse(&b, SLM_ERR_FORMAT, keys[i]);
    }
}

/* A piece has at most 65,536 bytes. */
static void test_longest_piece(void **state)
{
    (void)state;
    enum { MOST = 65536 };
    static char text[MOST + 2];
    const char *const tokens[] = { "a", text };
    for (size_t length = MOST; length <= MOST + 1; length++) {
        gguf_builder b;
        memset(text, 'a', length);
        add_tokens(&b, "llama", tokens, 2);
        if (length > MOST) {
            refuse(&b, SLM_ERR_LIMIT, "token 1 has 65537 bytes; at most 65536 are possible");
            continue;
        }
        slm_tokenizer *t = make(&b);
        const char *bytes;
        size_t n;
        assert_int_equal(slm_tokenizer_get_piece(t, 1, &bytes, &n, NULL), SLM_OK);
        assert_int_equal(n, MOST);
        slm_tokenizer_release(t);
    }
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
        slm_tokenizer_release(t);
    }
}

static void check_piece(const slm_tokenizer *t, int32_t id, const char *expected)
{
    const char *bytes;
    size_t n;
    assert_int_equal(slm_tokenizer_get_piece(t, id, &bytes, &n, NULL), SLM_OK);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(bytes, expected, n);
}

/* Byte-level pieces and merges that are not in the alphabet, merges that come twice or lack a side. U+0143
 * is the alphabet's last letter, for byte AD; U+00AD is no letter. */
static void test_strange_bpe(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        "a", "b", "ab", "ba", "\xC5\x83", "\xC2\xAD", "\xFF", "", "a\xC2\xAD", "<0x0A>", "caf\xC3\xA9",
    };
    static const int32_t types[] = { 1, 1, 1, 1, 1, 1, 1, 3, 1, 6, 4 };
    static const char *const merges[] = {
        "a b", "b a", "a b", "\xC2\xAD b", "a \xC2\xAD", "\xFF b", "a \xFF", "a ", " a", " ", "a", "aa",
    };
    for (int with = 0; with < 2; with++) {
        gguf_builder b;
        add_tokens(&b, "gpt2", tokens, 11);
        gguf_add_strings(&b, "tokenizer.ggml.merges", merges, 12);
        if (with) {
            gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 11);
        }
        slm_tokenizer *t = make(&b);
        CHECK(t, "abab", 0, 2, 2);
        CHECK(t, "aba", 0, 2, 0); /* the first of equal merges counts */
        CHECK(t, "\xC2\xAD", 0, 4);
        CHECK(t, "a\xC2\xAD" "b", 0, 0, 4, 1);
        check_piece(t, 4, "\xAD");
        check_piece(t, 5, "\xC2\xAD");
        check_piece(t, 6, "\xFF");
        check_piece(t, 7, "");
        check_piece(t, 9, with ? "\n" : "<0x0A>");
        if (with) {
            CHECK(t, "\n", 0, 9);
            CHECK(t, "acaf\xC3\xA9", 0, 0, 10); /* a user's own piece is written as it is */
        } else {
            check_ids(t, "\n", 1, 0, NULL, 0);
            CHECK(t, "acaf\xC3\xA9", 0, 0, 0);
        }
        slm_tokenizer_release(t);
    }
}

/* What looks like a byte token but is none, and one that comes twice. */
static void test_strange_bytes(void **state)
{
    (void)state;
    static const char *const tokens[] = {
        "a", "<0x0A>", "<0x0A)", "<0xGA>", "<0x0G>", "(0x0A>", "<0x0a>", "<0x0A>", "<0xFF>", "<0x/0>",
        "<0x0:>",
    };
    for (int typed = 0; typed < 2; typed++) {
        static const int32_t types[] = { 1, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6 };
        gguf_builder b;
        add_tokens(&b, "llama", tokens, 11);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", 0);
        if (typed) {
            gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 11);
        }
        slm_tokenizer *t = make(&b);
        for (int32_t id = 0; id < 11; id++) {
            check_piece(t, id, id == 1 || id == 7 ? "\n" : id == 8 ? "\xFF" : tokens[id]);
        }
        CHECK(t, "a\n", 0, 0, 1);
        slm_tokenizer_release(t);
    }
}

/* A vocabulary too small for the usual ids of special tokens has none. */
static void test_tiny_vocabulary(void **state)
{
    (void)state;
    static const char *const tokens[] = { "a", "b", "c" };
    for (size_t n = 1; n <= 3; n++) {
        slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
        gguf_builder b;
        add_tokens(&b, "llama", tokens, n);
        gguf_add_bool(&b, "tokenizer.ggml.add_eos_token", 1);
        gguf_add_bool(&b, "tokenizer.ggml.add_space_prefix", 0);
        slm_tokenizer *t = make(&b);
        assert_int_equal(slm_tokenizer_get_info(t, &info, NULL), SLM_OK);
        assert_true(info.n_vocab == n && info.bos == -1 && info.eos == -1 && info.unk == -1);
        assert_true(info.adds_bos == 0 && info.adds_eos == 0);
        CHECK(t, "a", SLM_TEXT_ADD_SPECIAL, 0);
        check_ids(t, "z", 1, 0, NULL, 0);
        slm_tokenizer_release(t);
    }
}

/* One text as a control token and as a user's own: parsing takes the one with the lower id, and without it
 * the control token is not seen. Ends of texts sort before what goes on. */
static void test_equal_specials(void **state)
{
    (void)state;
    static const char *const tokens[] = { "a", "<t>", "<t>", "<", "<t><t>", "<u>", "<u>" };
    static const int32_t types[] = { 1, 3, 4, 4, 3, 4, 3 };
    gguf_builder b;
    add_tokens(&b, "gpt2", tokens, 7);
    gguf_add_i32s(&b, "tokenizer.ggml.token_type", types, 7);
    gguf_add_strings(&b, "tokenizer.ggml.merges", tokens, 0);
    slm_tokenizer *t = make(&b);
    CHECK(t, "<t>a<t><t><<u>", 0, 2, 0, 2, 2, 3, 5);
    CHECK(t, "<t>a<t><t><<u>", SLM_TEXT_PARSE_SPECIAL, 1, 0, 4, 3, 5);
    CHECK(t, "aa", 0, 0, 0);
    slm_tokenizer_release(t);
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
    assert_int_equal(slm_tokenizer_encode(t, text, 2 * N, 0, NULL, 0, &n, NULL),
                     SLM_ERR_BUFFER_TOO_SMALL);
    CHECK(t, "<x", SLM_TEXT_PARSE_SPECIAL, 1);
    slm_tokenizer_release(t);
    free(types);
    free(text);
}

/* And equal merges. */
static void test_many_equal_merges(void **state)
{
    (void)state;
    enum { N = 500000 };
    static const char *const tokens[] = { "a", "b", "ab", "ba" };
    gguf_builder b;
    add_tokens(&b, "gpt2", tokens, 4);
    gguf_add_array(&b, "tokenizer.ggml.merges", SLMI_GGUF_STRING, N + 1);
    for (int i = 0; i < N; i++) {
        gguf_put_string(&b.metadata, "a b");
    }
    gguf_put_string(&b.metadata, "b a");
    slm_tokenizer *t = make(&b);
    CHECK(t, "ababba", 0, 2, 2, 3);
    slm_tokenizer_release(t);
}

/* A merge gives the first of equal pieces, also right after a merge whose result stands before the second. */
static void test_equal_results(void **state)
{
    (void)state;
    static const char *const tokens[] = { "a", "b", "ab", "ba", "ab", "bb", "bb", "aab" };
    static const char *const merges[] = { "b a", "a b", "b b", "a ab" };
    gguf_builder b;
    add_tokens(&b, "gpt2", tokens, 8);
    gguf_add_strings(&b, "tokenizer.ggml.merges", merges, 4);
    slm_tokenizer *t = make(&b);
    CHECK(t, "ab", 0, 2);
    CHECK(t, "bb", 0, 5);
    CHECK(t, "aab", 0, 7);
    CHECK(t, "ba", 0, 3);
    slm_tokenizer_release(t);
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
    assert_true(slm_tokenizer_is_end(t, 1) && slm_tokenizer_is_end(t, 2));
    assert_false(slm_tokenizer_is_end(t, 3));
    static const int32_t ids[] = { 0, 1, 2, 3 };
    check_text(t, ids, 4, 0, "a");
    slm_tokenizer_release(t);
}

static void torture(void (*add)(gguf_builder *b), const char *text, uint32_t flags)
{
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    failing_alloc f;
    failing_alloc_init(&f);
    options.host = &f.host;
    for (int keep = 0; keep < 2; keep++) {
        for (uint64_t k = 1;; k++) {
            gguf_builder b;
            slm_tokenizer *t;
            int32_t ids[64];
            size_t n;
            add(&b);
            failing_alloc_arm(&f, k, keep);
            slm_status status = load_built(&b, &options, &t, NULL);
            if (status == SLM_OK) {
                status = slm_tokenizer_encode(t, text, strlen(text), flags, ids, 64, &n, NULL);
            } else {
                assert_null(t);
            }
            assert_int_equal(status, f.n_failed > 0 ? SLM_ERR_OUT_OF_MEMORY : SLM_OK);
            slm_tokenizer_release(t);
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

/* The limit holds from the first block to the last, and what just fits is taken. */
static void test_budget(void **state)
{
    (void)state;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_status status = SLM_ERR_BUDGET;
    failing_alloc f;
    failing_alloc_init(&f);
    options.host = &f.host;
    for (uint64_t limit = 16; status == SLM_ERR_BUDGET; limit += 16) {
        gguf_builder b;
        slm_tokenizer *t;
        add_spm(&b);
        options.max_memory_bytes = limit;
        status = load_built(&b, &options, &t, NULL);
        assert_true(status == SLM_OK ? f.live_bytes <= limit : t == NULL && limit < 1 << 20);
        slm_tokenizer_release(t);
        assert_true(failing_alloc_is_clean(&f));
    }
    assert_int_equal(status, SLM_OK);
    assert_int_equal(f.n_failed, 0);
    failing_alloc_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_kinds),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_longest_piece),
        cmocka_unit_test(test_strange),
        cmocka_unit_test(test_strange_bpe),
        cmocka_unit_test(test_strange_bytes),
        cmocka_unit_test(test_tiny_vocabulary),
        cmocka_unit_test(test_equal_specials),
        cmocka_unit_test(test_many_duplicates),
        cmocka_unit_test(test_many_equal_merges),
        cmocka_unit_test(test_equal_results),
        cmocka_unit_test(test_wrongly_typed_end),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests_name("tokenizer vocabularies", tests, NULL, NULL);
}
