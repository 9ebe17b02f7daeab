/* SPDX-License-Identifier: MIT */
/* Malformed GGUF files, loaded as models: the exact status and position of each, and what a lie costs. */
#include <stdio.h>

#include "gguf_fixture.h"

static void expect(gguf_builder *b, slm_status code, uint64_t offset)
{
    (void)refuse(b, NULL, code, offset);
}

static void test_header(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        slm_status code;
    } versions[] = {
        { 0, SLM_ERR_FORMAT },      { 1, SLM_ERR_UNSUPPORTED },
        { 4, SLM_ERR_UNSUPPORTED }, { 0x03000000, SLM_ERR_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        gguf_builder b;
        gguf_builder_init(&b);
        b.version = versions[i].version;
        expect(&b, versions[i].code, 4);
    }
    uint8_t wrong[24] = "GGML\3";
    const gguf_file file = { wrong, sizeof(wrong) };
    (void)refuse_file(file, NULL, SLM_ERR_FORMAT, 0);
}

/* As CVE-2024-23496, CVE-2024-21836 and CVE-2024-21825: counts that no file can hold. */
static void test_false_counts(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    b.n_tensors = UINT64_C(1) << 60;
    expect(&b, SLM_ERR_LIMIT, 8);
    b.n_entries = UINT64_C(1) << 60;
    expect(&b, SLM_ERR_LIMIT, 16);
    b.n_entries = UINT64_MAX;
    expect(&b, SLM_ERR_LIMIT, 16);
    b.n_tensors = 1;
    expect(&b, SLM_ERR_TRUNCATED, 8);
    b.n_entries = 60000;
    expect(&b, SLM_ERR_TRUNCATED, 16);
    gguf_add_u32(&b, "a key", 1);
    b.n_entries = 2;
    expect(&b, SLM_ERR_TRUNCATED, 16);
}

/* A false count allocates nothing at all. */
static void test_lies_cost_nothing(void **state)
{
    (void)state;
    failing_alloc f;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    failing_alloc_init(&f);
    options.host = &f.host;
    static const uint64_t lies[] = { 60000, UINT64_C(1) << 60, UINT64_MAX };
    for (size_t i = 0; i < 3; i++) {
        gguf_builder b;
        gguf_builder_init(&b);
        b.n_tensors = lies[i];
        size_t size;
        slm_model *model;
        uint8_t *bytes = gguf_builder_finish(&b, &size);
        assert_true(slm_model_load_memory(bytes, size, &options, &model, NULL) < 0);
        free(bytes);
    }
    assert_int_equal(f.n_calls, 0);
    failing_alloc_destroy(&f);
}

static void test_limits(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_string(&b, "a", "0123456789");
    gguf_add_string(&b, "b", "0123456789");
    slm_model_options limits = SLM_MODEL_OPTIONS_INIT;
    limits.max_tensors = 1;
    b.n_tensors = 2; /* a lie */
    (void)refuse(&b, &limits, SLM_ERR_LIMIT, 8);
    limits.max_tensors = UINT64_MAX;
    b.n_tensors = UINT64_C(1) << 32; /* numbers have 32 bits */
    (void)refuse(&b, &limits, SLM_ERR_LIMIT, 8);
    gguf_add_string(&b, "a", "0123456789");
    limits.max_tensors = 0;
    limits.max_string_bytes = 9;
    (void)refuse(&b, &limits, SLM_ERR_LIMIT, BODY + 8 + 1 + 4);
    gguf_add_u32(&b, "0123456789", 1);
    (void)refuse(&b, &limits, SLM_ERR_LIMIT, BODY);
}

/* As CVE-2024-23605 and CVE-2024-21802: lengths of keys and strings. */
static void test_strings(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { 65536, UINT64_C(1) << 32, UINT64_MAX };
    for (size_t i = 0; i < 3; i++) {
        gguf_builder b;
        gguf_builder_init(&b);
        b.n_entries = 1;
        gguf_put_u64(&b.metadata, lengths[i]);
        gguf_put(&b.metadata, "0123456789", 10);
        expect(&b, SLM_ERR_LIMIT, BODY);
        gguf_put_string(&b.metadata, "k");
        gguf_put_u32(&b.metadata, STRING);
        gguf_put_u64(&b.metadata, i == 0 ? 100 : lengths[i]);
        b.n_entries = 1;
        const slm_status code = i == 0 ? SLM_ERR_TRUNCATED : SLM_ERR_LIMIT;
        expect(&b, code, i == 0 ? BODY + 9 + 4 + 8 : BODY + 9 + 4);
    }
    gguf_builder b;
    gguf_builder_init(&b);
    b.n_entries = 1;
    gguf_put_u64(&b.metadata, 100);
    gguf_put(&b.metadata, "0123456789", 10);
    expect(&b, SLM_ERR_TRUNCATED, BODY + 8);
    gguf_add_u32(&b, "", 1);
    gguf_add_u32(&b, "filler", 1);
    expect(&b, SLM_ERR_FORMAT, BODY);
    gguf_add_u32(&b, "bad\xFF", 1);
    expect(&b, SLM_ERR_FORMAT, BODY + 8 + 3);
    b.n_entries = 1;
    gguf_put_u64(&b.metadata, 3);
    gguf_put(&b.metadata, "a\0b\4\0\0\0\1\0\0\0", 11);
    expect(&b, SLM_ERR_FORMAT, BODY + 8 + 1);
}

