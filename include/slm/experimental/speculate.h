/* SPDX-License-Identifier: MIT */
/* Experimental: guessing the next tokens and checking several at once, which changes nothing but time. */
#ifndef SLM_EXPERIMENTAL_SPECULATE_H
#define SLM_EXPERIMENTAL_SPECULATE_H

#ifndef SLM_EXPERIMENTAL
#error "this header may change in any release; define SLM_EXPERIMENTAL to use it all the same"
#endif

#include "slm/base.h"
#include "slm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where guesses come from. */
enum {
    SLM_X_GUESS_LOOKUP = 0, /**< the sequence's own tokens: what followed when its last ones stood there
                                 before. For answers that quote, edit or repeat */
    SLM_X_GUESS_NONE = 1,   /**< nowhere: the sequence is written token by token */
    SLM_X_GUESS_DRAFT = 2   /**< the session's draft_model: its likeliest tokens. It reads what the sequence
                                 holds, in steps that take as much longer */
};

/** Bits for slm_x_speculate_options. */
enum {
    SLM_X_SPECULATE_ALWAYS = 1 /**< guess even where it costs time: for measurements and tests */
};

/** How to guess for a sequence. */
typedef struct slm_x_speculate_options {
    uint32_t struct_size;  /**< sizeof(slm_x_speculate_options) */
    uint32_t method;       /**< SLM_X_GUESS_* */
    uint32_t flags;        /**< SLM_X_SPECULATE_* bits */
    uint32_t most_tokens;  /**< guesses for a batch at most, up to the session's n_guesses; 0 = those */
    uint32_t least_match;  /**< LOOKUP: last tokens that must be the same, 1..16; 0 = 2 */
    uint32_t most_match;   /**< LOOKUP: last tokens that are compared, least_match..64; 0 = 32. The longest
                                match counts, and of equal ones the latest */
} slm_x_speculate_options;

#define SLM_X_SPECULATE_OPTIONS_INIT { sizeof(slm_x_speculate_options), 0, 0, 0, 0, 0 }

/**
 * Has the steps that follow guess what a sequence writes next. A batch computes the guesses together with the
 * token before them; the sequence's sampler draws after each as it would without, and where it draws
 * another token than was guessed, the rest is dropped. Tokens, events, log-probabilities and what is saved
 * are the same, bit for bit, as without guesses; only a step may tell of several tokens of a sequence. What a
 * host changes between two steps counts from the next token on.
 *
 * Guesses are taken only while they pay: the session measures what they cost on this machine and how often
 * they are right, also of those that it does not take, and a wrong one more or less costs at most a percent
 * or two over time. They are not taken while a batch computes appended text. A fork guesses as its source.
 *
 * The session must have been created with n_guesses. With a pool of cache that is used up, which of several
 * sequences meets its end first can depend on their pace.
 *
 * @param options  [in] NULL = defaults; copied.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_STATE (the session was created without n_guesses, or without a
 *         draft_model); SLM_ERR_BUSY; SLM_ERR_INVALID_ARGUMENT. On error nothing changed.
 *
 * Threads: confined. Memory: none. Cost: some microseconds a token. Numbers: exact. Source: Leviathan et al.,
 * "Fast inference from transformers via speculative decoding", 2023, and Saxena, "Prompt lookup decoding",
 * 2023. Since: 0.1
 */
SLM_API slm_status slm_x_session_speculate(slm_session *session, slm_sequence sequence,
                                           const slm_x_speculate_options *options, slm_error *err);

/** What came of it, since the sequence was added. */
typedef struct slm_x_speculation {
    uint32_t struct_size;  /**< sizeof(slm_x_speculation), set by the caller */
    uint32_t is_on;        /**< 1: the last batch of the sequence had guesses */
    uint64_t n_tokens;     /**< tokens that it wrote since it guesses */
    uint64_t n_batches;    /**< batches that had guesses */
    uint64_t n_guessed;    /**< guesses in them */
    uint64_t n_accepted;   /**< of those, the ones that came true */
    double row_cost;       /**< what a batch with one guess costs on this machine, in batches without; 0 while
                                unknown */
} slm_x_speculation;

#define SLM_X_SPECULATION_INIT { sizeof(slm_x_speculation), 0, 0, 0, 0, 0, 0 }

/**
 * Tells how guesses for a sequence went.
 *
 * @param result  [out] filled up to result->struct_size.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_BUSY; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_x_session_get_speculation(slm_session *session, slm_sequence sequence,
                                                 slm_x_speculation *result, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
