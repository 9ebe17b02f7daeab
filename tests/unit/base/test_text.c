/* SPDX-License-Identifier: MIT */
/* base/text.h: UTF-8 against a table-free twin, replacement as Python does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

static slmi_alloc alloc;

/* The definition turned around: a code point is valid as its own shortest encoding. */
static size_t twin_encode(uint32_t c, unsigned char *out)
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (unsigned char)(c | (n == 2 ? 0xC0u : n == 3 ? 0xE0u : 0xF0u));
    return n;
}

static void every_character_returns(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        unsigned char expected[4];
        char bytes[4];
        uint32_t decoded;
        if (c >= 0xD800 && c <= 0xDFFF) {
            const size_t n = twin_encode(c, expected);
            assert_int_equal(slmi_utf8_decode((const char *)expected, n, &decoded), 0);
            continue;
        }
        const size_t n = slmi_utf8_encode(c, bytes);
        if (n != twin_encode(c, expected) || memcmp(bytes, expected, n) != 0 ||
            slmi_utf8_decode(bytes, n, &decoded) != n || decoded != c) {
            fail();
        }
        for (size_t cut = 1; cut < n; cut++) {
            if (slmi_utf8_decode(bytes, cut, &decoded) != 0 || !slmi_utf8_is_incomplete(bytes, cut)) {
                fail();
            }
        }
    }
}

/* All first and second bytes, with a third and fourth that continue: valid exactly if the twin says so. */
static void every_beginning_is_judged(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const unsigned char bytes[4] = { (unsigned char)a, (unsigned char)b, 0x80, 0xBF };
            uint32_t decoded;
            const size_t n = slmi_utf8_decode((const char *)bytes, 4, &decoded);
            unsigned char again[4];
            if (n > 0) {
                assert_int_equal(twin_encode(decoded, again), n);
                assert_memory_equal(again, bytes, n);
            } else {
                const size_t invalid = slmi_utf8_invalid_length((const char *)bytes, 4);
                assert_true(invalid >= 1 && invalid <= 3);
            }
        }
    }
}

static void assert_replaced(const char *text, size_t length, const char *expected, size_t first_bad)
{
    slmi_buffer out = { &alloc, NULL, 0, 0 };
    assert_int_equal(slmi_utf8_check(text, length), first_bad);
    assert_int_equal(slmi_utf8_replace(&out, text, length, NULL), SLM_OK);
    assert_int_equal(out.size, strlen(expected));
    assert_memory_equal(out.data != NULL ? (const char *)out.data : "", expected, out.size);
    slmi_buffer_free(&out);
}

#define R "\xEF\xBF\xBD"

/* Expected texts are those of Python's bytes.decode(errors="replace"). */
static void replacement_is_pythons(void **state)
{
    (void)state;
    assert_replaced("", 0, "", 0);
    assert_replaced("plain", 5, "plain", 5);
    assert_replaced("a\x80z", 3, "a" R "z", 1);
    assert_replaced("\xC3\xA9\xC3", 3, "\xC3\xA9" R, 2);
    assert_replaced("\xE2\x82", 2, R, 0);
    assert_replaced("\xE2\x82z", 3, R "z", 0);
    assert_replaced("\xF0\x9F\x8C\xF0\x9F\x8C\x8D", 7, R "\xF0\x9F\x8C\x8D", 0);
    assert_replaced("\xC0\xAF", 2, R R, 0);
    assert_replaced("\xE0\x80\xAF", 3, R R R, 0);
    assert_replaced("\xED\xA0\x80", 3, R R R, 0);
    assert_replaced("\xF4\x90\x80\x80", 4, R R R R, 0);
    assert_replaced("\xF8\x88\x80\x80\x80", 5, R R R R R, 0);
    assert_replaced("\xFF\xFE", 2, R R, 0);
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

static void trimming_cuts_no_whole_character(void **state)
{
    (void)state;
    char whole[] = "a\xC3\xA9", cut[] = "a\xC3\xA9\xF0\x9F\x8C", empty[] = "";
    slmi_utf8_trim(whole);
    slmi_utf8_trim(cut);
    slmi_utf8_trim(empty);
    assert_string_equal(whole, "a\xC3\xA9");
    assert_string_equal(cut, "a\xC3\xA9");
    assert_string_equal(empty, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_returns),
        cmocka_unit_test(every_beginning_is_judged),
        cmocka_unit_test(replacement_is_pythons),
        cmocka_unit_test(incomplete_is_told_from_wrong),
        cmocka_unit_test(trimming_cuts_no_whole_character),
    };
    if (slmi_alloc_init(&alloc, NULL, 0, NULL) != SLM_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
