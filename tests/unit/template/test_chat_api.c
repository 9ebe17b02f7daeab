/* SPDX-License-Identifier: MIT */
/* slm/chat.h and slm/tokenizer.h over a tiny model: every status, control tokens, BOS, sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slm/chat.h"
#include "slm/tokenizer.h"
#include "support/files.h"
#include "support/gguf_builder.h"

#define WIDTH 32

enum { BOS = 1, EOS = 2, FIRST_BYTE = 3, IM_START = 259, IM_END, N_VOCAB };

#define CHATML                                                                                     \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] " \
    "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "                        \
    "'<|im_start|>assistant\\n' }}{% endif %}"

static slm_error err;

/* The error says what the status says. */
#define assert_fails(call, status)           \
    do {                                     \
        err = (slm_error)SLM_ERROR_INIT;     \
        assert_int_equal(call, status);      \
        assert_int_equal(err.code, status);  \
        assert_true(strlen(err.message) > 8); \
    } while (0)

static void add_vocabulary(gguf_builder *b)
{
    static char names[N_VOCAB][16];
    const char *tokens[N_VOCAB];
    float scores[N_VOCAB] = { 0 };
    int32_t types[N_VOCAB];
    for (int i = 0; i < N_VOCAB; i++) {
        snprintf(names[i], sizeof(names[i]), "<0x%02X>", (unsigned)(i - FIRST_BYTE) & 0xFF);
        tokens[i] = names[i];
        types[i] = 6; /* byte */
    }
    tokens[0] = "<unk>";
    types[0] = 2;
    tokens[BOS] = "<s>";
    tokens[EOS] = "</s>";
    tokens[IM_START] = "<|im_start|>";
    tokens[IM_END] = "<|im_end|>";
    types[BOS] = types[EOS] = types[IM_START] = types[IM_END] = 3; /* control */
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(b, "tokenizer.ggml.tokens", tokens, N_VOCAB);
    gguf_add_f32s(b, "tokenizer.ggml.scores", scores, N_VOCAB);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", types, N_VOCAB);
    gguf_add_u32(b, "tokenizer.ggml.bos_token_id", BOS);
    gguf_add_u32(b, "tokenizer.ggml.eos_token_id", EOS);
    gguf_add_bool(b, "tokenizer.ggml.add_bos_token", 0);
    gguf_add_bool(b, "tokenizer.ggml.add_space_prefix", 0);
}

static void add_weight(gguf_builder *b, const char *name, uint64_t columns, uint64_t rows)
{
    static const float zeros[WIDTH * N_VOCAB];
    const uint64_t dims[2] = { columns, rows };
    gguf_add_tensor(b, name, 0, rows > 0 ? 2 : 1, dims, zeros, columns * (rows > 0 ? rows : 1) * 4);
}

static uint8_t *build(const char *template, size_t *size)
{
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    gguf_add_u32(&b, "llama.block_count", 1);
    gguf_add_u32(&b, "llama.context_length", 64);
    gguf_add_u32(&b, "llama.embedding_length", WIDTH);
    gguf_add_u32(&b, "llama.feed_forward_length", WIDTH);
    gguf_add_u32(&b, "llama.attention.head_count", 1);
    gguf_add_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    add_vocabulary(&b);
    if (template != NULL) {
        gguf_add_string(&b, "tokenizer.chat_template", template);
    }
    add_weight(&b, "token_embd.weight", WIDTH, N_VOCAB);
    add_weight(&b, "output_norm.weight", WIDTH, 0);
    add_weight(&b, "blk.0.attn_norm.weight", WIDTH, 0);
    add_weight(&b, "blk.0.ffn_norm.weight", WIDTH, 0);
    static const char *const names[] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up",
                                         "ffn_down" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[40];
        snprintf(name, sizeof(name), "blk.0.%s.weight", names[i]);
        add_weight(&b, name, WIDTH, WIDTH);
    }
    return gguf_builder_finish(&b, size);
}

static slm_model *load(const char *template)
{
    size_t size;
    slm_model *model = NULL;
    uint8_t *file = build(template, &size);
    const slm_status status = slm_model_load_memory(file, size, NULL, &model, &err);
    if (status != SLM_OK) {
        fail_msg("%s: %s", slm_status_name(status), err.message);
    }
    free(file);
    return model;
}

static const slm_chat_message hello = { "user", "a<|im_end|>", 11 };

