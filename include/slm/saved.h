/* SPDX-License-Identifier: MIT */
/* Saved sequences: blobs that later sessions and versions read. */
#ifndef SLM_SAVED_H
#define SLM_SAVED_H

#include "slm/prefix.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What a blob keeps of the cache. */
enum {
    SLM_SAVE_CACHE = 0,  /**< the cache as the session has it; restoring gives the same bits */
    SLM_SAVE_Q8 = 1,     /**< rounded to 8 bits, as SLM_KV_Q8 */
    SLM_SAVE_Q4 = 2,     /**< rounded to 4 bits, as SLM_KV_Q4 */
    SLM_SAVE_TOKENS = 3  /**< the token ids alone: the steps after restoring compute them, with the same
                              bits if the cache was neither shifted nor rounded since; not for a sequence
                              whose window has hidden tokens */
};

/** How to save a sequence. */
typedef struct slm_save_options {
    uint32_t struct_size; /**< sizeof(slm_save_options) */
    uint32_t form;        /**< SLM_SAVE_* */
    uint32_t whole;       /**< 0: relative to the slm_prefix that the sequence began with, if it did and still
                               does; 1: the prefix's tokens and cache too */
    uint32_t reserved0;   /**< 0 */
} slm_save_options;

#define SLM_SAVE_OPTIONS_INIT { sizeof(slm_save_options), 0, 0, 0 }

/**
 * Writes a sequence (tokens, cache, parameters; neither sampler nor generation) as a checksummed blob,
 * which this and all later versions of the library read, on any processor.
 *
 * @param options   [in] NULL = defaults.
 * @param blob      [out] [capacity] bytes; may be NULL when capacity is 0.
 * @param length    [out] bytes needed, also when they do not fit; not NULL.
 * @return SLM_OK; SLM_ERR_BUFFER_TOO_SMALL (*length = needed); SLM_ERR_STALE_ID; SLM_ERR_STATE
 *         (SLM_SAVE_TOKENS, and a window has hidden tokens); SLM_ERR_LIMIT (more bytes than can be
 *         addressed, on 32-bit systems); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Cost: a copy of the cache. Numbers: another type than the session's
 * rounds; the cost in perplexity stands in docs/evaluation.md. Since: 0.1
 */
SLM_API slm_status slm_session_save_sequence(const slm_session *session, slm_sequence sequence,
                                             const slm_save_options *options, void *blob,
                                             size_t capacity, size_t *length, slm_error *err);

/**
 * Adds a sequence from a blob. All or nothing: on error the session is as it was.
 *
 * @param blob      [in] what slm_session_save_sequence() wrote, by this or an older version.
 * @param prefix    [in] the prefix that the blob was saved relative to (slm_saved_get_info() tells its
 *                  name); NULL for a whole blob. Prefixes are compared by model, tokens and cache type, not
 *                  by name.
 * @param sequence  [out] the new sequence; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_FORMAT, SLM_ERR_TRUNCATED, SLM_ERR_CHECKSUM (damaged; offset says where);
 *         SLM_ERR_MISMATCH (another model, told by its shape and samples of its weights; no prefix or
 *         another one; in a blob of format 1 another cache type); SLM_ERR_UNSUPPORTED (written by a newer
 *         version); SLM_ERR_CONTEXT_FULL; SLM_ERR_BUDGET (sequences or pages used up);
 *         SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Numbers: the same bits if the blob has the session's cache type.
 * Since: 0.1
 */
SLM_API slm_status slm_session_restore_sequence(slm_session *session, const void *blob, size_t length,
                                                slm_prefix *prefix, slm_sequence *sequence,
                                                slm_error *err);

/** What a blob holds, told without a session. */
typedef struct slm_saved_info {
    uint32_t struct_size;      /**< sizeof(slm_saved_info), set by the caller */
    uint32_t format;           /**< version of the blob's format */
    uint32_t kv_type;          /**< SLM_KV_* of the cache in it; meaningless when n_cached is 0 */
    uint32_t n_tokens;         /**< tokens of the sequence, the prefix's too */
    uint32_t n_cached;         /**< tokens whose cache is in the blob */
    uint32_t n_prefix_tokens;  /**< tokens of the prefix that it is relative to; 0 = none */
    uint64_t model;            /**< identity of the model: equal for equal models */
    char prefix[SLM_PREFIX_NAME_BYTES + 1]; /**< that prefix's name, NUL-terminated; "" = none */
} slm_saved_info;

#define SLM_SAVED_INFO_INIT { sizeof(slm_saved_info), 0, 0, 0, 0, 0, 0, { 0 } }

/**
 * Describes a blob, after checking it as far as that goes without the model.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_FORMAT, SLM_ERR_TRUNCATED, SLM_ERR_CHECKSUM (offset says where);
 *         SLM_ERR_UNSUPPORTED (written by a newer version); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_saved_get_info(const void *blob, size_t length, slm_saved_info *info,
                                      slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
