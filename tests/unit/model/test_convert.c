/* SPDX-License-Identifier: MIT */
/* Files with stored panels: the same model in every way of loading, complete or not there, no crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/experimental/convert.h"
#include "slm/sequence.h"
#include "slm/session.h"
#include "support/failing_alloc.h"
#include "support/files.h"
#include "support/identity.h"
#include "support/tiny_model.h"

static slm_error error;

/* A file in memory that is read and written through callbacks. */
typedef struct memory_file {
    uint8_t *data;
    size_t size, capacity;
    size_t writes_left; /* before one fails */
} memory_file;

static slm_status read_memory(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    const memory_file *file = ctx;
    assert_true(offset <= file->size && size <= file->size - offset);
    memcpy(buffer, file->data + offset, size);
    return SLM_OK;
}

static slm_status write_memory(void *ctx, const void *bytes, size_t size)
{
    memory_file *file = ctx;
    if (file->writes_left-- == 0) {
        return SLM_ERR_CHECKSUM;
    }
    assert_true(size > 0 && size <= file->capacity - file->size);
    memcpy(file->data + file->size, bytes, size);
    file->size += size;
    return SLM_OK;
}

static slm_reader reader_of(memory_file *file)
{
    slm_reader reader = SLM_READER_INIT;
    reader.size = file->size;
    reader.ctx = file;
    reader.read = read_memory;
    return reader;
}

static slm_status convert(memory_file *from, memory_file *to, const slm_model_options *options)
{
    const slm_reader reader = reader_of(from);
    slm_x_writer writer = SLM_X_WRITER_INIT;
    writer.ctx = to;
    writer.write = write_memory;
    error = (slm_error)SLM_ERROR_INIT;
    return slm_x_convert(&reader, &writer, options, &error);
}

static memory_file make(const tiny_model *description)
{
    memory_file file = { NULL, 0, 0, SIZE_MAX };
    file.data = tiny_model_make(description, &file.size);
    return file;
}

/* Room for a file with stored panels. */
static memory_file room_for(const memory_file *original)
{
    memory_file file = { NULL, 0, 2 * original->size + 100000, SIZE_MAX };
    file.data = malloc(file.capacity);
    assert_non_null(file.data);
    return file;
}

static memory_file make_converted(const tiny_model *description)
{
    memory_file original = make(description), converted = room_for(&original);
    assert_int_equal(convert(&original, &converted, NULL), SLM_OK);
    free(original.data);
    return converted;
}

/* FNV-1a over the logits after each of some tokens. */
static uint64_t hash_logits(slm_model *model)
{
    static const int32_t tokens[] = { TINY_BEGIN, 100, 7, TINY_LETTER, 55 };
    slm_session *session;
    slm_sequence q;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_event event = SLM_EVENT_INIT;
    uint64_t hash = 0xcbf29ce484222325u;
    uint32_t n = 0;
    options.n_threads = 1;
    options.logit_rows = 5;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    assert_int_equal(slm_session_append(session, q, tokens, 5, SLM_APPEND_LOGITS, NULL), SLM_OK);
    assert_int_equal(slm_session_step(session, 0, NULL), SLM_OK);
    while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
        const uint8_t *bytes = (const uint8_t *)event.logits;
        for (size_t i = 0; i < event.n_logits * sizeof(float); i++) {
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
        }
        n++;
    }
    assert_int_equal(n, 5);
    slm_session_release(session);
    return hash;
}

/* Ends with both models. */
static void assert_same_model(slm_model *original, slm_model *other)
{
    slm_model_info a = SLM_MODEL_INFO_INIT, b = SLM_MODEL_INFO_INIT;
    assert_int_equal(slm_model_get_info(original, &a, NULL), SLM_OK);
    assert_int_equal(slm_model_get_info(other, &b, NULL), SLM_OK);
    assert_string_equal(a.architecture, b.architecture);
    assert_string_equal(a.name, b.name);
    assert_true(a.n_parameters == b.n_parameters && a.weight_bytes == b.weight_bytes);
    slm_tensor_info x = SLM_TENSOR_INFO_INIT, y = SLM_TENSOR_INFO_INIT;
    for (uint32_t i = 0; slm_model_get_tensor(original, i, &x, NULL) == SLM_OK; i++) {
        assert_int_equal(slm_model_get_tensor(other, i, &y, NULL), SLM_OK);
        assert_string_equal(x.name, y.name);
        assert_string_equal(x.type, y.type);
        assert_int_equal(x.n_dims, y.n_dims);
        assert_memory_equal(x.dims, y.dims, sizeof(x.dims));
    }
    assert_true(model_identity(original) == model_identity(other));
    assert_true(hash_logits(original) == hash_logits(other));
    slm_model_release(original);
    slm_model_release(other);
}

