/* SPDX-License-Identifier: MIT */
/* Reading well-formed GGUF files by loading models: values of every type, tensors, display, allocation
 * failures. */
#include <math.h>
#include <stdio.h>

#include "gguf_fixture.h"
#include "support/identity.h"
#include "support/tiny_model.h"

static slm_error error;

static slm_status load(const tiny_model *description, const slm_host *host, slm_model **model)
{
    size_t size;
    uint8_t *file = tiny_model_make(description, &size);
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.host = host;
    options.n_threads = 1;
    error = (slm_error)SLM_ERROR_INIT;
    const slm_status status = slm_model_load_memory(file, size, &options, model, &error);
    free(file);
    return status;
}

static slm_model *load_well(const tiny_model *description)
{
    slm_model *model;
    assert_int_equal(load(description, NULL, &model), SLM_OK);
    return model;
}

static uint64_t identity_of(const tiny_model *description)
{
    slm_model *model = load_well(description);
    const uint64_t identity = model_identity(model);
    slm_model_release(model);
    return identity;
}

/* A number as it stands in a file. */
typedef struct number {
    uint32_t type;
    uint32_t size;
    uint64_t bits;
} number;

/* What extends the model at hand, where its value began in the file, and under which key. */
static number added;
static uint64_t added_at;
static const char *added_key;

static void add_number(gguf_builder *b)
{
    uint8_t bytes[8];
    for (uint32_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(added.bits >> (8 * i));
    }
    gguf_add_raw(b, added_key, added.type, bytes, added.size);
    added_at = BODY + b->metadata.size - added.size;
}

static void add_array(gguf_builder *b)
{
    const int32_t element = 7;
    gguf_add_i32s(b, added_key, &element, 1);
    added_at = BODY + b->metadata.size - 4;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void refuse_value(const char *key, number value, void (*extend)(gguf_builder *builder),
                         const char *says)
{
    slm_model *model;
    const tiny_model description = { .n_layers = 1, .extend = extend };
    added = value;
    added_key = key;
    assert_int_equal(load(&description, NULL, &model), SLM_ERR_FORMAT);
    assert_null(model);
    assert_int_equal(error.code, SLM_ERR_FORMAT);
    assert_int_equal(error.offset, added_at);
    if (strstr(error.message, key) == NULL || strstr(error.message, says) == NULL) {
        fail_msg("'%s' does not say '%s' and '%s'", error.message, key, says);
    }
}

/* A window shortens the context, which is 100,000. */
static void integers(void **state)
{
    (void)state;
    static const struct {
        number written;
        uint32_t context_length;
    } right[] = {
        { { U8, 1, 200 }, 200 },     { { I8, 1, 100 }, 100 },       { { U16, 2, 0x9234 }, 0x9234 },
        { { I16, 2, 0x1234 }, 0x1234 }, { { U32, 4, 70000 }, 70000 }, { { I32, 4, 70001 }, 70001 },
        { { U64, 8, 70002 }, 70002 }, { { I64, 8, 70003 }, 70003 },
        { { U32, 4, UINT32_MAX }, 100000 }, { { U64, 8, UINT32_MAX }, 100000 },
        { { I32, 4, INT32_MAX }, 100000 },  { { U8, 1, 0 }, 100000 },
    };
    static const number out_of_range[] = {
        { I8, 1, 0xFE },          { I16, 2, 0xFFFF },            { I32, 4, (uint32_t)-5 },
        { I64, 8, (uint64_t)-2 }, { I64, 8, UINT64_C(1) << 32 }, { U64, 8, UINT64_C(1) << 32 },
        { U64, 8, UINT64_MAX },
    };
    const tiny_model description = { .n_layers = 1, .context_length = 100000, .extend = add_number };
    const char *key = "llama.attention.sliding_window";
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        slm_model_info info = SLM_MODEL_INFO_INIT;
        added = right[i].written;
        added_key = key;
        slm_model *model = load_well(&description);
        assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
        assert_int_equal(info.context_length, right[i].context_length);
        slm_model_release(model);
    }
    for (size_t i = 0; i < sizeof(out_of_range) / sizeof(out_of_range[0]); i++) {
        refuse_value(key, out_of_range[i], add_number, "out of range: 0 to 4294967295");
    }
    refuse_value(key, (number){ F32, 4, 0 }, add_number, "of type f32 instead of an integer");
    refuse_value(key, (number){ F64, 8, 0 }, add_number, "of type f64 instead of an integer");
    refuse_value(key, (number){ BOOL, 1, 1 }, add_number, "of type bool instead of an integer");
    refuse_value(key, (number){ STRING, 8, 0 }, add_number, "of type string instead of an integer");
    refuse_value(key, added, add_array, "an array of i32 instead of an integer");
}

