/* SPDX-License-Identifier: MIT */
/* Panels of a file's matrices, in pieces: what loading and converting share. */
#ifndef SLMI_MODEL_PANELS_H
#define SLMI_MODEL_PANELS_H

#include "base/pool.h"
#include "format/gguf.h"

/* Zeroed but for the first three; ends with slmi_panel_reader_free(). */
typedef struct slmi_panel_reader {
    const slmi_source *source;
    slmi_alloc *alloc;
    slmi_pool *pool;
    uint8_t *staging;     /* [staging_bytes] for sources that are not in memory */
    size_t staging_bytes;
} slmi_panel_reader;

void slmi_panel_reader_free(slmi_panel_reader *reader);

/* 1 if the tensor is a matrix, with panels of its own: more than one row of a type that is known. */
int slmi_tensor_is_matrix(const slmi_gguf_tensor *tensor);

/* Panels of the matrix, and how many of them are read at a time. */
uint32_t slmi_panels_count(const slmi_gguf_tensor *tensor);
uint32_t slmi_panels_step(const slmi_gguf_tensor *tensor);

/* Writes the panels [first, end) of a matrix to out, on all workers, and gives the file's pages back.
 * *bytes = what was read of the file. */
slm_status slmi_panels_read(slmi_panel_reader *reader, const slmi_gguf_tensor *tensor, uint32_t first,
                            uint32_t end, uint8_t *out, uint64_t *bytes, slm_error *err);

/* Makes bytes of the file readable: as slmi_source_view() with the reader's own buffer. */
slm_status slmi_panel_reader_view(slmi_panel_reader *reader, uint64_t offset, size_t size,
                                  const uint8_t **bytes, slm_error *err);

#endif
