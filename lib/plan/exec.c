/* SPDX-License-Identifier: MIT */
/* The executor: stages, tiles, workers. */
#include "plan/exec.h"

#include "plan/ops/ops.h"

#define TILE_BITS 24
#define TILE_MASK ((1u << TILE_BITS) - 1)

static uint32_t ticket_stage(uint64_t ticket)
{
    return (uint32_t)(ticket >> 2 * TILE_BITS);
}

static uint32_t ticket_n_tiles(uint64_t ticket)
{
    return (uint32_t)(ticket >> TILE_BITS) & TILE_MASK;
}

static uint32_t ticket_tile(uint64_t ticket)
{
    return (uint32_t)ticket & TILE_MASK;
}

static uint32_t stage_rows(const slmi_exec *exec, const slmi_stage *stage)
{
    return stage->extent == SLMI_PER_WANTED ? exec->batch.n_wanted : exec->batch.n_tokens;
}

/* Cuts a stage into tiles and returns their number. */
static uint32_t prepare_stage(slmi_exec *exec, uint32_t number)
{
    const slmi_stage *stage = &exec->plan->stages[number];
    const slmi_exec_op *op = &exec->plan->ops[stage->first];
    const uint32_t n_rows = stage_rows(exec, stage);
    if (n_rows == 0) {
        return 0;
    }
    if (op->kind == SLMI_EXEC_MATMUL) {
        return slmi_matmul_prepare(exec, op, n_rows);
    }
    if (op->kind == SLMI_EXEC_ATTEND) {
        return slmi_attend_prepare(exec, op);
    }
    return slmi_rows_prepare(exec, n_rows);
}

static void add_cost(slmi_exec *exec, const slmi_stage *stage, slmi_cost *cost)
{
    const slmi_exec_op *op = &exec->plan->ops[stage->first];
    if (op->kind == SLMI_EXEC_MATMUL) {
        slmi_matmul_cost(exec, op, stage_rows(exec, stage), cost);
    } else if (op->kind == SLMI_EXEC_ATTEND) {
        slmi_attend_cost(exec, op, cost);
    } else {
        slmi_rows_cost(exec, stage, stage_rows(exec, stage), cost);
    }
}

/* The last tile of a stage is done. */
static void profile_stage(slmi_exec *exec, uint32_t number)
{
    if (exec->profile != NULL) {
        slmi_stage_profile *profile = &exec->profile->stages[number];
        slmi_profile_charge(exec->profile, number, exec->clock(exec->clock_ctx));
        add_cost(exec, &exec->plan->stages[number], &profile->cost);
        profile->n_runs++;
    }
}

/* Hands out the tiles of a stage. */
static void open_tiles(slmi_exec *exec, uint32_t number, uint32_t n_tiles)
{
    atomic_store(&exec->n_done, 0);
    atomic_store(&exec->ticket, (uint64_t)number << 2 * TILE_BITS | (uint64_t)n_tiles << TILE_BITS);
    slmi_gate_wake(&exec->gate);
}

/* Opens the first stage from `number` on that has tiles. */
static void open_stage(slmi_exec *exec, uint32_t number)
{
    uint32_t n_tiles = 0;
    while (number < exec->plan->n_stages && n_tiles == 0) {
        n_tiles = prepare_stage(exec, number);
        number += n_tiles == 0;
    }
    open_tiles(exec, number, n_tiles);
}

/* The tiles of a stage are done: it is run again for the rest of its work, or the next one is opened. */
static void end_tiles(slmi_exec *exec, uint32_t number)
{
    const slmi_exec_op *op = &exec->plan->ops[exec->plan->stages[number].first];
    const uint32_t n_tiles = op->kind == SLMI_EXEC_ATTEND ? slmi_attend_again(exec) : 0;
    if (n_tiles > 0) {
        open_tiles(exec, number, n_tiles);
        return;
    }
    profile_stage(exec, number);
    open_stage(exec, number + 1);
}

