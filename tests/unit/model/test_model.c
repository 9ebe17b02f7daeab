/* SPDX-License-Identifier: MIT */
/* Models: what loading refuses and with which status, what a model tells, rotary frequencies, identity. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/tiny_model.h"

static slm_error error;

static slm_status load(const tiny_model *description, const slm_model_options *options,
                       slm_model **model)
{
    size_t size;
    uint8_t *file = tiny_model_make(description, &size);
    error = (slm_error)SLM_ERROR_INIT;
    const slm_status status = slm_model_load_memory(file, size, options, model, &error);
    free(file);
    return status;
}

static void refuses(const tiny_model *description, slm_status expected, const char *named)
{
    slm_model *model = (slm_model *)(void *)&error;
    const slm_status status = load(description, NULL, &model);
    assert_int_equal(status, expected);
    assert_int_equal(error.code, expected);
    assert_null(model);
    if (strstr(error.message, named) == NULL) {
        fail_msg("'%s' does not name '%s'", error.message, named);
    }
}

static void refuses_wrong_tensors(void **state)
{
    (void)state;
    static const char *const names[] = {
        "token_embd.weight",     "output_norm.weight",     "blk.0.attn_norm.weight",
        "blk.1.attn_q.weight",   "blk.1.attn_k.weight",    "blk.1.attn_v.weight",
        "blk.0.ffn_gate.weight", "blk.1.attn_output.weight", "blk.1.ffn_norm.weight",
        "blk.1.ffn_up.weight",   "blk.1.ffn_down.weight",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const tiny_model without = { .left_out = names[i] };
        const tiny_model misshapen = { .misshapen = names[i] };
        refuses(&without, SLM_ERR_FORMAT, names[i]);
        if (strstr(names[i], "norm") == NULL) {
            refuses(&misshapen, SLM_ERR_FORMAT, names[i]);
            assert_true(error.offset != SLM_NO_OFFSET);
        }
    }
    const tiny_model no_bias = { .family = "qwen2", .left_out = "blk.1.attn_k.bias" };
    const tiny_model no_norm = { .family = "qwen3", .left_out = "blk.0.attn_q_norm.weight" };
    const tiny_model gpt = { .family = "gpt2" };
    const tiny_model uneven = { .n_kv_heads = 3 };
    refuses(&no_bias, SLM_ERR_FORMAT, no_bias.left_out);
    refuses(&no_norm, SLM_ERR_FORMAT, no_norm.left_out);
    refuses(&gpt, SLM_ERR_UNSUPPORTED, "gpt2");
    refuses(&uneven, SLM_ERR_FORMAT, "3 key-value heads");
}

/* One entry of metadata, added to the model at hand: a number, or a text if there is one. */
typedef struct change {
    const char *key;
    int is_float;
    double number;
    const char *text;
} change;

static const change *changing;

static void apply_change(gguf_builder *b)
{
    if (changing->text != NULL) {
        gguf_add_string(b, changing->key, changing->text);
    } else if (changing->is_float) {
        gguf_add_f32(b, changing->key, (float)changing->number);
    } else {
        gguf_add_u32(b, changing->key, (uint32_t)changing->number);
    }
}

static void add_strange_weights(gguf_builder *b)
{
    const uint64_t dims[2] = { 256, TINY_VOCAB };
    uint8_t *data = calloc(TINY_VOCAB, 98);
    gguf_add_tensor(b, "output.weight", 18, 2, dims, data, (size_t)TINY_VOCAB * 98);
    free(data);
}

static void add_unknown_tensor(gguf_builder *b)
{
    const float numbers[64] = { 0 };
    const uint64_t length = 64;
    gguf_add_tensor(b, "blk.0.ffn_down.bias", TINY_F32, 1, &length, numbers, sizeof(numbers));
}

static void add_norm(gguf_builder *b, uint32_t type, const void *data, size_t size)
{
    const uint64_t length = 64;
    gguf_add_tensor(b, "output_norm.weight", type, 1, &length, data, size);
}

static void add_rounded_norm(gguf_builder *b)
{
    const uint8_t data[68] = { 0 };
    add_norm(b, TINY_Q8_0, data, sizeof(data));
}

