/* SPDX-License-Identifier: MIT */
/* slm/prefix.h: arguments and ids; the work is done in session/. */
#include "slm/prefix.h"

#include "api/check_session.h"
#include "base/options.h"

SLM_API slm_status slm_prefix_create(const slm_session *session, slm_sequence sequence, const char *name,
                                     slm_prefix **prefix, slm_error *err)
{
    slmi_sequence *found;
    REFUSE_NULL(prefix);
    *prefix = NULL;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(name);
    return slmi_prefix_create(session, found, name, prefix, err);
}

SLM_API slm_prefix *slm_prefix_retain(slm_prefix *prefix)
{
    slmi_prefix_retain(prefix);
    return prefix;
}

SLM_API void slm_prefix_release(slm_prefix *prefix)
{
    slmi_prefix_release(prefix);
}

SLM_API slm_status slm_prefix_get_info(const slm_prefix *prefix, slm_prefix_info *info, slm_error *err)
{
    slm_prefix_info own = SLM_PREFIX_INFO_INIT;
    REFUSE_NULL(prefix);
    REFUSE_NULL(info);
    own.n_tokens = prefix->n_tokens;
    own.kv_type = prefix->kv_type;
    own.memory_bytes = prefix->bytes;
    own.name = prefix->name;
    own.tokens = prefix->tokens;
    return slmi_result_copy(info, &own, sizeof(own), "slm_prefix_info", err);
}

SLM_API slm_status slm_session_append_prefix(slm_session *session, slm_sequence sequence,
                                             slm_prefix *prefix, slm_error *err)
{
    slmi_sequence *found;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(prefix);
    return slmi_sequence_append_prefix(session, found, prefix, err);
}
