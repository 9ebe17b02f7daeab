/* SPDX-License-Identifier: MIT */
/* What several of the public calls check and read in the same way. */
#include "api/check.h"

#include <string.h>

#include "base/options.h"

slm_status slmi_read_load_options(const slm_model_options *caller, slm_model_options *own,
                                  slm_host *host, slm_error *err)
{
    memset(own, 0, sizeof(*own));
    memset(host, 0, sizeof(*host));
    own->struct_size = sizeof(*own);
    if (caller != NULL) {
        SLM_TRY(slmi_options_copy(own, sizeof(*own), caller, "slm_model_options", err));
    }
    if (own->host != NULL) {
        SLM_TRY(slmi_options_copy(host, sizeof(*host), own->host, "slm_host", err));
    }
    own->host = host;
    SLM_FAIL_IF(own->n_threads > SLMI_MOST_THREADS, SLM_ERR_INVALID_ARGUMENT,
                "n_threads is %u; at most %u are possible", own->n_threads, SLMI_MOST_THREADS);
    SLM_FAIL_IF(own->reserved0 != NULL || own->reserved1 != 0, SLM_ERR_INVALID_ARGUMENT,
                "reserved members must be 0");
    SLM_FAIL_IF((own->flags & ~(uint32_t)SLM_MODEL_COPY) != 0, SLM_ERR_INVALID_ARGUMENT,
                "flags 0x%x are unknown", own->flags);
    return SLM_OK;
}

slm_status slmi_open_reader(slmi_source *source, const slm_reader *reader, slm_error *err)
{
    slm_reader copy = SLM_READER_INIT;
    SLM_TRY(slmi_options_copy(&copy, sizeof(copy), reader, "slm_reader", err));
    SLM_FAIL_IF(copy.read == NULL, SLM_ERR_INVALID_ARGUMENT, "reader has no read function");
    return slmi_source_open_reader(source, copy.read, copy.ctx, copy.size, err);
}

slm_status slmi_open_header(slmi_source *source, const slm_model_options *options, slmi_alloc *alloc,
                            slmi_gguf *gguf, slm_error *err)
{
    const slmi_gguf_limits limits = { options->max_tensors, options->max_string_bytes };
    memset(gguf, 0, sizeof(*gguf));
    SLM_TRY(slmi_alloc_init(alloc, options->host, options->max_memory_bytes, err));
    return slmi_gguf_open(gguf, source, &limits, alloc, err);
}
