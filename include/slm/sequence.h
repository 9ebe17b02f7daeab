/* SPDX-License-Identifier: MIT */
/* Sequences of a session: their tokens, copies, parameters and room. */
#ifndef SLM_SEQUENCE_H
#define SLM_SEQUENCE_H

#include "slm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Adds an empty sequence.
 *
 * @param sequence  [out] its id; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_BUDGET (n_sequences exist already); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_add_sequence(slm_session *session, slm_sequence *sequence,
                                            slm_error *err);

/**
 * Adds a sequence that begins as a copy of another: tokens, cache, sampler and parameters. Full pages
 * of the cache are shared, not copied, so a prefix is stored once. The copy has no generation in progress.
 *
 * @param source    [in] an existing sequence.
 * @param sequence  [out] the copy's id; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_BUDGET (sequences or pages used up).
 *
 * Threads: confined. Cost: pages that the copy writes next are copied at once, so that a full pool shows
 * here: one at most, and those of tokens that are not computed yet. Since: 0.1
 */
SLM_API slm_status slm_session_fork_sequence(slm_session *session, slm_sequence source,
                                             slm_sequence *sequence, slm_error *err);

/** Removes a sequence; its id becomes stale. @return SLM_OK; SLM_ERR_STALE_ID. Threads: confined.
 *  Since: 0.1 */
SLM_API slm_status slm_session_remove_sequence(slm_session *session, slm_sequence sequence,
                                               slm_error *err);

/** Bits for slm_session_append(). */
enum {
    SLM_APPEND_LOGITS = 1 /**< deliver an SLM_EVENT_LOGITS for each of these tokens */
};

/**
 * Appends tokens to a sequence; they are computed by the steps that follow, and so is a last token that a
 * generation wrote, which nobody asked for until then. A generation in progress on the sequence ends first,
 * without an event.
 *
 * @param tokens    [in] int32 [n_tokens], ids in [0, n_vocab).
 * @param flags     0 or SLM_APPEND_LOGITS.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE (an id is not in the vocabulary; offset = its
 *         index); SLM_ERR_CONTEXT_FULL (more than fit); SLM_ERR_BUDGET (pool_tokens is used up);
 *         SLM_ERR_INVALID_ARGUMENT. On error nothing was appended.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_append(slm_session *session, slm_sequence sequence,
                                      const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                      slm_error *err);

/**
 * Encodes text and appends its tokens.
 *
 * @param text   [in] UTF-8 [length].
 * @param flags  SLM_TEXT_* bits; SLM_TEXT_ADD_SPECIAL has an effect only on an empty sequence.
 * @return as slm_tokenizer_encode(), but SLM_ERR_CONTEXT_FULL if the ids do not fit, and as
 *         slm_session_append(); nothing was appended on error.
 *
 * Threads: confined. Memory: scratch during the call. Since: 0.1
 */
SLM_API slm_status slm_session_append_text(slm_session *session, slm_sequence sequence,
                                           const char *text, size_t length, uint32_t flags,
                                           slm_error *err);

/**
 * Gives a sequence a copy of a sampler's settings. Without this call a sequence has the defaults of
 * slm_sampler_create().
 *
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_INVALID_ARGUMENT (NULL, or another vocabulary size).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_set_sampler(slm_session *session, slm_sequence sequence,
                                           const slm_sampler *sampler, slm_error *err);

/** What a generation does when its context is full; values of SLM_SEQUENCE_FULL. */
enum {
    SLM_FULL_END = 0,   /**< it ends: SLM_DONE_CONTEXT_FULL */
    SLM_FULL_SHIFT = 1, /**< the oldest tokens behind the first SLM_SEQUENCE_KEEP ones are dropped as by
                             slm_session_replace(SLM_REPLACE_SHIFT), with an SLM_EVENT_SHIFT */
    SLM_FULL_WAIT = 2   /**< it waits, with an SLM_EVENT_FULL: the host drops tokens or puts a summary in
                             their place with slm_session_replace(), and it goes on */
};

/** Parameters of a sequence, all u32; ranges and defaults are told by slm_session_get_param_info(). */
enum {
    SLM_SEQUENCE_PRIORITY = 1, /**< larger goes first; 0..255; default 0 */
    SLM_SEQUENCE_FULL = 2,     /**< SLM_FULL_*; default SLM_FULL_END */
    SLM_SEQUENCE_KEEP = 3,     /**< SLM_FULL_SHIFT: tokens at the beginning that stay; default 4 */
    SLM_SEQUENCE_DROP = 4,     /**< SLM_FULL_SHIFT: tokens to drop at a time; 0 = half of those that do not
                                    stay, rounded up to 64; default 0 */
    SLM_SEQUENCE_WINDOW = 5,   /**< attention sees this many tokens back, counted from the beginning of a page
                                    of 64, and the sinks; older pages of the cache are given back;
                                    0 = all; default 0. Only while nothing is computed yet */
    SLM_SEQUENCE_SINKS = 6     /**< tokens at the beginning that a window never hides, rounded up to 64;
                                    default 64. Only while nothing is computed yet */
};