static void test_values(void **state)
{
    (void)state;
    static const uint8_t two = 2;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_u32(&b, "same", 1);
    gguf_add_u32(&b, "other", 1);
    const size_t before = b.metadata.size;
    gguf_add_u32(&b, "same", 1);
    expect(&b, SLM_ERR_FORMAT, BODY + before);
    /* Of a long name whole characters are shown, 64 bytes at most. */
    char name[1 + 2 * 40 + 1] = "x", shown[80];
    for (int i = 0; i < 40; i++) {
        memcpy(name + 1 + 2 * i, "\xC3\xA9", 3);
    }
    snprintf(shown, sizeof(shown), "'%.63s'", name);
    gguf_add_u32(&b, name, 1);
    const size_t before_long = b.metadata.size;
    gguf_add_u32(&b, name, 1);
    const slm_error err = refuse(&b, NULL, SLM_ERR_FORMAT, BODY + before_long);
    assert_non_null(strstr(err.message, shown));
    gguf_add_raw(&b, "k", 13, &two, 1);
    expect(&b, SLM_ERR_FORMAT, BODY + 9);
    gguf_add_raw(&b, "k", BOOL, &two, 1);
    expect(&b, SLM_ERR_FORMAT, BODY + 9 + 4);
    gguf_add_array(&b, "k", 77, 0);
    expect(&b, SLM_ERR_FORMAT, BODY + 9 + 4);
    gguf_add_array(&b, "k", ARRAY, 1);
    expect(&b, SLM_ERR_UNSUPPORTED, BODY + 9 + 4);
    gguf_add_array(&b, "k", BOOL, 2);
    gguf_put(&b.metadata, "\1\2", 2);
    expect(&b, SLM_ERR_FORMAT, BODY + 9 + 4 + 12 + 1);
}

/* As CVE-2024-21802 and CVE-2025-53630: count times size overflows. */
static void test_array_counts(void **state)
{
    (void)state;
    static const uint32_t types[] = { U8, U32, F64, STRING };
    static const uint64_t counts[] = { 100, UINT64_C(1) << 61, UINT64_C(0x4000000000000001),
                                       UINT64_MAX };
    for (size_t t = 0; t < 4; t++) {
        for (size_t c = 0; c < 4; c++) {
            gguf_builder b;
            gguf_builder_init(&b);
            gguf_add_array(&b, "k", types[t], counts[c]);
            gguf_put_u64(&b.metadata, 0);
            expect(&b, SLM_ERR_TRUNCATED, BODY + 9 + 4 + 12);
        }
    }
}

static void test_alignment(void **state)
{
    (void)state;
    static const uint32_t wrong[] = { 0, 3, 33, UINT32_C(1) << 21, UINT32_MAX };
    gguf_builder b;
    gguf_builder_init(&b);
    for (size_t i = 0; i < 5; i++) {
        gguf_add_u32(&b, "general.alignment", wrong[i]);
        expect(&b, SLM_ERR_FORMAT, BODY + 8 + 17 + 4);
    }
    gguf_add_string(&b, "general.alignment", "32");
    expect(&b, SLM_ERR_FORMAT, BODY + 8 + 17 + 4);
}

/* A tensor's fields stand, from its name's end: dimensions (4, then 8 each), type (4), offset (8). */
#define NAME (BODY + 8 + 1)

