/* SPDX-License-Identifier: MIT */
/* A session that writes given tokens: before a row of logits is drawn from, the one that is wanted there is
 * made the likeliest by far. So texts that no tiny or random model would write take the ordinary way. */
#ifndef SLM_TESTS_FOLLOW_H
#define SLM_TESTS_FOLLOW_H

#include <stdint.h>

#include "session/session.h"

/* The token wanted at a position of the sequence with an index, from 0 on in the order of their adding; -1 =
 * as the model has it. Any worker may ask. */
typedef int32_t follow_fn(const void *ctx, uint32_t sequence, uint32_t position);

/* Makes all sequences of a session follow. Several sessions can do so one after the other; the last one
 * counts. */
void follow(slm_session *session, follow_fn *wanted, const void *ctx);

#endif
