/* SPDX-License-Identifier: MIT */
/* Other tokens in the place of some: as if written so from the start; keys that move instead. */
#include "session_fixture.h"

#include "session/session.h"

static slm_model *model, *flat;
static slm_error error;

static int set_up(void **state)
{
    (void)state;
    model = make_small(2);
    flat = make_small(1); /* its keys and values depend on the token and the position alone */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    slm_model_release(flat);
    return 0;
}

/* Tokens [0, n) of the long text without [first, first + n_removed) and with `tokens` in their place. */
static slm_sequence begin_edited(slm_session *s, uint32_t n, uint32_t first, uint32_t n_removed,
                                 const int32_t *tokens, uint32_t n_tokens)
{
    const slm_sequence q = begin_text(s, first);
    OK(slm_session_append(s, q, tokens, n_tokens, 0, NULL));
    append_text_tokens(s, q, first + n_removed, n, 0);
    return q;
}

static const int32_t summary[] = { TINY_SPACE, TINY_LETTER + 3, TINY_LETTER, TINY_SPACE, TINY_LETTER + 9 };

static const struct {
    uint32_t first, n_removed, n_tokens;
} edits[] = {
    { 0, 0, 5 }, { 0, 1, 0 }, { 0, 70, 5 }, { 0, 199, 0 }, { 5, 1, 1 },   { 63, 2, 5 },  { 64, 64, 0 },
    { 100, 0, 1 }, { 100, 50, 5 }, { 130, 70, 0 }, { 199, 1, 0 }, { 199, 1, 5 }, { 200, 0, 5 },
    { 10, 185, 0 },
};

#define N_EDITS (sizeof(edits) / sizeof(edits[0]))

static void equals_what_was_written_so(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 3, 256);
    for (size_t i = 0; i < N_EDITS; i++) {
        future expected, f;
        const slm_sequence fresh = begin_edited(s, 200, edits[i].first, edits[i].n_removed, summary,
                                                edits[i].n_tokens);
        const slm_sequence q = begin_text(s, 200);
        slm_sequence copy;
        finish(s);
        OK(slm_session_fork_sequence(s, q, &copy, NULL));
        OK(slm_session_replace(s, q, edits[i].first, edits[i].n_removed, summary, edits[i].n_tokens, 0,
                               NULL));
        const uint32_t n_after = 200 - edits[i].n_removed + edits[i].n_tokens;
        assert_int_equal(info_of(s, q).n_tokens, n_after);
        assert_int_equal(info_of(s, q).n_computed, edits[i].first);
        assert_memory_equal(info_of(s, q).tokens, info_of(s, fresh).tokens, n_after * sizeof(int32_t));
        finish(s);
        assert_int_equal(info_of(s, q).n_computed, n_after);
        look_ahead(s, fresh, &expected);
        look_ahead(s, q, &f);
        assert_same_future(&expected, &f);
        /* The copy shares pages with it and has not changed. */
        OK(slm_session_remove_sequence(s, fresh, NULL));
        OK(slm_session_remove_sequence(s, q, NULL));
        look_ahead(s, copy, &f);
        look_ahead(s, begin_text(s, 200), &expected);
        assert_same_future(&expected, &f);
        slm_session_release(s);
        s = make_sized(model, 3, 256);
    }
    slm_session_release(s);
}

