/* SPDX-License-Identifier: MIT */
/* What every call on a session checks first. */
#ifndef SLMI_API_CHECK_SESSION_H
#define SLMI_API_CHECK_SESSION_H

#include "api/check.h"
#include "session/session.h"

/* There is a session, and it is not inside a step. */
static inline slm_status slmi_check_session(const slm_session *session, slm_error *err)
{
    REFUSE_NULL(session);
    SLM_FAIL_IF(session->busy, SLM_ERR_BUSY, "a step of this session is in progress");
    return SLM_OK;
}

/* The same, and a sequence by its id. */
static inline slm_status slmi_check_sequence(const slm_session *session, slm_sequence id,
                                             slmi_sequence **out, slm_error *err)
{
    SLM_TRY(slmi_check_session(session, err));
    return slmi_sequence_find(session, id, out, err);
}

#endif
