/* SPDX-License-Identifier: MIT */
/* The first byte chooses: a GGUF file as vocabulary, or text for a small built-in one. */
#include <string.h>

#include "base/text.h"
#include "fuzz.h"
#include "support/gguf_builder.h"
#include "tokenizer/tokenizer.h"

#define N_BUILT_IN 5
#define MAX_TEXT 4096

/* A vocabulary of all bytes in GPT-2's alphabet, and some merges. */
static void add_bytes_vocabulary(gguf_builder *b, const char *pre)
{
    static const char *const more[] = { "ab", "abab", ("\xC4\xA0" "a"), "\xC4\x8A\xC4\x8A", "11", "'s" };
    static const char *const merges[] = { "a b", "ab ab", "\xC4\xA0 a", "\xC4\x8A \xC4\x8A", "1 1",
                                          "' s" };
    static const char *const special[] = { "<|im_end|>", "<t", "<t>" };
    int32_t types[256 + 6 + 3];
    gguf_add_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_add_string(b, "tokenizer.ggml.pre", pre);
    gguf_add_array(b, "tokenizer.ggml.tokens", 8, 256 + 6 + 3);
    uint32_t shifted = 256;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const int shown = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        const uint32_t c = shown ? byte : shifted++;
        const char wide[3] = { (char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F)), '\0' };
        const char letter[2] = { (char)c, '\0' };
        gguf_put_string(&b->metadata, c < 0x80 ? letter : wide);
    }
    for (int i = 0; i < 6; i++) {
        gguf_put_string(&b->metadata, more[i]);
    }
    for (int i = 0; i < 3; i++) {
        gguf_put_string(&b->metadata, special[i]);
    }
    for (int i = 0; i < 256 + 6 + 3; i++) {
        types[i] = i < 262 ? 1 : i == 262 ? 3 : 4;
    }
    gguf_add_i32s(b, "tokenizer.ggml.token_type", types, 256 + 6 + 3);
    gguf_add_strings(b, "tokenizer.ggml.merges", merges, 6);
}

static void add_spm_vocabulary(gguf_builder *b)
{
    static const char *const more[] = { "<unk>", "<s>", "</s>", "<t>", "\xE2\x96\x81", "a", "b",
                                        "\xE2\x96\x81\xE2\x96\x81", "ab", "\xE2\x96\x81" "ab",
                                        "b\xE2\x96\x81" "a" };
    static const int32_t kinds[] = { 2, 3, 3, 4, 1, 1, 1, 1, 1, 1, 1 };
    int32_t types[11 + 256];
    float scores[11 + 256];
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_array(b, "tokenizer.ggml.tokens", 8, 11 + 256);
    for (int i = 0; i < 11 + 256; i++) {
        char byte[8];
        snprintf(byte, sizeof(byte), "<0x%02X>", (unsigned)(i - 11) & 0xFF);
        gguf_put_string(&b->metadata, i < 11 ? more[i] : byte);
        types[i] = i < 11 ? kinds[i] : 6;
        scores[i] = (float)i;
    }
    gguf_add_i32s(b, "tokenizer.ggml.token_type", types, 11 + 256);
    gguf_add_f32s(b, "tokenizer.ggml.scores", scores, 11 + 256);
}

static slm_tokenizer *create(const uint8_t *file, size_t size)
{
    slmi_source source;
    slmi_gguf gguf;
    slmi_alloc alloc;
    slm_tokenizer *t = NULL;
    slm_error err = SLM_ERROR_INIT;
    if (size == 0) {
        return NULL;
    }
    MUST(slmi_alloc_init(&alloc, NULL, 0, NULL) == SLM_OK);
    MUST(slmi_source_open_memory(&source, file, size, NULL) == SLM_OK);
    if (slmi_gguf_open(&gguf, &source, NULL, &alloc, NULL) == SLM_OK) {
        const slm_status status = slmi_tokenizer_create(&gguf, NULL, 0, &t, &err);
        MUST((status == SLM_OK) == (t != NULL));
        MUST(status == SLM_OK || (err.code == status && err.message[0] != '\0'));
        slmi_gguf_close(&gguf);
    }
    MUST(atomic_load(&alloc.used) == 0);
    return t;
}

