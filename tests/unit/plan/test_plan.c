/* SPDX-License-Identifier: MIT */
/* Lowering and layout: joined or not, watched or not, the bits are the same; places do not collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "plan/exec.h"
#include "plan/ops/ops.h"
#include "slm/slm.h"
#include "support/tiny_model.h"

#define N_ROWS 70 /* two pages */

static const tiny_model descriptions[] = {
    { .family = "llama", .type = TINY_F32 },
    { .family = "llama", .type = TINY_Q8_0, .own_head = 1 },
    { .family = "llama", .type = TINY_Q4_0, .n_heads = 8, .n_kv_heads = 8 }, /* groups of 8 elements */
    { .family = "qwen2", .type = TINY_Q4_0, .n_kv_heads = 1 },
    { .family = "qwen2", .type = TINY_Q8_0, .ffn_width = 32 },
    { .family = "qwen3", .type = TINY_Q8_0, .n_layers = 5 },
    { .family = "qwen3", .type = TINY_Q4_K },
};

#define N_DESCRIPTIONS (sizeof(descriptions) / sizeof(descriptions[0]))

static slm_model *load(const tiny_model *description)
{
    size_t size;
    slm_model *model;
    uint8_t *file = tiny_model_make(description, &size);
    assert_int_equal(slm_model_load_memory(file, size, NULL, &model, NULL), SLM_OK);
    free(file);
    return model;
}

typedef struct machine {
    slmi_alloc alloc;
    slmi_exec_plan plan;
    slmi_exec exec;
    slmi_pool pool;
    uint8_t *pages[2];
    uint8_t *row_pages[N_ROWS];
    int32_t tokens[N_ROWS];
    uint32_t positions[N_ROWS], wanted[2], run_tiles[2];
    slmi_run run;
    _Atomic uint32_t cancel;
} machine;

static void *zeros(size_t size)
{
    void *block = slmi_os_alloc(size, SLMI_CACHE_LINE);
    assert_non_null(block);
    memset(block, 0, size);
    return block;
}

static void lower(machine *m, const slm_model *model, uint32_t fuse, const uint8_t *watched)
{
    memset(m, 0, sizeof(*m));
    assert_int_equal(slmi_alloc_init(&m->alloc, NULL, 0, NULL), SLM_OK);
    const slmi_lower_options options = { .max_tokens = N_ROWS, .max_wanted = 2, .fuse = fuse,
                                         .watched = watched };
    assert_int_equal(slmi_lower(&model->plan, &options, &m->alloc, &m->plan, NULL), SLM_OK);
}

static void compute(machine *m, uint32_t n_threads)
{
    const slm_tasks own_threads = { 0 };
    assert_int_equal(slmi_pool_init(&m->pool, n_threads, &own_threads, &m->alloc, NULL), SLM_OK);
    assert_int_equal(slmi_pool_start(&m->pool, NULL), SLM_OK);
    assert_int_equal(slmi_gate_init(&m->exec.gate, NULL), SLM_OK);
    m->exec.plan = &m->plan;
    m->exec.kernels = slmk_table_get(SLM_CPU_BEST);
    m->exec.pool = &m->pool;
    m->exec.cancel = &m->cancel;
    m->exec.scratch = zeros(m->plan.scratch_bytes);
    m->exec.worker_scratch = zeros(n_threads * m->plan.worker_bytes);
    for (uint32_t i = 0; i < 2; i++) {
        m->pages[i] = zeros(m->plan.page_bytes);
        m->wanted[i] = N_ROWS - 2 + i;
    }
    for (uint32_t i = 0; i < N_ROWS; i++) {
        m->tokens[i] = (int32_t)(i * 11 % TINY_VOCAB);
        m->positions[i] = i;
        m->row_pages[i] = m->pages[i / SLMK_PAGE];
    }
    m->run = (slmi_run){ .n_rows = N_ROWS, .pages = m->pages };
    const slmi_batch batch = { N_ROWS,       2,         1,       m->tokens,   m->positions,
                               m->row_pages, m->wanted, &m->run, m->run_tiles };
    slmi_exec_begin(&m->exec, &batch);
    assert_int_equal(slmi_exec_run(&m->exec, 0), 1);
}

