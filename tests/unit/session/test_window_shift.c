/* SPDX-License-Identifier: MIT */
/* Keys that move behind a window: what it has hidden stays hidden, whatever comes between. */
#include "session_fixture.h"

#define WINDOW 100
#define SINKS 64
#define N_TOKENS 500
#define HIDDEN_END 384 /* the window of the last token begins in the page of token 400 */
#define NEAR 1e-4

static slm_model *flat;
static slm_error error;

static int set_up(void **state)
{
    (void)state;
    flat = make_small(1); /* its keys and values depend on the token and the position alone */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(flat);
    return 0;
}

static slm_session *make_float(uint64_t *time)
{
    slm_session_options options = small_options(3, 700);
    options.kv_type = SLM_KV_F32;
    return make_piecewise(flat, options, time);
}

static slm_sequence add_windowed(slm_session *s)
{
    const slm_sequence q = add_sequence(s, "");
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, WINDOW, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_SINKS, SINKS, NULL));
    return q;
}

static slm_sequence compute_windowed(slm_session *s)
{
    const slm_sequence q = add_windowed(s);
    append_text_tokens(s, q, 0, N_TOKENS, 0);
    finish(s);
    return q;
}

/* A sequence computes what another with the same tokens computes, up to rounding, in sight of the same. */
static void assert_near_fresh(slm_session *s, slm_sequence q)
{
    future expected, f;
    const slm_sequence_info info = info_of(s, q);
    const slm_sequence fresh = add_windowed(s);
    OK(slm_session_append(s, fresh, info.tokens, info.n_tokens, 0, NULL));
    look_ahead(s, fresh, &expected);
    OK(slm_session_remove_sequence(s, fresh, NULL));
    look_ahead(s, q, &f);
    assert_true(future_distance(&expected, &f) < NEAR);
}

static void sees_what_it_saw(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, n_removed;
    } edits[] = {
        { 64, 64 }, { 64, 128 }, { 64, 320 }, { 64, 384 }, { 128, 64 }, { 128, 256 }, { 200, 64 },
        { 320, 64 },
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        for (uint64_t budget = 0; budget < 2; budget++) {
            uint64_t time;
            slm_session *s = make_float(&time);
            const slm_sequence q = compute_windowed(s);
            result r;
            OK(slm_session_replace(s, q, edits[i].first, edits[i].n_removed, NULL, 0, SLM_REPLACE_SHIFT,
                                   NULL));
            run(s, q, budget, &r);
            const slm_sequence_info info = info_of(s, q);
            assert_int_equal(info.n_computed, N_TOKENS - edits[i].n_removed);
            assert_true(info.n_pages <= 5);
            assert_near_fresh(s, q);
            slm_session_release(s);
        }
    }
}

static void refuses_to_see_more(void **state)
{
    (void)state;
    uint64_t time;
    slm_session *s = make_float(&time);
    const slm_sequence q = compute_windowed(s), copy = compute_windowed(s);
    future expected, f;
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    const uint32_t shift = SLM_REPLACE_SHIFT;
    FAILS(slm_session_replace(s, q, 64, 63, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 63, 64, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, HIDDEN_END, 64, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, HIDDEN_END + 1, 64, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 128, 320, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 65, 384, NULL, 0, shift, &error), bad, SLM_NO_OFFSET);
    look_ahead(s, copy, &expected);
    look_ahead(s, q, &f);
    assert_same_future(&expected, &f);
    slm_session_release(s);
}

/* Without the flag all is computed again, and equal. */
static void replaces_what_is_hidden(void **state)
{
    (void)state;
    uint64_t time;
    slm_session *s = make_float(&time);
    const slm_sequence q = compute_windowed(s), fresh = add_windowed(s);
    const int32_t other = TINY_SPACE;
    future expected, f;
    OK(slm_session_replace(s, q, 30, 3, &other, 1, 0, NULL));
    assert_int_equal(info_of(s, q).n_computed, 0);
    finish(s);
    append_text_tokens(s, fresh, 0, 30, 0);
    OK(slm_session_append(s, fresh, &other, 1, 0, NULL));
    append_text_tokens(s, fresh, 33, N_TOKENS, 0);
    look_ahead(s, fresh, &expected);
    look_ahead(s, q, &f);
    assert_same_future(&expected, &f);
    slm_session_release(s);
}

