/* SPDX-License-Identifier: MIT */
/* Workers that run one function together, on threads of our own or as tasks of the host; and a gate to
 * wait at. */
#ifndef SLMI_BASE_POOL_H
#define SLMI_BASE_POOL_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/os/os.h"

/* A place to wait at until something has come true: spins a little, then sleeps. A zeroed gate that was
 * never initialised can be destroyed. */
typedef struct slmi_gate {
    _Atomic uint32_t n_sleeping;
    uint32_t exists;
    slmi_mutex mutex;
    slmi_condition condition;
} slmi_gate;

slm_status slmi_gate_init(slmi_gate *gate, slm_error *err);
void slmi_gate_destroy(slmi_gate *gate);

/* Returns when is_open(ctx) holds. It may only read what is written with sequentially consistent stores
 * before slmi_gate_wake(). */
void slmi_gate_wait(slmi_gate *gate, int (*is_open)(const void *ctx), const void *ctx);

/* Has those who sleep look again. */
void slmi_gate_wake(slmi_gate *gate);

typedef void slmi_pool_fn(void *ctx, uint32_t worker);

/* Worker 0 is the caller. slmi_pool_start() starts the threads, and starts them afresh in the child of a
 * fork; between runs they sleep after a short spin. With tasks of the host there are no threads. */
typedef struct slmi_pool {
    slmi_alloc *alloc;
    slm_tasks tasks;       /* enqueue is NULL: own threads */
    uint32_t n_workers;
    uint32_t n_started;    /* threads that exist, without the caller */
    uint64_t process;      /* that started them */
    struct slmi_pool_worker *workers; /* [n_workers - 1] */
    slmi_pool_fn *fn;
    void *ctx;
    _Atomic uint32_t generation; /* of the present run; changes wake the workers */
    _Atomic uint32_t quit;
    slmi_gate gate;        /* where idle threads sleep */
} slmi_pool;

/* Reads the host's job system; NULL = none, and out->enqueue is NULL. */
slm_status slmi_tasks_copy(slm_tasks *out, const slm_tasks *caller, slm_error *err);

/* `tasks` is copied; its enqueue is NULL for threads of our own. */
slm_status slmi_pool_init(slmi_pool *pool, uint32_t n_workers, const slm_tasks *tasks,
                          slmi_alloc *alloc, slm_error *err);

/* Bytes that slmi_pool_init() takes from its allocator. */
uint64_t slmi_pool_memory(uint32_t n_workers);

/* Starts missing threads. SLM_ERR_SYSTEM if the system refuses; nothing ran. */
slm_status slmi_pool_start(slmi_pool *pool, slm_error *err);

/* Runs fn(ctx, worker) on the caller, and once at most on every other worker: one that has not come by the
 * time the caller is done is not waited for and does not run. fn must do all of its work whoever comes.
 * Returns when all that came have returned; the pool must have been started. */
void slmi_pool_run(slmi_pool *pool, slmi_pool_fn *fn, void *ctx);

/* Ends the threads. A zeroed pool does nothing. */
void slmi_pool_destroy(slmi_pool *pool);

#endif
