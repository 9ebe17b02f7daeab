/* SPDX-License-Identifier: MIT */
/* Chat templates: recognising one and rendering a conversation. */
#ifndef SLMI_TEMPLATE_TEMPLATE_H
#define SLMI_TEMPLATE_TEMPLATE_H

#include "base/alloc.h"
#include "slm/chat.h"

/* Formats. */
enum {
    SLMI_CHAT_UNKNOWN = 0, /* the file has a template that is not one of these */
    SLMI_CHAT_BARE,        /* the file has none */
    SLMI_CHAT_CHATML,
    SLMI_CHAT_LLAMA3,
    SLMI_CHAT_LLAMA2
};

/* Tells the format from a template's text; NULL or an empty one is SLMI_CHAT_BARE. */
int slmi_chat_detect(const char *source, size_t length);

/* "chatml", ...; NULL for SLMI_CHAT_UNKNOWN. */
const char *slmi_chat_name(int format);

/* 1 if the template puts BOS in front of a conversation; slmi_chat_render() leaves it out. */
int slmi_chat_begins_with_bos(const char *source, size_t length);

/* A rendered conversation: text, and where in it the messages' own words stand, as pairs of byte
 * positions (begin, end) in `content`, size_t each. Zero it, set the buffers' alloc, free both. */
typedef struct slmi_chat_text {
    slmi_buffer text;
    slmi_buffer content;
} slmi_chat_text;

/* As slm_chat_render(). `source` is the text of a template whose format is known: the small differences
 * between files of one format (a default system text, trimming) are read from it. */
slm_status slmi_chat_render(const char *source, size_t source_length, const slm_chat_message *messages,
                            size_t n_messages, uint32_t flags, slmi_chat_text *out, slm_error *err);

#endif
