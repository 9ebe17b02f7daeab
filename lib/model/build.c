/* SPDX-License-Identifier: MIT */
/* The ops that families write their plans with. */
#include "model/build.h"

#include <math.h>
#include <stdio.h>

#include "base/error.h"

static void make_name(char out[64], uint32_t layer, const char *name, const char *suffix)
{
    if (layer == SLMI_NONE) {
        snprintf(out, 64, "%s%s", name, suffix);
    } else {
        snprintf(out, 64, "blk.%u.%s%s", layer, name, suffix);
    }
}

static const slmi_op no_op = { .out = SLMI_NONE,
                               .in = { SLMI_NONE, SLMI_NONE, SLMI_NONE },
                               .matrix = SLMI_NONE,
                               .vector = SLMI_NONE,
                               .rope = SLMI_NONE,
                               .slot = SLMI_NONE };

/* Adds an op with a new value as its result. */
static slmi_value add(slmi_builder *b, slmi_op *op, uint32_t layer, const char *name, uint32_t width,
                      uint32_t extent)
{
    char full[64];
    make_name(full, layer, name, "");
    slmi_plan *plan = &b->model->plan;
    if (b->status == SLM_OK) {
        b->status = slmi_plan_add_value(plan, full, width, extent, &op->out, b->err);
    }
    if (b->status == SLM_OK) {
        b->status = slmi_plan_add_op(plan, op, b->err);
    }
    return b->status == SLM_OK ? op->out : SLMI_NONE;
}

static uint32_t width_of(const slmi_builder *b, slmi_value value)
{
    return value == SLMI_NONE ? 0 : b->model->plan.values[value].width;
}

static uint32_t extent_of(const slmi_builder *b, slmi_value value)
{
    return value == SLMI_NONE ? 0 : b->model->plan.values[value].extent;
}

slmi_index slmi_build_slot(slmi_builder *b)
{
    slmi_index slot = SLMI_NONE;
    if (b->status == SLM_OK) {
        b->status = slmi_plan_add_slot(&b->model->plan, b->model->hyper.n_kv_heads,
                                       b->model->hyper.head_width, &slot, b->err);
    }
    return slot;
}

slmi_value slmi_build_embed(slmi_builder *b)
{
    const slmi_hyper *h = &b->model->hyper;
    slmi_op op = no_op;
    op.kind = SLMI_OP_EMBED;
    b->embedding = slmi_build_matrix(b, "token_embd.weight", h->n_vocab, h->width);
    op.matrix = b->embedding;
    return add(b, &op, SLMI_NONE, "token_embd", h->width, SLMI_PER_TOKEN);
}

slmi_value slmi_build_angles(slmi_builder *b, slmi_index rope)
{
    slmi_op op = no_op;
    op.kind = SLMI_OP_ANGLES;
    op.rope = rope;
    const uint32_t width = rope == SLMI_NONE ? 0 : 2 * b->model->plan.ropes[rope].n_pairs;
    return add(b, &op, SLMI_NONE, "angles", width, SLMI_PER_TOKEN);
}

static slmi_value norm(slmi_builder *b, uint32_t layer, const char *name, slmi_value in, uint32_t group)
{
    char full[64];
    make_name(full, layer, name, ".weight");
    slmi_op op = no_op;
    op.kind = SLMI_OP_RMS_NORM;
    op.in[0] = in;
    op.group = group;
    op.number = b->model->hyper.norm_epsilon;
    op.vector = slmi_build_vector(b, full, group);
    return add(b, &op, layer, name, width_of(b, in), extent_of(b, in));
}

slmi_value slmi_build_norm(slmi_builder *b, uint32_t layer, const char *name, slmi_value in)
{
    return norm(b, layer, name, in, width_of(b, in));
}

slmi_value slmi_build_head_norm(slmi_builder *b, uint32_t layer, const char *name, slmi_value in)
{
    return norm(b, layer, name, in, b->model->hyper.head_width);
}

