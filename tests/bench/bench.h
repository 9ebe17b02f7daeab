/* SPDX-License-Identifier: MIT */
/* What the benches share: a model from the command line, time, percentiles, prompts. */
#ifndef SLM_TESTS_BENCH_H
#define SLM_TESTS_BENCH_H

#include <stdint.h>

#include "slm/slm.h"

/* Ends the program with the error's sentence if a call failed. */
void bench_must(slm_status status, const slm_error *error);

/* Loads a model with n_threads; ends the program if that fails. */
slm_model *bench_load(const char *path, uint32_t n_threads);

/* Monotonic microseconds. */
double bench_now_us(void);

/* Sorts values [n] and returns the one that a share (0..1) of them does not exceed. */
double bench_percentile(double *values, uint32_t n, double share);

/* Appends n tokens that stand for nothing in particular. */
void bench_append(slm_session *session, slm_sequence sequence, uint32_t n, uint32_t seed);

/* Asks for n tokens, whatever they are; 0 = until the context is full. */
void bench_generate(slm_session *session, slm_sequence sequence, uint32_t n);

#endif
