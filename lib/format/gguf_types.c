/* SPDX-License-Identifier: MIT */
/* Tables of GGUF: tensor types with their blocks, and sizes of metadata values.
 * Source: github.com/ggml-org/ggml, include/ggml.h and src/ggml-common.h */
#include "format/gguf_types.h"

#include "kernels/panel.h"

#define N_FILE_TYPES 43

const slmi_gguf_type *slmi_gguf_type_find(uint32_t file_type)
{
    /* Gaps are numbers that ggml gave up. */
    static const slmi_gguf_type types[N_FILE_TYPES] = {
        [0] = { "F32", SLMK_F32, 1, 4 },
        [1] = { "F16", SLMK_F16, 1, 2 },
        [2] = { "Q4_0", SLMK_Q4_0, 32, 18 },
        [3] = { "Q4_1", SLMK_Q4_1, 32, 20 },
        [6] = { "Q5_0", SLMK_Q5_0, 32, 22 },
        [7] = { "Q5_1", SLMK_Q5_1, 32, 24 },
        [8] = { "Q8_0", SLMK_Q8_0, 32, 34 },
        [9] = { "Q8_1", -1, 32, 36 },
        [10] = { "Q2_K", SLMK_Q2_K, 256, 84 },
        [11] = { "Q3_K", SLMK_Q3_K, 256, 110 },
        [12] = { "Q4_K", SLMK_Q4_K, 256, 144 },
        [13] = { "Q5_K", SLMK_Q5_K, 256, 176 },
        [14] = { "Q6_K", SLMK_Q6_K, 256, 210 },
        [15] = { "Q8_K", -1, 256, 292 },
        [16] = { "IQ2_XXS", -1, 256, 66 },
        [17] = { "IQ2_XS", -1, 256, 74 },
        [18] = { "IQ3_XXS", -1, 256, 98 },
        [19] = { "IQ1_S", -1, 256, 50 },
        [20] = { "IQ4_NL", SLMK_IQ4_NL, 32, 18 },
        [21] = { "IQ3_S", -1, 256, 110 },
        [22] = { "IQ2_S", -1, 256, 82 },
        [23] = { "IQ4_XS", -1, 256, 136 },
        [24] = { "I8", -1, 1, 1 },
        [25] = { "I16", -1, 1, 2 },
        [26] = { "I32", -1, 1, 4 },
        [27] = { "I64", -1, 1, 8 },
        [28] = { "F64", -1, 1, 8 },
        [29] = { "IQ1_M", -1, 256, 56 },
        [30] = { "BF16", SLMK_BF16, 1, 2 },
        [34] = { "TQ1_0", -1, 256, 54 },
        [35] = { "TQ2_0", -1, 256, 66 },
        [39] = { "MXFP4", -1, 32, 17 },
        [40] = { "NVFP4", -1, 64, 36 },
        [41] = { "Q1_0", -1, 128, 18 },
        [42] = { "Q2_0", -1, 64, 18 },
    };
    return file_type < N_FILE_TYPES && types[file_type].name != NULL ? &types[file_type] : NULL;
}

const char *slmi_gguf_type_name(uint32_t file_type)
{
    const slmi_gguf_type *type = slmi_gguf_type_find(file_type);
    return type != NULL ? type->name : NULL;
}

size_t slmi_gguf_value_size(uint32_t type)
{
    static const uint8_t sizes[SLMI_GGUF_F64 + 1] = {
        [SLMI_GGUF_U8] = 1,  [SLMI_GGUF_I8] = 1,  [SLMI_GGUF_U16] = 2, [SLMI_GGUF_I16] = 2,
        [SLMI_GGUF_U32] = 4, [SLMI_GGUF_I32] = 4, [SLMI_GGUF_F32] = 4, [SLMI_GGUF_BOOL] = 1,
        [SLMI_GGUF_U64] = 8, [SLMI_GGUF_I64] = 8, [SLMI_GGUF_F64] = 8,
    };
    return sizes[type];
}

int slmi_gguf_shown(slmi_text text)
{
    size_t length = text.length < 64 ? text.length : 64;
    while (length < text.length && ((uint8_t)text.data[length] & 0xC0) == 0x80) {
        length--;
    }
    return (int)length;
}
