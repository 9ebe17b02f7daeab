/* SPDX-License-Identifier: MIT */
/* The number types of the cache through the public calls: memory, closeness, not-finite numbers. */
#include "session_fixture.h"

#define HEAD_WIDTH 48 /* a whole block of 32 and half of one */
#define N_TOKENS 100  /* two pages of the cache */

static slm_error error;

static const struct {
    uint32_t type;
    uint64_t row_bytes;  /* of one token's key, or value, in one head */
    double least, most;  /* relative squared difference of the logits from those with float32 */
} kinds[] = {
    { SLM_KV_F32, 4 * HEAD_WIDTH, 0, 0 },
    { SLM_KV_F16, 2 * HEAD_WIDTH, 1e-10, 1e-6 },
    { SLM_KV_Q8, HEAD_WIDTH + 4, 1e-7, 1e-4 },
    { SLM_KV_Q4, HEAD_WIDTH / 2 + 4, 1e-5, 1e-2 },
};

static slm_model *make_wide(int32_t broken_token)
{
    const tiny_model description = { .width = 2 * HEAD_WIDTH, .n_heads = 2, .n_kv_heads = 1,
                                     .own_head = 1, .broken_token = broken_token };
    return make_model(&description);
}

static slm_session *make_typed(slm_model *model, uint32_t kv_type)
{
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = 2;
    options.kv_type = kv_type;
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

static uint64_t page_bytes(slm_model *model, uint32_t kv_type)
{
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    options.kv_type = kv_type;
    OK(slm_session_estimate(model, &options, &memory, NULL));
    assert_true(memory.kv_bytes == memory.n_pages * memory.page_bytes);
    return memory.page_bytes;
}

/* The logits after some tokens, which a fork of the sequence must repeat. */
static void compute(slm_model *model, uint32_t kv_type, float *logits)
{
    slm_session *s = make_typed(model, kv_type);
    slm_sequence a = add_sequence(s, ""), b;
    const int32_t last = TINY_LETTER;
    result r;
    for (int32_t i = 0; i < N_TOKENS; i++) {
        const int32_t token = i == 0 ? TINY_BEGIN : TINY_LETTER + i * 7 % 26;
        OK(slm_session_append(s, a, &token, 1, 0, NULL));
    }
    run(s, a, 0, &r);
    OK(slm_session_fork_sequence(s, a, &b, NULL));
    OK(slm_session_append(s, a, &last, 1, SLM_APPEND_LOGITS, NULL));
    run(s, a, 0, &r);
    assert_int_equal(r.n_logits, 1);
    memcpy(logits, r.logits, sizeof(r.logits));
    OK(slm_session_append(s, b, &last, 1, SLM_APPEND_LOGITS, NULL));
    run(s, b, 0, &r);
    assert_memory_equal(logits, r.logits, sizeof(r.logits));
    slm_session_release(s);
}

static void is_as_small_and_as_close_as_told(void **state)
{
    (void)state;
    slm_model *model = make_wide(0);
    float exact[TINY_VOCAB], logits[TINY_VOCAB];
    compute(model, SLM_KV_F32, exact);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        double difference = 0, all = 0;
        const uint64_t slot = (2 * 64 * kinds[i].row_bytes + 63) / 64 * 64;
        assert_true(page_bytes(model, kinds[i].type) == 2 * slot); /* two layers */
        compute(model, kinds[i].type, logits);
        for (int t = 0; t < TINY_VOCAB; t++) {
            const double d = (double)logits[t] - (double)exact[t];
            difference += d * d;
            all += (double)exact[t] * (double)exact[t];
        }
        print_message("type %u: relative squared difference %.1e\n", kinds[i].type,
                      difference / all);
        assert_true(difference >= kinds[i].least * all && difference <= kinds[i].most * all);
    }
    slm_model_release(model);
}

/* Keys and values that are no numbers stay that in the cache, so that what attends to them tells. */
static void keeps_what_is_not_finite(void **state)
{
    (void)state;
    slm_model *model = make_wide(TINY_LETTER + 25);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        slm_session *s = make_typed(model, kinds[i].type);
        slm_sequence a = add_sequence(s, "abzab");
        result r;
        generate(s, a, 4, SLM_GENERATE_IGNORE_END);
        run(s, a, 0, &r);
        assert_int_equal(r.status, SLM_ERR_NOT_FINITE);
        slm_session_release(s);
    }
    slm_model_release(model);
}

static void refuses_other_types(void **state)
{
    (void)state;
    slm_model *model = make_wide(0);
    slm_session *s;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.kv_type = SLM_KV_Q4 + 1;
    FAILS(slm_session_create(model, &options, &s, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_as_small_and_as_close_as_told),
        cmocka_unit_test(keeps_what_is_not_finite),
        cmocka_unit_test(refuses_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
