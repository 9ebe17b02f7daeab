/* SPDX-License-Identifier: MIT */
/* A loaded model: immutable weights and tokenizer, shared by any number of threads and sessions. */
#ifndef SLM_MODEL_H
#define SLM_MODEL_H

#include "slm/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A loaded model. Immutable after loading, reference-counted, shared. */
typedef struct slm_model slm_model;

/** A tokenizer. Immutable after loading, reference-counted, shared. */
typedef struct slm_tokenizer slm_tokenizer;

/** A source of bytes that the host reads for the library, for example from an archive. */
typedef struct slm_reader {
    uint32_t struct_size; /**< sizeof(slm_reader) */
    uint32_t reserved0;   /**< 0 */
    uint64_t size;        /**< bytes in all */
    void *ctx;            /**< passed back as the first argument */
    /**
     * Copies bytes [offset, offset + size) into `buffer`; offset + size <= reader size.
     * @return SLM_OK, or a negative status, which the loading call hands on.
     * Called on the loading thread only, during the loading call.
     */
    slm_status (*read)(void *ctx, uint64_t offset, void *buffer, size_t size);
} slm_reader;

#define SLM_READER_INIT { sizeof(slm_reader), 0, 0, NULL, NULL }

/** How to load, slm_model_options.flags. */
enum {
    SLM_MODEL_COPY = 1 /**< a file with stored panels is read into the model's own memory, not mapped */
};

/** How to load a model or a tokenizer. */
typedef struct slm_model_options {
    uint32_t struct_size; /**< sizeof(slm_model_options) */
    uint32_t n_threads;   /**< threads for repacking weights, the caller included; 1..256; 0 = all cores */
    uint64_t max_tensors; /**< refuse files with more tensors; 0 = 65,536 */
    uint64_t max_string_bytes; /**< refuse files with a longer string; 0 = 16 MiB */
    uint64_t max_memory_bytes; /**< refuse to allocate more than this for the model; 0 = no limit */
    const slm_host *host;      /**< host services; NULL = defaults; copied */
    void *progress_ctx;        /**< passed to progress */
    /**
     * Called now and then on the loading thread with the share done, 0..1.
     * @return 0 to go on; anything else cancels: the load returns SLM_CANCELLED and no model.
     */
    int32_t (*progress)(void *ctx, float done);
    const void *reserved0; /**< NULL */
    uint32_t flags;        /**< SLM_MODEL_* bits */
    uint32_t reserved1;    /**< 0 */
} slm_model_options;

#define SLM_MODEL_OPTIONS_INIT { sizeof(slm_model_options), 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0 }

/**
 * Loads a model from a GGUF file (version 2 or 3), or from one with stored panels, as
 * slm_x_convert_file() writes it, which opens many times faster.
 *
 * The file is mapped. The weights of an ordinary one are repacked, its pages given back meanwhile, so the
 * peak is about the file's size, and it is closed when the call returns. One with stored panels stays
 * mapped, its weights used where they stand, until the last reference to the model goes; programs that
 * have it open share its memory. With SLM_MODEL_COPY it is read and closed like any other.
 *
 * As with every mapped file, cutting it short while it is mapped ends the process on most systems, and
 * writing into it changes the model: replace such a file by renaming another one to its name. What others
 * may write to is read with SLM_MODEL_COPY, or with slm_model_load_reader(), which maps nothing.
 *
 * @param path     [in] NUL-terminated UTF-8 path.
 * @param options  [in] NULL = defaults.
 * @param model    [out] the model, to be released with slm_model_release(); NULL on any other status
 *                 than SLM_OK.
 * @return SLM_OK; SLM_CANCELLED (by progress); SLM_ERR_INVALID_ARGUMENT; SLM_ERR_NOT_FOUND;
 *         SLM_ERR_IO (unreadable, a directory); SLM_ERR_INVALID_UTF8 (the path; on Windows only, where
 *         paths are characters); SLM_ERR_FORMAT, SLM_ERR_TRUNCATED, SLM_ERR_LIMIT
 *         (offset = byte position in the file); SLM_ERR_UNSUPPORTED (architecture, weight type,
 *         tokenizer, rope scaling, or a tensor that has no place in the model, named in the message);
 *         SLM_ERR_OUT_OF_MEMORY; SLM_ERR_BUDGET; SLM_ERR_SYSTEM (no more threads).
 *
 * Ownership: the caller holds one reference. Threads: shared. Memory: about the file's size, most of
 * it in one block; for a file that stays mapped, the tokenizer and some hundred kilobytes.
 * Source: github.com/ggml-org/ggml/blob/master/docs/gguf.md. Since: 0.1
 */
