/* SPDX-License-Identifier: MIT */
/* Files and calls shaped like published vulnerabilities of other libraries: each is refused with a clean
 * status. What each was about stands at its seed in make_corpus.py. Run: test_vulnerabilities CORPUS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/gguf.h"
#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/tiny_model.h"
#include "tokenizer/tokenizer.h"

static const char *corpus;

static uint8_t *read_seed(const char *name, size_t *size)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.bin", corpus, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(4096);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 4096, file);
    assert_true(*size > 0 && *size < 4096);
    fclose(file);
    return bytes;
}

typedef struct known {
    const char *seed;
    slm_status status;
    uint64_t offset; /* of the field that lies */
} known;

/* Loads a file as a model and as a tokenizer; both refuse it alike and keep nothing. */
static void check_file(const uint8_t *file, size_t size, const known *k)
{
    failing_alloc memory;
    slm_error err = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model = NULL;
    failing_alloc_init(&memory);
    options.host = &memory.host;
    options.n_threads = 1;
    const slm_status status = slm_model_load_memory(file, size, &options, &model, &err);
    if (status != k->status || err.offset != k->offset) {
        print_message("%s: %s at %lld: %s\n", k->seed, slm_status_name(status), (long long)err.offset,
                      err.message);
    }
    assert_int_equal(status, k->status);
    assert_true(err.offset == k->offset);
    assert_null(model);
    assert_true(memory.peak_bytes < 1 << 20);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
}

static void files(void **state)
{
    (void)state;
    static const known all[] = {
        { "gguf/cve-2024-21802-n-dims", SLM_ERR_FORMAT, 33 },
        { "gguf/cve-2024-21825-array-count", SLM_ERR_TRUNCATED, 49 },
        { "gguf/cve-2024-21836-n-tensors", SLM_ERR_LIMIT, 8 },
        { "gguf/cve-2024-23496-string-length", SLM_ERR_LIMIT, 24 },
        { "gguf/cve-2024-23605-n-kv", SLM_ERR_LIMIT, 16 },
        { "gguf/cve-2025-53630-sizes", SLM_ERR_TRUNCATED, 128 },
        { "gguf/cve-2026-27940-sizes", SLM_ERR_TRUNCATED, 128 },
        { "gguf/cve-2026-33298-dims", SLM_ERR_FORMAT, 45 },
        { "gguf/cve-2026-7482-beyond-end", SLM_ERR_TRUNCATED, 64 },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        size_t size;
        uint8_t *file = read_seed(all[i].seed, &size);
        check_file(file, size, &all[i]);
        free(file);
    }
}

/* Behind two bytes for the fuzz target; see fuzz_tokenizer.c. */
static void vocabularies(void **state)
{
    (void)state;
    static const known piece = { "tokenizer/cve-2025-49847-piece-length", SLM_ERR_LIMIT, 123 };
    size_t size;
    uint8_t *seed = read_seed(piece.seed, &size);
    check_file(seed + 2, size - 2, &piece);
    free(seed);
}

static slm_model *make_model(void)
{
    const tiny_model description = { .n_layers = 1, .type = TINY_Q8_0 };
    size_t size;
    slm_model *model;
    uint8_t *file = tiny_model_make(&description, &size);
    assert_int_equal(slm_model_load_memory(file, size, NULL, &model, NULL), SLM_OK);
    free(file);
    return model;
}

/* CVE-2025-49847 again: text that is longer than the room for it is not written. */
static void pieces_longer_than_the_room(void **state)
{
    (void)state;
    slm_model *model = make_model();
    const slm_tokenizer *tokenizer = slm_model_get_tokenizer(model);
    const int32_t longest = TINY_CONTROL;
    char text[281];
    for (size_t capacity = 0; capacity < 280; capacity++) {
        size_t length = 0;
        memset(text, '#', sizeof(text));
        assert_int_equal(slm_tokenizer_decode(tokenizer, &longest, 1, SLM_TEXT_SHOW_SPECIAL, text, capacity,
                                              &length, NULL),
                         SLM_ERR_BUFFER_TOO_SMALL);
        assert_int_equal(length, 280);
        assert_int_equal(text[capacity], '#');
    }
    slm_model_release(model);
}

