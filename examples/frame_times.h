/* SPDX-License-Identifier: MIT */
/* The clock of a frame loop, and times in microseconds as percentiles and bars of text. */
#ifndef EXAMPLES_FRAME_TIMES_H
#define EXAMPLES_FRAME_TIMES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t when)
{
    const uint64_t now = now_ns();
    if (when > now)
        nanosleep(&(struct timespec){ 0, (long)(when - now) }, NULL);
}

static int compare_times(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* us[n], which is sorted. */
static uint32_t percentile(const uint32_t *us, uint32_t n, double percent)
{
    return us[(size_t)(percent / 100.0 * (double)(n - 1))];
}

/* Sorts us[n] and prints how many lie in each of ten ranges; the last one has no upper end. */
static void print_histogram(const char *title, uint32_t *us, uint32_t n, uint32_t width)
{
    static const char bar[] = "##################################################";
    uint32_t counts[10] = { 0 };
    qsort(us, n, sizeof(uint32_t), compare_times);
    for (uint32_t i = 0; i < n; i++)
        counts[us[i] / width < 9 ? us[i] / width : 9]++;
    printf("\n%s: median %u us, 99 %% %u us, 99.9 %% %u us, longest %u us\n", title,
           percentile(us, n, 50), percentile(us, n, 99), percentile(us, n, 99.9), us[n - 1]);
    for (uint32_t i = 0; i < 10; i++)
        printf("  %5u us%s %6u  %.*s\n", i * width, i < 9 ? " " : "+", counts[i],
               (int)((50ull * counts[i] + n - 1) / n), bar);
}

#endif
