/* SPDX-License-Identifier: MIT */
/* base/pool.h: every worker runs, barriers meet, a forked child gets threads of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pool.h"
#include "support/failing_alloc.h"

#define MOST 8
#define ROUNDS 50

typedef struct work {
    slmi_barrier barrier;
    _Atomic uint32_t n_runs[MOST];
    _Atomic uint32_t n_arrived;
    uint32_t n_meetings;
    _Atomic uint32_t n_wrong;
} work;

static void meet(void *ctx)
{
    work *w = ctx;
    w->n_wrong += atomic_load(&w->n_arrived) != w->barrier.n * (w->n_meetings + 1);
    w->n_meetings++;
}

static void run(void *ctx, uint32_t worker)
{
    work *w = ctx;
    atomic_fetch_add(&w->n_runs[worker], 1);
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&w->n_arrived, 1);
        slmi_barrier_wait(&w->barrier, meet, w);
    }
}

static void assert_works(slmi_pool *pool, work *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(slmi_barrier_init(&w->barrier, pool->n_workers, NULL), SLM_OK);
    for (uint32_t round = 1; round <= 20; round++) {
        assert_int_equal(slmi_pool_start(pool, NULL), SLM_OK);
        slmi_pool_run(pool, run, w);
        for (uint32_t i = 0; i < pool->n_workers; i++) {
            assert_int_equal(atomic_load(&w->n_runs[i]), round);
        }
    }
    assert_int_equal(w->n_meetings, 20 * ROUNDS);
    assert_int_equal(atomic_load(&w->n_wrong), 0);
    slmi_barrier_destroy(&w->barrier);
}

static void workers_meet(void **state)
{
    (void)state;
    static work w;
    failing_alloc failing;
    slmi_alloc alloc;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&alloc, &failing.host, 0, NULL), SLM_OK);
    for (uint32_t n = 1; n <= 5; n++) {
        slmi_pool pool;
        assert_int_equal(slmi_pool_init(&pool, n, &alloc, NULL), SLM_OK);
        assert_true(atomic_load(&alloc.used) == slmi_pool_memory(n));
        assert_works(&pool, &w);
        slmi_pool_destroy(&pool);
        slmi_pool_destroy(&pool);
    }
    slmi_pool pool;
    failing_alloc_arm(&failing, 1, 0);
    assert_int_equal(slmi_pool_init(&pool, 3, &alloc, NULL), SLM_ERR_OUT_OF_MEMORY);
    assert_true(failing_alloc_is_clean(&failing));
    failing_alloc_destroy(&failing);
}

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
    assert_int_equal(slmi_pool_init(&pool, 3, &alloc, NULL), SLM_OK);
    assert_works(&pool, &w);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        memset(&w, 0, sizeof(w));
        int failed = slmi_barrier_init(&w.barrier, 3, NULL) != SLM_OK ||
                     slmi_pool_start(&pool, NULL) != SLM_OK;
        if (!failed) {
            slmi_pool_run(&pool, run, &w);
            failed = w.n_runs[0] != 1 || w.n_runs[1] != 1 || w.n_runs[2] != 1;
            slmi_pool_destroy(&pool);
        }
        _exit(failed);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_works(&pool, &w);
    slmi_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_meet),
        cmocka_unit_test(children_start_afresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
