/* SPDX-License-Identifier: MIT */
/* Sorting without allocation (the C library's qsort may allocate). */
#ifndef SLMI_BASE_SORT_H
#define SLMI_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Sorts the indices [n] so that less(ctx, a, b) holds between neighbours. Heap sort: O(n log n) always,
 * not stable. `less` is a strict weak order over indices. */
void slmi_sort_indices(uint32_t *indices, size_t n,
                       int (*less)(const void *ctx, uint32_t a, uint32_t b), const void *ctx);

#endif
