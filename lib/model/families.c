/* SPDX-License-Identifier: MIT */
/* The table of families: a row for each architecture. */
#include <string.h>

#include "model/build.h"

static const slmi_family families[] = {
    { "llama", slmi_build_llama },
    { "qwen2", slmi_build_qwen2 },
    { "qwen3", slmi_build_qwen3 },
};

const slmi_family *slmi_family_find(slmi_text name)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (strlen(families[i].name) == name.length &&
            memcmp(families[i].name, name.data, name.length) == 0) {
            return &families[i];
        }
    }
    return NULL;
}
