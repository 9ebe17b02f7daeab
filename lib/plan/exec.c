/* SPDX-License-Identifier: MIT */
/* The executor: stages, tiles, workers. */
#include "plan/exec.h"

#include "plan/ops/ops.h"

static const slmi_exec_op *stage_op(const slmi_exec *exec)
{
    return &exec->plan->ops[exec->plan->stages[exec->stage].first];
}

static uint32_t stage_rows(const slmi_exec *exec)
{
    return exec->plan->stages[exec->stage].extent == SLMI_PER_WANTED ? exec->batch.n_wanted
                                                                     : exec->batch.n_tokens;
}

static void prepare_stage(slmi_exec *exec)
{
    const uint32_t n_rows = stage_rows(exec);
    const slmi_exec_op *op = stage_op(exec);
    if (n_rows == 0) {
        exec->n_tiles = 0;
    } else if (op->kind == SLMI_EXEC_MATMUL) {
        exec->n_tiles = slmi_matmul_prepare(exec, op, n_rows);
    } else if (op->kind == SLMI_EXEC_ATTEND) {
        exec->n_tiles = slmi_attend_prepare(exec, op);
    } else {
        exec->n_tiles = slmi_rows_prepare(exec, n_rows);
    }
    atomic_store(&exec->next_tile, 0);
}

static void run_tile(slmi_exec *exec, uint32_t tile, uint32_t worker)
{
    const slmi_exec_op *op = stage_op(exec);
    uint8_t *scratch = exec->worker_scratch + worker * exec->plan->worker_bytes;
    if (op->kind == SLMI_EXEC_MATMUL) {
        slmi_matmul_run(exec, op, tile, scratch);
    } else if (op->kind == SLMI_EXEC_ATTEND) {
        slmi_attend_run(exec, op, tile, scratch);
    } else {
        slmi_rows_run(exec, &exec->plan->stages[exec->stage], tile, stage_rows(exec));
    }
}

static int must_stop(slmi_exec *exec)
{
    if (atomic_load_explicit(&exec->stop, memory_order_relaxed) != 0) {
        return 1;
    }
    if (atomic_load_explicit(exec->cancel, memory_order_relaxed) != 0 ||
        (exec->deadline != 0 && exec->clock(exec->clock_ctx) >= exec->deadline)) {
        atomic_store_explicit(&exec->stop, 1, memory_order_relaxed);
        return 1;
    }
    return 0;
}

/* Runs on the last worker that leaves a stage: moves on, unless tiles are left because of a stop. */
static void finish_stage(void *ctx)
{
    slmi_exec *exec = ctx;
    if (atomic_load(&exec->next_tile) >= exec->n_tiles) {
        do {
            exec->stage++;
            if (exec->stage == exec->plan->n_stages) {
                exec->leaving = 1;
                return;
            }
            prepare_stage(exec);
        } while (exec->n_tiles == 0);
    }
    exec->leaving = atomic_load(&exec->stop);
}

static void work(void *ctx, uint32_t worker)
{
    slmi_exec *exec = ctx;
    int owes_tile = worker == 0; /* a run makes progress however short its time */
    do {
        while (owes_tile || !must_stop(exec)) {
            owes_tile = 0;
            const uint32_t tile = atomic_fetch_add(&exec->next_tile, 1);
            if (tile >= exec->n_tiles) {
                break;
            }
            run_tile(exec, tile, worker);
        }
        slmi_barrier_wait(&exec->barrier, finish_stage, exec);
    } while (!exec->leaving);
}

size_t slmi_exec_worker_bytes(const slmi_exec_plan *plan)
{
    size_t most = SLMI_CACHE_LINE;
    for (uint32_t i = 0; i < plan->n_ops; i++) {
        size_t bytes = 0;
        if (plan->ops[i].kind == SLMI_EXEC_MATMUL) {
            bytes = slmi_matmul_scratch(plan, &plan->ops[i]);
        } else if (plan->ops[i].kind == SLMI_EXEC_ATTEND) {
            bytes = slmi_attend_scratch(plan, &plan->ops[i]);
        }
        most = bytes > most ? bytes : most;
    }
    return (most + SLMI_CACHE_LINE - 1) / SLMI_CACHE_LINE * SLMI_CACHE_LINE;
}

void slmi_exec_begin(slmi_exec *exec, const slmi_batch *batch)
{
    exec->batch = *batch;
    exec->stage = 0;
    prepare_stage(exec);
}

int slmi_exec_run(slmi_exec *exec, uint64_t deadline)
{
    exec->deadline = deadline;
    exec->leaving = 0;
    atomic_store(&exec->stop, 0);
    slmi_pool_run(exec->pool, work, exec);
    return exec->stage == exec->plan->n_stages;
}
