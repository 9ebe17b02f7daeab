/* SPDX-License-Identifier: MIT */
/* Tokens of a Jinja expression or statement. */
#include "template/token.h"

#include <string.h>

static int is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void slmi_token_skip_blanks(slmi_token_reader *reader)
{
    while (reader->p < reader->end && (*reader->p == ' ' || (*reader->p >= '\t' && *reader->p <= '\r'))) {
        reader->p++;
    }
}

static slmi_token take(slmi_token_reader *reader, int kind, size_t length)
{
    const slmi_token token = { kind, reader->p, length };
    reader->p += length;
    return token;
}

static slmi_token take_string(slmi_token_reader *reader)
{
    const char quote = *reader->p;
    for (const char *q = reader->p + 1; q < reader->end; q++) {
        if (*q == quote) {
            return take(reader, SLMI_TOKEN_STRING, (size_t)(q + 1 - reader->p));
        }
        if (*q == '\\') {
            q++;
        }
    }
    return take(reader, SLMI_TOKEN_END, 0);
}

slmi_token slmi_token_next(slmi_token_reader *reader)
{
    static const char doubles[][3] = { "==", "!=", "<=", ">=", "//", "**" };
    slmi_token_skip_blanks(reader);
    const size_t left = (size_t)(reader->end - reader->p);
    if (left == 0) {
        return take(reader, SLMI_TOKEN_END, 0);
    }
    const char c = *reader->p;
    if (c == '\'' || c == '"') {
        return take_string(reader);
    }
    if (is_word_byte(c)) {
        size_t n = 1;
        while (n < left && is_word_byte(reader->p[n])) {
            n++;
        }
        return take(reader, SLMI_TOKEN_WORD, n);
    }
    for (size_t i = 0; left >= 2 && i < sizeof(doubles) / sizeof(doubles[0]); i++) {
        if (memcmp(reader->p, doubles[i], 2) == 0) {
            return take(reader, SLMI_TOKEN_OPERATOR, 2);
        }
    }
    return strchr("+-*/%~<>=()[]{}.:,|", c) != NULL ? take(reader, SLMI_TOKEN_OPERATOR, 1)
                                                   : take(reader, SLMI_TOKEN_END, 0);
}

int slmi_token_is(slmi_token token, const char *text)
{
    return token.kind != SLMI_TOKEN_STRING && token.length == strlen(text) &&
           memcmp(token.text, text, token.length) == 0;
}

int slmi_token_depth(slmi_token token)
{
    if (token.kind != SLMI_TOKEN_OPERATOR || token.length != 1) {
        return 0;
    }
    return strchr("([{", token.text[0]) != NULL ? 1 : strchr(")]}", token.text[0]) != NULL ? -1 : 0;
}

int slmi_token_is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_word_byte(text[i])) {
            return 0;
        }
    }
    return length > 0 && !(text[0] >= '0' && text[0] <= '9');
}

int slmi_token_decode(slmi_token token, char *out, size_t capacity, size_t *length)
{
    static const char escapes[] = "nrt\\'\"";
    static const char values[] = "\n\r\t\\'\"";
    const char *end = token.text + token.length - 1;
    size_t n = 0;
    for (const char *p = token.text + 1; p < end; p++) {
        char c = *p;
        if (c == '\\') {
            const char *escape = strchr(escapes, *++p);
            if (escape == NULL) {
                return 0;
            }
            c = values[escape - escapes];
        }
        if (n == capacity) {
            return 0;
        }
        out[n++] = c;
    }
    *length = n;
    return 1;
}
