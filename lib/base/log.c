/* SPDX-License-Identifier: MIT */
/* Lines for the host's log sink. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

void slmi_log(const slm_host *host, uint32_t level, const char *format, ...)
{
    if (host->log == NULL) {
        return;
    }
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    slmi_utf8_mend(line);
    host->log(host->log_ctx, level, line);
}
