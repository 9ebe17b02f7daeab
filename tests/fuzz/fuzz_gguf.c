/* SPDX-License-Identifier: MIT */
/* Any bytes as a GGUF file, through memory and through a reader: both must agree, and what opens must
 * keep its promises. */
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "fuzz.h"
#include "kernels/panel.h"

typedef struct bytes {
    const uint8_t *data;
    size_t size;
} bytes;

static slm_status read_bytes(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    const bytes *file = ctx;
    MUST(offset <= file->size && size <= file->size - offset);
    memcpy(buffer, file->data + offset, size);
    return SLM_OK;
}

static void check_entry(const slmi_gguf *gguf, const slmi_gguf_entry *entry)
{
    const size_t length = slmi_gguf_format_value(entry, NULL);
    char *text = malloc(length + 1);
    MUST(text != NULL && slmi_gguf_format_value(entry, text) == length && strlen(text) == length);
    free(text);
    MUST(entry->offset + entry->value_bytes <= gguf->source->size);
    uint64_t position = 0;
    for (uint64_t i = 0; i < entry->count; i++) {
        if (entry->element_type == SLMI_GGUF_STRING) {
            const slmi_text string = slmi_gguf_next_string(entry, &position);
            MUST(position <= entry->value_bytes && string.length <= entry->value_bytes);
        } else if (entry->element_type == SLMI_GGUF_F32 || entry->element_type == SLMI_GGUF_F64) {
            (void)slmi_gguf_array_float(entry, i);
        } else {
            (void)slmi_gguf_array_int(entry, i);
        }
    }
}

static void check_tensor(const slmi_gguf *gguf, const slmi_gguf_tensor *tensor)
{
    MUST(tensor->n_dims >= 1 && tensor->n_dims <= 4);
    MUST(tensor->offset <= gguf->source->size);
    MUST(tensor->bytes <= gguf->source->size - tensor->offset);
    MUST(tensor->offset >= gguf->data_offset);
    MUST((tensor->offset - gguf->data_offset) % gguf->alignment == 0);
    if (tensor->is_panels) {
        const uint64_t n_panels = (tensor->dims[1] + SLMK_ROWS - 1) / SLMK_ROWS;
        MUST(gguf->has_panels && tensor->type >= 0 && tensor->offset % SLMI_PANELS_ALIGNMENT == 0);
        MUST(tensor->dims[0] % slmk_types[tensor->type].block == 0 && tensor->dims[2] * tensor->dims[3] == 1);
        MUST(n_panels * slmk_panel_size(tensor->type, (size_t)tensor->dims[0]) == tensor->bytes);
    }
}

static slm_status open_and_check(slmi_source *source, slm_error *err)
{
    slmi_alloc alloc;
    slmi_gguf gguf;
    MUST(slmi_alloc_init(&alloc, NULL, 0, NULL) == SLM_OK);
    const slm_status status = slmi_gguf_open(&gguf, source, NULL, &alloc, err);
    MUST(atomic_load(&alloc.used) <= 64 * source->size + (1 << 17));
    for (uint32_t i = 0; i < gguf.n_entries; i++) {
        check_entry(&gguf, &gguf.entries[i]);
    }
    for (uint32_t i = 0; i < gguf.n_tensors; i++) {
        check_tensor(&gguf, &gguf.tensors[i]);
    }
    slmi_gguf_close(&gguf);
    MUST(atomic_load(&alloc.used) == 0);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slmi_source source;
    slm_error in_memory = SLM_ERROR_INIT, in_reader = SLM_ERROR_INIT;
    if (size == 0) {
        return 0;
    }
    bytes file = { data, size };
    MUST(slmi_source_open_memory(&source, data, size, NULL) == SLM_OK);
    const slm_status status = open_and_check(&source, &in_memory);
    MUST(slmi_source_open_reader(&source, read_bytes, &file, size, NULL) == SLM_OK);
    MUST(open_and_check(&source, &in_reader) == status);
    MUST(in_memory.offset == in_reader.offset && in_memory.code == in_reader.code);
    MUST(strcmp(in_memory.message, in_reader.message) == 0);
    return 0;
}
