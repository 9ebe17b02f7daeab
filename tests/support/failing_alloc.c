/* SPDX-License-Identifier: MIT */
/* An allocator for tests that counts, fails on request, and checks what is given back. */
#define _POSIX_C_SOURCE 200809L
#include "support/failing_alloc.h"

#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <malloc.h>
#endif

#define LIVE UINT64_C(0x6c69766562756c62)
#define FREED UINT64_C(0x6672656564626c6b)

/* Stands right before each block. */
typedef struct head {
    uint64_t mark;
    size_t size;
    size_t alignment;
    void *base;
} head;

static size_t room_before(size_t alignment)
{
    return alignment > 64 ? alignment : 64;
}

static void *aligned(size_t size, size_t alignment)
{
#if defined(_WIN32)
    return _aligned_malloc(size, alignment);
#else
    void *base;
    return posix_memalign(&base, alignment, size) == 0 ? base : NULL;
#endif
}

static void free_aligned(void *base)
{
#if defined(_WIN32)
    _aligned_free(base);
#else
    free(base);
#endif
}

static head *head_of(void *block)
{
    return (head *)(void *)((char *)block - sizeof(head));
}

static int should_fail(failing_alloc *f)
{
    f->n_calls++;
    return f->fail_at != 0 &&
           (f->n_calls == f->fail_at || (f->keep_failing && f->n_calls > f->fail_at));
}

static void *take(void *ctx, size_t size, size_t alignment)
{
    failing_alloc *f = ctx;
    pthread_mutex_lock(&f->lock);
    char *block = NULL;
    const size_t before = room_before(alignment);
    if (size == 0 || alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > 4096) {
        f->n_errors++;
    }
    char *base = should_fail(f) ? NULL : aligned(before + size, before);
    if (base == NULL) {
        f->n_failed++;
    } else {
        block = base + before;
        memset(block, 0xA5, size);
        *head_of(block) = (head){ LIVE, size, alignment, base };
        f->live_blocks++;
        f->live_bytes += size;
        f->peak_bytes = f->live_bytes > f->peak_bytes ? f->live_bytes : f->peak_bytes;
    }
    pthread_mutex_unlock(&f->lock);
    return block;
}

static void give_back(void *ctx, void *block, size_t size, size_t alignment)
{
    failing_alloc *f = ctx;
    pthread_mutex_lock(&f->lock);
    head *h = block != NULL ? head_of(block) : NULL;
    if (h == NULL || h->mark != LIVE) {
        f->n_errors++;
    } else {
        f->n_errors += h->size != size || h->alignment != alignment;
        f->live_blocks--;
        f->live_bytes -= h->size;
        h->mark = FREED;
        free_aligned(h->base);
    }
    pthread_mutex_unlock(&f->lock);
}

void failing_alloc_init(failing_alloc *f)
{
    memset(f, 0, sizeof(*f));
    (void)pthread_mutex_init(&f->lock, NULL);
    f->allocator = (slm_allocator)SLM_ALLOCATOR_INIT;
    f->allocator.ctx = f;
    f->allocator.alloc = take;
    f->allocator.free = give_back;
    f->host = (slm_host)SLM_HOST_INIT;
    f->host.allocator = &f->allocator;
}

void failing_alloc_arm(failing_alloc *f, uint64_t k, int keep_failing)
{
    f->n_calls = 0;
    f->n_failed = 0;
    f->fail_at = k;
    f->keep_failing = keep_failing != 0;
}

int failing_alloc_is_clean(const failing_alloc *f)
{
    return f->live_blocks == 0 && f->live_bytes == 0 && f->n_errors == 0;
}

void failing_alloc_destroy(failing_alloc *f)
{
    pthread_mutex_destroy(&f->lock);
}