static void leave(machine *m)
{
    if (m->exec.scratch != NULL) {
        slmi_pool_destroy(&m->pool);
        slmi_gate_destroy(&m->exec.gate);
        slmi_os_free(m->exec.scratch);
        slmi_os_free(m->exec.worker_scratch);
        slmi_os_free(m->pages[0]);
        slmi_os_free(m->pages[1]);
    }
    slmi_exec_plan_free(&m->plan);
    assert_true(atomic_load(&m->alloc.used) == 0);
}

static uint32_t rows_of(const slmi_plan *plan, slmi_value value)
{
    return plan->values[value].extent == SLMI_PER_WANTED ? 2 : N_ROWS;
}

static void joined_and_watched_give_equal_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_DESCRIPTIONS; i++) {
        static machine plain, joined, seen;
        slm_model *model = load(&descriptions[i]);
        const slmi_plan *plan = &model->plan;
        uint8_t *watched = malloc(plan->n_values);
        memset(watched, 1, plan->n_values);
        lower(&plain, model, 0, watched);
        lower(&joined, model, 1, NULL);
        lower(&seen, model, 1, watched);
        assert_true(joined.plan.n_stages < plain.plan.n_stages);
        compute(&plain, 1);
        compute(&joined, 3);
        compute(&seen, 2);
        for (uint32_t row = 0; row < 2; row++) {
            assert_memory_equal(slmi_exec_float(&plain.exec, plan->logits, row),
                                slmi_exec_float(&joined.exec, plan->logits, row),
                                TINY_VOCAB * sizeof(float));
        }
        for (uint32_t v = 0; v < plan->n_values; v++) {
            for (uint32_t row = 0; row < rows_of(plan, (slmi_value)v); row++) {
                assert_memory_equal(slmi_exec_float(&plain.exec, (slmi_value)v, row),
                                    slmi_exec_float(&seen.exec, (slmi_value)v, row),
                                    plan->values[v].width * sizeof(float));
            }
        }
        for (uint32_t p = 0; p < 2; p++) {
            assert_memory_equal(plain.pages[p], joined.pages[p], plain.plan.page_bytes);
        }
        leave(&plain);
        leave(&joined);
        leave(&seen);
        free(watched);
        slm_model_release(model);
    }
}

static const slmi_place *place_at(const slmi_exec_plan *plan, uint32_t i, size_t *bytes)
{
    const uint32_t n = plan->plan->n_values;
    const slmi_place *place = i < n ? &plan->floats[i] : &plan->rounded[i - n];
    *bytes = place->stride * rows_of(plan->plan, (slmi_value)(i % n));
    return place;
}

static void check_layout(const slmi_exec_plan *plan)
{
    const uint32_t n = 2 * plan->plan->n_values;
    for (uint32_t i = 0; i < n; i++) {
        size_t a_bytes, b_bytes;
        const slmi_place *a = place_at(plan, i, &a_bytes);
        assert_true(a->offset % SLMI_CACHE_LINE == 0 && a->stride % SLMI_CACHE_LINE == 0);
        assert_true(a->offset + a_bytes <= plan->scratch_bytes);
        for (uint32_t j = 0; j < i; j++) {
            const slmi_place *b = place_at(plan, j, &b_bytes);
            const int meet = a_bytes > 0 && b_bytes > 0 && a->first <= b->last && b->first <= a->last;
            assert_true(!meet || a->offset + a_bytes <= b->offset || b->offset + b_bytes <= a->offset);
        }
    }
}