static void test_dimensions(void **state)
{
    (void)state;
    const uint64_t none[5] = { 0, 1, 1, 1, 1 };
    const uint64_t overflow[4] = { UINT64_C(1) << 32, UINT64_C(1) << 31, 1, 1 };
    const uint64_t wraps[4] = { UINT64_C(1) << 32, UINT64_C(1) << 32, 32, 1 };
    const uint64_t negative[1] = { UINT64_MAX };
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_entry(&b, "t", 0, 5, none, 0);
    expect(&b, SLM_ERR_FORMAT, NAME);
    gguf_add_entry(&b, "t", 0, 0, none, 0);
    gguf_put_u64(&b.directory, 0);
    expect(&b, SLM_ERR_FORMAT, NAME);
    gguf_add_entry(&b, "t", 0, 1, none, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4);
    gguf_add_entry(&b, "t", 0, 4, overflow, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8);
    gguf_add_entry(&b, "t", 0, 3, wraps, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8);
    gguf_add_entry(&b, "t", 0, 1, negative, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4);
}

/* As CVE-2025-53630 and CVE-2026-27940: sizes in bytes that overflow, also when padded. */
static void test_tensor_sizes(void **state)
{
    (void)state;
    const uint64_t row[1] = { 33 };
    const uint64_t large[1] = { UINT64_C(1) << 62 };
    const uint64_t largest[1] = { INT64_MAX };
    const uint64_t vector[1] = { 8 };
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_entry(&b, "t", 8, 1, row, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8);
    gguf_add_entry(&b, "t", 0, 1, large, 0);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8);
    gguf_add_entry(&b, "t", 24, 1, largest, 0);
    expect(&b, SLM_ERR_TRUNCATED, 64);
    gguf_add_entry(&b, "t", 0, 1, vector, 0);
    expect(&b, SLM_ERR_TRUNCATED, 64);
    gguf_add_entry(&b, "t", 0, 1, vector, 16);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8 + 4);
    gguf_add_entry(&b, "t", 0, 1, vector, UINT64_MAX - 31);
    expect(&b, SLM_ERR_FORMAT, NAME + 4 + 8 + 4);
    gguf_add_entry(&b, "t", 999, 1, vector, 64);
    expect(&b, SLM_ERR_TRUNCATED, 128);
}

static void test_names_and_overlap(void **state)
{
    (void)state;
    const uint64_t vector[1] = { 16 };
    const uint8_t data[128] = { 0 };
    const size_t entry = 8 + 1 + 4 + 8 + 4 + 8;
    gguf_builder b;
    gguf_builder_init(&b);
    gguf_add_tensor(&b, "a", 0, 1, vector, data, 64);
    gguf_add_tensor(&b, "a", 0, 1, vector, data, 64);
    expect(&b, SLM_ERR_FORMAT, BODY + entry);
    gguf_add_tensor(&b, "b", 0, 1, vector, data, 128);
    gguf_add_entry(&b, "a", 0, 1, vector, 32);
    expect(&b, SLM_ERR_FORMAT, BODY + entry + entry - 8);
    gguf_add_entry(&b, "a", 0, 1, vector, 32);
    gguf_add_tensor(&b, "b", 0, 1, vector, data, 128);
    expect(&b, SLM_ERR_FORMAT, BODY + entry - 8);
    gguf_add_tensor(&b, "a", 0, 1, vector, data, 64);
    gguf_add_entry(&b, "b", 0, 1, vector, 0); /* at the same place */
    expect(&b, SLM_ERR_FORMAT, BODY + entry + entry - 8);
    gguf_add_tensor(&b, "", 0, 1, vector, data, 64);
    gguf_put(&b.directory, data, 8);
    expect(&b, SLM_ERR_FORMAT, BODY);
}

static void test_sources(void **state)
{
    (void)state;
    slm_model *model;
    slm_error err = SLM_ERROR_INIT;
    slm_reader reader = SLM_READER_INIT;
    gguf_file file = { (uint8_t[]){ 0 }, 1 };
    assert_int_equal(slm_model_load_memory(NULL, 1, NULL, &model, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load_memory(file.bytes, 0, NULL, &model, &err), SLM_ERR_TRUNCATED);
    assert_int_equal(err.offset, 0);
    reader.size = 1;
    assert_int_equal(slm_model_load_reader(&reader, NULL, &model, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load(NULL, NULL, &model, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load("/no/such/file", NULL, &model, &err), SLM_ERR_NOT_FOUND);
    assert_int_equal(slm_model_load("/", NULL, &model, &err), SLM_ERR_IO);
    (void)refuse_file(file, NULL, SLM_ERR_TRUNCATED, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_false_counts),
        cmocka_unit_test(test_lies_cost_nothing),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_array_counts),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_tensor_sizes),
        cmocka_unit_test(test_names_and_overlap),
        cmocka_unit_test(test_sources),
    };
    return cmocka_run_group_tests_name("gguf errors", tests, NULL, NULL);
}
