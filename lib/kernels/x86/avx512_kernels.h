/* SPDX-License-Identifier: MIT */
/* The AVX-512 kernels, one by one. */
#ifndef SLMI_KERNELS_X86_AVX512_KERNELS_H
#define SLMI_KERNELS_X86_AVX512_KERNELS_H

#include "kernels/kernels.h"

slmk_matmul_fn slmk_matmul_f32_avx512, slmk_matmul_f16_avx512, slmk_matmul_bf16_avx512;
slmk_matmul_fn slmk_matmul_q8_0_avx512, slmk_matmul_q4_0_avx512, slmk_matmul_q4_1_avx512;
slmk_matmul_fn slmk_matmul_q5_0_avx512, slmk_matmul_q5_1_avx512, slmk_matmul_iq4_nl_avx512;
slmk_matmul_fn slmk_matmul_q2_k_avx512, slmk_matmul_q3_k_avx512, slmk_matmul_q4_k_avx512;
slmk_matmul_fn slmk_matmul_q5_k_avx512, slmk_matmul_q6_k_avx512;

void slmk_quantize_avx512(const float *x, uint32_t n, slmk_block_a *out);
void slmk_rms_norm_avx512(const float *x, const float *weight, float eps, uint32_t n, float *out);
void slmk_add_avx512(const float *a, const float *b, uint32_t n, float *out);
void slmk_silu_mul_avx512(const float *gate, const float *up, uint32_t n, float *out);
void slmk_rope_avx512(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                      uint32_t n_pairs, uint32_t halves);
int slmk_max_finite_avx512(const float *x, uint32_t n, float *max);
float slmk_exp_sum_avx512(const float *x, uint32_t n, float max, float *out);

void slmk_store_key_avx512(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane,
                           void *panel);
void slmk_store_value_avx512(const float *value, uint32_t d, uint32_t kv_type, void *row);
void slmk_attend_avx512(const slmk_attend *job);

#endif
