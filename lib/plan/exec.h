/* SPDX-License-Identifier: MIT */
/* The executor: runs an executable plan over a batch, tile by tile, on a pool of workers.
 *
 * Its state is (stage, tiles done). A tile is done whole or not at all, so a run can stop anywhere and
 * go on later; tile borders depend on the batch alone, never on the number of workers. */
#ifndef SLMI_PLAN_EXEC_H
#define SLMI_PLAN_EXEC_H

#include "base/pool.h"
#include "plan/lower.h"

/* Neighbouring rows of a batch that are tokens of one sequence at ascending positions. */
typedef struct slmi_run {
    uint32_t row;           /* first row in the batch */
    uint32_t n_rows;
    uint32_t position;      /* of the first row */
    uint8_t *const *pages;  /* cache pages of the sequence; page p holds positions 64p .. 64p + 63 */
} slmi_run;

/* What a step computes. The arrays belong to the caller and stay until the batch is done. */
typedef struct slmi_batch {
    uint32_t n_tokens;          /* T */
    uint32_t n_wanted;          /* W */
    uint32_t n_runs;
    const int32_t *tokens;      /* [T] */
    const uint32_t *positions;  /* [T] */
    uint8_t *const *row_pages;  /* [T] the cache page that each token is stored in */
    const uint32_t *wanted;     /* [W] rows, ascending */
    const slmi_run *runs;       /* [n_runs] */
    uint32_t *run_tiles;        /* [n_runs + 1] scratch */
} slmi_batch;

typedef struct slmi_exec {
    const slmi_exec_plan *plan;
    const slmk_table *kernels;
    slmi_pool *pool;
    uint8_t *scratch;        /* plan->scratch_bytes */
    uint8_t *worker_scratch; /* plan->worker_bytes for each worker */
    slmi_batch batch;
    slmi_barrier barrier;

    uint32_t stage;          /* the present one; n_stages = done */
    uint32_t n_tiles;        /* of the present stage */
    uint32_t shape[4];       /* how the present stage is cut, written by its prepare */
    _Atomic uint32_t next_tile;
    uint32_t leaving;        /* all workers return from the run */

    uint64_t deadline;       /* clock value after which no tile is begun; 0 = none */
    uint64_t (*clock)(void *ctx);
    void *clock_ctx;
    _Atomic uint32_t *cancel; /* not 0: stop soon */
    _Atomic uint32_t stop;    /* a worker saw the deadline or the cancel */
} slmi_exec;

/* Scratch that each worker needs. */
size_t slmi_exec_worker_bytes(const slmi_exec_plan *plan);

/* Begins a batch; the state of an unfinished one is dropped. */
void slmi_exec_begin(slmi_exec *exec, const slmi_batch *batch);

/* Goes on until the batch is done (returns 1), or the deadline passed or the cancel flag is set (0).
 * The pool is started. */
int slmi_exec_run(slmi_exec *exec, uint64_t deadline);

/* Row of a value in its float form. */
static inline float *slmi_exec_float(const slmi_exec *exec, slmi_value value, uint32_t row)
{
    const slmi_place *place = &exec->plan->floats[value];
    return (float *)(void *)(exec->scratch + place->offset + row * place->stride);
}

/* Row of a value in its rounded form. */
static inline slmk_block_a *slmi_exec_rounded(const slmi_exec *exec, slmi_value value, uint32_t row)
{
    const slmi_place *place = &exec->plan->rounded[value];
    return (slmk_block_a *)(void *)(exec->scratch + place->offset + row * place->stride);
}

#endif
