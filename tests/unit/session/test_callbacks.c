/* SPDX-License-Identifier: MIT */
/* Calls from the host's callbacks, from other threads and in the child of a fork. */
#define _POSIX_C_SOURCE 200809L
#include "session_fixture.h"

#include <stdatomic.h>
#include <stdlib.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "base/os/os.h"

typedef struct caller {
    slm_session *session;
    slm_sequence sequence;
    int action; /* 0: calls everything; 1: cancels; 2: releases */
    _Atomic int n_calls;
} caller;

static void call_everything(slm_session *s, slm_sequence q)
{
    slm_sequence other;
    slm_event event = SLM_EVENT_INIT;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_prefix *prefix;
    uint32_t value;
    size_t size;
    const int busy = SLM_ERR_BUSY;
    assert_int_equal(slm_session_add_sequence(s, &other, NULL), busy);
    assert_int_equal(slm_session_fork_sequence(s, q, &other, NULL), busy);
    assert_int_equal(slm_session_remove_sequence(s, q, NULL), busy);
    assert_int_equal(slm_session_append(s, q, NULL, 0, 0, NULL), busy);
    assert_int_equal(slm_session_append_text(s, q, "", 0, 0, NULL), busy);
    assert_int_equal(slm_session_set_sampler(s, q, NULL, NULL), busy);
    assert_int_equal(slm_session_generate(s, q, NULL, NULL), busy);
    assert_int_equal(slm_session_step(s, 0, NULL), busy);
    assert_int_equal(slm_session_get_event(s, &event, NULL), busy);
    assert_int_equal(slm_session_get_sequence_info(s, q, &info, NULL), busy);
    assert_int_equal(slm_session_truncate_sequence(s, q, 0, NULL), busy);
    assert_int_equal(slm_session_replace(s, q, 0, 1, NULL, 0, 0, NULL), busy);
    assert_int_equal(slm_session_set_u32(s, q, SLM_SEQUENCE_KEEP, 1, NULL), busy);
    assert_int_equal(slm_session_get_u32(s, q, SLM_SEQUENCE_KEEP, &value, NULL), busy);
    assert_int_equal(slm_prefix_create(s, q, "name", &prefix, NULL), busy);
    assert_null(prefix);
    assert_int_equal(slm_session_append_prefix(s, q, NULL, NULL), busy);
    assert_int_equal(slm_session_save_sequence(s, q, NULL, NULL, 0, &size, NULL), busy);
    assert_int_equal(slm_session_restore_sequence(s, "", 0, NULL, &other, NULL), busy);
}

static uint64_t calling_clock(void *ctx)
{
    caller *c = ctx;
    const int n = atomic_fetch_add(&c->n_calls, 1);
    if (c->action == 0) {
        call_everything(c->session, c->sequence);
    } else if (c->action == 1 && n == 3) {
        slm_session_cancel(c->session);
    } else if (c->action == 2 && n == 3) {
        slm_session_release(c->session);
    }
    return 1000;
}

static void calls_from_the_clock(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    slm_model *model = make_model(&description);
    for (int action = 0; action < 3; action++) {
        caller c = { .action = action };
        slm_host host = SLM_HOST_INIT;
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        result r;
        host.clock = calling_clock;
        host.clock_ctx = &c;
        options.n_threads = 1;
        options.host = &host;
        OK(slm_session_create(model, &options, &c.session, NULL));
        c.sequence = add_sequence(c.session, "abc");
        generate(c.session, c.sequence, 2, SLM_GENERATE_IGNORE_END);
        if (action == 2) {
            (void)slm_session_step(c.session, 1000, NULL); /* frees the session at its end */
        } else {
            run(c.session, c.sequence, 1000, &r);
            assert_int_equal(r.last_step, action == 1 ? SLM_CANCELLED : SLM_OK);
            slm_session_release(c.session);
        }
        assert_true(atomic_load(&c.n_calls) > 3);
    }
    slm_model_release(model);
}