/* A form exists from the stage that writes it to the last that reads it, watched ones to the end. */
static void check_lifetimes(const slmi_exec_plan *plan, const uint8_t *watched)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        for (uint32_t i = 0; i < plan->stages[s].n_ops; i++) {
            const slmi_exec_op *op = &plan->ops[plan->stages[s].first + i];
            for (int j = 0; j < 3; j++) {
                if (op->in[j] != SLMI_NONE) {
                    const slmi_place *place =
                        op->reads_rounded ? &plan->rounded[op->in[j]] : &plan->floats[op->in[j]];
                    assert_true(place->stride > 0 && place->first <= s && place->last >= s);
                }
            }
        }
    }
    for (uint32_t v = 0; watched != NULL && v < plan->plan->n_values; v++) {
        assert_true(!watched[v] || plan->floats[v].last == plan->n_stages);
    }
}

static void places_do_not_collide(void **state)
{
    (void)state;
    uint32_t random = 1;
    for (size_t i = 0; i < N_DESCRIPTIONS; i++) {
        slm_model *model = load(&descriptions[i]);
        uint8_t *watched = malloc(model->plan.n_values);
        for (int trial = 0; trial < 12; trial++) {
            machine m;
            for (uint32_t v = 0; v < model->plan.n_values; v++) {
                random = random * 1664525u + 1013904223u;
                watched[v] = trial > 0 && random >> 29 == 0;
            }
            lower(&m, model, (uint32_t)trial % 2, watched);
            check_layout(&m.plan);
            check_lifetimes(&m.plan, watched);
            leave(&m);
        }
        free(watched);
        slm_model_release(model);
    }
}

static void tiles_do_not_depend_on_workers(void **state)
{
    (void)state;
    slm_model *model = load(&descriptions[1]);
    static machine one, three;
    lower(&one, model, 1, NULL);
    lower(&three, model, 1, NULL);
    compute(&one, 1);
    compute(&three, 3);
    for (uint32_t i = 0; i < one.plan.n_ops; i++) {
        const slmi_exec_op *op = &one.plan.ops[i];
        if (op->kind == SLMI_EXEC_MATMUL) {
            assert_int_equal(slmi_matmul_prepare(&one.exec, op, N_ROWS),
                             slmi_matmul_prepare(&three.exec, op, N_ROWS));
            assert_memory_equal(one.exec.shape, three.exec.shape, sizeof(one.exec.shape));
        } else if (op->kind == SLMI_EXEC_ATTEND) {
            assert_int_equal(slmi_attend_prepare(&one.exec, op), slmi_attend_prepare(&three.exec, op));
        }
    }
    leave(&one);
    leave(&three);
    slm_model_release(model);
}

/* Matrices fill the block that was taken for them, one after another; the next has a block of its own. */
static void matrices_share_a_block(void **state)
{
    (void)state;
    slmi_alloc alloc;
    slmi_plan plan;
    slmi_index first, second, third;
    slm_error err = SLM_ERROR_INIT;
    const size_t size = (size_t)slmi_plan_matrix_size(SLMK_Q8_0, 17, 32);
    assert_int_equal(size, 1088); /* two panels of 544 bytes, a multiple of a cache line */
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, &err), SLM_OK);
    slmi_plan_init(&plan, &alloc);
    assert_int_equal(slmi_plan_reserve(&plan, 2 * size, &err), SLM_OK);
    assert_int_equal(slmi_plan_add_matrix(&plan, SLMK_Q8_0, 17, 32, &first, &err), SLM_OK);
    assert_int_equal(slmi_plan_add_matrix(&plan, SLMK_Q8_0, 32, 32, &second, &err), SLM_OK);
    assert_int_equal(plan.n_blocks, 1);
    assert_ptr_equal(plan.matrices[second].panels, plan.matrices[first].panels + size);
    assert_int_equal(slmi_plan_add_matrix(&plan, SLMK_Q8_0, 1, 32, &third, &err), SLM_OK);
    assert_int_equal(plan.n_blocks, 2);
    assert_int_equal(plan.blocks[1].size, 576); /* a panel, rounded up */
    assert_ptr_equal(plan.matrices[third].panels, plan.blocks[1].data);
    slmi_plan_free(&plan);
    assert_int_equal(alloc.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_and_watched_give_equal_bits),
        cmocka_unit_test(places_do_not_collide),
        cmocka_unit_test(tiles_do_not_depend_on_workers),
        cmocka_unit_test(matrices_share_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
