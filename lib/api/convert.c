/* SPDX-License-Identifier: MIT */
/* slm/experimental/convert.h: arguments, both ends, and the new file's way to its place. */
#include "slm/experimental/convert.h"

#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "base/fpenv.h"
#include "base/options.h"
#include "format/sink.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

/* Writes nothing before everything but the weights is known to be right. */
static slm_status convert_checked(const slmi_gguf *gguf, const slm_model_options *options, slmi_alloc *alloc,
                                  slmi_write_fn *write, void *ctx, slm_error *err)
{
    slm_tokenizer *tokenizer;
    slmi_sink sink;
    SLM_FAIL_IF(gguf->has_panels, SLM_ERR_UNSUPPORTED, "the file has stored panels already");
    SLM_TRY(slmi_tokenizer_create(gguf, options->host, options->max_memory_bytes, &tokenizer, err));
    slmi_tokenizer_release(tokenizer);
    SLM_TRY(slmi_model_check(gguf, options, err));
    slm_status status = slmi_sink_open(&sink, write, ctx, alloc, err);
    if (status == SLM_OK) {
        status = slmi_model_convert(gguf, options, &sink, err);
    }
    slmi_sink_close(&sink);
    return status;
}

/* Converts what an open source holds, and closes it. */
static slm_status convert(slmi_source *source, const slm_model_options *options, slmi_write_fn *write,
                          void *ctx, slm_error *err)
{
    slmi_alloc alloc;
    slmi_gguf gguf;
    slm_status status = slmi_open_header(source, options, &alloc, &gguf, err);
    if (status == SLM_OK) {
        const slmi_fpenv before = slmi_fpenv_enter();
        status = convert_checked(&gguf, options, &alloc, write, ctx, err);
        slmi_fpenv_leave(before);
    }
    slmi_gguf_close(&gguf);
    slmi_source_close(source);
    return status;
}

/* Names that are tried for the new file: others may be converting to the same place, or have been stopped in
 * the middle. */
#define MOST_PARTS 1000

/* Bytes that the name adds to that of the place. */
#define PART_NAME_BYTES 40

/* The new file: made when the first bytes come. */
typedef struct part {
    const char *out_path;
    char *path;
    size_t path_size;
    slmi_file file;
    int is_open;
} part;

static slm_status create_part(part *p, slm_error *err)
{
    slm_status status = SLM_END;
    for (unsigned n = 0; n < MOST_PARTS && status == SLM_END; n++) {
        snprintf(p->path, p->path_size, "%s.%llu-%u.part", p->out_path,
                 (unsigned long long)slmi_process_id(), n);
        status = slmi_file_create(&p->file, p->path, err);
    }
    SLM_FAIL_IF(status == SLM_END, SLM_ERR_IO, "there is '%s' and %d more such files: remove them", p->path,
                MOST_PARTS - 1);
    p->is_open = status == SLM_OK;
    return status;
}

static slm_status write_part(void *ctx, const void *bytes, size_t size, slm_error *err)
{
    part *p = ctx;
    if (!p->is_open) {
        SLM_TRY(create_part(p, err));
    }
    return slmi_file_write(&p->file, bytes, size, err);
}

/* Converts to a part, whose name is written to `part_path`, and renames that. */
static slm_status convert_beside(slmi_source *source, char *part_path, size_t size, const char *out_path,
                                 const slm_model_options *options, slm_error *err)
{
    part p = { .out_path = out_path, .path = part_path, .path_size = size };
    slm_status status = convert(source, options, write_part, &p, err);
    if (status == SLM_OK) {
        status = slmi_file_sync(&p.file, err);
    }
    if (p.is_open) {
        slmi_file_close(&p.file);
    }
    if (status == SLM_OK) {
        status = slmi_file_rename(part_path, out_path, err);
    }
    if (status != SLM_OK && p.is_open) {
        slmi_file_remove(part_path);
    }
    return status;
}

SLM_API slm_status slm_x_convert_file(const char *path, const char *out_path,
                                      const slm_model_options *options, slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    slmi_alloc alloc;
    REFUSE_NULL(path);
    REFUSE_NULL(out_path);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_FAIL_IF(slmi_file_is_same(path, out_path), SLM_ERR_INVALID_ARGUMENT,
                "'%s' would be written over itself", path);
    SLM_TRY(slmi_alloc_init(&alloc, &host, own.max_memory_bytes, err));
    const size_t size = strlen(out_path) + PART_NAME_BYTES;
    char *part_path = slmi_new(&alloc, size, 1);
    if (part_path == NULL) {
        return slmi_alloc_fail(&alloc, size, err);
    }
    slm_status status = slmi_source_open_path(&source, path, err);
    if (status == SLM_OK) {
        status = convert_beside(&source, part_path, size, out_path, &own, err);
    }
    slmi_free(&alloc, part_path, size, 1);
    return status;
}

static slm_status write_to_host(void *ctx, const void *bytes, size_t size, slm_error *err)
{
    const slm_x_writer *writer = ctx;
    const slm_status status = writer->write(writer->ctx, bytes, size);
    SLM_FAIL_IF(status != SLM_OK, status < 0 ? status : SLM_ERR_IO, "the host's writer failed with status %d",
                (int)status);
    return SLM_OK;
}

SLM_API slm_status slm_x_convert(const slm_reader *reader, const slm_x_writer *writer,
                                 const slm_model_options *options, slm_error *err)
{
    slm_model_options own;
    slm_host host;
    slmi_source source;
    slm_x_writer copy = SLM_X_WRITER_INIT;
    REFUSE_NULL(reader);
    REFUSE_NULL(writer);
    SLM_TRY(slmi_read_load_options(options, &own, &host, err));
    SLM_TRY(slmi_options_copy(&copy, sizeof(copy), writer, "slm_x_writer", err));
    SLM_FAIL_IF(copy.write == NULL, SLM_ERR_INVALID_ARGUMENT, "writer has no write function");
    SLM_TRY(slmi_open_reader(&source, reader, err));
    return convert(&source, &own, write_to_host, &copy, err);
}
