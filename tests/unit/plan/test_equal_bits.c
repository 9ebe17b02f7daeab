/* SPDX-License-Identifier: MIT */
/* Models whose plans are lowered in different ways: whatever the processor's level, the threads and the
 * batches, the bits are the same. */
#include <math.h>

#include "unit/session/session_fixture.h"

/* One matrix of another type than the rest, which cannot join its neighbours. */
static void add_other(gguf_builder *b, const char *name, uint64_t rows)
{
    const uint64_t dims[2] = { 64, rows };
    float *numbers = calloc((size_t)rows, 64 * sizeof(float));
    assert_non_null(numbers);
    for (uint64_t i = 0; i < 64 * rows; i++) {
        numbers[i] = (float)(int)(i * 7 % 33) / 64.0f - 0.25f;
    }
    gguf_add_tensor(b, name, TINY_F32, 2, dims, numbers, (size_t)rows * 64 * sizeof(float));
    free(numbers);
}

static void add_other_up(gguf_builder *b) { add_other(b, "blk.0.ffn_up.weight", 96); }
static void add_other_gate(gguf_builder *b) { add_other(b, "blk.0.ffn_gate.weight", 96); }
static void add_other_key(gguf_builder *b) { add_other(b, "blk.0.attn_k.weight", 32); }

static const tiny_model descriptions[] = {
    { .family = "llama", .type = TINY_F32 },
    { .family = "llama", .type = TINY_Q8_0, .own_head = 1 },
    { .family = "llama", .type = TINY_Q4_0, .n_heads = 8, .n_kv_heads = 8 }, /* groups of 8 elements */
    { .family = "llama", .type = TINY_Q8_0, .left_out = "blk.0.ffn_up.weight", .extend = add_other_up },
    { .family = "llama", .type = TINY_Q8_0, .left_out = "blk.0.ffn_gate.weight",
      .extend = add_other_gate },
    { .family = "llama", .type = TINY_Q8_0, .left_out = "blk.0.attn_k.weight", .extend = add_other_key },
    { .family = "llama", .n_layers = 1, .n_heads = 1, .n_kv_heads = 1 },     /* wide keys */
    { .family = "llama", .n_layers = 1, .width = 128, .n_heads = 32, .n_kv_heads = 1 },
    { .family = "qwen2", .type = TINY_Q4_0, .n_kv_heads = 1 },
    { .family = "qwen3", .type = TINY_Q4_K },
};

static void compute(slm_model *model, const slm_session_options *options, uint32_t n, result *r)
{
    slm_session *session;
    slm_sequence q;
    OK(slm_session_create(model, options, &session, NULL));
    OK(slm_session_add_sequence(session, &q, NULL));
    append_text_tokens(session, q, 0, n - 1, 0);
    append_text_tokens(session, q, n - 1, n, SLM_APPEND_LOGITS);
    run(session, q, 0, r);
    assert_int_equal(r->n_logits, 1);
    slm_session_release(session);
}

static void every_way_gives_the_same_bits(void **state)
{
    (void)state;
    static const slm_session_options ways[] = {
        { .struct_size = sizeof(slm_session_options), .n_threads = 3 },
        { .struct_size = sizeof(slm_session_options), .n_threads = 1, .cpu_level = SLM_CPU_SCALAR },
        { .struct_size = sizeof(slm_session_options), .n_threads = 2, .batch_tokens = 7 },
    };
    static result r, first;
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]); i++) {
        tiny_model description = descriptions[i];
        description.context_length = 700;
        slm_model *model = make_model(&description);
        /* As many keys as some tiles cannot hold; elsewhere two pages. */
        const uint32_t n = description.n_layers == 1 ? 640 : 70;
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        options.n_threads = 1;
        compute(model, &options, n, &first);
        for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
            compute(model, &ways[way], n, &r);
            assert_memory_equal(r.logits, first.logits, sizeof(r.logits));
        }
        slm_model_release(model);
    }
}

/* A norm all of whose weights are one number, in a model of any type. */
static float weight;
static const char *norm_name;

static void add_norm(gguf_builder *b)
{
    float weights[64];
    const uint64_t length = 64;
    for (int i = 0; i < 64; i++) {
        weights[i] = i == 20 ? -weight : weight;
    }
    gguf_add_tensor(b, norm_name, TINY_F32, 1, &length, weights, sizeof(weights));
}

/* The step's status and, unless there are none, the logits of a third token. */
static slm_status try(slm_model *model, const slm_session_options *options, float logits[TINY_VOCAB])
{
    slm_session *session;
    slm_sequence q;
    slm_event event = SLM_EVENT_INIT;
    OK(slm_session_create(model, options, &session, NULL));
    OK(slm_session_add_sequence(session, &q, NULL));
    append_text_tokens(session, q, 0, 2, 0);
    append_text_tokens(session, q, 2, 3, SLM_APPEND_LOGITS);
    const slm_status status = slm_session_step(session, 0, NULL);
    OK(slm_session_get_event(session, &event, NULL));
    assert_int_equal(event.type, SLM_EVENT_LOGITS);
    assert_int_equal(event.status, status);
    assert_true((event.logits != NULL) == (status == SLM_OK));
    memset(logits, 0, TINY_VOCAB * sizeof(float));
    if (event.logits != NULL) {
        memcpy(logits, event.logits, TINY_VOCAB * sizeof(float));
    }
    slm_session_release(session);
    return status;
}

/* Numbers at the ends of the range: in every cache type plain C and the best kernels agree, on what is finite
 * too. */
static void extreme_numbers(void **state)
{
    (void)state;
    static const char *const norms[] = { "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight" };
    static const uint32_t types[] = { TINY_F32, TINY_Q8_0 };
    static const struct {
        float weight;
        int is_finite; /* -1: whatever the kernels agree on */
    } cases[] = { { NAN, 0 }, { INFINITY, 0 }, { -1e38f, -1 }, { 1e30f, -1 }, { 1e7f, -1 }, { 3e5f, -1 },
                  { 1e3f, 1 }, { 1e-6f, 1 }, { 1e-30f, 1 }, { 1e-38f, 1 }, { 1e-45f, 1 }, { 0.0f, 1 } };
    for (uint32_t i = 0; i < 2 * 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        norm_name = norms[i % 2];
        weight = cases[i / 4].weight;
        const tiny_model description = { .n_layers = 1, .type = types[i / 2 % 2], .left_out = norm_name,
                                         .extend = add_norm };
        slm_model *model = make_model(&description);
        for (uint32_t kv_type = SLM_KV_F16; kv_type <= SLM_KV_Q4; kv_type++) {
            float best[TINY_VOCAB], scalar[TINY_VOCAB];
            slm_session_options options = SLM_SESSION_OPTIONS_INIT;
            options.n_threads = 1;
            options.kv_type = kv_type;
            const slm_status status = try(model, &options, best);
            options.cpu_level = SLM_CPU_SCALAR;
            assert_int_equal(try(model, &options, scalar), status);
            assert_memory_equal(best, scalar, sizeof(best));
            if (cases[i / 4].is_finite >= 0) {
                assert_int_equal(status, cases[i / 4].is_finite ? SLM_OK : SLM_ERR_NOT_FINITE);
            }
        }
        slm_model_release(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_gives_the_same_bits),
        cmocka_unit_test(extreme_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