/* The tokens that a generation writes after an edit in its middle are those that a fresh one writes. */
static void goes_on_generating(void **state)
{
    (void)state;
    for (size_t i = 0; i <= N_EDITS; i++) {
        slm_session *s = make_sized(model, 2, 256);
        const slm_sequence q = begin_text(s, 190), fresh = add_sequence(s, "");
        result before, r, expected;
        generate(s, q, 10, SLM_GENERATE_IGNORE_END);
        run(s, q, 0, &before);
        generate(s, q, 15, SLM_GENERATE_IGNORE_END);
        while (info_of(s, q).n_tokens < 202) { /* in the middle of it */
            assert_int_equal(slm_session_step(s, 1, NULL), SLM_MORE);
        }
        const uint32_t n_written = info_of(s, q).n_tokens - 200;
        if (i < N_EDITS) {
            OK(slm_session_replace(s, q, edits[i].first, edits[i].n_removed, summary, edits[i].n_tokens, 0,
                                   NULL));
        } else { /* all that it wrote, and more */
            OK(slm_session_replace(s, q, 195, n_written + 5, NULL, 0, 0, NULL));
        }
        const slm_sequence_info info = info_of(s, q);
        assert_int_equal(info.is_generating, 1);
        int32_t tokens[256];
        memcpy(tokens, info.tokens, info.n_tokens * sizeof(int32_t));
        OK(slm_session_append(s, fresh, tokens, info.n_tokens, 0, NULL));
        run(s, q, 0, &r);
        assert_int_equal(r.n_tokens, 15 - n_written);
        assert_int_equal(r.n_generated, 15);
        assert_int_equal(r.reason, SLM_DONE_LENGTH);
        generate(s, fresh, 15 - n_written, SLM_GENERATE_IGNORE_END);
        run(s, fresh, 0, &expected);
        assert_memory_equal(expected.tokens, r.tokens, r.n_tokens * sizeof(int32_t));
        slm_session_release(s);
    }
}

/* Wishes for logits that are not fulfilled yet stay with their tokens. */
static void wishes_stay_with_their_tokens(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= SLM_REPLACE_SHIFT; flags++) {
        for (uint32_t n_steps = 0; n_steps < 30; n_steps += 3) {
            uint64_t time;
            slm_session *s = make_piecewise(model, small_options(1, 256), &time);
            const slm_sequence q = begin_text(s, 100);
            slm_event event = SLM_EVENT_INIT;
            uint32_t n_seen = 0;
            int32_t seen[16];
            finish(s);
            append_text_tokens(s, q, 100, 104, SLM_APPEND_LOGITS);
            append_text_tokens(s, q, 104, 110, 0);
            append_text_tokens(s, q, 110, 113, SLM_APPEND_LOGITS);
            for (uint32_t i = 0; i < n_steps; i++) {
                (void)slm_session_step(s, 1, NULL);
                while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
                    seen[n_seen++] = event.token;
                }
            }
            const uint32_t n_gone = n_seen == 0 ? 2 : 0; /* 103 and 104 are removed */
            OK(slm_session_replace(s, q, n_gone == 2 ? 103 : 20, 2, summary, flags == 0 ? 5 : 0, flags,
                                   NULL));
            slm_status status = SLM_MORE;
            while (status == SLM_MORE) {
                status = slm_session_step(s, n_steps % 2, NULL);
                while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
                    assert_int_equal(event.token, info_of(s, q).tokens[event.position]);
                    seen[n_seen++] = event.token;
                }
            }
            static const uint32_t wanted[] = { 100, 101, 102, 103, 110, 111, 112 };
            uint32_t n = 0;
            for (size_t i = 0; i < 7; i++) {
                if (n_gone == 0 || wanted[i] != 103) {
                    assert_int_equal(seen[n++], text_token(wanted[i]));
                }
            }
            assert_int_equal(n_seen, n);
            slm_session_release(s);
        }
    }
}

/* Replaced at every point of a step in progress. */
static void replaces_at_any_point(void **state)
{
    (void)state;
    slm_session *plain = make_sized(model, 1, 256);
    future expected, f;
    look_ahead(plain, begin_edited(plain, 100, 50, 20, summary, 5), &expected);
    slm_session_release(plain);
    int n_steps = 0;
    for (int is_done = 0; !is_done; n_steps += 7) {
        uint64_t time;
        slm_session *s = make_piecewise(model, small_options(2, 256), &time);
        const slm_sequence q = begin_text(s, 100), other = begin_text(s, 70);
        generate(s, other, 5, SLM_GENERATE_IGNORE_END);
        for (int i = 0; i < n_steps && !is_done; i++) {
            is_done = slm_session_step(s, 1, NULL) == SLM_OK;
        }
        OK(slm_session_replace(s, q, 50, 20, summary, 5, 0, NULL));
        finish(s);
        look_ahead(s, q, &f);
        assert_same_future(&expected, &f);
        slm_session_release(s);
    }
    assert_true(n_steps > 50);
}

