/* SPDX-License-Identifier: MIT */
/* Writes small GGUF files in memory for tests, right ones and deliberately wrong ones. */
#ifndef SLM_TESTS_GGUF_BUILDER_H
#define SLM_TESTS_GGUF_BUILDER_H

#include <stddef.h>
#include <stdint.h>

/* A growing array of bytes. */
typedef struct gguf_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} gguf_bytes;

/* Metadata begins at byte 24 of the file, so a value that is added when metadata.size is n stands
 * behind byte 24 + n. Change the plain fields before gguf_builder_finish() for wrong files. */
typedef struct gguf_builder {
    uint32_t version;       /* 3 */
    uint32_t alignment;     /* 32; a metadata entry tells the file, see gguf_add_u32() */
    uint64_t n_entries;     /* as many as were added */
    uint64_t n_tensors;
    gguf_bytes metadata;
    gguf_bytes directory;
    gguf_bytes data;
} gguf_builder;

void gguf_builder_init(gguf_builder *builder);

/* The file, to be given back with free(). The builder is empty afterwards. */
uint8_t *gguf_builder_finish(gguf_builder *builder, size_t *size);

void gguf_add_u32(gguf_builder *builder, const char *key, uint32_t value);
void gguf_add_i32(gguf_builder *builder, const char *key, int32_t value);
void gguf_add_u64(gguf_builder *builder, const char *key, uint64_t value);
void gguf_add_f32(gguf_builder *builder, const char *key, float value);
void gguf_add_bool(gguf_builder *builder, const char *key, int value);
void gguf_add_string(gguf_builder *builder, const char *key, const char *value);
void gguf_add_strings(gguf_builder *builder, const char *key, const char *const *values, size_t n);
void gguf_add_f32s(gguf_builder *builder, const char *key, const float *values, size_t n);
void gguf_add_i32s(gguf_builder *builder, const char *key, const int32_t *values, size_t n);

/* A value of any type with whatever bytes. */
void gguf_add_raw(gguf_builder *builder, const char *key, uint32_t type, const void *value,
                  size_t size);

/* The head of an array; append its elements to builder->metadata. */
void gguf_add_array(gguf_builder *builder, const char *key, uint32_t element_type, uint64_t count);

/* A tensor of ggml's type number, its data aligned. */
void gguf_add_tensor(gguf_builder *builder, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *dims, const void *data, size_t bytes);

/* A directory entry alone, with whatever offset. */
void gguf_add_entry(gguf_builder *builder, const char *name, uint32_t type, uint32_t n_dims,
                    const uint64_t *dims, uint64_t offset);

void gguf_put(gguf_bytes *bytes, const void *data, size_t size);
void gguf_put_u32(gguf_bytes *bytes, uint32_t value);
void gguf_put_u64(gguf_bytes *bytes, uint64_t value);

/* A length and the text. */
void gguf_put_string(gguf_bytes *bytes, const char *text);

#endif
