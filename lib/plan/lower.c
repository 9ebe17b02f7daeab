/* SPDX-License-Identifier: MIT */
/* Lowering: canonical ops to stages of executable ops. */
#include "plan/lower.h"

#include <string.h>

#include "base/error.h"
#include "plan/exec.h"

typedef struct lowering {
    slmi_exec_plan *exec;
    const slmi_plan *plan;
    const slmi_lower_options *options;
    uint16_t *n_readers;     /* [n_values] ops of the canonical plan that read it */
    uint8_t *needs_rounded;  /* [n_values] a block-type matrix reads it */
    uint8_t *needs_float;    /* [n_values] anything else reads it, or it is watched */
} lowering;

static int is_watched(const lowering *l, slmi_value value)
{
    return value == l->plan->logits || (l->options->watched != NULL && l->options->watched[value]);
}

/* 1 if a value may disappear into an op that both makes and uses it. */
static int may_vanish(const lowering *l, slmi_value value)
{
    return l->options->fuse && l->n_readers[value] == 1 && !is_watched(l, value);
}

static int reads_rounded(const slmi_plan *plan, const slmi_op *op)
{
    return op->kind == SLMI_OP_MATMUL && !slmk_types[plan->matrices[op->matrix].type].is_float;
}

static void count_readers(lowering *l)
{
    for (uint32_t i = 0; i < l->plan->n_ops; i++) {
        const slmi_op *op = &l->plan->ops[i];
        for (int j = 0; j < 3; j++) {
            if (op->in[j] != SLMI_NONE) {
                l->n_readers[op->in[j]]++;
                uint8_t *needs = reads_rounded(l->plan, op) ? l->needs_rounded : l->needs_float;
                needs[op->in[j]] = 1;
            }
        }
    }
    for (uint32_t v = 0; v < l->plan->n_values; v++) {
        l->needs_float[v] |= (uint8_t)is_watched(l, (slmi_value)v);
    }
}

/* There is one whenever this is asked: no plan begins with a matrix product or a gate. */
static slmi_exec_op *last_op(const lowering *l)
{
    return &l->exec->ops[l->exec->n_ops - 1];
}

static slmi_exec_op *add_op(lowering *l, uint32_t kind, const slmi_op *op)
{
    slmi_exec_op *added = &l->exec->ops[l->exec->n_ops++];
    memset(added, 0, sizeof(*added));
    added->kind = kind;
    added->out = op->out;
    memcpy(added->in, op->in, sizeof(added->in));
    added->vector = op->vector;
    added->rope = op->rope;
    added->slot = op->slot;
    added->group = op->group;
    added->n_heads = op->n_heads;
    added->number = op->number;
    added->extent = l->plan->values[op->out != SLMI_NONE ? op->out : op->in[0]].extent;
    return added;
}

/* Rounds a value in an op of its own, right behind the op that makes it. */
static void add_round(lowering *l, slmi_value value)
{
    if (l->needs_rounded[value]) {
        const slmi_op op = { .out = SLMI_NONE, .in = { value, SLMI_NONE, SLMI_NONE } };
        add_op(l, SLMI_EXEC_ROUND, &op);
        l->needs_float[value] = 1;
    }
}

/* Matrices with the same input form one op: q, k and v, or gate and up. */
static void lower_matmul(lowering *l, const slmi_op *op)
{
    slmi_exec_op *previous = last_op(l);
    slmi_exec_op *target = NULL;
    const uint32_t rounded = (uint32_t)reads_rounded(l->plan, op);
    if (l->options->fuse && previous->kind == SLMI_EXEC_MATMUL &&
        previous->in[0] == op->in[0] && previous->reads_rounded == rounded && !previous->gated &&
        previous->n_parts < SLMI_MATMUL_PARTS) {
        target = previous;
    } else {
        target = add_op(l, SLMI_EXEC_MATMUL, op);
        target->reads_rounded = rounded;
    }
    target->parts[target->n_parts].matrix = op->matrix;
    target->parts[target->n_parts].vector = op->vector;
    target->parts[target->n_parts].out = op->out;
    target->n_parts++;
}