static void floats(void **state)
{
    (void)state;
    const char *key = "llama.rope.freq_base";
    const number same[] = { { F32, 4, bits_of_float(1.5f) }, { F64, 8, bits_of(1.5) } };
    const number tiny[] = { { F32, 4, bits_of_float(1e-5f) }, { F64, 8, bits_of(1e-5) } };
    const tiny_model plain = { .n_layers = 1 };
    const tiny_model description = { .n_layers = 1, .extend = add_number };
    uint64_t identities[5] = { identity_of(&plain) };
    added_key = key;
    for (size_t i = 0; i < 2; i++) {
        added = same[i];
        identities[1 + i] = identity_of(&description);
        added = tiny[i];
        identities[3 + i] = identity_of(&description);
    }
    assert_true(identities[1] == identities[2] && identities[3] == identities[4]);
    assert_true(identities[0] != identities[1] && identities[1] != identities[3]);
    refuse_value(key, (number){ F64, 8, bits_of(1e300) }, add_number, "does not fit into 32 bits");
    refuse_value(key, (number){ F64, 8, bits_of(-1e300) }, add_number, "does not fit into 32 bits");
    refuse_value(key, (number){ U32, 4, 1 }, add_number, "of type u32 instead of a float");
    /* What is no number fits, and is no base. */
    static const double bases[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < 3; i++) {
        slm_model *model;
        added = (number){ F64, 8, bits_of(bases[i]) };
        assert_int_equal(load(&description, NULL, &model), SLM_ERR_FORMAT);
        assert_non_null(strstr(error.message, "makes no sense"));
    }
}

static void truths_and_texts(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .extend = add_number };
    for (uint32_t truth = 0; truth < 2; truth++) {
        slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
        added = (number){ BOOL, 1, truth };
        added_key = "tokenizer.ggml.add_bos_token";
        slm_model *model = load_well(&description);
        assert_int_equal(slm_tokenizer_get_info(slm_model_get_tokenizer(model), &info, NULL), SLM_OK);
        assert_int_equal(info.adds_bos, truth);
        slm_model_release(model);
    }
    refuse_value("tokenizer.ggml.add_bos_token", (number){ U8, 1, 1 }, add_number,
                 "of type u8 instead of a boolean");
    refuse_value("llama.rope.scaling.type", (number){ U8, 1, 1 }, add_number,
                 "of type u8 instead of a string");
}

static void add_vocabulary(gguf_builder *b)
{
    static const char *const words[4] = { "a", "", "b", "ab" };
    static const float scores[4] = { 0.25f, 0.0f, -2.0f, -1.0f };
    static const int32_t types[4] = { 1, 3, 1, 1 };
    gguf_add_string(b, "tokenizer.ggml.model", "llama");
    gguf_add_strings(b, "tokenizer.ggml.tokens", words, 4);
    if (added_key != NULL) {
        add_array(b);
        return;
    }
    gguf_add_f32s(b, "tokenizer.ggml.scores", scores, 4);
    gguf_add_i32s(b, "tokenizer.ggml.token_type", types, 4);
}

