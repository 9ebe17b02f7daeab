/* SPDX-License-Identifier: MIT */
/* Workers that run one function together, and the barrier at which they meet. */
#ifndef SLMI_BASE_POOL_H
#define SLMI_BASE_POOL_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/os/os.h"

/* A meeting point for n threads: spins a little, then sleeps. */
typedef struct slmi_barrier {
    uint32_t n;
    _Atomic uint32_t arrived;
    _Atomic uint32_t generation;
    _Atomic uint32_t n_sleeping;
    slmi_mutex mutex;
    slmi_condition condition;
} slmi_barrier;

slm_status slmi_barrier_init(slmi_barrier *barrier, uint32_t n, slm_error *err);
void slmi_barrier_destroy(slmi_barrier *barrier);

/* Waits for all n threads. The last to arrive runs last(ctx) before the others go on. */
void slmi_barrier_wait(slmi_barrier *barrier, void (*last)(void *ctx), void *ctx);

typedef void slmi_pool_fn(void *ctx, uint32_t worker);

/* Worker 0 is the caller. slmi_pool_start() starts the threads, and starts them afresh in the child of a
 * fork; between runs they sleep after a short spin. */
typedef struct slmi_pool {
    slmi_alloc *alloc;
    uint32_t n_workers;
    uint32_t n_started;    /* threads that exist, without the caller */
    uint64_t process;      /* that started them */
    struct slmi_pool_worker *workers; /* [n_workers - 1] */
    slmi_pool_fn *fn;
    void *ctx;
    _Atomic uint32_t generation; /* of the present run; changes wake the workers */
    _Atomic uint32_t n_running;  /* workers that have not finished the present run */
    _Atomic uint32_t quit;
    _Atomic uint32_t n_sleeping;
    slmi_mutex mutex;
    slmi_condition wake;
    uint32_t has_sync; /* mutex and condition exist */
} slmi_pool;

slm_status slmi_pool_init(slmi_pool *pool, uint32_t n_workers, slmi_alloc *alloc, slm_error *err);

/* Bytes that slmi_pool_init() takes from its allocator. */
uint64_t slmi_pool_memory(uint32_t n_workers);

/* Starts missing threads. SLM_ERR_SYSTEM if the system refuses; nothing ran. */
slm_status slmi_pool_start(slmi_pool *pool, slm_error *err);

/* Runs fn(ctx, worker) on every worker at once and returns when all have returned; the pool must have
 * been started. */
void slmi_pool_run(slmi_pool *pool, slmi_pool_fn *fn, void *ctx);

/* Ends the threads. A zeroed pool does nothing. */
void slmi_pool_destroy(slmi_pool *pool);

#endif
