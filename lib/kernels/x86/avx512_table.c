/* SPDX-License-Identifier: MIT */
/* The table of the AVX-512 level. */
#include "kernels/levels.h"
#include "kernels/x86/avx512_kernels.h"
#include "slm/base.h"

const slmk_table *slmk_table_avx512(void)
{
    static const slmk_table table = {
        .name = "avx512",
        .level = SLM_CPU_AVX512,
        .quantize = slmk_quantize_avx512,
        .rms_norm = slmk_rms_norm_avx512,
        .add = slmk_add_avx512,
        .silu_mul = slmk_silu_mul_avx512,
        .rope = slmk_rope_avx512,
        .store_key = slmk_store_key_avx512,
        .store_value = slmk_store_value_avx512,
        .attend = slmk_attend_avx512,
        .max_finite = slmk_max_finite_avx512,
        .exp_sum = slmk_exp_sum_avx512,
        .matmul = {
            [SLMK_F32] = slmk_matmul_f32_avx512,
            [SLMK_F16] = slmk_matmul_f16_avx512,
            [SLMK_BF16] = slmk_matmul_bf16_avx512,
            [SLMK_Q8_0] = slmk_matmul_q8_0_avx512,
            [SLMK_Q4_0] = slmk_matmul_q4_0_avx512,
            [SLMK_Q4_1] = slmk_matmul_q4_1_avx512,
            [SLMK_Q5_0] = slmk_matmul_q5_0_avx512,
            [SLMK_Q5_1] = slmk_matmul_q5_1_avx512,
            [SLMK_Q2_K] = slmk_matmul_q2_k_avx512,
            [SLMK_Q3_K] = slmk_matmul_q3_k_avx512,
            [SLMK_Q4_K] = slmk_matmul_q4_k_avx512,
            [SLMK_Q5_K] = slmk_matmul_q5_k_avx512,
            [SLMK_Q6_K] = slmk_matmul_q6_k_avx512,
            [SLMK_IQ4_NL] = slmk_matmul_iq4_nl_avx512,
        },
    };
    return &table;
}
