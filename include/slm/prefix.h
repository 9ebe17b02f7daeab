/* SPDX-License-Identifier: MIT */
/* Shared prefixes: computed tokens that many sequences begin with. */
#ifndef SLM_PREFIX_H
#define SLM_PREFIX_H

#include "slm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Computed tokens that many sequences begin with, for example a persona or a world description: stored
 * once, used by any number of sequences in any session of the model with the same cache type. Immutable,
 * reference-counted, shared.
 */
typedef struct slm_prefix slm_prefix;

/** Longest name of a prefix in bytes. */
#define SLM_PREFIX_NAME_BYTES 63

/**
 * Makes a prefix of all tokens of a sequence, which stays as it is.
 *
 * Lengths that are multiples of 64 share best: of a last page that is not full every user keeps a copy.
 *
 * @param sequence  [in] at least one token, all of them computed, without a window.
 * @param name      [in] NUL-terminated UTF-8, 1..63 bytes: saved sequences tell by it what they begin with.
 * @param prefix    [out] to be released with slm_prefix_release(); NULL unless SLM_OK.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_STATE (no token, tokens that are not computed yet, a window);
 *         SLM_ERR_INVALID_UTF8; SLM_ERR_OUT_OF_MEMORY; SLM_ERR_INVALID_ARGUMENT.
 *
 * Ownership: the caller holds one reference; session and model may end before the prefix. Threads: confined
 * (session). Memory: the sequence's cache, from the model's allocator. Since: 0.1
 */
SLM_API slm_status slm_prefix_create(const slm_session *session, slm_sequence sequence, const char *name,
                                     slm_prefix **prefix, slm_error *err);

/** Adds a reference. @return the same prefix. Threads: shared. Since: 0.1 */
SLM_API slm_prefix *slm_prefix_retain(slm_prefix *prefix);

/** Gives a reference back; sequences that use the prefix keep their own. NULL does nothing. Threads: shared.
 *  Since: 0.1 */
SLM_API void slm_prefix_release(slm_prefix *prefix);

/** What a prefix is. */
typedef struct slm_prefix_info {
    uint32_t struct_size;  /**< sizeof(slm_prefix_info), set by the caller */
    uint32_t n_tokens;     /**< tokens */
    uint32_t kv_type;      /**< SLM_KV_* */
    uint32_t reserved0;    /**< 0 */
    uint64_t memory_bytes; /**< bytes that it takes */
    const char *name;      /**< NUL-terminated; lives as long as the prefix */
    const int32_t *tokens; /**< [n_tokens]; live as long as the prefix */
} slm_prefix_info;

#define SLM_PREFIX_INFO_INIT { sizeof(slm_prefix_info), 0, 0, 0, 0, NULL, NULL }

/**
 * Describes a prefix.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_prefix_get_info(const slm_prefix *prefix, slm_prefix_info *info, slm_error *err);

/**
 * Begins an empty sequence with a prefix, at no cost but a copy of its last page if that is not full.
 * Results are those of a sequence that computed the tokens itself.
 *
 * @param sequence  without tokens and without a window.
 * @param prefix    [in] of the session's model and cache type; the sequence keeps a reference.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_STATE (the sequence has tokens or a window);
 *         SLM_ERR_MISMATCH (another model or cache type); SLM_ERR_CONTEXT_FULL; SLM_ERR_BUDGET
 *         (pool_tokens is used up); SLM_ERR_INVALID_ARGUMENT. On error nothing changed.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_append_prefix(slm_session *session, slm_sequence sequence,
                                             slm_prefix *prefix, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
