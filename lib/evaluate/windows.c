/* SPDX-License-Identifier: MIT */
/* Conventions of perplexity: the windows that a stream of tokens is cut into, and what counts in each. */
#include "evaluate/windows.h"

#include "base/bytes.h"
#include "slm/experimental/evaluate.h"

#define DEFAULT_CONTEXT 4096
#define DEFAULT_STRIDE 512

/* Name and window of a convention by its id. */
static slm_status find_convention(uint32_t id, uint32_t model_context, const char **name,
                                  uint32_t *context_length, slm_error *err)
{
    const struct {
        const char *name;
        uint32_t context_length;
    } all[] = {
        [SLM_X_CONVENTION_BITS_PER_BYTE] = { "bits-per-byte",
                                             slmi_min_u32(model_context, DEFAULT_CONTEXT) },
        [SLM_X_CONVENTION_LLAMACPP_512] = { "llamacpp-512", 512 },
        [SLM_X_CONVENTION_GPTQ_2048] = { "gptq-2048", 2048 },
        [SLM_X_CONVENTION_HF_STRIDE] = { "hf-stride", model_context },
    };
    SLM_FAIL_IF(id >= sizeof(all) / sizeof(all[0]), SLM_ERR_INVALID_ARGUMENT,
                "convention %u does not exist", id);
    *name = all[id].name;
    *context_length = all[id].context_length;
    return SLM_OK;
}

slm_status slmi_convention_init(slmi_convention *convention, uint32_t id, uint32_t context_length,
                                uint32_t stride, uint32_t model_context, slm_error *err)
{
    const char *name = "";
    uint32_t c = 0;
    const int slides = id == SLM_X_CONVENTION_HF_STRIDE;
    const int is_llamacpp = id == SLM_X_CONVENTION_LLAMACPP_512;
    SLM_TRY(find_convention(id, model_context, &name, &c, err));
    c = context_length != 0 ? context_length : c;
    const uint32_t least = is_llamacpp ? 3 : 2;
    SLM_FAIL_IF(c > model_context, SLM_ERR_INVALID_ARGUMENT,
                "%s has windows of %u tokens here, but the model was made for at most %u; give a shorter "
                "context_length",
                name, c, model_context);
    SLM_FAIL_IF(c < least, SLM_ERR_INVALID_ARGUMENT,
                "context_length is %u; %s scores tokens in windows of at least %u", c, name, least);
    SLM_FAIL_IF(stride != 0 && !slides, SLM_ERR_INVALID_ARGUMENT, "%s has no stride to choose", name);
    stride = stride != 0 ? stride : DEFAULT_STRIDE;
    SLM_FAIL_IF(slides && stride > c, SLM_ERR_INVALID_ARGUMENT,
                "a stride of %u would leave out tokens between windows of %u", stride, c);
    *convention = (slmi_convention){ .context_length = c, .stride = c, .n_unscored = 1 };
    if (slides) {
        convention->stride = stride;
    } else if (is_llamacpp) {
        convention->n_unscored = c / 2 + 1;
        convention->whole_only = convention->bos_first = 1;
    } else if (id == SLM_X_CONVENTION_GPTQ_2048) {
        convention->whole_only = 1;
    } else {
        convention->stride = c - 1;
        convention->bos_first = convention->counts_all = 1;
    }
    return SLM_OK;
}

int slmi_window_next(const slmi_convention *convention, size_t n, slmi_window *window)
{
    const size_t before = window->end;
    if (before == n) {
        return 0;
    }
    window->begin += before > 0 ? convention->stride : 0;
    const size_t left = n - window->begin;
    if (left < convention->context_length && convention->whole_only) {
        return 0;
    }
    window->end = window->begin + (left < convention->context_length ? left : convention->context_length);
    window->scored = window->begin + convention->n_unscored;
    window->scored = window->scored > before ? window->scored : before;
    return window->scored < window->end;
}
