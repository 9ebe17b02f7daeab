/* SPDX-License-Identifier: MIT */
/* Logits to a token in one call, and the scratch memory that draws need. */
#include "sampler/sampler.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "sampler/draw.h"

/* Bytes of one array [V] of 4-byte elements. */
static size_t array_size(uint32_t n_vocab)
{
    return (size_t)slmi_round_up((uint64_t)n_vocab * sizeof(uint32_t), SLMI_CACHE_LINE);
}

size_t slmi_sampler_scratch_size(uint32_t n_vocab)
{
    return 3 * array_size(n_vocab);
}

void slmi_sampler_scratch_init(slmi_sampler_scratch *scratch, uint32_t n_vocab, void *block)
{
    unsigned char *bytes = block;
    scratch->n_vocab = n_vocab;
    scratch->values = (float *)block;
    scratch->ids = (int32_t *)(void *)(bytes + array_size(n_vocab));
    scratch->counts = (uint32_t *)(void *)(bytes + 2 * array_size(n_vocab));
    memset(scratch->counts, 0, array_size(n_vocab));
}

static slm_status run(slmi_draw *draw, slm_error *err)
{
    slmi_draw_begin(draw);
    while (!slmi_draw_advance(draw)) {
    }
    SLM_FAIL_IF(!draw->finite, SLM_ERR_NOT_FINITE, "a logit is infinite or not a number");
    return SLM_OK;
}

slm_status slmi_sampler_sample(const slmi_sampler_settings *settings, slmi_sampler_scratch *scratch,
                               const slmk_table *kernels, const float *logits, const int32_t *history,
                               size_t n_history, uint64_t draw, int32_t *token, float *logprob,
                               slm_error *err)
{
    slmi_draw d = { .settings = *settings, .scratch = scratch, .kernels = kernels, .logits = logits,
                    .history = history, .n_history = n_history, .number = draw, .wants_token = 1,
                    .wants_logprob = logprob != NULL };
    SLM_TRY(run(&d, err));
    *token = d.token;
    if (logprob != NULL) {
        *logprob = d.logprob;
    }
    return SLM_OK;
}

slm_status slmi_sampler_top(slmi_sampler_scratch *scratch, const slmk_table *kernels,
                            const float *logits, uint32_t n, int32_t *tokens, float *logprobs,
                            slm_error *err)
{
    slmi_draw d = { .scratch = scratch, .kernels = kernels, .logits = logits, .n_top = n,
                    .top_tokens = tokens, .top_logprobs = logprobs };
    return run(&d, err);
}