static void add_factors_of(gguf_builder *b, float fifth, uint64_t length)
{
    const float factors[8] = { 1, 1, 1, 2, fifth, 8, 8, 8 };
    gguf_add_tensor(b, "rope_freqs.weight", TINY_F32, 1, &length, factors, (size_t)length * 4);
}

static void add_zero_factor(gguf_builder *b) { add_factors_of(b, 0, 8); }
static void add_endless_factor(gguf_builder *b) { add_factors_of(b, INFINITY, 8); }
static void add_few_factors(gguf_builder *b) { add_factors_of(b, 3, 4); }

static void add_head_of(gguf_builder *b, uint64_t third)
{
    const uint64_t dims[3] = { 64, TINY_VOCAB, third };
    const size_t size = (size_t)third * 64 * TINY_VOCAB * 4;
    uint8_t *data = calloc(1, size);
    gguf_add_tensor(b, "output.weight", TINY_F32, 3, dims, data, size);
    free(data);
}

static void add_flat_head(gguf_builder *b) { add_head_of(b, 1); }
static void add_deep_head(gguf_builder *b) { add_head_of(b, 2); }

static void refuses_wrong_numbers(void **state)
{
    (void)state;
    static const struct {
        change change;
        slm_status status;
        const char *named;
    } numbers[] = {
        { { "llama.expert_count", 0, 8, NULL }, SLM_ERR_UNSUPPORTED, "8 experts" },
        { { "llama.expert_count", 1, 8, NULL }, SLM_ERR_FORMAT, "llama.expert_count" },
        { { "llama.rope.scaling.type", 0, 0, "yarn" }, SLM_ERR_UNSUPPORTED, "yarn" },
        { { "llama.rope.scaling.factor", 1, 0.5, NULL }, SLM_ERR_FORMAT, "scaling factor" },
        { { "llama.rope.scaling.factor", 1, 1e6, NULL }, SLM_ERR_FORMAT, "scaling factor" },
        { { "llama.rope.scaling.factor", 1, NAN, NULL }, SLM_ERR_FORMAT, "scaling factor" },
        { { "llama.rope.scale_linear", 0, 2, NULL }, SLM_ERR_FORMAT, "llama.rope.scale_linear" },
        { { "llama.attention.key_length", 0, 0, NULL }, SLM_ERR_FORMAT, "key_length is 0; it must" },
        { { "llama.attention.key_length", 0, 1048577, NULL }, SLM_ERR_FORMAT, "1..1048576" },
        { { "llama.attention.key_length", 0, 1048576, NULL }, SLM_ERR_FORMAT, "4 heads of width 1048576" },
        { { "llama.attention.value_length", 0, 8, NULL }, SLM_ERR_UNSUPPORTED, "values 8 wide" },
        { { "llama.attention.value_length", 0, 0, NULL }, SLM_ERR_FORMAT, "value_length is 0" },
        { { "llama.attention.layer_norm_rms_epsilon", 1, NAN, NULL }, SLM_ERR_FORMAT, "epsilon" },
        { { "llama.attention.layer_norm_rms_epsilon", 1, -1e-9, NULL }, SLM_ERR_FORMAT, "epsilon" },
        { { "llama.attention.layer_norm_rms_epsilon", 1, 1, NULL }, SLM_ERR_FORMAT, "epsilon" },
        { { "llama.attention.layer_norm_rms_epsilon", 0, 0, NULL }, SLM_ERR_FORMAT, "rms_epsilon" },
        { { "llama.rope.freq_base", 1, -1, NULL }, SLM_ERR_FORMAT, "rope" },
        { { "llama.rope.freq_base", 1, 1e12, NULL }, SLM_ERR_FORMAT, "rope" },
        { { "llama.rope.dimension_count", 0, 15, NULL }, SLM_ERR_FORMAT, "rope over 15 of 16" },
        { { "llama.rope.dimension_count", 0, 0, NULL }, SLM_ERR_FORMAT, "rope over 0 of 16" },
        { { "llama.rope.dimension_count", 0, 18, NULL }, SLM_ERR_FORMAT, "rope over 18 of 16" },
        { { "llama.rope.dimension_count", 1, 16, NULL }, SLM_ERR_FORMAT, "dimension_count" },
    };
    static const struct {
        void (*extend)(gguf_builder *builder);
        const char *left_out;
        slm_status status;
        const char *named;
    } weights[] = {
        { add_zero_factor, NULL, SLM_ERR_FORMAT, "rope_freqs.weight[4]" },
        { add_endless_factor, NULL, SLM_ERR_FORMAT, "rope_freqs.weight[4]" },
        { add_few_factors, NULL, SLM_ERR_FORMAT, "rope_freqs.weight" },
        { add_unknown_tensor, NULL, SLM_ERR_UNSUPPORTED, "blk.0.ffn_down.bias" },
        { add_rounded_norm, "output_norm.weight", SLM_ERR_UNSUPPORTED, "must be of a float type" },
        { add_deep_head, NULL, SLM_ERR_FORMAT, "output.weight" },
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const tiny_model description = { .extend = apply_change };
        changing = &numbers[i].change;
        refuses(&description, numbers[i].status, numbers[i].named);
    }
    for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
        const tiny_model description = { .extend = weights[i].extend, .left_out = weights[i].left_out };
        refuses(&description, weights[i].status, weights[i].named);
    }
    const tiny_model strange = { .width = 256, .extend = add_strange_weights };
    refuses(&strange, SLM_ERR_UNSUPPORTED, "IQ3_XXS");
    assert_true(error.offset != SLM_NO_OFFSET);
    const tiny_model endless = { .context_length = (1 << 20) + 1 };
    refuses(&endless, SLM_ERR_FORMAT, "llama.context_length is 1048577");
}

