/* SPDX-License-Identifier: MIT */
/* Profiles of stages: products and bytes counted by hand, times of the session's clock, every status. */
#include "session_fixture.h"

#include "slm/experimental/profile.h"

static slm_error error;
static slm_model *model;

/* The tiny model: width 64, 4 heads of 16, 2 kv heads, 96 hidden, 2 layers; as Q8_0 its products are of
 * integers, but for attention. */
enum { WIDTH = 64, KV_WIDTH = 32, HIDDEN = 96, LAYERS = 2 };
enum { LAYER_PRODUCTS = WIDTH * (2 * WIDTH + 2 * KV_WIDTH + 3 * HIDDEN) };

static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { .type = TINY_Q8_0 };
    model = make_model(&description);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

/* All stages of a kind together. */
static slm_x_stage_profile total(slm_session *session, uint32_t kind)
{
    slm_x_stage_profile sum = SLM_X_STAGE_PROFILE_INIT, stage = SLM_X_STAGE_PROFILE_INIT;
    slm_status status;
    for (uint32_t i = 0;
         (status = slm_x_session_get_stage_profile(session, i, &stage, &error)) == SLM_OK; i++) {
        if (stage.kind == kind) {
            sum.n_runs += stage.n_runs;
            sum.nanoseconds += stage.nanoseconds;
            sum.integer_products += stage.integer_products;
            sum.float_products += stage.float_products;
            sum.weight_bytes += stage.weight_bytes;
            sum.cache_bytes += stage.cache_bytes;
        }
    }
    assert_int_equal(status, SLM_END);
    return sum;
}

/* What is computed before does not count; then five tokens of another sequence do. */
static void test_counts(void **state)
{
    (void)state;
    slm_session *session = make_session(model, 2);
    add_sequence(session, "abc");
    finish(session);
    OK(slm_x_session_set_profiling(session, 1, &error));
    assert_int_equal(total(session, SLM_X_STAGE_MATMUL).n_runs, 0);

    const slm_sequence sequence = add_sequence(session, "abcd");
    const int32_t last = TINY_LETTER;
    OK(slm_session_append(session, sequence, &last, 1, SLM_APPEND_LOGITS, NULL));
    finish(session);
    const slm_x_stage_profile products = total(session, SLM_X_STAGE_MATMUL);
    const uint64_t head = (uint64_t)WIDTH * TINY_VOCAB;
    assert_int_equal(products.integer_products, 5 * LAYERS * LAYER_PRODUCTS + head);
    assert_int_equal(products.float_products, 0);
    /* A row of 32 numbers takes 34 bytes; the head's 287 rows lie in 18 panels of 16. */
    assert_int_equal(products.weight_bytes,
                     (LAYERS * LAYER_PRODUCTS + (uint64_t)WIDTH * 18 * 16) / 32 * 34);
    assert_int_equal(products.n_runs, LAYERS * 4 + 1); /* q k v, output, gate and up, down */
    assert_int_equal(products.cache_bytes, 0);

    /* The tokens see 1 + 2 + 3 + 4 + 5 keys, each with its value; half precision takes 2 bytes. */
    const slm_x_stage_profile attention = total(session, SLM_X_STAGE_ATTENTION);
    assert_int_equal(attention.n_runs, LAYERS);
    assert_int_equal(attention.float_products, LAYERS * 2 * 15 * WIDTH);
    assert_int_equal(attention.cache_bytes, LAYERS * 5 * 2 * KV_WIDTH * 2);
    assert_int_equal(attention.weight_bytes, 0);

    const slm_x_stage_profile rows = total(session, SLM_X_STAGE_ROWS);
    assert_int_equal(rows.cache_bytes, LAYERS * 5 * 2 * KV_WIDTH * 2);
    assert_int_equal(rows.weight_bytes, 5 * WIDTH / 32 * 34); /* the embedding's */
    /* Norms: two in each layer, one at the end; turned: q and k. */
    assert_int_equal(rows.float_products,
                     2 * (5 * LAYERS * (2 * WIDTH + WIDTH + KV_WIDTH) + WIDTH));

    OK(slm_x_session_set_profiling(session, 1, &error));
    assert_int_equal(total(session, SLM_X_STAGE_MATMUL).integer_products, 0);
    slm_session_release(session);
}

/* What a window hides is not read. */
static void test_window(void **state)
{
    (void)state;
    slm_session *session = make_session(model, 1);
    const slm_sequence sequence = add_sequence(session, "a");
    OK(slm_session_set_u32(session, sequence, SLM_SEQUENCE_WINDOW, 64, NULL));
    OK(slm_session_set_u32(session, sequence, SLM_SEQUENCE_SINKS, 64, NULL));
    for (int i = 1; i < 300; i++) {
        const int32_t token = TINY_LETTER + i % 26;
        OK(slm_session_append(session, sequence, &token, 1, 0, NULL));
    }
    finish(session);
    OK(slm_x_session_set_profiling(session, 1, &error));
    const int32_t token = TINY_LETTER;
    OK(slm_session_append(session, sequence, &token, 1, 0, NULL));
    finish(session);
    /* Position 300 sees the page of the sinks, and what lies from 300 + 1 - 64 = 237 on: whole pages, from
     * 192. */
    const uint64_t seen = 64 + (300 + 1 - 192);
    assert_int_equal(total(session, SLM_X_STAGE_ATTENTION).float_products, LAYERS * 2 * seen * WIDTH);
    assert_int_equal(total(session, SLM_X_STAGE_ATTENTION).cache_bytes,
                     LAYERS * seen * 2 * KV_WIDTH * 2);
    slm_session_release(session);
}

