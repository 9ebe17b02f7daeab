/* SPDX-License-Identifier: MIT */
/* Saved sequences: they go on as if never saved, and damaged ones do no harm. */
#include "session_fixture.h"

#include "session/blob.h"

static slm_error error;

static uint8_t *save(slm_session *s, slm_sequence q, size_t *size)
{
    FAILS(slm_session_save_sequence(s, q, NULL, NULL, 0, size, &error), SLM_ERR_BUFFER_TOO_SMALL,
          SLM_NO_OFFSET);
    uint8_t *blob = malloc(*size);
    size_t again = 0;
    FAILS(slm_session_save_sequence(s, q, NULL, blob, *size - 1, &again, &error),
          SLM_ERR_BUFFER_TOO_SMALL, SLM_NO_OFFSET);
    assert_int_equal(again, *size);
    OK(slm_session_save_sequence(s, q, NULL, blob, *size, size, NULL));
    return blob;
}

/* A model so small that its blobs can be damaged at every byte. */
static slm_model *make_smallest(const char *changed)
{
    const tiny_model description = {
        .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1, .ffn_width = 32, .changed = changed
    };
    return make_model(&description);
}

static void goes_on_as_if_never_saved(void **state)
{
    (void)state;
    slm_model *model = make_smallest(NULL);
    slm_session *s = make_session(model, 3);
    slm_sequence a = add_sequence(s, "abc"), b;
    result expected, r;
    size_t size;
    uint8_t *early = save(s, a, &size); /* nothing is computed yet */
    OK(slm_session_restore_sequence(s, early, size, NULL, &b, NULL));
    run(s, a, 0, &r);
    free(early);
    uint8_t *blob = save(s, a, &size);
    make_greedy(s, a);
    make_greedy(s, b);
    generate(s, a, 70, SLM_GENERATE_IGNORE_END);
    run(s, a, 0, &expected);
    generate(s, b, 70, SLM_GENERATE_IGNORE_END);
    run(s, b, 0, &r);
    assert_memory_equal(r.tokens, expected.tokens, 70 * sizeof(int32_t));
    OK(slm_session_restore_sequence(s, blob, size, NULL, &b, NULL));
    make_greedy(s, b);
    generate(s, b, 70, SLM_GENERATE_IGNORE_END);
    run(s, b, 0, &r);
    assert_int_equal(r.n_tokens, 70);
    assert_memory_equal(r.tokens, expected.tokens, 70 * sizeof(int32_t));
    FAILS(slm_session_restore_sequence(s, blob, size, NULL, &b, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_true(b == 0);
    free(blob);
    slm_session_release(s);
    slm_model_release(model);
}

/* A character whose first bytes were generated before saving is whole after restoring. The blob's own
 * field is set, since which byte a model writes next is not ours to choose. */
static void keeps_half_a_character(void **state)
{
    (void)state;
    slm_model *model = make_smallest(NULL);
    slm_session *s = make_session(model, 2);
    slm_sequence a = add_sequence(s, "abc"), b;
    size_t size;
    uint8_t *blob = save(s, a, &size);
    blob[84] = 2;
    memcpy(blob + 85, "\xE2\x82", 2);
    slmi_blob_write_checksum(blob, size);
    OK(slm_session_restore_sequence(s, blob, size, NULL, &b, NULL));
    uint8_t *again = save(s, b, &size);
    assert_memory_equal(again, blob, size);
    free(again);
    OK(slm_session_remove_sequence(s, b, NULL));
    blob[84] = 4;
    FAILS(slm_session_restore_sequence(s, blob, size, NULL, &b, &error), SLM_ERR_FORMAT, 84);
    blob[84] = 3;
    FAILS(slm_session_restore_sequence(s, blob, size, NULL, &b, &error), SLM_ERR_FORMAT, 85);
    free(blob);
    slm_session_release(s);
    slm_model_release(model);
}

/* Ids beyond 65,535 take four bytes. */
static void keeps_large_ids(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1,
                                     .ffn_width = 32, .type = TINY_Q4_0, .n_vocab = 65537 };
    const int32_t tokens[4] = { 65536, 5, 0x1234, 65535 };
    slm_model *model = make_model(&description);
    slm_session *s = make_session(model, 2);
    slm_sequence a = add_sequence(s, ""), b;
    size_t size;
    OK(slm_session_append(s, a, tokens, 4, 0, NULL));
    finish(s);
    uint8_t *blob = save(s, a, &size);
    assert_int_equal(blob[80], 4);
    OK(slm_session_restore_sequence(s, blob, size, NULL, &b, NULL));
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *at = blob + slmi_blob_tokens_offset() + 4 * i;
        assert_int_equal(at[0] | at[1] << 8 | at[2] << 16 | at[3] << 24, tokens[i]);
    }
    assert_int_equal(info_of(s, b).n_tokens, 4);
    assert_memory_equal(info_of(s, b).tokens, tokens, sizeof(tokens));
    uint8_t *again = save(s, b, &size);
    assert_memory_equal(again, blob, size);
    free(again);
    free(blob);
    slm_session_release(s);
    slm_model_release(model);
}

