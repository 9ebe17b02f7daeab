/* SPDX-License-Identifier: MIT */
/* slm/sampler.h: every status of every function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "slm/sampler.h"
#include "support/failing_alloc.h"

static slm_error err;

/* The error says what the status says. */
#define assert_fails(call, status)                 \
    do {                                           \
        err = (slm_error)SLM_ERROR_INIT;           \
        assert_int_equal(call, status);            \
        assert_int_equal(err.code, status);        \
        assert_true(err.offset == SLM_NO_OFFSET);  \
        assert_true(strlen(err.message) > 8);      \
    } while (0)

static slm_sampler *new_sampler(uint32_t n_vocab)
{
    slm_sampler *sampler = NULL;
    assert_int_equal(slm_sampler_create(n_vocab, NULL, &sampler, NULL), SLM_OK);
    assert_non_null(sampler);
    return sampler;
}

static void creation(void **state)
{
    (void)state;
    slm_sampler *sampler = (slm_sampler *)&err;
    slm_host host = SLM_HOST_INIT;
    slm_allocator half = SLM_ALLOCATOR_INIT;
    assert_fails(slm_sampler_create(10, NULL, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_create(0, NULL, &sampler, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_null(sampler);
    assert_fails(slm_sampler_create((1u << 24) + 1, NULL, &sampler, &err), SLM_ERR_INVALID_ARGUMENT);
    host.struct_size = 3;
    assert_fails(slm_sampler_create(10, &host, &sampler, &err), SLM_ERR_INVALID_ARGUMENT);
    host.struct_size = sizeof(host);
    host.allocator = &half;
    assert_fails(slm_sampler_create(10, &host, &sampler, &err), SLM_ERR_INVALID_ARGUMENT);
    slm_sampler_release(NULL);
}

static void memory(void **state)
{
    (void)state;
    failing_alloc failing;
    slm_status status = SLM_ERR_OUT_OF_MEMORY;
    failing_alloc_init(&failing);
    for (uint64_t k = 1; status != SLM_OK; k++) {
        slm_sampler *sampler;
        failing_alloc_arm(&failing, k, 0);
        err = (slm_error)SLM_ERROR_INIT;
        status = slm_sampler_create(1000, &failing.host, &sampler, &err);
        assert_true(status == SLM_OK || (status == SLM_ERR_OUT_OF_MEMORY && sampler == NULL));
        assert_int_equal(err.code, status);
        slm_sampler_release(sampler);
        assert_true(failing_alloc_is_clean(&failing));
    }
    /* Sampling takes nothing. */
    float logits[1000] = { 0 }, logprobs[5];
    int32_t token, tokens[5];
    slm_sampler *sampler;
    failing_alloc_arm(&failing, 0, 0);
    assert_int_equal(slm_sampler_create(1000, &failing.host, &sampler, NULL), SLM_OK);
    failing_alloc_arm(&failing, 1, 1);
    assert_int_equal(slm_sampler_sample(sampler, logits, NULL, 0, 0, &token, NULL, NULL), SLM_OK);
    assert_int_equal(slm_sampler_get_top(sampler, logits, 5, tokens, logprobs, NULL), SLM_OK);
    assert_int_equal(failing.n_failed, 0);
    slm_sampler_release(sampler);
    assert_true(failing_alloc_is_clean(&failing));
    failing_alloc_destroy(&failing);
}

/* Each parameter takes its bounds and its default, and nothing beyond. */
static void one_parameter(slm_sampler *sampler, uint32_t id, const slm_param_info *info)
{
    float f32;
    uint32_t u32;
    if (info->type == SLM_PARAM_F32) {
        assert_int_equal(slm_sampler_get_f32(sampler, id, &f32, &err), SLM_OK);
        assert_true(f32 == (float)info->default_value);
        assert_int_equal(slm_sampler_set_f32(sampler, id, (float)info->minimum, &err), SLM_OK);
        assert_int_equal(slm_sampler_set_f32(sampler, id, (float)info->maximum, &err), SLM_OK);
        assert_fails(slm_sampler_set_f32(sampler, id, nextafterf((float)info->minimum, -INFINITY), &err),
                     SLM_ERR_OUT_OF_RANGE);
        assert_fails(slm_sampler_set_f32(sampler, id, INFINITY, &err), SLM_ERR_OUT_OF_RANGE);
        assert_fails(slm_sampler_set_f32(sampler, id, NAN, &err), SLM_ERR_INVALID_ARGUMENT);
        assert_int_equal(slm_sampler_get_f32(sampler, id, &f32, &err), SLM_OK);
        assert_true(f32 == (float)info->maximum);
        assert_fails(slm_sampler_set_u32(sampler, id, 1, &err), SLM_ERR_INVALID_ARGUMENT);
        assert_fails(slm_sampler_get_u32(sampler, id, &u32, &err), SLM_ERR_INVALID_ARGUMENT);
    } else {
        assert_int_equal(slm_sampler_get_u32(sampler, id, &u32, &err), SLM_OK);
        assert_true((double)u32 == info->default_value);
        assert_int_equal(slm_sampler_set_u32(sampler, id, UINT32_MAX, &err), SLM_OK);
        assert_int_equal(slm_sampler_get_u32(sampler, id, &u32, &err), SLM_OK);
        assert_int_equal(u32, UINT32_MAX);
        assert_fails(slm_sampler_set_f32(sampler, id, 1, &err), SLM_ERR_INVALID_ARGUMENT);
        assert_fails(slm_sampler_get_f32(sampler, id, &f32, &err), SLM_ERR_INVALID_ARGUMENT);
    }
}

static void parameters(void **state)
{
    (void)state;
    slm_sampler *sampler = new_sampler(10);
    uint32_t index = 0, id = 0, u32;
    float f32;
    slm_param_info info = SLM_PARAM_INFO_INIT;
    for (; slm_sampler_get_param_info(index, &id, &info, &err) == SLM_OK; index++) {
        assert_non_null(info.name);
        assert_true(info.minimum <= info.default_value && info.default_value <= info.maximum);
        one_parameter(sampler, id, &info);
    }
    assert_int_equal(index, 9);
    assert_int_equal(slm_sampler_get_param_info(index, &id, &info, &err), SLM_END);
    assert_int_equal(slm_sampler_get_param_info(0, NULL, NULL, &err), SLM_OK);
    info.struct_size = 1;
    assert_fails(slm_sampler_get_param_info(0, NULL, &info, &err), SLM_ERR_INVALID_ARGUMENT);

    assert_fails(slm_sampler_set_f32(sampler, 0, 1, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_set_u32(sampler, 99, 1, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_set_f32(NULL, SLM_SAMPLER_TOP_P, 1, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_set_u32(NULL, SLM_SAMPLER_TOP_K, 1, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_f32(NULL, SLM_SAMPLER_TOP_P, &f32, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_u32(NULL, SLM_SAMPLER_TOP_K, &u32, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_f32(sampler, SLM_SAMPLER_TOP_P, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_u32(sampler, SLM_SAMPLER_TOP_K, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    slm_sampler_release(sampler);
}

static void sampling(void **state)
{
    (void)state;
    slm_sampler *sampler = new_sampler(5);
    float logits[5] = { 1, 3, 2, 3, 0 }, logprob = 7;
    const float wrong[] = { NAN, INFINITY, -INFINITY };
    int32_t token = 77;
    assert_fails(slm_sampler_sample(NULL, logits, NULL, 0, 0, &token, NULL, &err),
                 SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_sample(sampler, NULL, NULL, 0, 0, &token, NULL, &err),
                 SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_sample(sampler, logits, NULL, 0, 0, NULL, NULL, &err),
                 SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_sample(sampler, logits, NULL, 1, 0, &token, NULL, &err),
                 SLM_ERR_INVALID_ARGUMENT);
    for (int i = 0; i < 15; i++) {
        float bad[5];
        memcpy(bad, logits, sizeof(bad));
        bad[i % 5] = wrong[i / 5];
        assert_fails(slm_sampler_sample(sampler, bad, NULL, 0, 0, &token, &logprob, &err),
                     SLM_ERR_NOT_FINITE);
    }
    assert_int_equal(token, 77);
    assert_true(logprob == 7);
    assert_int_equal(slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, 0, &err), SLM_OK);
    assert_int_equal(slm_sampler_sample(sampler, logits, NULL, 0, 0, &token, &logprob, &err), SLM_OK);
    assert_int_equal(token, 1); /* the lower id of a tie */
    slm_sampler_release(sampler);
}

static void best_tokens(void **state)
{
    (void)state;
    slm_sampler *sampler = new_sampler(5);
    float logits[5] = { 1, 3, 2, 3, 0 }, logprobs[5];
    int32_t tokens[5];
    assert_fails(slm_sampler_get_top(NULL, logits, 1, tokens, logprobs, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_top(sampler, NULL, 1, tokens, logprobs, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_top(sampler, logits, 1, NULL, logprobs, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_top(sampler, logits, 1, tokens, NULL, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_fails(slm_sampler_get_top(sampler, logits, 6, tokens, logprobs, &err), SLM_ERR_OUT_OF_RANGE);
    assert_int_equal(slm_sampler_get_top(sampler, logits, 0, NULL, NULL, &err), SLM_OK);
    assert_int_equal(slm_sampler_get_top(sampler, logits, 5, tokens, logprobs, &err), SLM_OK);
    assert_memory_equal(tokens, ((const int32_t[]){ 1, 3, 2, 0, 4 }), sizeof(tokens));
    double sum = 0;
    for (int i = 0; i < 5; i++) {
        sum += exp((double)logprobs[i]);
    }
    assert_true(fabs(sum - 1) < 1e-6);
    logits[4] = NAN;
    assert_fails(slm_sampler_get_top(sampler, logits, 1, tokens, logprobs, &err), SLM_ERR_NOT_FINITE);
    slm_sampler_release(sampler);

    static float many[300];
    static int32_t many_tokens[257];
    static float many_logprobs[257];
    sampler = new_sampler(300);
    assert_int_equal(slm_sampler_get_top(sampler, many, 256, many_tokens, many_logprobs, &err), SLM_OK);
    assert_int_equal(many_tokens[255], 255);
    assert_fails(slm_sampler_get_top(sampler, many, 257, many_tokens, many_logprobs, &err),
                 SLM_ERR_OUT_OF_RANGE);
    slm_sampler_release(sampler);
}

/* Another rounding mode of the host changes nothing, and is still set afterwards. */
static void rounding_mode(void **state)
{
    (void)state;
    slm_sampler *sampler = new_sampler(64);
    float logits[64], logprob, other_logprob;
    int32_t token, other;
    for (int i = 0; i < 64; i++) {
        logits[i] = (float)((i * 37) % 64) / 9;
    }
    assert_int_equal(slm_sampler_sample(sampler, logits, NULL, 0, 3, &token, &logprob, &err), SLM_OK);
    assert_int_equal(fesetround(FE_UPWARD), 0);
    assert_int_equal(slm_sampler_sample(sampler, logits, NULL, 0, 3, &other, &other_logprob, &err), SLM_OK);
    assert_int_equal(fegetround(), FE_UPWARD);
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    assert_int_equal(other, token);
    assert_memory_equal(&other_logprob, &logprob, sizeof(logprob));
    slm_sampler_release(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),   cmocka_unit_test(memory),      cmocka_unit_test(parameters),
        cmocka_unit_test(sampling),   cmocka_unit_test(best_tokens), cmocka_unit_test(rounding_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
