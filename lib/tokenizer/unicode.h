/* SPDX-License-Identifier: MIT */
/* The character classes that pre-tokenizers tell apart: \p{L}, \p{N}, \s and the rest. */
#ifndef SLMI_TOKENIZER_UNICODE_H
#define SLMI_TOKENIZER_UNICODE_H

#include <stdint.h>

enum { SLMI_CHAR_OTHER, SLMI_CHAR_LETTER, SLMI_CHAR_NUMBER, SLMI_CHAR_SPACE };

/* Blocks of 256 code points, each block 64 bytes of four classes; equal blocks are kept once. */
extern const uint8_t slmi_unicode_index[];
extern const uint8_t slmi_unicode_blocks[][64];

/* Class of a code point, at most U+10FFFF. */
static inline int slmi_char_class(uint32_t code_point)
{
    const uint8_t *block = slmi_unicode_blocks[slmi_unicode_index[code_point >> 8]];
    return block[(code_point & 0xFF) >> 2] >> (2 * (code_point & 3)) & 3;
}

#endif
