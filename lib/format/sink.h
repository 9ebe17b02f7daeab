/* SPDX-License-Identifier: MIT */
/* Where a file's bytes go, from front to back: a file of the system, or the host's writer. */
#ifndef SLMI_FORMAT_SINK_H
#define SLMI_FORMAT_SINK_H

#include "base/alloc.h"

/* Takes the next bytes of the file. */
typedef slm_status slmi_write_fn(void *ctx, const void *bytes, size_t size, slm_error *err);

/* Bytes are handed on in pieces of this size, but for the last. Linux keeps what is written in such pieces
 * in large pages, which it can map as they are. */
#define SLMI_SINK_BYTES ((size_t)2 << 20)

typedef struct slmi_sink {
    slmi_alloc *alloc;
    slmi_write_fn *write;
    void *ctx;
    uint8_t *buffer;   /* [SLMI_SINK_BYTES] */
    size_t used;
    uint64_t position; /* bytes put so far */
} slmi_sink;

/* The sink is closed by slmi_sink_close(), also if this fails. */
slm_status slmi_sink_open(slmi_sink *sink, slmi_write_fn *write, void *ctx, slmi_alloc *alloc,
                          slm_error *err);
void slmi_sink_close(slmi_sink *sink);

slm_status slmi_sink_put(slmi_sink *sink, const void *bytes, size_t size, slm_error *err);
slm_status slmi_sink_put_u32(slmi_sink *sink, uint32_t value, slm_error *err);
slm_status slmi_sink_put_u64(slmi_sink *sink, uint64_t value, slm_error *err);

/* Zeros up to a multiple of the alignment, which is at most 64. */
slm_status slmi_sink_pad(slmi_sink *sink, uint32_t alignment, slm_error *err);

/* Hands on what is left. */
slm_status slmi_sink_flush(slmi_sink *sink, slm_error *err);

#endif