/**
 * Sets a parameter of a sequence.
 *
 * @param param  SLM_SEQUENCE_*.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE; SLM_ERR_STATE (a window or sinks, and the sequence
 *         has computed tokens); SLM_ERR_INVALID_ARGUMENT (no such parameter). On error nothing changed.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_set_u32(slm_session *session, slm_sequence sequence, uint32_t param,
                                       uint32_t value, slm_error *err);

/**
 * Reads a parameter of a sequence.
 *
 * @param value  [out] not NULL.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_INVALID_ARGUMENT (no such parameter).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_get_u32(const slm_session *session, slm_sequence sequence,
                                       uint32_t param, uint32_t *value, slm_error *err);

/**
 * Describes the sequence parameter at a 0-based index, for user interfaces and bindings.
 *
 * @param index  0, 1, ...
 * @param param  [out] the SLM_SEQUENCE_* id; may be NULL.
 * @param info   [out] filled up to info->struct_size; may be NULL.
 * @return SLM_OK; SLM_END (no more parameters); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_session_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
                                              slm_error *err);

/** State of a sequence. */
typedef struct slm_sequence_info {
    uint32_t struct_size;   /**< sizeof(slm_sequence_info), set by the caller */
    uint32_t n_tokens;      /**< tokens in the sequence, computed or not */
    uint32_t n_computed;    /**< tokens whose cache is there */
    uint32_t is_generating; /**< 1 while a generation is in progress */
    const int32_t *tokens;  /**< [n_tokens], valid until the next call that changes the session */
    uint32_t n_pages;       /**< pages of 64 tokens that it holds, shared ones and a prefix's too */
    uint32_t n_prefix_tokens; /**< tokens at the beginning that lie in a slm_prefix */
} slm_sequence_info;

#define SLM_SEQUENCE_INFO_INIT { sizeof(slm_sequence_info), 0, 0, 0, NULL, 0, 0 }

/**
 * Describes a sequence.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_get_sequence_info(const slm_session *session, slm_sequence sequence,
                                                 slm_sequence_info *info, slm_error *err);

/**
 * Cuts a sequence back to its first n_tokens tokens, for example to answer a changed question. A
 * generation in progress on it ends without an event.
 *
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE (more than the sequence has); SLM_ERR_BUDGET (the
 *         sequence's window has hidden tokens, all must be computed again, and pool_tokens is used up). On
 *         error nothing changed.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_truncate_sequence(slm_session *session, slm_sequence sequence,
                                                 uint32_t n_tokens, slm_error *err);

/** Bits for slm_session_replace(). */
enum {
    /** Keep the cache of the tokens behind: their keys are turned to their new positions instead of being
     *  computed again. Far cheaper, but what was written in the sight of the removed tokens remembers them:
     *  later results are near, not equal, to those of a sequence that never had them. */
    SLM_REPLACE_SHIFT = 1
};

/**
 * Replaces tokens [first, first + n_removed) by others: drops old talk, or puts a summary in its place. A
 * generation in progress goes on, with the room that there is now.
 *
 * Without flags all tokens from `first` on (all tokens, if a window has hidden some) are computed again by
 * the steps that follow, and results are those of a sequence that was written so from the start. With
 * SLM_REPLACE_SHIFT keys are on the move until a step returns SLM_OK; if the sequence is replaced in again or
 * truncated before that, and in a fork or a blob of it, what has not arrived is computed again instead.
 *
 * @param first      0-based position.
 * @param n_removed  tokens to remove. With SLM_REPLACE_SHIFT, once a window has hidden tokens, they are a
 *                   multiple of 64, and `first` lies at the end of the sinks, or behind it and they are all
 *                   hidden.
 * @param tokens     [in] int32 [n_tokens], ids in [0, n_vocab); may be NULL when n_tokens is 0.
 * @param n_tokens   tokens to insert; 0 with SLM_REPLACE_SHIFT.
 * @param flags      0 or SLM_REPLACE_SHIFT.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE (the range lies outside the sequence, or a token
 *         outside the vocabulary: offset = its index); SLM_ERR_CONTEXT_FULL; SLM_ERR_BUDGET (pool_tokens is
 *         used up); SLM_ERR_STATE (nothing would be left while it generates); SLM_ERR_INVALID_ARGUMENT (also:
 *         tokens to insert with SLM_REPLACE_SHIFT, or a window that would come to see what it has hidden). On
 *         error nothing changed.
 *
 * Threads: confined. Memory: none. Cost: the keys are turned by the steps that follow, within their budget.
 * Source: Xiao et al., "Efficient streaming language models with attention sinks", 2023. Since: 0.1
 */
SLM_API slm_status slm_session_replace(slm_session *session, slm_sequence sequence, uint32_t first,
                                       uint32_t n_removed, const int32_t *tokens, size_t n_tokens,
                                       uint32_t flags, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
