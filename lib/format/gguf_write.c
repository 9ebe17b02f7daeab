/* SPDX-License-Identifier: MIT */
/* Writing GGUF version 3. Source: github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#include "format/gguf_write.h"

#include <string.h>

#include "base/error.h"

slm_status slmi_gguf_write_head(slmi_sink *sink, uint64_t n_tensors, uint64_t n_entries, slm_error *err)
{
    SLM_TRY(slmi_sink_put(sink, "GGUF", 4, err));
    SLM_TRY(slmi_sink_put_u32(sink, 3, err));
    SLM_TRY(slmi_sink_put_u64(sink, n_tensors, err));
    return slmi_sink_put_u64(sink, n_entries, err);
}

static slm_status put_text(slmi_sink *sink, slmi_text text, slm_error *err)
{
    SLM_TRY(slmi_sink_put_u64(sink, text.length, err));
    return slmi_sink_put(sink, text.data, text.length, err);
}

static slm_status put_key(slmi_sink *sink, const char *key, uint32_t type, slm_error *err)
{
    const slmi_text text = { key, strlen(key) };
    SLM_TRY(put_text(sink, text, err));
    return slmi_sink_put_u32(sink, type, err);
}

slm_status slmi_gguf_write_copy(slmi_sink *sink, const slmi_gguf_entry *entry, slm_error *err)
{
    SLM_TRY(put_text(sink, entry->key, err));
    SLM_TRY(slmi_sink_put_u32(sink, entry->type, err));
    if (entry->type == SLMI_GGUF_ARRAY) {
        SLM_TRY(slmi_sink_put_u32(sink, entry->element_type, err));
        SLM_TRY(slmi_sink_put_u64(sink, entry->count, err));
    }
    return slmi_sink_put(sink, entry->value, (size_t)entry->value_bytes, err);
}

slm_status slmi_gguf_write_u32(slmi_sink *sink, const char *key, uint32_t value, slm_error *err)
{
    SLM_TRY(put_key(sink, key, SLMI_GGUF_U32, err));
    return slmi_sink_put_u32(sink, value, err);
}

slm_status slmi_gguf_write_text(slmi_sink *sink, const char *key, slmi_text value, slm_error *err)
{
    SLM_TRY(put_key(sink, key, SLMI_GGUF_STRING, err));
    return put_text(sink, value, err);
}

slm_status slmi_gguf_write_array(slmi_sink *sink, const char *key, uint32_t element_type, uint64_t count,
                                 slm_error *err)
{
    SLM_TRY(put_key(sink, key, SLMI_GGUF_ARRAY, err));
    SLM_TRY(slmi_sink_put_u32(sink, element_type, err));
    return slmi_sink_put_u64(sink, count, err);
}

slm_status slmi_gguf_write_tensor(slmi_sink *sink, slmi_text name, uint32_t n_dims, const uint64_t *dims,
                                  uint32_t file_type, uint64_t offset, slm_error *err)
{
    SLM_TRY(put_text(sink, name, err));
    SLM_TRY(slmi_sink_put_u32(sink, n_dims, err));
    for (uint32_t i = 0; i < n_dims; i++) {
        SLM_TRY(slmi_sink_put_u64(sink, dims[i], err));
    }
    SLM_TRY(slmi_sink_put_u32(sink, file_type, err));
    return slmi_sink_put_u64(sink, offset, err);
}
