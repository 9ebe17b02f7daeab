/* SPDX-License-Identifier: MIT */
/* Experimental: writing a model's file in the form in which it opens fastest. */
#ifndef SLM_EXPERIMENTAL_CONVERT_H
#define SLM_EXPERIMENTAL_CONVERT_H

#ifndef SLM_EXPERIMENTAL
#error "this header may change in any release; define SLM_EXPERIMENTAL to use it all the same"
#endif

#include "slm/base.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A file with stored panels is a GGUF file whose matrices lie as the library computes with them:
 * slm_model_load() uses them where they stand. It holds the same model: logits have the same bits, and
 * sequences and prefixes fit both files. The layout belongs to a version of the library; another one
 * may refuse the file with SLM_ERR_UNSUPPORTED, so keep the original. docs/files.md says more.
 */

/** Takes bytes of a file that is being written. */
typedef struct slm_x_writer {
    uint32_t struct_size; /**< sizeof(slm_x_writer) */
    uint32_t reserved0;   /**< 0 */
    void *ctx;            /**< passed back as the first argument */
    /**
     * Takes the next `size` bytes of the file, in order from its beginning.
     * @return SLM_OK, or a negative status, which the converting call hands on.
     * Called on the converting thread only, during the converting call.
     */
    slm_status (*write)(void *ctx, const void *bytes, size_t size);
} slm_x_writer;

#define SLM_X_WRITER_INIT { sizeof(slm_x_writer), 0, NULL, NULL }

/**
 * Writes the model of a GGUF file to another file, with stored panels.
 *
 * It is written beside its place, under its name with numbers and ".part", and renamed when it is
 * complete and on the disk: on any other status than SLM_OK, what `out_path` was it still is. A process that
 * is ended in the middle leaves the part behind.
 *
 * @param path      [in] NUL-terminated UTF-8 path of the original.
 * @param out_path  [in] NUL-terminated UTF-8 path of the new file; a file that is there is replaced.
 * @param options   [in] NULL = defaults; threads, limits, host and progress as for loading; flags
 *                  change nothing.
 * @return as slm_model_load() for the original, whose matrices are not looked into; also
 *         SLM_ERR_INVALID_ARGUMENT (both paths are the same file); SLM_ERR_UNSUPPORTED (it has stored
 *         panels already); SLM_ERR_NOT_FOUND (no folder for the new file); SLM_ERR_IO (writing failed).
 *
 * Threads: shared. Memory: some ten megabytes and the tokenizer, whatever the file's size. Since: 0.1
 */
SLM_API slm_status slm_x_convert_file(const char *path, const char *out_path,
                                      const slm_model_options *options, slm_error *err);

/**
 * The same between a reader and a writer of the host, for places that are no files.
 *
 * @param reader   [in] not NULL; used during the call only.
 * @param writer   [in] not NULL; used during the call only. What it took is worthless on any other status
 *                 than SLM_OK.
 * @return as slm_x_convert_file(), and whatever negative status the reader or the writer returned.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_x_convert(const slm_reader *reader, const slm_x_writer *writer,
                                 const slm_model_options *options, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
