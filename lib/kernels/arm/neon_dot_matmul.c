/* SPDX-License-Identifier: MIT */
/* The table of the level with the dot-product extension: NEON's kernels, with products by sdot. */
#include "kernels/arm/neon_blocks.h"
#include "kernels/arm/neon_dot.h"
#include "kernels/levels.h"
#include "slm/base.h"

SLMK_INLINE void dot_groups(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                            const activations a, unsigned n_tokens, rows_i32 dot[TILE])
{
    SLMK_UNROLL
    for (unsigned quarter = first; quarter < first + n_groups; quarter += 4) {
        int8x16_t x[TILE];
        SLMK_UNROLL
        for (unsigned t = 0; t < n_tokens; t++) {
            x[t] = vld1q_s8(a[t]->q + 4 * quarter);
        }
        SLMK_UNROLL
        for (unsigned lane = 0; lane < 4; lane++) {
            SLMK_UNROLL
            for (unsigned v = 0; v < 2; v++) {
                int8x16_t w = unpack(how, &f, row + 4 * v, quarter + lane);
                SLMK_UNROLL
                for (unsigned t = 0; t < n_tokens; t++) {
                    dot[t].v[v] = dot_lane(dot[t].v[v], w, x[t], lane);
                }
            }
        }
    }
}

const slmk_table *slmk_table_neon_dot(void)
{
    static const slmk_table table = {
        .name = "neon-dot",
        .level = SLM_CPU_NEON_DOT,
        SLMK_NEON_KERNELS,
        .matmul = { SLMK_NEON_FLOAT_PRODUCTS, SLMK_NEON_BLOCK_PRODUCTS },
    };
    return &table;
}
