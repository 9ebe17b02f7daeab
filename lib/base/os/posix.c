/* SPDX-License-Identifier: MIT */
/* All that the library asks of a POSIX system. */
#define _GNU_SOURCE
#include "base/os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void *slmi_os_alloc(size_t size, size_t alignment)
{
    if (alignment <= _Alignof(max_align_t)) {
        return malloc(size);
    }
    void *block = NULL;
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

void slmi_os_free(void *block)
{
    free(block);
}

/* Gives advice on the whole pages inside [begin, begin + size). */
static void advise(const void *begin, uint64_t size, int advice)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)begin + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)begin + (uintptr_t)size) / page * page;
    if (first < end) {
        (void)madvise((void *)first, end - first, advice);
    }
}

/* What is smaller may lie in the heap, between other blocks. */
#define LEAST_ADVISED (32u << 20)

void slmi_os_prefer_large_pages(void *block, size_t size)
{
#if defined(MADV_HUGEPAGE)
    if (size >= LEAST_ADVISED) {
        advise(block, size, MADV_HUGEPAGE);
    }
#else
    (void)block;
    (void)size;
#endif
}

static slm_status open_failed(const char *path, int number, slm_error *err)
{
    SLM_FAIL_IF(number == ENOENT || number == ENOTDIR, SLM_ERR_NOT_FOUND, "there is no file '%s'",
                path);
    SLM_FAIL_IF(number == EACCES || number == EPERM, SLM_ERR_IO, "no permission to read '%s'", path);
    return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "cannot read '%s' (error %d)", path, number);
}

static slm_status map_descriptor(slmi_map *map, int file, const char *path, slm_error *err)
{
    struct stat status;
    if (fstat(file, &status) != 0) {
        return open_failed(path, errno, err);
    }
    SLM_FAIL_IF(S_ISDIR(status.st_mode), SLM_ERR_IO, "'%s' is a directory, not a model file", path);
    SLM_FAIL_IF(!S_ISREG(status.st_mode), SLM_ERR_IO, "'%s' is not a regular file", path);
    SLM_FAIL_AT_IF(status.st_size == 0, SLM_ERR_TRUNCATED, 0, "'%s' is empty", path);
    SLM_FAIL_IF((uint64_t)status.st_size > SIZE_MAX, SLM_ERR_LIMIT,
                "'%s' is too large for this machine's address space", path);
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    SLM_FAIL_IF(data == MAP_FAILED, errno == ENOMEM ? SLM_ERR_OUT_OF_MEMORY : SLM_ERR_IO,
                "cannot map '%s' (error %d)", path, errno);
    map->data = data;
    map->size = (uint64_t)status.st_size;
    return SLM_OK;
}

slm_status slmi_map_open(slmi_map *map, const char *path, slm_error *err)
{
    map->data = NULL;
    map->size = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        return open_failed(path, errno, err);
    }
    const slm_status status = map_descriptor(map, file, path, err);
    close(file);
    return status;
}

void slmi_map_forget(const slmi_map *map, uint64_t offset, uint64_t size)
{
    advise(map->data + offset, size, MADV_DONTNEED);
}

void slmi_map_prefer_large_pages(const slmi_map *map)
{
    slmi_os_prefer_large_pages((void *)(uintptr_t)map->data, (size_t)map->size);
}

void slmi_map_close(slmi_map *map)
{
    if (map->data != NULL) {
        (void)munmap((void *)(uintptr_t)map->data, (size_t)map->size);
        map->data = NULL;
    }
}

static slm_status write_failed(int number, slm_error *err)
{
    return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "writing failed (error %d)", number);
}

