/* SPDX-License-Identifier: MIT */
/* The table of the level with 8-bit matrix products: NEON's kernels, with products by smmla. */
#include "kernels/arm/neon_blocks.h"
#include "kernels/arm/neon_dot.h"
#include "kernels/levels.h"
#include "slm/base.h"

/*
 * smmla multiplies 2 rows of 8 weights by 2 tokens of 8 activations into 2 x 2 sums, so two groups are
 * joined: [4 rows][4] twice become [2 rows][8] twice. A token by itself goes by sdot.
 */

/* dot_groups for one token. */
SLMK_INLINE void dot_token(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                           const slmk_block_a *a, rows_i32 *dot)
{
    SLMK_UNROLL
    for (unsigned g = first; g < first + n_groups; g++) {
        const int8x16_t x = vld1q_s8(a->q + g / 4 * 16);
        dot->v[0] = dot_lane(dot->v[0], unpack(how, &f, row, g), x, g % 4);
        dot->v[1] = dot_lane(dot->v[1], unpack(how, &f, row + 4, g), x, g % 4);
    }
}

SLMK_INLINE int8x16_t join_low(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

SLMK_INLINE int8x16_t join_high(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}

SLMK_INLINE void dot_groups(encoding how, field f, unsigned row, unsigned first, unsigned n_groups,
                            const activations a, unsigned n_tokens, rows_i32 dot[TILE])
{
    if (n_tokens == 1) {
        dot_token(how, f, row, first, n_groups, a[0], &dot[0]);
        return;
    }
    int32x4_t sums[TILE / 2][4]; /* of two tokens and two rows */
    SLMK_UNROLL
    for (unsigned i = 0; i < 2 * n_tokens; i++) {
        sums[i / 4][i % 4] = vdupq_n_s32(0);
    }
    SLMK_UNROLL
    for (unsigned g = first; g < first + n_groups; g += 2) {
        SLMK_UNROLL
        for (unsigned v = 0; v < 2; v++) {
            const int8x16_t even = unpack(how, &f, row + 4 * v, g);
            const int8x16_t odd = unpack(how, &f, row + 4 * v, g + 1);
            const int8x16_t low = join_low(even, odd), high = join_high(even, odd);
            SLMK_UNROLL
            for (unsigned t = 0; t < n_tokens; t += 2) {
                const int8x16_t x = vcombine_s8(vld1_s8(a[t]->q + 4 * g), vld1_s8(a[t + 1]->q + 4 * g));
                sums[t / 2][2 * v] = vmmlaq_s32(sums[t / 2][2 * v], low, x);
                sums[t / 2][2 * v + 1] = vmmlaq_s32(sums[t / 2][2 * v + 1], high, x);
            }
        }
    }
    SLMK_UNROLL
    for (unsigned t = 0; t < n_tokens; t++) {
        SLMK_UNROLL
        for (unsigned v = 0; v < 2; v++) {
            const int32x4_t low = sums[t / 2][2 * v], high = sums[t / 2][2 * v + 1];
            dot[t].v[v] = vaddq_s32(dot[t].v[v], t % 2 ? vuzp2q_s32(low, high) : vuzp1q_s32(low, high));
        }
    }
}

const slmk_table *slmk_table_neon_i8mm(void)
{
    static const slmk_table table = {
        .name = "neon-i8mm",
        .level = SLM_CPU_NEON_I8MM,
        SLMK_NEON_KERNELS,
        .matmul = { SLMK_NEON_FLOAT_PRODUCTS, SLMK_NEON_BLOCK_PRODUCTS },
    };
    return &table;
}
