/* SPDX-License-Identifier: MIT */
/* The small parts of base/: bytes, sorting, the floating-point environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fpenv.h"
#include "base/sort.h"

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
        cmocka_unit_test(bytes),
        cmocka_unit_test(sorting),
        cmocka_unit_test(floating_point_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
