/* SPDX-License-Identifier: MIT */
/* Headers of all lengths through memory, path and reader: the same content, read from front to back, cut at
 * every byte, with reads that fail and readers that lie. */
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
#include "support/identity.h"
#include "support/tiny_model.h"

/* A reader over memory that can fail at the k-th call and keeps count. */
typedef struct reader {
    const uint8_t *data;
    size_t size;
    uint64_t n_calls;
    uint64_t fail_at; /* 0 = never */
    slm_status status;
    uint64_t next; /* the header is read from front to back: where the next read begins */
    int went_back;
} reader;

static slm_status read_bytes(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    reader *r = ctx;
    r->n_calls++;
    assert_true(offset <= r->size && size <= r->size - offset && size > 0);
    r->went_back |= offset != r->next;
    r->next = offset + size;
    if (r->n_calls == r->fail_at) {
        memset(buffer, 0x5A, size / 2);
        return r->status;
    }
    memcpy(buffer, r->data + offset, size);
    return SLM_OK;
}

/* A model with metadata of `filler` bytes in one string, an array and a number. */
static size_t filler;

static void add_filler(gguf_builder *b)
{
    static const char *const words[3] = { "alpha", "", "gamma" };
    char *text = malloc(filler + 1);
    assert_non_null(text);
    memset(text, 'x', filler);
    text[filler] = '\0';
    gguf_add_string(b, "filler", text);
    gguf_add_strings(b, "words", words, 3);
    gguf_add_u32(b, "number", 42);
    free(text);
}

static uint8_t *make_file(size_t length, size_t *size)
{
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 1, .n_kv_heads = 1,
                                     .ffn_width = 32, .type = TINY_Q4_0, .extend = add_filler };
    filler = length;
    return tiny_model_make(&description, size);
}

/* How a file is loaded. */
typedef enum way { MEMORY, PATH, READER, N_WAYS } way;

typedef struct world {
    failing_alloc memory;
    slm_model_options options;
    char path[64];
} world;

static slm_status load(world *w, way how, reader *r, slm_model **model, slm_error *err)
{
    slm_reader given = SLM_READER_INIT;
    switch (how) {
    case MEMORY:
        return slm_model_load_memory(r->data, r->size, &w->options, model, err);
    case PATH:
        assert_true(test_file_write(w->path, r->data, r->size));
        return slm_model_load(w->path, &w->options, model, err);
    default:
        given.size = r->size;
        given.ctx = r;
        given.read = read_bytes;
        return slm_model_load_reader(&given, &w->options, model, err);
    }
}

/* All that the file holds, told by the model: the end of the metadata, and the weights by their identity. */
static uint64_t check_content(slm_model *model)
{
    const char *key, *value;
    uint32_t n = 0;
    while (slm_model_get_metadata(model, n, NULL, NULL, NULL) == SLM_OK) {
        n++;
    }
    assert_int_equal(slm_model_get_metadata(model, n - 1, &key, &value, NULL), SLM_OK);
    assert_string_equal(key, "number");
    assert_string_equal(value, "42");
    assert_int_equal(slm_model_get_metadata(model, n - 2, &key, &value, NULL), SLM_OK);
    assert_string_equal(key, "words");
    assert_string_equal(value, "[string x 3]");
    assert_int_equal(slm_model_get_metadata(model, n - 3, &key, &value, NULL), SLM_OK);
    assert_string_equal(key, "filler");
    assert_int_equal(strlen(value), filler);
    assert_int_equal(strspn(value, "x"), filler);
    return model_identity(model);
}

/* Nothing of a file that is refused stays behind. */
static slm_error refuse(world *w, way how, reader *r, slm_status expected)
{
    slm_model *model;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(load(w, how, r, &model, &err), expected);
    assert_null(model);
    assert_int_equal(err.code, expected);
    assert_true(err.offset != SLM_NO_OFFSET && err.message[0] != '\0');
    assert_true(failing_alloc_is_clean(&w->memory));
    return err;
}

static void whole_files(void **state)
{
    world *w = *state;
    static const size_t fillers[] = { 3, 70000, 300000 };
    uint64_t identity = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *file = make_file(fillers[i], &size);
        for (way how = MEMORY; how < N_WAYS; how++) {
            slm_model *model;
            reader r = { .data = file, .size = size };
            assert_int_equal(load(w, how, &r, &model, NULL), SLM_OK);
            const uint64_t found = check_content(model);
            assert_true(found != 0 && (identity == 0 || identity == found));
            identity = found;
            slm_model_release(model);
            assert_true(failing_alloc_is_clean(&w->memory));
        }
        free(file);
    }
    assert_true(test_file_remove(w->path));
}