static void *cancel_later(void *session)
{
    const uint64_t then = slmi_clock_ns() + 2000000;
    while (slmi_clock_ns() < then) {
        slmi_thread_yield();
    }
    slm_session_cancel(session);
    return NULL;
}

static void cancels_from_another_thread(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    slm_model *model = make_model(&description);
    slm_session *s;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 3;
    OK(slm_session_create(model, &options, &s, NULL));
    slm_sequence q = add_sequence(s, "abc");
    for (int i = 0; i < 5; i++) {
        slmi_thread thread;
        result r;
        OK(slm_session_truncate_sequence(s, q, 3, NULL));
        OK(slmi_thread_start(&thread, cancel_later, s, NULL));
        do {
            if (slm_session_generate(s, q, NULL, NULL) != SLM_OK) {
                OK(slm_session_truncate_sequence(s, q, 3, NULL));
            }
            run(s, q, 0, &r);
        } while (r.last_step == SLM_OK);
        assert_int_equal(r.last_step, SLM_CANCELLED);
        slmi_thread_join(&thread);
    }
    slm_session_release(s);
    slm_model_release(model);
}

#if !defined(_WIN32) /* which has no fork */

/* ThreadSanitizer refuses threads in the child of a process that had some. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_THREADS_AFTER_FORK
#endif
#elif defined(__SANITIZE_THREAD__)
#define NO_THREADS_AFTER_FORK
#endif

static void steps_in_the_child_of_a_fork(void **state)
{
    (void)state;
#if defined(NO_THREADS_AFTER_FORK)
    skip();
#endif
    if (getenv("SLM_TEST_EMULATED") != NULL) {
        skip(); /* qemu's user mode cannot start threads in the child either */
    }
    const tiny_model description = { 0 };
    slm_model *model = make_model(&description);
    slm_session *s;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 2;
    OK(slm_session_create(model, &options, &s, NULL));
    slm_sequence q = add_sequence(s, "abc");
    result before, r;
    make_greedy(s, q);
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &before);
    OK(slm_session_truncate_sequence(s, q, 3, NULL));
    const pid_t child = fork();
    generate(s, q, 5, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    const int same = memcmp(r.tokens, before.tokens, 5 * sizeof(int32_t)) == 0;
    slm_session_release(s);
    slm_model_release(model);
    if (child == 0) {
        _exit(same ? 0 : 1);
    }
    int status = 1;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    assert_true(same);
}

#endif

typedef struct log_lines {
    int n;
    char last[256];
} log_lines;

static void keep_line(void *ctx, uint32_t level, const char *line)
{
    log_lines *lines = ctx;
    assert_int_equal(level, SLM_LOG_INFO);
    assert_null(strchr(line, '\n'));
    lines->n++;
    strncpy(lines->last, line, sizeof(lines->last) - 1);
}

static void logs_to_the_host(void **state)
{
    (void)state;
    const tiny_model description = { 0 };
    size_t size;
    log_lines lines = { 0 };
    slm_host host = SLM_HOST_INIT;
    host.log = keep_line;
    host.log_ctx = &lines;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.host = &host;
    slm_model *model;
    slm_session *session;
    uint8_t *file = tiny_model_make(&description, &size);
    OK(slm_model_load_memory(file, size, &options, &model, NULL));
    free(file);
    assert_int_equal(lines.n, 1);
    assert_int_equal(strncmp(lines.last, "loaded llama", 12), 0);
    OK(slm_session_create(model, NULL, &session, NULL)); /* the model's host serves */
    assert_int_equal(lines.n, 2);
    assert_int_equal(strncmp(lines.last, "session: ", 9), 0);
    slm_session_release(session);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_from_the_clock),
        cmocka_unit_test(cancels_from_another_thread),
#if !defined(_WIN32)
        cmocka_unit_test(steps_in_the_child_of_a_fork),
#endif
        cmocka_unit_test(logs_to_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
