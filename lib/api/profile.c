/* SPDX-License-Identifier: MIT */
/* slm/experimental/profile.h: arguments; the executor does the counting. */
#include "slm/experimental/profile.h"

#include "api/check_session.h"
#include "base/options.h"

SLM_API slm_status slm_x_session_set_profiling(slm_session *session, uint32_t enabled, slm_error *err)
{
    slmi_profile *profile = NULL;
    SLM_TRY(slmi_check_session(session, err));
    SLM_FAIL_IF(enabled > 1, SLM_ERR_INVALID_ARGUMENT, "enabled is %u; it must be 0 or 1", enabled);
    const slmi_exec_plan *plan = &session->exec_plan;
    if (enabled) {
        profile = slmi_profile_create(plan, &session->alloc);
        if (profile == NULL) {
            return slmi_alloc_fail(&session->alloc, slmi_profile_size(plan), err);
        }
    }
    slmi_profile_free(session->exec.profile, plan, &session->alloc);
    session->exec.profile = profile;
    return SLM_OK;
}

static uint32_t stage_kind(const slmi_exec_plan *plan, uint32_t stage)
{
    const uint32_t kind = plan->ops[plan->stages[stage].first].kind;
    return kind == SLMI_EXEC_MATMUL   ? SLM_X_STAGE_MATMUL
           : kind == SLMI_EXEC_ATTEND ? SLM_X_STAGE_ATTENTION
                                      : SLM_X_STAGE_ROWS;
}

SLM_API slm_status slm_x_session_get_stage_profile(slm_session *session, uint32_t index,
                                                   slm_x_stage_profile *profile, slm_error *err)
{
    slm_x_stage_profile own = SLM_X_STAGE_PROFILE_INIT;
    SLM_TRY(slmi_check_session(session, err));
    REFUSE_NULL(profile);
    slmi_profile *all = session->exec.profile;
    SLM_FAIL_IF(all == NULL, SLM_ERR_STATE,
                "the session is not profiled; slm_x_session_set_profiling() begins it");
    if (index >= session->exec_plan.n_stages) {
        return SLM_END;
    }
    const slmi_stage_profile *stage = &all->stages[index];
    slmi_stage_name(&session->exec_plan, index, all->name);
    own.kind = stage_kind(&session->exec_plan, index);
    own.n_runs = stage->n_runs;
    own.nanoseconds = stage->nanoseconds;
    own.integer_products = stage->cost.integer_products;
    own.float_products = stage->cost.float_products;
    own.weight_bytes = stage->cost.weight_bytes;
    own.cache_bytes = stage->cost.cache_bytes;
    own.name = all->name;
    return slmi_result_copy(profile, &own, sizeof(own), "slm_x_stage_profile", err);
}
