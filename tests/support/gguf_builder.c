/* SPDX-License-Identifier: MIT */
/* Writes small GGUF files in memory for tests, right ones and deliberately wrong ones. */
#include "support/gguf_builder.h"

#include <stdlib.h>
#include <string.h>

/* Types of metadata values. */
enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, U64 = 10 };

void gguf_put(gguf_bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = 2 * (bytes->size + size) + 256;
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (bytes->data == NULL) {
            abort();
        }
    }
    if (size > 0) {
        memcpy(bytes->data + bytes->size, data, size);
        bytes->size += size;
    }
}

void gguf_put_u32(gguf_bytes *bytes, uint32_t value)
{
    const uint8_t little[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                                (uint8_t)(value >> 24) };
    gguf_put(bytes, little, sizeof(little));
}

void gguf_put_u64(gguf_bytes *bytes, uint64_t value)
{
    gguf_put_u32(bytes, (uint32_t)value);
    gguf_put_u32(bytes, (uint32_t)(value >> 32));
}

void gguf_put_string(gguf_bytes *bytes, const char *text)
{
    gguf_put_u64(bytes, strlen(text));
    gguf_put(bytes, text, strlen(text));
}

static void pad(gguf_bytes *bytes, size_t alignment)
{
    static const uint8_t zeros[1] = { 0 };
    while (bytes->size % alignment != 0) {
        gguf_put(bytes, zeros, 1);
    }
}

void gguf_builder_init(gguf_builder *builder)
{
    memset(builder, 0, sizeof(*builder));
    builder->version = 3;
    builder->alignment = 32;
}

uint8_t *gguf_builder_finish(gguf_builder *builder, size_t *size)
{
    gguf_bytes file = { NULL, 0, 0 };
    gguf_put(&file, "GGUF", 4);
    gguf_put_u32(&file, builder->version);
    gguf_put_u64(&file, builder->n_tensors);
    gguf_put_u64(&file, builder->n_entries);
    gguf_put(&file, builder->metadata.data, builder->metadata.size);
    gguf_put(&file, builder->directory.data, builder->directory.size);
    if (builder->data.size > 0) {
        pad(&file, builder->alignment);
        gguf_put(&file, builder->data.data, builder->data.size);
    }
    free(builder->metadata.data);
    free(builder->directory.data);
    free(builder->data.data);
    gguf_builder_init(builder);
    /* Exactly as large as the file, so that sanitizers see every byte read too far. */
    uint8_t *exact = malloc(file.size);
    if (exact == NULL) {
        abort();
    }
    memcpy(exact, file.data, file.size);
    free(file.data);
    *size = file.size;
    return exact;
}

static void begin(gguf_builder *builder, const char *key, uint32_t type)
{
    gguf_put_string(&builder->metadata, key);
    gguf_put_u32(&builder->metadata, type);
    builder->n_entries++;
}

void gguf_add_raw(gguf_builder *builder, const char *key, uint32_t type, const void *value,
                  size_t size)
{
    begin(builder, key, type);
    gguf_put(&builder->metadata, value, size);
}

void gguf_add_u32(gguf_builder *builder, const char *key, uint32_t value)
{
    begin(builder, key, U32);
    gguf_put_u32(&builder->metadata, value);
}

void gguf_add_i32(gguf_builder *builder, const char *key, int32_t value)
{
    begin(builder, key, I32);
    gguf_put_u32(&builder->metadata, (uint32_t)value);
}

void gguf_add_u64(gguf_builder *builder, const char *key, uint64_t value)
{
    begin(builder, key, U64);
    gguf_put_u64(&builder->metadata, value);
}

static void put_f32(gguf_bytes *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    gguf_put_u32(bytes, bits);
}

void gguf_add_f32(gguf_builder *builder, const char *key, float value)
{
    begin(builder, key, F32);
    put_f32(&builder->metadata, value);
}

void gguf_add_bool(gguf_builder *builder, const char *key, int value)
{
    const uint8_t byte = value != 0;
    gguf_add_raw(builder, key, BOOL, &byte, 1);
}

void gguf_add_string(gguf_builder *builder, const char *key, const char *value)
{
    begin(builder, key, STRING);
    gguf_put_string(&builder->metadata, value);
}

void gguf_add_array(gguf_builder *builder, const char *key, uint32_t element_type, uint64_t count)
{
    begin(builder, key, ARRAY);
    gguf_put_u32(&builder->metadata, element_type);
    gguf_put_u64(&builder->metadata, count);
}

void gguf_add_strings(gguf_builder *builder, const char *key, const char *const *values, size_t n)
{
    gguf_add_array(builder, key, STRING, n);
    for (size_t i = 0; i < n; i++) {
        gguf_put_string(&builder->metadata, values[i]);
    }
}

void gguf_add_f32s(gguf_builder *builder, const char *key, const float *values, size_t n)
{
    gguf_add_array(builder, key, F32, n);
    for (size_t i = 0; i < n; i++) {
        put_f32(&builder->metadata, values[i]);
    }
}

void gguf_add_i32s(gguf_builder *builder, const char *key, const int32_t *values, size_t n)
{
    gguf_add_array(builder, key, I32, n);
    for (size_t i = 0; i < n; i++) {
        gguf_put_u32(&builder->metadata, (uint32_t)values[i]);
    }
}

void gguf_add_entry(gguf_builder *builder, const char *name, uint32_t type, uint32_t n_dims,
                    const uint64_t *dims, uint64_t offset)
{
    gguf_put_string(&builder->directory, name);
    gguf_put_u32(&builder->directory, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) {
        gguf_put_u64(&builder->directory, dims[i]);
    }
    gguf_put_u32(&builder->directory, type);
    gguf_put_u64(&builder->directory, offset);
    builder->n_tensors++;
}

void gguf_add_tensor(gguf_builder *builder, const char *name, uint32_t type, uint32_t n_dims,
                     const uint64_t *dims, const void *data, size_t bytes)
{
    pad(&builder->data, builder->alignment);
    gguf_add_entry(builder, name, type, n_dims, dims, builder->data.size);
    gguf_put(&builder->data, data, bytes);
}
