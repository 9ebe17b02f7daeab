/* SPDX-License-Identifier: MIT */
/* The small parts of base/: errors, bytes, sorting, the floating-point environment, and
 * slm/base.h's names and versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/fpenv.h"
#include "base/sort.h"

static void errors(void **state)
{
    (void)state;
    slm_error err = SLM_ERROR_INIT;
    char text[400];
    assert_int_equal(slmi_fail(NULL, SLM_ERR_IO, 3, "%d", 5), SLM_ERR_IO);
    assert_int_equal(slmi_fail(&err, SLM_ERR_IO, 3, "number %d", 5), SLM_ERR_IO);
    assert_int_equal(err.code, SLM_ERR_IO);
    assert_int_equal(err.offset, 3);
    assert_string_equal(err.message, "number 5");
    /* A message that does not fit is cut between characters. */
    for (size_t i = 0; i + 3 <= sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA9", 3);
    }
    /* Clients of another version have another struct: what fits is written, and no byte more. */
    slm_error small = SLM_ERROR_INIT;
    small.struct_size = offsetof(slm_error, message) + 5;
    memset(small.message, 'x', sizeof(small.message));
    slmi_fail(&small, SLM_ERR_IO, 7, "sentence");
    assert_int_equal(small.code, SLM_ERR_IO);
    assert_string_equal(small.message, "sent");
    assert_int_equal(small.message[5], 'x');
    small = (slm_error){ .struct_size = 12, .code = SLM_OK };
    slmi_fail(&small, SLM_ERR_IO, 7, "sentence");
    assert_int_equal(small.code, SLM_OK);
    small = (slm_error){ .struct_size = 4096 };
    slmi_fail(&small, SLM_ERR_IO, 7, "sentence");
    assert_string_equal(small.message, "sentence");
    slmi_fail(&err, SLM_ERR_IO, SLM_NO_OFFSET, "%s", text);
    assert_int_equal(strlen(err.message), 238);
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

static void bytes(void **state)
{
    (void)state;
    const uint8_t b[8] = { 1, 2, 3, 4, 5, 6, 7, 0xF8 };
    uint8_t w[8];
    uint64_t r;
    assert_int_equal(slmi_read_u16(b), 0x0201);
    assert_int_equal(slmi_read_u32(b), 0x04030201);
    assert_true(slmi_read_u64(b) == UINT64_C(0xF807060504030201));
    slmi_write_u64(w, UINT64_C(0xF807060504030201));
    assert_memory_equal(w, b, 8);
    assert_true(slmi_bits_f32(0x3F800000) == 1.0f && slmi_bits_f64(UINT64_C(0x4000000000000000)) == 2.0);
    assert_true(slmi_add_u64(UINT64_MAX - 1, 1, &r) && r == UINT64_MAX);
    assert_false(slmi_add_u64(UINT64_MAX, 1, &r));
    assert_true(slmi_mul_u64(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &r));
    assert_false(slmi_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    assert_true(slmi_mul_u64(5, 0, &r) && r == 0);
    assert_int_equal(slmi_round_up(65, 64), 128);
    assert_int_equal(slmi_round_up(64, 64), 64);
    /* FNV-1a's published values */
    assert_true(slmi_hash(SLMI_HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(slmi_hash(SLMI_HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(slmi_hash(SLMI_HASH_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
}

static int is_less(const void *ctx, uint32_t a, uint32_t b)
{
    const int *values = ctx;
    return values[a] < values[b];
}

static void sorting(void **state)
{
    (void)state;
    enum { MOST = 200 };
    int values[MOST];
    uint32_t indices[MOST];
    uint32_t random = 1;
    for (size_t n = 0; n < MOST; n++) {
        unsigned char seen[MOST] = { 0 };
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            values[i] = (int)(random >> 24) % (n % 3 == 0 ? 5 : 100);
            indices[i] = (uint32_t)i;
        }
        slmi_sort_indices(indices, n, is_less, values);
        for (size_t i = 0; i < n; i++) {
            assert_true(i == 0 || values[indices[i - 1]] <= values[indices[i]]);
            assert_int_equal(seen[indices[i]]++, 0);
        }
    }
}

static void floating_point_environment(void **state)
{
    (void)state;
    volatile float third = 1, three = 3;
    assert_int_equal(fesetround(FE_DOWNWARD), 0);
    const slmi_fpenv before = slmi_fpenv_enter();
    const volatile float nearest = third / three; /* volatile: not moved over the changes of mode */
    slmi_fpenv_leave(before);
    const volatile float down = third / three;
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    assert_true(nearest > down);
    assert_true(nearest == third / three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),  cmocka_unit_test(names), cmocka_unit_test(bytes),
        cmocka_unit_test(sorting), cmocka_unit_test(floating_point_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
