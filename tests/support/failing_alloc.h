/* SPDX-License-Identifier: MIT */
/* An allocator for tests that counts, fails on request, and checks what is given back. */
#ifndef SLM_TESTS_FAILING_ALLOC_H
#define SLM_TESTS_FAILING_ALLOC_H

#include <pthread.h>

#include "slm/base.h"

typedef struct failing_alloc {
    slm_allocator allocator;
    slm_host host;        /* with this allocator and nothing else */
    pthread_mutex_t lock;
    uint64_t n_calls;     /* requests so far */
    uint64_t fail_at;     /* this request fails, counted from 1; 0 = none */
    uint32_t keep_failing; /* 1: all requests after it fail too */
    uint32_t n_errors;    /* blocks given back with a wrong size or alignment, or not ours, or twice */
    uint64_t n_failed;    /* requests that failed */
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t peak_bytes;
} failing_alloc;

/* Counts, fails nothing. */
void failing_alloc_init(failing_alloc *f);

/* Fails the k-th request from now on (once, or all from there on), and starts counting anew. */
void failing_alloc_arm(failing_alloc *f, uint64_t k, int keep_failing);

/* 1 if nothing is live and every block came back as it was asked for. */
int failing_alloc_is_clean(const failing_alloc *f);

void failing_alloc_destroy(failing_alloc *f);

#endif
