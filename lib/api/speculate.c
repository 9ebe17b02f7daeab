/* SPDX-License-Identifier: MIT */
/* slm/experimental/speculate.h: arguments and ids; the work is done in session/. */
#include "slm/experimental/speculate.h"

#include "api/check_session.h"
#include "base/options.h"

SLM_API slm_status slm_x_session_speculate(slm_session *session, slm_sequence sequence,
                                           const slm_x_speculate_options *options, slm_error *err)
{
    slmi_sequence *found;
    slm_x_speculate_options own = SLM_X_SPECULATE_OPTIONS_INIT;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    if (options != NULL) {
        SLM_TRY(slmi_options_copy(&own, sizeof(own), options, "slm_x_speculate_options", err));
    }
    return slmi_speculation_set(session, found, &own, err);
}

SLM_API slm_status slm_x_session_get_speculation(slm_session *session, slm_sequence sequence,
                                                 slm_x_speculation *result, slm_error *err)
{
    slmi_sequence *found;
    slm_x_speculation own = SLM_X_SPECULATION_INIT;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(result);
    slmi_speculation_get(session, found, &own);
    return slmi_result_copy(result, &own, sizeof(own), "slm_x_speculation", err);
}