static uint8_t blob[1 << 20];

/* What happens while keys are on the move to where tokens are hidden. */
static slm_sequence disturb(slm_session *s, slm_sequence q, int how)
{
    slm_sequence other = q;
    const int32_t token = TINY_SPACE;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    size_t size;
    switch (how) {
    case 0:
        OK(slm_session_truncate_sequence(s, q, 350, NULL));
        break;
    case 1:
        OK(slm_session_truncate_sequence(s, q, 150, NULL));
        break;
    case 2:
        OK(slm_session_fork_sequence(s, q, &other, NULL));
        break;
    case 3:
        OK(slm_session_save_sequence(s, q, NULL, blob, sizeof(blob), &size, NULL));
        OK(slm_saved_get_info(blob, size, &info, NULL));
        OK(slm_session_restore_sequence(s, blob, size, NULL, &other, NULL));
        break;
    case 4:
        OK(slm_session_replace(s, q, 30, 4, &token, 1, 0, NULL));
        break;
    case 5:
        OK(slm_session_replace(s, q, 64, 64, NULL, 0, SLM_REPLACE_SHIFT, NULL));
        break;
    case 6: /* refused: the keys still arrive */
        FAILS(slm_session_replace(s, q, 65, 1, NULL, 0, SLM_REPLACE_SHIFT, &error),
              SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
        break;
    case 7:
        append_text_tokens(s, q, 0, 30, 0);
        break;
    default:
        generate(s, q, 3, SLM_GENERATE_IGNORE_END);
        break;
    }
    return other;
}

static void moves_can_be_interrupted(void **state)
{
    (void)state;
    for (int how = 0; how < 9; how++) {
        for (int n_steps = 0; n_steps < 12; n_steps += 3) {
            uint64_t time;
            slm_session *s = make_float(&time);
            const slm_sequence q = compute_windowed(s);
            OK(slm_session_replace(s, q, n_steps == 3 ? 64 : 200, 128, NULL, 0, SLM_REPLACE_SHIFT, NULL));
            for (int i = 0; i < n_steps; i++) {
                (void)slm_session_step(s, 1, NULL);
            }
            const uint32_t n_pages = info_of(s, q).n_pages;
            const slm_sequence disturbed = disturb(s, q, how);
            assert_true(how != 7 || info_of(s, q).n_pages <= n_pages + 1);
            finish(s);
            assert_near_fresh(s, disturbed);
            if (disturbed != q) {
                assert_near_fresh(s, q);
            }
            slm_session_release(s);
        }
    }
}

/* Without pages for all, a move that cannot be given up goes on. */
static void keeps_moving_without_pages(void **state)
{
    (void)state;
    uint64_t time;
    slm_session_options options = small_options(2, 700);
    options.kv_type = SLM_KV_F32;
    options.pool_tokens = 64 * 6;
    slm_session *s = make_piecewise(flat, options, &time);
    const slm_sequence q = add_windowed(s);
    slm_sequence copy;
    for (uint32_t n = 0; n < N_TOKENS; n += 50) {
        append_text_tokens(s, q, n, n + 50, 0);
        finish(s);
    }
    OK(slm_session_replace(s, q, 200, 128, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    (void)slm_session_step(s, 1, NULL);
    FAILS(slm_session_fork_sequence(s, q, &copy, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 30, 1, NULL, 0, 0, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    FAILS(slm_session_truncate_sequence(s, q, 371, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    finish(s);
    assert_int_equal(info_of(s, q).n_computed, N_TOKENS - 128);
    slm_session *roomy = make_float(&time);
    future expected, f;
    const slm_sequence fresh = add_windowed(roomy);
    append_text_tokens(roomy, fresh, 0, 200, 0);
    append_text_tokens(roomy, fresh, 328, N_TOKENS, 0);
    look_ahead(roomy, fresh, &expected);
    look_ahead(s, q, &f);
    assert_true(future_distance(&expected, &f) < NEAR);
    slm_session_release(roomy);
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_what_it_saw),
        cmocka_unit_test(refuses_to_see_more),
        cmocka_unit_test(replaces_what_is_hidden),
        cmocka_unit_test(moves_can_be_interrupted),
        cmocka_unit_test(keeps_moving_without_pages),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
