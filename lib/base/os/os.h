/* SPDX-License-Identifier: MIT */
/* All that the library asks of the operating system: memory, files, time, threads, processors. */
#ifndef SLMI_BASE_OS_H
#define SLMI_BASE_OS_H

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "base/error.h"

/* The C library's memory, for alloc.c alone: size > 0, alignment a power of two. NULL if there is none. */
void *slmi_os_alloc(size_t size, size_t alignment);
void slmi_os_free(void *block);

/* Asks for large pages inside a block of its memory that is about to be filled and then read again and
 * again, where the system has them. */
void slmi_os_prefer_large_pages(void *block, size_t size);

/* A file mapped for reading. */
typedef struct slmi_map {
    const uint8_t *data;
    uint64_t size;
} slmi_map;

/* Maps a regular file; path is UTF-8. SLM_ERR_NOT_FOUND, SLM_ERR_IO (no permission, a directory),
 * SLM_ERR_TRUNCATED (empty), SLM_ERR_INVALID_UTF8 (where the system's own paths are not bytes). */
slm_status slmi_map_open(slmi_map *map, const char *path, slm_error *err);

/* Tells the system that whole pages inside [offset, offset + size) are not needed any more. */
void slmi_map_forget(const slmi_map *map, uint64_t offset, uint64_t size);

/* Asks for large pages for what is not in memory yet; of use before anything of it was looked at. */
void slmi_map_prefer_large_pages(const slmi_map *map);

/* Unmaps; a zeroed map does nothing. */
void slmi_map_close(slmi_map *map);

/* A new file that is written from front to back. */
typedef struct slmi_file {
#if defined(_WIN32)
    void *handle;
#else
    int descriptor;
#endif
} slmi_file;

/* Makes a file that does not exist yet; SLM_END if there is one. SLM_ERR_NOT_FOUND (no such folder),
 * SLM_ERR_IO. */
slm_status slmi_file_create(slmi_file *file, const char *path, slm_error *err);

slm_status slmi_file_write(slmi_file *file, const void *bytes, size_t size, slm_error *err);

/* Waits until all of it is on the disk. */
slm_status slmi_file_sync(slmi_file *file, slm_error *err);

void slmi_file_close(slmi_file *file);

/* Gives a file another name; one that has that name already is replaced in one step. */
slm_status slmi_file_rename(const char *from, const char *to, slm_error *err);

void slmi_file_remove(const char *path);

/* 1 if both paths lead to the same file. */
int slmi_file_is_same(const char *a, const char *b);

/* Monotonic nanoseconds. */
uint64_t slmi_clock_ns(void);

/* Most threads that anything here runs on. */
#define SLMI_MOST_THREADS 256

/* Processors that this process may use, 1..SLMI_MOST_THREADS. */
uint32_t slmi_cpu_count(void);

/* A worker's stack in bytes, at least, whatever the system's default is. */
#define SLMI_THREAD_STACK ((size_t)1 << 20)

#if defined(_WIN32)

typedef struct slmi_mutex {
    void *lock; /* an SRWLOCK */
} slmi_mutex;

typedef struct slmi_condition {
    void *variable; /* a CONDITION_VARIABLE */
} slmi_condition;

typedef struct slmi_thread {
    void *handle;
    void *(*run)(void *);
    void *ctx;
} slmi_thread;

#else

typedef struct slmi_mutex {
    pthread_mutex_t handle;
} slmi_mutex;

typedef struct slmi_condition {
    pthread_cond_t handle;
} slmi_condition;

typedef struct slmi_thread {
    pthread_t handle;
} slmi_thread;

#endif

slm_status slmi_mutex_init(slmi_mutex *mutex, slm_error *err);
void slmi_mutex_destroy(slmi_mutex *mutex);
void slmi_mutex_lock(slmi_mutex *mutex);
void slmi_mutex_unlock(slmi_mutex *mutex);

slm_status slmi_condition_init(slmi_condition *condition, slm_error *err);
void slmi_condition_destroy(slmi_condition *condition);
void slmi_condition_wait(slmi_condition *condition, slmi_mutex *mutex);
void slmi_condition_broadcast(slmi_condition *condition);

/* Starts a thread with all signals blocked, so the host's handlers run on the host's threads. *thread
 * stays where it is until the thread is joined. */
slm_status slmi_thread_start(slmi_thread *thread, void *(*run)(void *), void *ctx, slm_error *err);
void slmi_thread_join(slmi_thread *thread);
void slmi_thread_yield(void);

/* Number of this process: changes in the child of a fork, where there is such a thing. */
uint64_t slmi_process_id(void);

#endif
