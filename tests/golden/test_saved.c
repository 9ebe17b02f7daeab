/* SPDX-License-Identifier: MIT */
/* Saved sequences of all format versions, kept as they were written: they are read and go on with the bits of
 * a sequence that computes the same tokens. With arguments `--write FOLDER` it writes those of the present
 * version instead: for a new version, whose files then join the old ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/blob.h"
#include "slm/slm.h"
#include "support/tiny_model.h"

#define OK(expression) assert_int_equal((expression), SLM_OK)
#define CONTEXT 300
#define N_AHEAD 8
#define FIRST_PENDING (TINY_BYTE + 0xE2) /* the last token of each, not computed when it was saved */

/* Zero means nothing of the kind. */
typedef struct golden {
    const char *name;
    uint32_t version, kv_type, form;
    uint32_t n_tokens;      /* that are computed; one that is not follows */
    uint32_t n_prefix;
    uint32_t window, sinks;
    uint32_t priority, full, keep, drop;
} golden;

static const golden goldens[] = {
    { .name = "v1-f16", .version = 1, .kv_type = SLM_KV_F16, .n_tokens = 66 },
    { .name = "v1-f32", .version = 1, .kv_type = SLM_KV_F32, .n_tokens = 66 },
    { .name = "v2-f16", .version = 2, .kv_type = SLM_KV_F16, .n_tokens = 66, .priority = 3,
      .full = SLM_FULL_WAIT, .keep = 9, .drop = 7 },
    { .name = "v2-f32", .version = 2, .kv_type = SLM_KV_F32, .n_tokens = 5 },
    { .name = "v2-q8", .version = 2, .kv_type = SLM_KV_Q8, .n_tokens = 66 },
    { .name = "v2-q4", .version = 2, .kv_type = SLM_KV_Q4, .n_tokens = 66 },
    { .name = "v2-prefix", .version = 2, .kv_type = SLM_KV_F16, .n_tokens = 70, .n_prefix = 64 },
    { .name = "v2-odd-prefix", .version = 2, .kv_type = SLM_KV_F16, .n_tokens = 70, .n_prefix = 50 },
    { .name = "v2-tokens", .version = 2, .kv_type = SLM_KV_F16, .form = SLM_SAVE_TOKENS, .n_tokens = 66 },
    { .name = "v2-window", .version = 2, .kv_type = SLM_KV_Q8, .n_tokens = 200, .window = 64, .sinks = 10 },
};

#define N_GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static slm_model *model;

static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .seed = 11 };
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    const slm_status status = slm_model_load_memory(file, size, NULL, &model, NULL);
    free(file);
    return status != SLM_OK;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

static slm_session *make_session(uint32_t kv_type)
{
    slm_session *s;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = 2;
    options.context_length = CONTEXT;
    options.kv_type = kv_type;
    OK(slm_session_create(model, &options, &s, NULL));
    return s;
}

static void append(slm_session *s, slm_sequence q, uint32_t first, uint32_t end)
{
    int32_t tokens[CONTEXT];
    for (uint32_t i = first; i < end; i++) {
        tokens[i - first] = TINY_LETTER + (int32_t)(i * 7 % 26);
    }
    OK(slm_session_append(s, q, tokens, end - first, 0, NULL));
}

static void finish(slm_session *s)
{
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        status = slm_session_step(s, 0, NULL);
    }
    OK(status);
}

static slm_prefix *make_prefix(slm_session *s, const golden *g)
{
    slm_prefix *prefix;
    slm_sequence q;
    if (g->n_prefix == 0) {
        return NULL;
    }
    OK(slm_session_add_sequence(s, &q, NULL));
    append(s, q, 0, g->n_prefix);
    finish(s);
    OK(slm_prefix_create(s, q, "persona \xC3\xBC", &prefix, NULL));
    OK(slm_session_remove_sequence(s, q, NULL));
    return prefix;
}

