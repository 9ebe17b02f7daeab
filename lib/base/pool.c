/* SPDX-License-Identifier: MIT */
/* Workers that run one function together, on threads of our own or as tasks of the host; and a gate to
 * wait at. */
#include "base/pool.h"

#include <string.h>

#include "base/fpenv.h"
#include "base/options.h"

/* Looks again before going to sleep: about 20 us, the length of a short op. */
#define SPINS 1000

/* A worker is called by the caller of slmi_pool_run(), who takes the call back at the end unless the
 * worker has come by then. */
enum { AWAY, CALLED, HERE };

typedef struct slmi_pool_worker {
    slmi_pool *pool;
    uint32_t index;
    uint32_t seen;         /* generation of the last run that the thread looked at */
    _Atomic uint32_t state; /* AWAY, CALLED or HERE */
    slmi_thread thread;
    void *handle;          /* of the host's task */
} slmi_pool_worker;

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

slm_status slmi_gate_init(slmi_gate *gate, slm_error *err)
{
    memset(gate, 0, sizeof(*gate));
    SLM_TRY(slmi_mutex_init(&gate->mutex, err));
    const slm_status status = slmi_condition_init(&gate->condition, err);
    if (status != SLM_OK) {
        slmi_mutex_destroy(&gate->mutex);
        return status;
    }
    gate->exists = 1;
    return SLM_OK;
}

void slmi_gate_destroy(slmi_gate *gate)
{
    if (gate->exists) {
        slmi_condition_destroy(&gate->condition);
        slmi_mutex_destroy(&gate->mutex);
        gate->exists = 0;
    }
}

void slmi_gate_wait(slmi_gate *gate, int (*is_open)(const void *ctx), const void *ctx)
{
    for (int i = 0; i < SPINS; i++) {
        if (is_open(ctx)) {
            return;
        }
        pause_briefly();
    }
    slmi_mutex_lock(&gate->mutex);
    atomic_fetch_add(&gate->n_sleeping, 1);
    while (!is_open(ctx)) {
        slmi_condition_wait(&gate->condition, &gate->mutex);
    }
    atomic_fetch_sub(&gate->n_sleeping, 1);
    slmi_mutex_unlock(&gate->mutex);
}

/* All accesses are sequentially consistent, so either the sleeper sees what was written or the waker sees
 * the sleeper. */
void slmi_gate_wake(slmi_gate *gate)
{
    if (atomic_load(&gate->n_sleeping) != 0) {
        slmi_mutex_lock(&gate->mutex);
        slmi_condition_broadcast(&gate->condition);
        slmi_mutex_unlock(&gate->mutex);
    }
}

/* Does the worker's part of the present run, if it is still called. */
static void come(slmi_pool_worker *worker)
{
    slmi_pool *pool = worker->pool;
    uint32_t called = CALLED;
    if (atomic_compare_exchange_strong(&worker->state, &called, HERE)) {
        pool->fn(pool->ctx, worker->index);
        atomic_store_explicit(&worker->state, AWAY, memory_order_release);
    }
}

static int has_new_run(const void *ctx)
{
    const slmi_pool_worker *worker = ctx;
    return atomic_load(&worker->pool->generation) != worker->seen;
}

static void *worker_main(void *argument)
{
    slmi_pool_worker *worker = argument;
    slmi_pool *pool = worker->pool;
    (void)slmi_fpenv_enter();
    for (;;) {
        slmi_gate_wait(&pool->gate, has_new_run, worker);
        worker->seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->quit) != 0) {
            return NULL;
        }
        come(worker);
    }
}

/* What the host's job system runs. */
static void run_task(void *task)
{
    const slmi_fpenv before = slmi_fpenv_enter();
    come(task);
    slmi_fpenv_leave(before);
}

slm_status slmi_tasks_copy(slm_tasks *out, const slm_tasks *caller, slm_error *err)
{
    memset(out, 0, sizeof(*out));
    if (caller == NULL) {
        return SLM_OK;
    }
    SLM_TRY(slmi_options_copy(out, sizeof(*out), caller, "slm_tasks", err));
    SLM_FAIL_IF(out->enqueue == NULL || out->wait == NULL, SLM_ERR_INVALID_ARGUMENT,
                "slm_tasks needs both enqueue and wait");
    return SLM_OK;
}

uint64_t slmi_pool_memory(uint32_t n_workers)
{
    return (uint64_t)(n_workers - 1) * sizeof(slmi_pool_worker);
}