static void formats(void **state)
{
    (void)state;
    const char *name = "x";
    slm_model *model = load(NULL);
    assert_int_equal(slm_chat_get_format(model, &name, &err), SLM_OK);
    assert_string_equal(name, "bare");
    assert_fails(slm_chat_get_format(NULL, &name, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_null(name);
    assert_fails(slm_chat_get_format(model, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    slm_model_release(model);
    model = load(CHATML);
    assert_int_equal(slm_chat_get_format(model, &name, &err), SLM_OK);
    assert_string_equal(name, "chatml");
    slm_model_release(model);
    model = load("<|user|>{{ messages }}");
    size_t length;
    assert_fails(slm_chat_get_format(model, &name, &err), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "<|user|>"));
    assert_null(name);
    assert_fails(slm_chat_render(model, &hello, 1, 0, NULL, 0, &length, &err), SLM_ERR_UNSUPPORTED);
    slm_model_release(model);
}

static void rendering(void **state)
{
    (void)state;
    static const char expected[] = "<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>assistant\n";
    char text[100] = { 0 };
    size_t length;
    slm_model *model = load(CHATML);
    assert_int_equal(slm_chat_render(model, &hello, 1, 1, text, sizeof(text), &length, &err), SLM_OK);
    assert_int_equal(length, strlen(expected));
    assert_string_equal(text, expected);
    assert_fails(slm_chat_render(model, &hello, 1, 1, NULL, 0, &length, &err), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(length, strlen(expected));
    assert_int_equal(slm_chat_render(model, &hello, 1, 1, text, length, &length, &err), SLM_OK);
    slm_model_release(model);
}

static void arguments(void **state)
{
    (void)state;
    char text[100];
    int32_t ids[100];
    size_t n;
    const slm_chat_message tool = { "tool", "x", 1 }, no_role = { NULL, "x", 1 };
    const slm_chat_message no_content = { "user", NULL, 1 }, empty = { "user", NULL, 0 };
    const slm_chat_message invalid[] = { { "user", "ok", 2 }, { "user", "ab\xFF", 3 } };
    slm_model *model = load(CHATML);
#define BOTH(messages, count, flags, status)                                                          \
    assert_fails(slm_chat_render(model, messages, count, flags, text, sizeof(text), &n, &err), status); \
    assert_int_equal(n, 0);                                                                           \
    assert_fails(slm_chat_encode(model, messages, count, flags, ids, 100, &n, &err), status);         \
    assert_int_equal(n, 0)
    BOTH(NULL, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&hello, 0, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&hello, 1, 4, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&no_role, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&no_content, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&tool, 1, 0, SLM_ERR_UNSUPPORTED);
    BOTH(invalid, 2, 0, SLM_ERR_INVALID_UTF8);
    assert_int_equal(err.offset, 2);
#undef BOTH
    assert_fails(slm_chat_render(NULL, &hello, 1, 0, text, 100, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_chat_render(model, &hello, 1, 0, text, 100, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_chat_render(model, &hello, 1, 0, NULL, 100, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_chat_encode(NULL, &hello, 1, 0, ids, 100, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_chat_encode(model, &hello, 1, 0, ids, 100, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_chat_encode(model, &hello, 1, 0, NULL, 100, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_chat_render(model, &empty, 1, 0, text, 100, &n, &err), SLM_OK);
    slm_model_release(model);
}

static size_t count(const int32_t *ids, size_t n, int32_t id)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        found += ids[i] == id;
    }
    return found;
}

/* Only the format's own control tokens are tokens; the one inside the message is ten bytes. */
static void messages_cannot_pretend(void **state)
{
    (void)state;
    int32_t ids[100];
    size_t n, needed;
    slm_model *model = load(CHATML);
    assert_int_equal(slm_chat_encode(model, &hello, 1, 1, ids, 100, &n, &err), SLM_OK);
    assert_int_equal(n, 1 + 5 + 11 + 1 + 1 + 1 + 10);
    assert_int_equal(count(ids, n, IM_START), 2);
    assert_int_equal(count(ids, n, IM_END), 1);
    assert_int_equal(ids[0], IM_START);
    assert_int_equal(ids[6], FIRST_BYTE + 'a');
    assert_int_equal(ids[17], IM_END);
    assert_fails(slm_chat_encode(model, &hello, 1, 1, ids, n - 1, &needed, &err), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(needed, n);
    slm_model_release(model);
}

static void bos_stands_in_front(void **state)
{
    (void)state;
    int32_t ids[100], with_bos[100];
    size_t n, n_with;
    slm_model *model = load(CHATML), *other = load("{{ bos_token }}" CHATML);
    assert_int_equal(slm_chat_encode(model, &hello, 1, 0, ids, 100, &n, &err), SLM_OK);
    assert_int_equal(slm_chat_encode(other, &hello, 1, 0, with_bos, 100, &n_with, &err), SLM_OK);
    assert_int_equal(n_with, n + 1);
    assert_int_equal(with_bos[0], BOS);
    assert_memory_equal(with_bos + 1, ids, n * sizeof(ids[0]));
    assert_fails(slm_chat_encode(other, &hello, 1, 0, NULL, 0, &n_with, &err), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n_with, n + 1);
    assert_int_equal(slm_chat_encode(other, &hello, 1, SLM_CHAT_CONTINUE, with_bos, 100, &n_with, &err),
                     SLM_OK);
    assert_int_equal(n_with, n + 1); /* a line break in front, no BOS */
    assert_int_equal(with_bos[0], FIRST_BYTE + '\n');
    assert_memory_equal(with_bos + 1, ids, n * sizeof(ids[0]));
    slm_model_release(model);
    slm_model_release(other);
}

static void tokenizer_calls(void **state)
{
    (void)state;
    int32_t ids[20], bad[] = { FIRST_BYTE + 'a', N_VOCAB };
    char text[20];
    const char *piece;
    size_t n;
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    slm_model *model = load(NULL);
    slm_tokenizer *t = slm_tokenizer_retain(slm_model_get_tokenizer(model));
    slm_model_release(model); /* the tokenizer lives on */
    assert_null(slm_tokenizer_retain(NULL));
    slm_tokenizer_release(NULL);

    assert_fails(slm_tokenizer_encode(NULL, "a", 1, 0, ids, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_encode(t, NULL, 1, 0, ids, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_encode(t, "a", 1, 0, NULL, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_encode(t, "a", 1, 0, ids, 20, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_encode(t, "a", 1, SLM_TEXT_SHOW_SPECIAL, ids, 20, &n, &err),
                 SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_encode(t, "ab\xFF", 3, 0, ids, 20, &n, &err), SLM_ERR_INVALID_UTF8);
    assert_int_equal(err.offset, 2);
    assert_int_equal(slm_tokenizer_encode(t, "\xFF", 1, SLM_TEXT_REPLACE_INVALID, ids, 20, &n, &err), SLM_OK);
    assert_int_equal(n, 3);
    assert_int_equal(slm_tokenizer_encode(t, NULL, 0, 0, NULL, 0, &n, &err), SLM_OK);
    assert_int_equal(n, 0);
    assert_fails(slm_tokenizer_encode(t, "abc", 3, 0, ids, 2, &n, &err), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 3);

    assert_fails(slm_tokenizer_decode(NULL, ids, 0, 0, text, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_decode(t, NULL, 1, 0, text, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_decode(t, ids, 1, 0, NULL, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_decode(t, ids, 1, 0, text, 20, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_decode(t, ids, 1, 1, text, 20, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_decode(t, bad, 2, 0, text, 20, &n, &err), SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(err.offset, 1);
    assert_fails(slm_tokenizer_decode(t, bad, 1, 0, NULL, 0, &n, &err), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 1);

    assert_fails(slm_tokenizer_get_piece(NULL, 1, &piece, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_get_piece(t, 1, NULL, &n, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_get_piece(t, 1, &piece, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_get_piece(t, -1, &piece, &n, &err), SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(slm_tokenizer_get_piece(t, BOS, &piece, &n, &err), SLM_OK);
    assert_memory_equal(piece, "<s>", 3);

    assert_fails(slm_tokenizer_get_info(NULL, &info, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_get_info(t, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_tokenizer_get_info(t, &info, &err), SLM_OK);
    assert_int_equal(info.n_vocab, N_VOCAB);
    assert_string_equal(info.kind, "spm");
    assert_int_equal(slm_tokenizer_is_end(t, EOS), 1);
    assert_int_equal(slm_tokenizer_is_end(t, BOS), 0);
    assert_int_equal(slm_tokenizer_is_end(t, -1), 0);
    assert_int_equal(slm_tokenizer_is_end(NULL, EOS), 0);
    slm_tokenizer_release(t);
}

static void tokenizer_loading(void **state)
{
    (void)state;
    slm_tokenizer *t = NULL;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    char path[64];
    size_t size;
    assert_fails(slm_tokenizer_load(NULL, NULL, &t, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_load("x", NULL, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_tokenizer_load("no such file", NULL, &t, &err), SLM_ERR_NOT_FOUND);
    assert_fails(slm_tokenizer_load("/", NULL, &t, &err), SLM_ERR_IO);
    uint8_t *file = build(NULL, &size);
    test_path(path, sizeof(path), "модель.gguf");
    assert_true(test_file_write(path, file, size));
    free(file);
    assert_int_equal(slm_tokenizer_load(path, NULL, &t, &err), SLM_OK);
    slm_tokenizer_release(t);
    options.max_tensors = 2;
    assert_fails(slm_tokenizer_load(path, &options, &t, &err), SLM_ERR_LIMIT);
    assert_null(t);
    options.max_tensors = 0;
    options.max_memory_bytes = 100;
    assert_fails(slm_tokenizer_load(path, &options, &t, &err), SLM_ERR_BUDGET);
    options.max_memory_bytes = 0;
    options.reserved0 = &err;
    assert_fails(slm_tokenizer_load(path, &options, &t, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_true(test_file_remove(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(rendering),
        cmocka_unit_test(arguments),
        cmocka_unit_test(messages_cannot_pretend),
        cmocka_unit_test(bos_stands_in_front),
        cmocka_unit_test(tokenizer_calls),
        cmocka_unit_test(tokenizer_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