static slm_model *load_memory(const memory_file *file)
{
    slm_model *model;
    assert_int_equal(slm_model_load_memory(file->data, file->size, NULL, &model, &error), SLM_OK);
    return model;
}

static slm_model *load_path(const char *path, uint32_t flags)
{
    slm_model *model;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.flags = flags;
    assert_int_equal(slm_model_load(path, &options, &model, &error), SLM_OK);
    return model;
}

/* Every family and type: through memory, a reader, a mapping and a copy of a file. */
static void holds_the_same_model(void **state)
{
    (void)state;
    static const uint32_t types[] = { TINY_F32, TINY_F16, TINY_BF16, TINY_Q4_0,
                                      TINY_Q8_0, TINY_Q4_K, TINY_Q6_K };
    static const char *const families[] = { "llama", "qwen2", "qwen3" };
    char path[64];
    test_path(path, sizeof(path), "converted");
    for (uint32_t i = 0; i < 7 * 3; i++) {
        const uint32_t k = types[i % 7] == TINY_Q4_K || types[i % 7] == TINY_Q6_K;
        const tiny_model description = { .family = families[i / 7], .type = types[i % 7],
                                         .width = k ? 256 : 64, .own_head = i % 2 };
        memory_file original = make(&description), converted = make_converted(&description);
        assert_true(test_file_write(path, converted.data, converted.size));
        const slm_reader reader = reader_of(&converted);
        slm_model *read;
        assert_int_equal(slm_model_load_reader(&reader, NULL, &read, NULL), SLM_OK);
        assert_same_model(load_memory(&original), read);
        assert_same_model(load_memory(&original), load_memory(&converted));
        assert_same_model(load_memory(&original), load_path(path, 0));
        assert_same_model(load_memory(&original), load_path(path, SLM_MODEL_COPY));
        assert_true(test_file_remove(path));
        free(original.data);
        free(converted.data);
    }
}

static void add_flat_head(gguf_builder *b)
{
    static float numbers[64 * TINY_VOCAB];
    const uint64_t dims[3] = { 64, TINY_VOCAB, 1 };
    for (size_t i = 0; i < 64 * TINY_VOCAB; i++) {
        numbers[i] = (float)(i % 97) / 97.0f;
    }
    gguf_add_tensor(b, "output.weight", TINY_F32, 3, dims, numbers, sizeof(numbers));
}

/* A matrix that is written with a third dimension of 1. */
static void keeps_dimensions(void **state)
{
    (void)state;
    const tiny_model description = { .type = TINY_Q8_0, .extend = add_flat_head };
    memory_file original = make(&description), converted = make_converted(&description);
    assert_same_model(load_memory(&original), load_memory(&converted));
    free(original.data);
    free(converted.data);
}

static void tells_what_is_mapped(void **state)
{
    (void)state;
    const tiny_model description = { .type = TINY_Q8_0 };
    memory_file converted = make_converted(&description);
    slm_model_info mapped = SLM_MODEL_INFO_INIT, copied = SLM_MODEL_INFO_INIT;
    char path[64];
    test_path(path, sizeof(path), "mapped");
    assert_true(test_file_write(path, converted.data, converted.size));
    slm_model *a = load_path(path, 0), *b = load_path(path, SLM_MODEL_COPY);
    assert_int_equal(slm_model_get_info(a, &mapped, NULL), SLM_OK);
    assert_int_equal(slm_model_get_info(b, &copied, NULL), SLM_OK);
    assert_int_equal(mapped.mapped_bytes, converted.size);
    assert_int_equal(copied.mapped_bytes, 0);
    assert_true(copied.memory_bytes > copied.weight_bytes);
    assert_true(mapped.memory_bytes < copied.memory_bytes - copied.weight_bytes / 2);
    slm_model_release(a);
    slm_model_release(b);
    assert_true(test_file_remove(path));
    free(converted.data);
}

/* A budget counts what is allocated: a mapped file needs less of it. */
static void keeps_to_its_budget(void **state)
{
    (void)state;
    const tiny_model description = { .ffn_width = 4096 };
    memory_file converted = make_converted(&description);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    char path[64];
    test_path(path, sizeof(path), "budget");
    assert_true(test_file_write(path, converted.data, converted.size));
    options.max_memory_bytes = converted.size / 2;
    assert_int_equal(slm_model_load(path, &options, &model, NULL), SLM_OK);
    slm_model_release(model);
    options.flags = SLM_MODEL_COPY;
    assert_int_equal(slm_model_load(path, &options, &model, NULL), SLM_ERR_BUDGET);
    assert_int_equal(slm_model_load_memory(converted.data, converted.size, &options, &model, NULL),
                     SLM_ERR_BUDGET);
    assert_true(test_file_remove(path));
    free(converted.data);
}

