/* SPDX-License-Identifier: MIT */
/* Small vocabularies whose ids one can tell by hand, and files on disk, for the tests of the tokenizer. */
#include "tokenizer_fixture.h"

#include "support/files.h"

const char *const spm_tokens[N_SPM] = {
    "<unk>", "<s>", "</s>", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>",
    "\xE2\x96\x81", "a", "b", "\xE2\x96\x81" "a", "ab", "\xE2\x96\x81" "ab", "<call>",
};
const float spm_scores[N_SPM] = { 0, 0, 0, 0, 0, 0, 0, -9, -8, -7, -3, -2, -1, 0 };
const int32_t spm_types[N_SPM] = { 2, 3, 3, 6, 6, 6, 6, 1, 1, 1, 1, 1, 1, 4 };

void add_spm(gguf_builder *b)
{
    add_tokens(b, "llama", spm_tokens, N_SPM);
    gguf_add_f32s(b, "tokenizer.ggml.scores", spm_scores, N_SPM);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", spm_types, N_SPM);
}

const char *const bpe_tokens[N_BPE] = {
    "a", "b", "\xC4\xA0", "ab", ("\xC4\xA0" "ab"), "<|endoftext|>", "<|im_end|>", "<t", "<t>",
};
const int32_t bpe_types[N_BPE] = { 1, 1, 1, 1, 1, 3, 3, 4, 4 };
static const char *const bpe_merges[] = { "a b", "\xC4\xA0 ab", "a zz", "b b", "nonsense", "" };

void add_bpe(gguf_builder *b, const char *pre)
{
    gguf_builder_init(b);
    gguf_add_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(b, "tokenizer.ggml.pre", pre);
    gguf_add_strings(b, "tokenizer.ggml.tokens", bpe_tokens, N_BPE);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", bpe_types, N_BPE);
    gguf_add_strings(b, "tokenizer.ggml.merges", bpe_merges, 6);
}

void add_tokens(gguf_builder *b, const char *model, const char *const *tokens, size_t n)
{
    gguf_builder_init(b);
    gguf_add_string(b, "tokenizer.ggml.model", model);
    if (strcmp(model, "gpt2") == 0) {
        gguf_add_string(b, "tokenizer.ggml.pre", "gpt-2");
    }
    gguf_add_strings(b, "tokenizer.ggml.tokens", tokens, n);
}

slm_status load_built(gguf_builder *b, const slm_model_options *options, slm_tokenizer **tokenizer,
                      slm_error *err)
{
    char path[64];
    size_t size;
    uint8_t *bytes = gguf_builder_finish(b, &size);
    test_path(path, sizeof(path), "tokenizer.gguf");
    assert_true(test_file_write(path, bytes, size));
    const slm_status status = slm_tokenizer_load(path, options, tokenizer, err);
    assert_true(test_file_remove(path));
    free(bytes);
    return status;
}

slm_tokenizer *make(gguf_builder *b)
{
    slm_tokenizer *t;
    slm_error err = SLM_ERROR_INIT;
    if (load_built(b, NULL, &t, &err) != SLM_OK) {
        fail_msg("%s", err.message);
    }
    return t;
}

slm_tokenizer *make_spm(void)
{
    gguf_builder b;
    add_spm(&b);
    return make(&b);
}

slm_tokenizer *make_bpe(const char *pre)
{
    gguf_builder b;
    add_bpe(&b, pre);
    return make(&b);
}

char *read_text(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    rewind(file);
    char *text = malloc((size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)length, file), length);
    text[length] = '\0';
    fclose(file);
    *size = (size_t)length;
    return text;
}

void check_ids(const slm_tokenizer *tokenizer, const char *text, size_t length, uint32_t flags,
               const int32_t *ids, size_t n)
{
    int32_t *got = malloc((n + 1) * sizeof(*got));
    assert_non_null(got);
    size_t n_got = 0;
    const slm_status status = slm_tokenizer_encode(tokenizer, text, length, flags, got, n, &n_got, NULL);
    if (status != SLM_OK || n_got != n || (n > 0 && memcmp(got, ids, n * sizeof(*ids)) != 0)) {
        print_error("text '%.*s', flags %u: status %d, %zu ids for %zu\n", (int)length, text, flags,
                    (int)status, n_got, n);
        fail();
    }
    /* Without room the number is the same. */
    assert_int_equal(slm_tokenizer_encode(tokenizer, text, length, flags, NULL, 0, &n_got, NULL),
                     n > 0 ? SLM_ERR_BUFFER_TOO_SMALL : SLM_OK);
    assert_int_equal(n_got, n);
    free(got);
}

void check_text(const slm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                       const char *expected)
{
    char text[64];
    size_t length;
    assert_int_equal(slm_tokenizer_decode(t, ids, n, flags, text, sizeof(text), &length, NULL),
                     SLM_OK);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
}
