/* SPDX-License-Identifier: MIT */
/* The one way to memory: the host's allocator, with a limit and a count of bytes in use. */
#ifndef SLMI_BASE_ALLOC_H
#define SLMI_BASE_ALLOC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "slm/base.h"

/* Alignment of big arrays: a cache line, and a full vector. */
#define SLMI_CACHE_LINE 64

typedef struct slmi_alloc {
    slm_allocator host;
    uint64_t limit;              /* bytes; 0 = none */
    _Atomic uint64_t used;       /* bytes now */
    _Atomic uint32_t over_limit; /* 1 once a request was refused for the limit, not by the host */
} slmi_alloc;

/* What is left of a limit (0 = none) for what is made next; 1 byte, if nothing is, refuses everything. */
static inline uint64_t slmi_limit_left(uint64_t limit, uint64_t taken)
{
    return limit == 0 ? 0 : taken < limit ? limit - taken : 1;
}

/* Takes the host's allocator, or the C library's when host or its allocator is NULL. */
slm_status slmi_alloc_init(slmi_alloc *alloc, const slm_host *host, uint64_t limit, slm_error *err);

/* Zeroed memory, or NULL. A size of 0 gives NULL as well: ask only for what is needed. */
void *slmi_new(slmi_alloc *alloc, size_t size, size_t alignment);

/* The same without clearing it: for memory that is written before it is read. */
void *slmi_new_raw(slmi_alloc *alloc, size_t size, size_t alignment);

/* The same for what is filled once and read whole again and again, aligned to a cache line: on large pages
 * where the C library's memory is used and the system has them. */
void *slmi_new_large(slmi_alloc *alloc, size_t size);

/* Zeroed memory for an array, overflow-checked. */
void *slmi_new_array(slmi_alloc *alloc, size_t count, size_t element_size, size_t alignment);

/* Gives a block back with the size and alignment it was asked for with; NULL does nothing. */
void slmi_free(slmi_alloc *alloc, void *block, size_t size, size_t alignment);

/* Fails with SLM_ERR_BUDGET if the limit was the reason, else with SLM_ERR_OUT_OF_MEMORY. */
slm_status slmi_alloc_fail(const slmi_alloc *alloc, uint64_t size, slm_error *err);

/* A growing array of bytes. Zero it to begin; release it with slmi_buffer_free(). */
typedef struct slmi_buffer {
    slmi_alloc *alloc;
    uint8_t *data;
    size_t size;
    size_t capacity;
} slmi_buffer;

/* Makes room for `more` bytes behind size. */
slm_status slmi_buffer_reserve(slmi_buffer *buffer, size_t more, slm_error *err);

/* Appends bytes. */
slm_status slmi_buffer_append(slmi_buffer *buffer, const void *bytes, size_t size, slm_error *err);

void slmi_buffer_free(slmi_buffer *buffer);

#endif
