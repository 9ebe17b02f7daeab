/* SPDX-License-Identifier: MIT */
/* slm/tokenizer.h: arguments, loading; the work is done in tokenizer/. */
#include "tokenizer/tokenizer.h"

#include "api/check.h"
#include "base/fpenv.h"
#include "base/options.h"

#define ENCODE_FLAGS \
    ((uint32_t)(SLM_TEXT_ADD_SPECIAL | SLM_TEXT_PARSE_SPECIAL | SLM_TEXT_REPLACE_INVALID))
#define DECODE_FLAGS ((uint32_t)SLM_TEXT_SHOW_SPECIAL)

SLM_API slm_status slm_tokenizer_load(const char *path, const slm_model_options *options,
                                      slm_tokenizer **tokenizer, slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    slmi_alloc alloc;
    slmi_gguf gguf;
    REFUSE_NULL(tokenizer);
    *tokenizer = NULL;
    REFUSE_NULL(path);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_TRY(slmi_source_open_path(&source, path, err));
    slm_status status = slmi_open_header(&source, &own, &alloc, &gguf, err);
    if (status == SLM_OK) {
        const slmi_fpenv before = slmi_fpenv_enter();
        status = slmi_tokenizer_create(&gguf, own.host, own.max_memory_bytes, tokenizer, err);
        slmi_fpenv_leave(before);
    }
    slmi_gguf_close(&gguf);
    slmi_source_close(&source);
    return status;
}

SLM_API slm_tokenizer *slm_tokenizer_retain(slm_tokenizer *tokenizer)
{
    if (tokenizer != NULL) {
        slmi_tokenizer_retain(tokenizer);
    }
    return tokenizer;
}

SLM_API void slm_tokenizer_release(slm_tokenizer *tokenizer)
{
    slmi_tokenizer_release(tokenizer);
}

SLM_API slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text,
                                        size_t length, uint32_t flags, int32_t *ids, size_t capacity,
                                        size_t *n_ids, slm_error *err)
{
    REFUSE_NULL(n_ids);
    *n_ids = 0;
    REFUSE_NULL(tokenizer);
    SLM_FAIL_IF(text == NULL && length > 0, SLM_ERR_INVALID_ARGUMENT,
                "text must not be NULL when length is not 0");
    SLM_FAIL_IF(ids == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT,
                "ids must not be NULL when capacity is not 0");
    SLM_FAIL_IF((flags & ~ENCODE_FLAGS) != 0, SLM_ERR_INVALID_ARGUMENT, "flags 0x%x are unknown",
                (unsigned)(flags & ~ENCODE_FLAGS));
    const slmi_fpenv before = slmi_fpenv_enter();
    const slm_status status = slmi_tokenizer_encode(tokenizer, text != NULL ? text : "", length, flags,
                                                    NULL, 0, ids, capacity, n_ids, err);
    slmi_fpenv_leave(before);
    return status;
}

SLM_API slm_status slm_tokenizer_decode(const slm_tokenizer *tokenizer, const int32_t *ids,
                                        size_t n_ids, uint32_t flags, char *text, size_t capacity,
                                        size_t *length, slm_error *err)
{
    REFUSE_NULL(length);
    *length = 0;
    REFUSE_NULL(tokenizer);
    SLM_FAIL_IF(ids == NULL && n_ids > 0, SLM_ERR_INVALID_ARGUMENT,
                "ids must not be NULL when n_ids is not 0");
    SLM_FAIL_IF(text == NULL && capacity > 0, SLM_ERR_INVALID_ARGUMENT,
                "text must not be NULL when capacity is not 0");
    SLM_FAIL_IF((flags & ~DECODE_FLAGS) != 0, SLM_ERR_INVALID_ARGUMENT, "flags 0x%x are unknown",
                (unsigned)(flags & ~DECODE_FLAGS));
    return slmi_tokenizer_decode(tokenizer, ids, n_ids, flags, text, capacity, length, err);
}

SLM_API slm_status slm_tokenizer_get_piece(const slm_tokenizer *tokenizer, int32_t id,
                                           const char **bytes, size_t *length, slm_error *err)
{
    REFUSE_NULL(tokenizer);
    REFUSE_NULL(bytes);
    REFUSE_NULL(length);
    return slmi_tokenizer_piece(tokenizer, id, SLM_TEXT_SHOW_SPECIAL, bytes, length, err);
}

SLM_API slm_status slm_tokenizer_get_info(const slm_tokenizer *tokenizer, slm_tokenizer_info *info,
                                          slm_error *err)
{
    slm_tokenizer_info own = SLM_TOKENIZER_INFO_INIT;
    REFUSE_NULL(tokenizer);
    REFUSE_NULL(info);
    slmi_tokenizer_info(tokenizer, &own);
    return slmi_result_copy(info, &own, sizeof(own), "slm_tokenizer_info", err);
}

SLM_API int32_t slm_tokenizer_is_end(const slm_tokenizer *tokenizer, int32_t id)
{
    return tokenizer != NULL && slmi_tokenizer_is_end(tokenizer, id);
}
