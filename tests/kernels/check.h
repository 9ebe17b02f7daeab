/* SPDX-License-Identifier: MIT */
/* What the kernel tests share: random data, guarded buffers, comparison of bits. */
#ifndef SLM_TESTS_KERNELS_CHECK_H
#define SLM_TESTS_KERNELS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/kernels.h"

/* Random numbers: xorshift64*. */
uint64_t check_random(void);
uint32_t check_below(uint32_t n);
float check_float(void); /* about -1..1, sometimes 2^+-20 larger or smaller, sometimes 0 */
void check_floats(float *x, size_t n);

/* `size` bytes that start `shift` bytes after a multiple of 64, with guards on both sides. */
void *check_alloc(size_t size, size_t shift);
/* Fails if a guard was overwritten; releases. */
void check_free(void *p);

/* Equal bits, or both NaN. */
void check_same(const float *expected, const float *got, size_t n, const char *what);

/* A panel of random rows with sane scales; `fill` < 256 sets all weight bytes to it. */
void check_panel(int type, uint32_t k, uint32_t n_rows, uint32_t fill, void *panel);

/* Calls a test for every level but the scalar one that this machine can run. Where it has AVX-512 but
 * not AVX-VNNI, the kernels of AVX-VNNI run in the other's encoding. */
void check_levels(void (*test)(const slmk_table *ref, const slmk_table *table));

void test_matmul(void **state);
void test_quantize(void **state);
void test_vectors(void **state);
void test_rope(void **state);
void test_store(void **state);
void test_attend(void **state);
void test_kv(void **state);
void test_panels(void **state);
void test_panels_version(void **state);
void test_expf(void **state);
void test_doubles(void **state);
void test_doubles_are_the_same(void **state);
void test_fmaf(void **state);
void test_halves(void **state);
void test_levels(void **state);

/* Times the kernels of a level by its name, or of all for NULL. */
void bench_kernels(const char *level);

/* AVX-VNNI's table in AVX-512's encoding (CHECK_EVEX). */
const slmk_table *check_table_evex(void);

#endif
