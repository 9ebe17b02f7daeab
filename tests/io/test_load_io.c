/* SPDX-License-Identifier: MIT */
/* Loading models, tokenizers and saved sequences when reading goes wrong: files cut at every byte, reads that
 * fail at every call, for one part of the file, or for a while; a host that cancels at every call. Nothing is
 * kept, and the next load succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/files.h"
#include "support/tiny_model.h"

typedef struct world {
    failing_alloc memory;
    slm_model_options options;
    uint8_t *file;
    size_t size;
    char path[256]; /* of a copy of the file, which is cut from its end on */

    /* What the reader does. */
    uint64_t n_reads, fail_at;     /* the k-th read fails; 0 = none */
    uint64_t fail_begin, fail_end; /* reads that touch these bytes fail */
    slm_status status;

    /* What the host says to progress. */
    uint64_t n_progress, cancel_at; /* the k-th call cancels; 0 = none */
    float done;
} world;

static slm_status read_file(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    world *w = ctx;
    assert_true(size > 0 && offset <= w->size && size <= w->size - offset);
    w->n_reads++;
    if (w->n_reads == w->fail_at || (offset < w->fail_end && offset + size > w->fail_begin)) {
        memset(buffer, 0x5A, size / 2); /* a short read: some bytes came before it failed */
        return w->status;
    }
    memcpy(buffer, w->file + offset, size);
    return SLM_OK;
}

static int32_t hear_progress(void *ctx, float done)
{
    world *w = ctx;
    assert_true(done >= w->done && done <= 1.0f);
    w->done = done;
    return ++w->n_progress == w->cancel_at;
}

static void calm(world *w)
{
    w->n_reads = w->fail_at = w->fail_begin = w->fail_end = 0;
    w->n_progress = w->cancel_at = 0;
    w->done = 0.0f;
    w->status = SLM_ERR_IO;
}

/* The status tells itself in the error, there is no object, and all memory came back. */
static void check(const world *w, slm_status status, slm_status expected, const void *object,
                  const slm_error *err)
{
    assert_int_equal(status, expected);
    assert_int_equal(err->code, status < 0 ? status : SLM_OK);
    assert_true((err->message[0] != '\0') == (status < 0));
    assert_true((object != NULL) == (status == SLM_OK));
    if (status != SLM_OK) {
        assert_true(failing_alloc_is_clean(&w->memory));
    }
}

static slm_error from_memory(world *w, const uint8_t *file, size_t size, slm_status expected)
{
    slm_model *model;
    slm_error err = SLM_ERROR_INIT;
    const slm_status status = slm_model_load_memory(file, size, &w->options, &model, &err);
    check(w, status, expected, model, &err);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&w->memory));
    return err;
}

static slm_error from_reader(world *w, uint64_t size, slm_status expected)
{
    slm_model *model;
    slm_error err = SLM_ERROR_INIT;
    slm_reader reader = SLM_READER_INIT;
    reader.size = size;
    reader.ctx = w;
    reader.read = read_file;
    const slm_status status = slm_model_load_reader(&reader, &w->options, &model, &err);
    check(w, status, expected, model, &err);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&w->memory));
    return err;
}

static slm_error from_path(world *w, slm_status expected)
{
    slm_model *model;
    slm_error err = SLM_ERROR_INIT;
    const slm_status status = slm_model_load(w->path, &w->options, &model, &err);
    check(w, status, expected, model, &err);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&w->memory));
    return err;
}

static slm_error tokenizer_from_path(world *w, slm_status expected)
{
    slm_tokenizer *tokenizer;
    slm_error err = SLM_ERROR_INIT;
    const slm_status status = slm_tokenizer_load(w->path, &w->options, &tokenizer, &err);
    check(w, status, expected, tokenizer, &err);
    slm_tokenizer_release(tokenizer);
    assert_true(failing_alloc_is_clean(&w->memory));
    return err;
}

