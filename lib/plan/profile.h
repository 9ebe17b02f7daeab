/* SPDX-License-Identifier: MIT */
/* What running an executable plan costs: computed from the ops, and measured by stage. */
#ifndef SLMI_PLAN_PROFILE_H
#define SLMI_PLAN_PROFILE_H

#include "plan/lower.h"

/* Work that was done: products are multiplications with an addition each. */
typedef struct slmi_cost {
    uint64_t integer_products, float_products;
    uint64_t weight_bytes; /* read, as the panels lie in memory */
    uint64_t cache_bytes;  /* keys and values, read at least once or written */
} slmi_cost;

typedef struct slmi_stage_profile {
    uint64_t n_runs;
    uint64_t nanoseconds;
    slmi_cost cost;
} slmi_stage_profile;

/* Room for the longest name of a stage: some values of one layer. */
#define SLMI_STAGE_NAME_SIZE (8 * SLMI_NAME_SIZE)

typedef struct slmi_profile {
    uint64_t since; /* clock value up to which time has been charged to a stage */
    char name[SLMI_STAGE_NAME_SIZE]; /* for whoever asks */
    slmi_stage_profile stages[];     /* [n_stages] */
} slmi_profile;

/* Makes a profile that is all zero; NULL if there is no memory. */
slmi_profile *slmi_profile_create(const slmi_exec_plan *plan, slmi_alloc *alloc);
uint64_t slmi_profile_size(const slmi_exec_plan *plan);

/* NULL does nothing. */
void slmi_profile_free(slmi_profile *profile, const slmi_exec_plan *plan, slmi_alloc *alloc);

/* Charges the time since the last charge to a stage. */
void slmi_profile_charge(slmi_profile *profile, uint32_t stage, uint64_t now);

/* Writes what a stage makes, for example "blk.3: attn_q, attn_k, attn_v". */
void slmi_stage_name(const slmi_exec_plan *plan, uint32_t stage, char name[SLMI_STAGE_NAME_SIZE]);

#endif
