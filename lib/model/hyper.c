/* SPDX-License-Identifier: MIT */
/* Hyperparameters and rotary frequencies from metadata. Source for the keys: the GGUF specification,
 * section "LLM"; for frequency factors: Meta's Llama 3.1 model code. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "kernels/math.h"
#include "model/build.h"

/* Larger numbers are mistakes or attacks; they keep all later products inside 64 bits. */
#define MOST_LAYERS 1024
#define MOST_WIDTH (1u << 20)
#define MOST_CONTEXT (1u << 20) /* the range of slmk_sin() */

static void full_key(const slmi_builder *b, const char *key, char *out, size_t size)
{
    snprintf(out, size, "%s.%s", b->model->architecture, key);
}

uint32_t slmi_build_u32(slmi_builder *b, const char *key, uint32_t fallback)
{
    char name[96];
    uint32_t value = fallback;
    full_key(b, key, name, sizeof(name));
    if (b->status == SLM_OK) {
        b->status = slmi_gguf_get_u32(b->gguf, name, &value, b->err);
    }
    return value;
}

float slmi_build_f32(slmi_builder *b, const char *key, float fallback)
{
    char name[96];
    float value = fallback;
    full_key(b, key, name, sizeof(name));
    if (b->status == SLM_OK) {
        b->status = slmi_gguf_get_f32(b->gguf, name, &value, b->err);
    }
    return value;
}

/* Reads a number that must be there and lie in 1..most. */
static uint32_t required(slmi_builder *b, const char *key, uint32_t fallback, uint32_t most)
{
    const uint32_t value = slmi_build_u32(b, key, fallback);
    if (b->status == SLM_OK && (value == 0 || value > most)) {
        b->status = slmi_fail(b->err, SLM_ERR_FORMAT, SLM_NO_OFFSET,
                              "%s.%s is %u; it must lie in 1..%u", b->model->architecture, key, value,
                              most);
    }
    return value;
}

/* Features of the architecture that this library lacks, told by a number other than the neutral one. */
static slm_status refuse_unsupported(slmi_builder *b)
{
    slm_error *err = b->err;
    const uint32_t n_experts = slmi_build_u32(b, "expert_count", 0);
    SLM_TRY(b->status);
    SLM_FAIL_IF(n_experts > 0, SLM_ERR_UNSUPPORTED,
                "a mixture of %u experts (%s.expert_count) is not supported", n_experts,
                b->model->architecture);
    return SLM_OK;
}

static slm_status check_heads(const slmi_hyper *h, slm_error *err)
{
    SLM_FAIL_IF(h->n_heads % h->n_kv_heads != 0, SLM_ERR_FORMAT,
                "%u query heads cannot share %u key-value heads evenly", h->n_heads, h->n_kv_heads);
    SLM_FAIL_IF((uint64_t)h->n_heads * h->head_width > MOST_WIDTH, SLM_ERR_FORMAT,
                "%u heads of width %u are more than %u wide", h->n_heads, h->head_width, MOST_WIDTH);
    SLM_FAIL_IF(!(h->norm_epsilon >= 0.0f && h->norm_epsilon < 1.0f), SLM_ERR_FORMAT,
                "the norm's epsilon must lie in 0..1");
    return SLM_OK;
}

void slmi_build_hyper(slmi_builder *b)
{
    slmi_hyper *h = &b->model->hyper;
    h->n_layers = required(b, "block_count", 0, MOST_LAYERS);
    h->width = required(b, "embedding_length", 0, MOST_WIDTH);
    h->n_heads = required(b, "attention.head_count", 0, MOST_WIDTH);
    h->n_kv_heads = required(b, "attention.head_count_kv", h->n_heads, MOST_WIDTH);
    h->ffn_width = required(b, "feed_forward_length", 0, MOST_WIDTH);
    h->context_length = required(b, "context_length", 0, MOST_CONTEXT);
    h->norm_epsilon = slmi_build_f32(b, "attention.layer_norm_rms_epsilon", 1e-5f);
    if (b->status != SLM_OK) {
        return;
    }
    const uint32_t even = h->width / h->n_heads;
    h->head_width = required(b, "attention.key_length", even, MOST_WIDTH);
    const uint32_t value_width = required(b, "attention.value_length", h->head_width, MOST_WIDTH);
    if (b->status == SLM_OK && value_width != h->head_width) {
        b->status = slmi_fail(b->err, SLM_ERR_UNSUPPORTED, SLM_NO_OFFSET,
                              "values %u wide beside keys %u wide are not supported", value_width,
                              h->head_width);
    }
    /* Inside a sliding window attention is full attention, so the window is the context. */
    const uint32_t window = slmi_build_u32(b, "attention.sliding_window", 0);
    if (window != 0 && window < h->context_length) {
        h->context_length = window;
    }
    if (b->status == SLM_OK) {
        b->status = refuse_unsupported(b);
    }
    if (b->status == SLM_OK) {
        b->status = check_heads(h, b->err);
    }
}

