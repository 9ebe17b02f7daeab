/* SPDX-License-Identifier: MIT */
/* Statuses, their names, and errors in the caller's memory. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Size of slm_error in version 0.1, which a struct_size of 0 stands for. */
#define FIRST_SIZE 256

slm_status slmi_fail(slm_error *err, slm_status code, uint64_t offset, const char *format, ...)
{
    const size_t before_message = offsetof(slm_error, message);
    const size_t size = err == NULL ? 0 : err->struct_size == 0 ? FIRST_SIZE : err->struct_size;
    if (size < before_message) {
        return code;
    }
    err->code = code;
    err->offset = offset;
    if (size > before_message) {
        const size_t room = size - before_message;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(err->message, room < sizeof(err->message) ? room : sizeof(err->message), format,
                  arguments);
        va_end(arguments);
        slmi_utf8_mend(err->message);
    }
    return code;
}
