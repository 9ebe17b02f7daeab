/* SPDX-License-Identifier: MIT */
/* slm/sampler.h: arguments and memory; the work is done in sampler/. */
#include "sampler/sampler.h"

#include "api/check.h"
#include "base/fpenv.h"
#include "base/options.h"

#define MOST_VOCAB ((uint32_t)1 << 24)
#define MOST_TOP 256

SLM_API slm_status slm_sampler_create(uint32_t n_vocab, const slm_host *host, slm_sampler **sampler,
                                      slm_error *err)
{
    slmi_alloc alloc;
    slm_host own_host = SLM_HOST_INIT;
    REFUSE_NULL(sampler);
    *sampler = NULL;
    SLM_FAIL_IF(n_vocab == 0 || n_vocab > MOST_VOCAB, SLM_ERR_INVALID_ARGUMENT,
                "n_vocab is %u; it must lie between 1 and %u", n_vocab, MOST_VOCAB);
    if (host != NULL) {
        SLM_TRY(slmi_options_copy(&own_host, sizeof(own_host), host, "slm_host", err));
    }
    SLM_TRY(slmi_alloc_init(&alloc, &own_host, 0, err));
    slm_sampler *created = slmi_new(&alloc, sizeof(*created), _Alignof(slm_sampler));
    if (created == NULL) {
        return slmi_alloc_fail(&alloc, sizeof(*created), err);
    }
    created->alloc.host = alloc.host;
    const size_t size = slmi_sampler_scratch_size(n_vocab);
    created->block = slmi_new_raw(&created->alloc, size, SLMI_CACHE_LINE);
    if (created->block == NULL) {
        slm_sampler_release(created);
        return slmi_alloc_fail(&alloc, size, err);
    }
    created->kernels = slmk_table_get(SLM_CPU_BEST);
    slmi_sampler_settings_default(&created->settings);
    slmi_sampler_scratch_init(&created->scratch, n_vocab, created->block);
    *sampler = created;
    return SLM_OK;
}

SLM_API void slm_sampler_release(slm_sampler *sampler)
{
    if (sampler != NULL) {
        slmi_free(&sampler->alloc, sampler->block, slmi_sampler_scratch_size(sampler->scratch.n_vocab),
                  SLMI_CACHE_LINE);
        const slm_allocator host = sampler->alloc.host;
        host.free(host.ctx, sampler, sizeof(*sampler), _Alignof(slm_sampler));
    }
}

SLM_API slm_status slm_sampler_set_f32(slm_sampler *sampler, uint32_t param, float value,
                                       slm_error *err)
{
    REFUSE_NULL(sampler);
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_sampler_settings_set(&sampler->settings, param, SLM_PARAM_F32,
                                                        (double)value, err);
    slmi_fpenv_leave(before);
    return status;
}

SLM_API slm_status slm_sampler_set_u32(slm_sampler *sampler, uint32_t param, uint32_t value,
                                       slm_error *err)
{
    REFUSE_NULL(sampler);
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_sampler_settings_set(&sampler->settings, param, SLM_PARAM_U32,
                                                        (double)value, err);
    slmi_fpenv_leave(before);
    return status;
}

SLM_API slm_status slm_sampler_get_f32(const slm_sampler *sampler, uint32_t param, float *value,
                                       slm_error *err)
{
    double found;
    REFUSE_NULL(sampler);
    REFUSE_NULL(value);
    SLM_TRY(slmi_sampler_settings_get(&sampler->settings, param, SLM_PARAM_F32, &found, err));
    *value = (float)found;
    return SLM_OK;
}

SLM_API slm_status slm_sampler_get_u32(const slm_sampler *sampler, uint32_t param, uint32_t *value,
                                       slm_error *err)
{
    double found;
    REFUSE_NULL(sampler);
    REFUSE_NULL(value);
    SLM_TRY(slmi_sampler_settings_get(&sampler->settings, param, SLM_PARAM_U32, &found, err));
    *value = (uint32_t)found;
    return SLM_OK;
}

SLM_API slm_status slm_sampler_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
                                              slm_error *err)
{
    return slmi_sampler_param_info(index, param, info, err);
}

SLM_API slm_status slm_sampler_sample(slm_sampler *sampler, const float *logits,
                                      const int32_t *history, size_t n_history, uint64_t draw,
                                      int32_t *token, float *logprob, slm_error *err)
{
    REFUSE_NULL(sampler);
    REFUSE_NULL(logits);
    REFUSE_NULL(token);
    SLM_FAIL_IF(history == NULL && n_history > 0, SLM_ERR_INVALID_ARGUMENT,
                "history must not be NULL when n_history is not 0");
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_sampler_sample(&sampler->settings, &sampler->scratch,
                                                  sampler->kernels, logits, history, n_history, draw,
                                                  token, logprob, err);
    slmi_fpenv_leave(before);
    return status;
}

SLM_API slm_status slm_sampler_get_top(slm_sampler *sampler, const float *logits, uint32_t n,
                                       int32_t *tokens, float *logprobs, slm_error *err)
{
    REFUSE_NULL(sampler);
    REFUSE_NULL(logits);
    SLM_FAIL_IF(n > 0 && (tokens == NULL || logprobs == NULL), SLM_ERR_INVALID_ARGUMENT,
                "tokens and logprobs must not be NULL when n is not 0");
    SLM_FAIL_IF(n > MOST_TOP || n > sampler->scratch.n_vocab, SLM_ERR_OUT_OF_RANGE,
                "n is %u; at most %u and the vocabulary of %u are possible", n, MOST_TOP,
                sampler->scratch.n_vocab);
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status =
        slmi_sampler_top(&sampler->scratch, sampler->kernels, logits, n, tokens, logprobs, err);
    slmi_fpenv_leave(before);
    return status;
}