/* silu(gate) * up joins the op that makes gate and up, and rounds its own result. */
static int join_gate(lowering *l, const slmi_op *op)
{
    slmi_exec_op *made = last_op(l);
    if (made->kind != SLMI_EXEC_MATMUL || made->n_parts != 2 ||
        made->parts[0].out != op->in[0] || made->parts[1].out != op->in[1] ||
        !may_vanish(l, op->in[0]) || !may_vanish(l, op->in[1])) {
        return 0;
    }
    made->gated = 1;
    made->out = op->out;
    made->parts[0].out = SLMI_NONE;
    made->parts[1].out = SLMI_NONE;
    /* Blocks of 32 do not straddle tiles, which are even numbers of panels. */
    made->writes_rounded = l->needs_rounded[op->out];
    made->writes_float = l->needs_float[op->out];
    return 1;
}

static void lower_attention(lowering *l, const slmi_op *op)
{
    const slmi_op store = { .out = SLMI_NONE,
                            .in = { op->in[1], op->in[1], op->in[2] },
                            .slot = op->slot };
    add_op(l, SLMI_EXEC_STORE, &store);
    slmi_exec_op *attend = add_op(l, SLMI_EXEC_ATTEND, op);
    attend->in[1] = SLMI_NONE;
    attend->in[2] = SLMI_NONE;
    const slmi_slot *slot = &l->plan->slots[op->slot];
    const uint32_t group_width = op->n_heads / slot->n_heads * slot->head_width;
    attend->writes_rounded =
        l->options->fuse && l->needs_rounded[op->out] && group_width % SLMK_BLOCK == 0;
    if (!attend->writes_rounded) {
        add_round(l, op->out);
    }
}

static void lower_op(lowering *l, const slmi_op *op)
{
    static const uint8_t row_kind[] = {
        [SLMI_OP_EMBED] = SLMI_EXEC_EMBED,       [SLMI_OP_RMS_NORM] = SLMI_EXEC_RMS_NORM,
        [SLMI_OP_ANGLES] = SLMI_EXEC_ANGLES,     [SLMI_OP_ROPE] = SLMI_EXEC_ROPE,
        [SLMI_OP_SILU_MUL] = SLMI_EXEC_SILU_MUL, [SLMI_OP_ADD] = SLMI_EXEC_ADD,
        [SLMI_OP_SELECT] = SLMI_EXEC_SELECT,
    };
    switch (op->kind) {
    case SLMI_OP_MATMUL:
        lower_matmul(l, op);
        add_round(l, op->out);
        return;
    case SLMI_OP_ATTENTION:
        lower_attention(l, op);
        return;
    case SLMI_OP_SILU_MUL:
        if (join_gate(l, op)) {
            return;
        }
        break;
    default:
        break;
    }
    if (op->kind == SLMI_OP_EMBED) {
        add_op(l, SLMI_EXEC_EMBED, op)->parts[0].matrix = op->matrix;
    } else {
        add_op(l, row_kind[op->kind], op);
    }
    add_round(l, op->out);
}

/* Row ops of one extent that follow each other share a stage. */
static void make_stages(slmi_exec_plan *exec, int fuse)
{
    for (uint32_t i = 0; i < exec->n_ops; i++) {
        const slmi_exec_op *op = &exec->ops[i];
        const int is_row = op->kind <= SLMI_EXEC_LAST_ROW_OP;
        slmi_stage *stage = exec->n_stages == 0 ? NULL : &exec->stages[exec->n_stages - 1];
        if (fuse && is_row && stage != NULL && stage->extent == op->extent &&
            exec->ops[stage->first].kind <= SLMI_EXEC_LAST_ROW_OP) {
            stage->n_ops++;
        } else {
            stage = &exec->stages[exec->n_stages++];
            stage->first = i;
            stage->n_ops = 1;
            stage->extent = op->extent;
        }
    }
}

