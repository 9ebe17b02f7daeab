/* SPDX-License-Identifier: MIT */
/* The sampler's parameters: one table says what each takes and where it is kept. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/options.h"
#include "sampler/sampler.h"

typedef struct parameter {
    uint32_t id;
    uint32_t type;
    size_t offset; /* in slmi_sampler_settings */
    double minimum;
    double maximum;
    double default_value;
    const char *name;
} parameter;

#define F32(id, field, minimum, maximum, value)                                               \
    { SLM_SAMPLER_##id, SLM_PARAM_F32, offsetof(slmi_sampler_settings, field), minimum, maximum, \
      value, #field }
#define U32(id, field, minimum, maximum, value)                                               \
    { SLM_SAMPLER_##id, SLM_PARAM_U32, offsetof(slmi_sampler_settings, field), minimum, maximum, \
      value, #field }

/* Bounds are numbers that a float holds exactly. */
static const parameter parameters[] = {
    F32(TEMPERATURE, temperature, 0, 100, 0.8),
    U32(TOP_K, top_k, 0, UINT32_MAX, 40),
    F32(TOP_P, top_p, 0, 1, 0.95),
    F32(MIN_P, min_p, 0, 1, 0.05),
    U32(SEED, seed, 0, UINT32_MAX, 0),
    F32(REPETITION_PENALTY, repetition_penalty, 0.0625, 16, 1),
    F32(FREQUENCY_PENALTY, frequency_penalty, -100, 100, 0),
    F32(PRESENCE_PENALTY, presence_penalty, -100, 100, 0),
    U32(PENALTY_LAST_N, penalty_last_n, 0, UINT32_MAX, 64),
};

#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static slm_status find(uint32_t id, uint32_t type, const parameter **found, slm_error *err)
{
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        if (parameters[i].id == id) {
            *found = &parameters[i];
            SLM_FAIL_IF(type != parameters[i].type, SLM_ERR_INVALID_ARGUMENT,
                        "sampler parameter %s is of type %s", parameters[i].name,
                        parameters[i].type == SLM_PARAM_F32 ? "f32" : "u32");
            return SLM_OK;
        }
    }
    return slmi_fail(err, SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET, "no sampler parameter has the id %u",
                     (unsigned)id);
}

static void store(slmi_sampler_settings *settings, const parameter *p, double value)
{
    unsigned char *field = (unsigned char *)settings + p->offset;
    if (p->type == SLM_PARAM_F32) {
        const float f32 = (float)value;
        memcpy(field, &f32, sizeof(f32));
    } else {
        const uint32_t u32 = (uint32_t)value;
        memcpy(field, &u32, sizeof(u32));
    }
}

void slmi_sampler_settings_default(slmi_sampler_settings *settings)
{
    for (size_t i = 0; i < N_PARAMETERS; i++) {
        store(settings, &parameters[i], parameters[i].default_value);
    }
}

slm_status slmi_sampler_settings_set(slmi_sampler_settings *settings, uint32_t param, uint32_t type,
                                     double value, slm_error *err)
{
    const parameter *p = NULL;
    SLM_TRY(find(param, type, &p, err));
    SLM_FAIL_IF(value != value, SLM_ERR_INVALID_ARGUMENT, "%s is not a number", p->name);
    SLM_FAIL_IF(value < p->minimum || value > p->maximum, SLM_ERR_OUT_OF_RANGE,
                "%s is %g; it must lie between %g and %g", p->name, value, p->minimum, p->maximum);
    store(settings, p, value);
    return SLM_OK;
}

slm_status slmi_sampler_settings_get(const slmi_sampler_settings *settings, uint32_t param,
                                     uint32_t type, double *value, slm_error *err)
{
    const parameter *p = NULL;
    SLM_TRY(find(param, type, &p, err));
    const unsigned char *field = (const unsigned char *)settings + p->offset;
    if (type == SLM_PARAM_F32) {
        float f32;
        memcpy(&f32, field, sizeof(f32));
        *value = f32;
    } else {
        uint32_t u32;
        memcpy(&u32, field, sizeof(u32));
        *value = u32;
    }
    return SLM_OK;
}

slm_status slmi_sampler_param_info(uint32_t index, uint32_t *param, slm_param_info *info, slm_error *err)
{
    if (index >= N_PARAMETERS) {
        return SLM_END;
    }
    const parameter *p = &parameters[index];
    if (info != NULL) {
        const slm_param_info own = { sizeof(own), p->type, p->minimum, p->maximum, p->default_value,
                                     p->name, NULL };
        SLM_TRY(slmi_result_copy(info, &own, sizeof(own), "slm_param_info", err));
    }
    if (param != NULL) {
        *param = p->id;
    }
    return SLM_OK;
}