static int text_is(slmi_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.data, word, text.length) == 0;
}

/* The factor by which positions shrink: 1, or that of linear scaling. */
static slm_status linear_factor(slmi_builder *b, float *factor)
{
    slm_error *err = b->err;
    char name[96];
    slmi_text type = { "linear", 6 };
    full_key(b, "rope.scaling.type", name, sizeof(name));
    SLM_TRY(slmi_gguf_get_text(b->gguf, name, &type, err));
    *factor = slmi_build_f32(b, "rope.scale_linear", 1.0f); /* the key of old files */
    *factor = slmi_build_f32(b, "rope.scaling.factor", *factor);
    SLM_TRY(b->status);
    if (text_is(type, "none")) {
        *factor = 1.0f;
        return SLM_OK;
    }
    SLM_FAIL_IF(!text_is(type, "linear"), SLM_ERR_UNSUPPORTED,
                "rope scaling '%.*s' is not supported", (int)(type.length < 32 ? type.length : 32),
                type.data);
    SLM_FAIL_IF(!(*factor >= 1.0f && *factor < 1e6f), SLM_ERR_FORMAT,
                "the rope scaling factor must lie in 1..1e6");
    return SLM_OK;
}

slmi_index slmi_build_rope(slmi_builder *b, uint32_t halves)
{
    slmi_plan *plan = &b->model->plan;
    const slmi_hyper *h = &b->model->hyper;
    const uint32_t n_turned = slmi_build_u32(b, "rope.dimension_count", h->head_width);
    const float base = slmi_build_f32(b, "rope.freq_base", 10000.0f);
    float factor = 1.0f;
    slmi_index rope = SLMI_NONE;
    if (b->status == SLM_OK) {
        b->status = linear_factor(b, &factor);
    }
    if (b->status == SLM_OK &&
        (n_turned == 0 || n_turned % 2 != 0 || n_turned > h->head_width || !(base > 0.0f) ||
         !(base < 1e12f))) {
        b->status = slmi_fail(b->err, SLM_ERR_FORMAT, SLM_NO_OFFSET,
                              "rope over %u of %u elements with base %g makes no sense", n_turned,
                              h->head_width, (double)base);
    }
    if (b->status == SLM_OK) {
        b->status = slmi_plan_add_rope(plan, n_turned / 2, halves, &rope, b->err);
    }
    if (b->status != SLM_OK) {
        return SLMI_NONE;
    }
    /* Llama 3.1 and later store by how much each frequency is slowed down. */
    const float *slowing = NULL;
    if (slmi_gguf_find_tensor(b->gguf, "rope_freqs.weight") != NULL) {
        const slmi_index vector = slmi_build_vector(b, "rope_freqs.weight", n_turned / 2);
        slowing = vector == SLMI_NONE ? NULL : plan->vectors[vector].data;
    }
    for (uint32_t i = 0; i < n_turned / 2; i++) {
        if (slowing != NULL && !(slowing[i] > 0.0f && slowing[i] < INFINITY)) {
            b->status = slmi_fail(b->err, SLM_ERR_FORMAT, SLM_NO_OFFSET,
                                  "rope_freqs.weight[%u] is not a positive number", i);
            return SLMI_NONE;
        }
        const double frequency = slmk_pow((double)base, -2.0 * i / n_turned) / (double)factor;
        plan->ropes[rope].frequency[i] = slowing == NULL ? frequency : frequency / (double)slowing[i];
    }
    return rope;
}
