/* SPDX-License-Identifier: MIT */
/* The host's job system in place of threads: tasks that come at once, late, elsewhere or never. */
#define _POSIX_C_SOURCE 200809L
#include "session_fixture.h"

#if defined(__linux__)
#include <dirent.h>
#endif

#include "base/os/os.h"

enum { NO_TASKS, INSIDE_ENQUEUE, INSIDE_WAIT, BACKWARDS, NEVER, ON_THREADS, LATE_ON_THREADS, N_KINDS };

#define MOST 16

typedef struct job {
    void (*run)(void *task);
    void *task;
    slmi_thread thread;
    struct jobs *jobs;
    int has_run;
} job;

/* A job system of one kind. Its caller is one thread, which waits for all it enqueues. */
typedef struct jobs {
    int kind;
    job queue[MOST];
    uint32_t n_queued, n_waited, n_enqueued;
    slm_tasks tasks;
    slm_host host;
} jobs;

static void *run_on_thread(void *ctx)
{
    job *j = ctx;
    if (j->jobs->kind == LATE_ON_THREADS) {
        const uint64_t then = slmi_clock_ns() + 300000;
        while (slmi_clock_ns() < then) {
            slmi_thread_yield();
        }
    }
    j->run(j->task);
    return NULL;
}

static void *enqueue(void *ctx, void (*run_task)(void *task), void *task)
{
    jobs *all = ctx;
    all->n_enqueued++;
    if (all->kind == INSIDE_ENQUEUE) {
        run_task(task);
        return NULL;
    }
    if (all->kind == NEVER) {
        return NULL;
    }
    if (all->n_waited == all->n_queued) {
        all->n_queued = all->n_waited = 0;
    }
    assert_true(all->n_queued < MOST);
    job *j = &all->queue[all->n_queued++];
    *j = (job){ .run = run_task, .task = task, .jobs = all };
    if (all->kind >= ON_THREADS) {
        OK(slmi_thread_start(&j->thread, run_on_thread, j, NULL));
    }
    return j;
}

static void run_once(job *j)
{
    if (!j->has_run) {
        j->has_run = 1;
        j->run(j->task);
    }
}

static void wait_for(void *ctx, void *handle)
{
    jobs *all = ctx;
    job *j = handle;
    if (all->kind >= ON_THREADS) {
        slmi_thread_join(&j->thread);
    } else if (all->kind == BACKWARDS) { /* does others' jobs as well */
        for (uint32_t i = all->n_queued; i > 0; i--) {
            run_once(&all->queue[i - 1]);
        }
    } else {
        run_once(j);
    }
    all->n_waited++;
}

static void init_jobs(jobs *all, int kind)
{
    memset(all, 0, sizeof(*all));
    all->kind = kind;
    all->tasks = (slm_tasks)SLM_TASKS_INIT;
    all->tasks.ctx = all;
    all->tasks.enqueue = enqueue;
    all->tasks.wait = wait_for;
    all->host = (slm_host)SLM_HOST_INIT;
    all->host.tasks = kind == NO_TASKS ? NULL : &all->tasks;
}

/* Threads of this process, or 0 where the system does not tell. */
static int n_threads_now(void)
{
    int n = 0;
#if defined(__linux__)
    DIR *folder = opendir("/proc/self/task");
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    if (folder != NULL) {
        closedir(folder);
    }
#endif
    return n;
}

/* A thread that has been joined may still be listed for a moment. */
static void assert_no_more_threads(int n_before)
{
    const uint64_t begin = slmi_clock_ns();
    while (n_threads_now() > n_before && slmi_clock_ns() - begin < UINT64_C(5000000000)) {
        slmi_thread_yield();
    }
    assert_true(n_threads_now() <= n_before);
}

static slm_model *load(const slm_host *host, uint32_t n_threads)
{
    const tiny_model description = { .type = TINY_Q8_0 };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    options.n_threads = n_threads;
    options.host = host;
    OK(slm_model_load_memory(file, size, &options, &model, NULL));
    free(file);
    return model;
}