static double shifted_distance(slm_model *m, uint32_t kv_type, uint64_t budget, size_t edit)
{
    slm_session *s;
    slm_session_options options = small_options(2, 256);
    options.kv_type = kv_type;
    OK(slm_session_create(m, &options, &s, NULL));
    const slm_sequence q = begin_text(s, 200);
    const slm_sequence fresh = begin_edited(s, 200, edits[edit].first, edits[edit].n_removed, NULL, 0);
    future expected, f;
    result r;
    finish(s);
    OK(slm_session_replace(s, q, edits[edit].first, edits[edit].n_removed, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    run(s, q, budget, &r);
    assert_int_equal(info_of(s, q).n_computed, 200 - edits[edit].n_removed);
    look_ahead(s, fresh, &expected);
    look_ahead(s, q, &f);
    slm_session_release(s);
    return future_distance(&expected, &f);
}

/* In one layer a moved key is the key that would be computed, up to rounding. */
static void moved_keys_are_near(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EDITS; i++) {
        if (edits[i].n_removed > 0) {
            assert_true(shifted_distance(flat, SLM_KV_F32, 0, i) < 1e-4);
            assert_true(shifted_distance(flat, SLM_KV_F32, 1, i) < 1e-4);
            assert_true(shifted_distance(flat, SLM_KV_F16, 0, i) < 2e-3);
        }
    }
    /* In two layers what was computed in the sight of the removed tokens remembers them. */
    assert_true(shifted_distance(model, SLM_KV_F32, 0, 6) > 1e-3);
}

/* Budgets, company and forks do not change where keys arrive. */
static void moves_give_the_same_bits(void **state)
{
    (void)state;
    future expected, f;
    uint64_t time;
    for (int manner = 0; manner < 4; manner++) {
        slm_session *s = make_piecewise(model, small_options(4, 256), &time);
        const slm_sequence q = begin_text(s, 200);
        slm_sequence copy = 0;
        finish(s);
        if (manner == 2) {
            OK(slm_session_fork_sequence(s, q, &copy, NULL));
        }
        OK(slm_session_replace(s, q, 10, 70, NULL, 0, SLM_REPLACE_SHIFT, NULL));
        const slm_sequence other = manner == 3 ? begin_text(s, 130) : 0;
        int n_steps = 0;
        while (slm_session_step(s, manner == 0 ? 0 : 1, NULL) == SLM_MORE) {
            n_steps++;
        }
        assert_true(manner == 0 || n_steps > 10);
        look_ahead(s, q, manner == 0 ? &expected : &f);
        if (manner > 0) {
            assert_same_future(&expected, &f);
        }
        if (copy != 0 || other != 0) {
            future unchanged;
            look_ahead(s, copy != 0 ? copy : other, &f);
            look_ahead(s, begin_text(s, copy != 0 ? 200 : 130), &unchanged);
            assert_same_future(&unchanged, &f);
        }
        slm_session_release(s);
    }
}

static uint8_t blob[1 << 20];

/* What happens to a sequence while its keys are on the move; after steps it holds tokens as they are then. */
static slm_sequence disturb(slm_session *s, slm_sequence q, int how)
{
    slm_sequence other = q;
    size_t size;
    switch (how) {
    case 0:
        OK(slm_session_truncate_sequence(s, q, 60, NULL));
        break;
    case 1:
        OK(slm_session_truncate_sequence(s, q, 5, NULL));
        break;
    case 2:
        OK(slm_session_fork_sequence(s, q, &other, NULL));
        break;
    case 3:
        OK(slm_session_save_sequence(s, q, NULL, blob, sizeof(blob), &size, NULL));
        OK(slm_session_restore_sequence(s, blob, size, NULL, &other, NULL));
        break;
    case 4:
        OK(slm_session_replace(s, q, 3, 4, summary, 5, 0, NULL));
        break;
    case 5:
        OK(slm_session_replace(s, q, 3, 4, NULL, 0, SLM_REPLACE_SHIFT, NULL));
        break;
    case 6:
        OK(slm_session_replace(s, q, 100, 4, NULL, 0, SLM_REPLACE_SHIFT, NULL));
        break;
    default:
        OK(slm_session_fork_sequence(s, q, &other, NULL));
        OK(slm_session_remove_sequence(s, q, NULL));
        break;
    }
    return other;
}

/* In the middle of a move: one layer and float32, so that results must be near those of a fresh sequence
 * whatever part of the keys moved and whatever part was computed. */
static void moves_can_be_interrupted(void **state)
{
    (void)state;
    for (int how = 0; how < 8; how++) {
        for (int n_steps = 0; n_steps < 9; n_steps++) {
            uint64_t time;
            slm_session_options options = small_options(3, 256);
            options.kv_type = SLM_KV_F32;
            slm_session *s = make_piecewise(flat, options, &time);
            const slm_sequence q = begin_text(s, 200);
            future expected, f;
            finish(s);
            OK(slm_session_replace(s, q, 10, 70, NULL, 0, SLM_REPLACE_SHIFT, NULL));
            for (int i = 0; i < n_steps; i++) {
                (void)slm_session_step(s, 1, NULL);
            }
            const slm_sequence disturbed = disturb(s, q, how);
            finish(s);
            assert_int_equal(info_of(s, disturbed).n_computed, info_of(s, disturbed).n_tokens);
            const slm_sequence_info info = info_of(s, disturbed);
            const slm_sequence fresh = add_sequence(s, "");
            OK(slm_session_append(s, fresh, info.tokens, info.n_tokens, 0, NULL));
            look_ahead(s, fresh, &expected);
            OK(slm_session_remove_sequence(s, fresh, NULL));
            look_ahead(s, disturbed, &f);
            assert_true(future_distance(&expected, &f) < 1e-4);
            if (disturbed != q && how != 7) { /* the move itself was not disturbed */
                OK(slm_session_append(s, q, NULL, 0, 0, NULL));
                look_ahead(s, q, &f);
                assert_true(future_distance(&expected, &f) < 1e-4);
            }
            slm_session_release(s);
        }
    }
}

/* Appending and generating may follow at once: the keys arrive first. */
static void moves_and_goes_on(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    for (int appends = 0; appends < 2; appends++) {
        for (int at_once = 0; at_once < 2; at_once++) {
            static int32_t expected[5];
            const slm_sequence q = begin_text(s, 200);
            result r;
            finish(s);
            OK(slm_session_replace(s, q, 10, 70, NULL, 0, SLM_REPLACE_SHIFT, NULL));
            if (!at_once) {
                finish(s);
            }
            if (appends) {
                append_text_tokens(s, q, 200, 230, 0);
            }
            generate(s, q, 5, SLM_GENERATE_IGNORE_END);
            run(s, q, 0, &r);
            assert_int_equal(r.n_tokens, 5);
            assert_int_equal(r.reason, SLM_DONE_LENGTH);
            if (at_once) {
                assert_memory_equal(expected, r.tokens, sizeof(expected));
            }
            memcpy(expected, r.tokens, sizeof(expected));
            OK(slm_session_remove_sequence(s, q, NULL));
        }
    }
    slm_session_release(s);
}

/* What was generated is computed again too, though nothing asks for its logits. */
static void generated_tokens_are_computed_again(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 256);
    const slm_sequence q = begin_text(s, 10);
    result r;
    generate(s, q, 100, SLM_GENERATE_IGNORE_END);
    run(s, q, 0, &r);
    OK(slm_session_replace(s, q, 50, 10, NULL, 0, 0, NULL));
    finish(s);
    assert_int_equal(info_of(s, q).n_computed, 99);
    OK(slm_session_append(s, q, NULL, 0, 0, NULL)); /* asks for the last one */
    finish(s);
    assert_int_equal(info_of(s, q).n_computed, 100);
    slm_session_release(s);
}

