/* SPDX-License-Identifier: MIT */
/* One small GGUF file through memory, path and reader: the same content, cut at every byte, with
 * reads that fail and readers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/gguf.h"
#include "support/failing_alloc.h"
#include "support/files.h"
#include "support/gguf_builder.h"

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

/* A file with metadata of `filler` bytes in one string, an array, and two tensors. */
static uint8_t *make_file(size_t filler, size_t *size)
{
    static const char *const words[3] = { "alpha", "", "gamma" };
    static const uint64_t dims[2] = { 32, 2 };
    uint8_t data[256] = { 1 };
    char *text = malloc(filler + 1);
    assert_non_null(text);
    memset(text, 'x', filler);
    text[filler] = '\0';
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "general.name", text);
    gguf_add_strings(&b, "words", words, 3);
    gguf_add_u32(&b, "number", 42);
    gguf_add_tensor(&b, "first", 0, 2, dims, data, 256);
    gguf_add_tensor(&b, "second", 8, 2, dims, data, 68);
    free(text);
    return gguf_builder_finish(&b, size);
}

static void check_content(const slmi_gguf *gguf, const uint8_t *file, size_t filler)
{
    slmi_text name = { NULL, 0 };
    uint32_t number = 0;
    assert_int_equal(slmi_gguf_get_text(gguf, "general.name", &name, NULL), SLM_OK);
    assert_int_equal(name.length, filler);
    assert_int_equal(slmi_gguf_get_u32(gguf, "number", &number, NULL), SLM_OK);
    assert_int_equal(number, 42);
    const slmi_gguf_entry *words = slmi_gguf_find(gguf, "words");
    assert_memory_equal(words->value, file + words->offset, words->value_bytes);
    const slmi_gguf_tensor *second = slmi_gguf_find_tensor(gguf, "second");
    assert_non_null(second);
    uint8_t buffer[68];
    const uint8_t *bytes;
    assert_int_equal(slmi_source_view(gguf->source, second->offset, 68, buffer, &bytes, NULL),
                     SLM_OK);
    assert_memory_equal(bytes, file + second->offset, 68);
    slmi_source_forget(gguf->source, 0, gguf->source->size);
}

/* Opens a source, checks status and that nothing leaks. */
static void open_and_check(slmi_source *source, slm_status expected, const uint8_t *file,
                           size_t filler, failing_alloc *f)
{
    slmi_alloc alloc;
    slmi_gguf gguf;
    slm_error err = SLM_ERROR_INIT;
    assert_int_equal(slmi_alloc_init(&alloc, &f->host, 0, NULL), SLM_OK);
    const slm_status status = slmi_gguf_open(&gguf, source, NULL, &alloc, &err);
    assert_int_equal(status, expected);
    if (status == SLM_OK) {
        check_content(&gguf, file, filler);
    } else {
        assert_int_equal(err.code, expected);
        assert_true(err.offset != SLM_NO_OFFSET && err.message[0] != '\0');
    }
    slmi_gguf_close(&gguf);
    slmi_source_close(source);
    assert_true(failing_alloc_is_clean(f));
}