static void run_tile(slmi_exec *exec, uint64_t ticket, uint32_t worker)
{
    const slmi_stage *stage = &exec->plan->stages[ticket_stage(ticket)];
    const slmi_exec_op *op = &exec->plan->ops[stage->first];
    const uint32_t tile = ticket_tile(ticket);
    uint8_t *scratch = exec->worker_scratch + worker * exec->plan->worker_bytes;
    if (op->kind == SLMI_EXEC_MATMUL) {
        slmi_matmul_run(exec, op, tile, scratch);
    } else if (op->kind == SLMI_EXEC_ATTEND) {
        slmi_attend_run(exec, op, tile, scratch);
    } else {
        slmi_rows_run(exec, stage, tile, stage_rows(exec, stage));
    }
    if (atomic_fetch_add(&exec->n_done, 1) + 1 == ticket_n_tiles(ticket)) {
        end_tiles(exec, ticket_stage(ticket));
    }
}

void slmi_exec_allow(slmi_exec *exec, uint64_t deadline)
{
    exec->deadline = deadline;
    atomic_store(&exec->stop, 0);
}

int slmi_exec_must_stop(slmi_exec *exec)
{
    if (atomic_load_explicit(&exec->stop, memory_order_relaxed) != 0) {
        return 1;
    }
    if (atomic_load_explicit(exec->cancel, memory_order_relaxed) != 0 ||
        (exec->deadline != 0 && exec->clock(exec->clock_ctx) >= exec->deadline)) {
        atomic_store(&exec->stop, 1);
        slmi_gate_wake(&exec->gate);
        return 1;
    }
    return 0;
}

/* What a worker waits for: a tile, or the end of the run. */
static int may_go_on(const void *ctx)
{
    const slmi_exec *exec = ctx;
    const uint64_t ticket = atomic_load(&exec->ticket);
    return ticket_tile(ticket) < ticket_n_tiles(ticket) ||
           ticket_stage(ticket) == exec->plan->n_stages || atomic_load(&exec->stop) != 0;
}

/* Who waits for the next stage fetches weights that it will read, until there is a tile to take. */
static void fetch_ahead(const slmi_exec *exec, uint32_t next)
{
    if (next < exec->plan->n_stages) {
        const slmi_stage *stage = &exec->plan->stages[next];
        const slmi_exec_op *op = &exec->plan->ops[stage->first];
        if (op->kind == SLMI_EXEC_MATMUL) {
            slmi_matmul_fetch(exec, op, stage_rows(exec, stage), may_go_on, exec);
        }
    }
}

static void work(void *ctx, uint32_t worker)
{
    slmi_exec *exec = ctx;
    int owes_tile = worker == 0; /* a run makes progress however short its time */
    for (;;) {
        uint64_t ticket = atomic_load(&exec->ticket);
        const uint32_t stage = ticket_stage(ticket);
        if (stage == exec->plan->n_stages || (!owes_tile && slmi_exec_must_stop(exec))) {
            return;
        }
        if (ticket_tile(ticket) < ticket_n_tiles(ticket)) {
            ticket = atomic_fetch_add(&exec->ticket, 1);
        }
        if (ticket_tile(ticket) < ticket_n_tiles(ticket)) {
            run_tile(exec, ticket, worker);
            owes_tile = 0;
        } else {
            fetch_ahead(exec, stage + 1);
            slmi_gate_wait(&exec->gate, may_go_on, exec);
        }
    }
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
    open_stage(exec, 0);
}

int slmi_exec_run(slmi_exec *exec, uint64_t deadline)
{
    slmi_exec_allow(exec, deadline);
    if (exec->profile != NULL) {
        exec->profile->since = exec->clock(exec->clock_ctx);
    }
    slmi_pool_run(exec->pool, work, exec);
    const uint32_t stage = ticket_stage(atomic_load(&exec->ticket));
    if (exec->profile != NULL && stage < exec->plan->n_stages) {
        slmi_profile_charge(exec->profile, stage, exec->clock(exec->clock_ctx));
    }
    return stage == exec->plan->n_stages;
}
