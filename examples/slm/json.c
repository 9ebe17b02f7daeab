/* SPDX-License-Identifier: MIT */
/* Writing JSON to a stream, member by member. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tool.h"

static void write_text(json *j, const char *text, size_t length)
{
    fputc('"', j->out);
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(text + i, length - i);
        unsigned char byte = (unsigned char)text[i];
        if (n == 0)
            fputs("\\ufffd", j->out);
        else if (byte == '"' || byte == '\\')
            fprintf(j->out, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(j->out, "\\u%04x", byte);
        else
            fwrite(text + i, 1, n, j->out);
        i += n ? n : 1;
    }
    fputc('"', j->out);
}

/* A comma, a new line and the key, as the place asks for. */
static void begin_member(json *j, const char *key)
{
    if (j->depth)
        fprintf(j->out, "%s\n%*s", j->has_member ? "," : "", 2 * j->depth, "");
    if (key) {
        write_text(j, key, strlen(key));
        fputs(": ", j->out);
    }
    j->has_member = 1;
}

void json_open(json *j, const char *key, char bracket)
{
    begin_member(j, key);
    fputc(bracket, j->out);
    j->depth++;
    j->has_member = 0;
}

void json_close(json *j, char bracket)
{
    j->depth--;
    if (j->has_member)
        fprintf(j->out, "\n%*s", 2 * j->depth, "");
    fputc(bracket, j->out);
    if (j->depth == 0)
        fputc('\n', j->out);
    j->has_member = 1;
}

void json_text(json *j, const char *key, const char *text, size_t length)
{
    begin_member(j, key);
    write_text(j, text, length);
}

void json_string(json *j, const char *key, const char *text)
{
    json_text(j, key, text, strlen(text));
}

void json_integer(json *j, const char *key, int64_t value)
{
    begin_member(j, key);
    fprintf(j->out, "%" PRId64, value);
}

void json_number(json *j, const char *key, double value)
{
    begin_member(j, key);
    if (isfinite(value))
        fprintf(j->out, "%.9g", value);
    else
        fputs("null", j->out);
}