static void accepts_neutral_numbers(void **state)
{
    (void)state;
    slm_model *model;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    const change no_experts = { "llama.expert_count", 0, 0, NULL };
    const change window = { "llama.attention.sliding_window", 0, 100, NULL };
    const tiny_model description = { .extend = apply_change };
    changing = &no_experts;
    assert_int_equal(load(&description, NULL, &model), SLM_OK);
    slm_model_release(model);
    changing = &window;
    assert_int_equal(load(&description, NULL, &model), SLM_OK);
    assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
    assert_int_equal(info.context_length, 100);
    slm_model_release(model);
    const tiny_model flat = { .extend = add_flat_head };
    assert_int_equal(load(&flat, NULL, &model), SLM_OK);
    assert_int_equal(model->plan.n_blocks, 1);
    slm_model_release(model);
}

static void tells_what_it_is(void **state)
{
    (void)state;
    slm_model *model;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    failing_alloc memory;
    failing_alloc_init(&memory);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.host = &memory.host;
    const tiny_model description = { .family = "qwen3", .type = TINY_Q8_0 };
    assert_int_equal(load(&description, &options, &model), SLM_OK);
    assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
    assert_int_equal(info.n_layers, 2);
    assert_int_equal(info.width, 64);
    assert_int_equal(info.n_heads, 4);
    assert_int_equal(info.n_kv_heads, 2);
    assert_int_equal(info.head_width, 16);
    assert_int_equal(info.ffn_width, 96);
    assert_int_equal(info.n_vocab, TINY_VOCAB);
    assert_int_equal(info.context_length, 512);
    assert_string_equal(info.architecture, "qwen3");
    assert_string_equal(info.name, "tiny");
    assert_true(info.memory_bytes == memory.live_bytes);
    const char *key, *value;
    uint32_t n = 0;
    int found = 0;
    while (slm_model_get_metadata(model, n, &key, &value, NULL) == SLM_OK) {
        found |= strcmp(key, "qwen3.block_count") == 0 && strcmp(value, "2") == 0;
        n++;
    }
    assert_true(found && key == NULL && value == NULL);
    assert_int_equal(slm_model_get_metadata(model, n, NULL, NULL, NULL), SLM_END);
    uint64_t n_parameters = 0;
    for (n = 0; slm_model_get_tensor(model, n, &tensor, NULL) == SLM_OK; n++) {
        n_parameters += tensor.dims[0] * (tensor.n_dims > 1 ? tensor.dims[1] : 1);
        assert_string_equal(tensor.type, tensor.n_dims == 2 ? "Q8_0" : "F32");
    }
    assert_int_equal(n, info.n_tensors);
    assert_true(n_parameters == info.n_parameters);
    assert_non_null(slm_model_get_tokenizer(model));
    assert_null(slm_model_get_tokenizer(NULL));
    assert_ptr_equal(slm_model_retain(model), model);
    slm_model_release(model);
    slm_model_release(model);
    slm_model_release(slm_model_retain(NULL));
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
}

