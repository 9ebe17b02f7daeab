/* SPDX-License-Identifier: MIT */
/* Where a file's bytes come from: a mapped path, memory, or the host's reader. */
#ifndef SLMI_FORMAT_SOURCE_H
#define SLMI_FORMAT_SOURCE_H

#include "base/alloc.h"
#include "base/os/os.h"

/* What slm_reader is, in the library's own terms. */
typedef slm_status slmi_read_fn(void *ctx, uint64_t offset, void *buffer, size_t size);

typedef struct slmi_source {
    uint64_t size;
    const uint8_t *data; /* the whole file if it is in memory, else NULL */
    slmi_map map;        /* of a path */
    slmi_read_fn *read;  /* if data is NULL */
    void *read_ctx;
} slmi_source;

/* path, data and read are not NULL. */
slm_status slmi_source_open_path(slmi_source *source, const char *path, slm_error *err);
slm_status slmi_source_open_memory(slmi_source *source, const void *data, size_t size,
                                   slm_error *err);
slm_status slmi_source_open_reader(slmi_source *source, slmi_read_fn *read, void *ctx,
                                   uint64_t size, slm_error *err);

/* Makes bytes [offset, offset + size) readable: *bytes points into the file if it is in memory,
 * else into `buffer` (size bytes), which is filled. SLM_ERR_TRUNCATED past the end. */
slm_status slmi_source_view(const slmi_source *source, uint64_t offset, size_t size, void *buffer,
                            const uint8_t **bytes, slm_error *err);

/* Lets go of mapped pages that will not be read again. */
void slmi_source_forget(const slmi_source *source, uint64_t offset, uint64_t size);

/* Hands the mapping of a path over: what the source showed stays readable until slmi_map_close(). */
slmi_map slmi_source_keep(slmi_source *source);

/* A zeroed source does nothing. */
void slmi_source_close(slmi_source *source);

#endif