/* All ways of loading see the same end at the same place. */
static void cut_at_every_byte(void **state)
{
    world *w = *state;
    calm(w);
    assert_true(test_file_write(w->path, w->file, w->size));
    from_path(w, SLM_OK);
    tokenizer_from_path(w, SLM_OK);
    for (size_t cut = w->size - 1; cut > 0; cut--) {
        uint8_t *part = malloc(cut); /* of its own, so that reading too far is seen */
        assert_non_null(part);
        memcpy(part, w->file, cut);
        const slm_error memory = from_memory(w, part, cut, SLM_ERR_TRUNCATED);
        free(part);
        assert_true(memory.offset < w->size);
        const slm_error reader = from_reader(w, cut, SLM_ERR_TRUNCATED);
        assert_true(test_file_cut(w->path, cut));
        const slm_error path = from_path(w, SLM_ERR_TRUNCATED);
        const slm_error tokenizer = tokenizer_from_path(w, SLM_ERR_TRUNCATED);
        assert_true(reader.offset == memory.offset && path.offset == memory.offset &&
                    tokenizer.offset == memory.offset);
        assert_string_equal(reader.message, memory.message);
        assert_string_equal(path.message, memory.message);
    }
    from_memory(w, w->file, 0, SLM_ERR_TRUNCATED);
    from_reader(w, 0, SLM_ERR_TRUNCATED);
    assert_true(test_file_cut(w->path, 0));
    from_path(w, SLM_ERR_TRUNCATED);
    tokenizer_from_path(w, SLM_ERR_TRUNCATED);
    assert_true(test_file_remove(w->path));
}

/* The reader's own status comes through; one that is no error becomes SLM_ERR_IO. */
static void reads_fail_at_every_call(void **state)
{
    world *w = *state;
    static const slm_status statuses[][2] = { { SLM_ERR_IO, SLM_ERR_IO },
                                              { SLM_ERR_BUSY, SLM_ERR_BUSY },
                                              { -1000, -1000 },
                                              { SLM_MORE, SLM_ERR_IO } };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        calm(w);
        from_reader(w, w->size, SLM_OK);
        const uint64_t n_reads = w->n_reads;
        assert_true(n_reads > 10); /* the header, and each tensor */
        for (uint64_t k = 1; k <= n_reads; k++) {
            calm(w);
            w->fail_at = k;
            w->status = statuses[i][0];
            const slm_error err = from_reader(w, w->size, statuses[i][1]);
            assert_int_equal(w->n_reads, k); /* nothing is read after a failure */
            assert_true(err.offset < w->size);
        }
    }
}

/* A damaged place on a disk: whoever reads it fails, and only they. */
static void places_fail(void **state)
{
    world *w = *state;
    uint64_t n_failed = 0;
    for (uint64_t at = 0; at < w->size; at += 7) {
        calm(w);
        w->fail_begin = at;
        w->fail_end = at + 1;
        slm_model *model;
        slm_error err = SLM_ERROR_INIT;
        const slm_reader reader = { sizeof(reader), 0, w->size, w, read_file };
        const slm_status status = slm_model_load_reader(&reader, &w->options, &model, &err);
        assert_true(status == SLM_OK || status == SLM_ERR_IO); /* OK: between two tensors */
        check(w, status, status, model, &err);
        assert_true(status == SLM_OK || err.offset <= at);
        n_failed += status != SLM_OK;
        slm_model_release(model);
    }
    assert_true(n_failed > w->size / 7 * 9 / 10);
}