static void arrays(void **state)
{
    (void)state;
    gguf_builder b;
    gguf_builder_init(&b);
    /* The tokenizer is read first; then the file is found to lack the rest. */
    added_key = NULL;
    add_vocabulary(&b);
    slm_error err = refuse(&b, NULL, SLM_ERR_FORMAT, SLM_NO_OFFSET);
    assert_non_null(strstr(err.message, "general.architecture"));
    add_vocabulary(&b);
    uint64_t at = BODY + b.metadata.size + 8 + 20 + 4;
    gguf_add_u32(&b, "general.architecture", 1);
    err = refuse(&b, NULL, SLM_ERR_FORMAT, at);
    assert_non_null(strstr(err.message, "of type u32 instead of a string"));
    /* No weights, and none that are a matrix. */
    add_vocabulary(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    err = refuse(&b, NULL, SLM_ERR_FORMAT, SLM_NO_OFFSET);
    assert_non_null(strstr(err.message, "no weights"));
    add_vocabulary(&b);
    gguf_add_string(&b, "general.architecture", "llama");
    const uint64_t length = 4;
    const float numbers[4] = { 0 };
    gguf_add_tensor(&b, "output_norm.weight", 0, 1, &length, numbers, sizeof(numbers));
    err = refuse(&b, NULL, SLM_ERR_FORMAT, SLM_NO_OFFSET);
    assert_non_null(strstr(err.message, "llama.block_count is 0"));
    added_key = "tokenizer.ggml.scores";
    add_vocabulary(&b);
    err = refuse(&b, NULL, SLM_ERR_FORMAT, added_at);
    assert_non_null(strstr(err.message, "an array of i32 instead of an array of f32"));
    added_key = "tokenizer.ggml.token_type";
    add_vocabulary(&b);
    err = refuse(&b, NULL, SLM_ERR_FORMAT, added_at);
    assert_non_null(strstr(err.message, "1 elements for 4 tokens"));
    gguf_add_string(&b, "tokenizer.ggml.model", "llama");
    at = BODY + b.metadata.size + 8 + 21 + 4;
    gguf_add_u32(&b, "tokenizer.ggml.tokens", 4);
    err = refuse(&b, NULL, SLM_ERR_FORMAT, at);
    assert_non_null(strstr(err.message, "of type u32 instead of an array of string"));
}

static void add_everything(gguf_builder *b)
{
    static const uint8_t u8 = 200;
    static const uint8_t i8 = 0xFE;
    static const uint8_t u16[2] = { 0x34, 0x12 };
    static const uint8_t i16[2] = { 0xFF, 0xFF };
    static const uint8_t i64[8] = { 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };
    static const uint8_t f64[8] = { 0, 0, 0, 0, 0, 0, 0xF8, 0x3F }; /* 1.5 */
    static const uint8_t nul[11] = { 3, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 'b' };
    static const float some_floats[2] = { 0.25f, -2.0f };
    static const int32_t some_ints[3] = { -7, 0, 7 };
    static const char *const words[3] = { "one", "", "three" };
    const uint64_t pi = bits_of(3.141592653589793);
    gguf_add_string(b, "cafe", "Tiny \xC3\xA9");
    gguf_add_raw(b, "u8", U8, &u8, 1);
    gguf_add_raw(b, "i8", I8, &i8, 1);
    gguf_add_raw(b, "u16", U16, u16, 2);
    gguf_add_raw(b, "i16", I16, i16, 2);
    gguf_add_u32(b, "u32", UINT32_MAX);
    gguf_add_i32(b, "i32", -5);
    gguf_add_u64(b, "u64", UINT64_MAX);
    gguf_add_raw(b, "i64", I64, i64, 8);
    gguf_add_f32(b, "f32", 1e-5f);
    gguf_add_raw(b, "f64", F64, f64, 8);
    gguf_add_raw(b, "pi", F64, &pi, 8);
    gguf_add_bool(b, "yes", 1);
    gguf_add_bool(b, "no", 0);
    gguf_add_f32s(b, "floats", some_floats, 2);
    gguf_add_i32s(b, "ints", some_ints, 3);
    gguf_add_strings(b, "words", words, 3);
    gguf_add_strings(b, "nothing", words, 0);
    gguf_add_f32(b, "theta", 1e6f);
    gguf_add_f32(b, "third", 1.0f / 3);
    gguf_add_f32(b, "tenth", 0.1f);
    gguf_add_f32(b, "minus", -2.5f);
    gguf_add_f32(b, "tiny", 1e-40f);
    gguf_add_f32(b, "endless", INFINITY);
    gguf_add_f32(b, "none", NAN);
    gguf_add_string(b, "broken", "a\xFF\xC3z");
    gguf_add_raw(b, "nul", STRING, nul, sizeof(nul));
}

static const char *shown_value(const slm_model *model, const char *wanted)
{
    const char *key, *value;
    for (uint32_t i = 0; slm_model_get_metadata(model, i, &key, &value, NULL) == SLM_OK; i++) {
        if (strcmp(key, wanted) == 0) {
            return value;
        }
    }
    fail_msg("no metadata '%s'", wanted);
    return NULL;
}

static void display(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *text;
    } shown[] = {
        { "cafe", "Tiny \xC3\xA9" }, { "u8", "200" }, { "i8", "-2" }, { "u16", "4660" }, { "i16", "-1" },
        { "u32", "4294967295" }, { "i32", "-5" }, { "u64", "18446744073709551615" }, { "i64", "-2" },
        { "yes", "true" }, { "no", "false" }, { "f32", "1e-05" }, { "f64", "1.5" },
        { "pi", "3.141592653589793" }, { "theta", "1e+06" }, { "third", "0.33333334" },
        { "tenth", "0.1" }, { "minus", "-2.5" }, { "tiny", "9.99995e-41" }, { "endless", "inf" },
        { "none", "nan" }, { "words", "[string x 3]" }, { "floats", "[f32 x 2]" },
        { "ints", "[i32 x 3]" }, { "nothing", "[string x 0]" },
        { "broken", "a\xEF\xBF\xBD\xEF\xBF\xBDz" }, { "nul", "a\xEF\xBF\xBD" "b" },
        { "general.name", "tiny" }, { "tokenizer.ggml.tokens", "[string x 287]" },
    };
    const tiny_model description = { .extend = add_everything };
    slm_model *model = load_well(&description);
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        assert_string_equal(shown_value(model, shown[i].key), shown[i].text);
    }
    slm_model_release(model);
}

