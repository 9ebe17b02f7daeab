/* SPDX-License-Identifier: MIT */
/* Size-first structs across versions: reading the caller's options, filling the caller's results. */
#ifndef SLMI_BASE_OPTIONS_H
#define SLMI_BASE_OPTIONS_H

#include "base/error.h"

/* Copies a caller's struct (first member struct_size) over our own of own_size bytes. Members that the
 * caller's version lacks keep their value of `own`; members that ours lacks must be zero, since the
 * caller asks for something that this version cannot do. `name` is for the message. */
slm_status slmi_options_copy(void *own, size_t own_size, const void *caller, const char *name,
                             slm_error *err);

/* Copies our filled struct into the caller's, as much as the caller's struct_size holds. */
slm_status slmi_result_copy(void *caller, const void *own, size_t own_size, const char *name,
                            slm_error *err);

#endif
