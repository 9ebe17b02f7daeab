/* SPDX-License-Identifier: MIT */
/* Prompt lookup: an index of runs of tokens that grows with the sequence, and a walk over those like its
 * last. Source: Saxena, "Prompt lookup decoding", 2023. */
#include "session/lookup.h"

#include "base/bytes.h"

#define INDEXED_AT_ONCE 4096 /* some 10 us */
#define LONGEST_WALK 32      /* places that are compared */

uint32_t slmi_lookup_buckets(uint32_t context_length)
{
    uint32_t n = 64;
    while (n < context_length) {
        n *= 2;
    }
    return n;
}

/* Of the run that ends before position `end`. */
static uint32_t *bucket_of(const slmi_lookup *lookup, const int32_t *tokens, uint32_t end)
{
    uint32_t hash = 0;
    for (uint32_t i = end - lookup->least; i < end; i++) {
        hash = (hash ^ (uint32_t)tokens[i]) * UINT32_C(2654435761);
        hash ^= hash >> 15;
    }
    return &lookup->newest[hash & (lookup->n_buckets - 1)];
}

/* The latest entry of a chain that lies before `end`. Entries behind it are left from tokens that went. */
static uint32_t entry_before(const slmi_lookup *lookup, uint32_t entry, uint32_t end)
{
    for (uint32_t i = 0; entry >= end && i < LONGEST_WALK; i++) {
        entry = lookup->before[entry - 1];
    }
    return entry < end ? entry : 0;
}

/* Adds the runs that end before position `end` or earlier; 1 when all are there. */
static int index_tokens(slmi_lookup *lookup, const int32_t *tokens, uint32_t end)
{
    const uint32_t first = slmi_max_u32(lookup->n_indexed + 1, lookup->least);
    const uint32_t last = slmi_min_u32(end, lookup->n_indexed + INDEXED_AT_ONCE);
    for (uint32_t i = first; i <= last; i++) {
        uint32_t *bucket = bucket_of(lookup, tokens, i);
        lookup->before[i - 1] = entry_before(lookup, *bucket, i);
        *bucket = i;
    }
    lookup->n_indexed = slmi_max_u32(lookup->n_indexed, last);
    return lookup->n_indexed >= end;
}

static uint32_t match_length(const int32_t *tokens, uint32_t a, uint32_t b, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && n < a && tokens[a - 1 - n] == tokens[b - 1 - n]) {
        n++;
    }
    return n;
}

uint32_t slmi_lookup_find(slmi_lookup *lookup, const int32_t *tokens, uint32_t n_tokens, uint32_t most,
                          int32_t *guesses, uint32_t n_guesses, uint32_t *n_matched)
{
    uint32_t best = 0, best_end = 0;
    *n_matched = 0;
    if (n_tokens <= lookup->least || !index_tokens(lookup, tokens, n_tokens - 1)) {
        return 0;
    }
    uint32_t entry = entry_before(lookup, *bucket_of(lookup, tokens, n_tokens), n_tokens);
    for (uint32_t i = 0; entry >= lookup->least && best < most && i < LONGEST_WALK; i++) {
        const uint32_t n = match_length(tokens, entry, n_tokens, most);
        if (n > best) {
            best = n;
            best_end = entry;
        }
        entry = entry_before(lookup, lookup->before[entry - 1], entry);
    }
    if (best < lookup->least) {
        return 0;
    }
    for (uint32_t i = 0; i < n_guesses; i++) {
        /* Behind the end come the guesses themselves: a text that repeats does so again. */
        const uint32_t from = best_end + i;
        guesses[i] = from < n_tokens ? tokens[from] : guesses[from - n_tokens];
    }
    *n_matched = best;
    return n_guesses;
}
