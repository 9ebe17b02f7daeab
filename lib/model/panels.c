/* SPDX-License-Identifier: MIT */
/* Panels of a file's matrices: rows are repacked, or stored panels copied, in pieces, on all workers. */
#include "model/panels.h"

#include <string.h>

#include "base/error.h"
#include "kernels/panel.h"

/* Bytes of the file that are read, repacked and given back at a time. */
#define CHUNK_BYTES ((size_t)4 << 20)

/* Panels of one chunk, shared out among the workers. */
typedef struct chunk {
    const slmi_gguf_tensor *tensor;
    const uint8_t *source;
    size_t source_bytes; /* of one panel in the file */
    size_t panel_bytes;
    uint8_t *out;
    uint32_t first_panel;
    uint32_t end_panel;
    _Atomic uint32_t next;
} chunk;

void slmi_panel_reader_free(slmi_panel_reader *reader)
{
    slmi_free(reader->alloc, reader->staging, reader->staging_bytes, SLMI_CACHE_LINE);
    reader->staging = NULL;
    reader->staging_bytes = 0;
}

slm_status slmi_panel_reader_view(slmi_panel_reader *reader, uint64_t offset, size_t size,
                                  const uint8_t **bytes, slm_error *err)
{
    if (reader->source->data == NULL && size > reader->staging_bytes) {
        slmi_panel_reader_free(reader);
        reader->staging = slmi_new_raw(reader->alloc, size, SLMI_CACHE_LINE);
        if (reader->staging == NULL) {
            return slmi_alloc_fail(reader->alloc, size, err);
        }
        reader->staging_bytes = size;
    }
    return slmi_source_view(reader->source, offset, size, reader->staging, bytes, err);
}

int slmi_tensor_is_matrix(const slmi_gguf_tensor *tensor)
{
    return tensor->type >= 0 && tensor->dims[2] == 1 && tensor->dims[3] == 1 && tensor->dims[1] > 1 &&
           tensor->dims[0] <= UINT32_MAX && tensor->dims[1] <= UINT32_MAX;
}

uint32_t slmi_panels_count(const slmi_gguf_tensor *tensor)
{
    return (uint32_t)((tensor->dims[1] + SLMK_ROWS - 1) / SLMK_ROWS);
}

/* Bytes of a panel's rows, or of a stored panel. */
static size_t source_bytes(const slmi_gguf_tensor *tensor)
{
    const size_t cols = (size_t)tensor->dims[0];
    return tensor->is_panels ? slmk_panel_size(tensor->type, cols)
                             : slmk_row_size(tensor->type, cols) * SLMK_ROWS;
}

uint32_t slmi_panels_step(const slmi_gguf_tensor *tensor)
{
    const size_t fitting = CHUNK_BYTES / source_bytes(tensor);
    return fitting == 0 ? 1 : (uint32_t)fitting;
}

/* Brings bytes into the cache in their order: repacking reads 16 rows at once, more streams than a
 * processor's own prefetching follows. */
static void read_in_order(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += SLMI_CACHE_LINE) {
        (void)*(const volatile uint8_t *)(bytes + i);
    }
}

static void fill_panels(void *ctx, uint32_t worker)
{
    (void)worker;
    chunk *c = ctx;
    for (;;) {
        const uint32_t panel = atomic_fetch_add(&c->next, 1);
        if (panel >= c->end_panel) {
            return;
        }
        const uint8_t *from = c->source + (size_t)(panel - c->first_panel) * c->source_bytes;
        uint8_t *to = c->out + (size_t)(panel - c->first_panel) * c->panel_bytes;
        if (c->tensor->is_panels) {
            memcpy(to, from, c->panel_bytes);
            continue;
        }
        const uint64_t left = c->tensor->dims[1] - (uint64_t)panel * SLMK_ROWS;
        const uint32_t n_rows = left < SLMK_ROWS ? (uint32_t)left : SLMK_ROWS;
        const size_t row_bytes = c->source_bytes / SLMK_ROWS;
        read_in_order(from, n_rows * row_bytes);
        slmk_repack(c->tensor->type, from, row_bytes, n_rows, (uint32_t)c->tensor->dims[0], to);
    }
}

slm_status slmi_panels_read(slmi_panel_reader *reader, const slmi_gguf_tensor *tensor, uint32_t first,
                            uint32_t end, uint8_t *out, uint64_t *bytes, slm_error *err)
{
    chunk c = { .tensor = tensor, .source_bytes = source_bytes(tensor), .out = out, .first_panel = first,
                .end_panel = end, .next = first };
    c.panel_bytes = slmk_panel_size(tensor->type, (size_t)tensor->dims[0]);
    const uint64_t begin = first * (uint64_t)c.source_bytes;
    const uint64_t all = (end - first) * (uint64_t)c.source_bytes;
    *bytes = all < tensor->bytes - begin ? all : tensor->bytes - begin; /* the last panel may lack rows */
    SLM_TRY(slmi_panel_reader_view(reader, tensor->offset + begin, (size_t)*bytes, &c.source, err));
    slmi_pool_run(reader->pool, fill_panels, &c);
    slmi_source_forget(reader->source, tensor->offset + begin, *bytes);
    return SLM_OK;
}
