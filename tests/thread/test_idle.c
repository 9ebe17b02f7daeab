/* SPDX-License-Identifier: MIT */
/* A process that has a session and does nothing uses no processor: its workers sleep, after a step that
 * ended its work and after one whose budget ended in the midst of it. */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__linux__)
#include <dirent.h>
#endif

#include "slm/slm.h"
#include "support/tiny_model.h"

#define N_THREADS 4

/* What this thread's own waking up may take, and far below what one spinning thread would: 300 ms. */
#define MOST_NANOSECONDS 1000000

/* ThreadSanitizer has a thread of its own, and so has an emulator. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_OTHER_THREADS 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define HAS_OTHER_THREADS 1
#endif
#if !defined(HAS_OTHER_THREADS)
#define HAS_OTHER_THREADS (getenv("SLM_TEST_EMULATED") != NULL)
#endif

#define MUST(condition)                                                     \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

static void sleep_for(long milliseconds)
{
    const struct timespec time = { 0, milliseconds * 1000000 };
    MUST(nanosleep(&time, NULL) == 0);
}

static int64_t processor_nanoseconds(void)
{
    struct timespec time;
    MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Threads of this process, and how often all but the first were put to sleep or made to yield. */
static uint32_t count_threads(uint64_t *n_switches)
{
    uint32_t n = 0;
    *n_switches = 0;
#if defined(__linux__)
    DIR *folder = opendir("/proc/self/task");
    MUST(folder != NULL);
    for (struct dirent *task = readdir(folder); task != NULL; task = readdir(folder)) {
        char path[300], line[200];
        unsigned long long switches;
        if (task->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        FILE *file = fopen(path, "r");
        MUST(file != NULL);
        while (fgets(line, sizeof(line), file) != NULL) {
            const int found = sscanf(line, "voluntary_ctxt_switches: %llu", &switches) == 1 ||
                              sscanf(line, "nonvoluntary_ctxt_switches: %llu", &switches) == 1;
            *n_switches += found && n > 0 ? switches : 0;
        }
        fclose(file);
        n++;
    }
    closedir(folder);
#endif
    return n;
}

/* The least of three measurements: the system may charge a process for something else once. */
static void check_idle(const char *when)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < 3 && least > MOST_NANOSECONDS; i++) {
        uint64_t before, after;
        sleep_for(20); /* more than a worker spins before it sleeps */
        const uint32_t n_threads = count_threads(&before);
        const int64_t begin = processor_nanoseconds();
        sleep_for(300);
        const int64_t used = processor_nanoseconds() - begin;
        MUST(count_threads(&after) == n_threads);
        least = used < least && after == before ? used : least;
    }
    printf("%s: %lld ns of 300 ms\n", when, (long long)least);
    MUST(least <= MOST_NANOSECONDS);
}

static uint64_t fast_clock(void *ctx)
{
    /* Each look at it is a millisecond later: budgets end at once. */
    return atomic_fetch_add((_Atomic uint64_t *)ctx, 1000000);
}

int main(void)
{
    const tiny_model description = { .type = TINY_Q8_0 };
    slm_model_options load = SLM_MODEL_OPTIONS_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_model *model;
    slm_session *session;
    slm_sequence q;
    int32_t tokens[200];
    _Atomic uint64_t time = 0;
    size_t size;
    if (HAS_OTHER_THREADS) {
        return 77;
    }
    for (int i = 0; i < 200; i++) {
        tokens[i] = TINY_LETTER + i % 26;
    }
    uint8_t *file = tiny_model_make(&description, &size);
    load.n_threads = N_THREADS;
    MUST(slm_model_load_memory(file, size, &load, &model, NULL) == SLM_OK);
    free(file);
    check_idle("loaded");
    host.clock = fast_clock;
    host.clock_ctx = &time;
    options.n_threads = N_THREADS;
    options.host = &host;
    MUST(slm_session_create(model, &options, &session, NULL) == SLM_OK);
    MUST(slm_session_add_sequence(session, &q, NULL) == SLM_OK);
    MUST(slm_session_append(session, q, tokens, 200, 0, NULL) == SLM_OK);
    MUST(slm_session_step(session, 1, NULL) == SLM_MORE);
    check_idle("in the midst of a step");
    MUST(slm_session_step(session, 0, NULL) == SLM_OK);
    check_idle("done");
    slm_session_release(session);
    slm_model_release(model);
    return 0;
}
