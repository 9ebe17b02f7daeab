/* SPDX-License-Identifier: MIT */
/* What the executor calls: each kind of stage cuts itself into tiles and runs one. */
#ifndef SLMI_PLAN_OPS_OPS_H
#define SLMI_PLAN_OPS_OPS_H

#include "plan/exec.h"

/* The cost functions add what a stage costs in the present batch. */

/* Row ops: a tile is some rows, each of which goes through all ops of the stage. */
uint32_t slmi_rows_prepare(slmi_exec *exec, uint32_t n_rows);
void slmi_rows_run(const slmi_exec *exec, const slmi_stage *stage, uint32_t tile, uint32_t n_rows);
void slmi_rows_cost(const slmi_exec *exec, const slmi_stage *stage, uint32_t n_rows, slmi_cost *cost);

/* Matrix products: a tile is some panels times some rows. */
uint32_t slmi_matmul_prepare(slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows);
void slmi_matmul_run(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile, uint8_t *scratch);
size_t slmi_matmul_scratch(const slmi_exec_plan *plan, const slmi_exec_op *op);

/* Fetches weights into the cache until is_open(ctx), if the op will be bound by reading them. */
void slmi_matmul_fetch(const slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows,
                       int (*is_open)(const void *ctx), const void *ctx);
void slmi_matmul_cost(const slmi_exec *exec, const slmi_exec_op *op, uint32_t n_rows, slmi_cost *cost);

/* Attention: a tile is one kv head for some tokens of one sequence, over some pages. The tiles are run again
 * for the next pages until slmi_attend_again(), which returns their number, returns 0. */
uint32_t slmi_attend_prepare(slmi_exec *exec, const slmi_exec_op *op);
uint32_t slmi_attend_again(slmi_exec *exec);
void slmi_attend_run(const slmi_exec *exec, const slmi_exec_op *op, uint32_t tile, uint8_t *scratch);
size_t slmi_attend_scratch(const slmi_exec_plan *plan, const slmi_exec_op *op);
void slmi_attend_cost(const slmi_exec *exec, const slmi_exec_op *op, slmi_cost *cost);

#endif
