/* SPDX-License-Identifier: MIT */
/* Tiny models that differ in their chat template, and what they make of conversations. */
#include "chat_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/gguf_builder.h"

#define WIDTH 32

/* The name of a byte's token: GPT-2 shows those that are no letters as letters from U+0100 on. */
static void name_byte(char *name, size_t size, uint32_t byte, int is_gpt2)
{
    uint32_t shown = byte;
    if (!is_gpt2) {
        snprintf(name, size, "<0x%02X>", (unsigned)byte);
        return;
    }
    if (byte <= 32) {
        shown = 0x100 + byte;
    } else if (byte >= 127 && byte <= 160) {
        shown = 0x100 + 33 + (byte - 127);
    } else if (byte == 173) {
        shown = 0x100 + 33 + 34;
    }
    if (shown < 0x80) {
        snprintf(name, size, "%c", (int)shown);
    } else {
        snprintf(name, size, "%c%c", (int)(0xC0 | shown >> 6), (int)(0x80 | (shown & 0x3F)));
    }
}

static void add_vocabulary(gguf_builder *b, const chat_model *description)
{
    char names[N_VOCAB][8];
    const char *tokens[N_VOCAB];
    float scores[N_VOCAB] = { 0 };
    int32_t types[N_VOCAB];
    const int is_gpt2 = description->has_no_bos;
    for (int i = FIRST_BYTE; i < IM_START; i++) {
        name_byte(names[i], sizeof(names[i]), (uint32_t)(i - FIRST_BYTE), is_gpt2);
        tokens[i] = names[i];
        types[i] = is_gpt2 ? 1 : 6; /* normal, or a byte */
    }
    tokens[0] = "<unk>";
    types[0] = 2;
    tokens[BOS] = "<s>";
    tokens[EOS] = "</s>";
    tokens[IM_START] = "<|im_start|>";
    tokens[IM_END] = "<|im_end|>";
    types[BOS] = types[EOS] = types[IM_START] = types[IM_END] = 3; /* control */
    gguf_add_strings(b, "tokenizer.ggml.tokens", tokens, N_VOCAB);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", types, N_VOCAB);
    gguf_add_u32(b, "tokenizer.ggml.eos_token_id", description->eos != 0 ? description->eos : EOS);
    gguf_add_bool(b, "tokenizer.ggml.add_bos_token", description->adds_bos);
    if (is_gpt2) {
        gguf_add_string(b, "tokenizer.ggml.model", "gpt2");
        gguf_add_string(b, "tokenizer.ggml.pre", "gpt-2");
        gguf_add_strings(b, "tokenizer.ggml.merges", NULL, 0);
        return;
    }
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_f32s(b, "tokenizer.ggml.scores", scores, N_VOCAB);
    gguf_add_u32(b, "tokenizer.ggml.bos_token_id", description->bos != 0 ? description->bos : BOS);
    gguf_add_bool(b, "tokenizer.ggml.add_space_prefix", 0);
}

static void add_weight(gguf_builder *b, const char *name, uint64_t columns, uint64_t rows)
{
    static const float zeros[WIDTH * N_VOCAB];
    const uint64_t dims[2] = { columns, rows };
    gguf_add_tensor(b, name, 0, rows > 0 ? 2 : 1, dims, zeros, columns * (rows > 0 ? rows : 1) * 4);
}

uint8_t *chat_file_make(const chat_model *description, size_t *size)
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
    add_vocabulary(&b, description);
    if (description->template != NULL) {
        gguf_add_string(&b, "tokenizer.chat_template", description->template);
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

slm_model *chat_model_load(const chat_model *description)
{
    size_t size;
    slm_model *model = NULL;
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    options.host = description->host;
    uint8_t *file = chat_file_make(description, &size);
    const slm_status status = slm_model_load_memory(file, size, &options, &model, &error);
    if (status != SLM_OK) {
        fail_msg("%s: %s", slm_status_name(status), error.message);
    }
    free(file);
    return model;
}

slm_model *chat_load(const char *template)
{
    const chat_model description = { .template = template };
    return chat_model_load(&description);
}

const char *chat_format(const char *template)
{
    const char *name = "x";
    slm_model *model = chat_load(template);
    const slm_status status = slm_chat_get_format(model, &name, NULL);
    slm_model_release(model);
    if (status != SLM_OK) {
        assert_int_equal(status, SLM_ERR_UNSUPPORTED);
        assert_null(name);
    }
    return name;
}

void assert_chat(const slm_model *model, const slm_chat_message *messages, size_t n, uint32_t flags,
                 const char *expected)
{
    static char text[8192];
    size_t length;
    OK(slm_chat_render(model, messages, n, flags, text, sizeof(text), &length, NULL));
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(text, expected, length);
}
