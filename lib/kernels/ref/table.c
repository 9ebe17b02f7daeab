/* SPDX-License-Identifier: MIT */
/* The table of the scalar level. */
#include "kernels/levels.h"
#include "kernels/ref/ref.h"
#include "slm/base.h"

const slmk_table *slmk_table_ref(void)
{
    static const slmk_table table = {
        .name = "scalar",
        .level = SLM_CPU_SCALAR,
        .quantize = slmk_quantize_ref,
        .rms_norm = slmk_rms_norm_ref,
        .add = slmk_add_ref,
        .silu_mul = slmk_silu_mul_ref,
        .rope = slmk_rope_ref,
        .store_key = slmk_store_key_ref,
        .store_value = slmk_store_value_ref,
        .attend = slmk_attend_ref,
        .max_finite = slmk_max_finite_ref,
        .exp_sum = slmk_exp_sum_ref,
        .matmul = {
            [SLMK_F32] = slmk_matmul_f32_ref,
            [SLMK_F16] = slmk_matmul_f16_ref,
            [SLMK_BF16] = slmk_matmul_bf16_ref,
            [SLMK_Q8_0] = slmk_matmul_q8_0_ref,
            [SLMK_Q4_0] = slmk_matmul_q4_0_ref,
            [SLMK_Q4_1] = slmk_matmul_q4_1_ref,
            [SLMK_Q5_0] = slmk_matmul_q5_0_ref,
            [SLMK_Q5_1] = slmk_matmul_q5_1_ref,
            [SLMK_Q2_K] = slmk_matmul_q2_k_ref,
            [SLMK_Q3_K] = slmk_matmul_q3_k_ref,
            [SLMK_Q4_K] = slmk_matmul_q4_k_ref,
            [SLMK_Q5_K] = slmk_matmul_q5_k_ref,
            [SLMK_Q6_K] = slmk_matmul_q6_k_ref,
            [SLMK_IQ4_NL] = slmk_matmul_iq4_nl_ref,
        },
    };
    return &table;
}
