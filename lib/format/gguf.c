/* SPDX-License-Identifier: MIT */
/* GGUF version 2 and 3: header, metadata and tensor directory, every byte bounds-checked.
 * Source: github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#include "format/gguf.h"

#include "base/bytes.h"
#include "base/sort.h"
#include "base/text.h"
#include "format/gguf_types.h"

#define DEFAULT_MAX_TENSORS 65536
#define MAX_ENTRIES 65536 /* of metadata */
#define DEFAULT_MAX_STRING_BYTES (UINT64_C(16) << 20)
#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT (UINT32_C(1) << 20)
#define MAX_NAME_BYTES 65535

/* A reader's header is fetched in pieces of this size, so a false length costs no memory. */
#define CHUNK_BYTES 65536

/* Least bytes of a metadata entry (length, key, type, value) and of a directory entry (length,
 * name, number of dimensions, one dimension, type, offset). */
#define MIN_ENTRY_BYTES 14
#define MIN_TENSOR_BYTES 33

/* Reads the header from front to back. With a host's reader, `bytes` moves as the buffer grows: no
 * pointer into it is kept before the end (see resolve_pointers). */
typedef struct cursor {
    const slmi_source *source;
    const slmi_gguf_limits *limits;
    slmi_buffer buffer;
    const uint8_t *bytes; /* of the file from its beginning */
    uint64_t position;
} cursor;

static uint64_t remaining(const cursor *c)
{
    return c->source->size - c->position;
}

static slm_status fetch(cursor *c, uint64_t end, slm_error *err)
{
    while (c->buffer.size < end) {
        const uint64_t left = c->source->size - c->buffer.size;
        const size_t size = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        SLM_TRY(slmi_buffer_reserve(&c->buffer, size, err));
        const uint8_t *read;
        SLM_TRY(slmi_source_view(c->source, c->buffer.size, size, c->buffer.data + c->buffer.size,
                                 &read, err));
        c->buffer.size += size;
    }
    c->bytes = c->buffer.data;
    return SLM_OK;
}

/* Makes the next `size` bytes readable; `what` names them if the file ends before. */
static slm_status need(cursor *c, uint64_t size, const char *what, slm_error *err)
{
    SLM_FAIL_AT_IF(size > remaining(c), SLM_ERR_TRUNCATED, c->position,
                   "the file ends within %s: %llu bytes are wanted and %llu are left", what,
                   (unsigned long long)size, (unsigned long long)remaining(c));
    return c->source->data != NULL ? SLM_OK : fetch(c, c->position + size, err);
}

static slm_status read_u32(cursor *c, const char *what, uint32_t *value, slm_error *err)
{
    SLM_TRY(need(c, sizeof(*value), what, err));
    *value = slmi_read_u32(c->bytes + c->position);
    c->position += sizeof(*value);
    return SLM_OK;
}

static slm_status read_u64(cursor *c, const char *what, uint64_t *value, slm_error *err)
{
    SLM_TRY(need(c, sizeof(*value), what, err));
    *value = slmi_read_u64(c->bytes + c->position);
    c->position += sizeof(*value);
    return SLM_OK;
}

/* A length and that many bytes; moves behind them. */
static slm_status read_string(cursor *c, uint64_t limit, const char *what, slmi_text *text,
                              slm_error *err)
{
    const uint64_t begin = c->position;
    uint64_t length;
    SLM_TRY(read_u64(c, what, &length, err));
    SLM_FAIL_AT_IF(length > limit, SLM_ERR_LIMIT, begin,
                   "%s of %llu bytes exceeds the limit of %llu", what, (unsigned long long)length,
                   (unsigned long long)limit);
    SLM_TRY(need(c, length, what, err));
    text->data = (const char *)c->bytes + c->position;
    text->length = (size_t)length;
    c->position += length;
    return SLM_OK;
}

