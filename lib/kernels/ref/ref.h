/* SPDX-License-Identifier: MIT */
/* The scalar kernels, one by one. */
#ifndef SLMI_KERNELS_REF_REF_H
#define SLMI_KERNELS_REF_REF_H

#include "kernels/kernels.h"

slmk_matmul_fn slmk_matmul_f32_ref, slmk_matmul_f16_ref, slmk_matmul_bf16_ref;
slmk_matmul_fn slmk_matmul_q8_0_ref, slmk_matmul_q4_0_ref, slmk_matmul_q4_1_ref;
slmk_matmul_fn slmk_matmul_q5_0_ref, slmk_matmul_q5_1_ref, slmk_matmul_iq4_nl_ref;
slmk_matmul_fn slmk_matmul_q2_k_ref, slmk_matmul_q3_k_ref, slmk_matmul_q4_k_ref;
slmk_matmul_fn slmk_matmul_q5_k_ref, slmk_matmul_q6_k_ref;

void slmk_quantize_ref(const float *x, uint32_t n, slmk_block_a *out);
void slmk_rms_norm_ref(const float *x, const float *weight, float eps, uint32_t n, float *out);
void slmk_add_ref(const float *a, const float *b, uint32_t n, float *out);
void slmk_silu_mul_ref(const float *gate, const float *up, uint32_t n, float *out);
void slmk_rope_ref(float *x, const float *cos, const float *sin, uint32_t n_heads, uint32_t d,
                   uint32_t n_pairs, uint32_t halves);
int slmk_max_finite_ref(const float *x, uint32_t n, float *max);
float slmk_exp_sum_ref(const float *x, uint32_t n, float max, float *out);

void slmk_store_key_ref(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel);
void slmk_store_value_ref(const float *value, uint32_t d, uint32_t kv_type, void *row);
void slmk_attend_ref(const slmk_attend *job);

#endif
