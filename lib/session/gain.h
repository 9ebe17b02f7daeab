/* SPDX-License-Identifier: MIT */
/* Whether guesses pay: what batches cost on this machine, and what guesses still may lose. Nothing of this
 * changes what is computed, so it may look at the clock. */
#ifndef SLMI_SESSION_GAIN_H
#define SLMI_SESSION_GAIN_H

#include <stdint.h>

#define SLMI_MOST_GUESSES 64 /* of a batch */
#define SLMI_MOST_WRITING 32 /* sequences that write, beyond which nothing is guessed */
#define SLMI_GAIN_ROWS (SLMI_MOST_GUESSES + SLMI_MOST_WRITING)

/* Zeroed = nothing is known. */
typedef struct slmi_gain {
    float time[SLMI_GAIN_ROWS + 1];      /* ns of a batch of so many single tokens; 0 = unknown */
    uint32_t when[SLMI_GAIN_ROWS + 1];   /* it was measured last, in batches */
    uint32_t n_batches;
    float balance;                       /* what guesses may still lose, in batches */

    /* The batch in progress, and the drafts before it. */
    uint32_t n_rows, n_guesses; /* n_rows = 0: it is not measured */
    uint32_t is_done;
    uint32_t n_accepted;
    uint64_t elapsed;           /* ns */
    uint64_t drafting;          /* ns that were spent on drafts for it */
    uint64_t drafted;           /* ns of the present step that went into drafts */
    uint32_t n_drafted;         /* tokens of each draft */
    float draft_time;           /* ns of a token of a draft; 0 = unknown */
} slmi_gain;

/* A new batch: n_rows tokens, the guesses among them; 0 = of another kind. */
void slmi_gain_begin(slmi_gain *gain, uint32_t n_rows, uint32_t n_guesses);

/* The batch is done, and elapsed is complete. */
void slmi_gain_note(slmi_gain *gain);

/* Time of a batch with n_guesses among its rows in batches of the n_rows alone; 0 = unknown, and then a batch
 * without guesses is due. */
float slmi_gain_cost(const slmi_gain *gain, uint32_t n_rows, uint32_t n_guesses);

/* Time of a draft's token in batches of the n_rows alone; 0 until it was measured. */
float slmi_gain_draft_cost(const slmi_gain *gain, uint32_t n_rows);

#endif
