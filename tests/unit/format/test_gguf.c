/* SPDX-License-Identifier: MIT */
/* Reading right GGUF files: values of every type, tensors, display, allocation failures. */
#include "gguf_fixture.h"

#include "kernels/panel.h"

static void add_everything(gguf_builder *b)
{
    static const uint8_t u8 = 200;
    static const uint8_t i8 = 0xFE;
    static const uint8_t u16[2] = { 0x34, 0x12 };
    static const uint8_t i16[2] = { 0xFF, 0xFF };
    static const uint8_t i64[8] = { 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
    static const uint8_t f64[8] = { 0, 0, 0, 0, 0, 0, 0xF8, 0x3F }; /* 1.5 */
    static const float floats[2] = { 0.25f, -2.0f };
    static const int32_t ints[3] = { -7, 0, 7 };
    static const char *const words[3] = { "one", "", "three" };
    gguf_add_string(b, "general.name", "Tiny \xC3\xA9");
    gguf_add_raw(b, "u8", SLMI_GGUF_U8, &u8, 1);
    gguf_add_raw(b, "i8", SLMI_GGUF_I8, &i8, 1);
    gguf_add_raw(b, "u16", SLMI_GGUF_U16, u16, 2);
    gguf_add_raw(b, "i16", SLMI_GGUF_I16, i16, 2);
    gguf_add_u32(b, "u32", UINT32_MAX);
    gguf_add_i32(b, "i32", -5);
    gguf_add_u64(b, "u64", UINT64_MAX);
    gguf_add_raw(b, "i64", SLMI_GGUF_I64, i64, 8);
    gguf_add_f32(b, "f32", 1e-5f);
    gguf_add_raw(b, "f64", SLMI_GGUF_F64, f64, 8);
    gguf_add_bool(b, "yes", 1);
    gguf_add_bool(b, "no", 0);
    gguf_add_f32s(b, "floats", floats, 2);
    gguf_add_i32s(b, "ints", ints, 3);
    gguf_add_strings(b, "words", words, 3);
    gguf_add_strings(b, "nothing", words, 0);
}

static void add_tensors(gguf_builder *b)
{
    static const uint64_t vector[1] = { 4 };
    static const uint64_t matrix[2] = { 64, 3 };
    static const uint64_t block[3] = { 256, 1, 1 };
    uint8_t data[256] = { 0 };
    gguf_add_tensor(b, "norm", 0, 1, vector, data, 16);
    gguf_add_tensor(b, "weights", 8, 2, matrix, data, 204);
    gguf_add_tensor(b, "unknown to us", 16, 3, block, data, 66);
    gguf_add_tensor(b, "unknown to all", 999, 1, vector, data, 1);
}

static void test_values(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    add_everything(&b);
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    assert_int_equal(o.gguf.version, 3);
    assert_int_equal(o.gguf.n_entries, 17);
    assert_int_equal(o.gguf.n_tensors, 0);

    static const struct {
        const char *key;
        uint32_t value;
    } unsigned_values[] = { { "u8", 200 }, { "u16", 0x1234 }, { "u32", UINT32_MAX } };
    for (size_t i = 0; i < 3; i++) {
        uint32_t value = 1;
        assert_int_equal(slmi_gguf_get_u32(&o.gguf, unsigned_values[i].key, &value, NULL), SLM_OK);
        assert_int_equal(value, unsigned_values[i].value);
    }
    static const struct {
        const char *key;
        int32_t value;
    } signed_values[] = { { "i8", -2 }, { "i16", -1 }, { "i32", -5 }, { "i64", -2 } };
    for (size_t i = 0; i < 4; i++) {
        int32_t value = 1;
        assert_int_equal(slmi_gguf_get_i32(&o.gguf, signed_values[i].key, &value, NULL), SLM_OK);
        assert_int_equal(value, signed_values[i].value);
    }
    float number = 0;
    assert_int_equal(slmi_gguf_get_f32(&o.gguf, "f32", &number, NULL), SLM_OK);
    assert_true(number == 1e-5f);
    assert_int_equal(slmi_gguf_get_f32(&o.gguf, "f64", &number, NULL), SLM_OK);
    assert_true(number == 1.5f);
    uint32_t truth = 7;
    assert_int_equal(slmi_gguf_get_bool(&o.gguf, "yes", &truth, NULL), SLM_OK);
    assert_int_equal(truth, 1);
    assert_int_equal(slmi_gguf_get_bool(&o.gguf, "no", &truth, NULL), SLM_OK);
    assert_int_equal(truth, 0);
    slmi_text text = { NULL, 0 };
    assert_int_equal(slmi_gguf_get_text(&o.gguf, "general.name", &text, NULL), SLM_OK);
    assert_int_equal(text.length, 7);
    assert_memory_equal(text.data, "Tiny \xC3\xA9", 7);
    close_opened(&o);
}

static void test_arrays(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    add_everything(&b);
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    const slmi_gguf_entry *entry;
    assert_int_equal(slmi_gguf_get_array(&o.gguf, "floats", SLMI_GGUF_F32, &entry, NULL), SLM_OK);
    assert_int_equal(entry->count, 2);
    assert_true(slmi_gguf_array_float(entry, 1) == -2.0);
    assert_int_equal(slmi_gguf_get_array(&o.gguf, "ints", SLMI_GGUF_I32, &entry, NULL), SLM_OK);
    assert_int_equal(slmi_gguf_array_int(entry, 0), -7);
    assert_int_equal(slmi_gguf_array_int(entry, 2), 7);
    assert_int_equal(slmi_gguf_get_array(&o.gguf, "words", SLMI_GGUF_STRING, &entry, NULL), SLM_OK);
    uint64_t position = 0;
    assert_int_equal(slmi_gguf_next_string(entry, &position).length, 3);
    assert_int_equal(slmi_gguf_next_string(entry, &position).length, 0);
    assert_memory_equal(slmi_gguf_next_string(entry, &position).data, "three", 5);
    assert_int_equal(position, entry->value_bytes);
    assert_int_equal(slmi_gguf_get_array(&o.gguf, "absent", SLMI_GGUF_F32, &entry, NULL), SLM_OK);
    assert_null(entry);
    close_opened(&o);
}

static void check_refused(const opened *o, slm_status status, const slm_error *err, const char *key)
{
    assert_int_equal(status, SLM_ERR_FORMAT);
    assert_int_equal(err->code, SLM_ERR_FORMAT);
    assert_int_equal(err->offset, slmi_gguf_find(&o->gguf, key)->offset);
    assert_true(err->message[0] != '\0');
}

static void test_wrong_types(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    add_everything(&b);
    static const uint8_t huge[8] = { 0, 0, 0, 0, 0, 0, 0xF0, 0x7E };
    gguf_add_raw(&b, "huge", SLMI_GGUF_F64, huge, 8);
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    const slmi_gguf *g = &o.gguf;
    slm_error err = SLM_ERROR_INIT;
    uint32_t u = 3;
    int32_t i = 3;
    float f = 3;
    slmi_text text = { NULL, 3 };
    const slmi_gguf_entry *entry;
    check_refused(&o, slmi_gguf_get_u32(g, "i32", &u, &err), &err, "i32");
    check_refused(&o, slmi_gguf_get_u32(g, "u64", &u, &err), &err, "u64");
    check_refused(&o, slmi_gguf_get_u32(g, "f32", &u, &err), &err, "f32");
    check_refused(&o, slmi_gguf_get_u32(g, "yes", &u, &err), &err, "yes");
    check_refused(&o, slmi_gguf_get_u32(g, "ints", &u, &err), &err, "ints");
    check_refused(&o, slmi_gguf_get_i32(g, "u32", &i, &err), &err, "u32");
    check_refused(&o, slmi_gguf_get_f32(g, "u32", &f, &err), &err, "u32");
    check_refused(&o, slmi_gguf_get_f32(g, "huge", &f, &err), &err, "huge");
    check_refused(&o, slmi_gguf_get_bool(g, "u8", &u, &err), &err, "u8");
    check_refused(&o, slmi_gguf_get_text(g, "u8", &text, &err), &err, "u8");
    check_refused(&o, slmi_gguf_get_array(g, "ints", SLMI_GGUF_F32, &entry, &err), &err, "ints");
    check_refused(&o, slmi_gguf_get_array(g, "u8", SLMI_GGUF_F32, &entry, &err), &err, "u8");
    assert_true(u == 3 && i == 3 && f == 3 && text.length == 3 && entry == NULL);
    assert_int_equal(slmi_gguf_get_u32(g, "absent", &u, &err), SLM_OK);
    assert_int_equal(u, 3);
    close_opened(&o);
}

static void test_display(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    add_everything(&b);
    gguf_add_f32(&b, "theta", 1e6f);
    gguf_add_f32(&b, "third", 1.0f / 3);
    gguf_add_f32(&b, "tenth", 0.1f);
    gguf_add_f32(&b, "tiny", 1e-40f);
    gguf_add_string(&b, "broken", "a\xFF\xC3z");
    static const uint8_t nul[11] = { 3, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 'b' };
    gguf_add_raw(&b, "nul", SLMI_GGUF_STRING, nul, sizeof(nul));
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    static const struct {
        const char *key;
        const char *text;
    } shown[] = {
        { "general.name", "Tiny \xC3\xA9" }, { "u8", "200" }, { "i8", "-2" }, { "yes", "true" },
        { "no", "false" }, { "u64", "18446744073709551615" }, { "i64", "-2" }, { "f32", "1e-05" },
        { "f64", "1.5" }, { "theta", "1e+06" }, { "third", "0.33333334" }, { "tenth", "0.1" },
        { "words", "[string x 3]" }, { "ints", "[i32 x 3]" }, { "nothing", "[string x 0]" },
        { "broken", "a\xEF\xBF\xBD\xEF\xBF\xBDz" }, { "nul", "a\xEF\xBF\xBD" "b" },
    };
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        char text[64];
        const size_t n =
            slmi_gguf_format_value(slmi_gguf_find(&o.gguf, shown[i].key), text, sizeof(text));
        assert_string_equal(text, shown[i].text);
        assert_int_equal(n, strlen(shown[i].text));
    }
    char cut[7];
    const slmi_gguf_entry *name = slmi_gguf_find(&o.gguf, "general.name");
    assert_int_equal(slmi_gguf_format_value(name, cut, sizeof(cut)), 7);
    assert_string_equal(cut, "Tiny "); /* the half character is cut off */
    assert_int_equal(slmi_gguf_format_value(name, NULL, 0), 7);
    close_opened(&o);
}

