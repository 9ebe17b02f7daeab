/* SPDX-License-Identifier: MIT */
/* Tokens of a Jinja expression or statement. */
#ifndef SLMI_TEMPLATE_TOKEN_H
#define SLMI_TEMPLATE_TOKEN_H

#include <stddef.h>

enum {
    SLMI_TOKEN_END = 0, /* nothing left, or a byte that begins no token */
    SLMI_TOKEN_WORD,    /* name, keyword or number */
    SLMI_TOKEN_STRING,  /* with its quotes */
    SLMI_TOKEN_OPERATOR
};

typedef struct slmi_token {
    int kind;
    const char *text;
    size_t length;
} slmi_token;

typedef struct slmi_token_reader {
    const char *p;
    const char *end;
} slmi_token_reader;

void slmi_token_skip_blanks(slmi_token_reader *reader);

slmi_token slmi_token_next(slmi_token_reader *reader);

/* 1 if the token, not a string, has exactly this text. */
int slmi_token_is(slmi_token token, const char *text);

/* +1 for an opening bracket, -1 for a closing one, else 0. */
int slmi_token_depth(slmi_token token);

/* 1 if the text is an identifier. */
int slmi_token_is_name(const char *text, size_t length);

/* The value of a string. Returns 0 if it has an escape that is not handled or is too long. */
int slmi_token_decode(slmi_token token, char *out, size_t capacity, size_t *length);

#endif
