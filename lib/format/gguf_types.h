/* SPDX-License-Identifier: MIT */
/* What the GGUF reader's own files share: the tensor types of ggml, and sizes of metadata
 * values. */
#ifndef SLMI_FORMAT_GGUF_TYPES_H
#define SLMI_FORMAT_GGUF_TYPES_H

#include "format/gguf.h"

/* A tensor type as ggml numbers it. */
typedef struct slmi_gguf_type {
    const char *name;
    int32_t type;    /* SLMK_*, or -1 */
    uint16_t block;  /* elements of a block */
    uint16_t bytes;  /* of a block */
} slmi_gguf_type;

/* The row of a file's type number, or NULL. */
const slmi_gguf_type *slmi_gguf_type_find(uint32_t file_type);

/* gguf_panels.c: if the file has stored panels, checks them and gives their tensors back the type and the
 * shape of the matrix. SLM_ERR_UNSUPPORTED if they have another version. */
slm_status slmi_gguf_read_panels(slmi_gguf *gguf, slm_error *err);

/* Bytes of a metadata value of fixed size; 0 for strings and arrays. */
size_t slmi_gguf_value_size(uint32_t type);

/* As much of a name as an error message shows: at most 64 bytes, whole characters. */
int slmi_gguf_shown(slmi_text text);

#endif