/* The header alone, with a tensor whose data is there: what is whole lacks a tokenizer. */
static void headers_cut_at_every_byte(void **state)
{
    world *w = *state;
    static const uint64_t dims[2] = { 32, 2 };
    const uint8_t data[256] = { 1 };
    gguf_builder b;
    gguf_builder_init(&b);
    filler = 3;
    add_filler(&b);
    gguf_add_tensor(&b, "first", 0, 2, dims, data, 256);
    gguf_add_tensor(&b, "second", 8, 2, dims, data, 68);
    size_t size;
    uint8_t *file = gguf_builder_finish(&b, &size);
    for (size_t cut = size - 1; cut > 0; cut--) {
        uint8_t *part = malloc(cut); /* of its own, so that reading too far is seen */
        assert_non_null(part);
        memcpy(part, file, cut);
        uint64_t offset = SLM_NO_OFFSET;
        for (way how = MEMORY; how < N_WAYS; how++) {
            reader r = { .data = part, .size = cut };
            const slm_error err = refuse(w, how, &r, SLM_ERR_TRUNCATED);
            assert_true(offset == SLM_NO_OFFSET || offset == err.offset);
            assert_false(r.went_back);
            offset = err.offset;
        }
        free(part);
    }
    reader r = { .data = file, .size = 0 };
    assert_int_equal(refuse(w, PATH, &r, SLM_ERR_TRUNCATED).offset, 0);
    assert_int_equal(refuse(w, MEMORY, &r, SLM_ERR_TRUNCATED).offset, 0);
    assert_int_equal(refuse(w, READER, &r, SLM_ERR_TRUNCATED).offset, 0);
    assert_true(test_file_remove(w->path));
    free(file);
}

/* The reader's own status comes through; a positive one, which it must not return, is an I/O error. */
static void failing_reads(void **state)
{
    world *w = *state;
    static const slm_status statuses[][2] = {
        { SLM_ERR_IO, SLM_ERR_IO }, { SLM_ERR_BUSY, SLM_ERR_BUSY }, { SLM_CANCELLED, SLM_ERR_IO },
    };
    size_t size;
    uint8_t *file = make_file(200000, &size);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t k = 1; k <= 4; k++) {
            reader r = { .data = file, .size = size, .fail_at = k, .status = statuses[i][0] };
            assert_int_equal(refuse(w, READER, &r, statuses[i][1]).offset, (k - 1) * 65536);
            assert_int_equal(r.n_calls, k);
            assert_false(r.went_back);
        }
    }
    free(file);
}

/* A host that claims an exabyte: the header's own size is all that is read and kept. */
static slm_status read_endless(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    const reader *r = ctx;
    memset(buffer, 0, size);
    if (offset < r->size) {
        const size_t left = r->size - (size_t)offset;
        memcpy(buffer, r->data + offset, left < size ? left : size);
    }
    return offset > (UINT64_C(1) << 20) ? SLM_ERR_IO : SLM_OK;
}

static void false_size(void **state)
{
    world *w = *state;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_array(&b, "k", 4, UINT64_C(1) << 50);
    size_t size;
    uint8_t *file = gguf_builder_finish(&b, &size);
    reader r = { .data = file, .size = size };
    static const struct {
        uint64_t size;
        slm_status status;
    } lies[] = {
        { UINT64_C(1) << 60, SLM_ERR_IO }, { UINT64_MAX, SLM_ERR_INVALID_ARGUMENT }, { 0, SLM_ERR_TRUNCATED }
    };
    w->memory.peak_bytes = 0;
    for (size_t i = 0; i < 3; i++) {
        slm_model *model;
        slm_error err = SLM_ERROR_INIT;
        slm_reader liar = SLM_READER_INIT;
        liar.size = lies[i].size;
        liar.ctx = &r;
        liar.read = read_endless;
        assert_int_equal(slm_model_load_reader(&liar, &w->options, &model, &err), lies[i].status);
        assert_null(model);
        assert_int_equal(err.code, lies[i].status);
        assert_true(failing_alloc_is_clean(&w->memory));
    }
    assert_true(w->memory.peak_bytes < UINT64_C(8) << 20);
    free(file);
}

static int set_up(void **state)
{
    static world w;
    failing_alloc_init(&w.memory);
    w.options = (slm_model_options)SLM_MODEL_OPTIONS_INIT;
    w.options.host = &w.memory.host;
    w.options.n_threads = 1;
    test_path(w.path, sizeof(w.path), "gguf-io");
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    failing_alloc_destroy(&w->memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
        cmocka_unit_test(headers_cut_at_every_byte),
        cmocka_unit_test(failing_reads),
        cmocka_unit_test(false_size),
    };
    return cmocka_run_group_tests_name("gguf io", tests, set_up, tear_down);
}
