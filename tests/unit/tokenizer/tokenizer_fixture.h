/* SPDX-License-Identifier: MIT */
/* Small vocabularies in memory and files on disk, for the tests of the tokenizer. */
#ifndef SLM_TESTS_TOKENIZER_FIXTURE_H
#define SLM_TESTS_TOKENIZER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/failing_alloc.h"
#include "support/gguf_builder.h"
#include "tokenizer/tokenizer.h"

/* Makes a tokenizer from the builder's metadata; *tokenizer is NULL unless SLM_OK. */
static inline slm_status create_built(gguf_builder *builder, const slm_host *host,
                                      slm_tokenizer **tokenizer, slm_error *err)
{
    slmi_source source;
    slmi_gguf gguf;
    slmi_alloc alloc;
    size_t size;
    uint8_t *bytes = gguf_builder_finish(builder, &size);
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    assert_int_equal(slmi_source_open_memory(&source, bytes, size, NULL), SLM_OK);
    assert_int_equal(slmi_gguf_open(&gguf, &source, NULL, &alloc, NULL), SLM_OK);
    const slm_status status = slmi_tokenizer_create(&gguf, host, 0, tokenizer, err);
    slmi_gguf_close(&gguf);
    slmi_source_close(&source);
    free(bytes);
    return status;
}

/* Makes a tokenizer from a file. */
static inline slm_tokenizer *load_tokenizer(const char *path)
{
    slmi_source source;
    slmi_gguf gguf;
    slmi_alloc alloc;
    slm_tokenizer *tokenizer;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, NULL), SLM_OK);
    assert_int_equal(slmi_source_open_path(&source, path, NULL), SLM_OK);
    assert_int_equal(slmi_gguf_open(&gguf, &source, NULL, &alloc, NULL), SLM_OK);
    assert_int_equal(slmi_tokenizer_create(&gguf, NULL, 0, &tokenizer, NULL), SLM_OK);
    slmi_gguf_close(&gguf);
    slmi_source_close(&source);
    return tokenizer;
}

/* The whole file, NUL-terminated, to be given back with free(); NULL if there is none. */
static inline char *read_text(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    rewind(file);
    char *text = malloc((size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)length, file), length);
    text[length] = '\0';
    fclose(file);
    *size = (size_t)length;
    return text;
}

/* Encodes and compares with n ids. */
static inline void check_ids(const slm_tokenizer *tokenizer, const char *text, size_t length,
                             uint32_t flags, const int32_t *ids, size_t n)
{
    int32_t *got = malloc((n + 1) * sizeof(*got));
    assert_non_null(got);
    size_t n_got = 0;
    const slm_status status =
        slmi_tokenizer_encode(tokenizer, text, length, flags, NULL, 0, got, n, &n_got, NULL);
    if (status != SLM_OK || n_got != n || (n > 0 && memcmp(got, ids, n * sizeof(*ids)) != 0)) {
        print_error("text '%.*s', flags %u: status %d, %zu ids for %zu\n", (int)length, text, flags,
                    (int)status, n_got, n);
        fail();
    }
    free(got);
}

/* Reads ids separated by spaces up to the end of the line; moves behind it. */
static inline size_t parse_ids(const char **p, int32_t *ids, size_t capacity)
{
    size_t n = 0;
    while (**p != '\0' && **p != '\n') {
        if ((**p >= '0' && **p <= '9') || **p == '-') {
            char *end;
            assert_true(n < capacity);
            ids[n++] = (int32_t)strtol(*p, &end, 10);
            *p = end;
        } else {
            (*p)++;
        }
    }
    *p += **p == '\n';
    return n;
}

#endif
