/* SPDX-License-Identifier: MIT */
/* base/alloc.h: the host's allocator, limits, counts, buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "support/failing_alloc.h"

static slm_error err;

static void default_allocator(void **state)
{
    (void)state;
    slmi_alloc alloc;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, &err), SLM_OK);
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        unsigned char *block = slmi_new(&alloc, 1000, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % alignment, 0);
        for (size_t i = 0; i < 1000; i++) {
            assert_int_equal(block[i], 0);
        }
        assert_true(atomic_load(&alloc.used) == 1000);
        slmi_free(&alloc, block, 1000, alignment);
    }
    assert_true(atomic_load(&alloc.used) == 0);
    slmi_free(&alloc, NULL, 10, 1);
    assert_true(atomic_load(&alloc.used) == 0);
    assert_null(slmi_new(&alloc, 0, 1));
    assert_null(slmi_new_array(&alloc, SIZE_MAX / 2, 3, 1));
    assert_null(slmi_new_array(&alloc, 0, 8, 8));
    assert_int_equal(slmi_alloc_fail(&alloc, 5, &err), SLM_ERR_OUT_OF_MEMORY);
}

static void limits(void **state)
{
    (void)state;
    slmi_alloc alloc;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 100, &err), SLM_OK);
    void *a = slmi_new_raw(&alloc, 60, 1);
    assert_non_null(a);
    assert_null(slmi_new_raw(&alloc, 41, 1));
    assert_null(slmi_new_raw(&alloc, SIZE_MAX, 1));
    assert_int_equal(slmi_alloc_fail(&alloc, 41, &err), SLM_ERR_BUDGET);
    assert_int_equal(err.code, SLM_ERR_BUDGET);
    void *b = slmi_new_raw(&alloc, 40, 1);
    assert_non_null(b);
    assert_true(atomic_load(&alloc.used) == 100);
    slmi_free(&alloc, a, 60, 1);
    slmi_free(&alloc, b, 40, 1);
}

static void host_allocator(void **state)
{
    (void)state;
    failing_alloc failing;
    slmi_alloc alloc;
    slm_host host = SLM_HOST_INIT;
    slm_allocator bad = SLM_ALLOCATOR_INIT;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&alloc, &failing.host, 0, &err), SLM_OK);
    void *block = slmi_new(&alloc, 10, 64);
    assert_int_equal(failing.live_bytes, 10);
    slmi_free(&alloc, block, 10, 64);
    failing_alloc_arm(&failing, 1, 0);
    assert_null(slmi_new_array(&alloc, 2, 5, 8));
    assert_true(atomic_load(&alloc.used) == 0);
    assert_true(failing_alloc_is_clean(&failing));
    failing_alloc_destroy(&failing);

    assert_int_equal(slmi_alloc_init(&alloc, &host, 0, &err), SLM_OK);
    host.allocator = &bad;
    assert_int_equal(slmi_alloc_init(&alloc, &host, 0, &err), SLM_ERR_INVALID_ARGUMENT);
    bad.struct_size = 1;
    assert_int_equal(slmi_alloc_init(&alloc, &host, 0, &err), SLM_ERR_INVALID_ARGUMENT);
}

static void buffers(void **state)
{
    (void)state;
    failing_alloc failing;
    slmi_alloc alloc;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&alloc, &failing.host, 0, &err), SLM_OK);
    slmi_buffer buffer = { &alloc, NULL, 0, 0 };
    assert_int_equal(slmi_buffer_append(&buffer, NULL, 0, &err), SLM_OK);
    for (int i = 0; i < 5000; i++) {
        const unsigned char bytes[3] = { (unsigned char)i, (unsigned char)(i >> 8), 7 };
        assert_int_equal(slmi_buffer_append(&buffer, bytes, 3, &err), SLM_OK);
    }
    assert_int_equal(buffer.size, 15000);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(buffer.data[3 * i] | buffer.data[3 * i + 1] << 8, i);
    }
    assert_int_equal(slmi_buffer_reserve(&buffer, SIZE_MAX / 2, &err), SLM_ERR_OUT_OF_MEMORY);
    failing_alloc_arm(&failing, 1, 1);
    assert_int_equal(slmi_buffer_reserve(&buffer, 1 << 20, &err), SLM_ERR_OUT_OF_MEMORY);
    assert_int_equal(buffer.size, 15000); /* as it was */
    slmi_buffer_free(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_true(failing_alloc_is_clean(&failing));
    failing_alloc_destroy(&failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_allocator),
        cmocka_unit_test(limits),
        cmocka_unit_test(host_allocator),
        cmocka_unit_test(buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