static int file_exists(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        fclose(file);
    }
    return file != NULL;
}

static int32_t cancel_at(void *ctx, float done)
{
    int *left = ctx;
    assert_true(done >= 0.0f && done <= 1.0f);
    return --*left == 0;
}

/* Cancelled, or without memory, at each of its moments: what stood there stays. */
static void writes_all_or_nothing(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1 };
    memory_file original = make(&description);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    failing_alloc memory;
    char in[64], out[64], old[] = "old";
    slm_model *model;
    test_path(in, sizeof(in), "original");
    test_path(out, sizeof(out), "output");
    assert_true(test_file_write(in, original.data, original.size));
    failing_alloc_init(&memory);
    options.host = &memory.host;
    options.n_threads = 2;
    options.progress = cancel_at;
    for (int cancels = 0; cancels < 2; cancels++) {
        slm_status status = SLM_CANCELLED;
        for (int i = 1; status != SLM_OK; i++) {
            int left = cancels ? i : 0;
            options.progress_ctx = &left;
            failing_alloc_arm(&memory, cancels ? 0 : (uint64_t)i, 0);
            assert_true(test_file_write(out, old, sizeof(old)));
            status = slm_x_convert_file(in, out, &options, NULL);
            assert_true(failing_alloc_is_clean(&memory));
            if (status != SLM_OK) {
                assert_int_equal(status, cancels ? SLM_CANCELLED : SLM_ERR_OUT_OF_MEMORY);
            }
            const slm_status loads = slm_model_load(out, NULL, &model, NULL);
            assert_int_equal(loads, status == SLM_OK ? SLM_OK : SLM_ERR_FORMAT);
            slm_model_release(model);
        }
    }
    failing_alloc_destroy(&memory);
    assert_true(test_file_remove(out) && test_file_remove(in));
    free(original.data);
}

/* What a conversion that is under way lets happen: the same once more. */
typedef struct rival {
    const char *in, *out;
    uint32_t n_done;
} rival;

static int32_t convert_meanwhile(void *ctx, float done)
{
    rival *r = ctx;
    (void)done;
    assert_int_equal(slm_x_convert_file(r->in, r->out, NULL, NULL), SLM_OK);
    r->n_done++;
    return 0;
}

/* Conversions to one place do not meet: each writes a file of its own, and the last to end stays. */
static void converts_beside_another(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1 };
    memory_file original = make(&description);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    char in[64], out[64];
    rival other = { in, out, 0 };
    test_path(in, sizeof(in), "original");
    test_path(out, sizeof(out), "output");
    assert_true(test_file_write(in, original.data, original.size));
    options.progress = convert_meanwhile;
    options.progress_ctx = &other;
    assert_int_equal(slm_x_convert_file(in, out, &options, NULL), SLM_OK);
    assert_true(other.n_done > 2);
    slm_model_release(load_path(out, 0));
    assert_true(test_file_remove(out) && test_file_remove(in));
    free(original.data);
}

