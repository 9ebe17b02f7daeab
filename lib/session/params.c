/* SPDX-License-Identifier: MIT */
/* Parameters of a sequence: one table says what each takes and where it is kept. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/options.h"
#include "session/session.h"

#define MOST_TOKENS (1u << 20) /* positions that rotary angles are exact for */

typedef struct parameter {
    uint32_t id;
    uint32_t maximum;
    uint32_t default_value;
    uint32_t is_fixed; /* cannot change once tokens are computed */
    size_t offset;     /* in slmi_params */
    const char *name;
} parameter;

#define PARAMETER(id, field, maximum, value, is_fixed) \
    { SLM_SEQUENCE_##id, maximum, value, is_fixed, offsetof(slmi_params, field), #field }

static const parameter parameters[] = {
    PARAMETER(PRIORITY, priority, 255, 0, 0),
    PARAMETER(FULL, full, SLM_FULL_WAIT, SLM_FULL_END, 0),
    PARAMETER(KEEP, keep, MOST_TOKENS, 4, 0),
    PARAMETER(DROP, drop, MOST_TOKENS, 0, 0),
    PARAMETER(WINDOW, window, MOST_TOKENS, 0, 1),
    PARAMETER(SINKS, sinks, MOST_TOKENS, SLMK_PAGE, 1),
};

#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static slm_status find(uint32_t id, const parameter **found, slm_error *err)
{
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        if (parameters[i].id == id) {
            *found = &parameters[i];
            return SLM_OK;
        }
    }
    return slmi_fail(err, SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET,
                     "no sequence parameter has the id %u", (unsigned)id);
}

static uint32_t read(const slmi_params *params, const parameter *p)
{
    uint32_t value;
    memcpy(&value, (const unsigned char *)params + p->offset, sizeof(value));
    return value;
}

static void write(slmi_params *params, const parameter *p, uint32_t value)
{
    memcpy((unsigned char *)params + p->offset, &value, sizeof(value));
}

void slmi_params_default(slmi_params *params)
{
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        write(params, &parameters[i], parameters[i].default_value);
    }
}

static slm_status check_range(const parameter *p, uint32_t value, slm_error *err)
{
    SLM_FAIL_IF(value > p->maximum, SLM_ERR_OUT_OF_RANGE, "%s is %u; it must lie between 0 and %u",
                p->name, value, p->maximum);
    return SLM_OK;
}

slm_status slmi_params_check(const slmi_params *params, slm_error *err)
{
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        SLM_TRY(check_range(&parameters[i], read(params, &parameters[i]), err));
    }
    return SLM_OK;
}

slm_status slmi_params_set(slm_session *session, slmi_sequence *sequence, uint32_t param,
                           uint32_t value, slm_error *err)
{
    const parameter *p = NULL;
    SLM_TRY(find(param, &p, err));
    SLM_TRY(check_range(p, value, err));
    /* The last token may be about to be computed once more, and keys may be on their way: they are there. */
    const int has_cache =
        sequence->n_computed > 0 || sequence->n_prefix > 0 || sequence->move.active;
    SLM_FAIL_IF(p->is_fixed && has_cache, SLM_ERR_STATE,
                "%s cannot change: tokens are computed already", p->name);
    if (p->is_fixed) {
        slmi_batch_leave(session, sequence); /* one under way was begun as it was before */
    }
    write(&sequence->params, p, value);
    return SLM_OK;
}

slm_status slmi_params_get(const slmi_sequence *sequence, uint32_t param, uint32_t *value,
                           slm_error *err)
{
    const parameter *p = NULL;
    SLM_TRY(find(param, &p, err));
    *value = read(&sequence->params, p);
    return SLM_OK;
}

slm_status slmi_params_info(uint32_t index, uint32_t *param, slm_param_info *info, slm_error *err)
{
    if (index >= N_PARAMETERS) {
        return SLM_END;
    }
    const parameter *p = &parameters[index];
    if (info != NULL) {
        const slm_param_info own = { sizeof(own), SLM_PARAM_U32, 0, p->maximum, p->default_value, p->name,
                                     NULL };
        SLM_TRY(slmi_result_copy(info, &own, sizeof(own), "slm_param_info", err));
    }
    if (param != NULL) {
        *param = p->id;
    }
    return SLM_OK;
}
