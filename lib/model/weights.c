/* SPDX-License-Identifier: MIT */
/* Loading tensors: rows of the file to panels, in chunks, on all workers, giving pages back behind. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "kernels/math.h"
#include "model/build.h"

/* Bytes of the file that are read, repacked and given back at a time. */
#define CHUNK_BYTES ((size_t)4 << 20)

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

/* Panels of one chunk, shared out among the workers. */
typedef struct repacking {
    const slmi_matrix *matrix;
    const uint8_t *rows;   /* of the chunk */
    size_t row_bytes;
    uint32_t first_panel;
    uint32_t end_panel;
    uint32_t n_rows;       /* of the whole matrix */
    _Atomic uint32_t next;
} repacking;

static void repack(void *ctx, uint32_t worker)
{
    (void)worker;
    repacking *r = ctx;
    for (;;) {
        const uint32_t panel = atomic_fetch_add(&r->next, 1);
        if (panel >= r->end_panel) {
            return;
        }
        const uint32_t row = panel * SLMK_ROWS;
        const uint32_t n = r->n_rows - row < SLMK_ROWS ? r->n_rows - row : SLMK_ROWS;
        const size_t offset = (size_t)(panel - r->first_panel) * SLMK_ROWS * r->row_bytes;
        slmk_repack(r->matrix->type, r->rows + offset, r->row_bytes, n, r->matrix->cols,
                    r->matrix->panels + panel * r->matrix->panel_bytes);
    }
}

/* A buffer for sources that are not in memory; large enough for any chunk. */
static slm_status make_staging(slmi_builder *b, size_t size)
{
    if (b->gguf->source->data != NULL || size <= b->staging_bytes) {
        return SLM_OK;
    }
    slmi_free(&b->model->alloc, b->staging, b->staging_bytes, SLMI_CACHE_LINE);
    b->staging_bytes = 0;
    b->staging = slmi_new_raw(&b->model->alloc, size, SLMI_CACHE_LINE);
    if (b->staging == NULL) {
        return slmi_alloc_fail(&b->model->alloc, size, b->err);
    }
    b->staging_bytes = size;
    return SLM_OK;
}

static slm_status load_matrix(slmi_builder *b, const slmi_gguf_tensor *tensor,
                              const slmi_matrix *matrix)
{
    const size_t row_bytes = slmk_row_size(matrix->type, matrix->cols);
    const size_t panel_rows_bytes = row_bytes * SLMK_ROWS;
    const size_t fitting = CHUNK_BYTES / panel_rows_bytes;
    const uint32_t step = fitting == 0 ? 1 : (uint32_t)fitting;
    for (uint32_t panel = 0; panel < matrix->n_panels; panel += step) {
        const uint64_t row = (uint64_t)panel * SLMK_ROWS;
        const uint64_t most = (uint64_t)step * SLMK_ROWS;
        const uint64_t n_rows = matrix->rows - row < most ? matrix->rows - row : most;
        const size_t bytes = (size_t)n_rows * row_bytes;
        const uint64_t offset = tensor->offset + row * row_bytes;
        repacking r = { .matrix = matrix, .row_bytes = row_bytes, .first_panel = panel,
                        .n_rows = matrix->rows, .next = panel };
        r.end_panel = matrix->n_panels - panel < step ? matrix->n_panels : panel + step;
        SLM_TRY(make_staging(b, bytes));
        SLM_TRY(slmi_source_view(b->gguf->source, offset, bytes, b->staging, &r.rows, b->err));
        slmi_pool_run(b->pool, repack, &r);
        slmi_source_forget(b->gguf->source, offset, bytes);
        SLM_TRY(advance(b, bytes));
    }
    return SLM_OK;
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
        b->status = slmi_plan_add_matrix(plan, tensor->type, rows, cols, &index, b->err);
    }
    if (b->status == SLM_OK) {
        b->status = load_matrix(b, tensor, &plan->matrices[index]);
    }
    if (b->status != SLM_OK) {
        return SLMI_NONE;
    }
    identify(b->model, name, tensor->type, plan->matrices[index].panels,
             plan->matrices[index].panel_bytes);
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
    SLM_TRY(make_staging(b, size));
    SLM_TRY(slmi_source_view(b->gguf->source, tensor->offset, size, b->staging, &bytes, err));
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
