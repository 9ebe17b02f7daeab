/* SPDX-License-Identifier: MIT */
/* Files with stored panels: matrices as the panels that kernels read, each a tensor of opaque bytes. */
#include "base/bytes.h"
#include "format/gguf_types.h"
#include "kernels/panel.h"

/* Rows and columns that stand for the bytes of a tensor, if they can. */
static int is_matrix_of(const slmi_gguf_tensor *tensor, const slmi_gguf_type *type, const uint64_t shape[4])
{
    uint64_t bytes;
    if (type == NULL || type->type < 0 || shape[0] == 0 || shape[0] > UINT32_MAX || shape[1] == 0 ||
        shape[1] > UINT32_MAX || shape[2] > 1 || shape[3] > 1 || shape[0] % type->block != 0) {
        return 0;
    }
    const uint64_t n_panels = (shape[1] + SLMK_ROWS - 1) / SLMK_ROWS;
    const uint64_t panel_bytes = shape[0] / type->block * slmk_types[type->type].panel_bytes;
    return slmi_mul_u64(n_panels, panel_bytes, &bytes) && bytes == tensor->bytes &&
           tensor->offset % SLMI_PANELS_ALIGNMENT == 0;
}

static int has_shape(const slmi_gguf_tensor *tensor, const uint64_t shape[4])
{
    for (uint32_t i = 0; i < 4; i++) {
        if (shape[i] != (i < tensor->n_dims ? tensor->dims[i] : 0)) {
            return 0;
        }
    }
    return 1;
}

/* A tensor of opaque bytes becomes the matrix that it holds; any other is what it was. */
static slm_status restore(slmi_gguf_tensor *tensor, uint32_t file_type, const uint64_t shape[4],
                          slm_error *err)
{
    const int shown = slmi_gguf_shown(tensor->name);
    if (tensor->file_type != SLMI_GGUF_BYTES_TYPE) {
        SLM_FAIL_AT_IF(file_type != tensor->file_type || !has_shape(tensor, shape), SLM_ERR_FORMAT,
                       tensor->entry_offset, "tensor '%.*s' is not what 'slm.panels' says it is", shown,
                       tensor->name.data);
        return SLM_OK;
    }
    const slmi_gguf_type *type = slmi_gguf_type_find(file_type);
    SLM_FAIL_AT_IF(!is_matrix_of(tensor, type, shape), SLM_ERR_FORMAT, tensor->entry_offset,
                   "the %llu bytes of tensor '%.*s' are no panels of the type and shape that 'slm.panels' "
                   "says", (unsigned long long)tensor->bytes, shown, tensor->name.data);
    tensor->is_panels = 1;
    tensor->type = type->type;
    tensor->file_type = file_type;
    tensor->n_dims = shape[3] != 0 ? 4 : shape[2] != 0 ? 3 : 2;
    memcpy(tensor->dims, shape, 2 * sizeof(shape[0]));
    tensor->dims[2] = 1;
    tensor->dims[3] = 1;
    return SLM_OK;
}

/* An array of this many elements. */
static slm_status find_list(const slmi_gguf *gguf, const char *key, uint32_t element_type, uint64_t count,
                            const slmi_gguf_entry **list, slm_error *err)
{
    SLM_TRY(slmi_gguf_get_array(gguf, key, element_type, list, err));
    SLM_FAIL_IF(*list == NULL || (*list)->count != count, SLM_ERR_FORMAT,
                "'%s' does not have %llu elements, for %u tensors", key, (unsigned long long)count,
                gguf->n_tensors);
    return SLM_OK;
}

slm_status slmi_gguf_read_panels(slmi_gguf *gguf, slm_error *err)
{
    const slmi_gguf_entry *version = slmi_gguf_find(gguf, SLMI_PANELS_VERSION_KEY);
    const slmi_gguf_entry *types, *shapes;
    uint32_t number = 0;
    if (version == NULL) {
        return SLM_OK;
    }
    SLM_TRY(slmi_gguf_get_u32(gguf, SLMI_PANELS_VERSION_KEY, &number, err));
    SLM_FAIL_AT_IF(number != SLMK_PANELS_VERSION, SLM_ERR_UNSUPPORTED, version->offset,
                   "the file was converted by another version of the library (panels %u; this one reads %d): "
                   "convert the original again", number, SLMK_PANELS_VERSION);
    const uint64_t n = gguf->n_tensors;
    SLM_TRY(find_list(gguf, SLMI_PANELS_TYPES_KEY, SLMI_GGUF_U32, n, &types, err));
    SLM_TRY(find_list(gguf, SLMI_PANELS_SHAPES_KEY, SLMI_GGUF_U64, 4 * n, &shapes, err));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t shape[4];
        for (uint64_t d = 0; d < 4; d++) {
            shape[d] = slmi_read_u64(shapes->value + 8 * (4 * i + d));
        }
        SLM_TRY(restore(&gguf->tensors[i], slmi_read_u32(types->value + 4 * i), shape, err));
    }
    gguf->has_panels = 1;
    return SLM_OK;
}