static void test_tensors(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    add_tensors(&b);
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    assert_int_equal(o.gguf.n_tensors, 4);
    assert_int_equal(o.gguf.alignment, 32);
    assert_int_equal(o.gguf.data_offset % 32, 0);
    const slmi_gguf_tensor *norm = slmi_gguf_find_tensor(&o.gguf, "norm");
    assert_non_null(norm);
    assert_true(norm->type == SLMK_F32 && norm->bytes == 16 && norm->n_dims == 1);
    assert_true(norm->dims[0] == 4 && norm->dims[1] == 1 && norm->offset == o.gguf.data_offset);
    const slmi_gguf_tensor *weights = slmi_gguf_find_tensor(&o.gguf, "weights");
    assert_true(weights->type == SLMK_Q8_0 && weights->bytes == 204 && weights->dims[1] == 3);
    assert_int_equal(weights->offset, o.gguf.data_offset + 32);
    const slmi_gguf_tensor *unknown = slmi_gguf_find_tensor(&o.gguf, "unknown to us");
    assert_true(unknown->type == -1 && unknown->bytes == 66);
    assert_string_equal(slmi_gguf_type_name(unknown->file_type), "IQ2_XXS");
    const slmi_gguf_tensor *stranger = slmi_gguf_find_tensor(&o.gguf, "unknown to all");
    assert_true(stranger->type == -1 && stranger->bytes == 0 && stranger->file_type == 999);
    assert_null(slmi_gguf_type_name(999));
    assert_null(slmi_gguf_type_name(4));
    assert_null(slmi_gguf_find_tensor(&o.gguf, "absent"));
    close_opened(&o);
}