/* A key or a tensor's name. */
static slm_status read_name(cursor *c, const char *what, slmi_text *name, slm_error *err)
{
    const uint64_t limit = c->limits->max_string_bytes;
    const uint64_t begin = c->position;
    SLM_TRY(read_string(c, limit < MAX_NAME_BYTES ? limit : MAX_NAME_BYTES, what, name, err));
    SLM_FAIL_AT_IF(name->length == 0, SLM_ERR_FORMAT, begin, "%s is empty", what);
    const size_t valid = slmi_utf8_check(name->data, name->length);
    SLM_FAIL_AT_IF(valid < name->length, SLM_ERR_FORMAT, begin + 8 + valid, "%s is not valid UTF-8",
                   what);
    const char *nul = memchr(name->data, 0, name->length);
    SLM_FAIL_AT_IF(nul != NULL, SLM_ERR_FORMAT, begin + 8 + (uint64_t)(nul - name->data),
                   "%s holds a NUL byte", what);
    return SLM_OK;
}

static slm_status read_strings(cursor *c, uint64_t count, slm_error *err)
{
    SLM_FAIL_AT_IF(count > remaining(c) / 8, SLM_ERR_TRUNCATED, c->position,
                   "the file ends within an array that claims %llu strings",
                   (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        slmi_text text;
        SLM_TRY(read_string(c, c->limits->max_string_bytes, "a metadata string", &text, err));
    }
    return SLM_OK;
}

static slm_status read_fixed_values(cursor *c, uint32_t type, uint64_t count, slm_error *err)
{
    const size_t size = slmi_gguf_value_size(type);
    SLM_FAIL_AT_IF(count > remaining(c) / size, SLM_ERR_TRUNCATED, c->position,
                   "the file ends within a metadata value of %llu elements",
                   (unsigned long long)count);
    SLM_TRY(need(c, count * size, "a metadata value", err));
    if (type == SLMI_GGUF_BOOL) {
        for (uint64_t i = 0; i < count; i++) {
            SLM_FAIL_AT_IF(c->bytes[c->position + i] > 1, SLM_ERR_FORMAT, c->position + i,
                           "a boolean is %u instead of 0 or 1", c->bytes[c->position + i]);
        }
    }
    c->position += count * size;
    return SLM_OK;
}

static slm_status check_value_type(uint32_t type, uint64_t offset, slm_error *err)
{
    SLM_FAIL_AT_IF(type > SLMI_GGUF_F64, SLM_ERR_FORMAT, offset, "metadata type %u does not exist",
                   type);
    return SLM_OK;
}

static slm_status read_array_head(cursor *c, slmi_gguf_entry *entry, slm_error *err)
{
    const uint64_t begin = c->position;
    SLM_TRY(read_u32(c, "an array's type", &entry->element_type, err));
    SLM_TRY(check_value_type(entry->element_type, begin, err));
    entry->key.data = (const char *)c->bytes + begin - 4 - entry->key.length;
    SLM_FAIL_AT_IF(entry->element_type == SLMI_GGUF_ARRAY, SLM_ERR_UNSUPPORTED, begin,
                   "metadata '%.*s' is an array of arrays", slmi_gguf_shown(entry->key),
                   entry->key.data);
    return read_u64(c, "an array's length", &entry->count, err);
}

static slm_status read_entry(cursor *c, slmi_gguf_entry *entry, slm_error *err)
{
    SLM_TRY(read_name(c, "a metadata key", &entry->key, err));
    SLM_TRY(read_u32(c, "a metadata type", &entry->type, err));
    SLM_TRY(check_value_type(entry->type, c->position - 4, err));
    entry->count = 1;
    entry->element_type = entry->type;
    if (entry->type == SLMI_GGUF_ARRAY) {
        SLM_TRY(read_array_head(c, entry, err));
    }
    entry->offset = c->position;
    if (entry->element_type == SLMI_GGUF_STRING) {
        SLM_TRY(read_strings(c, entry->count, err));
    } else {
        SLM_TRY(read_fixed_values(c, entry->element_type, entry->count, err));
    }
    entry->value_bytes = c->position - entry->offset;
    return SLM_OK;
}

static slm_status read_dims(cursor *c, slmi_gguf_tensor *tensor, slm_error *err)
{
    const uint64_t begin = c->position;
    SLM_TRY(read_u32(c, "a tensor's dimensions", &tensor->n_dims, err));
    SLM_FAIL_AT_IF(tensor->n_dims < 1 || tensor->n_dims > 4, SLM_ERR_FORMAT, begin,
                   "a tensor has %u dimensions; 1 to 4 are possible", tensor->n_dims);
    uint64_t elements = 1;
    for (uint32_t i = 0; i < 4; i++) {
        tensor->dims[i] = 1;
        if (i >= tensor->n_dims) {
            continue;
        }
        const uint64_t at = c->position;
        SLM_TRY(read_u64(c, "a tensor's dimensions", &tensor->dims[i], err));
        SLM_FAIL_AT_IF(tensor->dims[i] == 0, SLM_ERR_FORMAT, at, "a tensor has a dimension of 0");
        SLM_FAIL_AT_IF(!slmi_mul_u64(elements, tensor->dims[i], &elements) || elements > INT64_MAX,
                       SLM_ERR_FORMAT, at, "a tensor's dimensions multiply to more than 2^63");
    }
    return SLM_OK;
}

/* Bytes of the tensor; elements are known not to overflow. */
static slm_status measure(slmi_gguf_tensor *tensor, uint64_t type_offset, slm_error *err)
{
    const slmi_gguf_type *type = slmi_gguf_type_find(tensor->file_type);
    tensor->type = type != NULL ? type->type : -1;
    tensor->bytes = 0;
    if (type == NULL) {
        return SLM_OK;
    }
    SLM_FAIL_AT_IF(tensor->dims[0] % type->block != 0, SLM_ERR_FORMAT, type_offset,
                   "rows of %llu elements are no multiple of the %u that a block of %s holds",
                   (unsigned long long)tensor->dims[0], type->block, type->name);
    const uint64_t blocks = tensor->dims[0] / type->block * tensor->dims[1] * tensor->dims[2] *
                            tensor->dims[3];
    SLM_FAIL_AT_IF(!slmi_mul_u64(blocks, type->bytes, &tensor->bytes), SLM_ERR_FORMAT, type_offset,
                   "a tensor's size in bytes exceeds 2^64");
    return SLM_OK;
}

/* The offset stays relative to the tensor data until that is known (see place_tensors). */
static slm_status read_tensor(cursor *c, slmi_gguf_tensor *tensor, slm_error *err)
{
    tensor->entry_offset = c->position;
    SLM_TRY(read_name(c, "a tensor's name", &tensor->name, err));
    SLM_TRY(read_dims(c, tensor, err));
    SLM_TRY(read_u32(c, "a tensor's type", &tensor->file_type, err));
    SLM_TRY(measure(tensor, c->position - 4, err));
    return read_u64(c, "a tensor's offset", &tensor->offset, err);
}

/* Position of the offset field in the directory. */
static uint64_t offset_field(const slmi_gguf_tensor *tensor)
{
    return tensor->entry_offset + 8 + tensor->name.length + 4 + 8 * (uint64_t)tensor->n_dims + 4;
}

/* Position of an entry's beginning, that is of its key's length. */
static uint64_t entry_begin(const slmi_gguf_entry *entry)
{
    const uint64_t head = entry->type == SLMI_GGUF_ARRAY ? 4 + 4 + 8 : 4;
    return entry->offset - head - entry->key.length - 8;
}

static void resolve_pointers(slmi_gguf *gguf, const uint8_t *bytes)
{
    for (uint32_t i = 0; i < gguf->n_entries; i++) {
        slmi_gguf_entry *entry = &gguf->entries[i];
        entry->key.data = (const char *)bytes + entry_begin(entry) + 8;
        entry->value = bytes + entry->offset;
    }
    for (uint32_t i = 0; i < gguf->n_tensors; i++) {
        slmi_gguf_tensor *tensor = &gguf->tensors[i];
        tensor->name.data = (const char *)bytes + tensor->entry_offset + 8;
    }
}

static slm_status read_version(cursor *c, uint32_t *version, slm_error *err)
{
    SLM_TRY(need(c, 4, "its first four bytes", err));
    SLM_FAIL_AT_IF(memcmp(c->bytes, "GGUF", 4) != 0, SLM_ERR_FORMAT, 0,
                   "not a GGUF file: it does not begin with 'GGUF'");
    c->position = 4;
    SLM_TRY(read_u32(c, "the version", version, err));
    SLM_FAIL_AT_IF((*version & 0xFFFF) == 0 && *version != 0, SLM_ERR_UNSUPPORTED, 4,
                   "a big-endian GGUF file; only little-endian files can be read");
    SLM_FAIL_AT_IF(*version == 0, SLM_ERR_FORMAT, 4, "GGUF version 0 does not exist");
    SLM_FAIL_AT_IF(*version != 2 && *version != 3, SLM_ERR_UNSUPPORTED, 4,
                   "GGUF version %u; versions 2 and 3 can be read", *version);
    return SLM_OK;
}

static slm_status read_count(cursor *c, const char *what, uint64_t most, uint64_t min_bytes,
                             uint32_t *count, slm_error *err)
{
    const uint64_t begin = c->position;
    uint64_t n;
    SLM_TRY(read_u64(c, "the counts of tensors and metadata", &n, err));
    SLM_FAIL_AT_IF(n > most, SLM_ERR_LIMIT, begin, "the file claims %llu %s; the limit is %llu",
                   (unsigned long long)n, what, (unsigned long long)most);
    SLM_FAIL_AT_IF(n > remaining(c) / min_bytes, SLM_ERR_TRUNCATED, begin,
                   "the file claims %llu %s, but ends after %llu bytes", (unsigned long long)n,
                   what, (unsigned long long)c->source->size);
    *count = (uint32_t)n;
    return SLM_OK;
}

static slm_status make_tables(slmi_gguf *gguf, uint32_t n_entries, uint32_t n_tensors,
                              slm_error *err)
{
    const uint64_t bytes = n_entries * (uint64_t)(sizeof(*gguf->entries) + sizeof(uint32_t)) +
                           n_tensors * (uint64_t)(sizeof(*gguf->tensors) + sizeof(uint32_t));
    gguf->n_entries = n_entries;
    gguf->n_tensors = n_tensors;
    gguf->entries = slmi_new_array(gguf->alloc, n_entries, sizeof(*gguf->entries), 8);
    gguf->entries_by_key = slmi_new_array(gguf->alloc, n_entries, sizeof(uint32_t), 4);
    gguf->tensors = slmi_new_array(gguf->alloc, n_tensors, sizeof(*gguf->tensors), 8);
    gguf->tensors_by_name = slmi_new_array(gguf->alloc, n_tensors, sizeof(uint32_t), 4);
    if ((n_entries > 0 && (gguf->entries == NULL || gguf->entries_by_key == NULL)) ||
        (n_tensors > 0 && (gguf->tensors == NULL || gguf->tensors_by_name == NULL))) {
        return slmi_alloc_fail(gguf->alloc, bytes, err);
    }
    return SLM_OK;
}

static slm_status read_header(slmi_gguf *gguf, cursor *c, slm_error *err)
{
    uint32_t n_entries, n_tensors;
    SLM_TRY(read_version(c, &gguf->version, err));
    SLM_TRY(read_count(c, "tensors", c->limits->max_tensors, MIN_TENSOR_BYTES, &n_tensors, err));
    SLM_TRY(read_count(c, "metadata entries", MAX_ENTRIES, MIN_ENTRY_BYTES, &n_entries, err));
    SLM_TRY(make_tables(gguf, n_entries, n_tensors, err));
    for (uint32_t i = 0; i < n_entries; i++) {
        SLM_TRY(read_entry(c, &gguf->entries[i], err));
    }
    for (uint32_t i = 0; i < n_tensors; i++) {
        SLM_TRY(read_tensor(c, &gguf->tensors[i], err));
    }
    return SLM_OK;
}

/* Of two names, which are never empty. */
static int compare_text(slmi_text a, slmi_text b)
{
    const int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Equal names stand in file order, so that the second one is the duplicate. */
static int key_less(const void *ctx, uint32_t a, uint32_t b)
{
    const slmi_gguf_entry *entries = ctx;
    const int order = compare_text(entries[a].key, entries[b].key);
    return order < 0 || (order == 0 && a < b);
}

static int name_less(const void *ctx, uint32_t a, uint32_t b)
{
    const slmi_gguf_tensor *tensors = ctx;
    const int order = compare_text(tensors[a].name, tensors[b].name);
    return order < 0 || (order == 0 && a < b);
}

static int place_less(const void *ctx, uint32_t a, uint32_t b)
{
    const slmi_gguf_tensor *tensors = ctx;
    return tensors[a].offset < tensors[b].offset ||
           (tensors[a].offset == tensors[b].offset && a < b);
}

static void sort_table(uint32_t *indices, uint32_t n,
                       int (*less)(const void *ctx, uint32_t a, uint32_t b), const void *ctx)
{
    for (uint32_t i = 0; i < n; i++) {
        indices[i] = i;
    }
    slmi_sort_indices(indices, n, less, ctx);
}

static slm_status sort_entries(slmi_gguf *gguf, slm_error *err)
{
    sort_table(gguf->entries_by_key, gguf->n_entries, key_less, gguf->entries);
    for (uint32_t i = 1; i < gguf->n_entries; i++) {
        const slmi_gguf_entry *before = &gguf->entries[gguf->entries_by_key[i - 1]];
        const slmi_gguf_entry *entry = &gguf->entries[gguf->entries_by_key[i]];
        SLM_FAIL_AT_IF(compare_text(before->key, entry->key) == 0, SLM_ERR_FORMAT,
                       entry_begin(entry), "metadata '%.*s' stands twice in the file",
                       slmi_gguf_shown(entry->key), entry->key.data);
    }
    return SLM_OK;
}

static slm_status sort_tensors(slmi_gguf *gguf, slm_error *err)
{
    sort_table(gguf->tensors_by_name, gguf->n_tensors, name_less, gguf->tensors);
    for (uint32_t i = 1; i < gguf->n_tensors; i++) {
        const slmi_gguf_tensor *before = &gguf->tensors[gguf->tensors_by_name[i - 1]];
        const slmi_gguf_tensor *tensor = &gguf->tensors[gguf->tensors_by_name[i]];
        SLM_FAIL_AT_IF(compare_text(before->name, tensor->name) == 0, SLM_ERR_FORMAT,
                       tensor->entry_offset, "tensor '%.*s' stands twice in the file",
                       slmi_gguf_shown(tensor->name), tensor->name.data);
    }
    return SLM_OK;
}

static slm_status read_alignment(slmi_gguf *gguf, slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, "general.alignment");
    gguf->alignment = DEFAULT_ALIGNMENT;
    if (entry == NULL) {
        return SLM_OK;
    }
    SLM_TRY(slmi_gguf_get_u32(gguf, "general.alignment", &gguf->alignment, err));
    const uint32_t alignment = gguf->alignment;
    const int is_power = alignment != 0 && (alignment & (alignment - 1)) == 0;
    SLM_FAIL_AT_IF(!is_power || alignment > MAX_ALIGNMENT, SLM_ERR_FORMAT, entry->offset,
                   "an alignment of %u is not a power of two up to %u", alignment, MAX_ALIGNMENT);
    return SLM_OK;
}

/* Makes the offset absolute and checks that the tensor lies inside the file. */
static slm_status place_tensor(const slmi_gguf *gguf, slmi_gguf_tensor *tensor, slm_error *err)
{
    const uint64_t file_size = gguf->source->size;
    const slmi_text name = tensor->name;
    SLM_FAIL_AT_IF(tensor->offset % gguf->alignment != 0, SLM_ERR_FORMAT, offset_field(tensor),
                   "the offset %llu of tensor '%.*s' is no multiple of the alignment of %u",
                   (unsigned long long)tensor->offset, slmi_gguf_shown(name), name.data,
                   gguf->alignment);
    SLM_FAIL_AT_IF(!slmi_add_u64(tensor->offset, gguf->data_offset, &tensor->offset),
                   SLM_ERR_FORMAT, offset_field(tensor),
                   "the offset of tensor '%.*s' exceeds 2^64", slmi_gguf_shown(name), name.data);
    SLM_FAIL_AT_IF(tensor->offset > file_size || tensor->bytes > file_size - tensor->offset,
                   SLM_ERR_TRUNCATED, tensor->offset,
                   "the file of %llu bytes ends before the %llu bytes of tensor '%.*s'",
                   (unsigned long long)file_size, (unsigned long long)tensor->bytes,
                   slmi_gguf_shown(name), name.data);
    return SLM_OK;
}

/* Uses the table of names for the order of places; it is sorted by name afterwards. */
static slm_status place_tensors(slmi_gguf *gguf, slm_error *err)
{
    for (uint32_t i = 0; i < gguf->n_tensors; i++) {
        SLM_TRY(place_tensor(gguf, &gguf->tensors[i], err));
    }
    sort_table(gguf->tensors_by_name, gguf->n_tensors, place_less, gguf->tensors);
    for (uint32_t i = 1; i < gguf->n_tensors; i++) {
        const slmi_gguf_tensor *before = &gguf->tensors[gguf->tensors_by_name[i - 1]];
        const slmi_gguf_tensor *tensor = &gguf->tensors[gguf->tensors_by_name[i]];
        SLM_FAIL_AT_IF(before->bytes > tensor->offset - before->offset, SLM_ERR_FORMAT,
                       offset_field(tensor), "tensor '%.*s' overlaps tensor '%.*s'",
                       slmi_gguf_shown(tensor->name), tensor->name.data,
                       slmi_gguf_shown(before->name), before->name.data);
    }
    return SLM_OK;
}

static slm_status open_checked(slmi_gguf *gguf, cursor *c, slm_error *err)
{
    const slm_status status = read_header(gguf, c, err);
    gguf->header = c->buffer.data;
    gguf->header_capacity = c->buffer.capacity;
    if (status != SLM_OK) {
        return status;
    }
    resolve_pointers(gguf, c->bytes);
    SLM_TRY(sort_entries(gguf, err));
    SLM_TRY(read_alignment(gguf, err));
    gguf->data_offset = slmi_round_up(c->position, gguf->alignment);
    SLM_TRY(place_tensors(gguf, err));
    SLM_TRY(sort_tensors(gguf, err));
    return slmi_gguf_read_panels(gguf, err);
}

slm_status slmi_gguf_open(slmi_gguf *gguf, slmi_source *source, const slmi_gguf_limits *limits,
                          slmi_alloc *alloc, slm_error *err)
{
    slmi_gguf_limits own = { 0, 0 };
    if (limits != NULL) {
        own = *limits;
    }
    own.max_tensors = own.max_tensors == 0 ? DEFAULT_MAX_TENSORS : own.max_tensors;
    own.max_tensors = own.max_tensors > UINT32_MAX ? UINT32_MAX : own.max_tensors;
    if (own.max_string_bytes == 0) {
        own.max_string_bytes = DEFAULT_MAX_STRING_BYTES;
    }
    memset(gguf, 0, sizeof(*gguf));
    gguf->source = source;
    gguf->alloc = alloc;
    cursor c = { source, &own, { alloc, NULL, 0, 0 }, source->data, 0 };
    const slm_status status = open_checked(gguf, &c, err);
    if (status != SLM_OK) {
        slmi_gguf_close(gguf);
    }
    return status;
}

void slmi_gguf_close(slmi_gguf *gguf)
{
    if (gguf->alloc != NULL) {
        const size_t n_entries = gguf->n_entries;
        const size_t n_tensors = gguf->n_tensors;
        slmi_free(gguf->alloc, gguf->entries, n_entries * sizeof(*gguf->entries), 8);
        slmi_free(gguf->alloc, gguf->entries_by_key, n_entries * sizeof(uint32_t), 4);
        slmi_free(gguf->alloc, gguf->tensors, n_tensors * sizeof(*gguf->tensors), 8);
        slmi_free(gguf->alloc, gguf->tensors_by_name, n_tensors * sizeof(uint32_t), 4);
        slmi_free(gguf->alloc, gguf->header, gguf->header_capacity, _Alignof(max_align_t));
    }
    memset(gguf, 0, sizeof(*gguf));
}

const slmi_gguf_entry *slmi_gguf_find(const slmi_gguf *gguf, const char *key)
{
    const slmi_text wanted = { key, strlen(key) };
    uint32_t low = 0, high = gguf->n_entries;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const slmi_gguf_entry *entry = &gguf->entries[gguf->entries_by_key[middle]];
        const int order = compare_text(entry->key, wanted);
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const slmi_gguf_tensor *slmi_gguf_find_tensor(const slmi_gguf *gguf, const char *name)
{
    const slmi_text wanted = { name, strlen(name) };
    uint32_t low = 0, high = gguf->n_tensors;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const slmi_gguf_tensor *tensor = &gguf->tensors[gguf->tensors_by_name[middle]];
        const int order = compare_text(tensor->name, wanted);
        if (order == 0) {
            return tensor;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
