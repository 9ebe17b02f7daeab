/* SPDX-License-Identifier: MIT */
/* The peak of resident memory, for programs with and without libslm. */
#ifndef SLM_TESTS_BENCH_PEAK_H
#define SLM_TESTS_BENCH_PEAK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest resident memory so far in kilobytes, as Linux tells it; 0 elsewhere. */
static long peak_kilobytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long peak = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            peak = strtol(line + 6, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return peak;
}

#endif