/* What a change of byte i brings about, if it does not depend on the byte: else 0. */
static slm_status expected_of_byte(size_t i, size_t size, uint64_t *offset)
{
    *offset = size - 8;
    if (i < 8) {
        *offset = 0;
        return SLM_ERR_FORMAT;
    }
    if (i < 12) {
        *offset = 8;
        return SLM_ERR_UNSUPPORTED;
    }
    return i >= 16 && i < 24 ? SLM_ERR_CHECKSUM : i < 160 ? 0 : SLM_ERR_CHECKSUM;
}

static void refuses_every_damage(void **state)
{
    (void)state;
    slm_model *model = make_smallest(NULL);
    slm_session *s = make_session(model, 2);
    slm_sequence a = add_sequence(s, "abcde"), b;
    size_t size;
    result r;
    run(s, a, 0, &r);
    uint8_t *blob = save(s, a, &size);
    for (size_t i = 0; i < size; i++) {
        uint64_t offset;
        const slm_status expected = expected_of_byte(i, size, &offset);
        blob[i] ^= 0x5A;
        error = (slm_error)SLM_ERROR_INIT;
        const slm_status status = slm_session_restore_sequence(s, blob, size, NULL, &b, &error);
        assert_true(status < 0 && b == 0 && error.code == status);
        if (expected != 0) {
            assert_int_equal(status, expected);
            assert_true(error.offset == offset);
        }
        blob[i] ^= 0x5A;
    }
    for (size_t n = 0; n < size; n++) {
        uint8_t *part = malloc(n > 0 ? n : 1);
        memcpy(part, blob, n);
        FAILS(slm_session_restore_sequence(s, part, n, NULL, &b, &error), SLM_ERR_TRUNCATED, n);
        free(part);
    }
    OK(slm_session_restore_sequence(s, blob, size, NULL, &b, NULL));
    free(blob);
    slm_session_release(s);
    slm_model_release(model);
}

static void refuses_what_belongs_elsewhere(void **state)
{
    (void)state;
    slm_model *model = make_smallest(NULL);
    slm_session *s = make_session(model, 1), *other;
    slm_sequence a = add_sequence(s, "abcdefghij"), b;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    size_t size;
    result r;
    run(s, a, 0, &r);
    uint8_t *blob = save(s, a, &size);
    options.n_threads = 1;
    options.context_length = 9;
    OK(slm_session_create(model, &options, &other, NULL));
    FAILS(slm_session_restore_sequence(other, blob, size, NULL, &b, &error), SLM_ERR_CONTEXT_FULL, 24);
    slm_session_release(other);
    slm_model *foreign = make_smallest("blk.0.ffn_norm.weight");
    other = make_session(foreign, 1);
    FAILS(slm_session_restore_sequence(other, blob, size, NULL, &b, &error), SLM_ERR_MISMATCH, 16);
    slm_session_release(other);
    slm_model_release(foreign);
    free(blob);
    slm_session_release(s);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_as_if_never_saved),
        cmocka_unit_test(keeps_half_a_character),
        cmocka_unit_test(keeps_large_ids),
        cmocka_unit_test(refuses_every_damage),
        cmocka_unit_test(refuses_what_belongs_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
