/* SPDX-License-Identifier: MIT */
/* What a family writes its plan with. Each call adds ops and loads the weights they need.
 *
 * A builder keeps its first error: after one, calls do nothing and return SLMI_NONE, so a family reads
 * like the model it describes and its caller checks once. */
#ifndef SLMI_MODEL_BUILD_H
#define SLMI_MODEL_BUILD_H

#include "model/model.h"
#include "model/panels.h"

/* What becomes of matrices: their panels are made, those that the file has are taken where they stand, or
 * none is looked at. */
enum { SLMI_BUILD_LOAD, SLMI_BUILD_MAP, SLMI_BUILD_CHECK };

typedef struct slmi_builder {
    slm_model *model;
    const slmi_gguf *gguf;
    const slm_model_options *options;
    uint32_t mode;          /* SLMI_BUILD_* */
    uint8_t *used;          /* [n_tensors of gguf] 1: part of the model */
    slmi_index embedding;   /* matrix of the token embedding, which the head may share */
    uint64_t bytes_done;    /* of the file's tensors, for progress */
    slmi_panel_reader reader;
    slm_status status;      /* the first error */
    slm_error *err;
} slmi_builder;

/* One architecture: its name in general.architecture and its plan. */
typedef struct slmi_family {
    const char *name;
    void (*build)(slmi_builder *b);
} slmi_family;

/* The family of this name, or NULL. */
const slmi_family *slmi_family_find(slmi_text name);

void slmi_build_llama(slmi_builder *b);
void slmi_build_qwen2(slmi_builder *b);
void slmi_build_qwen3(slmi_builder *b);

/* Metadata "<architecture>.<key>"; the fallback serves if the key is missing. */
uint32_t slmi_build_u32(slmi_builder *b, const char *key, uint32_t fallback);
float slmi_build_f32(slmi_builder *b, const char *key, float fallback);

/* Reads model->hyper as transformers have it in common, and checks it. */
void slmi_build_hyper(slmi_builder *b);

/* Rotary embedding: base, scaling and frequency factors from the file. `halves` as slmi_rope. */
slmi_index slmi_build_rope(slmi_builder *b, uint32_t halves);

/* A slot for the keys and values of one layer. */
slmi_index slmi_build_slot(slmi_builder *b);

/* Ops. Names are "token_embd", "output_norm", "blk.3.attn_q"...: `layer` is SLMI_NONE outside blocks;
 * the weight's name is the value's name with ".weight" (".bias"). */
slmi_value slmi_build_embed(slmi_builder *b);
slmi_value slmi_build_angles(slmi_builder *b, slmi_index rope);
slmi_value slmi_build_norm(slmi_builder *b, uint32_t layer, const char *name, slmi_value in);
slmi_value slmi_build_head_norm(slmi_builder *b, uint32_t layer, const char *name, slmi_value in);
slmi_value slmi_build_linear(slmi_builder *b, uint32_t layer, const char *name, slmi_value in,
                             uint32_t rows, uint32_t bias);
slmi_value slmi_build_turn(slmi_builder *b, uint32_t layer, const char *name, slmi_value in,
                           slmi_value angles, slmi_index rope, uint32_t n_heads);
slmi_value slmi_build_attention(slmi_builder *b, uint32_t layer, slmi_value q, slmi_value k,
                                slmi_value v, slmi_index slot);
slmi_value slmi_build_silu_mul(slmi_builder *b, uint32_t layer, slmi_value gate, slmi_value up);
slmi_value slmi_build_add(slmi_builder *b, uint32_t layer, const char *name, slmi_value a,
                          slmi_value c);

/* The feed-forward half of a block: x + down(silu(gate(norm(x))) * up(norm(x))). */
slmi_value slmi_build_gated_ffn(slmi_builder *b, uint32_t layer, slmi_value x);

/* Final norm over the wanted rows, and the output head, which may share the embedding's matrix. */
void slmi_build_head(slmi_builder *b, slmi_value in);

/* Values of slmi_build_linear(): */
enum { SLMI_NO_BIAS, SLMI_WITH_BIAS, SLMI_BIAS_IF_PRESENT };

/* weights.c: loads a tensor of exactly this shape. */
slmi_index slmi_build_matrix(slmi_builder *b, const char *name, uint32_t rows, uint32_t cols);
slmi_index slmi_build_vector(slmi_builder *b, const char *name, uint32_t length);

#endif
