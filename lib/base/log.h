/* SPDX-License-Identifier: MIT */
/* Lines for the host's log sink. */
#ifndef SLMI_BASE_LOG_H
#define SLMI_BASE_LOG_H

#include "base/error.h"

/* Hands one line, at most 255 bytes, to the host; does nothing without a sink. */
void slmi_log(const slm_host *host, uint32_t level, const char *format, ...) SLMI_PRINTF(3, 4);

#endif
