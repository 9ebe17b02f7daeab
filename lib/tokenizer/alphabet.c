/* SPDX-License-Identifier: MIT */
/* GPT-2's byte alphabet: 256 printable characters that stand for the bytes in a vocabulary's text.
 * Source: github.com/openai/gpt-2, src/encoder.py, bytes_to_unicode() */
#include "base/text.h"
#include "tokenizer/internal.h"

/* Printable Latin-1 characters stand for themselves; the other 68 bytes are, in order, U+0100 to
 * U+0143. */
static int byte_of(uint32_t code_point)
{
    if ((code_point >= 0x21 && code_point <= 0x7E) || (code_point >= 0xA1 && code_point <= 0xAC) ||
        (code_point >= 0xAE && code_point <= 0xFF)) {
        return (int)code_point;
    }
    if (code_point >= 0x100 && code_point <= 0x120) {
        return (int)(code_point - 0x100); /* 0x00..0x20 */
    }
    if (code_point >= 0x121 && code_point <= 0x142) {
        return (int)(code_point - 0x121 + 0x7F); /* 0x7F..0xA0 */
    }
    return code_point == 0x143 ? 0xAD : -1;
}

size_t slmi_alphabet_decode(const char *text, size_t length, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < length;) {
        uint32_t code_point;
        if (text[i] >= 0x21 && text[i] <= 0x7E) { /* most, and all that stand for themselves in one byte */
            if (out != NULL) {
                out[n] = text[i];
            }
            n++;
            i++;
            continue;
        }
        const size_t bytes = slmi_utf8_decode(text + i, length - i, &code_point);
        const int byte = bytes > 0 ? byte_of(code_point) : -1;
        if (byte < 0) {
            return SIZE_MAX;
        }
        if (out != NULL) {
            out[n] = (char)byte;
        }
        n++;
        i += bytes;
    }
    return n;
}
