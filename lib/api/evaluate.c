/* SPDX-License-Identifier: MIT */
/* slm/experimental/evaluate.h: arguments and references; the work is done in evaluate/. */
#include "evaluate/evaluate.h"

#include <string.h>

#include "api/check.h"
#include "base/fpenv.h"
#include "base/options.h"

static slm_status check_evaluator(const slm_x_evaluator *evaluator, slm_error *err)
{
    REFUSE_NULL(evaluator);
    SLM_FAIL_IF(evaluator->busy, SLM_ERR_BUSY, "a text of this evaluator is in progress");
    return SLM_OK;
}

SLM_API slm_status slm_x_evaluator_create(slm_model *model, const slm_x_evaluator_options *options,
                                          slm_x_evaluator **evaluator, slm_error *err)
{
    slm_x_evaluator_options own = SLM_X_EVALUATOR_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    REFUSE_NULL(evaluator);
    *evaluator = NULL;
    REFUSE_NULL(model);
    if (options != NULL) {
        SLM_TRY(slmi_options_copy(&own, sizeof(own), options, "slm_x_evaluator_options", err));
    }
    if (own.host != NULL) {
        SLM_TRY(slmi_options_copy(&host, sizeof(host), own.host, "slm_host", err));
    }
    SLM_TRY(slmi_evaluator_create(model, &own, own.host != NULL ? &host : NULL, evaluator, err));
    slm_model_retain(model);
    slm_model_retain(own.reference);
    return SLM_OK;
}

SLM_API void slm_x_evaluator_release(slm_x_evaluator *evaluator)
{
    if (evaluator == NULL) {
        return;
    }
    if (evaluator->busy) {
        /* From its own progress function; the call in progress frees it at its end. */
        evaluator->release_when_idle = 1;
        return;
    }
    slm_model *model = evaluator->model;
    slm_model *reference = evaluator->reference;
    slmi_evaluator_destroy(evaluator);
    slm_model_release(model);
    slm_model_release(reference);
}

SLM_API slm_status slm_x_evaluator_add_text(slm_x_evaluator *evaluator, const char *text,
                                            size_t length, slm_error *err)
{
    SLM_TRY(check_evaluator(evaluator, err));
    SLM_FAIL_IF(text == NULL && length > 0, SLM_ERR_INVALID_ARGUMENT, "text must not be NULL");
    evaluator->busy = 1;
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_evaluator_add_text(evaluator, text, length, err);
    slmi_fpenv_leave(before);
    evaluator->busy = 0;
    if (evaluator->release_when_idle) {
        slm_x_evaluator_release(evaluator);
    }
    return status;
}

SLM_API slm_status slm_x_evaluator_get_result(slm_x_evaluator *evaluator, slm_x_evaluation *result,
                                              slm_error *err)
{
    slm_x_evaluation own = SLM_X_EVALUATION_INIT;
    SLM_TRY(check_evaluator(evaluator, err));
    REFUSE_NULL(result);
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_evaluator_get_result(evaluator, &own, err);
    slmi_fpenv_leave(before);
    SLM_TRY(status);
    return slmi_result_copy(result, &own, sizeof(own), "slm_x_evaluation", err);
}
