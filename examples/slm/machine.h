/* SPDX-License-Identifier: MIT */
/* What the machine itself can do, measured: the ceilings that `slm bench` compares with. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* The best that was seen so far: what the machine can do when nothing else disturbs it. */
typedef struct machine {
    double read_bytes_per_second;         /* streaming a buffer too large for the caches */
    double integer_operations_per_second; /* 8-bit multiplications and additions */
    double float_operations_per_second;   /* float32 multiplications and additions */
    const char *integer_instructions;     /* which ones; static */
    uint32_t n_threads;
    char *buffer;
    size_t buffer_bytes;
} machine;

/* Takes a buffer, 1 GiB if there is so much memory. Returns 0, or -1 when there is no memory or the number
 * of threads is too large. */
int machine_begin(machine *m, uint32_t n_threads);

/* Measures for about 0.2 seconds and keeps what is better than before. Returns 0, or -1 when threads are
 * refused. */
int machine_measure(machine *m);

/* Gives the buffer back; the figures stay. */
void machine_end(machine *m);

#endif
