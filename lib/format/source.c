/* SPDX-License-Identifier: MIT */
/* Where a file's bytes come from: a mapped path, memory, or the host's reader. */
#include "format/source.h"

#include <string.h>

slm_status slmi_source_open_path(slmi_source *source, const char *path, slm_error *err)
{
    memset(source, 0, sizeof(*source));
    SLM_TRY(slmi_map_open(&source->map, path, err));
    slmi_map_prefer_large_pages(&source->map);
    source->data = source->map.data;
    source->size = source->map.size;
    return SLM_OK;
}

slm_status slmi_source_open_memory(slmi_source *source, const void *data, size_t size,
                                   slm_error *err)
{
    memset(source, 0, sizeof(*source));
    SLM_FAIL_AT_IF(size == 0, SLM_ERR_TRUNCATED, 0, "the file's bytes are empty");
    source->data = data;
    source->size = size;
    return SLM_OK;
}

slm_status slmi_source_open_reader(slmi_source *source, slmi_read_fn *read, void *ctx,
                                   uint64_t size, slm_error *err)
{
    memset(source, 0, sizeof(*source));
    SLM_FAIL_IF(size > INT64_MAX, SLM_ERR_INVALID_ARGUMENT, "the reader's size of %llu is absurd",
                (unsigned long long)size);
    SLM_FAIL_AT_IF(size == 0, SLM_ERR_TRUNCATED, 0, "the reader's file is empty");
    source->read = read;
    source->read_ctx = ctx;
    source->size = size;
    return SLM_OK;
}

slm_status slmi_source_view(const slmi_source *source, uint64_t offset, size_t size, void *buffer,
                            const uint8_t **bytes, slm_error *err)
{
    SLM_FAIL_AT_IF(offset > source->size || size > source->size - offset, SLM_ERR_TRUNCATED,
                   offset, "%llu bytes are wanted here, but the file ends at %llu",
                   (unsigned long long)size, (unsigned long long)source->size);
    if (source->data != NULL) {
        *bytes = source->data + offset;
        return SLM_OK;
    }
    const slm_status status = source->read(source->read_ctx, offset, buffer, size);
    SLM_FAIL_AT_IF(status != SLM_OK, status < 0 ? status : SLM_ERR_IO, offset,
                   "the host's reader failed with status %d", (int)status);
    *bytes = buffer;
    return SLM_OK;
}

void slmi_source_forget(const slmi_source *source, uint64_t offset, uint64_t size)
{
    if (source->map.data != NULL) {
        slmi_map_forget(&source->map, offset, size);
    }
}

slmi_map slmi_source_keep(slmi_source *source)
{
    const slmi_map map = source->map;
    source->map.data = NULL;
    return map;
}

void slmi_source_close(slmi_source *source)
{
    slmi_map_close(&source->map);
    memset(source, 0, sizeof(*source));
}
