/* SPDX-License-Identifier: MIT */
/* UTF-8: checking, decoding, mending. */
#ifndef SLMI_BASE_TEXT_H
#define SLMI_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

/* Decodes the character at p[0..length), length >= 1. Returns its bytes (1..4) and the code point, or 0
 * if the bytes are not valid UTF-8 (overlong forms, surrogates, above U+10FFFF, cut off). */
size_t slmi_utf8_decode(const char *p, size_t length, uint32_t *code_point);

/* Length (1..3) of the longest prefix of p that a decoder replaces by one U+FFFD, where
 * slmi_utf8_decode() gave 0: the maximal subpart of the Unicode Standard, section 3.9, as Python. */
size_t slmi_utf8_invalid_length(const char *p, size_t length);

/* 1 if p[0..length), length >= 1, which slmi_utf8_decode() refused, could become valid with more bytes. */
int slmi_utf8_is_incomplete(const char *p, size_t length);

/* Position of the first invalid byte, or length if all is valid. */
size_t slmi_utf8_check(const char *text, size_t length);

/* Appends text with invalid parts replaced by U+FFFD. */
slm_status slmi_utf8_replace(slmi_buffer *out, const char *text, size_t length, slm_error *err);

/* Makes a NUL-terminated text valid: cuts an incomplete character off its end, and puts a question mark in
 * the place of each other byte that is wrong. */
void slmi_utf8_mend(char *text);

#endif
