/* SPDX-License-Identifier: MIT */
/* The executor: runs an executable plan over a batch, tile by tile, on a pool of workers.
 *
 * Its state is (stage, tiles done). A tile is done whole or not at all, so a run can stop anywhere and
 * go on later; tile borders depend on the batch and the processor level, never on the number of
 * workers. Nobody is waited for but those who hold a tile: workers may join and leave at any time, and
 * whoever finishes the last tile of a stage prepares the next one. */
#ifndef SLMI_PLAN_EXEC_H
#define SLMI_PLAN_EXEC_H

#include "base/pool.h"
#include "plan/profile.h"

/* Neighbouring rows of a batch that are tokens of one sequence at ascending positions. */
typedef struct slmi_run {
    uint32_t row;           /* first row in the batch */
    uint32_t n_rows;
    uint32_t position;      /* of the first row */
    uint8_t *const *pages;  /* cache pages of the sequence; page p holds positions 64p .. 64p + 63 */
    uint32_t window;        /* tokens that each token sees behind the sinks; 0 = all */
    uint32_t sink_pages;    /* pages at the beginning that every token sees */
} slmi_run;

/* First page behind the sinks that the token at a position sees. */
static inline uint32_t slmi_window_page(uint32_t window, uint32_t sink_pages, uint32_t position)
{
    const uint32_t page = window != 0 && position >= window ? (position + 1 - window) / SLMK_PAGE : 0;
    return page > sink_pages ? page : sink_pages;
}

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
    slmi_gate gate;          /* where workers wait for the next stage */
    uint32_t shape[4];       /* how the present stage is cut, written by its prepare */

    uint64_t deadline;       /* clock value after which no tile is begun; 0 = none */
    uint64_t (*clock)(void *ctx);
    void *clock_ctx;
    _Atomic uint32_t *cancel; /* not 0: stop soon */
    slmi_profile *profile;    /* NULL = none */

    /* Stage, its number of tiles and the next tile to take, in one word so that whoever takes a tile knows
     * what it is a tile of: 16, 24 and 24 bits. Stage n_stages = done. */
    _Alignas(SLMI_CACHE_LINE) _Atomic uint64_t ticket;
    _Alignas(SLMI_CACHE_LINE) _Atomic uint32_t n_done; /* tiles of the present stage */
    _Atomic uint32_t stop;    /* somebody saw the deadline or the cancel */
} slmi_exec;

/* Scratch that each worker needs. */
size_t slmi_exec_worker_bytes(const slmi_exec_plan *plan);

/* Begins a batch; the state of an unfinished one is dropped. */
void slmi_exec_begin(slmi_exec *exec, const slmi_batch *batch);

/* Begins a stretch of work, in a run or beside one, that ends at the deadline; 0 = none. */
void slmi_exec_allow(slmi_exec *exec, uint64_t deadline);

/* 1 if a worker has to stop: the deadline of the present run passed or the cancel flag is set. */
int slmi_exec_must_stop(slmi_exec *exec);

/* Goes on until the batch is done (returns 1), or the deadline passed or the cancel flag is set (0).
 * The pool is started. A run does one tile in any case. */
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
