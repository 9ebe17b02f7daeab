/* SPDX-License-Identifier: MIT */
/* What Linux may refuse beside the host's memory and threads: files, mappings, locks, its own memory. Each is
 * refused at every call of a scenario, in front of the C library. And a process that forks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "slm/slm.h"
#include "support/files.h"
#include "support/tiny_model.h"

enum { NOTHING, OPEN, MAP, MUTEX, CONDITION, MEMORY, PROCESSORS };

/* The k-th call of one kind is refused with this error. */
static int refused, error_number;
static int calls_left;

static int refuse(int kind)
{
    return kind == refused && --calls_left == 0;
}

/* The function that stands behind ours, in a pointer of its type. */
static void find_real(const char *name, void *pointer)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(pointer, &symbol, sizeof(symbol));
}

/* The library is built with 64-bit offsets, whose calls have other names; declared here, because the headers
 * would rename ours as well. */
int open64(const char *path, int flags, ...);
void *mmap64(void *address, size_t size, int protection, int flags, int descriptor, int64_t offset);

int open64(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    const unsigned mode = va_arg(arguments, unsigned);
    va_end(arguments);
    if (refuse(OPEN)) {
        errno = error_number;
        return -1;
    }
    find_real("open64", &real);
    return real(path, flags, mode);
}

void *mmap64(void *address, size_t size, int protection, int flags, int descriptor, int64_t offset)
{
    void *(*real)(void *, size_t, int, int, int, int64_t);
    if (refuse(MAP)) {
        errno = error_number;
        return (void *)(intptr_t)-1;
    }
    find_real("mmap64", &real);
    return real(address, size, protection, flags, descriptor, offset);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int (*real)(pthread_mutex_t *, const pthread_mutexattr_t *);
    if (refuse(MUTEX)) {
        return EAGAIN;
    }
    find_real("pthread_mutex_init", &real);
    return real(mutex, attributes);
}

int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    int (*real)(pthread_cond_t *, const pthread_condattr_t *);
    if (refuse(CONDITION)) {
        return EAGAIN;
    }
    find_real("pthread_cond_init", &real);
    return real(condition, attributes);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    int (*real)(void **, size_t, size_t);
    if (refuse(MEMORY)) {
        return ENOMEM;
    }
    find_real("posix_memalign", &real);
    return real(block, alignment, size);
}

int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    int (*real)(pid_t, size_t, cpu_set_t *);
    if (refuse(PROCESSORS)) {
        errno = EINVAL;
        return -1;
    }
    find_real("sched_getaffinity", &real);
    return real(process, size, set);
}

static char path[64];

/* What most programs do, with memory and processors of the system's. */
static slm_status load_and_step(slm_error *err)
{
    const int32_t tokens[3] = { 5, 6, 7 };
    slm_model *model = NULL;
    slm_session *session = NULL;
    slm_sequence q;
    slm_model_options load = SLM_MODEL_OPTIONS_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    load.n_threads = 2;
    options.n_threads = 2;
    slm_status status = slm_model_load(path, &load, &model, err);
    if (status == SLM_OK) {
        status = slm_session_create(model, &options, &session, err);
    }
    if (status == SLM_OK) {
        assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
        assert_int_equal(slm_session_append(session, q, tokens, 3, 0, NULL), SLM_OK);
        status = slm_session_step(session, 0, err);
    }
    slm_session_release(session);
    slm_model_release(model);
    return status;
}

/* Refuses the first call of this kind, the second and so on, until a run sees none refused. */
static void refuse_each(int kind, int number, slm_status expected, const char *says, int least)
{
    int k = 0;
    slm_status status;
    do {
        slm_error err = SLM_ERROR_INIT;
        refused = kind;
        error_number = number;
        calls_left = ++k;
        status = load_and_step(&err);
        const int was_refused = calls_left <= 0;
        refused = NOTHING;
        assert_int_equal(status, was_refused ? expected : SLM_OK);
        assert_int_equal(err.code, status);
        assert_true(status == SLM_OK || strstr(err.message, says) != NULL);
    } while (status != SLM_OK);
    assert_true(k > least);
}

