/* SPDX-License-Identifier: MIT */
/* All that the library asks of the operating system: files, time, threads, processors. */
#ifndef SLMI_BASE_OS_H
#define SLMI_BASE_OS_H

#include <pthread.h>

#include "base/error.h"

/* A file mapped for reading. */
typedef struct slmi_map {
    const uint8_t *data;
    uint64_t size;
} slmi_map;

/* Maps a regular file. SLM_ERR_NOT_FOUND, SLM_ERR_IO (no permission, a directory), SLM_ERR_TRUNCATED
 * (empty). */
slm_status slmi_map_open(slmi_map *map, const char *path, slm_error *err);

/* Tells the system that whole pages inside [offset, offset + size) are not needed any more. */
void slmi_map_forget(const slmi_map *map, uint64_t offset, uint64_t size);

/* Unmaps; a zeroed map does nothing. */
void slmi_map_close(slmi_map *map);

/* Monotonic nanoseconds. */
uint64_t slmi_clock_ns(void);

/* Most threads that anything here runs on. */
#define SLMI_MOST_THREADS 256

/* Processors that this process may use, 1..SLMI_MOST_THREADS. */
uint32_t slmi_cpu_count(void);

typedef struct slmi_mutex {
    pthread_mutex_t handle;
} slmi_mutex;

typedef struct slmi_condition {
    pthread_cond_t handle;
} slmi_condition;

typedef struct slmi_thread {
    pthread_t handle;
} slmi_thread;

slm_status slmi_mutex_init(slmi_mutex *mutex, slm_error *err);
void slmi_mutex_destroy(slmi_mutex *mutex);
void slmi_mutex_lock(slmi_mutex *mutex);
void slmi_mutex_unlock(slmi_mutex *mutex);

slm_status slmi_condition_init(slmi_condition *condition, slm_error *err);
void slmi_condition_destroy(slmi_condition *condition);
void slmi_condition_wait(slmi_condition *condition, slmi_mutex *mutex);
void slmi_condition_broadcast(slmi_condition *condition);

/* Starts a thread with all signals blocked, so the host's handlers run on the host's threads. */
slm_status slmi_thread_start(slmi_thread *thread, void *(*run)(void *), void *ctx, slm_error *err);
void slmi_thread_join(slmi_thread *thread);
void slmi_thread_yield(void);

/* Number of this process: changes in the child of a fork. */
uint64_t slmi_process_id(void);

#endif
