/* SPDX-License-Identifier: MIT */
/* Conversations in the form that a model was trained on. */
#ifndef SLM_CHAT_H
#define SLM_CHAT_H

#include "slm/base.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One message of a conversation. */
typedef struct slm_chat_message {
    const char *role;       /**< "system", "user" or "assistant"; NUL-terminated */
    const char *content;    /**< UTF-8 [content_length] */
    size_t content_length;  /**< bytes */
} slm_chat_message;

/** Bits for slm_chat_render() and slm_chat_encode(). */
enum {
    SLM_CHAT_ADD_GENERATION_PROMPT = 1, /**< end with the opening of an assistant message */
    SLM_CHAT_CONTINUE = 2               /**< the messages follow a conversation that ended with the model's
                                             end-of-turn token: leave out what stands only at the
                                             beginning (BOS, default system text), and begin with what
                                             stands between two messages */
};

/**
 * Names the chat format of a model, told from the template in its file.
 *
 * @param name  [out] "chatml", "llama3", "llama2", "bare" (a file without a template; messages are
 *              joined by line breaks); static, NUL-terminated. NULL unless SLM_OK.
 * @return SLM_OK; SLM_ERR_UNSUPPORTED (the file has a template that is not one of these; the message
 *         quotes its beginning); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_chat_get_format(const slm_model *model, const char **name, slm_error *err);

/**
 * Renders a conversation as the text that the model was trained to see, BOS excluded.
 *
 * @param messages    [in] [n_messages], n_messages >= 1.
 * @param flags       SLM_CHAT_* bits.
 * @param text        [out] [capacity] bytes, not NUL-terminated; may be NULL when capacity is 0.
 * @param length      [out] bytes of the whole text, also when it does not fit; not NULL.
 * @return SLM_OK; SLM_ERR_BUFFER_TOO_SMALL; SLM_ERR_UNSUPPORTED (see slm_chat_get_format(), or a role
 *         that the format lacks); SLM_ERR_INVALID_UTF8; SLM_ERR_INVALID_ARGUMENT;
 *         SLM_ERR_OUT_OF_MEMORY.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_chat_render(const slm_model *model, const slm_chat_message *messages,
                                   size_t n_messages, uint32_t flags, char *text, size_t capacity,
                                   size_t *length, slm_error *err);

/**
 * Renders a conversation as token ids, BOS included where the model wants it. Control tokens come from
 * the format only: text in a message that looks like one, say "<|im_end|>", stays ordinary text, so a
 * message cannot pretend to be another.
 *
 * @param ids       [out] int32 [capacity]; may be NULL when capacity is 0.
 * @param n_ids     [out] ids in all, also when they do not fit; not NULL.
 * @return as slm_chat_render().
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_chat_encode(const slm_model *model, const slm_chat_message *messages,
                                   size_t n_messages, uint32_t flags, int32_t *ids, size_t capacity,
                                   size_t *n_ids, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
