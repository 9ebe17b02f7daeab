/* SPDX-License-Identifier: MIT */
/* UTF-8 through the public functions: a tokenizer of bytes against a table-free twin, replacement as Python
 * does it, messages that are cut. */
#include "unit/template/chat_fixture.h"

#include <stdio.h>
#include <string.h>

#include "slm/tokenizer.h"
#include "support/failing_alloc.h"

#define MOST_TEXT 32768

static slm_error error;
static const slm_tokenizer *tokenizer; /* a token for each byte */

/* The definition turned around: a code point is valid as its own shortest encoding. */
static size_t twin_encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)(c | (n == 2 ? 0xC0u : n == 3 ? 0xE0u : 0xF0u));
    return n;
}

static int is_surrogate(uint32_t c)
{
    return c >= 0xD800 && c <= 0xDFFF;
}

/* Bytes of the character that a text begins with, or 0. */
static size_t twin_length(const char *p, size_t length)
{
    for (size_t n = 1; n <= 4 && n <= length; n++) {
        char again[4];
        uint32_t c = (unsigned char)p[0] & (n == 1 ? 0xFFu : 0xFFu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
            c = c << 6 | ((unsigned char)p[i] & 0x3F);
        }
        if (c <= 0x10FFFF && !is_surrogate(c) && twin_encode(c, again) == n && memcmp(again, p, n) == 0) {
            return n;
        }
    }
    return 0;
}

static size_t twin_first_bad(const char *text, size_t length)
{
    size_t i = 0;
    for (size_t n; i < length && (n = twin_length(text + i, length - i)) > 0;) {
        i += n;
    }
    return i;
}

/* Text as the tokenizer takes it in; returns its length. */
static size_t pass(const char *text, size_t length, uint32_t flags, char *out)
{
    static int32_t ids[MOST_TEXT];
    size_t n;
    OK(slm_tokenizer_encode(tokenizer, text, length, flags, ids, MOST_TEXT, &n, NULL));
    for (size_t i = 0; i < n; i++) {
        assert_in_range(ids[i], FIRST_BYTE, FIRST_BYTE + 255);
        out[i] = (char)(ids[i] - FIRST_BYTE);
    }
    return n;
}

/* The text is refused at this byte. */
static void assert_refused(const char *text, size_t length, size_t first_bad)
{
    int32_t ids[16];
    size_t n;
    FAILS(slm_tokenizer_encode(tokenizer, text, length, 0, ids, 16, &n, &error), SLM_ERR_INVALID_UTF8);
    assert_true(error.offset == first_bad);
}

/* Invalid bytes are refused at the first one, and replaced where the caller wants it, by the tokenizer on the
 * way in and, whatever the caller wants, on the way out. */
static void assert_replaced(const char *text, size_t length, const char *expected, size_t first_bad)
{
    char out[64];
    int32_t ids[16];
    size_t n;
    if (first_bad < length) {
        assert_refused(text, length, first_bad);
    } else {
        assert_int_equal(pass(text, length, 0, out), length);
        assert_memory_equal(out, text, length);
    }
    assert_int_equal(pass(text, length, SLM_TEXT_REPLACE_INVALID, out), strlen(expected));
    assert_memory_equal(out, expected, strlen(expected));
    for (size_t i = 0; i < length; i++) {
        ids[i] = FIRST_BYTE + (unsigned char)text[i];
    }
    OK(slm_tokenizer_decode(tokenizer, ids, length, 0, out, sizeof(out), &n, NULL));
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
}

#define R "\xEF\xBF\xBD"

static void every_character_is_valid(void **state)
{
    (void)state;
    static char text[MOST_TEXT], out[MOST_TEXT];
    char last_cut[5][4] = { { 0 } };
    size_t n_text = 0, n_cuts = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        const size_t n = twin_encode(c, bytes);
        if (is_surrogate(c)) {
            assert_refused(bytes, n, 0);
            continue;
        }
        memcpy(text + n_text, bytes, n);
        n_text += n;
        if (n_text > MOST_TEXT - 4 || c == 0x10FFFF) {
            assert_int_equal(pass(text, n_text, 0, out), n_text);
            assert_memory_equal(out, text, n_text);
            n_text = 0;
        }
        for (size_t cut = 1; cut < n; cut++) {
            if (memcmp(last_cut[cut], bytes, cut) != 0) { /* the same for many characters */
                memcpy(last_cut[cut], bytes, cut);
                assert_replaced(bytes, cut, R, 0);
                n_cuts++;
            }
        }
    }
    /* First bytes of 2, 3 and 4; two bytes of 3 and 4, without the impossible ones; three bytes of 4. */
    assert_int_equal(n_cuts, 30 + 16 + 5 + (14 * 64 + 2 * 32) + (3 * 64 + 48 + 16) + (3 * 64 + 48 + 16) * 64);
}

/* All first and second bytes, with a third and fourth that continue: valid exactly if the twin says so, and
 * valid when the invalid ones are replaced. */
