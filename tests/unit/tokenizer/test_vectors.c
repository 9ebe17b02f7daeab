/* SPDX-License-Identifier: MIT */
/* Ids that llama.cpp gives, for small vocabularies in the tree and real ones in the shared folder. */
#include "tokenizer_fixture.h"

#define MAX_IDS 4096

/* Loads a file that stands ready. */
static slm_tokenizer *load_tokenizer(const char *path, const slm_host *host)
{
    slm_tokenizer *tokenizer;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.host = host;
    assert_int_equal(slm_tokenizer_load(path, &options, &tokenizer, NULL), SLM_OK);
    return tokenizer;
}

/* Reads ids separated by spaces up to the end of the line; moves behind it. */
static size_t parse_ids(const char **p, int32_t *ids, size_t capacity)
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

static size_t parse_hex(const char **p, char *out)
{
    size_t n = 0;
    unsigned byte;
    while (**p != '|' && sscanf(*p, "%2x", &byte) == 1) {
        out[n++] = (char)byte;
        *p += 2;
    }
    return n;
}

/* The text that the ids of a vocabulary without losses must give back. */
static void check_round_trip(const slm_tokenizer *t, const char *text, size_t length,
                             const int32_t *ids, size_t n)
{
    char *back = malloc(length + 1);
    assert_non_null(back);
    size_t n_back;
    assert_int_equal(slm_tokenizer_decode(t, ids, n, 0, back, length, &n_back, NULL), SLM_OK);
    assert_int_equal(n_back, length);
    if (length > 0) {
        assert_memory_equal(back, text, length);
    }
    free(back);
}

static void check_golden(const char *name)
{
    char path[512];
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s.gguf", GOLDEN_FOLDER, name);
    slm_tokenizer *t = load_tokenizer(path, NULL);
    snprintf(path, sizeof(path), "%s/%s.ids", GOLDEN_FOLDER, name);
    char *lines = read_text(path, &size);
    assert_non_null(lines);
    char *text = malloc(size);
    assert_non_null(text);
    size_t n_lines = 0;
    for (const char *p = lines; *p != '\0'; n_lines++) {
        int32_t ids[MAX_IDS];
        char *end;
        const uint32_t flags = (uint32_t)strtoul(p, &end, 10);
        p = end + 1;
        const size_t length = parse_hex(&p, text);
        const size_t n = parse_ids(&p, ids, MAX_IDS);
        check_ids(t, text, length, flags, ids, n);
        if (flags == 0 && strcmp(name, "spm") != 0) {
            check_round_trip(t, text, length, ids, n);
        }
    }
    assert_true(n_lines > 100);
    free(text);
    free(lines);
    slm_tokenizer_release(t);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden("gpt2");
    check_golden("llama3");
    check_golden("qwen2");
    check_golden("smollm");
    check_golden("spm");
}

/* The folder with the tokenizers of real models, or NULL. */
static const char *shared_folder(void)
{
    static char folder[1024];
    const char *data = getenv("SLM_TEST_DATA");
    if (data != NULL) {
        snprintf(folder, sizeof(folder), "%s/tokenizers", data);
    } else {
        snprintf(folder, sizeof(folder), "%s/../shared/data/tokenizers", SOURCE_ROOT);
    }
    return folder;
}

/* Texts are separated by a line of its own, ids stand on one line for each text. */
static void check_shared(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[1200];
    size_t size;
    snprintf(path, sizeof(path), "%s/ggml-vocab-%s.gguf.inp", shared_folder(), name);
    char *texts = read_text(path, &size);
    if (texts == NULL) {
        print_message("skipped: there is no '%s'\n", path);
        skip();
    }
    snprintf(path, sizeof(path), "%s/ggml-vocab-%s.gguf.out", shared_folder(), name);
    char *lines = read_text(path, &size);
    assert_non_null(lines);
    snprintf(path, sizeof(path), "%s/ggml-vocab-%s.gguf", shared_folder(), name);
    failing_alloc memory;
    failing_alloc_init(&memory);
    slm_tokenizer *t = load_tokenizer(path, &memory.host);
    const char *ids_at = lines;
    size_t n_texts = 0;
    for (char *text = texts; text != NULL; n_texts++) {
        int32_t ids[MAX_IDS];
        char *end = strstr(text, separator);
        const size_t length = end != NULL ? (size_t)(end - text) : strlen(text);
        const size_t n = parse_ids(&ids_at, ids, MAX_IDS);
        check_ids(t, text, length, 0, ids, n);
        text = end != NULL ? end + strlen(separator) : NULL;
    }
    assert_true(n_texts > 40);
    assert_true(memory.live_bytes < 6000000);
    slm_tokenizer_release(t);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
    free(lines);
    free(texts);
}

static void test_llama_spm(void **state)
{
    (void)state;
    check_shared("llama-spm");
}

static void test_phi_3(void **state)
{
    (void)state;
    check_shared("phi-3");
}

static void test_gpt_2(void **state)
{
    (void)state;
    check_shared("gpt-2");
}

static void test_llama_bpe(void **state)
{
    (void)state;
    check_shared("llama-bpe");
}

static void test_qwen2(void **state)
{
    (void)state;
    check_shared("qwen2");
}

static void test_refact(void **state)
{
    (void)state;
    check_shared("refact");
}

static void test_mpt(void **state)
{
    (void)state;
    check_shared("mpt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),    cmocka_unit_test(test_llama_spm),
        cmocka_unit_test(test_phi_3),     cmocka_unit_test(test_gpt_2),
        cmocka_unit_test(test_llama_bpe), cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_refact),    cmocka_unit_test(test_mpt),
    };
    return cmocka_run_group_tests_name("tokenizer vectors", tests, NULL, NULL);
}
