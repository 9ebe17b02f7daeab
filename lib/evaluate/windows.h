/* SPDX-License-Identifier: MIT */
/* Conventions of perplexity: the windows that a stream of tokens is cut into, and what counts in each. */
#ifndef SLMI_EVALUATE_WINDOWS_H
#define SLMI_EVALUATE_WINDOWS_H

#include "base/error.h"

/* A convention with its numbers. The stream is the text's tokens, behind BOS where the tokenizer adds it. */
typedef struct slmi_convention {
    uint32_t context_length; /* C: tokens of a full window */
    uint32_t stride;         /* from the beginning of a window to that of the next, 1..C */
    uint32_t n_unscored;     /* tokens at the beginning of a window that do not count, 1..C - 1 */
    uint32_t whole_only;     /* 1: the rest of the stream that fills no window is left out */
    uint32_t bos_first;      /* 1: BOS takes the place of a window's first token, if the tokenizer adds it */
    uint32_t counts_all;     /* 1: every token of a text counts, so that bits per byte are defined */
} slmi_convention;

/* Tokens [begin, end) of the stream; [scored, end) count, each after all that stand before it. */
typedef struct slmi_window {
    size_t begin;
    size_t scored;
    size_t end;
} slmi_window;

/* `id` is one of SLM_X_CONVENTION_*, `context_length` and `stride` are the caller's wishes, 0 = the
 * convention's. SLM_ERR_INVALID_ARGUMENT if the model's context or the wishes do not allow it. */
slm_status slmi_convention_init(slmi_convention *convention, uint32_t id, uint32_t context_length,
                                uint32_t stride, uint32_t model_context, slm_error *err);

/* Moves on to the next window of a stream of n tokens; a zeroed window begins. Returns 0 at the end. */
int slmi_window_next(const slmi_convention *convention, size_t n, slmi_window *window);

#endif
