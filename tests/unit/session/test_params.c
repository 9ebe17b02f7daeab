/* SPDX-License-Identifier: MIT */
/* Parameters of a sequence: their table, ranges, states and inheritance. */
#include "session_fixture.h"

static slm_model *model;
static slm_error error;

static int set_up(void **state)
{
    (void)state;
    model = make_small(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

static const struct {
    uint32_t id, maximum, default_value, is_fixed;
    const char *name;
} table[] = {
    { SLM_SEQUENCE_PRIORITY, 255, 0, 0, "priority" },
    { SLM_SEQUENCE_FULL, SLM_FULL_WAIT, SLM_FULL_END, 0, "full" },
    { SLM_SEQUENCE_KEEP, 1u << 20, 4, 0, "keep" },
    { SLM_SEQUENCE_DROP, 1u << 20, 0, 0, "drop" },
    { SLM_SEQUENCE_WINDOW, 1u << 20, 0, 1, "window" },
    { SLM_SEQUENCE_SINKS, 1u << 20, 64, 1, "sinks" },
};

#define N_PARAMS (sizeof(table) / sizeof(table[0]))

static void describes_all(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_PARAMS; i++) {
        slm_param_info info = SLM_PARAM_INFO_INIT;
        uint32_t param = 0;
        OK(slm_session_get_param_info(i, &param, &info, NULL));
        assert_int_equal(param, table[i].id);
        assert_int_equal(info.type, SLM_PARAM_U32);
        assert_true(info.minimum == 0);
        assert_true(info.maximum == table[i].maximum);
        assert_true(info.default_value == table[i].default_value);
        assert_string_equal(info.name, table[i].name);
        OK(slm_session_get_param_info(i, NULL, NULL, NULL));
    }
    uint32_t param = 77;
    slm_param_info info = SLM_PARAM_INFO_INIT;
    assert_int_equal(slm_session_get_param_info(N_PARAMS, &param, &info, NULL), SLM_END);
    assert_int_equal(slm_session_get_param_info(UINT32_MAX, NULL, NULL, NULL), SLM_END);
    info.struct_size = 1;
    FAILS(slm_session_get_param_info(0, &param, &info, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    assert_int_equal(param, 77);
}

static void takes_the_whole_range_and_no_more(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 128);
    const slm_sequence q = begin_text(s, 3);
    for (size_t i = 0; i < N_PARAMS; i++) {
        uint32_t value = 77;
        OK(slm_session_get_u32(s, q, table[i].id, &value, NULL));
        assert_int_equal(value, table[i].default_value);
        OK(slm_session_set_u32(s, q, table[i].id, table[i].maximum, NULL));
        FAILS(slm_session_set_u32(s, q, table[i].id, table[i].maximum + 1, &error),
              SLM_ERR_OUT_OF_RANGE, SLM_NO_OFFSET);
        OK(slm_session_get_u32(s, q, table[i].id, &value, NULL));
        assert_int_equal(value, table[i].maximum);
        OK(slm_session_set_u32(s, q, table[i].id, 0, NULL));
        OK(slm_session_get_u32(s, q, table[i].id, &value, NULL));
        assert_int_equal(value, 0);
    }
    slm_session_release(s);
}

static void refuses_what_does_not_exist(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 128);
    const slm_sequence q = begin_text(s, 3);
    uint32_t value = 77;
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    FAILS(slm_session_set_u32(NULL, q, SLM_SEQUENCE_KEEP, 1, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_set_u32(s, 9, SLM_SEQUENCE_KEEP, 1, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_session_set_u32(s, q, 0, 1, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_set_u32(s, q, 7, 1, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_u32(NULL, q, SLM_SEQUENCE_KEEP, &value, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_u32(s, 9, SLM_SEQUENCE_KEEP, &value, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_session_get_u32(s, q, 7, &value, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_get_u32(s, q, SLM_SEQUENCE_KEEP, NULL, &error), bad, SLM_NO_OFFSET);
    assert_int_equal(value, 77);
    slm_session_release(s);
}

/* Window and sinks can change exactly while no token is computed. */
static void windows_are_fixed_once_computed(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 1, 256);
    const slm_sequence q = begin_text(s, 200);
    for (size_t i = 0; i < N_PARAMS; i++) {
        OK(slm_session_set_u32(s, q, table[i].id, table[i].default_value, NULL));
    }
    (void)slm_session_step(s, 1, NULL); /* a batch is under way */
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, 0, NULL));
    finish(s);
    for (size_t i = 0; i < N_PARAMS; i++) {
        const slm_status status = slm_session_set_u32(s, q, table[i].id, table[i].default_value, &error);
        assert_int_equal(status, table[i].is_fixed ? SLM_ERR_STATE : SLM_OK);
    }
    /* Keys on their way to the beginning are computed as well. */
    OK(slm_session_replace(s, q, 0, 10, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    FAILS(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, 64, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    finish(s);
    OK(slm_session_truncate_sequence(s, q, 0, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, 64, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_SINKS, 0, NULL));
    slm_session_release(s);
}

static void forks_inherit_and_new_sequences_do_not(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 128);
    const slm_sequence q = begin_text(s, 3);
    slm_sequence copy;
    uint32_t value;
    for (uint32_t i = 0; i < N_PARAMS; i++) {
        OK(slm_session_set_u32(s, q, table[i].id, i + 1 > table[i].maximum ? 1 : i + 1, NULL));
    }
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_PRIORITY, 9, NULL));
    for (uint32_t i = 0; i < N_PARAMS; i++) {
        OK(slm_session_get_u32(s, copy, table[i].id, &value, NULL));
        assert_int_equal(value, i + 1 > table[i].maximum ? 1 : i + 1);
    }
    OK(slm_session_remove_sequence(s, q, NULL));
    const slm_sequence fresh = begin_text(s, 3);
    for (uint32_t i = 0; i < N_PARAMS; i++) {
        OK(slm_session_get_u32(s, fresh, table[i].id, &value, NULL));
        assert_int_equal(value, table[i].default_value);
    }
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_all),
        cmocka_unit_test(takes_the_whole_range_and_no_more),
        cmocka_unit_test(refuses_what_does_not_exist),
        cmocka_unit_test(windows_are_fixed_once_computed),
        cmocka_unit_test(forks_inherit_and_new_sequences_do_not),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
