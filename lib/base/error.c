/* SPDX-License-Identifier: MIT */
/* Statuses, their names, and errors in the caller's memory. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

slm_status slmi_fail(slm_error *err, slm_status code, uint64_t offset, const char *format, ...)
{
    if (err != NULL && (err->struct_size == 0 || err->struct_size >= sizeof(slm_error))) {
        err->code = code;
        err->offset = offset;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(err->message, sizeof(err->message), format, arguments);
        va_end(arguments);
        slmi_utf8_trim(err->message);
    }
    return code;
}
