/* SPDX-License-Identifier: MIT */
/* Guesses of a smaller model: a session of its own beside the one that it guesses for, with its workers. */
#ifndef SLMI_SESSION_DRAFT_H
#define SLMI_SESSION_DRAFT_H

#include "model/model.h"
#include "slm/session.h"

struct slmi_sequence;

/* Fails with SLM_ERR_MISMATCH unless both have the same tokens and begin texts alike; `other` is called by
 * `name` in messages. */
slm_status slmi_check_vocabulary(const slm_model *model, const slm_model *other, const char *name,
                                 slm_error *err);

/* Options of the draft model's session beside one with these options and this context. */
slm_session_options slmi_draft_options(const slm_session_options *options, uint32_t context_length);

/* Adds a sequence of the draft model for each of the session's. They stay. */
slm_status slmi_draft_begin(slm_session *session, slm_error *err);

/* Goes on writing drafts for the sequences that are about to write, where that pays, until there are enough
 * (1) or the deadline is past (0). */
int slmi_draft_run(slm_session *session, uint64_t deadline);

/* Drafts of what follows a sequence's tokens, up to n_guesses; how many there are. */
uint32_t slmi_draft_find(const slm_session *session, const struct slmi_sequence *sequence, int32_t *guesses,
                         uint32_t n_guesses);

#endif
