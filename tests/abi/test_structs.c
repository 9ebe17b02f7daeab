/* SPDX-License-Identifier: MIT */
/* Size-first structs across versions: callers that know less or more than this library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "slm/slm.h"

/* A later version's options: this version's, and more. */
typedef struct later_host {
    slm_host known;
    uint64_t more[4];
} later_host;

typedef struct later_options {
    slm_model_options known;
    uint64_t more[4];
} later_options;

static slm_error err;

static slm_status create(slm_host *host)
{
    slm_sampler *sampler = NULL;
    err = (slm_error)SLM_ERROR_INIT;
    const slm_status status = slm_sampler_create(10, host, &sampler, &err);
    assert_int_equal(err.code, status);
    assert_int_equal(sampler != NULL, status == SLM_OK);
    slm_sampler_release(sampler);
    return status;
}

static void options_may_be_shorter(void **state)
{
    (void)state;
    slm_host host;
    /* What lies behind the size that is told must not be read. */
    memset(&host, 0xFF, sizeof(host));
    host.struct_size = offsetof(slm_host, allocator);
    host.reserved0 = 0;
    assert_int_equal(create(&host), SLM_OK);
    host.allocator = NULL;
    host.struct_size = offsetof(slm_host, log_ctx);
    assert_int_equal(create(&host), SLM_OK);
}

static void options_may_be_longer_if_zero(void **state)
{
    (void)state;
    later_host later;
    memset(&later, 0, sizeof(later));
    later.known.struct_size = sizeof(later);
    assert_int_equal(create(&later.known), SLM_OK);
    for (size_t i = 0; i < sizeof(later.more); i++) {
        ((unsigned char *)later.more)[i] = 1;
        assert_int_equal(create(&later.known), SLM_ERR_UNSUPPORTED);
        ((unsigned char *)later.more)[i] = 0;
    }
}

static void nonsense_sizes_are_refused(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 0, 1, 4, 7, 9, sizeof(slm_host) - 1, 5000, 0xCDCDCDCD, UINT32_MAX };
    slm_host host = SLM_HOST_INIT;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        host.struct_size = sizes[i];
        assert_int_equal(create(&host), SLM_ERR_INVALID_ARGUMENT);
    }
}

static void loading_reads_its_options_alike(void **state)
{
    (void)state;
    later_options later;
    slm_tokenizer *tokenizer = NULL;
    slm_model *model = NULL;
    memset(&later, 0, sizeof(later));
    later.known.struct_size = sizeof(later);
    assert_int_equal(slm_tokenizer_load("no such file", &later.known, &tokenizer, &err), SLM_ERR_NOT_FOUND);
    assert_int_equal(slm_model_load("no such file", &later.known, &model, &err), SLM_ERR_NOT_FOUND);
    later.known.struct_size = 16;
    assert_int_equal(slm_tokenizer_load("no such file", &later.known, &tokenizer, &err), SLM_ERR_NOT_FOUND);
    assert_int_equal(slm_model_load("no such file", &later.known, &model, &err), SLM_ERR_NOT_FOUND);
    later.known.struct_size = sizeof(later);
    later.more[1] = 5;
    assert_int_equal(slm_tokenizer_load("no such file", &later.known, &tokenizer, &err), SLM_ERR_UNSUPPORTED);
    assert_int_equal(slm_model_load("no such file", &later.known, &model, &err), SLM_ERR_UNSUPPORTED);
    later.known.struct_size = 2;
    assert_int_equal(slm_tokenizer_load("no such file", &later.known, &tokenizer, &err),
                     SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(slm_model_load("no such file", &later.known, &model, &err), SLM_ERR_INVALID_ARGUMENT);
    assert_null(tokenizer);
    assert_null(model);
}

static void results_fill_what_is_there(void **state)
{
    (void)state;
    struct {
        slm_param_info known;
        uint64_t more[2];
    } later;
    slm_param_info full = SLM_PARAM_INFO_INIT, cut;
    assert_int_equal(slm_sampler_get_param_info(1, NULL, &full, &err), SLM_OK);

    /* An older caller: nothing is written behind its struct. */
    memset(&cut, 0xAA, sizeof(cut));
    cut.struct_size = offsetof(slm_param_info, maximum);
    assert_int_equal(slm_sampler_get_param_info(1, NULL, &cut, &err), SLM_OK);
    assert_int_equal(cut.struct_size, offsetof(slm_param_info, maximum));
    assert_int_equal(cut.type, full.type);
    const unsigned char *behind = (const unsigned char *)&cut.maximum;
    for (size_t i = 0; i < sizeof(cut) - offsetof(slm_param_info, maximum); i++) {
        assert_int_equal(behind[i], 0xAA);
    }

    /* A newer caller: what this version does not know is zero. */
    memset(&later, 0xAA, sizeof(later));
    later.known.struct_size = sizeof(later);
    assert_int_equal(slm_sampler_get_param_info(1, NULL, &later.known, &err), SLM_OK);
    assert_int_equal(later.known.struct_size, sizeof(later));
    assert_string_equal(later.known.name, full.name);
    assert_true(later.more[0] == 0 && later.more[1] == 0);
}

static void errors_respect_their_size(void **state)
{
    (void)state;
    slm_error zero = { 0 };
    assert_int_equal(slm_sampler_create(0, NULL, NULL, &zero), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(zero.code, SLM_ERR_INVALID_ARGUMENT);
    slm_error older = SLM_ERROR_INIT;
    older.struct_size = 8;
    assert_int_equal(slm_sampler_create(0, NULL, NULL, &older), SLM_ERR_INVALID_ARGUMENT);
    assert_int_equal(older.message[0], 0);
    assert_true(older.offset == SLM_NO_OFFSET);
}

static void layouts_are_told(void **state)
{
    (void)state;
    const char *name;
    uint32_t offset, size, index = 0, n_found = 0;
    while (slm_layout_get(index, &name, &offset, &size) == SLM_OK) {
        if (strcmp(name, "slm_error") == 0) {
            assert_int_equal(offset, 0);
            assert_int_equal(size, sizeof(slm_error));
            n_found++;
        } else if (strcmp(name, "slm_error.message") == 0) {
            assert_int_equal(offset, offsetof(slm_error, message));
            assert_int_equal(size, sizeof(err.message));
            n_found++;
        }
        assert_int_equal(slm_layout_get(index, NULL, NULL, NULL), SLM_OK);
        index++;
    }
    assert_int_equal(n_found, 2);
    assert_int_equal(slm_layout_get(index, &name, &offset, &size), SLM_END);
    assert_int_equal(slm_layout_get(UINT32_MAX, NULL, NULL, NULL), SLM_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_be_shorter),
        cmocka_unit_test(options_may_be_longer_if_zero),
        cmocka_unit_test(nonsense_sizes_are_refused),
        cmocka_unit_test(loading_reads_its_options_alike),
        cmocka_unit_test(results_fill_what_is_there),
        cmocka_unit_test(errors_respect_their_size),
        cmocka_unit_test(layouts_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
