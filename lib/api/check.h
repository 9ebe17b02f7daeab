/* SPDX-License-Identifier: MIT */
/* What several of the public calls check and read in the same way. */
#ifndef SLMI_API_CHECK_H
#define SLMI_API_CHECK_H

#include "base/error.h"
#include "format/gguf.h"
#include "slm/model.h"

#define REFUSE_NULL(pointer)                                                                  \
    SLM_FAIL_IF((pointer) == NULL, SLM_ERR_INVALID_ARGUMENT, #pointer " must not be NULL")

/* The caller's load options in this version's form; own->host is `host`. */
slm_status slmi_read_load_options(const slm_model_options *caller, slm_model_options *own,
                                  slm_host *host, slm_error *err);

/* A source of what the host reads. */
slm_status slmi_open_reader(slmi_source *source, const slm_reader *reader, slm_error *err);

/* Opens the GGUF header of a source. `alloc` and `gguf` are the caller's; slmi_gguf_close() ends it. */
slm_status slmi_open_header(slmi_source *source, const slm_model_options *options, slmi_alloc *alloc,
                            slmi_gguf *gguf, slm_error *err);

#endif
