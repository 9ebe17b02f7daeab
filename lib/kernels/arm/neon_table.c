/* SPDX-License-Identifier: MIT */
/* The table of the NEON level with the dot-product extension. */
#include "kernels/arm/neon.h"
#include "kernels/levels.h"
#include "slm/base.h"

const slmk_table *slmk_table_neon_dot(void)
{
    static const slmk_table table = {
        .name = "neon-dot",
        .level = SLM_CPU_NEON_DOT,
        .quantize = slmk_quantize_neon,
        .rms_norm = slmk_rms_norm_neon,
        .add = slmk_add_neon,
        .silu_mul = slmk_silu_mul_neon,
        .rope = slmk_rope_neon,
        .store_key = slmk_store_key_neon,
        .store_value = slmk_store_value_neon,
        .attend = slmk_attend_neon,
        .max_finite = slmk_max_finite_neon,
        .exp_sum = slmk_exp_sum_neon,
        .matmul = {
            [SLMK_F32] = slmk_matmul_f32_neon,
            [SLMK_F16] = slmk_matmul_f16_neon,
            [SLMK_BF16] = slmk_matmul_bf16_neon,
            [SLMK_Q8_0] = slmk_matmul_q8_0_neon,
            [SLMK_Q4_0] = slmk_matmul_q4_0_neon,
            [SLMK_Q4_1] = slmk_matmul_q4_1_neon,
            [SLMK_Q5_0] = slmk_matmul_q5_0_neon,
            [SLMK_Q5_1] = slmk_matmul_q5_1_neon,
            [SLMK_Q2_K] = slmk_matmul_q2_k_neon,
            [SLMK_Q3_K] = slmk_matmul_q3_k_neon,
            [SLMK_Q4_K] = slmk_matmul_q4_k_neon,
            [SLMK_Q5_K] = slmk_matmul_q5_k_neon,
            [SLMK_Q6_K] = slmk_matmul_q6_k_neon,
            [SLMK_IQ4_NL] = slmk_matmul_iq4_nl_neon,
        },
    };
    return &table;
}