static void test_whole_file(void **state)
{
    (void)state;
    failing_alloc f;
    failing_alloc_init(&f);
    static const size_t fillers[] = { 3, 70000, 300000 };
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        uint8_t *file = make_file(fillers[i], &size);
        slmi_source source;
        assert_int_equal(slmi_source_open_memory(&source, file, size, NULL), SLM_OK);
        open_and_check(&source, SLM_OK, file, fillers[i], &f);
        char path[64];
        test_path(path, sizeof(path), "whole");
        assert_true(test_file_write(path, file, size));
        assert_int_equal(slmi_source_open_path(&source, path, NULL), SLM_OK);
        open_and_check(&source, SLM_OK, file, fillers[i], &f);
        assert_true(test_file_remove(path));
        reader r = { file, size, 0, 0, SLM_OK, 0, 0 };
        assert_int_equal(slmi_source_open_reader(&source, read_bytes, &r, size, NULL), SLM_OK);
        open_and_check(&source, SLM_OK, file, fillers[i], &f);
        free(file);
    }
    failing_alloc_destroy(&f);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    failing_alloc f;
    failing_alloc_init(&f);
    size_t size;
    uint8_t *file = make_file(3, &size);
    char path[64];
    test_path(path, sizeof(path), "cut");
    assert_true(test_file_write(path, file, size));
    slmi_source source;
    for (size_t cut = size - 1; cut > 0; cut--) {
        uint8_t *part = malloc(cut);
        assert_non_null(part);
        memcpy(part, file, cut);
        assert_int_equal(slmi_source_open_memory(&source, part, cut, NULL), SLM_OK);
        open_and_check(&source, SLM_ERR_TRUNCATED, file, 3, &f);
        reader r = { part, cut, 0, 0, SLM_OK, 0, 0 };
        assert_int_equal(slmi_source_open_reader(&source, read_bytes, &r, cut, NULL), SLM_OK);
        open_and_check(&source, SLM_ERR_TRUNCATED, file, 3, &f);
        assert_false(r.went_back);
        assert_true(test_file_cut(path, cut));
        assert_int_equal(slmi_source_open_path(&source, path, NULL), SLM_OK);
        open_and_check(&source, SLM_ERR_TRUNCATED, file, 3, &f);
        free(part);
    }
    slm_error err = SLM_ERROR_INIT;
    assert_true(test_file_write(path, file, 0));
    assert_int_equal(slmi_source_open_path(&source, path, &err), SLM_ERR_TRUNCATED);
    assert_int_equal(err.offset, 0);
    assert_true(test_file_remove(path));
    free(file);
    failing_alloc_destroy(&f);
}

/* The reader's own status comes through; a positive one, which it must not return, is an I/O error. */
static void test_failing_reads(void **state)
{
    (void)state;
    failing_alloc f;
    failing_alloc_init(&f);
    static const slm_status statuses[][2] = {
        { SLM_ERR_IO, SLM_ERR_IO }, { SLM_ERR_BUSY, SLM_ERR_BUSY }, { SLM_CANCELLED, SLM_ERR_IO },
    };
    size_t size;
    uint8_t *file = make_file(200000, &size);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t k = 1; k <= 4; k++) {
            slmi_source source;
            reader r = { file, size, 0, k, statuses[i][0], 0, 0 };
            assert_int_equal(slmi_source_open_reader(&source, read_bytes, &r, size, NULL), SLM_OK);
            open_and_check(&source, statuses[i][1], file, 200000, &f);
            assert_int_equal(r.n_calls, k);
            assert_false(r.went_back);
        }
    }
    free(file);
    failing_alloc_destroy(&f);
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

static void test_false_size(void **state)
{
    (void)state;
    failing_alloc f;
    failing_alloc_init(&f);
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_array(&b, "k", 4, UINT64_C(1) << 50);
    size_t size;
    uint8_t *file = gguf_builder_finish(&b, &size);
    reader r = { file, size, 0, 0, SLM_OK, 0, 0 };
    slmi_source source;
    assert_int_equal(slmi_source_open_reader(&source, read_endless, &r, UINT64_C(1) << 60, NULL),
                     SLM_OK);
    open_and_check(&source, SLM_ERR_IO, file, 0, &f);
    assert_true(f.peak_bytes < UINT64_C(8) << 20);
    assert_int_equal(slmi_source_open_reader(&source, read_endless, &r, UINT64_MAX, NULL),
                     SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slmi_source_open_reader(&source, read_endless, &r, 0, NULL),
                     SLM_ERR_TRUNCATED);
    free(file);
    failing_alloc_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_failing_reads),
        cmocka_unit_test(test_false_size),
    };
    return cmocka_run_group_tests_name("gguf io", tests, NULL, NULL);
}