static void refuses_and_changes_nothing(void **state)
{
    (void)state;
    slm_session *s = make_sized(model, 2, 128);
    const slm_sequence q = begin_text(s, 100);
    future expected, f;
    int32_t tokens[200] = { 5, 6, TINY_VOCAB };
    const int bad = SLM_ERR_INVALID_ARGUMENT;
    finish(s);
    FAILS(slm_session_replace(NULL, q, 0, 1, NULL, 0, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, 9, 0, 1, NULL, 0, 0, &error), SLM_ERR_STALE_ID, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 0, 1, NULL, 1, 0, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 0, 1, tokens, 1, 2, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 0, 1, tokens, 1, SLM_REPLACE_SHIFT, &error), bad, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 101, 0, NULL, 0, 0, &error), SLM_ERR_OUT_OF_RANGE, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 99, 2, NULL, 0, 0, &error), SLM_ERR_OUT_OF_RANGE, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 1, UINT32_MAX, NULL, 0, 0, &error), SLM_ERR_OUT_OF_RANGE, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 0, 1, tokens, 3, 0, &error), SLM_ERR_OUT_OF_RANGE, 2);
    tokens[2] = 7;
    FAILS(slm_session_replace(s, q, 0, 2, tokens, 31, 0, &error), SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 0, 2, tokens, 200, 0, &error), SLM_ERR_CONTEXT_FULL, SLM_NO_OFFSET);
    OK(slm_session_replace(s, q, 40, 0, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    assert_int_equal(info_of(s, q).n_computed, 100);
    generate(s, q, 1, SLM_GENERATE_IGNORE_END);
    FAILS(slm_session_replace(s, q, 0, 100, NULL, 0, 0, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    OK(slm_session_truncate_sequence(s, q, 100, NULL));
    look_ahead(s, q, &f);
    look_ahead(s, begin_text(s, 100), &expected);
    assert_same_future(&expected, &f);
    OK(slm_session_replace(s, q, 0, info_of(s, q).n_tokens, NULL, 0, 0, NULL));
    assert_int_equal(info_of(s, q).n_tokens, 0);
    assert_int_equal(info_of(s, q).n_pages, 0);
    slm_session_release(s);
}

/* Pages that a fork shares have to be copied before keys move in them. */
static void refuses_without_pages(void **state)
{
    (void)state;
    slm_session *s;
    slm_session_options options = small_options(2, 256);
    options.pool_tokens = 192;
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = begin_text(s, 192);
    slm_sequence copy;
    future expected, f;
    finish(s);
    OK(slm_session_fork_sequence(s, q, &copy, NULL));
    FAILS(slm_session_replace(s, q, 10, 20, NULL, 0, SLM_REPLACE_SHIFT, &error), SLM_ERR_BUDGET,
          SLM_NO_OFFSET);
    FAILS(slm_session_replace(s, q, 10, 20, NULL, 0, 0, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_int_equal(info_of(s, q).n_tokens, 192);
    OK(slm_session_truncate_sequence(s, q, 170, NULL));
    OK(slm_session_remove_sequence(s, copy, NULL));
    look_ahead(s, q, &f);
    slm_session *plain = make_sized(model, 1, 256);
    look_ahead(plain, begin_text(plain, 170), &expected);
    assert_same_future(&expected, &f);
    slm_session_release(plain);
    slm_session_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_what_was_written_so),
        cmocka_unit_test(goes_on_generating),
        cmocka_unit_test(wishes_stay_with_their_tokens),
        cmocka_unit_test(replaces_at_any_point),
        cmocka_unit_test(moved_keys_are_near),
        cmocka_unit_test(moves_give_the_same_bits),
        cmocka_unit_test(moves_can_be_interrupted),
        cmocka_unit_test(moves_and_goes_on),
        cmocka_unit_test(generated_tokens_are_computed_again),
        cmocka_unit_test(refuses_and_changes_nothing),
        cmocka_unit_test(refuses_without_pages),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