/* The sequence as it was saved. */
static slm_sequence compute(slm_session *s, const golden *g, slm_prefix *prefix)
{
    slm_sequence q;
    const int32_t pending = FIRST_PENDING;
    OK(slm_session_add_sequence(s, &q, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_WINDOW, g->window, NULL));
    OK(slm_session_set_u32(s, q, SLM_SEQUENCE_SINKS, g->window != 0 ? g->sinks : 64, NULL));
    if (prefix != NULL) {
        OK(slm_session_append_prefix(s, q, prefix, NULL));
    }
    append(s, q, g->n_prefix, g->n_tokens);
    finish(s);
    if (g->priority != 0) {
        OK(slm_session_set_u32(s, q, SLM_SEQUENCE_PRIORITY, g->priority, NULL));
        OK(slm_session_set_u32(s, q, SLM_SEQUENCE_FULL, g->full, NULL));
        OK(slm_session_set_u32(s, q, SLM_SEQUENCE_KEEP, g->keep, NULL));
        OK(slm_session_set_u32(s, q, SLM_SEQUENCE_DROP, g->drop, NULL));
    }
    OK(slm_session_append(s, q, &pending, 1, 0, NULL));
    return q;
}

/* What comes after: the logits of a token, and drawn tokens with their probabilities. */
typedef struct ahead {
    float logits[TINY_VOCAB];
    int32_t tokens[N_AHEAD];
    float logprobs[N_AHEAD];
} ahead;

static void look_ahead(slm_session *s, slm_sequence q, ahead *out)
{
    const int32_t token = TINY_SPACE;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    slm_status status = SLM_MORE;
    uint32_t n = 0;
    memset(out, 0, sizeof(*out));
    OK(slm_session_append(s, q, &token, 1, SLM_APPEND_LOGITS, NULL));
    options.max_tokens = N_AHEAD;
    options.flags = SLM_GENERATE_IGNORE_END;
    OK(slm_session_generate(s, q, &options, NULL));
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(s, 0, NULL);
        while (slm_session_get_event(s, &event, NULL) == SLM_OK) {
            if (event.type == SLM_EVENT_LOGITS) {
                memcpy(out->logits, event.logits, sizeof(out->logits));
            } else if (event.type == SLM_EVENT_TOKEN) {
                out->tokens[n] = event.token;
                out->logprobs[n++] = event.logprob;
            }
        }
    }
    OK(status);
    assert_int_equal(n, N_AHEAD);
}

static uint8_t *read_blob(const char *name, size_t *size)
{
    char path[512];
    uint8_t *blob = malloc(1 << 16);
    snprintf(path, sizeof(path), GOLDEN_FOLDER "/%s.blob", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    *size = fread(blob, 1, 1 << 16, file);
    fclose(file);
    assert_true(*size > 0 && *size < 1 << 16);
    return blob;
}

static void check_info(const golden *g, const uint8_t *blob, size_t size)
{
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    OK(slm_saved_get_info(blob, size, &info, NULL));
    assert_int_equal(info.format, g->version);
    assert_int_equal(info.kv_type, g->kv_type);
    assert_int_equal(info.n_tokens, g->n_tokens + 1);
    assert_int_equal(info.n_prefix_tokens, g->n_prefix);
    assert_string_equal(info.prefix, g->n_prefix != 0 ? "persona \xC3\xBC" : "");
}

static uint32_t get(slm_session *s, slm_sequence q, uint32_t param)
{
    uint32_t value;
    OK(slm_session_get_u32(s, q, param, &value, NULL));
    return value;
}

static void goes_on_as_computed(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GOLDENS; i++) {
        const golden *g = &goldens[i];
        size_t size;
        slm_sequence q;
        static ahead expected, got;
        uint8_t *blob = read_blob(g->name, &size);
        check_info(g, blob, size);
        slm_session *s = make_session(g->kv_type);
        slm_prefix *prefix = make_prefix(s, g);
        look_ahead(s, compute(s, g, prefix), &expected);
        OK(slm_session_restore_sequence(s, blob, size, prefix, &q, NULL));
        slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
        OK(slm_session_get_sequence_info(s, q, &info, NULL));
        assert_int_equal(info.n_tokens, g->n_tokens + 1);
        assert_int_equal(info.n_computed, g->form == SLM_SAVE_TOKENS ? 0 : g->n_tokens);
        assert_int_equal(get(s, q, SLM_SEQUENCE_PRIORITY), g->priority);
        assert_int_equal(get(s, q, SLM_SEQUENCE_FULL), g->full);
        assert_int_equal(get(s, q, SLM_SEQUENCE_KEEP), g->keep != 0 ? g->keep : 4);
        assert_int_equal(get(s, q, SLM_SEQUENCE_DROP), g->drop);
        assert_int_equal(get(s, q, SLM_SEQUENCE_WINDOW), g->window);
        assert_int_equal(get(s, q, SLM_SEQUENCE_SINKS), g->window != 0 ? g->sinks : 64);
        look_ahead(s, q, &got);
        if (slm_numerics_version() == 1) { /* later ones may round otherwise than what is in the blobs */
            assert_memory_equal(expected.logits, got.logits, sizeof(got.logits));
            assert_memory_equal(expected.tokens, got.tokens, sizeof(got.tokens));
            assert_memory_equal(expected.logprobs, got.logprobs, sizeof(got.logprobs));
        }
        slm_prefix_release(prefix);
        slm_session_release(s);
        free(blob);
    }
}

