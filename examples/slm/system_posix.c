/* SPDX-License-Identifier: MIT */
/* What the tool asks of a POSIX system. */
#define _GNU_SOURCE /* madvise */
#include "system.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void system_begin(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
}

FILE *open_file(const char *path)
{
    return fopen(path, "rb");
}

int is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

void draft_open(draft *d)
{
    *d = (draft){ NULL, NULL, 0 };
    d->stream = open_memstream(&d->text, &d->length);
}

int draft_close(draft *d, FILE *out)
{
    int failed = fclose(d->stream) != 0;
    if (!failed && out)
        failed = fwrite(d->text, 1, d->length, out) != d->length;
    free(d->text);
    return failed ? -1 : 0;
}

ptrdiff_t read_line(char **line, size_t *capacity)
{
    return getline(line, capacity, stdin);
}

double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Linux's VmHWM belongs to this program alone; ru_maxrss would also count what the process had before
 * it became this program, say that of the Python that started it. */
uint64_t peak_resident_bytes(void)
{
    unsigned long long kilobytes = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        if (sscanf(line, "VmHWM: %llu kB", &kilobytes) == 1)
            break;
    }
    if (status)
        fclose(status);
    if (kilobytes)
        return kilobytes * 1024;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

void *new_large_buffer(size_t bytes)
{
    void *buffer;
    if (posix_memalign(&buffer, (size_t)2 << 20, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(buffer, bytes, MADV_HUGEPAGE);
#endif
    return buffer;
}

uint32_t core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (uint32_t)n;
}

/* ---- Ctrl-C ---- */

static void (*interrupt_handler)(void);

static void on_signal(int number)
{
    (void)number;
    interrupt_handler();
}

void catch_interrupt(void (*handler)(void))
{
    static struct sigaction before;
    struct sigaction action;
    if (!handler) {
        sigaction(SIGINT, &before, NULL);
        return;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    interrupt_handler = handler;
    sigaction(SIGINT, &action, &before);
}

/* ---- threads ---- */

typedef struct thread {
    pthread_t handle;
    void (*work)(void *item);
    void *item;
} thread;

static void *thread_main(void *argument)
{
    thread *t = argument;
    t->work(t->item);
    return NULL;
}

uint32_t run_threads(uint32_t n, void (*work)(void *item), void *items, size_t item_bytes)
{
    thread *threads = calloc(n, sizeof *threads);
    uint32_t started = 0;
    for (; threads && started < n; started++) {
        thread *t = &threads[started];
        t->work = work;
        t->item = (char *)items + started * item_bytes;
        if (pthread_create(&t->handle, NULL, thread_main, t) != 0)
            break;
    }
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i].handle, NULL);
    free(threads);
    return started;
}
