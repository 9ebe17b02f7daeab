/* SPDX-License-Identifier: MIT */
/* Prints what slm_layout_get() tells; layout.txt holds what 64-bit systems must print. */
#include <stdio.h>
#include <string.h>

#include "slm/slm.h"

int main(void)
{
    const char *name;
    uint32_t offset, size;
    for (uint32_t i = 0; slm_layout_get(i, &name, &offset, &size) == SLM_OK; i++) {
        const char *member = strchr(name, '.');
        if (member == NULL) {
            printf("%s %u\n", name, size);
        } else {
            printf("    %s %u %u\n", member + 1, offset, size);
        }
    }
    return 0;
}