static void every_beginning_is_judged(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char text[4] = { (char)a, (char)b, (char)0x80, (char)0xBF };
            char out[16];
            const size_t first_bad = twin_first_bad(text, 4);
            if (first_bad == 4) {
                assert_int_equal(pass(text, 4, 0, out), 4);
                assert_memory_equal(out, text, 4);
            } else {
                assert_refused(text, 4, first_bad);
                const size_t n = pass(text, 4, SLM_TEXT_REPLACE_INVALID, out);
                assert_int_equal(twin_first_bad(out, n), n);
                assert_memory_equal(out, text, first_bad);
                assert_memory_equal(out + first_bad, R, 3);
            }
        }
    }
}

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

/* Replacing asks for memory at the valid part, and at what stands for the invalid one. */
static void failing_memory_is_a_status(void **state)
{
    (void)state;
    static char text[600];
    failing_alloc memory;
    failing_alloc_init(&memory);
    const chat_model description = { .has_no_bos = 1, .host = &memory.host };
    slm_model *model = chat_model_load(&description);
    for (size_t n = 0; n < sizeof(text); n += n < 250 || n > 260 ? 50 : 1) {
        size_t n_ids;
        slm_status status = SLM_ERR_OUT_OF_MEMORY;
        memset(text, 'a', sizeof(text));
        text[n] = '\xFF';
        for (uint64_t k = 1; status != SLM_OK; k++) {
            int32_t ids[sizeof(text) + 2];
            failing_alloc_arm(&memory, k, 1);
            error = (slm_error)SLM_ERROR_INIT;
            status = slm_tokenizer_encode(slm_model_get_tokenizer(model), text, n + 1,
                                          SLM_TEXT_REPLACE_INVALID, ids, sizeof(text) + 2, &n_ids, &error);
            assert_true(status == SLM_OK || status == SLM_ERR_OUT_OF_MEMORY);
            assert_int_equal(error.code, status);
        }
        assert_int_equal(n_ids, n + 3);
    }
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
}

/* ---- messages ---- */

/* A message quotes 80 bytes of a template, but no part of a character; one that the caller has less room for
 * ends with the last character that fits. */
static void messages_are_cut_between_characters(void **state)
{
    (void)state;
    static const char quoted[] = "it begins: ";
    static const char *const endings[] = { "xxx\xC3\xA9",     "xx\xC3\xA9",          "xx\xE2\x82\xAC",
                                           "x\xE2\x82\xAC",   "x\xF0\x9F\x8C\x8D", "\xF0\x9F\x8C\x8D",
                                           "\xC3\xA9\xC3\xA9" };
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char template[200] = { 0 };
        const char *name;
        memset(template, 'a', 76);
        strcat(template, endings[i]);
        strcat(template, "more");
        slm_model *model = chat_load(template);
        FAILS(slm_chat_get_format(model, &name, &error), SLM_ERR_UNSUPPORTED);
        size_t kept = 0; /* of the first 80 bytes */
        for (size_t n; (n = twin_length(template + kept, 4)) + kept <= 80;) {
            kept += n;
        }
        const slm_error whole = error;
        const size_t before = (size_t)(strstr(whole.message, quoted) - whole.message) + strlen(quoted);
        assert_int_equal(strlen(whole.message), before + kept);
        assert_memory_equal(whole.message + before, template, kept);
        for (size_t room = 1; room <= sizeof(error.message); room++) {
            size_t end = 0;
            for (size_t n; end < before + kept && end + (n = twin_length(whole.message + end, 4)) < room;) {
                end += n;
            }
            error = (slm_error)SLM_ERROR_INIT;
            error.struct_size = (uint32_t)(offsetof(slm_error, message) + room);
            assert_int_equal(slm_chat_get_format(model, &name, &error), SLM_ERR_UNSUPPORTED);
            assert_int_equal(strlen(error.message), end);
            assert_memory_equal(error.message, whole.message, end);
        }
        slm_model_release(model);
    }
}

/* Also a message that quotes wrong bytes, or cuts its quotation inside a character, is UTF-8. */
static void messages_are_valid(void **state)
{
    (void)state;
    const struct {
        const char *role, *quoted;
    } cases[] = {
        { "r\xC3\xB4le", "not \"r\xC3\xB4le\"" },
        { "r\xF4le", "not \"r?le\"" },
        { "\xFF\xFE", "not \"\?\?\"" },
        { "aaaaaaaaaabbbbbbbbbbccccccccccddddddddd\xC3\xA9", "ddddddddd?\"" },
        { "aaaaaaaaaabbbbbbbbbbccccccccccdddddddd\xC3\xA9", "dddddddd\xC3\xA9\"" },
    };
    slm_model *model = chat_load(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const slm_chat_message message = { cases[i].role, "a", 1 };
        size_t n;
        FAILS(slm_chat_render(model, &message, 1, 0, NULL, 0, &n, &error), SLM_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.message, cases[i].quoted));
        assert_int_equal(twin_first_bad(error.message, strlen(error.message)), strlen(error.message));
    }
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_valid),
        cmocka_unit_test(every_beginning_is_judged),
        cmocka_unit_test(replacement_is_pythons),
        cmocka_unit_test(failing_memory_is_a_status),
        cmocka_unit_test(messages_are_cut_between_characters),
        cmocka_unit_test(messages_are_valid),
    };
    const chat_model bytes = { .has_no_bos = 1 };
    slm_model *model = chat_model_load(&bytes);
    tokenizer = slm_model_get_tokenizer(model);
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    slm_model_release(model);
    return n_failed;
}