slmi_value slmi_build_linear(slmi_builder *b, uint32_t layer, const char *name, slmi_value in,
                             uint32_t rows, uint32_t bias)
{
    char full[64];
    slmi_op op = no_op;
    op.kind = SLMI_OP_MATMUL;
    op.in[0] = in;
    make_name(full, layer, name, ".weight");
    op.matrix = slmi_build_matrix(b, full, rows, width_of(b, in));
    make_name(full, layer, name, ".bias");
    const int present = slmi_gguf_find_tensor(b->gguf, full) != NULL;
    if (bias == SLMI_WITH_BIAS || (bias == SLMI_BIAS_IF_PRESENT && present)) {
        op.vector = slmi_build_vector(b, full, rows);
    }
    return add(b, &op, layer, name, rows, extent_of(b, in));
}

slmi_value slmi_build_turn(slmi_builder *b, uint32_t layer, const char *name, slmi_value in,
                           slmi_value angles, slmi_index rope, uint32_t n_heads)
{
    slmi_op op = no_op;
    op.kind = SLMI_OP_ROPE;
    op.in[0] = in;
    op.in[1] = angles;
    op.rope = rope;
    op.n_heads = n_heads;
    return add(b, &op, layer, name, width_of(b, in), SLMI_PER_TOKEN);
}

slmi_value slmi_build_attention(slmi_builder *b, uint32_t layer, slmi_value q, slmi_value k,
                                slmi_value v, slmi_index slot)
{
    const slmi_hyper *h = &b->model->hyper;
    slmi_op op = no_op;
    op.kind = SLMI_OP_ATTENTION;
    op.in[0] = q;
    op.in[1] = k;
    op.in[2] = v;
    op.slot = slot;
    op.n_heads = h->n_heads;
    op.number = 1.0f / sqrtf((float)h->head_width);
    return add(b, &op, layer, "attn", width_of(b, q), SLMI_PER_TOKEN);
}

slmi_value slmi_build_silu_mul(slmi_builder *b, uint32_t layer, slmi_value gate, slmi_value up)
{
    slmi_op op = no_op;
    op.kind = SLMI_OP_SILU_MUL;
    op.in[0] = gate;
    op.in[1] = up;
    return add(b, &op, layer, "ffn_hidden", width_of(b, gate), extent_of(b, gate));
}

slmi_value slmi_build_add(slmi_builder *b, uint32_t layer, const char *name, slmi_value a, slmi_value c)
{
    slmi_op op = no_op;
    op.kind = SLMI_OP_ADD;
    op.in[0] = a;
    op.in[1] = c;
    return add(b, &op, layer, name, width_of(b, a), extent_of(b, a));
}

slmi_value slmi_build_gated_ffn(slmi_builder *b, uint32_t layer, slmi_value x)
{
    const slmi_hyper *h = &b->model->hyper;
    const slmi_value f = slmi_build_norm(b, layer, "ffn_norm", x);
    const slmi_value gate = slmi_build_linear(b, layer, "ffn_gate", f, h->ffn_width, SLMI_NO_BIAS);
    const slmi_value up = slmi_build_linear(b, layer, "ffn_up", f, h->ffn_width, SLMI_NO_BIAS);
    const slmi_value hidden = slmi_build_silu_mul(b, layer, gate, up);
    const slmi_value down = slmi_build_linear(b, layer, "ffn_down", hidden, h->width, SLMI_NO_BIAS);
    return slmi_build_add(b, layer, "after_ffn", x, down);
}

void slmi_build_head(slmi_builder *b, slmi_value in)
{
    slmi_plan *plan = &b->model->plan;
    const slmi_hyper *h = &b->model->hyper;
    slmi_op select = no_op;
    select.kind = SLMI_OP_SELECT;
    select.in[0] = in;
    const slmi_value wanted = add(b, &select, SLMI_NONE, "wanted", h->width, SLMI_PER_WANTED);
    const slmi_value normed = slmi_build_norm(b, SLMI_NONE, "output_norm", wanted);
    slmi_op head = no_op;
    head.kind = SLMI_OP_MATMUL;
    head.in[0] = normed;
    if (slmi_gguf_find_tensor(b->gguf, "output.weight") != NULL) {
        head.matrix = slmi_build_matrix(b, "output.weight", h->n_vocab, h->width);
    } else if (b->status == SLM_OK) {
        head.matrix = b->embedding;
    }
    plan->logits = add(b, &head, SLMI_NONE, "output", h->n_vocab, SLMI_PER_WANTED);
    plan->n_vocab = h->n_vocab;
}
