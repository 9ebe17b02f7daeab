/* SPDX-License-Identifier: MIT */
/* slm/base.h: statuses by name, versions, processor levels. */
#include "slm/base.h"

#include "kernels/levels.h"

/* Counted up whenever any result changes in a bit; see docs/numerics.md. */
#define NUMERICS_VERSION 1

SLM_API const char *slm_status_name(slm_status status)
{
    switch (status) {
#define CASE(name, value, meaning) \
    case value:                    \
        return "SLM_" #name;
        SLM_STATUS_LIST(CASE)
#undef CASE
    default:
        return "SLM_ERR_UNKNOWN";
    }
}

SLM_API const char *slm_status_text(slm_status status)
{
    switch (status) {
#define CASE(name, value, meaning) \
    case value:                    \
        return meaning;
        SLM_STATUS_LIST(CASE)
#undef CASE
    default:
        return "not a status of this version";
    }
}

SLM_API uint32_t slm_version(void)
{
    return SLM_VERSION_MAJOR * 1000000 + SLM_VERSION_MINOR * 1000 + SLM_VERSION_PATCH;
}

SLM_API uint32_t slm_numerics_version(void)
{
    return NUMERICS_VERSION;
}

SLM_API uint32_t slm_cpu_level(void)
{
    return slmk_cpu_best();
}

SLM_API const char *slm_cpu_level_name(uint32_t level)
{
    return slmk_cpu_name(level);
}
