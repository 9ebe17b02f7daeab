/* SPDX-License-Identifier: MIT */
/* Opening GGUF bytes in memory, for the tests of the reader. */
#ifndef SLM_TESTS_GGUF_FIXTURE_H
#define SLM_TESTS_GGUF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/gguf.h"
#include "support/failing_alloc.h"
#include "support/gguf_builder.h"

typedef struct opened {
    slmi_source source;
    slmi_gguf gguf;
    slmi_alloc alloc;
    slm_error err;
    uint8_t *bytes;
    size_t size;
} opened;

/* Opens the builder's file with the given limits and allocator (both may be NULL). */
static inline slm_status open_built(opened *o, gguf_builder *builder, const slmi_gguf_limits *limits,
                                    const slm_host *host)
{
    memset(o, 0, sizeof(*o));
    o->err = (slm_error)SLM_ERROR_INIT;
    o->bytes = gguf_builder_finish(builder, &o->size);
    assert_int_equal(slmi_alloc_init(&o->alloc, host, 0, NULL), SLM_OK);
    assert_int_equal(slmi_source_open_memory(&o->source, o->bytes, o->size, NULL), SLM_OK);
    return slmi_gguf_open(&o->gguf, &o->source, limits, &o->alloc, &o->err);
}

static inline void close_opened(opened *o)
{
    slmi_gguf_close(&o->gguf);
    slmi_source_close(&o->source);
    assert_int_equal(atomic_load(&o->alloc.used), 0);
    free(o->bytes);
}

#endif