static void tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *type;
        uint32_t n_dims;
        uint64_t dims[2], bytes;
    } some[] = {
        { "token_embd.weight", "Q8_0", 2, { 64, TINY_VOCAB }, TINY_VOCAB * 68 },
        { "blk.0.attn_k.weight", "Q8_0", 2, { 64, 32 }, 32 * 68 },
        { "output_norm.weight", "F32", 1, { 64, 0 }, 256 },
    };
    const tiny_model description = { .type = TINY_Q8_0 };
    slm_model *model = load_well(&description);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        slm_tensor_info info = SLM_TENSOR_INFO_INIT;
        uint32_t n = 0;
        do {
            assert_int_equal(slm_model_get_tensor(model, n++, &info, NULL), SLM_OK);
        } while (strcmp(info.name, some[i].name) != 0);
        assert_string_equal(info.type, some[i].type);
        assert_int_equal(info.n_dims, some[i].n_dims);
        assert_true(info.dims[0] == some[i].dims[0]);
        assert_true(info.n_dims == 1 || info.dims[1] == some[i].dims[1]);
        assert_true(info.bytes == some[i].bytes);
    }
    slm_model_release(model);
}

static void own_alignment_and_version_2(void **state)
{
    (void)state;
    const tiny_model plain = { .n_layers = 1 };
    const tiny_model old = { .n_layers = 1, .version = 2 };
    const tiny_model aligned = { .n_layers = 1, .alignment = 256 };
    const tiny_model packed = { .n_layers = 1, .alignment = 1 };
    const uint64_t identity = identity_of(&plain);
    assert_true(identity_of(&old) == identity);
    assert_true(identity_of(&aligned) == identity);
    assert_true(identity_of(&packed) == identity);
}

/* Name of each of ggml's types, and bytes of 256 elements; NULL where there is none. */
static const struct {
    const char *name;
    uint32_t bytes;
} types[64] = {
    [0] = { "F32", 1024 },    [1] = { "F16", 512 },      [2] = { "Q4_0", 144 },    [3] = { "Q4_1", 160 },
    [6] = { "Q5_0", 176 },    [7] = { "Q5_1", 192 },     [8] = { "Q8_0", 272 },    [9] = { "Q8_1", 288 },
    [10] = { "Q2_K", 84 },    [11] = { "Q3_K", 110 },    [12] = { "Q4_K", 144 },   [13] = { "Q5_K", 176 },
    [14] = { "Q6_K", 210 },   [15] = { "Q8_K", 292 },    [16] = { "IQ2_XXS", 66 }, [17] = { "IQ2_XS", 74 },
    [18] = { "IQ3_XXS", 98 }, [19] = { "IQ1_S", 50 },    [20] = { "IQ4_NL", 144 }, [21] = { "IQ3_S", 110 },
    [22] = { "IQ2_S", 82 },   [23] = { "IQ4_XS", 136 },  [24] = { "I8", 256 },     [25] = { "I16", 512 },
    [26] = { "I32", 1024 },   [27] = { "I64", 2048 },    [28] = { "F64", 2048 },   [29] = { "IQ1_M", 56 },
    [30] = { "BF16", 512 },   [34] = { "TQ1_0", 54 },    [35] = { "TQ2_0", 66 },   [39] = { "MXFP4", 136 },
    [40] = { "NVFP4", 144 },  [41] = { "Q1_0", 36 },     [42] = { "Q2_0", 72 },
};