slm_status slmi_file_create(slmi_file *file, const char *path, slm_error *err)
{
    file->descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->descriptor < 0 && errno == EEXIST) {
        return SLM_END;
    }
    SLM_FAIL_IF(file->descriptor < 0 && (errno == ENOENT || errno == ENOTDIR), SLM_ERR_NOT_FOUND,
                "there is no folder for '%s'", path);
    SLM_FAIL_IF(file->descriptor < 0, SLM_ERR_IO, "cannot write '%s' (error %d)", path, errno);
    return SLM_OK;
}

slm_status slmi_file_write(slmi_file *file, const void *bytes, size_t size, slm_error *err)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        const ssize_t n = write(file->descriptor, from, size);
        if (n < 0 && errno != EINTR) {
            return write_failed(errno, err);
        }
        from += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return SLM_OK;
}

slm_status slmi_file_sync(slmi_file *file, slm_error *err)
{
    return fsync(file->descriptor) == 0 ? SLM_OK : write_failed(errno, err);
}

void slmi_file_close(slmi_file *file)
{
    (void)close(file->descriptor);
}

slm_status slmi_file_rename(const char *from, const char *to, slm_error *err)
{
    SLM_FAIL_IF(rename(from, to) != 0, SLM_ERR_IO, "cannot write '%s' (error %d)", to, errno);
    return SLM_OK;
}

void slmi_file_remove(const char *path)
{
    (void)unlink(path);
}

int slmi_file_is_same(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

uint64_t slmi_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t slmi_cpu_count(void)
{
    long n = 0;
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        n = CPU_COUNT(&set);
    }
#endif
    if (n < 1) {
        n = sysconf(_SC_NPROCESSORS_ONLN);
    }
    return n < 1 ? 1 : n > SLMI_MOST_THREADS ? SLMI_MOST_THREADS : (uint32_t)n;
}

slm_status slmi_mutex_init(slmi_mutex *mutex, slm_error *err)
{
    SLM_FAIL_IF(pthread_mutex_init(&mutex->handle, NULL) != 0, SLM_ERR_SYSTEM,
                "the system has no more mutexes");
    return SLM_OK;
}

void slmi_mutex_destroy(slmi_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->handle);
}

void slmi_mutex_lock(slmi_mutex *mutex)
{
    pthread_mutex_lock(&mutex->handle);
}

void slmi_mutex_unlock(slmi_mutex *mutex)
{
    pthread_mutex_unlock(&mutex->handle);
}

slm_status slmi_condition_init(slmi_condition *condition, slm_error *err)
{
    SLM_FAIL_IF(pthread_cond_init(&condition->handle, NULL) != 0, SLM_ERR_SYSTEM,
                "the system has no more condition variables");
    return SLM_OK;
}

void slmi_condition_destroy(slmi_condition *condition)
{
    pthread_cond_destroy(&condition->handle);
}

void slmi_condition_wait(slmi_condition *condition, slmi_mutex *mutex)
{
    pthread_cond_wait(&condition->handle, &mutex->handle);
}

void slmi_condition_broadcast(slmi_condition *condition)
{
    pthread_cond_broadcast(&condition->handle);
}

slm_status slmi_thread_start(slmi_thread *thread, void *(*run)(void *), void *ctx, slm_error *err)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    size_t stack;
    int failed = pthread_attr_init(&attributes);
    SLM_FAIL_IF(failed != 0, SLM_ERR_SYSTEM, "cannot start a thread (error %d)", failed);
    /* A larger default stays: the C library may take the threads' own variables out of it. */
    if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < SLMI_THREAD_STACK) {
        (void)pthread_attr_setstacksize(&attributes, SLMI_THREAD_STACK);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread->handle, &attributes, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    SLM_FAIL_IF(failed != 0, SLM_ERR_SYSTEM, "cannot start a thread (error %d)", failed);
    return SLM_OK;
}

void slmi_thread_join(slmi_thread *thread)
{
    pthread_join(thread->handle, NULL);
}

void slmi_thread_yield(void)
{
    sched_yield();
}

uint64_t slmi_process_id(void)
{
    return (uint64_t)getpid();
}
