/* SPDX-License-Identifier: MIT */
/* The templates that are known, and what each asks of the renderer. */
#ifndef SLMI_TEMPLATE_FORMATS_H
#define SLMI_TEMPLATE_FORMATS_H

#include "template/canonical.h"
#include "template/template.h"

/* What differs between templates of one format. */
enum {
    SLMI_STYLE_BOS = 1,            /* the text begins with BOS */
    SLMI_STYLE_TRIM = 2,           /* contents lose white space at both ends */
    SLMI_STYLE_ALWAYS_PROMPTS = 4, /* an assistant message is opened whatever the flags say */
    SLMI_STYLE_DATE = 8,           /* Llama 3.1 and later: a system message with dates comes first */
    SLMI_STYLE_QWEN3 = 16,         /* answers after the last question carry their thoughts */
    SLMI_STYLE_QWQ = 32            /* answers but the last lose their thoughts */
};

typedef struct slmi_chat_style {
    int format;
    unsigned flags;
} slmi_chat_style;

/* The style of a template without NUL, SLMI_CHAT_BARE for an empty one, SLMI_CHAT_UNKNOWN if it is none
 * of those known. The canonical text is left behind: its default system text belongs to the style. */
slmi_chat_style slmi_chat_find(const char *source, size_t length, slmi_canonical *canonical);

/* As slmi_chat_render(), for a style that was found. Of the canonical text only the default system text
 * is read. */
slm_status slmi_chat_render_as(slmi_chat_style style, const slmi_canonical *canonical,
                               const slm_chat_message *messages, size_t n_messages, uint32_t flags,
                               slmi_chat_text *out, slm_error *err);

#endif
