/* SPDX-License-Identifier: MIT */
/* Sorting without allocation. Source: J. W. J. Williams, Algorithm 232: Heapsort, 1964. */
#include "base/sort.h"

typedef int less_fn(const void *ctx, uint32_t a, uint32_t b);

static void sift_down(uint32_t *heap, size_t root, size_t n, less_fn *less, const void *ctx)
{
    const uint32_t moving = heap[root];
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && less(ctx, heap[child], heap[child + 1])) {
            child++;
        }
        if (!less(ctx, moving, heap[child])) {
            break;
        }
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = moving;
}

void slmi_sort_indices(uint32_t *indices, size_t n, less_fn *less, const void *ctx)
{
    for (size_t i = n / 2; i > 0; i--) {
        sift_down(indices, i - 1, n, less, ctx);
    }
    for (size_t end = n; end > 1; end--) {
        const uint32_t largest = indices[0];
        indices[0] = indices[end - 1];
        indices[end - 1] = largest;
        sift_down(indices, 0, end - 1, less, ctx);
    }
}