/* Version 1 knew the session's own cache type only. */
static void old_blobs_keep_their_type(void **state)
{
    (void)state;
    slm_error error = SLM_ERROR_INIT;
    slm_sequence q;
    size_t size;
    uint8_t *blob = read_blob("v1-f16", &size);
    slm_session *s = make_session(SLM_KV_F32);
    assert_int_equal(slm_session_restore_sequence(s, blob, size, NULL, &q, &error), SLM_ERR_MISMATCH);
    assert_true(error.offset == 12);
    slm_session_release(s);
    s = make_session(SLM_KV_F16);
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(slm_session_restore_sequence(s, blob, n, NULL, &q, &error), SLM_ERR_TRUNCATED);
        assert_true(error.offset == n);
    }
    /* Its pages do not fit this model; nor does it all fit a short context. */
    const uint32_t page_bytes = blob[24] | (uint32_t)blob[25] << 8 | (uint32_t)blob[26] << 16;
    for (int i = 0; i < 2; i++) { /* one page of twice the size */
        blob[24 + i] = (uint8_t)(2 * page_bytes >> 8 * i);
    }
    blob[36] = 60;
    slmi_blob_write_checksum(blob, size);
    assert_int_equal(slm_session_restore_sequence(s, blob, size, NULL, &q, &error), SLM_ERR_FORMAT);
    assert_true(error.offset == 24);
    free(blob);
    blob = read_blob("v1-f16", &size);
    slm_session *small;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.context_length = 66;
    OK(slm_session_create(model, &options, &small, NULL));
    assert_int_equal(slm_session_restore_sequence(small, blob, size, NULL, &q, &error),
                     SLM_ERR_CONTEXT_FULL);
    assert_true(error.offset == 32);
    slm_session_release(small);
    blob[size / 2] ^= 1;
    assert_int_equal(slm_session_restore_sequence(s, blob, size, NULL, &q, &error), SLM_ERR_CHECKSUM);
    assert_true(error.offset == size - 8);
    slm_session_release(s);
    free(blob);
}

static int write_all(const char *folder)
{
    uint32_t written = 0;
    for (size_t i = 0; i < N_GOLDENS; i++) {
        static uint8_t blob[1 << 16];
        const golden *g = &goldens[i];
        slm_session *s = make_session(g->kv_type);
        slm_prefix *prefix = make_prefix(s, g);
        slm_save_options options = SLM_SAVE_OPTIONS_INIT;
        slm_saved_info info = SLM_SAVED_INFO_INIT;
        char path[512];
        size_t size;
        options.form = g->form;
        OK(slm_session_save_sequence(s, compute(s, g, prefix), &options, blob, sizeof(blob), &size, NULL));
        OK(slm_saved_get_info(blob, size, &info, NULL));
        snprintf(path, sizeof(path), "%s/%s.blob", folder, g->name);
        FILE *file = info.format == g->version ? fopen(path, "wb") : NULL;
        if (file != NULL) {
            written += fwrite(blob, 1, size, file) == size;
            fclose(file);
        }
        slm_prefix_release(prefix);
        slm_session_release(s);
    }
    printf("%u blobs written\n", written);
    return written == 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_as_computed),
        cmocka_unit_test(old_blobs_keep_their_type),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        return set_up(NULL) || write_all(argv[2]);
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
