/* SPDX-License-Identifier: MIT */
/* One draw, cut into pieces of some 10 us, so that it can stop and go on: for sessions with a time budget. */
#ifndef SLMI_SAMPLER_DRAW_H
#define SLMI_SAMPLER_DRAW_H

#include "sampler/candidates.h"
#include "sampler/sampler.h"

#define SLMI_DRAW_STEPS 12

typedef struct slmi_draw slmi_draw;

/* Does one piece of a step; 1 = the step is done. */
typedef int slmi_draw_step(slmi_draw *draw);

struct slmi_draw {
    /* What is wanted; set by the caller before slmi_draw_begin(). The arrays stay until the draw is done. */
    slmi_sampler_settings settings;
    slmi_sampler_scratch *scratch;
    const slmk_table *kernels;
    const float *logits;    /* [V] */
    const int32_t *history; /* [n_history] oldest first */
    size_t n_history;
    const int32_t *tail;    /* [n_tail] more of it, behind the rest; may be NULL if n_tail is 0 */
    size_t n_tail;
    uint64_t number;        /* of this draw, for its random number */
    uint32_t wants_token;   /* 0: only the check for finite logits, and the best tokens */
    uint32_t wants_logprob; /* of the chosen token */
    uint32_t n_top;         /* best tokens wanted */
    int32_t *top_tokens;    /* [n_top] out */
    float *top_logprobs;    /* [n_top] out */

    /* Results. */
    int32_t token;
    float logprob;
    int finite;             /* 0: a logit is infinite or not a number, and there are no results */

    /* The steps of this draw, and where it stands. */
    slmi_draw_step *steps[SLMI_DRAW_STEPS];
    uint32_t n_steps, step;
    size_t at;
    const float *source;    /* logits after penalties */
    float max, penalised_max;
    double sum;             /* of exp(logit - max) */
    slmi_candidates candidates;
};

void slmi_draw_begin(slmi_draw *draw);

/* Does one piece. Returns 1 when the draw is done. */
int slmi_draw_advance(slmi_draw *draw);

/* Drops a draw that is not done, so that its scratch can serve another. */
void slmi_draw_abandon(slmi_draw *draw);

#endif
