/* SPDX-License-Identifier: MIT */
/* Workers that run one function together, and the barrier at which they meet. */
#include "base/pool.h"

#include <string.h>

#include "base/fpenv.h"

/* Looks at a flag before going to sleep: about 20 us, the length of a short op. */
#define SPINS 1000

typedef struct slmi_pool_worker {
    slmi_pool *pool;
    uint32_t index;
    uint32_t seen; /* generation of the last run */
    slmi_thread thread;
} slmi_pool_worker;

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits until *value differs from `old`: spins, then sleeps on the condition. */
static void wait_for_change(const _Atomic uint32_t *value, uint32_t old, _Atomic uint32_t *n_sleeping,
                            slmi_mutex *mutex, slmi_condition *condition)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(value, memory_order_acquire) != old) {
            return;
        }
        pause_briefly();
    }
    slmi_mutex_lock(mutex);
    atomic_fetch_add(n_sleeping, 1);
    while (atomic_load(value) == old) {
        slmi_condition_wait(condition, mutex);
    }
    atomic_fetch_sub(n_sleeping, 1);
    slmi_mutex_unlock(mutex);
}

/* Wakes those who sleep in wait_for_change(); call it after the value has changed. Both sides use
 * sequentially consistent accesses, so either the sleeper sees the value or the waker the sleeper. */
static void wake_sleepers(_Atomic uint32_t *n_sleeping, slmi_mutex *mutex, slmi_condition *condition)
{
    if (atomic_load(n_sleeping) != 0) {
        slmi_mutex_lock(mutex);
        slmi_condition_broadcast(condition);
        slmi_mutex_unlock(mutex);
    }
}

slm_status slmi_barrier_init(slmi_barrier *barrier, uint32_t n, slm_error *err)
{
    memset(barrier, 0, sizeof(*barrier));
    SLM_TRY(slmi_mutex_init(&barrier->mutex, err));
    const slm_status status = slmi_condition_init(&barrier->condition, err);
    if (status != SLM_OK) {
        slmi_mutex_destroy(&barrier->mutex);
        return status;
    }
    barrier->n = n;
    return SLM_OK;
}

void slmi_barrier_destroy(slmi_barrier *barrier)
{
    if (barrier->n != 0) {
        slmi_condition_destroy(&barrier->condition);
        slmi_mutex_destroy(&barrier->mutex);
        barrier->n = 0;
    }
}

void slmi_barrier_wait(slmi_barrier *barrier, void (*last)(void *ctx), void *ctx)
{
    const uint32_t generation = atomic_load(&barrier->generation);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 < barrier->n) {
        wait_for_change(&barrier->generation, generation, &barrier->n_sleeping, &barrier->mutex,
                        &barrier->condition);
        return;
    }
    last(ctx);
    atomic_store(&barrier->arrived, 0);
    atomic_store(&barrier->generation, generation + 1);
    wake_sleepers(&barrier->n_sleeping, &barrier->mutex, &barrier->condition);
}

static void *worker_main(void *argument)
{
    slmi_pool_worker *worker = argument;
    slmi_pool *pool = worker->pool;
    (void)slmi_fpenv_enter();
    for (;;) {
        wait_for_change(&pool->generation, worker->seen, &pool->n_sleeping, &pool->mutex, &pool->wake);
        worker->seen++;
        if (atomic_load(&pool->quit) != 0) {
            return NULL;
        }
        pool->fn(pool->ctx, worker->index);
        atomic_fetch_sub_explicit(&pool->n_running, 1, memory_order_release);
    }
}

static slm_status init_sync(slmi_pool *pool, slm_error *err)
{
    SLM_TRY(slmi_mutex_init(&pool->mutex, err));
    const slm_status status = slmi_condition_init(&pool->wake, err);
    if (status != SLM_OK) {
        slmi_mutex_destroy(&pool->mutex);
        return status;
    }
    pool->has_sync = 1;
    return SLM_OK;
}

uint64_t slmi_pool_memory(uint32_t n_workers)
{
    return (uint64_t)(n_workers - 1) * sizeof(slmi_pool_worker);
}

slm_status slmi_pool_init(slmi_pool *pool, uint32_t n_workers, slmi_alloc *alloc, slm_error *err)
{
    memset(pool, 0, sizeof(*pool));
    pool->alloc = alloc;
    pool->n_workers = n_workers;
    pool->process = slmi_process_id();
    if (n_workers > 1) {
        const size_t size = (size_t)slmi_pool_memory(n_workers);
        pool->workers = slmi_new(alloc, size, _Alignof(slmi_pool_worker));
        if (pool->workers == NULL) {
            return slmi_alloc_fail(alloc, size, err);
        }
    }
    const slm_status status = init_sync(pool, err);
    if (status != SLM_OK) {
        slmi_pool_destroy(pool);
    }
    return status;
}

slm_status slmi_pool_start(slmi_pool *pool, slm_error *err)
{
    if (pool->n_started + 1 == pool->n_workers && pool->process == slmi_process_id()) {
        return SLM_OK;
    }
    if (pool->process != slmi_process_id()) {
        /* The child of a fork has none of the parent's threads, and its lock may be in any state. */
        SLM_TRY(init_sync(pool, err));
        atomic_store(&pool->n_sleeping, 0);
        pool->process = slmi_process_id();
        pool->n_started = 0;
    }
    while (pool->n_started + 1 < pool->n_workers) {
        slmi_pool_worker *worker = &pool->workers[pool->n_started];
        worker->pool = pool;
        worker->index = pool->n_started + 1;
        worker->seen = atomic_load(&pool->generation);
        SLM_TRY(slmi_thread_start(&worker->thread, worker_main, worker, err));
        pool->n_started++;
    }
    return SLM_OK;
}

void slmi_pool_run(slmi_pool *pool, slmi_pool_fn *fn, void *ctx)
{
    pool->fn = fn;
    pool->ctx = ctx;
    atomic_store(&pool->n_running, pool->n_started);
    atomic_fetch_add(&pool->generation, 1);
    wake_sleepers(&pool->n_sleeping, &pool->mutex, &pool->wake);
    fn(ctx, 0);
    for (int i = 0; atomic_load_explicit(&pool->n_running, memory_order_acquire) != 0; i++) {
        if (i < SPINS) {
            pause_briefly();
        } else {
            slmi_thread_yield(); /* the processors are shared: let the workers finish */
        }
    }
}

void slmi_pool_destroy(slmi_pool *pool)
{
    if (pool->n_started > 0 && pool->process == slmi_process_id()) {
        atomic_store(&pool->quit, 1);
        atomic_fetch_add(&pool->generation, 1);
        wake_sleepers(&pool->n_sleeping, &pool->mutex, &pool->wake);
        for (uint32_t i = 0; i < pool->n_started; i++) {
            slmi_thread_join(&pool->workers[i].thread);
        }
    }
    /* In the child of a fork the parent's workers still count as sleeping on the condition; destroying
     * it would wait for them. */
    if (pool->has_sync && pool->process == slmi_process_id()) {
        slmi_condition_destroy(&pool->wake);
        slmi_mutex_destroy(&pool->mutex);
    }
    pool->has_sync = 0;
    if (pool->workers != NULL) {
        slmi_free(pool->alloc, pool->workers, (size_t)slmi_pool_memory(pool->n_workers),
                  _Alignof(slmi_pool_worker));
        pool->workers = NULL;
    }
    pool->n_started = 0;
}
