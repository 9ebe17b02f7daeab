/* SPDX-License-Identifier: MIT */
/* slm/saved.h: arguments and ids; the work is done in session/. */
#include "slm/saved.h"

#include "api/check_session.h"
#include "base/fpenv.h"
#include "base/options.h"
#include "session/blob.h"

SLM_API slm_status slm_session_save_sequence(const slm_session *session, slm_sequence sequence,
                                             const slm_save_options *options, void *blob,
                                             size_t capacity, size_t *length, slm_error *err)
{
    slmi_sequence *found;
    slm_save_options own = SLM_SAVE_OPTIONS_INIT;
    SLM_TRY(slmi_check_sequence(session, sequence, &found, err));
    REFUSE_NULL(length);
    SLM_FAIL_IF(blob == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT, "blob must not be NULL");
    if (options != NULL) {
        SLM_TRY(slmi_options_copy(&own, sizeof(own), options, "slm_save_options", err));
    }
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status =
        slmi_sequence_save(session, found, &own, blob, capacity, length, err);
    slmi_fpenv_leave(before);
    return status;
}

SLM_API slm_status slm_session_restore_sequence(slm_session *session, const void *blob, size_t length,
                                                slm_prefix *prefix, slm_sequence *sequence,
                                                slm_error *err)
{
    slmi_sequence *restored;
    REFUSE_NULL(sequence);
    *sequence = 0;
    SLM_TRY(slmi_check_session(session, err));
    REFUSE_NULL(blob);
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_sequence_restore(session, blob, length, prefix, &restored, err);
    slmi_fpenv_leave(before);
    SLM_TRY(status);
    *sequence = slmi_sequence_id(session, restored);
    return SLM_OK;
}

SLM_API slm_status slm_saved_get_info(const void *blob, size_t length, slm_saved_info *info,
                                      slm_error *err)
{
    slm_saved_info own = SLM_SAVED_INFO_INIT;
    slmi_blob parsed;
    REFUSE_NULL(blob);
    REFUSE_NULL(info);
    SLM_TRY(slmi_blob_parse(blob, length, &parsed, err));
    slmi_blob_describe(&parsed, &own);
    return slmi_result_copy(info, &own, sizeof(own), "slm_saved_info", err);
}