static slm_tokenizer *create_built_in(int which)
{
    static const char *const pres[] = { "gpt-2", "llama-bpe", "qwen2", "smollm" };
    gguf_builder b;
    size_t size;
    gguf_builder_init(&b);
    if (which < 4) {
        add_bytes_vocabulary(&b, pres[which]);
    } else {
        add_spm_vocabulary(&b);
    }
    uint8_t *file = gguf_builder_finish(&b, &size);
    slm_tokenizer *t = create(file, size);
    MUST(t != NULL);
    free(file);
    return t;
}

/* Encodes, decodes, and looks at each token. `lossless`: the text must come back. */
static void exercise(const slm_tokenizer *t, const char *text, size_t length, uint32_t flags,
                     int lossless)
{
    static int32_t ids[8 * MAX_TEXT + 2];
    static char back[1 << 16];
    size_t n, n_again, n_back;
    const slmi_span spans[] = { { length / 4, length / 2 }, { length / 2, length / 2 + length / 8 } };
    const size_t n_spans = flags & 16 ? 2 : 0;
    const size_t capacity = sizeof(ids) / sizeof(ids[0]);
    const slm_status status = slmi_tokenizer_encode(t, text, length, flags & 7, spans, n_spans, ids,
                                                    capacity, &n, NULL);
    const int valid = slmi_utf8_check(text, length) == length;
    MUST(status == SLM_OK || (status == SLM_ERR_INVALID_UTF8 && !valid));
    if (status != SLM_OK) {
        return;
    }
    MUST(n <= capacity);
    MUST(slmi_tokenizer_encode(t, text, length, flags & 7, spans, n_spans, NULL, 0, &n_again,
                               NULL) == (n > 0 ? SLM_ERR_BUFFER_TOO_SMALL : SLM_OK));
    MUST(n == n_again);
    for (size_t i = 0; i < n; i++) {
        const char *bytes;
        size_t piece;
        MUST(slmi_tokenizer_piece(t, ids[i], SLM_TEXT_SHOW_SPECIAL, &bytes, &piece, NULL) == SLM_OK);
        MUST(piece <= slmi_tokenizer_longest_piece(t));
        (void)slmi_tokenizer_is_end(t, ids[i]);
    }
    const slm_status decoded = slmi_tokenizer_decode(t, ids, n, SLM_TEXT_SHOW_SPECIAL, back,
                                                     sizeof(back), &n_back, NULL);
    MUST(decoded == SLM_OK || decoded == SLM_ERR_BUFFER_TOO_SMALL);
    if (decoded == SLM_OK) {
        MUST(slmi_utf8_check(back, n_back) == n_back);
        MUST(!lossless || !valid || (n_back == length && memcmp(back, text, length) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_tokenizer *built_in[N_BUILT_IN];
    static const char sample[] = "ab a b\n\n12 abab's <|im_end|><t> \xE2\x82\xAC\xE2\x96\x81 ";
    if (size < 2) {
        return 0;
    }
    const int which = data[0] % (N_BUILT_IN + 1);
    if (which == N_BUILT_IN) {
        slm_tokenizer *t = create(data + 2, size - 2);
        if (t != NULL) {
            exercise(t, sample, sizeof(sample) - 1, data[1], 0);
            exercise(t, (const char *)data, size < MAX_TEXT ? size : MAX_TEXT,
                     data[1] | SLM_TEXT_REPLACE_INVALID, 0);
            slmi_tokenizer_release(t);
        }
        return 0;
    }
    if (built_in[which] == NULL) {
        built_in[which] = create_built_in(which);
    }
    size = size - 2 < MAX_TEXT ? size - 2 : MAX_TEXT;
    char *text = malloc(size + 1); /* of its own, so that reading too far is seen */
    MUST(text != NULL);
    memcpy(text, data + 2, size);
    exercise(built_in[which], text, size, data[1], which < 4 && !(data[1] & SLM_TEXT_ADD_SPECIAL));
    free(text);
    return 0;
}