static void the_system_refuses(void **state)
{
    (void)state;
    refuse_each(OPEN, EACCES, SLM_ERR_IO, "no permission to read", 1);
    refuse_each(OPEN, EPERM, SLM_ERR_IO, "no permission to read", 1);
    refuse_each(OPEN, EMFILE, SLM_ERR_IO, "cannot read", 1);
    refuse_each(OPEN, ENOTDIR, SLM_ERR_NOT_FOUND, "there is no file", 1);
    refuse_each(MAP, ENOMEM, SLM_ERR_OUT_OF_MEMORY, "cannot map", 1);
    refuse_each(MAP, ENODEV, SLM_ERR_IO, "cannot map", 1);
    refuse_each(MUTEX, 0, SLM_ERR_SYSTEM, "no more mutexes", 3);
    refuse_each(CONDITION, 0, SLM_ERR_SYSTEM, "no more condition variables", 3);
    refuse_each(MEMORY, 0, SLM_ERR_OUT_OF_MEMORY, "no memory for", 10);
}

/* Where the system does not tell which processors are ours, all of them are. */
static void processors_are_unknown(void **state)
{
    (void)state;
    slm_model *model;
    slm_session_memory known = SLM_SESSION_MEMORY_INIT, unknown = SLM_SESSION_MEMORY_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT; /* threads for all processors */
    cpu_set_t mine, one;
    int cpu = 0;
    assert_int_equal(slm_model_load(path, NULL, &model, NULL), SLM_OK);
    assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
    while (!CPU_ISSET(cpu, &mine)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(slm_session_estimate(model, &options, &known, NULL), SLM_OK);
    refused = PROCESSORS;
    calls_left = 1;
    assert_int_equal(slm_session_estimate(model, &options, &unknown, NULL), SLM_OK);
    assert_int_equal(calls_left, 0);
    refused = NOTHING;
    assert_int_equal(sched_setaffinity(0, sizeof(mine), &mine), 0);
    /* Each thread has scratch of its own. */
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    assert_true(n > 1 ? unknown.scratch_bytes > known.scratch_bytes
                      : unknown.scratch_bytes == known.scratch_bytes);
    slm_model_release(model);
}

/* The logits behind three more tokens. */
static void compute(slm_session *session, slm_sequence q, float logits[TINY_VOCAB])
{
    const int32_t tokens[3] = { 70, 80, 90 };
    slm_event event = SLM_EVENT_INIT;
    assert_int_equal(slm_session_append(session, q, tokens, 2, 0, NULL), SLM_OK);
    assert_int_equal(slm_session_append(session, q, tokens + 2, 1, SLM_APPEND_LOGITS, NULL), SLM_OK);
    assert_int_equal(slm_session_step(session, 0, NULL), SLM_OK);
    assert_int_equal(slm_session_get_event(session, &event, NULL), SLM_OK);
    memcpy(logits, event.logits, TINY_VOCAB * sizeof(float));
}

/* The child of a fork has no workers: its sessions start new ones, and leave the parent's alone. */
static void children_start_afresh(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    skip(); /* ThreadSanitizer does not allow threads in a child */
#endif
    if (getenv("SLM_TEST_EMULATED") != NULL) {
        skip(); /* nor does qemu's user mode */
    }
    slm_model *model;
    slm_session *sessions[2];
    slm_sequence q[2];
    float mine[TINY_VOCAB], other[TINY_VOCAB];
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 3;
    assert_int_equal(slm_model_load(path, NULL, &model, NULL), SLM_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(slm_session_create(model, &options, &sessions[i], NULL), SLM_OK);
        assert_int_equal(slm_session_add_sequence(sessions[i], &q[i], NULL), SLM_OK);
        compute(sessions[i], q[i], mine);
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        slm_session_release(sessions[1]); /* whose workers are the parent's */
        for (int i = 0; i < 20; i++) {
            compute(sessions[0], q[0], mine);
        }
        const int good = write(ends[1], mine, sizeof(mine)) == (ssize_t)sizeof(mine);
        slm_session_release(sessions[0]);
        slm_model_release(model);
#if defined(__SANITIZE_ADDRESS__)
        _exit(!good);
#else
        exit(!good); /* what the coverage counted is written */
#endif
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(read(ends[0], other, sizeof(other)), sizeof(other));
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 20; j++) {
            compute(sessions[i], q[i], mine);
        }
        assert_memory_equal(mine, other, sizeof(mine));
        slm_session_release(sessions[i]);
    }
    slm_model_release(model);
}

static int set_up(void **state)
{
    (void)state;
    size_t size;
    const tiny_model description = { .n_layers = 1 };
    uint8_t *file = tiny_model_make(&description, &size);
    test_path(path, sizeof(path), "refusals");
    const int written = test_file_write(path, file, size);
    free(file);
    return !written;
}

static int tear_down(void **state)
{
    (void)state;
    return !test_file_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_refuses),
        cmocka_unit_test(processors_are_unknown),
        cmocka_unit_test(children_start_afresh),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
