/* SPDX-License-Identifier: MIT */
/* The templates that are known: only those whose rendering has been compared with Jinja's. */
#include "template/formats.h"

#include <string.h>

#include "base/bytes.h"

/* A template by its canonical text, or by the hash of it where the text is long. */
typedef struct known {
    const char *text;
    uint64_t hash;
    slmi_chat_style style;
} known;

#define CHATML_MESSAGE "`<|im_start|>`{message.role}`\n`{message.content}`<|im_end|>\n`"
#define CHATML_LOOP "%for message in messages%" CHATML_MESSAGE "%endfor%"
#define CHATML_PROMPT "%if add_generation_prompt%`<|im_start|>assistant\n`%endif%"
#define NO_PROMPT_BY_DEFAULT \
    "%if not add_generation_prompt is defined%%set add_generation_prompt=false%%endif%"

#define LLAMA3_LOOP(content)                                                                        \
    "%for message in messages%`<|start_header_id|>`{message.role}`<|end_header_id|>\n\n`" content   \
    "`<|eot_id|>`%endfor%"
#define LLAMA3_SET_LOOP                                                                             \
    "%set loop_messages=messages%%for message in loop_messages%"                                    \
    "%set content='<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'"                       \
    "+message.content|trim+'<|eot_id|>'%"                                                           \
    "%if loop.index0==0%%set content=bos_token+content%%endif%{content}%endfor%"
#define LLAMA3_OPENING "`<|start_header_id|>assistant<|end_header_id|>\n\n`"
#define LLAMA3_PROMPT "%if add_generation_prompt%" LLAMA3_OPENING "%endif%"

#define LLAMA2                                                                                      \
    "%if messages[0].role=='system'%%set loop_messages=messages[1:]%"                               \
    "%set system_message=messages[0].content%%else%%set loop_messages=messages%"                    \
    "%set system_message=false%%endif%%for message in loop_messages%"                               \
    "%if(message.role=='user')!=(loop.index0%2==0)%{raise}%endif%"                                  \
    "%if loop.index0==0 and system_message!=false%"                                                 \
    "%set content='<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message.content%"                     \
    "%else%%set content=message.content%%endif%"                                                    \
    "%if message.role=='user'%{bos_token}`[INST] `{content.strip()}` [/INST]`"                      \
    "%elif message.role=='assistant'%` `{content.strip()}` `{eos_token}%endif%%endfor%"

#define CHATML(flags) { SLMI_CHAT_CHATML, flags }
#define LLAMA3(flags) { SLMI_CHAT_LLAMA3, flags }

static const known templates[] = {
    { CHATML_LOOP CHATML_PROMPT, 0, CHATML(0) },
    { NO_PROMPT_BY_DEFAULT CHATML_LOOP CHATML_PROMPT, 0, CHATML(0) },
    { "{bos_token}" CHATML_LOOP CHATML_PROMPT, 0, CHATML(SLMI_STYLE_BOS) },
    { "%for message in messages%%if loop.first and messages[0].role!='system'%"
      "`<|im_start|>system\n*<|im_end|>\n`%endif%" CHATML_MESSAGE "%endfor%" CHATML_PROMPT,
      0, CHATML(0) },
    { "%if messages[0].role!='system'%`<|im_start|>system\n*<|im_end|>\n`%endif%" CHATML_LOOP
      CHATML_PROMPT,
      0, CHATML(0) },
    { NULL, UINT64_C(0xabf2dd055a7e4ac3), CHATML(0) }, /* Qwen2.5, with tools */
    { NULL, UINT64_C(0xc9d12cb097dbca1c), CHATML(SLMI_STYLE_QWEN3) },
    { NULL, UINT64_C(0x251a1d5575dd9ee1), CHATML(SLMI_STYLE_QWQ) },

    { LLAMA3_SET_LOOP LLAMA3_PROMPT, 0, LLAMA3(SLMI_STYLE_BOS | SLMI_STYLE_TRIM) },
    { LLAMA3_SET_LOOP LLAMA3_OPENING, 0,
      LLAMA3(SLMI_STYLE_BOS | SLMI_STYLE_TRIM | SLMI_STYLE_ALWAYS_PROMPTS) },
    { "{bos_token}" LLAMA3_LOOP("{message.content|trim}") LLAMA3_PROMPT, 0,
      LLAMA3(SLMI_STYLE_BOS | SLMI_STYLE_TRIM) },
    { LLAMA3_LOOP("{message.content|trim}") LLAMA3_PROMPT, 0, LLAMA3(SLMI_STYLE_TRIM) },
    { "{bos_token}" LLAMA3_LOOP("{message.content}") LLAMA3_PROMPT, 0, LLAMA3(SLMI_STYLE_BOS) },
    { LLAMA3_LOOP("{message.content}") LLAMA3_PROMPT, 0, LLAMA3(0) },
    /* Llama 3.1 and 3.3; Llama 3.2, whose date is the same where no clock is given */
    { NULL, UINT64_C(0xd9f555dfc9f48d66), LLAMA3(SLMI_STYLE_BOS | SLMI_STYLE_TRIM | SLMI_STYLE_DATE) },
    { NULL, UINT64_C(0x1205d8380c741410), LLAMA3(SLMI_STYLE_BOS | SLMI_STYLE_TRIM | SLMI_STYLE_DATE) },

    { LLAMA2, 0, { SLMI_CHAT_LLAMA2, SLMI_STYLE_BOS | SLMI_STYLE_TRIM } },
};

static int matches(const known *template, const slmi_canonical *canonical, uint64_t hash)
{
    return template->text != NULL ? strcmp(template->text, canonical->text) == 0
                                  : template->hash == hash;
}

slmi_chat_style slmi_chat_find(const char *source, size_t length, slmi_canonical *canonical)
{
    canonical->has_system = 0;
    if (source == NULL || length == 0) {
        return (slmi_chat_style){ SLMI_CHAT_BARE, 0 };
    }
    if (slmi_canonical_make(canonical, source, length)) {
        const uint64_t hash = slmi_hash(SLMI_HASH_START, canonical->text, canonical->length);
        for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
            if (matches(&templates[i], canonical, hash)) {
                return templates[i].style;
            }
        }
    }
    return (slmi_chat_style){ SLMI_CHAT_UNKNOWN, 0 };
}

int slmi_chat_detect(const char *source, size_t length)
{
    slmi_canonical canonical;
    return slmi_chat_find(source, length, &canonical).format;
}

int slmi_chat_begins_with_bos(const char *source, size_t length)
{
    slmi_canonical canonical;
    return (slmi_chat_find(source, length, &canonical).flags & SLMI_STYLE_BOS) != 0;
}

const char *slmi_chat_name(int format)
{
    static const char *const names[] = {
        [SLMI_CHAT_UNKNOWN] = NULL,    [SLMI_CHAT_BARE] = "bare",     [SLMI_CHAT_CHATML] = "chatml",
        [SLMI_CHAT_LLAMA3] = "llama3", [SLMI_CHAT_LLAMA2] = "llama2",
    };
    return names[format];
}
