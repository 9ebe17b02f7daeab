/* SPDX-License-Identifier: MIT */
/* The table of the AVX2 level. */
#include "kernels/levels.h"
#include "kernels/x86/avx2.h"
#include "slm/base.h"

const slmk_table *slmk_table_avx2(void)
{
    static const slmk_table table = {
        .name = "avx2",
        .level = SLM_CPU_AVX2,
        .quantize = slmk_quantize_avx2,
        .rms_norm = slmk_rms_norm_avx2,
        .add = slmk_add_avx2,
        .silu_mul = slmk_silu_mul_avx2,
        .rope = slmk_rope_avx2,
        .store_key = slmk_store_key_avx2,
        .store_value = slmk_store_value_avx2,
        .attend = slmk_attend_avx2,
        .max_finite = slmk_max_finite_avx2,
        .exp_sum = slmk_exp_sum_avx2,
        .matmul = {
            [SLMK_F32] = slmk_matmul_f32_avx2,
            [SLMK_F16] = slmk_matmul_f16_avx2,
            [SLMK_BF16] = slmk_matmul_bf16_avx2,
            [SLMK_Q8_0] = slmk_matmul_q8_0_avx2,
            [SLMK_Q4_0] = slmk_matmul_q4_0_avx2,
            [SLMK_Q4_1] = slmk_matmul_q4_1_avx2,
            [SLMK_Q5_0] = slmk_matmul_q5_0_avx2,
            [SLMK_Q5_1] = slmk_matmul_q5_1_avx2,
            [SLMK_Q2_K] = slmk_matmul_q2_k_avx2,
            [SLMK_Q3_K] = slmk_matmul_q3_k_avx2,
            [SLMK_Q4_K] = slmk_matmul_q4_k_avx2,
            [SLMK_Q5_K] = slmk_matmul_q5_k_avx2,
            [SLMK_Q6_K] = slmk_matmul_q6_k_avx2,
            [SLMK_IQ4_NL] = slmk_matmul_iq4_nl_avx2,
        },
    };
    return &table;
}
