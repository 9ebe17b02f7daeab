/* SPDX-License-Identifier: MIT */
/* Layout of the key and value cache. */
#include "kernels/kv.h"

#include <string.h>

#include "kernels/math.h"

static size_t number_size(uint32_t kv_type)
{
    return kv_type == SLMK_KV_F32 ? sizeof(float) : sizeof(uint16_t);
}

size_t slmk_kv_row_bytes(uint32_t kv_type, uint32_t d)
{
    return d * number_size(kv_type);
}

size_t slmk_kv_panel_bytes(uint32_t kv_type, uint32_t d)
{
    return SLMK_ROWS * slmk_kv_row_bytes(kv_type, d);
}

void slmk_kv_save_keys(uint32_t kv_type, uint32_t d, const void *panel, uint32_t first, uint32_t n,
                       void *out)
{
    const size_t size = number_size(kv_type);
    const uint8_t *lanes = (const uint8_t *)panel + first * size;
    for (uint32_t i = 0; i < d; i++) {
        memcpy((uint8_t *)out + i * n * size, lanes + i * SLMK_ROWS * size, n * size);
    }
}

void slmk_kv_restore_keys(uint32_t kv_type, uint32_t d, const void *in, uint32_t first, uint32_t n,
                          void *panel)
{
    const size_t size = number_size(kv_type);
    uint8_t *lanes = (uint8_t *)panel + first * size;
    for (uint32_t i = 0; i < d; i++) {
        memcpy(lanes + i * SLMK_ROWS * size, (const uint8_t *)in + i * n * size, n * size);
    }
}

static float number_at(uint32_t kv_type, const void *numbers, size_t at)
{
    return kv_type == SLMK_KV_F32 ? ((const float *)numbers)[at]
                                  : slmk_f16_to_f32(((const uint16_t *)numbers)[at]);
}

void slmk_kv_load_key(uint32_t kv_type, uint32_t d, const void *panel, uint32_t lane, float *out)
{
    for (uint32_t i = 0; i < d; i++) {
        out[i] = number_at(kv_type, panel, (size_t)i * SLMK_ROWS + lane);
    }
}

void slmk_kv_load_value(uint32_t kv_type, uint32_t d, const void *row, float *out)
{
    for (uint32_t i = 0; i < d; i++) {
        out[i] = number_at(kv_type, row, i);
    }
}
