/* SPDX-License-Identifier: MIT */
/* The evaluator from the inside: sessions that are driven through the windows of texts. */
#ifndef SLMI_EVALUATE_EVALUATE_H
#define SLMI_EVALUATE_EVALUATE_H

#include "evaluate/score.h"
#include "evaluate/windows.h"
#include "session/session.h"
#include "slm/experimental/evaluate.h"

/* A model at work on the window in progress; the model itself belongs to whoever made the evaluator. */
typedef struct slmi_side {
    slm_session *session;
    slmi_sequence *sequence;
} slmi_side;

/* What texts came to; plain data, so that a call that fails puts back what it was. */
typedef struct slmi_totals {
    uint64_t n_texts, n_bytes, n_tokens, n_windows;
    uint64_t n_guessed; /* tokens without any context: a uniform guess */
    slmi_sums sums;     /* over all other tokens that count */
} slmi_totals;

struct slm_x_evaluator {
    slmi_alloc alloc;
    slm_model *model;
    slm_model *reference;    /* NULL = none */
    uint32_t n_vocab;
    int32_t bos;             /* -1: the tokenizer adds none */
    slmi_convention convention;
    slmi_side sides[2];      /* the model, the reference */
    uint32_t n_sides;
    uint32_t most_rows;      /* of logits that a step delivers */
    slmi_score *scores;      /* [most_rows] */
    uint32_t busy;           /* a text is in progress: calls from callbacks are refused */
    uint32_t release_when_idle;
    void *progress_ctx;
    int32_t (*progress)(void *ctx, float done);
    slmi_totals totals;
    slmi_buffer divergences; /* double [sums.n_scored], in no order; empty without a reference */
};

/* `options` is our own full copy, `host` the caller's in this version's form or NULL. Takes no
 * references: model and reference must outlive the evaluator. */
slm_status slmi_evaluator_create(slm_model *model, const slm_x_evaluator_options *options,
                                 const slm_host *host, slm_x_evaluator **out, slm_error *err);
void slmi_evaluator_destroy(slm_x_evaluator *evaluator);

/* As the public calls of the same names. */
slm_status slmi_evaluator_add_text(slm_x_evaluator *evaluator, const char *text, size_t length,
                                   slm_error *err);
slm_status slmi_evaluator_get_result(slm_x_evaluator *evaluator, slm_x_evaluation *result,
                                     slm_error *err);

#endif
