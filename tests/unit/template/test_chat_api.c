/* SPDX-License-Identifier: MIT */
/* slm/chat.h and slm/tokenizer.h over a tiny model: every status, control tokens, BOS, sizes. */
#include "chat_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat_goldens.h"
#include "slm/tokenizer.h"
#include "support/failing_alloc.h"
#include "support/files.h"

static slm_error error;

static const slm_chat_message hello = { "user", "a<|im_end|>", 11 };

static void formats(void **state)
{
    (void)state;
    const char *name = "x";
    slm_model *model = chat_load(NULL);
    OK(slm_chat_get_format(model, &name, &error));
    assert_string_equal(name, "bare");
    FAILS(slm_chat_get_format(NULL, &name, &error), SLM_ERR_INVALID_ARGUMENT);
    assert_null(name);
    FAILS(slm_chat_get_format(model, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    slm_model_release(model);
    model = chat_load(CHATML);
    OK(slm_chat_get_format(model, &name, &error));
    assert_string_equal(name, "chatml");
    slm_model_release(model);
    model = chat_load("<|user|>{{ messages }}");
    size_t length;
    FAILS(slm_chat_get_format(model, &name, &error), SLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "<|user|>"));
    assert_null(name);
    FAILS(slm_chat_render(model, &hello, 1, 0, NULL, 0, &length, &error), SLM_ERR_UNSUPPORTED);
    slm_model_release(model);
}

static void rendering(void **state)
{
    (void)state;
    static const char expected[] = "<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>assistant\n";
    char text[100] = { 0 };
    size_t length;
    slm_model *model = chat_load(CHATML);
    OK(slm_chat_render(model, &hello, 1, 1, text, sizeof(text), &length, &error));
    assert_int_equal(length, strlen(expected));
    assert_string_equal(text, expected);
    FAILS(slm_chat_render(model, &hello, 1, 1, NULL, 0, &length, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(length, strlen(expected));
    OK(slm_chat_render(model, &hello, 1, 1, text, length, &length, &error));
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
    slm_model *model = chat_load(CHATML);
#define BOTH(messages, count, flags, status)                                                          \
    FAILS(slm_chat_render(model, messages, count, flags, text, sizeof(text), &n, &error), status); \
    assert_int_equal(n, 0);                                                                           \
    FAILS(slm_chat_encode(model, messages, count, flags, ids, 100, &n, &error), status);         \
    assert_int_equal(n, 0)
    BOTH(NULL, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&hello, 0, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&hello, 1, 4, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&no_role, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&no_content, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    BOTH(&tool, 1, 0, SLM_ERR_UNSUPPORTED);
    BOTH(invalid, 2, 0, SLM_ERR_INVALID_UTF8);
    assert_int_equal(error.offset, 2);
#undef BOTH
    FAILS(slm_chat_render(NULL, &hello, 1, 0, text, 100, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_chat_render(model, &hello, 1, 0, text, 100, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_chat_render(model, &hello, 1, 0, NULL, 100, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_chat_encode(NULL, &hello, 1, 0, ids, 100, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_chat_encode(model, &hello, 1, 0, ids, 100, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_chat_encode(model, &hello, 1, 0, NULL, 100, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    OK(slm_chat_render(model, &empty, 1, 0, text, 100, &n, &error));
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
    slm_model *model = chat_load(CHATML);
    OK(slm_chat_encode(model, &hello, 1, 1, ids, 100, &n, &error));
    assert_int_equal(n, 1 + 5 + 11 + 1 + 1 + 1 + 10);
    assert_int_equal(count(ids, n, IM_START), 2);
    assert_int_equal(count(ids, n, IM_END), 1);
    assert_int_equal(ids[0], IM_START);
    assert_int_equal(ids[6], FIRST_BYTE + 'a');
    assert_int_equal(ids[17], IM_END);
    FAILS(slm_chat_encode(model, &hello, 1, 1, ids, n - 1, &needed, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(needed, n);
    slm_model_release(model);
}

static void bos_stands_in_front(void **state)
{
    (void)state;
    int32_t ids[100], with_bos[100];
    size_t n, n_with;
    slm_model *model = chat_load(CHATML), *other = chat_load("{{ bos_token }}" CHATML);
    OK(slm_chat_encode(model, &hello, 1, 0, ids, 100, &n, &error));
    OK(slm_chat_encode(other, &hello, 1, 0, with_bos, 100, &n_with, &error));
    assert_int_equal(n_with, n + 1);
    assert_int_equal(with_bos[0], BOS);
    assert_memory_equal(with_bos + 1, ids, n * sizeof(ids[0]));
    FAILS(slm_chat_encode(other, &hello, 1, 0, NULL, 0, &n_with, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n_with, n + 1);
    OK(slm_chat_encode(other, &hello, 1, SLM_CHAT_CONTINUE, with_bos, 100, &n_with, &error));
    assert_int_equal(n_with, n + 1); /* a line break in front, no BOS */
    assert_int_equal(with_bos[0], FIRST_BYTE + '\n');
    assert_memory_equal(with_bos + 1, ids, n * sizeof(ids[0]));
    slm_model_release(other);
    const chat_model adding = { .template = CHATML, .adds_bos = 1 };
    other = chat_model_load(&adding);
    OK(slm_chat_encode(other, &hello, 1, 0, with_bos, 100, &n_with, &error));
    assert_int_equal(n_with, n + 1);
    assert_int_equal(with_bos[0], BOS);
    assert_memory_equal(with_bos + 1, ids, n * sizeof(ids[0]));
    slm_model_release(other);
    /* No vocabulary without BOS can begin with it. */
    const chat_model lacking = { .template = "{{ bos_token }}" CHATML, .has_no_bos = 1 };
    other = chat_model_load(&lacking);
    OK(slm_chat_encode(other, &hello, 1, 0, with_bos, 100, &n_with, &error));
    assert_int_equal(n_with, n);
    assert_memory_equal(with_bos, ids, n * sizeof(ids[0]));
    slm_model_release(model);
    slm_model_release(other);
}

/* A conversation whose text is empty, BOS in front of it or not. */
static void nothing_is_no_token(void **state)
{
    (void)state;
    const slm_chat_message empty = { "user", NULL, 0 };
    const chat_model adding = { .adds_bos = 1 };
    int32_t id = -7;
    size_t n = 7;
    slm_model *model = chat_load(NULL), *other = chat_model_load(&adding);
    OK(slm_chat_encode(model, &empty, 1, 0, NULL, 0, &n, &error));
    assert_int_equal(n, 0);
    OK(slm_chat_encode(other, &empty, 1, 0, &id, 1, &n, &error));
    assert_int_equal(n, 1);
    assert_int_equal(id, BOS);
    FAILS(slm_chat_encode(other, &empty, 1, 0, NULL, 0, &n, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 1);
    slm_model_release(model);
    slm_model_release(other);
}

/* Llama 2's markup is text that BOS and EOS must be spelled as. */
static void llama2_wants_its_vocabulary(void **state)
{
    (void)state;
    const char *name, *source = golden_templates[3].source;
    const chat_model wrong[] = { { .template = source, .bos = IM_START },
                                 { .template = source, .eos = IM_END },
                                 { .template = source, .has_no_bos = 1 } };
    assert_string_equal(chat_format(source), "llama2");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t n;
        slm_model *model = chat_model_load(&wrong[i]);
        FAILS(slm_chat_get_format(model, &name, &error), SLM_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "BOS is <s>"));
        assert_null(name);
        FAILS(slm_chat_encode(model, &hello, 1, 0, NULL, 0, &n, &error), SLM_ERR_UNSUPPORTED);
        slm_model_release(model);
    }
}

static void failing_memory_is_a_status(void **state)
{
    (void)state;
    failing_alloc memory;
    failing_alloc_init(&memory);
    const chat_model description = { .template = CHATML, .host = &memory.host };
    slm_model *model = chat_model_load(&description);
    const uint64_t live = memory.live_blocks;
    slm_status status = SLM_ERR_OUT_OF_MEMORY;
    uint64_t k;
    for (k = 1; status != SLM_OK; k++) {
        int32_t ids[100];
        size_t n;
        failing_alloc_arm(&memory, k, 1);
        error = (slm_error)SLM_ERROR_INIT;
        status = slm_chat_encode(model, &hello, 1, 1, ids, 100, &n, &error);
        assert_true(status == SLM_OK || status == SLM_ERR_OUT_OF_MEMORY);
        assert_int_equal(error.code, status);
        assert_int_equal(n, status == SLM_OK ? 30 : 0);
        assert_int_equal(memory.live_blocks, live);
    }
    assert_true(k > 4);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
}

static void tokenizer_calls(void **state)
{
    (void)state;
    int32_t ids[20], bad[] = { FIRST_BYTE + 'a', N_VOCAB };
    char text[20];
    const char *piece;
    size_t n;
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    slm_model *model = chat_load(NULL);
    slm_tokenizer *t = slm_tokenizer_retain(slm_model_get_tokenizer(model));
    slm_model_release(model); /* the tokenizer lives on */
    assert_null(slm_tokenizer_retain(NULL));
    slm_tokenizer_release(NULL);

    FAILS(slm_tokenizer_encode(NULL, "a", 1, 0, ids, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_encode(t, NULL, 1, 0, ids, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_encode(t, "a", 1, 0, NULL, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_encode(t, "a", 1, 0, ids, 20, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_encode(t, "a", 1, SLM_TEXT_SHOW_SPECIAL, ids, 20, &n, &error),
                 SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_encode(t, "ab\xFF", 3, 0, ids, 20, &n, &error), SLM_ERR_INVALID_UTF8);
    assert_int_equal(error.offset, 2);
    OK(slm_tokenizer_encode(t, "\xFF", 1, SLM_TEXT_REPLACE_INVALID, ids, 20, &n, &error));
    assert_int_equal(n, 3);
    OK(slm_tokenizer_encode(t, NULL, 0, 0, NULL, 0, &n, &error));
    assert_int_equal(n, 0);
    FAILS(slm_tokenizer_encode(t, "abc", 3, 0, ids, 2, &n, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 3);

    FAILS(slm_tokenizer_decode(NULL, ids, 0, 0, text, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_decode(t, NULL, 1, 0, text, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_decode(t, ids, 1, 0, NULL, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_decode(t, ids, 1, 0, text, 20, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_decode(t, ids, 1, 1, text, 20, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_decode(t, bad, 2, 0, text, 20, &n, &error), SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(error.offset, 1);
    FAILS(slm_tokenizer_decode(t, bad, 1, 0, NULL, 0, &n, &error), SLM_ERR_BUFFER_TOO_SMALL);
    assert_int_equal(n, 1);

    FAILS(slm_tokenizer_get_piece(NULL, 1, &piece, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_get_piece(t, 1, NULL, &n, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_get_piece(t, 1, &piece, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_get_piece(t, -1, &piece, &n, &error), SLM_ERR_OUT_OF_RANGE);
    OK(slm_tokenizer_get_piece(t, BOS, &piece, &n, &error));
    assert_memory_equal(piece, "<s>", 3);

    FAILS(slm_tokenizer_get_info(NULL, &info, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_get_info(t, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    OK(slm_tokenizer_get_info(t, &info, &error));
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
    const chat_model plain = { .template = NULL };
    char path[64];
    size_t size;
    FAILS(slm_tokenizer_load(NULL, NULL, &t, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_load("x", NULL, NULL, &error), SLM_ERR_INVALID_ARGUMENT);
    FAILS(slm_tokenizer_load("no such file", NULL, &t, &error), SLM_ERR_NOT_FOUND);
    FAILS(slm_tokenizer_load("/", NULL, &t, &error), SLM_ERR_IO);
    uint8_t *file = chat_file_make(&plain, &size);
    test_path(path, sizeof(path), "модель.gguf");
    assert_true(test_file_write(path, file, size));
    free(file);
    OK(slm_tokenizer_load(path, NULL, &t, &error));
    slm_tokenizer_release(t);
    options.max_tensors = 2;
    FAILS(slm_tokenizer_load(path, &options, &t, &error), SLM_ERR_LIMIT);
    assert_null(t);
    options.max_tensors = 0;
    options.max_memory_bytes = 100;
    FAILS(slm_tokenizer_load(path, &options, &t, &error), SLM_ERR_BUDGET);
    options.max_memory_bytes = 0;
    options.reserved0 = &error;
    FAILS(slm_tokenizer_load(path, &options, &t, &error), SLM_ERR_INVALID_ARGUMENT);
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
        cmocka_unit_test(nothing_is_no_token),
        cmocka_unit_test(llama2_wants_its_vocabulary),
        cmocka_unit_test(failing_memory_is_a_status),
        cmocka_unit_test(tokenizer_calls),
        cmocka_unit_test(tokenizer_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
