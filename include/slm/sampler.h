/* SPDX-License-Identifier: MIT */
/* Choosing the next token from logits. */
#ifndef SLM_SAMPLER_H
#define SLM_SAMPLER_H

#include "slm/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Settings for choosing tokens, and the scratch memory to do it. Confined.
 *
 * The order of the steps is fixed: penalties, temperature 0 means the largest logit (ties: the
 * lowest id), otherwise top-k, top-p, min-p, temperature, draw. Randomness is counter-based: draw n
 * depends on (seed, n) alone, so the same seed and position give the same token after a restore, on
 * every processor, with any number of threads.
 */
typedef struct slm_sampler slm_sampler;

/** Parameters; type, range and default are told by slm_sampler_get_param_info(). */
enum {
    SLM_SAMPLER_TEMPERATURE = 1, /**< f32; 0 = greedy; default 0.8 */
    SLM_SAMPLER_TOP_K = 2,       /**< u32; keep the k largest; 0 = all; default 40 */
    SLM_SAMPLER_TOP_P = 3,       /**< f32; keep the most probable that sum to p; 1 = all; default 0.95 */
    SLM_SAMPLER_MIN_P = 4,       /**< f32; drop below p times the largest probability; 0 = none;
                                      default 0.05 */
    SLM_SAMPLER_SEED = 5,        /**< u32; default 0 */
    SLM_SAMPLER_REPETITION_PENALTY = 16, /**< f32; positive logits divided by, negative times this;
                                              1 = off; default 1 */
    SLM_SAMPLER_FREQUENCY_PENALTY = 17,  /**< f32; subtracted once per occurrence; 0 = off; default 0 */
    SLM_SAMPLER_PRESENCE_PENALTY = 18,   /**< f32; subtracted if present; 0 = off; default 0 */
    SLM_SAMPLER_PENALTY_LAST_N = 19      /**< u32; tokens of history that the penalties see; 0 = none;
                                              4294967295 = all; default 64 */
};

/** Types of a parameter. */
enum { SLM_PARAM_F32 = 1, SLM_PARAM_U32 = 2 };

/** What a parameter takes. */
typedef struct slm_param_info {
    uint32_t struct_size;  /**< sizeof(slm_param_info), set by the caller */
    uint32_t type;         /**< SLM_PARAM_F32 or SLM_PARAM_U32 */
    double minimum;        /**< smallest value accepted */
    double maximum;        /**< largest value accepted */
    double default_value;  /**< value at creation */
    const char *name;      /**< for example "top_k"; static */
    const void *reserved0; /**< NULL */
} slm_param_info;

#define SLM_PARAM_INFO_INIT { sizeof(slm_param_info), 0, 0, 0, 0, NULL, NULL }

/**
 * Creates a sampler with default settings.
 *
 * @param n_vocab  vocabulary size, 1 .. 2^24.
 * @param host     [in] allocator and log; NULL = defaults; copied.
 * @param sampler  [out] to be released with slm_sampler_release(); NULL unless SLM_OK.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT; SLM_ERR_OUT_OF_MEMORY.
 *
 * Threads: shared. Memory: about 12 bytes per vocabulary entry; sampling itself allocates nothing.
 * Since: 0.1
 */
SLM_API slm_status slm_sampler_create(uint32_t n_vocab, const slm_host *host, slm_sampler **sampler,
                                      slm_error *err);

/** Frees a sampler. NULL does nothing. Threads: confined. Since: 0.1 */
SLM_API void slm_sampler_release(slm_sampler *sampler);

/**
 * Sets a parameter of type f32.
 *
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT (no such parameter, another type, or NaN);
 *         SLM_ERR_OUT_OF_RANGE. The sampler is unchanged on error.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_sampler_set_f32(slm_sampler *sampler, uint32_t param, float value,
                                       slm_error *err);

/** Sets a parameter of type u32. @return as slm_sampler_set_f32(). Threads: confined. Since: 0.1 */
SLM_API slm_status slm_sampler_set_u32(slm_sampler *sampler, uint32_t param, uint32_t value,
                                       slm_error *err);

/**
 * Reads a parameter of type f32.
 *
 * @param value  [out] not NULL.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT (no such parameter, or of another type).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_sampler_get_f32(const slm_sampler *sampler, uint32_t param, float *value,
                                       slm_error *err);

/**
 * Reads a parameter of type u32.
 *
 * @param value  [out] not NULL.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT (no such parameter, or of another type).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_sampler_get_u32(const slm_sampler *sampler, uint32_t param, uint32_t *value,
                                       slm_error *err);

/**
 * Describes the parameter at a 0-based index, for user interfaces and bindings.
 *
 * @param index  0, 1, ...
 * @param param  [out] the SLM_SAMPLER_* id; may be NULL.
 * @param info   [out] filled up to info->struct_size; may be NULL.
 * @return SLM_OK; SLM_END (no more parameters); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_sampler_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
                                              slm_error *err);

/**
 * Chooses a token.
 *
 * @param logits     [in] float32 [n_vocab] of the sampler's creation, finite, not normalised.
 * @param history    [in] int32 [n_history] tokens so far, oldest first, for the penalties; ids
 *                   outside the vocabulary are ignored; may be NULL when n_history is 0.
 * @param draw       number of this draw; the position in the sequence serves well.
 * @param token      [out] the chosen id; not NULL.
 * @param logprob    [out] natural logarithm of the token's probability under the logits as given,
 *                   before penalties and temperature; may be NULL.
 * @return SLM_OK; SLM_ERR_NOT_FINITE (a logit is infinite or not a number);
 *         SLM_ERR_INVALID_ARGUMENT. *token is unchanged on error.
 *
 * Threads: confined. Memory: none. Cost: O(n_vocab). Numbers: exact, the same everywhere. Since: 0.1
 */
SLM_API slm_status slm_sampler_sample(slm_sampler *sampler, const float *logits,
                                      const int32_t *history, size_t n_history, uint64_t draw,
                                      int32_t *token, float *logprob, slm_error *err);

/**
 * Finds the most probable tokens and their log-probabilities under the logits as given.
 *
 * @param logits    [in] float32 [n_vocab], as slm_sampler_sample().
 * @param n         how many, at most min(n_vocab, 256).
 * @param tokens    [out] int32 [n], most probable first, ties by lower id.
 * @param logprobs  [out] float32 [n], natural logarithms.
 * @return SLM_OK; SLM_ERR_NOT_FINITE; SLM_ERR_OUT_OF_RANGE (n); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_sampler_get_top(slm_sampler *sampler, const float *logits, uint32_t n,
                                       int32_t *tokens, float *logprobs, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
