/* SPDX-License-Identifier: MIT */
/* base/pool.h: workers come and are not waited for when they do not, gates open, a forked child gets threads
 * of its own, and the host's tasks may come in any way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "base/pool.h"
#include "support/failing_alloc.h"

#define MOST 8
#define ROUNDS 50

static const slm_tasks own_threads;

typedef struct work {
    slmi_gate gate;
    uint32_t n_expected;      /* the caller waits until so many have come */
    _Atomic uint32_t n_here;
    _Atomic uint32_t n_runs[MOST];
} work;

static int all_here(const void *ctx)
{
    const work *w = ctx;
    return atomic_load(&w->n_here) >= w->n_expected;
}

static void run(void *ctx, uint32_t worker)
{
    work *w = ctx;
    atomic_fetch_add(&w->n_runs[worker], 1);
    atomic_fetch_add(&w->n_here, 1);
    slmi_gate_wake(&w->gate);
    if (worker == 0) {
        slmi_gate_wait(&w->gate, all_here, w);
    }
}

/* Runs in which all workers come, since the caller waits for them. */
static int all_come(slmi_pool *pool, work *w)
{
    memset(w, 0, sizeof(*w));
    w->n_expected = pool->n_workers;
    int good = slmi_gate_init(&w->gate, NULL) == SLM_OK;
    for (uint32_t round = 1; good && round <= ROUNDS; round++) {
        atomic_store(&w->n_here, 0);
        good = slmi_pool_start(pool, NULL) == SLM_OK;
        if (good) {
            slmi_pool_run(pool, run, w);
        }
        for (uint32_t i = 0; i < pool->n_workers; i++) {
            good = good && atomic_load(&w->n_runs[i]) == round;
        }
    }
    slmi_gate_destroy(&w->gate);
    return good;
}

static void workers_come(void **state)
{
    (void)state;
    static work w;
    failing_alloc failing;
    slmi_alloc alloc;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&alloc, &failing.host, 0, NULL), SLM_OK);
    for (uint32_t n = 1; n <= 5; n++) {
        slmi_pool pool;
        assert_int_equal(slmi_pool_init(&pool, n, &own_threads, &alloc, NULL), SLM_OK);
        assert_true(atomic_load(&alloc.used) == slmi_pool_memory(n));
        assert_true(all_come(&pool, &w));
        slmi_pool_destroy(&pool);
        slmi_pool_destroy(&pool);
    }
    slmi_pool pool;
    failing_alloc_arm(&failing, 1, 0);
    assert_int_equal(slmi_pool_init(&pool, 3, &own_threads, &alloc, NULL), SLM_ERR_OUT_OF_MEMORY);
    assert_true(failing_alloc_is_clean(&failing));
    failing_alloc_destroy(&failing);
}

/* Many short runs: each worker comes once at most, whenever it wakes up. */
static void late_workers_are_not_waited_for(void **state)
{
    (void)state;
    static work w;
    slmi_alloc alloc;
    slmi_pool pool;
    memset(&w, 0, sizeof(w));
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    assert_int_equal(slmi_gate_init(&w.gate, NULL), SLM_OK);
    assert_int_equal(slmi_pool_init(&pool, 4, &own_threads, &alloc, NULL), SLM_OK);
    assert_int_equal(slmi_pool_start(&pool, NULL), SLM_OK);
    for (uint32_t round = 1; round <= 5000; round++) {
        slmi_pool_run(&pool, run, &w);
        assert_int_equal(atomic_load(&w.n_runs[0]), round);
        for (uint32_t i = 1; i < 4; i++) {
            assert_true(atomic_load(&w.n_runs[i]) <= round);
        }
    }
    slmi_pool_destroy(&pool);
    slmi_gate_destroy(&w.gate);
}

/* A job system that runs tasks where `when` says. */
enum { INSIDE_ENQUEUE, INSIDE_WAIT, NEVER };

typedef struct job {
    void (*run)(void *task);
    void *task;
} job;

