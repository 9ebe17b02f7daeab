/* SPDX-License-Identifier: MIT */
/* Tiny random models as GGUF files in memory: three families, any weight type, a vocabulary of bytes. */
#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct maker {
    tiny_model m;
    gguf_builder file;
    uint64_t state;
} maker;

/* Source of the generator: Steele et al., SplitMix, 2014. */
static uint64_t next(maker *k)
{
    uint64_t z = k->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* -1 to 1 in steps of 2^-7, which every float type holds exactly. */
static float uniform(maker *k)
{
    return (float)((int)(next(k) >> 56) - 128) / 128.0f;
}

/* Half-precision bits of a positive number of the form 2^-n, n < 15. */
static uint16_t half_power(uint32_t n)
{
    return (uint16_t)((15 - n) << 10);
}

static void put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void put_f32(uint8_t *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_u16(out, (uint16_t)bits);
    put_u16(out + 2, (uint16_t)(bits >> 16));
}

/* Half-precision bits of a multiple of 2^-7 between -1 and 1, times 2^-3. */
static uint16_t half(float value)
{
    int exponent;
    const float fraction = frexpf(fabsf(value) * 0.125f, &exponent);
    const uint16_t sign = value < 0.0f ? 0x8000 : 0;
    if (value == 0.0f) {
        return 0;
    }
    const uint32_t mantissa = (uint32_t)((fraction * 2.0f - 1.0f) * 1024.0f);
    return (uint16_t)(sign | (uint32_t)(exponent + 14) << 10 | mantissa);
}

static uint16_t brain_half(float value)
{
    uint8_t bytes[4];
    put_f32(bytes, value * 0.125f);
    return (uint16_t)(bytes[2] | bytes[3] << 8);
}

/* Bytes of a block, elements of it, and where its half-precision scales stand (SIZE_MAX = none). */
typedef struct block_type {
    uint32_t number, elements, bytes;
    size_t scale, minimum;
} block_type;

static const block_type block_types[] = {
    { TINY_F32, 1, 4, SIZE_MAX, SIZE_MAX }, { TINY_F16, 1, 2, SIZE_MAX, SIZE_MAX },
    { TINY_BF16, 1, 2, SIZE_MAX, SIZE_MAX }, { TINY_Q4_0, 32, 18, 0, SIZE_MAX },
    { TINY_Q8_0, 32, 34, 0, SIZE_MAX },      { TINY_Q4_K, 256, 144, 0, 2 },
    { TINY_Q6_K, 256, 210, 208, SIZE_MAX },
};

static const block_type *find_type(uint32_t number)
{
    for (size_t i = 0; i < sizeof(block_types) / sizeof(block_types[0]); i++) {
        if (block_types[i].number == number) {
            return &block_types[i];
        }
    }
    abort();
}

static void fill_block(maker *k, const block_type *type, uint8_t *out)
{
    if (type->number == TINY_F32) {
        put_f32(out, uniform(k) * 0.125f);
    } else if (type->number == TINY_F16) {
        put_u16(out, half(uniform(k)));
    } else if (type->number == TINY_BF16) {
        put_u16(out, brain_half(uniform(k)));
    } else {
        for (uint32_t i = 0; i < type->bytes; i++) {
            out[i] = (uint8_t)(next(k) >> 56);
        }
        put_u16(out + type->scale, half_power(type->elements == 256 ? 13 : 9));
        if (type->minimum != SIZE_MAX) {
            put_u16(out + type->minimum, half_power(12));
        }
    }
}

static int is(const char *name, const char *other)
{
    return other != NULL && strcmp(name, other) == 0;
}

static void add_matrix(maker *k, const char *name, uint64_t rows, uint64_t cols)
{
    const block_type *type = find_type(k->m.type);
    cols += is(name, k->m.misshapen) ? type->elements : 0;
    const size_t n_blocks = (size_t)(rows * cols / type->elements);
    uint8_t *data = malloc(n_blocks * type->bytes);
    for (size_t i = 0; data != NULL && i < n_blocks; i++) {
        fill_block(k, type, data + i * type->bytes);
    }
    if (data != NULL && is(name, k->m.changed)) {
        data[n_blocks * type->bytes - type->bytes / 2 - 1] ^= 1;
    }
    if (data != NULL && is(name, "token_embd.weight") && k->m.broken_token != 0) {
        put_f32(data + (size_t)k->m.broken_token * cols * 4, NAN);
    }
    if (data != NULL && k->m.is_flat && (strstr(name, "attn_output") || strstr(name, "ffn_down"))) {
        memset(data, 0, n_blocks * type->bytes);
    }
    const uint64_t dims[2] = { cols, rows };
    if (!is(name, k->m.left_out)) {
        gguf_add_tensor(&k->file, name, k->m.type, 2, dims, data, n_blocks * type->bytes);
    }
    free(data);
}

static void add_vector(maker *k, const char *name, uint64_t length, float middle)
{
    uint8_t *data = malloc((size_t)length * 4);
    for (size_t i = 0; data != NULL && i < length; i++) {
        put_f32(data + 4 * i, middle + uniform(k) * 0.125f);
    }
    if (data != NULL && is(name, k->m.changed)) {
        put_f32(data + 4 * (length - 1), 0.5f);
    }
    if (!is(name, k->m.left_out)) {
        gguf_add_tensor(&k->file, name, TINY_F32, 1, &length, data, (size_t)length * 4);
    }
    free(data);
}

static void add_vocabulary(maker *k)
{
    const uint32_t n = k->m.n_vocab;
    char (*texts)[300] = calloc(n, sizeof(*texts));
    const char **tokens = calloc(n, sizeof(*tokens));
    float *scores = calloc(n, sizeof(*scores));
    int32_t *types = calloc(n, sizeof(*types));
    if (texts == NULL || tokens == NULL || scores == NULL || types == NULL) {
        abort();
    }
    for (int i = 0; i < (int)n; i++) {
        tokens[i] = texts[i];
        scores[i] = (float)-i;
        types[i] = i >= TINY_SPACE ? 1 : 6; /* normal, or a byte */
        if (i >= TINY_BYTE && i < TINY_SPACE) {
            snprintf(texts[i], sizeof(texts[i]), "<0x%02X>", (unsigned)(i - TINY_BYTE));
        } else if (i >= TINY_LETTER) {
            snprintf(texts[i], sizeof(texts[i]), "%c", 'a' + (i - TINY_LETTER) % 26);
        }
    }
    strcpy(texts[TINY_UNKNOWN], "<unk>");
    strcpy(texts[TINY_BEGIN], "<s>");
    strcpy(texts[TINY_END], "</s>");
    strcpy(texts[TINY_SPACE], "\xE2\x96\x81");
    memset(texts[TINY_CONTROL], 'C', 280);
    texts[TINY_CONTROL][280] = '\0';
    types[TINY_UNKNOWN] = 2;
    types[TINY_BEGIN] = types[TINY_END] = types[TINY_CONTROL] = 3;
    gguf_add_string(&k->file, "tokenizer.ggml.model", "llama");
    gguf_add_strings(&k->file, "tokenizer.ggml.tokens", tokens, n);
    gguf_add_f32s(&k->file, "tokenizer.ggml.scores", scores, n);
    gguf_add_i32s(&k->file, "tokenizer.ggml.token_type", types, n);
    gguf_add_u32(&k->file, "tokenizer.ggml.bos_token_id", TINY_BEGIN);
    gguf_add_u32(&k->file, "tokenizer.ggml.eos_token_id", TINY_END);
    gguf_add_u32(&k->file, "tokenizer.ggml.unknown_token_id", TINY_UNKNOWN);
    free(texts);
    free(tokens);
    free(scores);
    free(types);
}

static void add_number(maker *k, const char *key, uint32_t value)
{
    char name[96];
    snprintf(name, sizeof(name), "%s.%s", k->m.family, key);
    gguf_add_u32(&k->file, name, value);
}

static void add_head_data(maker *k)
{
    gguf_add_string(&k->file, "general.architecture", k->m.family);
    gguf_add_string(&k->file, "general.name", "tiny");
    add_number(k, "block_count", k->m.n_layers);
    add_number(k, "embedding_length", k->m.width);
    add_number(k, "attention.head_count", k->m.n_heads);
    add_number(k, "attention.head_count_kv", k->m.n_kv_heads);
    add_number(k, "feed_forward_length", k->m.ffn_width);
    add_number(k, "context_length", k->m.context_length);
}

static void add_layer(maker *k, uint32_t layer)
{
    const uint32_t d = k->m.width / k->m.n_heads;
    const uint32_t kv = d * k->m.n_kv_heads;
    const struct { const char *name; uint32_t rows, cols; } matrices[] = {
        { "attn_q.weight", k->m.width, k->m.width },   { "attn_k.weight", kv, k->m.width },
        { "attn_v.weight", kv, k->m.width },           { "attn_output.weight", k->m.width, k->m.width },
        { "ffn_gate.weight", k->m.ffn_width, k->m.width },
        { "ffn_up.weight", k->m.ffn_width, k->m.width },
        { "ffn_down.weight", k->m.width, k->m.ffn_width },
    };
    const int biased = is("qwen2", k->m.family);
    const int normed = is("qwen3", k->m.family);
    const struct { const char *name; uint32_t length; float middle; int exists; } vectors[] = {
        { "attn_norm.weight", k->m.width, 1.0f, 1 }, { "ffn_norm.weight", k->m.width, 1.0f, 1 },
        { "attn_q.bias", k->m.width, 0.0f, biased }, { "attn_k.bias", kv, 0.0f, biased },
        { "attn_v.bias", kv, 0.0f, biased },         { "attn_q_norm.weight", d, 1.0f, normed },
        { "attn_k_norm.weight", d, 1.0f, normed },
    };
    char name[64];
    for (size_t i = 0; i < sizeof(matrices) / sizeof(matrices[0]); i++) {
        snprintf(name, sizeof(name), "blk.%u.%s", layer, matrices[i].name);
        add_matrix(k, name, matrices[i].rows, matrices[i].cols);
    }
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        snprintf(name, sizeof(name), "blk.%u.%s", layer, vectors[i].name);
        if (vectors[i].exists) {
            add_vector(k, name, vectors[i].length, vectors[i].middle);
        }
    }
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

uint8_t *tiny_model_make(const tiny_model *model, size_t *size)
{
    maker k;
    memset(&k, 0, sizeof(k));
    k.m = *model;
    k.state = model->seed;
    const uint32_t wide = find_type(model->type)->elements == 256;
    k.m.family = model->family != NULL ? model->family : "llama";
    k.m.n_layers = or_default(model->n_layers, 2);
    k.m.width = or_default(model->width, wide ? 256 : 64);
    k.m.n_heads = or_default(model->n_heads, 4);
    k.m.n_kv_heads = or_default(model->n_kv_heads, 2);
    k.m.ffn_width = or_default(model->ffn_width, wide ? 256 : 96);
    k.m.n_vocab = or_default(model->n_vocab, TINY_VOCAB);
    k.m.context_length = or_default(model->context_length, 512);
    gguf_builder_init(&k.file);
    k.file.version = or_default(model->version, k.file.version);
    k.file.alignment = or_default(model->alignment, k.file.alignment);
    if (model->alignment != 0) {
        gguf_add_u32(&k.file, "general.alignment", model->alignment);
    }
    add_head_data(&k);
    add_vocabulary(&k);
    add_matrix(&k, "token_embd.weight", k.m.n_vocab, k.m.width);
    for (uint32_t layer = 0; layer < k.m.n_layers; layer++) {
        add_layer(&k, layer);
    }
    add_vector(&k, "output_norm.weight", k.m.width, 1.0f);
    if (model->own_head) {
        add_matrix(&k, "output.weight", k.m.n_vocab, k.m.width);
    }
    if (model->extend != NULL) {
        model->extend(&k.file);
    }
    return gguf_builder_finish(&k.file, size);
}
