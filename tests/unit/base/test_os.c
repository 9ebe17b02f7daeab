/* SPDX-License-Identifier: MIT */
/* base/os/os.h: memory, pages of files, time, processors, threads; alike on all systems. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/os.h"
#include "support/files.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sched.h>
#endif

static void memory(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (size_t size = 1; size < 100000; size *= 7) {
            unsigned char *block = slmi_os_alloc(size, alignment);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % alignment, 0);
            memset(block, 0xA5, size);
            slmi_os_free(block);
        }
    }
    assert_null(slmi_os_alloc(SIZE_MAX / 4, 64));
}

/* Whole pages are given back and read again. */
static void pages_come_back(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    uint8_t *content = malloc(SIZE);
    slmi_map map;
    char path[64];
    assert_non_null(content);
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    test_path(path, sizeof(path), "pages");
    assert_true(test_file_write(path, content, SIZE));
    assert_int_equal(slmi_map_open(&map, path, NULL), SLM_OK);
    for (uint64_t offset = 0; offset < SIZE; offset += 99999) {
        assert_memory_equal(map.data, content, SIZE);
        slmi_map_forget(&map, offset, SIZE - offset);
    }
    assert_memory_equal(map.data, content, SIZE);
    slmi_map_close(&map);
    assert_true(test_file_remove(path));
    free(content);
}

static void time_and_processors(void **state)
{
    (void)state;
    const uint64_t begin = slmi_clock_ns();
    uint64_t last = begin;
    while (last < begin + 2000000) {
        const uint64_t now = slmi_clock_ns();
        assert_true(now >= last && now - last < UINT64_C(60000000000));
        last = now;
    }
    const uint32_t n = slmi_cpu_count();
    assert_true(n >= 1 && n <= SLMI_MOST_THREADS);
    assert_true(slmi_process_id() != 0 && slmi_process_id() == slmi_process_id());
#if defined(_WIN32)
    DWORD_PTR before, all;
    assert_true(GetProcessAffinityMask(GetCurrentProcess(), &before, &all));
    assert_true(SetProcessAffinityMask(GetCurrentProcess(), before & (~before + 1)));
    assert_int_equal(slmi_cpu_count(), 1);
    assert_true(SetProcessAffinityMask(GetCurrentProcess(), before));
#elif defined(__linux__)
    cpu_set_t before, one;
    int cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    while (!CPU_ISSET(cpu, &before)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(slmi_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
#endif
    assert_int_equal(slmi_cpu_count(), n);
}

typedef struct meeting {
    slmi_mutex mutex;
    slmi_condition condition;
    uint32_t n_turns; /* under the mutex */
    _Atomic uint32_t n_started;
} meeting;

enum { N_THREADS = 4, N_TURNS = 500 };

typedef struct visitor {
    slmi_thread thread;
    meeting *meeting;
    uint32_t index;
    uint64_t sum;
} visitor;

/* Uses half of the stack that a thread is promised. */
static uint64_t use_stack(uint32_t seed)
{
    volatile uint8_t bytes[SLMI_THREAD_STACK / 2];
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(bytes); i += 64) {
        bytes[i] = (uint8_t)(i / 64 + seed);
    }
    for (size_t i = 0; i < sizeof(bytes); i += 64) {
        sum += bytes[i];
    }
    return sum;
}

/* The threads take turns in the order of their indices. */
static void *take_turns(void *ctx)
{
    visitor *v = ctx;
    meeting *m = v->meeting;
    v->sum = use_stack(v->index);
    atomic_fetch_add(&m->n_started, 1);
    for (uint32_t turn = 0; turn < N_TURNS; turn++) {
        slmi_mutex_lock(&m->mutex);
        while (m->n_turns % N_THREADS != v->index) {
            slmi_condition_wait(&m->condition, &m->mutex);
        }
        m->n_turns++;
        slmi_condition_broadcast(&m->condition);
        slmi_mutex_unlock(&m->mutex);
    }
    return NULL;
}

static void threads_take_turns(void **state)
{
    (void)state;
    static meeting m;
    static visitor visitors[N_THREADS];
    assert_int_equal(slmi_mutex_init(&m.mutex, NULL), SLM_OK);
    assert_int_equal(slmi_condition_init(&m.condition, NULL), SLM_OK);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        visitors[i].meeting = &m;
        visitors[i].index = i;
        assert_int_equal(slmi_thread_start(&visitors[i].thread, take_turns, &visitors[i], NULL),
                         SLM_OK);
    }
    while (atomic_load(&m.n_started) < N_THREADS) {
        slmi_thread_yield();
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        slmi_thread_join(&visitors[i].thread);
        assert_true(visitors[i].sum == visitors[0].sum); /* whole rounds of a byte: the same for all */
    }
    assert_int_equal(m.n_turns, N_THREADS * N_TURNS);
    slmi_condition_destroy(&m.condition);
    slmi_mutex_destroy(&m.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory),
        cmocka_unit_test(pages_come_back),
        cmocka_unit_test(time_and_processors),
        cmocka_unit_test(threads_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