SLM_API slm_status slm_model_load(const char *path, const slm_model_options *options,
                                  slm_model **model, slm_error *err);

/**
 * Loads a model from GGUF bytes in memory. Weights are copied, stored panels too.
 *
 * @param data  [in] the file's bytes, read during the call only.
 * @param size  bytes at data.
 * @return and the rest as slm_model_load().
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_model_load_memory(const void *data, size_t size,
                                         const slm_model_options *options, slm_model **model,
                                         slm_error *err);

/**
 * Loads a model from GGUF bytes that the host reads. Weights are copied, stored panels too.
 *
 * @param reader  [in] not NULL; used during the call only.
 * @return as slm_model_load(), and whatever negative status the reader returned.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_model_load_reader(const slm_reader *reader, const slm_model_options *options,
                                         slm_model **model, slm_error *err);

/** Adds a reference. @return the same model. Threads: shared. Since: 0.1 */
SLM_API slm_model *slm_model_retain(slm_model *model);

/** Gives a reference back; the last one frees the model. NULL does nothing. Threads: shared. Since: 0.1 */
SLM_API void slm_model_release(slm_model *model);

/** What a model is. */
typedef struct slm_model_info {
    uint32_t struct_size;     /**< sizeof(slm_model_info), set by the caller */
    uint32_t n_layers;        /**< transformer blocks */
    uint32_t width;           /**< model width D */
    uint32_t n_heads;         /**< query heads */
    uint32_t n_kv_heads;      /**< key and value heads */
    uint32_t head_width;      /**< width of one head */
    uint32_t ffn_width;       /**< feed-forward width F */
    uint32_t n_vocab;         /**< vocabulary size V */
    uint32_t context_length;  /**< tokens the model was made for */
    uint32_t n_tensors;       /**< tensors in the file */
    uint64_t n_parameters;    /**< weights in all tensors */
    uint64_t file_bytes;      /**< size of the file */
    uint64_t weight_bytes;    /**< bytes of the weights as they are used, mapped ones included */
    uint64_t memory_bytes;    /**< all memory that was allocated for the model, tokenizer included; not
                                   what is mapped */
    const char *architecture; /**< for example "llama"; NUL-terminated, valid while the model lives */
    const char *name;         /**< general.name, or ""; NUL-terminated, valid while the model lives */
    uint64_t mapped_bytes;    /**< bytes of the file that stay mapped while the model lives */
} slm_model_info;

#define SLM_MODEL_INFO_INIT \
    { sizeof(slm_model_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/**
 * Describes a model.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_model_get_info(const slm_model *model, slm_model_info *info, slm_error *err);

/**
 * Reads one metadata entry of the file as text: numbers in decimal, booleans as true or false,
 * arrays as their type and length, for example "[string x 32000]".
 *
 * @param index  0-based, in the file's order.
 * @param key    [out] NUL-terminated, valid while the model lives; may be NULL.
 * @param value  [out] likewise.
 * @return SLM_OK; SLM_END (index is past the last entry; *key and *value are NULL);
 *         SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_model_get_metadata(const slm_model *model, uint32_t index, const char **key,
                                          const char **value, slm_error *err);

/** One tensor of the file. */
typedef struct slm_tensor_info {
    uint32_t struct_size; /**< sizeof(slm_tensor_info), set by the caller */
    uint32_t n_dims;      /**< 1..4 */
    uint64_t dims[4];     /**< elements along each dimension, fastest first */
    uint64_t bytes;       /**< bytes in the file */
    const char *name;     /**< NUL-terminated, valid while the model lives */
    const char *type;     /**< for example "Q8_0"; static */
} slm_tensor_info;

#define SLM_TENSOR_INFO_INIT { sizeof(slm_tensor_info), 0, { 0, 0, 0, 0 }, 0, NULL, NULL }

/**
 * Describes one tensor of the file.
 *
 * @param index  0-based, in the file's order.
 * @param info   [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_END (index is past the last tensor); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_model_get_tensor(const slm_model *model, uint32_t index, slm_tensor_info *info,
                                        slm_error *err);

/**
 * Returns the model's tokenizer.
 *
 * @return the tokenizer, borrowed: valid while the model lives; retain it to keep it longer.
 *         NULL for a NULL model.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_tokenizer *slm_model_get_tokenizer(const slm_model *model);

#ifdef __cplusplus
}
#endif

#endif
