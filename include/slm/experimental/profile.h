/* SPDX-License-Identifier: MIT */
/* Experimental: where the time of a session goes, and what was computed and read in it. */
#ifndef SLM_EXPERIMENTAL_PROFILE_H
#define SLM_EXPERIMENTAL_PROFILE_H

#ifndef SLM_EXPERIMENTAL
#error "this header may change in any release; define SLM_EXPERIMENTAL to use it all the same"
#endif

#include "slm/base.h"
#include "slm/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What the ops of a stage mostly are. */
enum {
    SLM_X_STAGE_ROWS = 0,      /**< ops that work row by row: norms, rope, sums, rounding, storing keys */
    SLM_X_STAGE_MATMUL = 1,    /**< products with matrices of weights */
    SLM_X_STAGE_ATTENTION = 2  /**< attention over the cache */
};

/**
 * One stage of a session: ops of the model that run together, on all workers. Stages run one after the
 * other, so their times add up to the time in which the model was computed. Drawing tokens is no stage.
 */
typedef struct slm_x_stage_profile {
    uint32_t struct_size;      /**< sizeof(slm_x_stage_profile), set by the caller */
    uint32_t kind;             /**< SLM_X_STAGE_* */
    uint64_t n_runs;           /**< batches that finished the stage */
    uint64_t nanoseconds;      /**< by the clock on the wall, from the stage's beginning to its end */
    uint64_t integer_products; /**< multiplications of 8-bit integers, each with an addition */
    uint64_t float_products;   /**< multiplications of float32, each with an addition; exponentials and
                                    the like are not counted */
    uint64_t weight_bytes;     /**< weights that had to be read, as they lie in memory */
    uint64_t cache_bytes;      /**< keys and values that had to be read or were written */
    const char *name;          /**< what the stage makes, for example "blk.3: attn_q, attn_k, attn_v"; NUL-
                                    terminated, valid until the next call on the session */
} slm_x_stage_profile;

#define SLM_X_STAGE_PROFILE_INIT { sizeof(slm_x_stage_profile), 0, 0, 0, 0, 0, 0, 0, NULL }

/**
 * Begins to profile a session, from zero if it did already, or stops it.
 *
 * Products and bytes come from the ops' own cost functions, with what each batch really held. The time is
 * the session's clock (slm_host), read once for each stage of a batch, so that a profiled session is as
 * fast as any other. Results do not change.
 *
 * @param enabled  1 to begin, 0 to stop and drop what was counted.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT; SLM_ERR_OUT_OF_MEMORY, SLM_ERR_BUDGET (nothing changed);
 *         SLM_ERR_BUSY (called from a callback).
 *
 * Threads: confined. Memory: less than 100 bytes for each stage while it is on, some 7 stages a layer.
 * Since: 0.1
 */
SLM_API slm_status slm_x_session_set_profiling(slm_session *session, uint32_t enabled, slm_error *err);

/**
 * Tells what one stage has done since profiling began.
 *
 * @param index    0-based, in the order in which stages run.
 * @param profile  [out] filled up to profile->struct_size.
 * @return SLM_OK; SLM_END (index is past the last stage); SLM_ERR_STATE (the session is not profiled);
 *         SLM_ERR_INVALID_ARGUMENT; SLM_ERR_BUSY (called from a callback).
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_x_session_get_stage_profile(slm_session *session, uint32_t index,
                                                   slm_x_stage_profile *profile, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
