/* SPDX-License-Identifier: MIT */
/* Writing GGUF version 3, from front to back: head, metadata, directory; then padding and tensor data. */
#ifndef SLMI_FORMAT_GGUF_WRITE_H
#define SLMI_FORMAT_GGUF_WRITE_H

#include "format/gguf.h"
#include "format/sink.h"

slm_status slmi_gguf_write_head(slmi_sink *sink, uint64_t n_tensors, uint64_t n_entries, slm_error *err);

/* One metadata entry each. */
slm_status slmi_gguf_write_copy(slmi_sink *sink, const slmi_gguf_entry *entry, slm_error *err);
slm_status slmi_gguf_write_u32(slmi_sink *sink, const char *key, uint32_t value, slm_error *err);
slm_status slmi_gguf_write_text(slmi_sink *sink, const char *key, slmi_text value, slm_error *err);

/* The beginning of an array of u32 or u64, whose elements the caller puts behind it. */
slm_status slmi_gguf_write_array(slmi_sink *sink, const char *key, uint32_t element_type, uint64_t count,
                                 slm_error *err);

/* One entry of the directory; the offset counts from the beginning of the tensor data. */
slm_status slmi_gguf_write_tensor(slmi_sink *sink, slmi_text name, uint32_t n_dims, const uint64_t *dims,
                                  uint32_t file_type, uint64_t offset, slm_error *err);

#endif
