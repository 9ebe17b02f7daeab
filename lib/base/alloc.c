/* SPDX-License-Identifier: MIT */
/* The one way to memory: the host's allocator, with a limit and a count of bytes in use. */
#include "base/alloc.h"

#include <string.h>

#include "base/error.h"
#include "base/options.h"
#include "base/os/os.h"

static void *c_library_alloc(void *ctx, size_t size, size_t alignment)
{
    (void)ctx;
    return slmi_os_alloc(size, alignment);
}

static void c_library_free(void *ctx, void *block, size_t size, size_t alignment)
{
    (void)ctx;
    (void)size;
    (void)alignment;
    slmi_os_free(block);
}

slm_status slmi_alloc_init(slmi_alloc *alloc, const slm_host *host, uint64_t limit, slm_error *err)
{
    memset(alloc, 0, sizeof(*alloc));
    alloc->limit = limit;
    alloc->host.alloc = c_library_alloc;
    alloc->host.free = c_library_free;
    if (host != NULL && host->allocator != NULL) {
        SLM_TRY(slmi_options_copy(&alloc->host, sizeof(alloc->host), host->allocator,
                                  "slm_allocator", err));
        SLM_FAIL_IF(alloc->host.alloc == NULL || alloc->host.free == NULL,
                    SLM_ERR_INVALID_ARGUMENT, "slm_allocator needs both alloc and free");
    }
    return SLM_OK;
}

void *slmi_new_raw(slmi_alloc *alloc, size_t size, size_t alignment)
{
    if (size == 0) {
        return NULL;
    }
    const uint64_t used = atomic_fetch_add(&alloc->used, size);
    if (alloc->limit != 0 && (used > alloc->limit || size > alloc->limit - used)) {
        atomic_fetch_sub(&alloc->used, size);
        atomic_store(&alloc->over_limit, 1);
        return NULL;
    }
    void *block = alloc->host.alloc(alloc->host.ctx, size, alignment);
    if (block == NULL) {
        atomic_fetch_sub(&alloc->used, size);
    }
    return block;
}

void *slmi_new_large(slmi_alloc *alloc, size_t size)
{
    void *block = slmi_new_raw(alloc, size, SLMI_CACHE_LINE);
    if (block != NULL && alloc->host.alloc == c_library_alloc) {
        slmi_os_prefer_large_pages(block, size);
    }
    return block;
}

void *slmi_new(slmi_alloc *alloc, size_t size, size_t alignment)
{
    void *block = slmi_new_raw(alloc, size, alignment);
    if (block != NULL) {
        memset(block, 0, size);
    }
    return block;
}

void *slmi_new_array(slmi_alloc *alloc, size_t count, size_t element_size, size_t alignment)
{
    if (element_size != 0 && count > SIZE_MAX / element_size) {
        return NULL;
    }
    return slmi_new(alloc, count * element_size, alignment);
}

void slmi_free(slmi_alloc *alloc, void *block, size_t size, size_t alignment)
{
    if (block != NULL) {
        alloc->host.free(alloc->host.ctx, block, size, alignment);
        atomic_fetch_sub(&alloc->used, size);
    }
}

slm_status slmi_alloc_fail(const slmi_alloc *alloc, uint64_t size, slm_error *err)
{
    SLM_FAIL_IF(atomic_load(&alloc->over_limit) != 0, SLM_ERR_BUDGET,
                "%llu more bytes would exceed the memory budget of %llu bytes",
                (unsigned long long)size, (unsigned long long)alloc->limit);
    return slmi_fail(err, SLM_ERR_OUT_OF_MEMORY, SLM_NO_OFFSET, "no memory for %llu bytes",
                     (unsigned long long)size);
}

slm_status slmi_buffer_reserve(slmi_buffer *buffer, size_t more, slm_error *err)
{
    if (more <= buffer->capacity - buffer->size) {
        return SLM_OK;
    }
    SLM_FAIL_IF(more > SIZE_MAX / 2 - buffer->size, SLM_ERR_OUT_OF_MEMORY, "no memory for %llu bytes",
                (unsigned long long)more);
    size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
    while (capacity < buffer->size + more) {
        capacity += capacity / 2;
    }
    uint8_t *data = slmi_new(buffer->alloc, capacity, _Alignof(max_align_t));
    if (data == NULL) {
        return slmi_alloc_fail(buffer->alloc, capacity, err);
    }
    if (buffer->size > 0) {
        memcpy(data, buffer->data, buffer->size);
    }
    slmi_free(buffer->alloc, buffer->data, buffer->capacity, _Alignof(max_align_t));
    buffer->data = data;
    buffer->capacity = capacity;
    return SLM_OK;
}

slm_status slmi_buffer_append(slmi_buffer *buffer, const void *bytes, size_t size, slm_error *err)
{
    SLM_TRY(slmi_buffer_reserve(buffer, size, err));
    if (size > 0) {
        memcpy(buffer->data + buffer->size, bytes, size);
        buffer->size += size;
    }
    return SLM_OK;
}

void slmi_buffer_free(slmi_buffer *buffer)
{
    slmi_free(buffer->alloc, buffer->data, buffer->capacity, _Alignof(max_align_t));
    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
}
