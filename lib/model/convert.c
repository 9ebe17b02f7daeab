/* SPDX-License-Identifier: MIT */
/* Writing a model's file anew with its matrices as panels, a few megabytes at a time. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/pool.h"
#include "format/gguf_write.h"
#include "kernels/panel.h"
#include "model/model.h"
#include "model/panels.h"

typedef struct converter {
    const slmi_gguf *gguf;
    const slm_model_options *options;
    slmi_sink *sink;
    slmi_panel_reader reader;
    uint8_t *panels;      /* [panels_bytes] of one chunk */
    size_t panels_bytes;
    uint64_t bytes_done;  /* of the original */
    slm_error *err;
} converter;

static int is_key(const slmi_gguf_entry *entry, const char *key)
{
    return entry->key.length == strlen(key) && memcmp(entry->key.data, key, entry->key.length) == 0;
}

/* Entries that are written anew. */
static int is_replaced(const slmi_gguf_entry *entry)
{
    const size_t n_own = strlen(SLMI_PANELS_KEYS);
    return is_key(entry, "general.architecture") || is_key(entry, "general.alignment") ||
           (entry->key.length >= n_own && memcmp(entry->key.data, SLMI_PANELS_KEYS, n_own) == 0);
}

/* What a matrix was, for each tensor. */
static slm_status write_shapes(const converter *c)
{
    const slmi_gguf *gguf = c->gguf;
    const uint64_t n = gguf->n_tensors;
    SLM_TRY(slmi_gguf_write_array(c->sink, SLMI_PANELS_TYPES_KEY, SLMI_GGUF_U32, n, c->err));
    for (uint64_t i = 0; i < n; i++) {
        SLM_TRY(slmi_sink_put_u32(c->sink, gguf->tensors[i].file_type, c->err));
    }
    SLM_TRY(slmi_gguf_write_array(c->sink, SLMI_PANELS_SHAPES_KEY, SLMI_GGUF_U64, 4 * n, c->err));
    for (uint64_t i = 0; i < n; i++) {
        const slmi_gguf_tensor *tensor = &gguf->tensors[i];
        for (uint32_t d = 0; d < 4; d++) {
            SLM_TRY(slmi_sink_put_u64(c->sink, d < tensor->n_dims ? tensor->dims[d] : 0, c->err));
        }
    }
    return SLM_OK;
}

static slm_status write_metadata(const converter *c)
{
    const slmi_gguf *gguf = c->gguf;
    const slmi_text own = { SLMI_PANELS_ARCHITECTURE, strlen(SLMI_PANELS_ARCHITECTURE) };
    slmi_text architecture = { "", 0 };
    uint64_t n_entries = 6; /* those below */
    for (uint32_t i = 0; i < gguf->n_entries; i++) {
        n_entries += !is_replaced(&gguf->entries[i]);
    }
    SLM_TRY(slmi_gguf_get_text(gguf, "general.architecture", &architecture, c->err));
    SLM_TRY(slmi_gguf_write_head(c->sink, gguf->n_tensors, n_entries, c->err));
    SLM_TRY(slmi_gguf_write_text(c->sink, "general.architecture", own, c->err));
    SLM_TRY(slmi_gguf_write_u32(c->sink, "general.alignment", SLMI_PANELS_ALIGNMENT, c->err));
    for (uint32_t i = 0; i < gguf->n_entries; i++) {
        if (!is_replaced(&gguf->entries[i])) {
            SLM_TRY(slmi_gguf_write_copy(c->sink, &gguf->entries[i], c->err));
        }
    }
    SLM_TRY(slmi_gguf_write_u32(c->sink, SLMI_PANELS_VERSION_KEY, SLMK_PANELS_VERSION, c->err));
    SLM_TRY(slmi_gguf_write_text(c->sink, SLMI_PANELS_MODEL_KEY, architecture, c->err));
    return write_shapes(c);
}

/* A matrix becomes bytes, one row of them for each panel. */
static slm_status write_directory(const converter *c)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < c->gguf->n_tensors; i++) {
        const slmi_gguf_tensor *tensor = &c->gguf->tensors[i];
        uint64_t bytes = tensor->bytes;
        if (slmi_tensor_is_matrix(tensor)) {
            const uint64_t n = slmi_panels_count(tensor);
            const uint64_t dims[2] = { slmk_panel_size(tensor->type, (size_t)tensor->dims[0]), n };
            bytes = n * dims[0];
            SLM_TRY(slmi_gguf_write_tensor(c->sink, tensor->name, 2, dims, SLMI_GGUF_BYTES_TYPE, offset,
                                           c->err));
        } else {
            SLM_TRY(slmi_gguf_write_tensor(c->sink, tensor->name, tensor->n_dims, tensor->dims,
                                           tensor->file_type, offset, c->err));
        }
        offset = slmi_round_up(offset + bytes, SLMI_PANELS_ALIGNMENT);
    }
    return SLM_OK;
}

