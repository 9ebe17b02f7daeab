/* SPDX-License-Identifier: MIT */
/* Small vocabularies whose ids one can tell by hand, and files on disk, for the tests of the tokenizer. */
#ifndef SLM_TESTS_TOKENIZER_FIXTURE_H
#define SLM_TESTS_TOKENIZER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/tokenizer.h"
#include "support/failing_alloc.h"
#include "support/gguf_builder.h"

/* An SPM vocabulary. */
enum {
    UNK, BOS, EOS, BYTE_0A, BYTE_E2, BYTE_82, BYTE_AC, MARK, A, B, MARK_A, A_B, MARK_A_B, CALL, N_SPM
};
extern const char *const spm_tokens[N_SPM];
extern const float spm_scores[N_SPM];
extern const int32_t spm_types[N_SPM];

/* A byte-level one; "\xC4\xA0" is the alphabet's letter for a space. */
enum { X_A, X_B, X_SPACE, X_AB, X_SPACE_AB, X_TEXT_END, X_TURN_END, X_TOOL, X_TOOL_LONG, N_BPE };
extern const char *const bpe_tokens[N_BPE];
extern const int32_t bpe_types[N_BPE];

/* Each begins a builder. */
void add_spm(gguf_builder *b);
void add_bpe(gguf_builder *b, const char *pre);

/* The beginning of a vocabulary: its model, "gpt-2" as the pre-tokenizer of a byte-level one, and pieces. */
void add_tokens(gguf_builder *b, const char *model, const char *const *tokens, size_t n);

/* Loads a tokenizer from the builder's metadata; *tokenizer is NULL unless SLM_OK. */
slm_status load_built(gguf_builder *b, const slm_model_options *options, slm_tokenizer **tokenizer,
                      slm_error *err);

/* Those that must load. */
slm_tokenizer *make(gguf_builder *b);
slm_tokenizer *make_spm(void);
slm_tokenizer *make_bpe(const char *pre);

/* The whole file, NUL-terminated, to be given back with free(); NULL if there is none. */
char *read_text(const char *path, size_t *size);

/* Encodes and compares with n ids. */
void check_ids(const slm_tokenizer *tokenizer, const char *text, size_t length, uint32_t flags,
               const int32_t *ids, size_t n);

#define CHECK(t, text, flags, ...)                                                       \
    do {                                                                                 \
        const int32_t expected_[] = { __VA_ARGS__ };                                     \
        check_ids(t, text, sizeof(text) - 1, flags, expected_, sizeof(expected_) / 4);   \
    } while (0)

/* Decodes and compares. */
void check_text(const slm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                const char *expected);

#endif
