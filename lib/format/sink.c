/* SPDX-License-Identifier: MIT */
/* Where a file's bytes go: gathered to large pieces, each handed on once. */
#include "format/sink.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

slm_status slmi_sink_open(slmi_sink *sink, slmi_write_fn *write, void *ctx, slmi_alloc *alloc, slm_error *err)
{
    memset(sink, 0, sizeof(*sink));
    sink->alloc = alloc;
    sink->write = write;
    sink->ctx = ctx;
    sink->buffer = slmi_new_raw(alloc, SLMI_SINK_BYTES, SLMI_CACHE_LINE);
    return sink->buffer != NULL ? SLM_OK : slmi_alloc_fail(alloc, SLMI_SINK_BYTES, err);
}

void slmi_sink_close(slmi_sink *sink)
{
    slmi_free(sink->alloc, sink->buffer, SLMI_SINK_BYTES, SLMI_CACHE_LINE);
    sink->buffer = NULL;
}

slm_status slmi_sink_flush(slmi_sink *sink, slm_error *err)
{
    if (sink->used > 0) {
        SLM_TRY(sink->write(sink->ctx, sink->buffer, sink->used, err));
        sink->used = 0;
    }
    return SLM_OK;
}

slm_status slmi_sink_put(slmi_sink *sink, const void *bytes, size_t size, slm_error *err)
{
    const uint8_t *from = bytes;
    sink->position += size;
    while (size > 0) {
        const size_t room = SLMI_SINK_BYTES - sink->used;
        const size_t n = size < room ? size : room;
        memcpy(sink->buffer + sink->used, from, n);
        sink->used += n;
        from += n;
        size -= n;
        if (sink->used == SLMI_SINK_BYTES) {
            SLM_TRY(slmi_sink_flush(sink, err));
        }
    }
    return SLM_OK;
}

slm_status slmi_sink_put_u32(slmi_sink *sink, uint32_t value, slm_error *err)
{
    uint8_t bytes[4];
    slmi_write_u32(bytes, value);
    return slmi_sink_put(sink, bytes, sizeof(bytes), err);
}

slm_status slmi_sink_put_u64(slmi_sink *sink, uint64_t value, slm_error *err)
{
    uint8_t bytes[8];
    slmi_write_u64(bytes, value);
    return slmi_sink_put(sink, bytes, sizeof(bytes), err);
}

slm_status slmi_sink_pad(slmi_sink *sink, uint32_t alignment, slm_error *err)
{
    static const uint8_t zeros[64];
    const uint64_t rest = slmi_round_up(sink->position, alignment) - sink->position;
    return slmi_sink_put(sink, zeros, (size_t)rest, err);
}
