/* SPDX-License-Identifier: MIT */
/* Tiny models that differ in their chat template, and what they make of conversations. */
#ifndef SLM_TESTS_CHAT_FIXTURE_H
#define SLM_TESTS_CHAT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slm/chat.h"

/* The vocabulary: unknown, begin, end, 256 bytes, ChatML's control tokens. */
enum { BOS = 1, EOS = 2, FIRST_BYTE = 3, IM_START = 259, IM_END, N_VOCAB };

#define CHATML_LOOP                                                                                \
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] " \
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
#define CHATML_PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define CHATML CHATML_LOOP CHATML_PROMPT

#define OK(call) assert_int_equal((call), SLM_OK)

/* The error says what the status says. */
#define FAILS(call, status)                     \
    do {                                        \
        error = (slm_error)SLM_ERROR_INIT;      \
        assert_int_equal((call), (status));     \
        assert_int_equal(error.code, (status)); \
        assert_true(strlen(error.message) > 8); \
    } while (0)

typedef struct chat_model {
    const char *template; /* NULL = the file has none */
    uint32_t bos;         /* 0 = BOS */
    uint32_t eos;         /* 0 = EOS */
    int adds_bos;         /* 1: the vocabulary asks for BOS in front of every text */
    int has_no_bos;       /* 1: another kind of vocabulary, GPT-2's, which has no BOS; the same ids */
    const slm_host *host; /* NULL = the defaults */
} chat_model;

/* The file, to be given back with free(). */
uint8_t *chat_file_make(const chat_model *description, size_t *size);

slm_model *chat_model_load(const chat_model *description);

/* The model of a template alone. */
slm_model *chat_load(const char *template);

/* The name of a template's format; NULL if it is refused as none of those that are known. */
const char *chat_format(const char *template);

/* Asserts that a conversation becomes this text. */
void assert_chat(const slm_model *model, const slm_chat_message *messages, size_t n, uint32_t flags,
                 const char *expected);

#endif
