/* SPDX-License-Identifier: MIT */
/* What a model keeps of its file beside the weights: metadata and directory as text. */
#include <string.h>

#include "base/error.h"
#include "model/model.h"

/* Texts are gathered in a growing buffer, so pointers are made last: until then positions stand in
 * their place. */
static const char *as_pointer(size_t position)
{
    return (const char *)(uintptr_t)position;
}

static const char *resolve(const slm_model *model, const char *position)
{
    return (const char *)model->texts.data + (uintptr_t)position;
}

static slm_status keep(slm_model *model, const char *text, size_t length, const char **position,
                       slm_error *err)
{
    *position = as_pointer(model->texts.size);
    SLM_TRY(slmi_buffer_append(&model->texts, text, length, err));
    return slmi_buffer_append(&model->texts, "", 1, err);
}

static slm_status keep_value(slm_model *model, const slmi_gguf_entry *entry, const char **position,
                             slm_error *err)
{
    const size_t length = slmi_gguf_format_value(entry, NULL);
    *position = as_pointer(model->texts.size);
    SLM_TRY(slmi_buffer_reserve(&model->texts, length + 1, err));
    slmi_gguf_format_value(entry, (char *)model->texts.data + model->texts.size);
    model->texts.size += length + 1;
    return SLM_OK;
}

static slm_status describe_metadata(slm_model *model, const slmi_gguf *gguf, slm_error *err)
{
    const size_t n = gguf->n_entries;
    model->metadata = slmi_new_array(&model->alloc, 2 * n, sizeof(char *), SLMI_CACHE_LINE);
    if (model->metadata == NULL) {
        return slmi_alloc_fail(&model->alloc, 2 * n * sizeof(char *), err);
    }
    model->n_metadata = gguf->n_entries;
    for (size_t i = 0; i < n; i++) {
        const slmi_gguf_entry *entry = &gguf->entries[i];
        SLM_TRY(keep(model, entry->key.data, entry->key.length, &model->metadata[2 * i], err));
        SLM_TRY(keep_value(model, entry, &model->metadata[2 * i + 1], err));
    }
    return SLM_OK;
}

static slm_status describe_tensors(slm_model *model, const slmi_gguf *gguf, slm_error *err)
{
    const size_t n = gguf->n_tensors;
    SLM_FAIL_IF(n == 0, SLM_ERR_FORMAT, "the file has a vocabulary but no weights");
    model->tensors = slmi_new_array(&model->alloc, n, sizeof(slmi_tensor_entry), SLMI_CACHE_LINE);
    if (model->tensors == NULL) {
        return slmi_alloc_fail(&model->alloc, n * sizeof(slmi_tensor_entry), err);
    }
    model->n_tensors = gguf->n_tensors;
    for (size_t i = 0; i < n; i++) {
        const slmi_gguf_tensor *tensor = &gguf->tensors[i];
        slmi_tensor_entry *entry = &model->tensors[i];
        const char *type = slmi_gguf_type_name(tensor->file_type);
        entry->type = type == NULL ? "unknown" : type;
        entry->n_dims = tensor->n_dims;
        entry->bytes = tensor->bytes;
        uint64_t elements = 1;
        for (uint32_t d = 0; d < tensor->n_dims; d++) {
            entry->dims[d] = tensor->dims[d];
            elements *= tensor->dims[d];
        }
        model->n_parameters += elements;
        SLM_TRY(keep(model, tensor->name.data, tensor->name.length, &entry->name, err));
    }
    return SLM_OK;
}

slm_status slmi_model_describe(slm_model *model, const slmi_gguf *gguf, slm_error *err)
{
    SLM_TRY(describe_metadata(model, gguf, err));
    SLM_TRY(describe_tensors(model, gguf, err));
    model->name = "";
    for (size_t i = 0; i < 2 * (size_t)model->n_metadata; i++) {
        model->metadata[i] = resolve(model, model->metadata[i]);
    }
    for (size_t i = 0; i < model->n_tensors; i++) {
        model->tensors[i].name = resolve(model, model->tensors[i].name);
    }
    for (size_t i = 0; i < model->n_metadata; i++) {
        if (strcmp(model->metadata[2 * i], "general.name") == 0) {
            model->name = model->metadata[2 * i + 1];
        } else if (strcmp(model->metadata[2 * i], "tokenizer.chat_template") == 0) {
            model->chat_template = model->metadata[2 * i + 1];
            model->chat_template_length = strlen(model->chat_template);
        }
    }
    return SLM_OK;
}

slmi_alloc *slmi_model_alloc(const slm_model *model)
{
    /* The count of bytes is atomic; the rest of a model never changes. */
    return (slmi_alloc *)(uintptr_t)&model->alloc;
}

slm_tokenizer *slmi_model_tokenizer(const slm_model *model)
{
    return model->tokenizer;
}

const char *slmi_model_chat_template(const slm_model *model, size_t *length)
{
    *length = model->chat_template_length;
    return model->chat_template;
}
