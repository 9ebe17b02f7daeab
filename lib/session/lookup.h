/* SPDX-License-Identifier: MIT */
/* Prompt lookup: where the last tokens of a sequence stood before, and what followed there. */
#ifndef SLMI_SESSION_LOOKUP_H
#define SLMI_SESSION_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/* An index of all runs of `least` tokens of a sequence of C tokens, by a hash. Entries may be stale or of
 * other tokens: whoever uses one compares the tokens. */
typedef struct slmi_lookup {
    uint32_t *newest; /* [n_buckets] position behind the latest run with this hash; 0 = none */
    uint32_t *before; /* [C] of the run that ends with a position, the position behind the one before it */
    uint32_t n_buckets; /* a power of two */
    uint32_t least;
    uint32_t n_indexed; /* runs up to here are in the index */
} slmi_lookup;

/* Buckets for sequences of C tokens. */
uint32_t slmi_lookup_buckets(uint32_t context_length);

/* Tokens from position n on have changed or gone. */
static inline void slmi_lookup_forget(slmi_lookup *lookup, uint32_t n)
{
    lookup->n_indexed = n < lookup->n_indexed ? n : lookup->n_indexed;
}

/* Guesses up to n_guesses tokens that follow tokens [n_tokens]; returns how many, and how many tokens at the
 * end matched, `most` at the most. Indexes some thousand new tokens at a time, and guesses nothing before all
 * are indexed. */
uint32_t slmi_lookup_find(slmi_lookup *lookup, const int32_t *tokens, uint32_t n_tokens, uint32_t most,
                          int32_t *guesses, uint32_t n_guesses, uint32_t *n_matched);

#endif
