/* SPDX-License-Identifier: MIT */
/* Size-first structs across versions: reading the caller's options, filling the caller's results. */
#include "base/options.h"

#include <string.h>

/* No version of any struct is larger; a larger size is an uninitialised struct. */
#define LARGEST_STRUCT 4096

static slm_status check_size(uint32_t size, const char *name, slm_error *err)
{
    SLM_FAIL_IF(size < 2 * sizeof(uint32_t) || size > LARGEST_STRUCT || size % sizeof(uint32_t) != 0,
                SLM_ERR_INVALID_ARGUMENT,
                "%s has a struct_size of %u: begin with its ..._INIT constant", name, size);
    return SLM_OK;
}

slm_status slmi_options_copy(void *own, size_t own_size, const void *caller, const char *name,
                             slm_error *err)
{
    uint32_t size;
    memcpy(&size, caller, sizeof(size));
    SLM_TRY(check_size(size, name, err));
    const unsigned char *bytes = caller;
    for (size_t i = own_size; i < size; i++) {
        SLM_FAIL_IF(bytes[i] != 0, SLM_ERR_UNSUPPORTED,
                    "%s asks at byte %u for something that this version (%u.%u.%u) lacks", name,
                    (unsigned)i, SLM_VERSION_MAJOR, SLM_VERSION_MINOR, SLM_VERSION_PATCH);
    }
    memcpy(own, caller, size < own_size ? size : own_size);
    return SLM_OK;
}

slm_status slmi_result_copy(void *caller, const void *own, size_t own_size, const char *name,
                            slm_error *err)
{
    uint32_t size;
    memcpy(&size, caller, sizeof(size));
    SLM_TRY(check_size(size, name, err));
    const size_t copied = size < own_size ? size : own_size;
    memcpy((unsigned char *)caller + sizeof(size), (const unsigned char *)own + sizeof(size),
           copied - sizeof(size));
    memset((unsigned char *)caller + copied, 0, size - copied);
    return SLM_OK;
}