/* CVE-2025-52566: more tokens than the room for them are counted and not written. */
static void more_tokens_than_the_room(void **state)
{
    (void)state;
    slm_model *model = make_model();
    const slm_tokenizer *tokenizer = slm_model_get_tokenizer(model);
    size_t size, all, n;
    int32_t ids[256];
    uint8_t *seed = read_seed("tokenizer/cve-2025-52566-many-tokens", &size);
    const char *text = (const char *)seed + 2;
    assert_int_equal(slm_tokenizer_encode(tokenizer, text, size - 2, 0, ids, 256, &all, NULL), SLM_OK);
    assert_true(all >= size - 2);
    for (size_t capacity = 0; capacity < all; capacity++) {
        for (size_t i = 0; i < 256; i++) {
            ids[i] = -7;
        }
        assert_int_equal(slm_tokenizer_encode(tokenizer, text, size - 2, 0, ids, capacity, &n, NULL),
                         SLM_ERR_BUFFER_TOO_SMALL);
        assert_int_equal(n, all);
        assert_int_equal(ids[capacity], -7);
    }
    free(seed);
    slm_model_release(model);
}

/* CVE-2026-21869: a number of tokens to drop that is negative, or larger than the sequence. The seed
 * api/cve-2026-21869-drop has the same calls among others. */
static void drops_more_than_there_is(void **state)
{
    (void)state;
    slm_model *model = make_model();
    slm_session *session;
    slm_sequence q;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_generate_options generate = SLM_GENERATE_OPTIONS_INIT;
    const uint32_t negative[] = { (uint32_t)-1, (uint32_t)-64, 1u << 31 };
    options.n_threads = 1;
    options.context_length = 100;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    assert_int_equal(slm_session_append_text(session, q, "some words", 10, 0, NULL), SLM_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(slm_session_set_u32(session, q, SLM_SEQUENCE_DROP, negative[i], NULL),
                         SLM_ERR_OUT_OF_RANGE);
        assert_int_equal(slm_session_set_u32(session, q, SLM_SEQUENCE_KEEP, negative[i], NULL),
                         SLM_ERR_OUT_OF_RANGE);
        for (uint32_t flags = 0; flags <= SLM_REPLACE_SHIFT; flags++) {
            assert_int_equal(slm_session_replace(session, q, 4, negative[i], NULL, 0, flags, NULL),
                             SLM_ERR_OUT_OF_RANGE);
            assert_int_equal(slm_session_replace(session, q, negative[i], 1, NULL, 0, flags, NULL),
                             SLM_ERR_OUT_OF_RANGE);
        }
    }
    assert_int_equal(slm_session_set_u32(session, q, SLM_SEQUENCE_FULL, SLM_FULL_SHIFT, NULL), SLM_OK);
    assert_int_equal(slm_session_set_u32(session, q, SLM_SEQUENCE_DROP, 1u << 20, NULL), SLM_OK);
    generate.flags = SLM_GENERATE_IGNORE_END;
    generate.max_tokens = 300;
    assert_int_equal(slm_session_generate(session, q, &generate, NULL), SLM_OK);
    uint32_t n_tokens = 0, n_shifts = 0;
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(session, 0, NULL);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            n_tokens += event.type == SLM_EVENT_TOKEN;
            n_shifts += event.type == SLM_EVENT_SHIFT && event.n_removed < 100;
        }
    }
    assert_int_equal(status, SLM_OK);
    assert_int_equal(n_tokens, 300);
    assert_true(n_shifts >= 2);
    slm_session_release(session);
    slm_model_release(model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(vocabularies),
        cmocka_unit_test(pieces_longer_than_the_room),
        cmocka_unit_test(more_tokens_than_the_room),
        cmocka_unit_test(drops_more_than_there_is),
    };
    if (argc != 2) {
        return 2;
    }
    corpus = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
