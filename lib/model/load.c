/* SPDX-License-Identifier: MIT */
/* Making a model: metadata, then the family's plan with its weights. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "model/build.h"

static slm_status find_family(slm_model *model, const slmi_gguf *gguf, const slmi_family **family,
                              slm_error *err)
{
    slmi_text name = { "", 0 };
    const char *key = gguf->has_panels ? SLMI_PANELS_MODEL_KEY : "general.architecture";
    SLM_TRY(slmi_gguf_get_text(gguf, key, &name, err));
    SLM_FAIL_IF(name.length == 0, SLM_ERR_FORMAT, "the file does not say its %s", key);
    *family = slmi_family_find(name);
    const int shown = (int)(name.length < 64 ? name.length : 64);
    SLM_FAIL_IF(*family == NULL, SLM_ERR_UNSUPPORTED, "the architecture '%.*s' is not supported",
                shown, name.data);
    snprintf(model->architecture, sizeof(model->architecture), "%s", (*family)->name);
    return SLM_OK;
}

/* V comes from the vocabulary, which the tokenizer was made of; the embedding's rows must agree, which
 * loading it checks. */
static slm_status find_vocabulary(slm_model *model, const slmi_gguf *gguf, slm_error *err)
{
    const uint64_t n = slmi_gguf_find(gguf, "tokenizer.ggml.tokens")->count;
    SLM_FAIL_IF(n > 1u << 24, SLM_ERR_FORMAT, "a vocabulary of %llu tokens is not possible",
                (unsigned long long)n);
    model->hyper.n_vocab = (uint32_t)n;
    return SLM_OK;
}

/* A tensor that the family did not ask for would change the result: better none than a wrong one. */
static slm_status refuse_unused(const slmi_builder *b, slm_error *err)
{
    for (uint32_t i = 0; i < b->gguf->n_tensors; i++) {
        const slmi_gguf_tensor *tensor = &b->gguf->tensors[i];
        const int shown = (int)(tensor->name.length < 64 ? tensor->name.length : 64);
        SLM_FAIL_AT_IF(!b->used[i], SLM_ERR_UNSUPPORTED, tensor->entry_offset,
                       "tensor '%.*s' has no place in a model of architecture %s", shown,
                       tensor->name.data, b->model->architecture);
    }
    return SLM_OK;
}

static slm_status run_family(slmi_builder *b, const slmi_family *family)
{
    slmi_pool pool;
    const uint32_t n_threads =
        b->options->n_threads != 0 ? b->options->n_threads : slmi_cpu_count();
    SLM_TRY(slmi_pool_init(&pool, n_threads, &b->model->tasks, &b->model->alloc, b->err));
    b->reader.pool = &pool;
    slm_status status = slmi_pool_start(&pool, b->err);
    if (status == SLM_OK) {
        family->build(b);
        status = b->status;
    }
    if (status == SLM_OK) {
        status = refuse_unused(b, b->err);
    }
    slmi_panel_reader_free(&b->reader);
    slmi_pool_destroy(&pool);
    return status;
}

/* One block for all matrices of the file. Tensors of other shapes are vectors, or are refused when their turn
 * comes. */
static slm_status reserve_matrices(slmi_plan *plan, const slmi_gguf *gguf, uint32_t mode, slm_error *err)
{
    uint64_t size = 0;
    if (mode == SLMI_BUILD_CHECK) {
        return SLM_OK;
    }
    for (uint32_t i = 0; i < gguf->n_tensors; i++) {
        const slmi_gguf_tensor *tensor = &gguf->tensors[i];
        if (slmi_tensor_is_matrix(tensor) && !(mode == SLMI_BUILD_MAP && tensor->is_panels)) {
            size += slmi_plan_matrix_size(tensor->type, (uint32_t)tensor->dims[1],
                                          (uint32_t)tensor->dims[0]);
        }
    }
    return size == 0 ? SLM_OK : slmi_plan_reserve(plan, size, err);
}

