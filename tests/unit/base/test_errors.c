/* SPDX-License-Identifier: MIT */
/* slm/base.h: errors in structs of any version, names, versions, and hosts that are not complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "slm/slm.h"
#include "support/failing_alloc.h"

/* Fails with the message "there is no file 'PATH'". */
static void fail_for(const char *path, slm_error *err)
{
    slm_model *model;
    assert_int_equal(slm_model_load(path, NULL, &model, err), SLM_ERR_NOT_FOUND);
    assert_null(model);
}

static void errors(void **state)
{
    (void)state;
    slm_error err = SLM_ERROR_INIT;
    fail_for("number 5", NULL);
    fail_for("number 5", &err);
    assert_int_equal(err.code, SLM_ERR_NOT_FOUND);
    assert_true(err.offset == SLM_NO_OFFSET);
    assert_string_equal(err.message, "there is no file 'number 5'");
    /* A size of 0 is that of version 0.1. */
    err = (slm_error){ .struct_size = 0, .code = SLM_OK };
    fail_for("number 6", &err);
    assert_int_equal(err.code, SLM_ERR_NOT_FOUND);
    assert_string_equal(err.message, "there is no file 'number 6'");
    /* Clients of another version have another struct: what fits is written, and no byte more. */
    slm_error small = SLM_ERROR_INIT;
    small.struct_size = offsetof(slm_error, message) + 5;
    memset(small.message, 'x', sizeof(small.message));
    fail_for("sentence", &small);
    assert_int_equal(small.code, SLM_ERR_NOT_FOUND);
    assert_string_equal(small.message, "ther");
    assert_int_equal(small.message[5], 'x');
    small = (slm_error){ .struct_size = offsetof(slm_error, message), .message = "x" };
    fail_for("sentence", &small);
    assert_int_equal(small.code, SLM_ERR_NOT_FOUND);
    assert_true(small.offset == SLM_NO_OFFSET);
    assert_string_equal(small.message, "x");
    small = (slm_error){ .struct_size = 12, .code = SLM_OK };
    fail_for("sentence", &small);
    assert_int_equal(small.code, SLM_OK);
    small = (slm_error){ .struct_size = 4096 };
    fail_for("sentence", &small);
    assert_string_equal(small.message, "there is no file 'sentence'");
}

/* A message that does not fit is cut between characters; all of them have two bytes, behind an odd number. */
static void long_messages(void **state)
{
    (void)state;
    slm_error err = SLM_ERROR_INIT;
    char path[410];
    size_t length = 0;
    for (int folder = 0; folder < 2; folder++) {
        for (int i = 0; i < 99; i++) {
            memcpy(path + length, "\xC3\xA9", 2);
            length += 2;
        }
        path[length++] = '/';
    }
    path[length++] = 'x';
    path[length] = '\0';
    fail_for(path, &err); /* 18 bytes, and one between the folders */
    assert_int_equal(strlen(err.message), 239);
    assert_memory_equal(err.message + 18, path, 239 - 18);
    fail_for(path + 198, &err);
    assert_int_equal(strlen(err.message), 18 + 201 + 1);
    memmove(path + 1, path, length + 1);
    path[0] = 'y';
    fail_for(path, &err);
    assert_int_equal(strlen(err.message), 238);
    assert_memory_equal(err.message + 18, path, 238 - 18);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(slm_status_name(SLM_OK), "SLM_OK");
    assert_string_equal(slm_status_name(SLM_ERR_CONTEXT_FULL), "SLM_ERR_CONTEXT_FULL");
    assert_string_equal(slm_status_name(12345), "SLM_ERR_UNKNOWN");
    assert_string_equal(slm_status_text(SLM_ERR_CONTEXT_FULL),
                        "the context has no room for this many tokens");
    assert_non_null(slm_status_text(-12345));
    assert_int_equal(slm_version(), SLM_VERSION_MAJOR * 1000000 + SLM_VERSION_MINOR * 1000 +
                                        SLM_VERSION_PATCH);
    assert_true(slm_numerics_version() >= 1);
    assert_true(slm_cpu_level() != SLM_CPU_BEST);
    assert_string_equal(slm_cpu_level_name(SLM_CPU_SCALAR), "scalar");
    assert_string_equal(slm_cpu_level_name(SLM_CPU_AVX512), "avx512");
    assert_string_equal(slm_cpu_level_name(12345), "unknown");
    assert_string_not_equal(slm_cpu_level_name(slm_cpu_level()), "unknown");
}

static void *no_memory(void *ctx, size_t size, size_t alignment)
{
    (void)ctx;
    (void)size;
    (void)alignment;
    return NULL;
}

static void give_back(void *ctx, void *block, size_t size, size_t alignment)
{
    (void)ctx;
    (void)block;
    (void)size;
    (void)alignment;
    fail(); /* nothing was given */
}

/* Every call that takes a host checks it before anything else happens. */
static void refuses_hosts(const slm_host *host, slm_status expected)
{
    static const uint8_t bytes[4] = "GGUF";
    slm_error err = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    slm_sampler *sampler;
    options.host = host;
    assert_int_equal(slm_model_load_memory(bytes, 4, &options, &model, &err), expected);
    assert_int_equal(err.code, expected);
    assert_null(model);
    assert_int_equal(slm_sampler_create(10, host, &sampler, &err), expected);
    assert_null(sampler);
}

static void hosts(void **state)
{
    (void)state;
    slm_host host = SLM_HOST_INIT;
    slm_allocator allocator = SLM_ALLOCATOR_INIT;
    host.allocator = &allocator;
    refuses_hosts(&host, SLM_ERR_INVALID_ARGUMENT);
    allocator.alloc = no_memory;
    refuses_hosts(&host, SLM_ERR_INVALID_ARGUMENT);
    allocator.alloc = NULL;
    allocator.free = give_back;
    refuses_hosts(&host, SLM_ERR_INVALID_ARGUMENT);
    allocator.alloc = no_memory;
    allocator.struct_size = 1;
    refuses_hosts(&host, SLM_ERR_INVALID_ARGUMENT);
    allocator.struct_size = sizeof(allocator);
    host.struct_size = 1;
    refuses_hosts(&host, SLM_ERR_INVALID_ARGUMENT);
    slm_sampler *sampler;
    host.struct_size = sizeof(host);
    assert_int_equal(slm_sampler_create(10, &host, &sampler, NULL), SLM_ERR_OUT_OF_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),
        cmocka_unit_test(long_messages),
        cmocka_unit_test(names),
        cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
