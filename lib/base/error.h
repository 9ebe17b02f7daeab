/* SPDX-License-Identifier: MIT */
/* Filling errors, and the two macros that hand them on. */
#ifndef SLMI_BASE_ERROR_H
#define SLMI_BASE_ERROR_H

#include "slm/base.h"

#if defined(__MINGW32__) && !defined(__clang__) /* whose 'printf' is that of Microsoft's runtime */
#define SLMI_PRINTF(format_index, first_argument) \
    __attribute__((format(gnu_printf, format_index, first_argument)))
#elif defined(__GNUC__)
#define SLMI_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))
#else
#define SLMI_PRINTF(format_index, first_argument)
#endif

/* Writes code, position and sentence if err is not NULL. Returns code. */
slm_status slmi_fail(slm_error *err, slm_status code, uint64_t offset, const char *format, ...)
    SLMI_PRINTF(4, 5);

/* Forwards any status but SLM_OK. */
#define SLM_TRY(expression)                     \
    do {                                        \
        const slm_status status_ = (expression); \
        if (status_ != SLM_OK) {                \
            return status_;                     \
        }                                       \
    } while (0)

/* Fails with a sentence; needs `slm_error *err` in scope. */
#define SLM_FAIL_IF(condition, code, ...)                               \
    do {                                                                \
        if (condition) {                                                \
            return slmi_fail(err, (code), SLM_NO_OFFSET, __VA_ARGS__);  \
        }                                                               \
    } while (0)

/* The same with a byte position. */
#define SLM_FAIL_AT_IF(condition, code, offset, ...)             \
    do {                                                         \
        if (condition) {                                         \
            return slmi_fail(err, (code), (offset), __VA_ARGS__); \
        }                                                        \
    } while (0)

#endif
