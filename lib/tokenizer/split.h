/* SPDX-License-Identifier: MIT */
/* Pre-tokenizers of byte-level vocabularies: where a text is cut into words that are merged
 * alone. */
#ifndef SLMI_TOKENIZER_SPLIT_H
#define SLMI_TOKENIZER_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/* Rules. The patterns, in the notation of regular expressions:
 * GPT2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * LLAMA3 (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
 *        |\s*[\r\n]+|\s+(?!\S)|\s+
 * QWEN2  as LLAMA3 with \p{N} for \p{N}{1,3}
 * SMOLLM \p{N} alone, and GPT2 between */
enum { SLMI_SPLIT_GPT2, SLMI_SPLIT_LLAMA3, SLMI_SPLIT_QWEN2, SLMI_SPLIT_SMOLLM };

/* A pre-tokenizer by its name in the file. */
typedef struct slmi_pre {
    const char *name;
    uint8_t rule;          /* SLMI_SPLIT_* */
    uint8_t whole_words;   /* 1: a word that is a piece is taken without merging */
    uint8_t adds_bos;      /* default when the file does not say */
} slmi_pre;

/* The pre-tokenizer with this name, or NULL. */
const slmi_pre *slmi_pre_find(const char *name, size_t length);

/* Walks over the words of a valid UTF-8 text: set text and end, then call until it returns 0. */
typedef struct slmi_splitter {
    const char *text;
    size_t end;       /* of the text */
    size_t position;  /* where the next word begins */
    size_t run_end;   /* SMOLLM: end of the present stretch without numbers */
    uint32_t rule;
} slmi_splitter;

/* Bytes of the next word, which begins at *begin; 0 at the end. */
size_t slmi_split_next(slmi_splitter *splitter, size_t *begin);

#endif