static void test_own_alignment_and_version_2(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    b.version = 2;
    b.alignment = 256;
    gguf_add_u32(&b, "general.alignment", 256);
    add_tensors(&b);
    opened o;
    assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
    assert_int_equal(o.gguf.version, 2);
    assert_int_equal(o.gguf.data_offset % 256, 0);
    assert_int_equal(slmi_gguf_find_tensor(&o.gguf, "weights")->offset, o.gguf.data_offset + 256);
    close_opened(&o);
}

/* The table of types agrees with the kernels' own. */
static void test_types_agree_with_kernels(void **state)
{
    (void)state;
    for (uint32_t file_type = 0; file_type < 64; file_type++) {
        const char *name = slmi_gguf_type_name(file_type);
        gguf_builder b;
        gguf_builder_init(&b);
        static const uint64_t dims[1] = { 256 };
        static const uint8_t zeros[4096] = { 0 };
        gguf_add_tensor(&b, "t", file_type, 1, dims, zeros, sizeof(zeros));
        opened o;
        assert_int_equal(open_built(&o, &b, NULL, NULL), SLM_OK);
        const slmi_gguf_tensor *tensor = &o.gguf.tensors[0];
        assert_true((name == NULL) == (tensor->bytes == 0));
        if (tensor->type >= 0) {
            assert_string_equal(name, slmk_types[tensor->type].name);
            assert_int_equal(tensor->bytes, slmk_row_size(tensor->type, 256));
        }
        close_opened(&o);
    }
}

static void test_allocation_failures(void **state)
{
    (void)state;
    failing_alloc f;
    failing_alloc_init(&f);
    for (int keep = 0; keep < 2; keep++) {
        for (uint64_t k = 1;; k++) {
            gguf_builder b;
            gguf_builder_init(&b);
            add_everything(&b);
            add_tensors(&b);
            failing_alloc_arm(&f, k, keep);
            opened o;
            const slm_status status = open_built(&o, &b, NULL, &f.host);
            const int failed = f.n_failed > 0;
            assert_int_equal(status, failed ? SLM_ERR_OUT_OF_MEMORY : SLM_OK);
            close_opened(&o);
            assert_true(failing_alloc_is_clean(&f));
            if (!failed) {
                assert_true(k > 4);
                break;
            }
        }
    }
    failing_alloc_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_display),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_own_alignment_and_version_2),
        cmocka_unit_test(test_types_agree_with_kernels),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
