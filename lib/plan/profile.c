/* SPDX-License-Identifier: MIT */
/* Profiles of stages: their memory, their times and their names. */
#include "plan/profile.h"

#include <stdio.h>
#include <string.h>

uint64_t slmi_profile_size(const slmi_exec_plan *plan)
{
    return sizeof(slmi_profile) + plan->n_stages * sizeof(slmi_stage_profile);
}

slmi_profile *slmi_profile_create(const slmi_exec_plan *plan, slmi_alloc *alloc)
{
    return slmi_new(alloc, (size_t)slmi_profile_size(plan), SLMI_CACHE_LINE);
}

void slmi_profile_free(slmi_profile *profile, const slmi_exec_plan *plan, slmi_alloc *alloc)
{
    slmi_free(alloc, profile, (size_t)slmi_profile_size(plan), SLMI_CACHE_LINE);
}

void slmi_profile_charge(slmi_profile *profile, uint32_t stage, uint64_t now)
{
    profile->stages[stage].nanoseconds += now - profile->since;
    profile->since = now;
}

/* Appends a value's name; its layer, "blk.3.", is written only in front of all names. */
static void add_name(const slmi_exec_plan *plan, slmi_value value, char *name)
{
    const char *full = plan->plan->values[value].name;
    const char *dot = strncmp(full, "blk.", 4) == 0 ? strchr(full + 4, '.') : NULL;
    const size_t used = strlen(name);
    if (used != 0) {
        snprintf(name + used, SLMI_STAGE_NAME_SIZE - used, ", %s", dot == NULL ? full : dot + 1);
    } else if (dot != NULL) {
        snprintf(name, SLMI_STAGE_NAME_SIZE, "%.*s: %s", (int)(dot - full), full, dot + 1);
    } else {
        snprintf(name, SLMI_STAGE_NAME_SIZE, "%s", full);
    }
}

void slmi_stage_name(const slmi_exec_plan *plan, uint32_t stage, char name[SLMI_STAGE_NAME_SIZE])
{
    name[0] = '\0';
    for (uint32_t i = 0; i < plan->stages[stage].n_ops; i++) {
        const slmi_exec_op *op = &plan->ops[plan->stages[stage].first + i];
        const int is_split = op->kind == SLMI_EXEC_MATMUL && !op->gated;
        for (uint32_t part = 0; is_split && part < op->n_parts; part++) {
            add_name(plan, op->parts[part].out, name);
        }
        if (!is_split && op->out != SLMI_NONE) {
            add_name(plan, op->out, name);
        }
    }
}
