/* SPDX-License-Identifier: MIT */
/* slm/chat.h: arguments, and a rendered conversation as text or as token ids. */
#include "slm/chat.h"

#include <string.h>

#include "api/check.h"
#include "base/fpenv.h"
#include "base/text.h"
#include "model/model.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

#define CHAT_FLAGS ((uint32_t)(SLM_CHAT_ADD_GENERATION_PROMPT | SLM_CHAT_CONTINUE))

/* A chat_text's positions are read as the tokenizer's spans. */
_Static_assert(sizeof(slmi_span) == 2 * sizeof(size_t), "a span is two positions");

static slm_status find_format(const slm_model *model, int *format, slm_error *err)
{
    size_t length;
    const char *source = slmi_model_chat_template(model, &length);
    *format = slmi_chat_detect(source, length);
    SLM_FAIL_IF(*format == SLMI_CHAT_UNKNOWN, SLM_ERR_UNSUPPORTED,
                "the file's chat template is not one of chatml, llama3, llama2; it begins: %.*s",
                length < 80 ? (int)length : 80, source);
    if (*format == SLMI_CHAT_LLAMA2) {
        const slm_tokenizer *tokenizer = slmi_model_tokenizer(model);
        slm_tokenizer_info info;
        slmi_tokenizer_info(tokenizer, &info);
        SLM_FAIL_IF(slmi_tokenizer_find(tokenizer, "<s>", 3) != info.bos ||
                        slmi_tokenizer_find(tokenizer, "</s>", 4) != info.eos,
                    SLM_ERR_UNSUPPORTED, "llama2 needs a vocabulary whose BOS is <s> and EOS </s>");
    }
    return SLM_OK;
}

static slm_status check_messages(const slm_chat_message *messages, size_t n_messages, uint32_t flags,
                                 slm_error *err)
{
    REFUSE_NULL(messages);
    SLM_FAIL_IF(n_messages == 0, SLM_ERR_INVALID_ARGUMENT, "there is no message");
    SLM_FAIL_IF((flags & ~CHAT_FLAGS) != 0, SLM_ERR_INVALID_ARGUMENT, "flags 0x%x are unknown",
                (unsigned)(flags & ~CHAT_FLAGS));
    for (size_t i = 0; i < n_messages; i++) {
        const slm_chat_message *m = &messages[i];
        SLM_FAIL_IF(m->role == NULL || (m->content == NULL && m->content_length > 0),
                    SLM_ERR_INVALID_ARGUMENT, "message %llu has no role or no content",
                    (unsigned long long)i);
        const size_t valid = slmi_utf8_check(m->content, m->content_length);
        SLM_FAIL_AT_IF(valid < m->content_length, SLM_ERR_INVALID_UTF8, valid,
                       "message %llu is not valid UTF-8 at byte %llu", (unsigned long long)i,
                       (unsigned long long)valid);
    }
    return SLM_OK;
}

/* Checks everything and renders; *out is to be freed whatever the status. */
static slm_status render(const slm_model *model, const slm_chat_message *messages, size_t n_messages,
                         uint32_t flags, slmi_chat_text *out, slm_error *err)
{
    int format;
    size_t length;
    memset(out, 0, sizeof(*out));
    REFUSE_NULL(model);
    out->text.alloc = slmi_model_alloc(model);
    out->content.alloc = out->text.alloc;
    SLM_TRY(check_messages(messages, n_messages, flags, err));
    SLM_TRY(find_format(model, &format, err));
    const char *source = slmi_model_chat_template(model, &length);
    return slmi_chat_render(source, length, messages, n_messages, flags, out, err);
}

static void free_text(slmi_chat_text *rendered)
{
    if (rendered->text.alloc != NULL) {
        slmi_buffer_free(&rendered->text);
        slmi_buffer_free(&rendered->content);
    }
}