static slm_status fill(slm_model *model, const slmi_gguf *gguf, const slm_model_options *options,
                       uint32_t mode, slm_error *err)
{
    const slmi_family *family;
    SLM_TRY(find_family(model, gguf, &family, err));
    SLM_TRY(find_vocabulary(model, gguf, err));
    SLM_TRY(slmi_model_describe(model, gguf, err));
    slmi_plan_init(&model->plan, &model->alloc);
    model->identity = slmi_hash(SLMI_HASH_START, model->architecture, strlen(model->architecture));
    slmi_builder builder = {
        .model = model, .gguf = gguf, .options = options, .status = SLM_OK, .err = err
    };
    builder.embedding = SLMI_NONE;
    builder.mode = mode;
    builder.reader.source = gguf->source;
    builder.reader.alloc = &model->alloc;
    builder.used = slmi_new(&model->alloc, gguf->n_tensors, 1);
    if (builder.used == NULL) {
        return slmi_alloc_fail(&model->alloc, gguf->n_tensors, err);
    }
    slm_status status = reserve_matrices(&model->plan, gguf, mode, err);
    if (status == SLM_OK) {
        status = run_family(&builder, family);
    }
    slmi_free(&model->alloc, builder.used, gguf->n_tensors, 1);
    SLM_TRY(status);
    model->identity = slmi_hash(model->identity, &model->hyper, sizeof(model->hyper));
    for (uint32_t i = 0; i < model->plan.n_ropes; i++) {
        model->identity = slmi_hash(model->identity, model->plan.ropes[i].frequency,
                                    model->plan.ropes[i].n_pairs * sizeof(double));
    }
    return SLM_OK;
}

static slm_status create(const slmi_gguf *gguf, const slm_model_options *options, uint32_t mode,
                         slm_model **out, slm_error *err)
{
    *out = NULL;
    slmi_alloc alloc;
    SLM_TRY(slmi_alloc_init(&alloc, options->host, options->max_memory_bytes, err));
    slm_model *model = slmi_new(&alloc, sizeof(*model), SLMI_CACHE_LINE);
    if (model == NULL) {
        return slmi_alloc_fail(&alloc, sizeof(*model), err);
    }
    model->alloc = alloc;
    model->texts.alloc = &model->alloc;
    atomic_init(&model->n_references, 1);
    model->host = *options->host;
    model->host.allocator = NULL;
    model->host.tasks = NULL;
    model->file_bytes = gguf->source->size;
    slm_status status = slmi_tasks_copy(&model->tasks, options->host->tasks, err);
    if (status == SLM_OK) {
        status = fill(model, gguf, options, mode, err);
    }
    if (status != SLM_OK) {
        slmi_model_destroy(model);
        return status;
    }
    *out = model;
    return SLM_OK;
}

slm_status slmi_model_create(const slmi_gguf *gguf, const slm_model_options *options,
                             slm_model **out, slm_error *err)
{
    const int maps = gguf->has_panels && gguf->source->map.data != NULL && !(options->flags & SLM_MODEL_COPY);
    SLM_TRY(create(gguf, options, maps ? SLMI_BUILD_MAP : SLMI_BUILD_LOAD, out, err));
    if (maps) {
        (*out)->map = slmi_source_keep(gguf->source);
    }
    return SLM_OK;
}

slm_status slmi_model_check(const slmi_gguf *gguf, const slm_model_options *options, slm_error *err)
{
    slm_model *model;
    slm_model_options quiet = *options;
    quiet.progress = NULL;
    SLM_TRY(create(gguf, &quiet, SLMI_BUILD_CHECK, &model, err));
    slmi_model_destroy(model);
    return SLM_OK;
}

void slmi_model_destroy(slm_model *model)
{
    slmi_plan_free(&model->plan);
    slmi_map_close(&model->map);
    slmi_buffer_free(&model->texts);
    slmi_free(&model->alloc, model->metadata, 2 * model->n_metadata * sizeof(char *),
              SLMI_CACHE_LINE);
    slmi_free(&model->alloc, model->tensors, model->n_tensors * sizeof(slmi_tensor_entry),
              SLMI_CACHE_LINE);
    slmi_alloc alloc = model->alloc;
    slmi_free(&alloc, model, sizeof(*model), SLMI_CACHE_LINE);
}