static void cancelled_at_every_call(void **state)
{
    world *w = *state;
    calm(w);
    assert_true(test_file_write(w->path, w->file, w->size));
    w->options.progress = hear_progress;
    w->options.progress_ctx = w;
    from_memory(w, w->file, w->size, SLM_OK);
    const uint64_t n_calls = w->n_progress;
    assert_true(n_calls > 10 && w->done > 0.5f);
    for (uint64_t k = 1; k <= n_calls; k++) {
        for (int way = 0; way < 3; way++) {
            calm(w);
            w->cancel_at = k;
            if (way == 0) {
                from_memory(w, w->file, w->size, SLM_CANCELLED);
            } else if (way == 1) {
                from_reader(w, w->size, SLM_CANCELLED);
            } else {
                from_path(w, SLM_CANCELLED);
            }
            assert_int_equal(w->n_progress, k); /* it is asked once and obeyed */
        }
    }
    calm(w);
    from_path(w, SLM_OK);
    w->options.progress = NULL;
    assert_true(test_file_remove(w->path));
}

/* A saved sequence has no reader: it is cut, whole and relative to a prefix, and the session goes on. */
static void blobs_cut_at_every_byte(void **state)
{
    world *w = *state;
    slm_model *model;
    slm_session *session;
    slm_sequence q, restored;
    slm_prefix *prefix;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    static uint8_t blob[1 << 16];
    size_t size;
    calm(w);
    assert_int_equal(slm_model_load_memory(w->file, w->size, &w->options, &model, NULL), SLM_OK);
    options.n_threads = 1;
    options.n_sequences = 2;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    for (int relative = 0; relative < 2; relative++) {
        assert_int_equal(slm_session_append_text(session, q, "abc", 3, 0, NULL), SLM_OK);
        assert_int_equal(slm_session_step(session, 0, NULL), SLM_OK);
        if (relative) {
            assert_int_equal(slm_prefix_create(session, q, "abc", &prefix, NULL), SLM_OK);
            assert_int_equal(slm_session_truncate_sequence(session, q, 0, NULL), SLM_OK);
            assert_int_equal(slm_session_append_prefix(session, q, prefix, NULL), SLM_OK);
            assert_int_equal(slm_session_append_text(session, q, "d", 1, 0, NULL), SLM_OK);
            assert_int_equal(slm_session_step(session, 0, NULL), SLM_OK);
        }
        slm_prefix *given = relative ? prefix : NULL;
        assert_int_equal(slm_session_save_sequence(session, q, NULL, blob, sizeof(blob), &size, NULL),
                         SLM_OK);
        for (size_t cut = 0; cut < size; cut++) {
            slm_error err = SLM_ERROR_INIT;
            slm_saved_info info = SLM_SAVED_INFO_INIT;
            uint8_t *part = malloc(cut + 1);
            assert_non_null(part);
            memcpy(part, blob, cut);
            assert_int_equal(slm_saved_get_info(part, cut, &info, NULL), SLM_ERR_TRUNCATED);
            assert_int_equal(
                slm_session_restore_sequence(session, part, cut, given, &restored, &err),
                SLM_ERR_TRUNCATED);
            assert_true(err.offset == cut && restored == 0);
            free(part);
        }
        assert_int_equal(slm_session_restore_sequence(session, blob, size, given, &restored, NULL),
                         SLM_OK);
        assert_int_equal(slm_session_remove_sequence(session, restored, NULL), SLM_OK);
    }
    slm_prefix_release(prefix);
    slm_session_release(session);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&w->memory));
}

static int set_up(void **state)
{
    static world w;
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 1, .n_kv_heads = 1,
                                     .ffn_width = 32, .type = TINY_Q4_0 };
    w.file = tiny_model_make(&description, &w.size);
    test_path(w.path, sizeof(w.path), "load-io");
    failing_alloc_init(&w.memory);
    w.options = (slm_model_options)SLM_MODEL_OPTIONS_INIT;
    w.options.n_threads = 1;
    w.options.host = &w.memory.host;
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    free(w->file);
    failing_alloc_destroy(&w->memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),       cmocka_unit_test(reads_fail_at_every_call),
        cmocka_unit_test(places_fail),             cmocka_unit_test(cancelled_at_every_call),
        cmocka_unit_test(blobs_cut_at_every_byte),
    };
    return cmocka_run_group_tests_name("loading", tests, set_up, tear_down);
}
