/* SPDX-License-Identifier: MIT */
/* Text to token ids and back. */
#ifndef SLM_TOKENIZER_H
#define SLM_TOKENIZER_H

#include "slm/base.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bits for slm_tokenizer_encode(), slm_tokenizer_decode() and slm_session_append_text(). */
enum {
    SLM_TEXT_ADD_SPECIAL = 1,    /**< encode: add BOS and EOS where the model's file asks for them */
    SLM_TEXT_PARSE_SPECIAL = 2,  /**< encode: text such as "<|im_end|>" becomes its control token;
                                      never for text from untrusted people */
    SLM_TEXT_REPLACE_INVALID = 4,/**< encode: invalid UTF-8 becomes U+FFFD as Python's
                                      errors="replace" does, instead of an error */
    SLM_TEXT_SHOW_SPECIAL = 8    /**< decode: control tokens appear as their text instead of nothing */
};

/**
 * Loads only the tokenizer of a GGUF file; the file need not hold weights.
 *
 * @param path       [in] NUL-terminated UTF-8 path.
 * @param options    [in] NULL = defaults; n_threads is not used.
 * @param tokenizer  [out] to be released with slm_tokenizer_release(); NULL unless SLM_OK.
 * @return as slm_model_load(); SLM_ERR_UNSUPPORTED names a tokenizer or pre-tokenizer that is not
 *         known.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_tokenizer_load(const char *path, const slm_model_options *options,
                                      slm_tokenizer **tokenizer, slm_error *err);

/** Adds a reference. @return the same tokenizer. Threads: shared. Since: 0.1 */
SLM_API slm_tokenizer *slm_tokenizer_retain(slm_tokenizer *tokenizer);

/** Gives a reference back; the last one frees it. NULL does nothing. Threads: shared. Since: 0.1 */
SLM_API void slm_tokenizer_release(slm_tokenizer *tokenizer);

/**
 * Splits text into token ids.
 *
 * @param text    [in] UTF-8 [length]; may be NULL when length is 0.
 * @param length  bytes.
 * @param flags   SLM_TEXT_* bits.
 * @param ids     [out] int32 [capacity]; may be NULL when capacity is 0.
 * @param n_ids   [out] ids that the text gives, also when they do not fit; not NULL.
 * @return SLM_OK; SLM_ERR_BUFFER_TOO_SMALL (*n_ids = needed, ids holds nothing of use);
 *         SLM_ERR_INVALID_UTF8 (offset = first bad byte); SLM_ERR_INVALID_ARGUMENT;
 *         SLM_ERR_OUT_OF_MEMORY.
 *
 * Threads: shared. Memory: scratch of about 32 bytes per byte of text during the call.
 * Cost: O(n log n) in the length. Since: 0.1
 */
SLM_API slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text,
                                        size_t length, uint32_t flags, int32_t *ids, size_t capacity,
                                        size_t *n_ids, slm_error *err);

/**
 * Joins token ids to text.
 *
 * Bytes that are no valid UTF-8 together (a character cut at the end, say) become U+FFFD.
 *
 * @param ids       [in] int32 [n_ids]; may be NULL when n_ids is 0.
 * @param flags     0 or SLM_TEXT_SHOW_SPECIAL.
 * @param text      [out] [capacity] bytes, not NUL-terminated; may be NULL when capacity is 0.
 * @param length    [out] bytes that the ids give, also when they do not fit; not NULL.
 * @return SLM_OK; SLM_ERR_BUFFER_TOO_SMALL (*length = needed); SLM_ERR_OUT_OF_RANGE (an id is not in
 *         the vocabulary; offset = its index); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_tokenizer_decode(const slm_tokenizer *tokenizer, const int32_t *ids,
                                        size_t n_ids, uint32_t flags, char *text, size_t capacity,
                                        size_t *length, slm_error *err);

/**
 * Reads the bytes that one token stands for; they need not be valid UTF-8 alone.
 *
 * @param bytes   [out] valid while the tokenizer lives, not NUL-terminated. For a control token its
 *                text, for example "<s>".
 * @param length  [out] bytes.
 * @return SLM_OK; SLM_ERR_OUT_OF_RANGE; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_tokenizer_get_piece(const slm_tokenizer *tokenizer, int32_t id,
                                           const char **bytes, size_t *length, slm_error *err);

/** What a tokenizer is. Ids are -1 where the file names none. */
typedef struct slm_tokenizer_info {
    uint32_t struct_size; /**< sizeof(slm_tokenizer_info), set by the caller */
    uint32_t n_vocab;     /**< vocabulary size */
    int32_t bos;          /**< beginning of sequence */
    int32_t eos;          /**< end of sequence */
    int32_t eot;          /**< end of turn in chats */
    int32_t unk;          /**< unknown */
    uint32_t adds_bos;    /**< 1: SLM_TEXT_ADD_SPECIAL puts bos in front */
    uint32_t adds_eos;    /**< 1: SLM_TEXT_ADD_SPECIAL puts eos behind */
    const char *kind;     /**< "spm" or "bpe"; static */
    const char *pre;      /**< pre-tokenizer, for example "llama-bpe"; "" for spm; static */
} slm_tokenizer_info;

#define SLM_TOKENIZER_INFO_INIT { sizeof(slm_tokenizer_info), 0, 0, 0, 0, 0, 0, 0, NULL, NULL }

/**
 * Describes a tokenizer.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_tokenizer_get_info(const slm_tokenizer *tokenizer, slm_tokenizer_info *info,
                                          slm_error *err);

/**
 * Tells whether a token ends a text: EOS, end of turn, and the other end tokens that the file names.
 *
 * @return 1 or 0; 0 for an id that does not exist.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API int32_t slm_tokenizer_is_end(const slm_tokenizer *tokenizer, int32_t id);

#ifdef __cplusplus
}
#endif

#endif
