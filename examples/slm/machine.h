/* SPDX-License-Identifier: MIT */
/* What the machine itself can do, measured: the ceilings that `slm bench` compares with. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

typedef struct machine {
    double read_bytes_per_second;         /* streaming a buffer too large for the caches */
    double integer_operations_per_second; /* 8-bit multiplications and additions */
    const char *integer_instructions;     /* which ones; static */
} machine;

/* Measures with this many threads; takes about a second and 256 MiB. Returns 0, or -1 when memory or
 * threads are refused. */
int machine_measure(uint32_t n_threads, machine *result);

#endif
