/* SPDX-License-Identifier: MIT */
/* Loading tensors: matrices as panels, made or taken where they stand, and vectors. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "kernels/math.h"
#include "model/build.h"

static slm_status missing(slm_error *err, const char *name)
{
    return slmi_fail(err, SLM_ERR_FORMAT, SLM_NO_OFFSET, "the file has no tensor '%s'", name);
}

/* The tensor of this name, if its shape is [rows][cols] (cols only for vectors) and its type known. */
static slm_status find(slmi_builder *b, const char *name, uint64_t cols, uint64_t rows,
                       const slmi_gguf_tensor **out)
{
    slm_error *err = b->err;
    const slmi_gguf_tensor *tensor = slmi_gguf_find_tensor(b->gguf, name);
    if (tensor == NULL) {
        return missing(err, name);
    }
    uint64_t other = 1;
    for (uint32_t i = 2; i < tensor->n_dims; i++) {
        other *= tensor->dims[i];
    }
    const uint64_t second = tensor->n_dims > 1 ? tensor->dims[1] : 1;
    SLM_FAIL_AT_IF(tensor->dims[0] != cols || second != rows || other != 1, SLM_ERR_FORMAT,
                   tensor->entry_offset, "tensor '%s' is %llu x %llu; the model needs %llu x %llu",
                   name, (unsigned long long)tensor->dims[0], (unsigned long long)second,
                   (unsigned long long)cols, (unsigned long long)rows);
    const char *type = slmi_gguf_type_name(tensor->file_type);
    SLM_FAIL_AT_IF(tensor->type < 0, SLM_ERR_UNSUPPORTED, tensor->entry_offset,
                   "tensor '%s' has weights of type %s (%u), which is not supported", name,
                   type == NULL ? "unknown" : type, tensor->file_type);
    b->used[tensor - b->gguf->tensors] = 1;
    *out = tensor;
    return SLM_OK;
}

/* Counts bytes and asks the host whether to go on. */
static slm_status advance(slmi_builder *b, uint64_t bytes)
{
    b->bytes_done += bytes;
    if (b->options->progress != NULL) {
        const float done = (float)((double)b->bytes_done / (double)b->model->file_bytes);
        if (b->options->progress(b->options->progress_ctx, done) != 0) {
            return SLM_CANCELLED;
        }
    }
    return SLM_OK;
}

static slm_status read_panels(slmi_builder *b, const slmi_gguf_tensor *tensor, const slmi_matrix *matrix)
{
    const uint32_t step = slmi_panels_step(tensor);
    for (uint32_t first = 0; first < matrix->n_panels;) {
        const uint32_t end = matrix->n_panels - first < step ? matrix->n_panels : first + step;
        uint64_t bytes;
        SLM_TRY(slmi_panels_read(&b->reader, tensor, first, end, matrix->panels + first * matrix->panel_bytes,
                                 &bytes, b->err));
        SLM_TRY(advance(b, bytes));
        first = end;
    }
    return SLM_OK;
}

/* A matrix with its panels: made from the file's rows, copied, or taken where they stand. */
static slm_status load_matrix(slmi_builder *b, const slmi_gguf_tensor *tensor, slmi_index *index)
{
    slmi_plan *plan = &b->model->plan;
    const uint32_t cols = (uint32_t)tensor->dims[0], rows = (uint32_t)tensor->dims[1];
    if (b->mode == SLMI_BUILD_CHECK) {
        return slmi_plan_add_foreign_matrix(plan, tensor->type, rows, cols, NULL, index, b->err);
    }
    if (b->mode == SLMI_BUILD_MAP && tensor->is_panels) {
        const uint8_t *panels = b->gguf->source->data + tensor->offset;
        SLM_TRY(slmi_plan_add_foreign_matrix(plan, tensor->type, rows, cols, panels, index, b->err));
        return advance(b, tensor->bytes);
    }
    SLM_TRY(slmi_plan_add_matrix(plan, tensor->type, rows, cols, index, b->err));
    return read_panels(b, tensor, &plan->matrices[*index]);
}

/* Ties the model's identity to the tensor: its name, type, shape and first panel. */
static void identify(slm_model *model, const char *name, int32_t type, const void *data, size_t size)
{
    const uint64_t bytes = size; /* the same number on every machine */
    const size_t sample = size < 4096 ? size : 4096;
    model->identity = slmi_hash(model->identity, name, strlen(name));
    model->identity = slmi_hash(model->identity, &type, sizeof(type));
    model->identity = slmi_hash(model->identity, &bytes, sizeof(bytes));
    model->identity = slmi_hash(model->identity, data, sample);
}

slmi_index slmi_build_matrix(slmi_builder *b, const char *name, uint32_t rows, uint32_t cols)
{
    const slmi_gguf_tensor *tensor = NULL;
    slmi_index index = SLMI_NONE;
    slmi_plan *plan = &b->model->plan;
    if (b->status == SLM_OK) {
        b->status = find(b, name, cols, rows, &tensor);
    }
    if (b->status == SLM_OK) {
        b->status = load_matrix(b, tensor, &index);
    }
    if (b->status != SLM_OK) {
        return SLMI_NONE;
    }
    if (b->mode != SLMI_BUILD_CHECK) {
        identify(b->model, name, tensor->type, plan->matrices[index].panels,
                 plan->matrices[index].panel_bytes);
    }
    return index;
}

static slm_status load_vector(slmi_builder *b, const slmi_gguf_tensor *tensor, float *out)
{
    slm_error *err = b->err;
    const uint8_t *bytes;
    const size_t size = (size_t)tensor->bytes;
    const size_t length = (size_t)tensor->dims[0];
    SLM_FAIL_AT_IF(!slmk_types[tensor->type].is_float, SLM_ERR_UNSUPPORTED, tensor->entry_offset,
                   "tensor '%.*s' must be of a float type", (int)tensor->name.length,
                   tensor->name.data);
    SLM_TRY(slmi_panel_reader_view(&b->reader, tensor->offset, size, &bytes, err));
    for (size_t i = 0; i < length; i++) {
        if (tensor->type == SLMK_F32) {
            out[i] = slmi_bits_f32(slmi_read_u32(bytes + 4 * i));
        } else if (tensor->type == SLMK_F16) {
            out[i] = slmk_f16_to_f32(slmi_read_u16(bytes + 2 * i));
        } else {
            out[i] = slmk_bf16_to_f32(slmi_read_u16(bytes + 2 * i));
        }
    }
    return advance(b, size);
}

slmi_index slmi_build_vector(slmi_builder *b, const char *name, uint32_t length)
{
    const slmi_gguf_tensor *tensor = NULL;
    slmi_index index = SLMI_NONE;
    slmi_plan *plan = &b->model->plan;
    if (b->status == SLM_OK) {
        b->status = find(b, name, length, 1, &tensor);
    }
    if (b->status == SLM_OK) {
        b->status = slmi_plan_add_vector(plan, length, &index, b->err);
    }
    if (b->status == SLM_OK) {
        b->status = load_vector(b, tensor, plan->vectors[index].data);
    }
    if (b->status != SLM_OK) {
        return SLMI_NONE;
    }
    identify(b->model, name, tensor->type, plan->vectors[index].data, length * sizeof(float));
    return index;
}
