/* SPDX-License-Identifier: MIT */
/* Loading GGUF bytes that are not right, for the tests of the reader. */
#ifndef SLM_TESTS_GGUF_FIXTURE_H
#define SLM_TESTS_GGUF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/gguf_builder.h"

/* First byte of the metadata, and of the directory of a file without any. */
#define BODY 24

/* Types of metadata values. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

typedef struct gguf_file {
    uint8_t *bytes;
    size_t size;
} gguf_file;

static inline slm_status read_bytes(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    const gguf_file *file = ctx;
    assert_true(size > 0 && offset <= file->size && size <= file->size - offset);
    memcpy(buffer, file->bytes + offset, size);
    return SLM_OK;
}

/* From memory and through a reader a file is refused alike: with this code, at this byte, and nothing stays
 * behind. The limits (NULL = defaults) are the options' own. */
static inline slm_error refuse_file(gguf_file file, const slm_model_options *limits, slm_status code,
                                    uint64_t offset)
{
    failing_alloc memory;
    slm_error first = SLM_ERROR_INIT, err = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_reader reader = SLM_READER_INIT;
    slm_model *model = (slm_model *)(void *)&memory;
    failing_alloc_init(&memory);
    options = limits != NULL ? *limits : options;
    options.host = &memory.host;
    options.n_threads = 1;
    reader.size = file.size;
    reader.ctx = &file;
    reader.read = read_bytes;
    assert_int_equal(slm_model_load_memory(file.bytes, file.size, &options, &model, &first), code);
    assert_null(model);
    assert_int_equal(first.code, code);
    assert_int_equal(first.offset, offset);
    assert_true(first.message[0] != '\0');
    assert_true(failing_alloc_is_clean(&memory));
    assert_int_equal(slm_model_load_reader(&reader, &options, &model, &err), code);
    assert_null(model);
    assert_int_equal(err.offset, offset);
    assert_string_equal(err.message, first.message);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
    return first;
}

/* The same for what a builder holds. */
static inline slm_error refuse(gguf_builder *builder, const slm_model_options *limits, slm_status code,
                               uint64_t offset)
{
    gguf_file file;
    file.bytes = gguf_builder_finish(builder, &file.size);
    const slm_error err = refuse_file(file, limits, code, offset);
    free(file.bytes);
    return err;
}

#endif
