/* SPDX-License-Identifier: MIT */
/* slm/model.h: arguments, sources, and the model with its tokenizer. */
#include "model/model.h"

#include <string.h>

#include "api/check.h"
#include "base/fpenv.h"
#include "base/log.h"
#include "base/options.h"
#include "slm/tokenizer.h"
#include "tokenizer/tokenizer.h"

/* What one part of loading took is not there for the next. */
static void take_from_limit(slm_model_options *options, uint64_t taken)
{
    if (options->max_memory_bytes != 0) {
        options->max_memory_bytes =
            taken < options->max_memory_bytes ? options->max_memory_bytes - taken : 1;
    }
}

static slm_status create_both(const slmi_gguf *gguf, const slm_model_options *options,
                              slm_model **model, slm_error *err)
{
    slm_tokenizer *tokenizer;
    SLM_TRY(slmi_tokenizer_create(gguf, options->host, options->max_memory_bytes, &tokenizer, err));
    slm_model_options rest = *options;
    take_from_limit(&rest, slmi_tokenizer_memory(tokenizer));
    const slm_status status = slmi_model_create(gguf, &rest, model, err);
    if (status != SLM_OK) {
        slmi_tokenizer_release(tokenizer);
        return status;
    }
    (*model)->tokenizer = tokenizer;
    slmi_log(&(*model)->host, SLM_LOG_INFO, "loaded %s '%s': %llu parameters, %llu bytes of weights",
             (*model)->architecture, (*model)->name, (unsigned long long)(*model)->n_parameters,
             (unsigned long long)slmi_plan_weight_bytes(&(*model)->plan));
    return SLM_OK;
}

/* Reads a model from an open source and closes it. */
static slm_status load(slmi_source *source, const slm_model_options *options, slm_model **model,
                       slm_error *err)
{
    slmi_alloc alloc;
    slmi_gguf gguf;
    slm_status status = slmi_open_header(source, options, &alloc, &gguf, err);
    if (status == SLM_OK) {
        const slmi_fpenv before = slmi_fpenv_enter();
        slm_model_options rest = *options;
        take_from_limit(&rest, atomic_load(&alloc.used));
        status = create_both(&gguf, &rest, model, err);
        slmi_fpenv_leave(before);
    }
    slmi_gguf_close(&gguf);
    slmi_source_close(source);
    return status;
}

SLM_API slm_status slm_model_load(const char *path, const slm_model_options *options,
                                  slm_model **model, slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    REFUSE_NULL(model);
    *model = NULL;
    REFUSE_NULL(path);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_TRY(slmi_source_open_path(&source, path, err));
    return load(&source, &own, model, err);
}

SLM_API slm_status slm_model_load_memory(const void *data, size_t size,
                                         const slm_model_options *options, slm_model **model,
                                         slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    REFUSE_NULL(model);
    *model = NULL;
    REFUSE_NULL(data);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_TRY(slmi_source_open_memory(&source, data, size, err));
    return load(&source, &own, model, err);
}

SLM_API slm_status slm_model_load_reader(const slm_reader *reader, const slm_model_options *options,
                                         slm_model **model, slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    REFUSE_NULL(model);
    *model = NULL;
    REFUSE_NULL(reader);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_TRY(slmi_open_reader(&source, reader, err));
    return load(&source, &own, model, err);
}

SLM_API slm_model *slm_model_retain(slm_model *model)
{
    if (model != NULL) {
        atomic_fetch_add_explicit(&model->n_references, 1, memory_order_relaxed);
    }
    return model;
}

SLM_API void slm_model_release(slm_model *model)
{
    if (model != NULL &&
        atomic_fetch_sub_explicit(&model->n_references, 1, memory_order_acq_rel) == 1) {
        slmi_tokenizer_release(model->tokenizer);
        slmi_model_destroy(model);
    }
}

SLM_API slm_status slm_model_get_info(const slm_model *model, slm_model_info *info, slm_error *err)
{
    SLM_FAIL_IF(model == NULL || info == NULL, SLM_ERR_INVALID_ARGUMENT,
                "model and info must not be NULL");
    const slmi_hyper *h = &model->hyper;
    slm_model_info own = SLM_MODEL_INFO_INIT;
    own.n_layers = h->n_layers;
    own.width = h->width;
    own.n_heads = h->n_heads;
    own.n_kv_heads = h->n_kv_heads;
    own.head_width = h->head_width;
    own.ffn_width = h->ffn_width;
    own.n_vocab = h->n_vocab;
    own.context_length = h->context_length;
    own.n_tensors = model->n_tensors;
    own.n_parameters = model->n_parameters;
    own.file_bytes = model->file_bytes;
    own.weight_bytes = slmi_plan_weight_bytes(&model->plan);
    own.memory_bytes = atomic_load(&model->alloc.used) + slmi_tokenizer_memory(model->tokenizer);
    own.architecture = model->architecture;
    own.name = model->name;
    own.mapped_bytes = model->map.data != NULL ? model->map.size : 0;
    return slmi_result_copy(info, &own, sizeof(own), "slm_model_info", err);
}

SLM_API slm_status slm_model_get_metadata(const slm_model *model, uint32_t index, const char **key,
                                          const char **value, slm_error *err)
{
    REFUSE_NULL(model);
    const int exists = index < model->n_metadata;
    if (key != NULL) {
        *key = exists ? model->metadata[2 * (size_t)index] : NULL;
    }
    if (value != NULL) {
        *value = exists ? model->metadata[2 * (size_t)index + 1] : NULL;
    }
    return exists ? SLM_OK : SLM_END;
}

SLM_API slm_status slm_model_get_tensor(const slm_model *model, uint32_t index, slm_tensor_info *info,
                                        slm_error *err)
{
    SLM_FAIL_IF(model == NULL || info == NULL, SLM_ERR_INVALID_ARGUMENT,
                "model and info must not be NULL");
    if (index >= model->n_tensors) {
        return SLM_END;
    }
    const slmi_tensor_entry *entry = &model->tensors[index];
    slm_tensor_info own = SLM_TENSOR_INFO_INIT;
    own.n_dims = entry->n_dims;
    memcpy(own.dims, entry->dims, sizeof(own.dims));
    own.bytes = entry->bytes;
    own.name = entry->name;
    own.type = entry->type;
    return slmi_result_copy(info, &own, sizeof(own), "slm_tensor_info", err);
}

SLM_API slm_tokenizer *slm_model_get_tokenizer(const slm_model *model)
{
    return model == NULL ? NULL : model->tokenizer;
}
