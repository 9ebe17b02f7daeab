/* SPDX-License-Identifier: MIT */
/* Models whose plans are lowered in different ways: whatever the processor's level, the threads and the
 * batches, the bits are the same. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
