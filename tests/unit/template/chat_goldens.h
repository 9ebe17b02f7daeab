/* SPDX-License-Identifier: MIT */
/* Golden texts of chat templates; the data is made by tests/references/chat_templates.py. */
#ifndef SLM_TESTS_CHAT_GOLDENS_H
#define SLM_TESTS_CHAT_GOLDENS_H

#include "template/formats.h"

typedef struct golden_conversation {
    size_t n;
    slm_chat_message messages[5];
} golden_conversation;

typedef struct golden_template {
    const char *name;
    const char *source; /* NULL: rendered by its style, as the published text is not stored here */
    int format;
    unsigned flags; /* SLMI_STYLE_* */
} golden_template;

typedef struct golden_text {
    size_t template;
    size_t conversation;
    uint32_t chat_flags; /* SLM_CHAT_* */
    const char *text;
} golden_text;

extern const golden_conversation golden_conversations[];
extern const golden_template golden_templates[];
extern const size_t n_golden_templates;
extern const golden_text golden_texts[];
extern const size_t n_golden_texts;

#endif
