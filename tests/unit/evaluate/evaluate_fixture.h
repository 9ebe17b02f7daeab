/* SPDX-License-Identifier: MIT */
/* Evaluators of tiny models, and the same figures by plain loops over the logits of sessions. */
#ifndef SLM_TESTS_EVALUATE_FIXTURE_H
#define SLM_TESTS_EVALUATE_FIXTURE_H

#include "unit/session/session_fixture.h"

#include "slm/experimental/evaluate.h"

enum { MOST_TOKENS = 600, CONTEXT = 16, STRIDE = 5 };

enum { BITS = SLM_X_CONVENTION_BITS_PER_BYTE, LLAMACPP = SLM_X_CONVENTION_LLAMACPP_512,
       GPTQ = SLM_X_CONVENTION_GPTQ_2048, HF_STRIDE = SLM_X_CONVENTION_HF_STRIDE };

/* Options of a convention with CONTEXT and STRIDE, and the cache in single precision. */
slm_x_evaluator_options options_of(uint32_t convention);

slm_x_evaluator *make_evaluator(slm_model *model, const slm_x_evaluator_options *options);

/* The figures of one text. */
slm_x_evaluation evaluate_text(slm_model *model, const slm_x_evaluator_options *options, const char *text,
                               size_t length);

/* Figures of windows by plain loops. */
typedef struct plain {
    slm_model *model, *reference; /* reference: NULL = none */
    uint32_t kv_type, reference_kv_type;
    double losses[MOST_TOKENS], reference_losses[MOST_TOKENS], kl[MOST_TOKENS];
    uint32_t n, n_windows, n_same_top;
} plain;

/* Scores tokens [first, n) of a window. */
void add_window(plain *p, const int32_t *tokens, size_t n, size_t first);

/* Scores a stream by the windows of `options`, which are written down once more from the conventions'
 * sources. */
void add_windows(plain *p, const slm_x_evaluator_options *options, int adds_bos, const int32_t *stream,
                 size_t n);

double sum_of(const double *values, uint32_t n);
double error_of_mean(const double *values, uint32_t n);
void assert_near(double value, double expected);

#endif