SLM_API slm_status slm_chat_get_format(const slm_model *model, const char **name, slm_error *err)
{
    int format;
    REFUSE_NULL(name);
    *name = NULL;
    REFUSE_NULL(model);
    SLM_TRY(find_format(model, &format, err));
    *name = slmi_chat_name(format);
    return SLM_OK;
}

SLM_API slm_status slm_chat_render(const slm_model *model, const slm_chat_message *messages,
                                   size_t n_messages, uint32_t flags, char *text, size_t capacity,
                                   size_t *length, slm_error *err)
{
    slmi_chat_text rendered;
    REFUSE_NULL(length);
    *length = 0;
    SLM_FAIL_IF(text == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT,
                "text must not be NULL when capacity is not 0");
    slm_status status = render(model, messages, n_messages, flags, &rendered, err);
    if (status == SLM_OK) {
        *length = rendered.text.size;
        if (rendered.text.size > capacity) {
            status = slmi_fail(err, SLM_ERR_BUFFER_TOO_SMALL, SLM_NO_OFFSET,
                               "the text has %llu bytes; there is room for %llu",
                               (unsigned long long)rendered.text.size, (unsigned long long)capacity);
        } else if (rendered.text.size > 0) {
            memcpy(text, rendered.text.data, rendered.text.size);
        }
    }
    free_text(&rendered);
    return status;
}

/* BOS stands in front where the template or the vocabulary asks for it. */
static int begins_with_bos(const slm_model *model, uint32_t flags, int32_t *bos)
{
    size_t length;
    slm_tokenizer_info info;
    slmi_tokenizer_info(slmi_model_tokenizer(model), &info);
    const char *source = slmi_model_chat_template(model, &length);
    *bos = info.bos;
    return (flags & SLM_CHAT_CONTINUE) == 0 && info.bos >= 0 &&
           (info.adds_bos || slmi_chat_begins_with_bos(source, length));
}

/* The tokenizer writes behind the place of a BOS. */
static slm_status encode(const slm_model *model, uint32_t flags, const slmi_chat_text *rendered,
                         int32_t *ids, size_t capacity, size_t *n_ids, slm_error *err)
{
    int32_t bos;
    const size_t n_front = begins_with_bos(model, flags, &bos) ? 1 : 0;
    const size_t room = capacity > n_front ? capacity - n_front : 0;
    const char *text = rendered->text.size > 0 ? (const char *)rendered->text.data : "";
    slm_status status = slmi_tokenizer_encode(
        slmi_model_tokenizer(model), text, rendered->text.size, SLM_TEXT_PARSE_SPECIAL,
        (const slmi_span *)(const void *)rendered->content.data,
        rendered->content.size / sizeof(slmi_span), room > 0 ? ids + n_front : NULL, room, n_ids, err);
    if (status != SLM_OK && status != SLM_ERR_BUFFER_TOO_SMALL) {
        return status;
    }
    *n_ids += n_front;
    SLM_FAIL_IF(*n_ids > capacity, SLM_ERR_BUFFER_TOO_SMALL,
                "the conversation has %llu tokens; there is room for %llu", (unsigned long long)*n_ids,
                (unsigned long long)capacity);
    if (n_front > 0) {
        ids[0] = bos;
    }
    return SLM_OK;
}

SLM_API slm_status slm_chat_encode(const slm_model *model, const slm_chat_message *messages,
                                   size_t n_messages, uint32_t flags, int32_t *ids, size_t capacity,
                                   size_t *n_ids, slm_error *err)
{
    slmi_chat_text rendered;
    REFUSE_NULL(n_ids);
    *n_ids = 0;
    SLM_FAIL_IF(ids == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT,
                "ids must not be NULL when capacity is not 0");
    slm_status status = render(model, messages, n_messages, flags, &rendered, err);
    if (status == SLM_OK) {
        const slmi_fpenv before = slmi_fpenv_enter();
        status = encode(model, flags, &rendered, ids, capacity, n_ids, err);
        slmi_fpenv_leave(before);
    }
    free_text(&rendered);
    return status;
}
