/* SPDX-License-Identifier: MIT */
/* base/text.h: what may still become a character; public calls show it only by holding text back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

/* Every beginning of a character of two to four bytes: its first byte, and what may follow. */
static void beginnings_are_incomplete(void **state)
{
    (void)state;
    static const struct {
        const char *least, *most; /* characters of one first byte, which others lie between */
    } ranges[] = {
        { "\xC2\x80", "\xC2\xBF" },                 { "\xDF\x80", "\xDF\xBF" },
        { "\xE0\xA0\x80", "\xE0\xBF\xBF" },         { "\xE1\x80\x80", "\xE1\xBF\xBF" },
        { "\xED\x80\x80", "\xED\x9F\xBF" },         { "\xEF\x80\x80", "\xEF\xBF\xBF" },
        { "\xF0\x90\x80\x80", "\xF0\xBF\xBF\xBF" }, { "\xF1\x80\x80\x80", "\xF3\xBF\xBF\xBF" },
        { "\xF4\x80\x80\x80", "\xF4\x8F\xBF\xBF" },
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const size_t n = strlen(ranges[i].least);
        for (size_t cut = 1; cut <= n; cut++) {
            assert_int_equal(slmi_utf8_is_incomplete(ranges[i].least, cut), cut < n);
            assert_int_equal(slmi_utf8_is_incomplete(ranges[i].most, cut), cut < n);
        }
    }
}

static void incomplete_is_told_from_wrong(void **state)
{
    (void)state;
    assert_true(slmi_utf8_is_incomplete("\xE2", 1));
    assert_true(slmi_utf8_is_incomplete("\xF0\x9F", 2));
    assert_false(slmi_utf8_is_incomplete("\x80", 1));
    assert_false(slmi_utf8_is_incomplete("\xC0", 1));
    assert_false(slmi_utf8_is_incomplete("\xE0\x80", 2));
    assert_false(slmi_utf8_is_incomplete("\xED\xA0", 2));
    assert_false(slmi_utf8_is_incomplete("\xF5", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_are_incomplete),
        cmocka_unit_test(incomplete_is_told_from_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
