/* SPDX-License-Identifier: MIT */
/* The table of the NEON level, and its products of block types. */
#include "kernels/arm/neon_blocks.h"
#include "kernels/levels.h"
#include "slm/base.h"

/* The sums of 4 rows' products with the same 4 activations. Two products fit 16 bits: weights are at least
 * -128 and activations at most 127 in magnitude. */
SLMK_INLINE int32x4_t add_products(int32x4_t sum, int8x16_t w, int8x16_t x)
{
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
    const int16x8_t high = vmull_s8(vget_high_s8(w), vget_high_s8(x));
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}

SLMK_INLINE void dot_groups(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                            const activations a, unsigned n_tokens, rows_i32 dot[TILE])
{
    SLMK_UNROLL
    for (unsigned g = first; g < first + n_groups; g++) {
        const int8x16_t low = unpack(how, &f, row, g), high = unpack(how, &f, row + 4, g);
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            const int32_t *word = (const int32_t *)(const void *)(a[t]->q + 4 * g);
            const int8x16_t x = vreinterpretq_s8_s32(vld1q_dup_s32(word));
            dot[t].v[0] = add_products(dot[t].v[0], low, x);
            dot[t].v[1] = add_products(dot[t].v[1], high, x);
        }
    }
}

const slmk_table *slmk_table_neon(void)
{
    static const slmk_table table = {
        .name = "neon",
        .level = SLM_CPU_NEON,
        SLMK_NEON_KERNELS,
        .matmul = { SLMK_NEON_FLOAT_PRODUCTS, SLMK_NEON_BLOCK_PRODUCTS },
    };
    return &table;
}