typedef struct jobs {
    int when;
    job queue[MOST];
    uint32_t n_queued, n_waited;
} jobs;

static void *enqueue(void *ctx, void (*run_task)(void *task), void *task)
{
    jobs *j = ctx;
    if (j->when == INSIDE_ENQUEUE) {
        run_task(task);
    }
    if (j->when != INSIDE_WAIT) {
        return NULL;
    }
    j->queue[j->n_queued] = (job){ run_task, task };
    return &j->queue[j->n_queued++];
}

static void wait_for(void *ctx, void *handle)
{
    jobs *j = ctx;
    const job *queued = handle;
    queued->run(queued->task);
    j->n_waited++;
}

static void tasks_come_in_any_way(void **state)
{
    (void)state;
    static work w;
    slmi_alloc alloc;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    for (int when = INSIDE_ENQUEUE; when <= NEVER; when++) {
        jobs j = { .when = when };
        slm_tasks tasks = SLM_TASKS_INIT;
        slmi_pool pool;
        tasks.ctx = &j;
        tasks.enqueue = enqueue;
        tasks.wait = wait_for;
        memset(&w, 0, sizeof(w));
        assert_int_equal(slmi_gate_init(&w.gate, NULL), SLM_OK);
        assert_int_equal(slmi_pool_init(&pool, 3, &tasks, &alloc, NULL), SLM_OK);
        assert_int_equal(slmi_pool_start(&pool, NULL), SLM_OK);
        slmi_pool_run(&pool, run, &w);
        assert_int_equal(w.n_runs[0], 1);
        /* Those that come before the caller is done work; those that come later find nothing to do. */
        assert_int_equal(w.n_runs[1], when == INSIDE_ENQUEUE);
        assert_int_equal(w.n_runs[2], when == INSIDE_ENQUEUE);
        assert_int_equal(j.n_waited, when == INSIDE_WAIT ? 2 : 0);
        slmi_pool_destroy(&pool);
        slmi_gate_destroy(&w.gate);
    }
}

static void refuses_half_a_job_system(void **state)
{
    (void)state;
    slm_tasks tasks = SLM_TASKS_INIT, own;
    assert_int_equal(slmi_tasks_copy(&own, NULL, NULL), SLM_OK);
    assert_null(own.enqueue);
    assert_int_equal(slmi_tasks_copy(&own, &tasks, NULL), SLM_ERR_INVALID_ARGUMENT);
    tasks.enqueue = enqueue;
    assert_int_equal(slmi_tasks_copy(&own, &tasks, NULL), SLM_ERR_INVALID_ARGUMENT);
    tasks.wait = wait_for;
    assert_int_equal(slmi_tasks_copy(&own, &tasks, NULL), SLM_OK);
    tasks.struct_size = 7;
    assert_int_equal(slmi_tasks_copy(&own, &tasks, NULL), SLM_ERR_INVALID_ARGUMENT);
}

#if !defined(_WIN32) /* which has no fork */

/* The child of a fork has no workers; the pool starts new ones there and leaves the parent's alone. */
static void children_start_afresh(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* ThreadSanitizer does not allow threads in a child */
#endif
    if (getenv("SLM_TEST_EMULATED") != NULL) {
        skip(); /* nor does qemu's user mode */
    }
    static work w;
    slmi_alloc alloc;
    slmi_pool pool;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    assert_int_equal(slmi_pool_init(&pool, 3, &own_threads, &alloc, NULL), SLM_OK);
    assert_true(all_come(&pool, &w));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int good = all_come(&pool, &w);
        slmi_pool_destroy(&pool);
        _exit(!good);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(all_come(&pool, &w));
    slmi_pool_destroy(&pool);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_come),
        cmocka_unit_test(late_workers_are_not_waited_for),
        cmocka_unit_test(tasks_come_in_any_way),
        cmocka_unit_test(refuses_half_a_job_system),
#if !defined(_WIN32)
        cmocka_unit_test(children_start_afresh),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