static int32_t cancel_at(void *ctx, float done)
{
    int *left = ctx;
    assert_true(done >= 0.0f && done <= 1.0f);
    return --*left == 0;
}

static slm_status refuse_at(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    int *left = ctx;
    (void)offset;
    memset(buffer, 0, size);
    return --*left < 0 ? SLM_ERR_CHECKSUM : SLM_OK;
}

static void stops_when_told_to(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1 };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_status status = SLM_CANCELLED;
    int left;
    options.progress_ctx = &left;
    options.progress = cancel_at;
    for (int i = 1; status == SLM_CANCELLED; i++) {
        slm_model *model;
        left = i;
        status = load(&description, &options, &model);
        assert_true((model == NULL) == (status != SLM_OK));
        slm_model_release(model);
    }
    assert_int_equal(status, SLM_OK);
    slm_model *model;
    slm_reader reader = SLM_READER_INIT;
    left = 0;
    reader.size = 1000;
    reader.ctx = &left;
    reader.read = refuse_at;
    assert_int_equal(slm_model_load_reader(&reader, NULL, &model, NULL), SLM_ERR_CHECKSUM);
    left = 1000;
    assert_int_equal(slm_model_load_reader(&reader, NULL, &model, NULL), SLM_ERR_FORMAT);
    reader.read = NULL;
    assert_int_equal(slm_model_load_reader(&reader, NULL, &model, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load_reader(NULL, NULL, &model, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load(NULL, NULL, &model, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load("/", NULL, &model, NULL), SLM_ERR_IO);
    assert_int_equal(slm_model_load("/there is no such file", NULL, &model, NULL), SLM_ERR_NOT_FOUND);
    assert_int_equal(slm_model_load_memory(NULL, 5, NULL, &model, NULL), SLM_ERR_INVALID_ARGUMENT);
}

static void refuses_arguments(void **state)
{
    (void)state;
    static const uint8_t bytes[4] = "GGUF";
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    int left = 1000;
    slm_model *model = (slm_model *)(void *)&left;
    slm_reader reader = { sizeof(reader), 0, 4, &left, refuse_at };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    assert_int_equal(slm_model_load("x", NULL, NULL, NULL), bad);
    assert_int_equal(slm_model_load_memory(bytes, 4, NULL, NULL, NULL), bad);
    assert_int_equal(slm_model_load_reader(&reader, NULL, NULL, NULL), bad);
    options.n_threads = 257;
    assert_int_equal(slm_model_load("x", &options, &model, NULL), bad);
    assert_null(model);
    assert_int_equal(slm_model_load_reader(&reader, &options, &model, NULL), bad);
    options.n_threads = 1;
    options.host = &host;
    host.struct_size = 5;
    assert_int_equal(slm_model_load_memory(bytes, 4, &options, &model, NULL), bad);
    reader.struct_size = 5;
    assert_int_equal(slm_model_load_reader(&reader, NULL, &model, NULL), bad);
    assert_int_equal(left, 1000); /* nothing was read */
    assert_int_equal(slm_model_get_info(NULL, &info, NULL), bad);
    assert_int_equal(slm_model_get_metadata(NULL, 0, NULL, NULL, NULL), bad);
    assert_int_equal(slm_model_get_tensor(NULL, 0, &tensor, NULL), bad);
    const tiny_model description = { .n_layers = 1 };
    assert_int_equal(load(&description, NULL, &model), SLM_OK);
    assert_int_equal(slm_model_get_info(model, NULL, NULL), bad);
    assert_int_equal(slm_model_get_tensor(model, 0, NULL, NULL), bad);
    slm_model_release(model);
}

static void keeps_to_its_budget(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    options.n_threads = 1;
    const uint64_t budgets[] = { 1, 1000, 100000, 300000 };
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        options.max_memory_bytes = budgets[i];
        assert_int_equal(load(&description, &options, &model), SLM_ERR_BUDGET);
        assert_null(model);
    }
    options.max_memory_bytes = 0;
    options.n_threads = 257;
    assert_int_equal(load(&description, &options, &model), SLM_ERR_INVALID_ARGUMENT);
}

static void add_linear(gguf_builder *b)
{
    gguf_add_string(b, "llama.rope.scaling.type", "linear");
    gguf_add_f32(b, "llama.rope.scaling.factor", 4.0f);
}
static void add_old_linear(gguf_builder *b) { gguf_add_f32(b, "llama.rope.scale_linear", 2.0f); }
static void add_none(gguf_builder *b)
{
    gguf_add_string(b, "llama.rope.scaling.type", "none");
    gguf_add_f32(b, "llama.rope.scaling.factor", 4.0f);
}
static void add_factors(gguf_builder *b) { add_factors_of(b, 3, 8); }

static void turns_at_the_right_frequencies(void **state)
{
    (void)state;
    static const double factors[8] = { 1, 1, 1, 2, 3, 8, 8, 8 };
    const struct {
        void (*extend)(gguf_builder *builder);
        double divisor; /* 0 = the factors */
    } cases[] = {
        { NULL, 1 }, { add_linear, 4 }, { add_old_linear, 2 }, { add_none, 1 }, { add_factors, 0 }
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        slm_model *model;
        const tiny_model description = { .extend = cases[c].extend };
        assert_int_equal(load(&description, NULL, &model), SLM_OK);
        assert_int_equal(model->plan.ropes[0].n_pairs, 8);
        for (int i = 0; i < 8; i++) {
            const double divisor = cases[c].divisor != 0 ? cases[c].divisor : factors[i];
            const double expected = pow(10000.0, -2.0 * i / 16) / divisor;
            assert_true(fabs(model->plan.ropes[0].frequency[i] / expected - 1) < 1e-14);
        }
        slm_model_release(model);
    }
}

static uint64_t identity_of(const tiny_model *description, const slm_model_options *options)
{
    slm_model *model;
    assert_int_equal(load(description, options, &model), SLM_OK);
    const uint64_t identity = model->identity;
    slm_model_release(model);
    return identity;
}

static void tells_models_apart(void **state)
{
    (void)state;
    const tiny_model all[] = {
        { 0 },           { .seed = 1 },        { .type = TINY_F16 },    { .family = "qwen2" },
        { .n_layers = 3 }, { .context_length = 100 }, { .extend = add_linear }, { .own_head = 1 },
        { .changed = "blk.1.attn_norm.weight" }, { .changed = "output_norm.weight" },
    };
    const size_t n = sizeof(all) / sizeof(all[0]);
    failing_alloc memory; /* hands out memory full of other bytes than zeros */
    failing_alloc_init(&memory);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.host = &memory.host;
    options.n_threads = 3;
    for (size_t i = 0; i < n; i++) {
        const uint64_t identity = identity_of(&all[i], NULL);
        assert_true(identity_of(&all[i], &options) == identity);
        for (size_t j = 0; j < i; j++) {
            assert_true(identity_of(&all[j], NULL) != identity);
        }
    }
    failing_alloc_destroy(&memory);
}

static void put_halves(uint8_t *out, uint16_t half)
{
    for (size_t i = 0; i < 64; i++) {
        out[2 * i] = (uint8_t)half;
        out[2 * i + 1] = (uint8_t)(half >> 8);
    }
}

static void add_norm_f32(gguf_builder *b)
{
    uint8_t ones[256];
    for (size_t i = 0; i < sizeof(ones); i++) {
        ones[i] = (uint8_t)(i % 4 == 3 ? 0x3F : i % 4 == 2 ? 0x80 : 0);
    }
    add_norm(b, TINY_F32, ones, sizeof(ones));
}

static void add_norm_f16(gguf_builder *b)
{
    uint8_t ones[128];
    put_halves(ones, 0x3C00);
    add_norm(b, TINY_F16, ones, sizeof(ones));
}

static void add_norm_bf16(gguf_builder *b)
{
    uint8_t ones[128];
    put_halves(ones, 0x3F80);
    add_norm(b, TINY_BF16, ones, sizeof(ones));
}

static void add_bias(gguf_builder *b)
{
    float bias[64];
    const uint64_t length = 64;
    for (int i = 0; i < 64; i++) {
        bias[i] = (float)i;
    }
    gguf_add_tensor(b, "blk.0.attn_q.bias", TINY_F32, 1, &length, bias, sizeof(bias));
}

/* The logits behind three tokens. */
static void compute(const tiny_model *description, uint32_t cpu_level, float logits[TINY_VOCAB])
{
    slm_model *model;
    slm_session *session;
    slm_sequence q;
    slm_event event = SLM_EVENT_INIT;
    const int32_t tokens[3] = { 70, 80, 90 };
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.cpu_level = cpu_level;
    assert_int_equal(load(description, NULL, &model), SLM_OK);
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    assert_int_equal(slm_session_append(session, q, tokens, 3, SLM_APPEND_LOGITS, NULL), SLM_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(slm_session_step(session, 0, NULL) >= 0);
        assert_int_equal(slm_session_get_event(session, &event, NULL), SLM_OK);
        assert_int_equal(event.token, tokens[i]);
        assert_int_equal(event.n_logits, TINY_VOCAB);
    }
    memcpy(logits, event.logits, TINY_VOCAB * sizeof(float));
    slm_session_release(session);
    slm_model_release(model);
}

static void vectors_of_every_float_type(void **state)
{
    (void)state;
    float full[TINY_VOCAB], half[TINY_VOCAB], biased[TINY_VOCAB];
    const tiny_model f32 = { .left_out = "output_norm.weight", .extend = add_norm_f32 };
    const tiny_model f16 = { .left_out = "output_norm.weight", .extend = add_norm_f16 };
    const tiny_model bf16 = { .left_out = "output_norm.weight", .extend = add_norm_bf16 };
    const tiny_model plain = { 0 }, with_bias = { .extend = add_bias };
    compute(&f32, SLM_CPU_BEST, full);
    compute(&f16, SLM_CPU_BEST, half);
    assert_memory_equal(half, full, sizeof(full));
    compute(&bf16, SLM_CPU_BEST, half);
    assert_memory_equal(half, full, sizeof(full));
    compute(&plain, SLM_CPU_BEST, full);
    compute(&with_bias, SLM_CPU_BEST, biased);
    assert_memory_not_equal(biased, full, sizeof(full));
}

typedef struct chunks {
    const uint8_t *file;
    uint64_t n_reads;
} chunks;

static slm_status read_chunk(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    chunks *c = ctx;
    memcpy(buffer, c->file + offset, size);
    c->n_reads += size > 1 << 18;
    return SLM_OK;
}

/* Matrices of 8,960,000 bytes are read in chunks of 4 MiB, or of one panel of 16 rows if that is more. */
static void large_matrices_come_in_chunks(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 2, .ffn_width = 70000 };
    static float best[TINY_VOCAB], scalar[TINY_VOCAB];
    slm_model *whole, *pieces;
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    chunks c = { file, 0 };
    const slm_reader reader = { sizeof(reader), 0, size, &c, read_chunk };
    assert_int_equal(slm_model_load_memory(file, size, NULL, &whole, NULL), SLM_OK);
    assert_int_equal(slm_model_load_reader(&reader, NULL, &pieces, NULL), SLM_OK);
    assert_int_equal(c.n_reads, 3 + 3 + 2); /* no other matrix is so large */
    assert_true(whole->identity == pieces->identity);
    assert_int_equal(whole->plan.n_blocks, 1);
    assert_int_equal(pieces->plan.n_blocks, 1);
    for (uint32_t i = 0; i < whole->plan.n_matrices; i++) {
        const slmi_matrix *a = &whole->plan.matrices[i], *b = &pieces->plan.matrices[i];
        assert_memory_equal(a->panels, b->panels, a->n_panels * a->panel_bytes);
    }
    slm_model_release(whole);
    slm_model_release(pieces);
    free(file);
    compute(&description, SLM_CPU_BEST, best);
    compute(&description, SLM_CPU_SCALAR, scalar);
    assert_memory_equal(best, scalar, sizeof(best));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_wrong_tensors),
        cmocka_unit_test(refuses_wrong_numbers),
        cmocka_unit_test(accepts_neutral_numbers),
        cmocka_unit_test(tells_what_it_is),
        cmocka_unit_test(stops_when_told_to),
        cmocka_unit_test(refuses_arguments),
        cmocka_unit_test(keeps_to_its_budget),
        cmocka_unit_test(turns_at_the_right_frequencies),
        cmocka_unit_test(tells_models_apart),
        cmocka_unit_test(vectors_of_every_float_type),
        cmocka_unit_test(large_matrices_come_in_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
