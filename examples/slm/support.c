/* SPDX-License-Identifier: MIT */
/* Messages, whole files, and the checking and quoting of texts. */
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int fail(const char *subject, const slm_error *error)
{
    return subject ? fail_with("%s: %s", subject, error->message) : fail_with("%s", error->message);
}

int fail_with(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("slm: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return EXIT_FAILED;
}

int read_file(const char *path, char **text, size_t *length)
{
    int is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : open_file(path);
    if (!file)
        return fail_with("cannot read '%s': %s", path, strerror(errno));
    size_t capacity = 1 << 16, n = 0;
    char *buffer = malloc(capacity);
    while (buffer) {
        n += fread(buffer + n, 1, capacity - n, file);
        if (n < capacity)
            break;
        char *larger = realloc(buffer, capacity *= 2);
        if (!larger)
            free(buffer);
        buffer = larger;
    }
    int reason = ferror(file) ? errno : 0;
    if (!is_stdin)
        fclose(file);
    if (!buffer)
        return fail_with("'%s' does not fit in memory", path);
    if (reason) {
        free(buffer);
        return fail_with("cannot read '%s': %s", path, strerror(reason));
    }
    *text = buffer;
    *length = n;
    return EXIT_GO_ON;
}

size_t utf8_length(const char *text, size_t length)
{
    const unsigned char *b = (const unsigned char *)text;
    if (length == 0)
        return 0;
    if (b[0] < 0x80)
        return 1;
    size_t n = b[0] >= 0xC2 && b[0] <= 0xDF ? 2 : (b[0] & 0xF0) == 0xE0 ? 3 : 4;
    if (b[0] < 0xC2 || b[0] > 0xF4 || n > length)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xC0) != 0x80)
            return 0;
    }
    int too_long = (b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xF0 && b[1] < 0x90);
    int surrogate = b[0] == 0xED && b[1] > 0x9F;
    int too_large = b[0] == 0xF4 && b[1] > 0x8F;
    return too_long || surrogate || too_large ? 0 : n;
}

size_t valid_utf8(const char *text, size_t length)
{
    size_t valid = 0, n;
    while ((n = utf8_length(text + valid, length - valid)) > 0)
        valid += n;
    return valid;
}

void print_quoted(FILE *out, const char *text, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(text + i, length - i);
        unsigned char byte = (unsigned char)text[i];
        if (byte == '\n')
            fputs("\\n", out);
        else if (byte == '\t')
            fputs("\\t", out);
        else if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (n == 0 || byte < 0x20 || byte == 0x7F)
            fprintf(out, "\\x%02x", byte);
        else
            fwrite(text + i, 1, n, out);
        i += n ? n : 1;
    }
    fputc('"', out);
}