static uint64_t ticks;

/* Each look at the clock takes a microsecond. */
static uint64_t tick(void *ctx)
{
    (void)ctx;
    return ticks += 1000;
}

/* Stages follow each other, so their times fill the steps, also those that stop anywhere; what lies between
 * steps does not count. */
static void test_times(void **state)
{
    (void)state;
    slm_host host = SLM_HOST_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session *session;
    host.clock = tick;
    options.host = &host;
    options.n_threads = 1;
    OK(slm_session_create(model, &options, &session, NULL));
    OK(slm_x_session_set_profiling(session, 1, &error));
    (void)add_sequence(session, "abcdefgh");
    uint64_t stepped = 0, n_steps = 0;
    slm_status status;
    do {
        const uint64_t before = ticks;
        status = slm_session_step(session, 5, &error);
        stepped += ticks - before;
        n_steps++;
        ticks += 1000000;
    } while (status == SLM_MORE);
    assert_int_equal(status, SLM_OK);
    assert_true(n_steps > 5);
    const uint64_t staged = total(session, SLM_X_STAGE_ROWS).nanoseconds +
                            total(session, SLM_X_STAGE_MATMUL).nanoseconds +
                            total(session, SLM_X_STAGE_ATTENTION).nanoseconds;
    assert_true(staged > 0 && staged <= stepped);
    /* A step looks at the clock a few times outside of stages. */
    assert_true(staged + n_steps * 5000 >= stepped);
    assert_int_equal(total(session, SLM_X_STAGE_ROWS).n_runs, 2 + LAYERS * 3 - 1);
    slm_session_release(session);
}

static void test_names(void **state)
{
    (void)state;
    slm_session *session = make_session(model, 1);
    slm_x_stage_profile stage = SLM_X_STAGE_PROFILE_INIT;
    OK(slm_x_session_set_profiling(session, 1, &error));
    const char *const names[] = {
        "angles, token_embd, attn_norm", "blk.0: attn_q, attn_k, attn_v",
        "blk.0: q_turned, k_turned",     "blk.0: attn",
        "blk.0: attn_output",            "blk.0: after_attn, ffn_norm",
        "blk.0: ffn_hidden",             "blk.0: ffn_down",
    };
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        OK(slm_x_session_get_stage_profile(session, i, &stage, &error));
        assert_string_equal(stage.name, names[i]);
    }
    slm_session_release(session);
}

static void test_statuses(void **state)
{
    (void)state;
    slm_session *session = make_session(model, 1);
    slm_x_stage_profile stage = SLM_X_STAGE_PROFILE_INIT;
    FAILS(slm_x_session_set_profiling(NULL, 1, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_session_set_profiling(session, 2, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_session_get_stage_profile(session, 0, &stage, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    OK(slm_x_session_set_profiling(session, 0, &error));
    OK(slm_x_session_set_profiling(session, 1, &error));
    FAILS(slm_x_session_get_stage_profile(NULL, 0, &stage, &error), SLM_ERR_INVALID_ARGUMENT,
          SLM_NO_OFFSET);
    FAILS(slm_x_session_get_stage_profile(session, 0, NULL, &error), SLM_ERR_INVALID_ARGUMENT,
          SLM_NO_OFFSET);
    stage.struct_size = 0;
    FAILS(slm_x_session_get_stage_profile(session, 0, &stage, &error), SLM_ERR_INVALID_ARGUMENT,
          SLM_NO_OFFSET);
    stage.struct_size = sizeof(stage);
    assert_int_equal(slm_x_session_get_stage_profile(session, UINT32_MAX, &stage, &error), SLM_END);
    OK(slm_x_session_set_profiling(session, 0, &error));
    FAILS(slm_x_session_get_stage_profile(session, 0, &stage, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    slm_session_release(session);
}

/* A profile counts against the session's limit, and is refused beyond it. */
static void test_memory(void **state)
{
    (void)state;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    slm_session *session;
    options.n_threads = 1;
    OK(slm_session_estimate(model, &options, &memory, &error));
    options.max_memory_bytes = memory.total_bytes;
    OK(slm_session_create(model, &options, &session, &error));
    FAILS(slm_x_session_set_profiling(session, 1, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    add_sequence(session, "ab");
    finish(session);
    slm_session_release(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_window), cmocka_unit_test(test_times),
        cmocka_unit_test(test_names), cmocka_unit_test(test_statuses), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
