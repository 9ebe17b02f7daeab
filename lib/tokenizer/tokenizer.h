/* SPDX-License-Identifier: MIT */
/* Text to token ids and back: SentencePiece-style and byte-level BPE vocabularies from GGUF
 * metadata. */
#ifndef SLMI_TOKENIZER_TOKENIZER_H
#define SLMI_TOKENIZER_TOKENIZER_H

#include "format/gguf.h"
#include "slm/tokenizer.h"

/* A part of the text in which special tokens are not recognised, whatever the flags say: what
 * people wrote inside a chat message. Sorted, not overlapping. */
typedef struct slmi_span {
    size_t begin;
    size_t end;
} slmi_span;

/* Builds a tokenizer with one reference from metadata. `host` and `limit` as slmi_alloc_init(). */
slm_status slmi_tokenizer_create(const slmi_gguf *gguf, const slm_host *host, uint64_t limit,
                                 slm_tokenizer **out, slm_error *err);

void slmi_tokenizer_retain(slm_tokenizer *tokenizer);
void slmi_tokenizer_release(slm_tokenizer *tokenizer);

/* As slm_tokenizer_encode(), with literal spans; arguments are checked by the caller. */
slm_status slmi_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text, size_t length,
                                 uint32_t flags, const slmi_span *literal, size_t n_literal,
                                 int32_t *ids, size_t capacity, size_t *n_ids, slm_error *err);

/* As slm_tokenizer_decode(). */
slm_status slmi_tokenizer_decode(const slm_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                 uint32_t flags, char *text, size_t capacity, size_t *length,
                                 slm_error *err);

/* Bytes that a token adds to running text: a SentencePiece word mark becomes a space, a byte
 * token its byte, a control token nothing (or its text with SLM_TEXT_SHOW_SPECIAL). The first
 * token of a text that began with an added dummy space is the caller's to strip: see
 * slmi_tokenizer_strips_space(). */
slm_status slmi_tokenizer_piece(const slm_tokenizer *tokenizer, int32_t id, uint32_t flags,
                                const char **bytes, size_t *length, slm_error *err);

/* 1 if decoding drops one leading space of the whole text (SentencePiece with a dummy prefix). */
int slmi_tokenizer_strips_space(const slm_tokenizer *tokenizer);

int slmi_tokenizer_is_end(const slm_tokenizer *tokenizer, int32_t id);

void slmi_tokenizer_info(const slm_tokenizer *tokenizer, slm_tokenizer_info *info);

/* All memory that it takes. */
uint64_t slmi_tokenizer_memory(const slm_tokenizer *tokenizer);

/* Longest piece in bytes. */
size_t slmi_tokenizer_longest_piece(const slm_tokenizer *tokenizer);

/* Id of the token with exactly this text (control tokens included), or -1. */
int32_t slmi_tokenizer_find(const slm_tokenizer *tokenizer, const char *text, size_t length);

#endif