static slm_status allocate(lowering *l, slm_error *err)
{
    slmi_exec_plan *exec = l->exec;
    const slmi_plan *plan = l->plan;
    exec->ops_capacity = 3 * plan->n_ops; /* an attention becomes a store, an attend and a round */
    exec->stages_capacity = exec->ops_capacity;
    exec->ops = slmi_new_array(exec->alloc, exec->ops_capacity, sizeof(slmi_exec_op), SLMI_CACHE_LINE);
    exec->stages =
        slmi_new_array(exec->alloc, exec->stages_capacity, sizeof(slmi_stage), SLMI_CACHE_LINE);
    exec->floats = slmi_new_array(exec->alloc, plan->n_values, sizeof(slmi_place), SLMI_CACHE_LINE);
    exec->rounded = slmi_new_array(exec->alloc, plan->n_values, sizeof(slmi_place), SLMI_CACHE_LINE);
    exec->slot_offset = slmi_new_array(exec->alloc, plan->n_slots, sizeof(size_t), SLMI_CACHE_LINE);
    l->n_readers = slmi_new_array(exec->alloc, plan->n_values, 4, SLMI_CACHE_LINE);
    if (exec->ops == NULL || exec->stages == NULL || exec->floats == NULL || exec->rounded == NULL ||
        exec->slot_offset == NULL || l->n_readers == NULL) {
        return slmi_alloc_fail(exec->alloc, plan->n_ops * sizeof(slmi_exec_op), err);
    }
    l->needs_rounded = (uint8_t *)(l->n_readers + plan->n_values);
    l->needs_float = l->needs_rounded + plan->n_values;
    return SLM_OK;
}

slm_status slmi_lower(const slmi_plan *plan, const slmi_lower_options *options, slmi_alloc *alloc,
                      slmi_exec_plan *out, slm_error *err)
{
    memset(out, 0, sizeof(*out));
    out->plan = plan;
    out->alloc = alloc;
    out->max_tokens = options->max_tokens;
    out->max_wanted = options->max_wanted;
    out->kv_type = options->kv_type;
    lowering l = { .exec = out, .plan = plan, .options = options };
    const slm_status status = allocate(&l, err);
    if (status == SLM_OK) {
        count_readers(&l);
        for (uint32_t i = 0; i < plan->n_ops; i++) {
            lower_op(&l, &plan->ops[i]);
        }
        make_stages(out, options->fuse != 0);
        slmi_layout_places(out, options->watched);
        slmi_layout_cache(out);
        out->worker_bytes = slmi_exec_worker_bytes(out);
    }
    slmi_free(alloc, l.n_readers, plan->n_values * (size_t)4, SLMI_CACHE_LINE);
    if (status != SLM_OK) {
        slmi_exec_plan_free(out);
    }
    return status;
}

void slmi_exec_plan_free(slmi_exec_plan *exec)
{
    slmi_alloc *alloc = exec->alloc;
    if (alloc == NULL) {
        return;
    }
    const uint32_t n_values = exec->plan->n_values;
    slmi_free(alloc, exec->ops, exec->ops_capacity * sizeof(slmi_exec_op), SLMI_CACHE_LINE);
    slmi_free(alloc, exec->stages, exec->stages_capacity * sizeof(slmi_stage), SLMI_CACHE_LINE);
    slmi_free(alloc, exec->floats, n_values * sizeof(slmi_place), SLMI_CACHE_LINE);
    slmi_free(alloc, exec->rounded, n_values * sizeof(slmi_place), SLMI_CACHE_LINE);
    slmi_free(alloc, exec->slot_offset, exec->plan->n_slots * sizeof(size_t), SLMI_CACHE_LINE);
    memset(exec, 0, sizeof(*exec));
}
