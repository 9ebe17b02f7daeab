/* SPDX-License-Identifier: MIT */
/* llama: Llama 2 and 3, SmolLM2, TinyLlama, Mistral. Source: Touvron et al., Llama 2, 2023. */
#include "model/build.h"

void slmi_build_llama(slmi_builder *b)
{
    slmi_build_hyper(b);
    const slmi_hyper *h = &b->model->hyper;
    const slmi_index rope = slmi_build_rope(b, 0);
    const slmi_value angles = slmi_build_angles(b, rope);
    const uint32_t q_width = h->n_heads * h->head_width;
    const uint32_t kv_width = h->n_kv_heads * h->head_width;

    slmi_value x = slmi_build_embed(b);
    for (uint32_t l = 0; l < h->n_layers && b->status == SLM_OK; l++) {
        const slmi_value a = slmi_build_norm(b, l, "attn_norm", x);
        slmi_value q = slmi_build_linear(b, l, "attn_q", a, q_width, SLMI_BIAS_IF_PRESENT);
        slmi_value k = slmi_build_linear(b, l, "attn_k", a, kv_width, SLMI_BIAS_IF_PRESENT);
        const slmi_value v = slmi_build_linear(b, l, "attn_v", a, kv_width, SLMI_BIAS_IF_PRESENT);
        q = slmi_build_turn(b, l, "q_turned", q, angles, rope, h->n_heads);
        k = slmi_build_turn(b, l, "k_turned", k, angles, rope, h->n_kv_heads);
        const slmi_value o = slmi_build_attention(b, l, q, k, v, slmi_build_slot(b));
        const slmi_value attended =
            slmi_build_linear(b, l, "attn_output", o, h->width, SLMI_BIAS_IF_PRESENT);
        x = slmi_build_add(b, l, "after_attn", x, attended);
        x = slmi_build_gated_ffn(b, l, x);
    }
    slmi_build_head(b, x);
}