static void work(slm_model *model, const slm_host *host, uint64_t budget, future *f)
{
    slm_session *s;
    slm_session_options options = small_options(3, 256);
    result r;
    options.n_threads = 4;
    options.host = host;
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = begin_text(s, 140), other = begin_text(s, 30);
    generate(s, other, 5, SLM_GENERATE_IGNORE_END);
    run(s, q, budget, &r);
    assert_int_equal(r.last_step, SLM_OK);
    OK(slm_session_replace(s, other, 3, 10, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    look_ahead(s, q, f);
    slm_session_release(s);
}

static void same_bits_however_tasks_come(void **state)
{
    (void)state;
    static jobs all;
    slm_model *model = load(NULL, 1);
    future expected, f;
    work(model, NULL, 0, &expected);
    const int n_before = n_threads_now();
    for (int kind = INSIDE_ENQUEUE; kind < N_KINDS; kind++) {
        for (uint64_t budget = 0; budget <= 50; budget += 50) {
            init_jobs(&all, kind);
            work(model, &all.host, kind >= ON_THREADS && budget != 0 ? 5000 : budget, &f);
            assert_same_future(&expected, &f);
            assert_true(all.n_enqueued > 0 && all.n_enqueued % 3 == 0); /* the caller is the fourth */
            assert_int_equal(all.n_waited, all.n_queued);
            assert_no_more_threads(n_before); /* none of the library's own */
        }
    }
    slm_model_release(model);
}

static void loads_with_tasks(void **state)
{
    (void)state;
    static jobs all;
    future expected, f;
    slm_model *model = load(NULL, 1);
    work(model, NULL, 0, &expected);
    slm_model_release(model);
    const int n_before = n_threads_now();
    for (int kind = INSIDE_ENQUEUE; kind < N_KINDS; kind++) {
        init_jobs(&all, kind);
        model = load(&all.host, 4);
        assert_true(all.n_enqueued > 0);
        assert_int_equal(all.n_waited, all.n_queued);
        assert_no_more_threads(n_before);
        const uint32_t n_loading = all.n_enqueued;
        work(model, NULL, 0, &f); /* sessions take the model's */
        assert_true(all.n_enqueued > n_loading);
        assert_same_future(&expected, &f);
        slm_model_release(model);
    }
}

/* One thread needs no tasks. */
static void alone_asks_for_none(void **state)
{
    (void)state;
    static jobs all;
    slm_session *s;
    init_jobs(&all, INSIDE_WAIT);
    slm_model *model = load(&all.host, 1);
    slm_session_options options = small_options(1, 256);
    options.host = &all.host;
    OK(slm_session_create(model, &options, &s, NULL));
    begin_text(s, 100);
    finish(s);
    assert_int_equal(all.n_enqueued, 0);
    slm_session_release(s);
    slm_model_release(model);
}

static void refuses_half_a_job_system(void **state)
{
    (void)state;
    static jobs all;
    slm_error error;
    slm_session *s;
    slm_model *model = load(NULL, 1), *other;
    const tiny_model description = { 0 };
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    for (int how = 0; how < 3; how++) {
        slm_session_options options = small_options(1, 256);
        slm_model_options loading = SLM_MODEL_OPTIONS_INIT;
        init_jobs(&all, INSIDE_WAIT);
        all.tasks.enqueue = how == 0 ? NULL : enqueue;
        all.tasks.wait = how == 1 ? NULL : wait_for;
        all.tasks.struct_size = how == 2 ? 9 : sizeof(slm_tasks);
        options.host = loading.host = &all.host;
        FAILS(slm_session_create(model, &options, &s, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
        FAILS(slm_model_load_memory(file, size, &loading, &other, &error), SLM_ERR_INVALID_ARGUMENT,
              SLM_NO_OFFSET);
    }
    free(file);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_however_tasks_come),
        cmocka_unit_test(loads_with_tasks),
        cmocka_unit_test(alone_asks_for_none),
        cmocka_unit_test(refuses_half_a_job_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
