/* SPDX-License-Identifier: MIT */
/* Loading from paths: files that are not there or are no files, names in any script and of any length, files
 * that others keep to themselves; alike on all systems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slm/slm.h"
#include "support/files.h"
#include "support/tiny_model.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define DEVICE "NUL"
#else
#include <sys/stat.h>
#include <unistd.h>
#define DEVICE "/dev/null"
#endif

static uint8_t *file; /* a model */
static size_t file_size;

/* Loads a model and a tokenizer, which meet the same. */
static slm_error load(const char *path, slm_status expected)
{
    slm_error err = SLM_ERROR_INIT, other = SLM_ERROR_INIT;
    slm_model *model;
    slm_tokenizer *tokenizer;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    if (slm_model_load(path, &options, &model, &err) != expected) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(slm_tokenizer_load(path, &options, &tokenizer, &other), expected);
    assert_true((model != NULL) == (expected == SLM_OK) && (tokenizer != NULL) == (expected == SLM_OK));
    assert_int_equal(err.code, expected);
    assert_int_equal(other.code, expected);
    assert_true(err.offset == other.offset);
    assert_string_equal(err.message, other.message);
    if (model != NULL) {
        slm_model_info info = SLM_MODEL_INFO_INIT;
        assert_int_equal(slm_model_get_info(model, &info, NULL), SLM_OK);
        assert_int_equal(info.file_bytes, file_size);
        assert_string_equal(info.name, "tiny");
    }
    slm_model_release(model);
    slm_tokenizer_release(tokenizer);
    return err;
}

static void no_files(void **state)
{
    (void)state;
    slm_error err;
    char path[64], below[80];
    load("", SLM_ERR_NOT_FOUND);
    err = load("no such file", SLM_ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "'no such file'"));
    load("no/such/folder", SLM_ERR_NOT_FOUND);
    load("/", SLM_ERR_IO);
    err = load(".", SLM_ERR_IO);
    assert_non_null(strstr(err.message, "directory"));
    err = load(DEVICE, SLM_ERR_IO);
    assert_non_null(strstr(err.message, "not a regular file"));
    test_path(path, sizeof(path), "file");
    assert_true(test_file_write(path, "", 0));
    assert_int_equal(load(path, SLM_ERR_TRUNCATED).offset, 0);
    assert_true(test_file_write(path, file, file_size));
    load(path, SLM_OK);
    snprintf(below, sizeof(below), "%s/file", path);
    load(below, SLM_ERR_NOT_FOUND);
    assert_true(test_file_remove(path));
}

static void names_in_any_script(void **state)
{
    (void)state;
    static const char *const names[] = { "модель é.gguf", "小さい模型", "mod\u0117lis \U0001F600", "a b" };
    char folder[64], path[160];
    test_path(folder, sizeof(folder), "моделі");
    assert_true(test_folder_make(folder));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_true(test_file_write(path, file, file_size));
        load(path, SLM_OK);
        assert_true(test_file_remove(path));
    }
    load(folder, SLM_ERR_IO);
    assert_true(test_folder_remove(folder));
    const char *latin = "mod\xE8le.gguf";
#if defined(_WIN32)
    assert_int_equal(load(latin, SLM_ERR_INVALID_UTF8).offset, 3);
#else
    load(latin, SLM_ERR_NOT_FOUND); /* any bytes are a name */
#endif
}

/* Beyond the 260 characters that Windows allows without further ado. */
static void long_paths(void **state)
{
    (void)state;
    enum { DEPTH = 4, NAME = 200 };
    char path[DEPTH * (NAME + 1) + 16];
    test_path(path, sizeof(path), "deep");
    const size_t root = strlen(path);
    size_t length = root;
    assert_true(test_folder_make(path));
    for (int i = 0; i < DEPTH - 1; i++) {
        path[length] = '/';
        memset(path + length + 1, 'a' + i, NAME);
        path[length + 1 + NAME] = '\0';
        length += NAME + 1;
        assert_true(test_folder_make(path));
    }
    strcpy(path + length, "/file");
    assert_true(test_file_write(path, file, file_size));
    load(path, SLM_OK);
    assert_true(test_file_remove(path));
    for (; length > root; length -= NAME + 1) {
        path[length] = '\0';
        assert_true(test_folder_remove(path));
    }
    path[root] = '\0';
    assert_true(test_folder_remove(path));

    char *endless = malloc(50001);
    assert_non_null(endless);
    memset(endless, 'x', 50000);
    endless[50000] = '\0';
    load(endless, SLM_ERR_IO);
    for (size_t i = 1; i < 50000; i += 2) {
        endless[i] = '/';
    }
    load(endless, SLM_ERR_IO);
    free(endless);
}

static void files_of_others(void **state)
{
    (void)state;
    char path[64];
    test_path(path, sizeof(path), "private");
    assert_true(test_file_write(path, file, file_size));
#if defined(_WIN32)
    const HANDLE handle = CreateFileA(path, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(handle != INVALID_HANDLE_VALUE);
    const slm_error err = load(path, SLM_ERR_IO);
    assert_non_null(strstr(err.message, "another program"));
    CloseHandle(handle);
#else
    if (geteuid() != 0) { /* who may read everything */
        assert_int_equal(chmod(path, 0), 0);
        const slm_error err = load(path, SLM_ERR_IO);
        assert_non_null(strstr(err.message, "no permission"));
        assert_int_equal(chmod(path, 0600), 0);
    }
#endif
    load(path, SLM_OK);
    assert_true(test_file_remove(path));
}

static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1 };
    file = tiny_model_make(&description, &file_size);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_files),
        cmocka_unit_test(names_in_any_script),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(files_of_others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
