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
#include "slm/tokenizer.h"
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
    const tiny_model no_norm = { .family = "qwen3", .left_out = "blk.1.attn_q_norm.weight" };
    const tiny_model gpt = { .family = "gpt2" };
    const tiny_model uneven = { .n_kv_heads = 3 };
    refuses(&no_bias, SLM_ERR_FORMAT, no_bias.left_out);
    refuses(&no_norm, SLM_ERR_FORMAT, no_norm.left_out);
    refuses(&gpt, SLM_ERR_UNSUPPORTED, "gpt2");
    refuses(&uneven, SLM_ERR_FORMAT, "3 key-value heads");
}

static void add_experts(gguf_builder *b) { gguf_add_u32(b, "llama.expert_count", 8); }
static void add_no_experts(gguf_builder *b) { gguf_add_u32(b, "llama.expert_count", 0); }
static void add_yarn(gguf_builder *b) { gguf_add_string(b, "llama.rope.scaling.type", "yarn"); }
static void add_values(gguf_builder *b) { gguf_add_u32(b, "llama.attention.value_length", 8); }
static void add_epsilon(gguf_builder *b)
{
    gguf_add_f32(b, "llama.attention.layer_norm_rms_epsilon", NAN);
}
static void add_base(gguf_builder *b) { gguf_add_f32(b, "llama.rope.freq_base", -1.0f); }
static void add_turned(gguf_builder *b) { gguf_add_u32(b, "llama.rope.dimension_count", 15); }
static void add_window(gguf_builder *b) { gguf_add_u32(b, "llama.attention.sliding_window", 100); }

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

static void add_bad_factors(gguf_builder *b)
{
    const float factors[8] = { 1, 1, 1, 2, 0, 8, 8, 8 };
    const uint64_t length = 8;
    gguf_add_tensor(b, "rope_freqs.weight", TINY_F32, 1, &length, factors, sizeof(factors));
}

static void refuses_wrong_numbers(void **state)
{
    (void)state;
    const struct {
        void (*extend)(gguf_builder *builder);
        slm_status status;
        const char *named;
    } cases[] = {
        { add_experts, SLM_ERR_UNSUPPORTED, "expert" },
        { add_yarn, SLM_ERR_UNSUPPORTED, "yarn" },
        { add_values, SLM_ERR_UNSUPPORTED, "values 8 wide" },
        { add_epsilon, SLM_ERR_FORMAT, "epsilon" },
        { add_base, SLM_ERR_FORMAT, "rope" },
        { add_turned, SLM_ERR_FORMAT, "rope" },
        { add_bad_factors, SLM_ERR_FORMAT, "rope_freqs.weight[4]" },
        { add_unknown_tensor, SLM_ERR_UNSUPPORTED, "blk.0.ffn_down.bias" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const tiny_model description = { .extend = cases[i].extend };
        refuses(&description, cases[i].status, cases[i].named);
    }
    const tiny_model strange = { .width = 256, .extend = add_strange_weights };
    refuses(&strange, SLM_ERR_UNSUPPORTED, "IQ3_XXS");
    assert_true(error.offset != SLM_NO_OFFSET);
}

static void accepts_neutral_numbers(void **state)
{
    (void)state;
    slm_model *model;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    const tiny_model no_experts = { .extend = add_no_experts };
    const tiny_model window = { .extend = add_window };
    assert_int_equal(load(&no_experts, NULL, &model), SLM_OK);
    slm_model_release(model);
    assert_int_equal(load(&window, NULL, &model), SLM_OK);
    assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
    assert_int_equal(info.context_length, 100);
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
static void add_factors(gguf_builder *b)
{
    const float factors[8] = { 1, 1, 1, 2, 3, 8, 8, 8 };
    const uint64_t length = 8;
    gguf_add_tensor(b, "rope_freqs.weight", TINY_F32, 1, &length, factors, sizeof(factors));
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_wrong_tensors),
        cmocka_unit_test(refuses_wrong_numbers),
        cmocka_unit_test(accepts_neutral_numbers),
        cmocka_unit_test(tells_what_it_is),
        cmocka_unit_test(stops_when_told_to),
        cmocka_unit_test(keeps_to_its_budget),
        cmocka_unit_test(turns_at_the_right_frequencies),
        cmocka_unit_test(tells_models_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
