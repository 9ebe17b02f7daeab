/* SPDX-License-Identifier: MIT */
/* Guesses of a sequence's next tokens: those under way, and how often guesses came true. */
#ifndef SLMI_SESSION_SPECULATE_H
#define SLMI_SESSION_SPECULATE_H

#include "session/gain.h"
#include "session/lookup.h"
#include "slm/experimental/speculate.h"

#define SLMI_SPECULATE_OFF UINT32_MAX /* nobody asked for it */
#define SLMI_MATCH_CLASSES 5          /* lengths of a match: 1, 2..3, 4..7, 8..15, 16.. */

/* What a sequence was asked for, with defaults filled in. */
typedef struct slmi_speculate_settings {
    uint32_t method; /* SLM_X_GUESS_* or SLMI_SPECULATE_OFF */
    uint32_t flags;
    uint32_t most_tokens;
    uint32_t least_match, most_match;
} slmi_speculate_settings;

typedef struct slmi_speculation {
    slmi_speculate_settings settings;
    slmi_lookup lookup;

    /* Guesses for the batch in progress, or beside it: those that are not taken show whether they would have
     * come true. */
    int32_t *guesses;    /* [n_guesses of the session] */
    uint32_t n_found;
    uint32_t n_taken;    /* rows of the batch */
    uint32_t n_right;    /* that came true so far, one after the other */
    uint32_t is_wrong;   /* the next one did not */
    uint32_t length;     /* of the match */
    uint32_t spare;      /* 1 + number of the spare page that the guesses go on in; 0 = none */
    uint32_t spare_page; /* which page of the sequence it is */
    uint32_t n_idle;     /* batches without a draft, since drafts do not pay */

    /* How often a guess came true, by the length of its match. */
    float share[SLMI_MATCH_CLASSES];
    uint32_t n_seen[SLMI_MATCH_CLASSES];

    uint64_t n_tokens, n_batches, n_guessed, n_accepted;
} slmi_speculation;

struct slm_session;
struct slmi_sequence;
struct slmi_wanted;

slm_status slmi_speculation_set(struct slm_session *session, struct slmi_sequence *sequence,
                                const slm_x_speculate_options *options, slm_error *err);
void slmi_speculation_get(const struct slm_session *session, const struct slmi_sequence *sequence,
                          slm_x_speculation *result);

/* As of a new sequence, or of a fork. */
void slmi_speculation_reset(slmi_speculation *speculation);
void slmi_speculation_copy(slmi_speculation *copy, const slmi_speculation *source);

/* Finds guesses for the batch that is about to be made of session->ready [n_ready], and decides which of them
 * it takes. */
void slmi_speculation_plan(struct slm_session *session, uint32_t n_ready, uint32_t n_writing);

/* How many tokens the draft model is to write ahead of a sequence, while n_writing sequences write. */
uint32_t slmi_speculation_drafts(struct slm_session *session, struct slmi_sequence *sequence,
                                 uint32_t n_writing);

/* A token was drawn and appended. */
void slmi_speculation_note(struct slm_session *session, struct slmi_sequence *sequence, int32_t token);

/* 1 if the guess in a row came true, so that what was drawn after it counts; its keys and values are then
 * part of the sequence. */
int slmi_speculation_holds(struct slm_session *session, struct slmi_sequence *sequence,
                           const struct slmi_wanted *wanted);

#endif