static void refuses_what_makes_no_sense(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1 };
    const tiny_model unknown = { .n_layers = 1, .left_out = "output_norm.weight" };
    memory_file original = make(&description), converted = make_converted(&description);
    memory_file wrong = make(&unknown), target = room_for(&original);
    slm_reader reader = reader_of(&original);
    slm_x_writer writer = SLM_X_WRITER_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    char path[64];
    test_path(path, sizeof(path), "itself");
    assert_true(test_file_write(path, original.data, original.size));
    assert_int_equal(slm_x_convert_file(path, path, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert_file(NULL, path, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert_file(path, NULL, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert_file("no such file", "other", NULL, NULL), SLM_ERR_NOT_FOUND);
    assert_int_equal(slm_x_convert_file(path, "no such folder/file", NULL, NULL), SLM_ERR_NOT_FOUND);
    assert_false(file_exists("other"));
    slm_model_release(load_path(path, 0));
    assert_true(test_file_remove(path));

    assert_int_equal(convert(&converted, &target, NULL), SLM_ERR_UNSUPPORTED);
    assert_int_equal(convert(&wrong, &target, NULL), SLM_ERR_FORMAT);
    assert_non_null(strstr(error.message, "output_norm.weight"));
    assert_int_equal(target.size, 0);
    target.writes_left = 0;
    assert_int_equal(convert(&original, &target, NULL), SLM_ERR_CHECKSUM);
    options.flags = 2;
    assert_int_equal(convert(&original, &target, &options), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load_memory(original.data, original.size, &options, &model, NULL),
                     SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert(&reader, &writer, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert(&reader, NULL, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_x_convert(NULL, &writer, NULL, NULL), SLM_ERR_INVALID_ARGUMENT);
    free(original.data);
    free(converted.data);
    free(wrong.data);
    free(target.data);
}

/* Where a key's value begins, behind its type. */
static uint8_t *value_of(const memory_file *file, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i + n + 4 < file->size; i++) {
        if (memcmp(file->data + i, key, n) == 0) {
            return file->data + i + n + 4;
        }
    }
    fail_msg("there is no '%s'", key);
    return NULL;
}

static slm_status load_status(const memory_file *file)
{
    slm_model *model;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    error = (slm_error)SLM_ERROR_INIT;
    const slm_status status = slm_model_load_memory(file->data, file->size, &options, &model, &error);
    slm_model_release(model);
    return status;
}

static void expect(const memory_file *file, uint8_t *byte, uint8_t value, slm_status status,
                   const char *named)
{
    const uint8_t before = *byte;
    *byte = value;
    assert_int_equal(load_status(file), status);
    if (strstr(error.message, named) == NULL) {
        fail_msg("'%s' does not say '%s'", error.message, named);
    }
    *byte = before;
}

static void refuses_what_contradicts_itself(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .type = TINY_Q8_0 };
    memory_file file = make_converted(&description);
    enum { HEAD = 12 }; /* element type and length of an array */
    uint8_t *version = value_of(&file, "slm.panels.version");
    uint8_t *types = value_of(&file, "slm.panels.types");
    uint8_t *shapes = value_of(&file, "slm.panels.shapes");
    expect(&file, version, 2, SLM_ERR_UNSUPPORTED, "convert the original again");
    expect(&file, version, 0, SLM_ERR_UNSUPPORTED, "convert the original again");
    expect(&file, types - 5, 'z', SLM_ERR_FORMAT, "slm.panels.types");
    expect(&file, shapes - 5, 'z', SLM_ERR_FORMAT, "slm.panels.shapes");
    expect(&file, value_of(&file, "slm.panels.architecture") - 5, 'z', SLM_ERR_FORMAT,
           "slm.panels.architecture");
    expect(&file, types, 5, SLM_ERR_FORMAT, "slm.panels.types");
    /* The panels of another type are smaller. */
    expect(&file, types + HEAD, 2, SLM_ERR_FORMAT, "token_embd.weight");
    expect(&file, types + HEAD, 99, SLM_ERR_FORMAT, "token_embd.weight");
    expect(&file, types + HEAD, 24, SLM_ERR_FORMAT, "token_embd.weight");
    for (size_t d = 0; d < 4; d++) { /* columns, rows, and dimensions that a matrix does not have */
        expect(&file, shapes + HEAD + 8 * d, 3, SLM_ERR_FORMAT, "token_embd.weight");
        expect(&file, shapes + HEAD + 8 * d + 7, 0x40, SLM_ERR_FORMAT, "token_embd.weight");
    }
    /* 287 rows and 288 take as many panels, but the model needs 287. */
    expect(&file, shapes + HEAD + 8, 32, SLM_ERR_FORMAT, "the model needs 64 x 287");
    assert_int_equal(load_status(&file), SLM_OK);
    free(file.data);
}

/* Every byte of the lists and of the directory in turn, and files that end too early. */
static void survives_damage(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .type = TINY_Q4_0 };
    memory_file file = make_converted(&description);
    const uint8_t *end = value_of(&file, "output_norm.weight") + 24;
    uint32_t n_refused = 0;
    for (uint8_t *byte = value_of(&file, "slm.panels.version") - 22; byte < end; byte++) {
        for (int bit = 0; bit < 8; bit += 7) {
            *byte ^= (uint8_t)(1u << bit);
            const slm_status status = load_status(&file);
            assert_true(status == SLM_OK || status == SLM_ERR_FORMAT || status == SLM_ERR_TRUNCATED ||
                        status == SLM_ERR_LIMIT || status == SLM_ERR_UNSUPPORTED);
            n_refused += status != SLM_OK;
            *byte ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(n_refused > 1000);
    const size_t whole = file.size;
    for (file.size = 0; file.size < whole; file.size += 61) {
        assert_int_not_equal(load_status(&file), SLM_OK);
    }
    file.size = whole - 1;
    assert_int_equal(load_status(&file), SLM_ERR_TRUNCATED);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_same_model),
        cmocka_unit_test(keeps_dimensions),
        cmocka_unit_test(tells_what_is_mapped),
        cmocka_unit_test(keeps_to_its_budget),
        cmocka_unit_test(writes_all_or_nothing),
        cmocka_unit_test(converts_beside_another),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(refuses_what_contradicts_itself),
        cmocka_unit_test(survives_damage),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
