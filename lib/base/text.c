/* SPDX-License-Identifier: MIT */
/* UTF-8: checking, decoding, mending. Source: The Unicode Standard, section 3.9, table 3-7. */
#include "base/text.h"

#include <string.h>

/* Bytes of the sequence that a first byte begins (0: none does), and the range of its second byte. */
static size_t sequence_length(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        *low = first == 0xE0 ? 0xA0 : 0x80;
        *high = first == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        *low = first == 0xF0 ? 0x90 : 0x80;
        *high = first == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return first < 0x80 ? 1 : 0;
}

/* Counts the leading bytes of p that are right so far; *wanted is the whole sequence's length. */
static size_t valid_prefix(const char *p, size_t length, size_t *wanted)
{
    uint8_t low, high;
    *wanted = sequence_length((uint8_t)p[0], &low, &high);
    if (*wanted == 0) {
        return 0;
    }
    size_t n = 1;
    while (n < *wanted && n < length && (uint8_t)p[n] >= low && (uint8_t)p[n] <= high) {
        low = 0x80;
        high = 0xBF;
        n++;
    }
    return n;
}

size_t slmi_utf8_decode(const char *p, size_t length, uint32_t *code_point)
{
    size_t wanted;
    const size_t n = valid_prefix(p, length, &wanted);
    if (n == 0 || n < wanted) {
        return 0;
    }
    static const uint8_t first_mask[5] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
    uint32_t value = (uint8_t)p[0] & first_mask[n];
    for (size_t i = 1; i < n; i++) {
        value = value << 6 | ((uint8_t)p[i] & 0x3F);
    }
    *code_point = value;
    return n;
}

size_t slmi_utf8_invalid_length(const char *p, size_t length)
{
    size_t wanted;
    const size_t n = valid_prefix(p, length, &wanted);
    return n == 0 ? 1 : n;
}

int slmi_utf8_is_incomplete(const char *p, size_t length)
{
    size_t wanted;
    return valid_prefix(p, length, &wanted) == length && length < wanted;
}

size_t slmi_utf8_check(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint32_t code_point;
        const size_t n = slmi_utf8_decode(text + i, length - i, &code_point);
        if (n == 0) {
            return i;
        }
        i += n;
    }
    return length;
}

slm_status slmi_utf8_replace(slmi_buffer *out, const char *text, size_t length, slm_error *err)
{
    size_t i = 0;
    while (i < length) {
        const size_t valid = slmi_utf8_check(text + i, length - i);
        slm_status status = slmi_buffer_append(out, text + i, valid, err);
        i += valid;
        if (status == SLM_OK && i < length) {
            status = slmi_buffer_append(out, "\xEF\xBF\xBD", 3, err);
            i += slmi_utf8_invalid_length(text + i, length - i);
        }
        if (status != SLM_OK) {
            return status;
        }
    }
    return SLM_OK;
}

/* Cuts an incomplete character off the end. */
static void trim(char *text)
{
    const size_t length = strlen(text);
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        if (slmi_utf8_is_incomplete(text + length - back, back)) {
            text[length - back] = '\0';
            return;
        }
    }
}

void slmi_utf8_mend(char *text)
{
    trim(text);
    const size_t length = strlen(text);
    for (size_t i = slmi_utf8_check(text, length); i < length; i += slmi_utf8_check(text + i, length - i)) {
        text[i] = '?';
    }
}