static uint32_t type;

static void add_head(gguf_builder *b)
{
    const uint64_t dims[2] = { 256, TINY_VOCAB };
    const size_t size = (size_t)TINY_VOCAB * types[type % 64].bytes;
    uint8_t *zeros = calloc(size + 1, 1);
    assert_non_null(zeros);
    gguf_add_tensor(b, "output.weight", type, 2, dims, zeros, size);
    free(zeros);
}

/* Types that cannot be computed with are refused by their name. */
static void check_head(void)
{
    slm_model *model;
    const tiny_model description = { .n_layers = 1, .width = 256, .extend = add_head };
    const slm_status status = load(&description, NULL, &model);
    const char *name = types[type % 64].name;
    if (status == SLM_OK) {
        slm_model_info info = SLM_MODEL_INFO_INIT;
        slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
        assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
        assert_int_equal(slm_model_get_tensor(model, info.n_tensors - 1, &tensor, NULL), SLM_OK);
        assert_string_equal(tensor.type, name);
        assert_true(tensor.bytes == (uint64_t)TINY_VOCAB * types[type].bytes);
        slm_model_release(model);
    } else {
        char says[64];
        snprintf(says, sizeof(says), "type %s (%u)", name == NULL ? "unknown" : name, type);
        assert_int_equal(status, SLM_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, "output.weight"));
        assert_non_null(strstr(error.message, says));
        assert_true(error.offset != SLM_NO_OFFSET);
    }
}

static void all_types(void **state)
{
    (void)state;
    static const uint64_t dims[3] = { 256, 1, 1 };
    static const uint8_t zeros[4096] = { 0 };
    for (type = 0; type < 64; type++) {
        check_head();
        /* Each takes its bytes in the file, and not one less; none if nobody knows it. */
        const uint32_t bytes = types[type].name == NULL ? 1 : types[type].bytes;
        gguf_builder b;
        gguf_builder_init(&b);
        gguf_add_tensor(&b, "t", type, 3, dims, zeros, bytes);
        slm_error err = refuse(&b, NULL, SLM_ERR_FORMAT, SLM_NO_OFFSET);
        assert_non_null(strstr(err.message, "tokenizer.ggml"));
        if (types[type].name != NULL) {
            gguf_add_tensor(&b, "t", type, 3, dims, zeros, bytes - 1);
            err = refuse(&b, NULL, SLM_ERR_TRUNCATED, 96);
            assert_non_null(strstr(err.message, "'t'"));
        }
    }
    type = 64 * 100 + 4; /* a number that nobody gave */
    check_head();
}

static void allocation_failures(void **state)
{
    (void)state;
    failing_alloc f;
    const tiny_model description = { .n_layers = 1, .extend = add_everything };
    failing_alloc_init(&f);
    for (int keep = 0; keep < 2; keep++) {
        for (uint64_t k = 1;; k++) {
            slm_model *model;
            failing_alloc_arm(&f, k, keep);
            const slm_status status = load(&description, &f.host, &model);
            const int failed = f.n_failed > 0;
            assert_int_equal(status, failed ? SLM_ERR_OUT_OF_MEMORY : SLM_OK);
            slm_model_release(model);
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
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(truths_and_texts),
        cmocka_unit_test(arrays),
        cmocka_unit_test(display),
        cmocka_unit_test(tensors),
        cmocka_unit_test(own_alignment_and_version_2),
        cmocka_unit_test(all_types),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
