/* SPDX-License-Identifier: MIT */
/* Layout of the key and value cache: sizes, and single tokens of a page taken out and put back. */
#ifndef SLMI_KERNELS_KV_H
#define SLMI_KERNELS_KV_H

#include "kernels/kernels.h"

enum { SLMK_KV_Q8 = 2, SLMK_KV_Q4 = 3 };

/* Bytes of a panel of 16 keys, and of one token's value row, which is what a key takes. */
size_t slmk_kv_panel_bytes(uint32_t kv_type, uint32_t d);
size_t slmk_kv_row_bytes(uint32_t kv_type, uint32_t d);

/* Copies lanes [first, first + n) of a key panel to n * slmk_kv_row_bytes bytes, and back. */
void slmk_kv_save_keys(uint32_t kv_type, uint32_t d, const void *panel, uint32_t first, uint32_t n,
                       void *out);
void slmk_kv_restore_keys(uint32_t kv_type, uint32_t d, const void *in, uint32_t first, uint32_t n,
                          void *panel);

/* One key or value as float32 [d], exactly as attention reads it. */
void slmk_kv_load_key(uint32_t kv_type, uint32_t d, const void *panel, uint32_t lane, float *out);
void slmk_kv_load_value(uint32_t kv_type, uint32_t d, const void *row, float *out);

#endif