static slm_status make_workers(slmi_pool *pool, slm_error *err)
{
    const size_t size = (size_t)slmi_pool_memory(pool->n_workers);
    if (size == 0) {
        return SLM_OK;
    }
    pool->workers = slmi_new(pool->alloc, size, _Alignof(slmi_pool_worker));
    if (pool->workers == NULL) {
        return slmi_alloc_fail(pool->alloc, size, err);
    }
    for (uint32_t i = 0; i + 1 < pool->n_workers; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i + 1;
    }
    return SLM_OK;
}

slm_status slmi_pool_init(slmi_pool *pool, uint32_t n_workers, const slm_tasks *tasks,
                          slmi_alloc *alloc, slm_error *err)
{
    memset(pool, 0, sizeof(*pool));
    pool->alloc = alloc;
    pool->n_workers = n_workers;
    pool->process = slmi_process_id();
    pool->tasks = *tasks;
    SLM_TRY(make_workers(pool, err));
    const slm_status status = slmi_gate_init(&pool->gate, err);
    if (status != SLM_OK) {
        slmi_pool_destroy(pool);
    }
    return status;
}

slm_status slmi_pool_start(slmi_pool *pool, slm_error *err)
{
    if (pool->tasks.enqueue != NULL) {
        return SLM_OK;
    }
    if (pool->process != slmi_process_id()) {
        /* The child of a fork has none of the parent's threads, and its lock may be in any state. */
        pool->gate.exists = 0;
        SLM_TRY(slmi_gate_init(&pool->gate, err));
        pool->process = slmi_process_id();
        pool->n_started = 0;
    }
    while (pool->n_started + 1 < pool->n_workers) {
        slmi_pool_worker *worker = &pool->workers[pool->n_started];
        worker->seen = atomic_load(&pool->generation);
        SLM_TRY(slmi_thread_start(&worker->thread, worker_main, worker, err));
        pool->n_started++;
    }
    return SLM_OK;
}

static void call_workers(slmi_pool *pool)
{
    for (uint32_t i = 0; i + 1 < pool->n_workers; i++) {
        atomic_store(&pool->workers[i].state, CALLED);
    }
    if (pool->tasks.enqueue == NULL) {
        atomic_fetch_add(&pool->generation, 1);
        slmi_gate_wake(&pool->gate);
        return;
    }
    for (uint32_t i = 0; i + 1 < pool->n_workers; i++) {
        slmi_pool_worker *worker = &pool->workers[i];
        worker->handle = pool->tasks.enqueue(pool->tasks.ctx, run_task, worker);
    }
}

/* Takes the call back, or waits until the worker has left. */
static void dismiss(slmi_pool *pool, slmi_pool_worker *worker)
{
    uint32_t called = CALLED;
    (void)atomic_compare_exchange_strong(&worker->state, &called, AWAY);
    if (worker->handle != NULL) {
        pool->tasks.wait(pool->tasks.ctx, worker->handle);
        worker->handle = NULL;
    }
    for (int i = 0; atomic_load_explicit(&worker->state, memory_order_acquire) == HERE; i++) {
        if (i < SPINS) {
            pause_briefly();
        } else {
            slmi_thread_yield(); /* the processors are shared: let the worker finish */
        }
    }
}

void slmi_pool_run(slmi_pool *pool, slmi_pool_fn *fn, void *ctx)
{
    pool->fn = fn;
    pool->ctx = ctx;
    call_workers(pool);
    fn(ctx, 0);
    for (uint32_t i = 0; i + 1 < pool->n_workers; i++) {
        dismiss(pool, &pool->workers[i]);
    }
}

void slmi_pool_destroy(slmi_pool *pool)
{
    const int is_ours = pool->process == slmi_process_id();
    if (pool->n_started > 0 && is_ours) {
        atomic_store(&pool->quit, 1);
        atomic_fetch_add(&pool->generation, 1);
        slmi_gate_wake(&pool->gate);
        for (uint32_t i = 0; i < pool->n_started; i++) {
            slmi_thread_join(&pool->workers[i].thread);
        }
    }
    /* In the child of a fork the parent's workers still count as sleeping at the gate; destroying it would
     * wait for them. */
    if (is_ours) {
        slmi_gate_destroy(&pool->gate);
    }
    pool->gate.exists = 0;
    if (pool->workers != NULL) {
        slmi_free(pool->alloc, pool->workers, (size_t)slmi_pool_memory(pool->n_workers),
                  _Alignof(slmi_pool_worker));
        pool->workers = NULL;
    }
    pool->n_started = 0;
}