static slm_status advance(converter *c, uint64_t bytes)
{
    c->bytes_done += bytes;
    const float done = (float)((double)c->bytes_done / (double)c->gguf->source->size);
    if (c->options->progress != NULL && c->options->progress(c->options->progress_ctx, done) != 0) {
        return SLM_CANCELLED;
    }
    return SLM_OK;
}

static slm_status make_room(converter *c, size_t size)
{
    if (size > c->panels_bytes) {
        slmi_free(c->reader.alloc, c->panels, c->panels_bytes, SLMI_CACHE_LINE);
        c->panels = slmi_new_raw(c->reader.alloc, size, SLMI_CACHE_LINE);
        c->panels_bytes = c->panels != NULL ? size : 0;
    }
    return c->panels != NULL ? SLM_OK : slmi_alloc_fail(c->reader.alloc, size, c->err);
}

static slm_status write_matrix(converter *c, const slmi_gguf_tensor *tensor)
{
    const uint32_t step = slmi_panels_step(tensor), n = slmi_panels_count(tensor);
    const size_t panel_bytes = slmk_panel_size(tensor->type, (size_t)tensor->dims[0]);
    for (uint32_t first = 0; first < n;) {
        const uint32_t end = n - first < step ? n : first + step;
        uint64_t bytes;
        SLM_TRY(make_room(c, (end - first) * panel_bytes));
        SLM_TRY(slmi_panels_read(&c->reader, tensor, first, end, c->panels, &bytes, c->err));
        SLM_TRY(slmi_sink_put(c->sink, c->panels, (end - first) * panel_bytes, c->err));
        SLM_TRY(advance(c, bytes));
        first = end;
    }
    return SLM_OK;
}

/* A tensor that is no matrix stays as it is. */
static slm_status write_bytes(converter *c, const slmi_gguf_tensor *tensor)
{
    for (uint64_t at = 0; at < tensor->bytes;) {
        const uint64_t left = tensor->bytes - at;
        const size_t n = left < SLMI_SINK_BYTES ? (size_t)left : SLMI_SINK_BYTES;
        const uint8_t *bytes;
        SLM_TRY(slmi_panel_reader_view(&c->reader, tensor->offset + at, n, &bytes, c->err));
        SLM_TRY(slmi_sink_put(c->sink, bytes, n, c->err));
        SLM_TRY(advance(c, n));
        at += n;
    }
    return SLM_OK;
}

static slm_status write_all(converter *c)
{
    SLM_TRY(write_metadata(c));
    SLM_TRY(write_directory(c));
    for (uint32_t i = 0; i < c->gguf->n_tensors; i++) {
        const slmi_gguf_tensor *tensor = &c->gguf->tensors[i];
        SLM_TRY(slmi_sink_pad(c->sink, SLMI_PANELS_ALIGNMENT, c->err));
        SLM_TRY(slmi_tensor_is_matrix(tensor) ? write_matrix(c, tensor) : write_bytes(c, tensor));
    }
    return slmi_sink_flush(c->sink, c->err);
}

slm_status slmi_model_convert(const slmi_gguf *gguf, const slm_model_options *options, slmi_sink *sink,
                              slm_error *err)
{
    slmi_pool pool;
    slm_tasks tasks;
    converter c = { .gguf = gguf, .options = options, .sink = sink, .err = err };
    c.reader.source = gguf->source;
    c.reader.alloc = sink->alloc;
    c.reader.pool = &pool;
    const uint32_t n_threads = options->n_threads != 0 ? options->n_threads : slmi_cpu_count();
    SLM_TRY(slmi_tasks_copy(&tasks, options->host->tasks, err));
    SLM_TRY(slmi_pool_init(&pool, n_threads, &tasks, sink->alloc, err));
    slm_status status = slmi_pool_start(&pool, err);
    if (status == SLM_OK) {
        status = write_all(&c);
    }
    slmi_free(sink->alloc, c.panels, c.panels_bytes, SLMI_CACHE_LINE);
    slmi_panel_reader_free(&c.reader);
    slmi_pool_destroy(&pool);
    return status;
}
