/* SPDX-License-Identifier: MIT */
/* Typed access to metadata values, and their display as text. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "format/gguf_types.h"

static const char *const type_names[SLMI_GGUF_F64 + 1] = {
    "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
    "bool", "string", "array", "u64", "i64", "f64",
};

static int is_integer(uint32_t type)
{
    return type <= SLMI_GGUF_I32 || type == SLMI_GGUF_U64 || type == SLMI_GGUF_I64;
}

static slm_status wrong_type(const slmi_gguf_entry *entry, const char *wanted, slm_error *err)
{
    return slmi_fail(err, SLM_ERR_FORMAT, entry->offset, "metadata '%.*s' is %s %s instead of %s",
                     slmi_gguf_shown(entry->key), entry->key.data,
                     entry->type == SLMI_GGUF_ARRAY ? "an array of" : "of type",
                     type_names[entry->element_type], wanted);
}

/* An integer of any type; one above INT64_MAX comes out negative with *huge set. */
static int64_t read_int(const uint8_t *p, uint32_t type, int *huge)
{
    *huge = 0;
    switch (type) {
    case SLMI_GGUF_I8:
        return (int8_t)p[0];
    case SLMI_GGUF_U16:
        return slmi_read_u16(p);
    case SLMI_GGUF_I16:
        return (int16_t)slmi_read_u16(p);
    case SLMI_GGUF_U32:
        return slmi_read_u32(p);
    case SLMI_GGUF_I32:
        return (int32_t)slmi_read_u32(p);
    case SLMI_GGUF_U64:
        *huge = slmi_read_u64(p) > INT64_MAX;
        return (int64_t)slmi_read_u64(p);
    case SLMI_GGUF_I64:
        return (int64_t)slmi_read_u64(p);
    default:
        return p[0]; /* U8, BOOL */
    }
}

static slm_status get_int(const slmi_gguf *gguf, const char *key, int64_t low, int64_t high,
                          int64_t *value, slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, key);
    if (entry == NULL) {
        return SLM_OK;
    }
    if (!is_integer(entry->type)) {
        return wrong_type(entry, "an integer", err);
    }
    int huge;
    const int64_t read = read_int(entry->value, entry->type, &huge);
    SLM_FAIL_AT_IF(huge || read < low || read > high, SLM_ERR_FORMAT, entry->offset,
                   "metadata '%s' is out of range: %" PRId64 " to %" PRId64 " are possible", key,
                   low, high);
    *value = read;
    return SLM_OK;
}

slm_status slmi_gguf_get_u32(const slmi_gguf *gguf, const char *key, uint32_t *value,
                             slm_error *err)
{
    int64_t read = *value;
    SLM_TRY(get_int(gguf, key, 0, UINT32_MAX, &read, err));
    *value = (uint32_t)read;
    return SLM_OK;
}

slm_status slmi_gguf_get_f32(const slmi_gguf *gguf, const char *key, float *value, slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, key);
    if (entry == NULL) {
        return SLM_OK;
    }
    if (entry->type != SLMI_GGUF_F32 && entry->type != SLMI_GGUF_F64) {
        return wrong_type(entry, "a float", err);
    }
    const double read = slmi_gguf_array_float(entry, 0);
    SLM_FAIL_AT_IF(isfinite(read) && fabs(read) > (double)FLT_MAX, SLM_ERR_FORMAT, entry->offset,
                   "metadata '%s' does not fit into 32 bits", key);
    *value = (float)read;
    return SLM_OK;
}

slm_status slmi_gguf_get_bool(const slmi_gguf *gguf, const char *key, uint32_t *value,
                              slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, key);
    if (entry == NULL) {
        return SLM_OK;
    }
    if (entry->type != SLMI_GGUF_BOOL) {
        return wrong_type(entry, "a boolean", err);
    }
    *value = entry->value[0];
    return SLM_OK;
}

slm_status slmi_gguf_get_text(const slmi_gguf *gguf, const char *key, slmi_text *value,
                              slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, key);
    if (entry == NULL) {
        return SLM_OK;
    }
    if (entry->type != SLMI_GGUF_STRING) {
        return wrong_type(entry, "a string", err);
    }
    uint64_t position = 0;
    *value = slmi_gguf_next_string(entry, &position);
    return SLM_OK;
}

slm_status slmi_gguf_get_array(const slmi_gguf *gguf, const char *key, uint32_t element_type,
                               const slmi_gguf_entry **entry, slm_error *err)
{
    *entry = NULL;
    const slmi_gguf_entry *found = slmi_gguf_find(gguf, key);
    if (found != NULL && (found->type != SLMI_GGUF_ARRAY || found->element_type != element_type)) {
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "an array of %s", type_names[element_type]);
        return wrong_type(found, wanted, err);
    }
    *entry = found;
    return SLM_OK;
}

slmi_text slmi_gguf_next_string(const slmi_gguf_entry *entry, uint64_t *position)
{
    const uint8_t *p = entry->value + *position;
    const slmi_text text = { (const char *)p + 8, (size_t)slmi_read_u64(p) };
    *position += 8 + text.length;
    return text;
}

int64_t slmi_gguf_array_int(const slmi_gguf_entry *entry, uint64_t i)
{
    int huge;
    return read_int(entry->value + i * slmi_gguf_value_size(entry->element_type),
                    entry->element_type, &huge);
}

double slmi_gguf_array_float(const slmi_gguf_entry *entry, uint64_t i)
{
    if (entry->element_type == SLMI_GGUF_F32) {
        return (double)slmi_bits_f32(slmi_read_u32(entry->value + 4 * i));
    }
    return slmi_bits_f64(slmi_read_u64(entry->value + 8 * i));
}

/* Text that is written, or only counted where there is no room for it. */
typedef struct display {
    char *text;
    size_t length;
} display;

static void show(display *out, const char *bytes, size_t size)
{
    if (out->text != NULL) {
        memcpy(out->text + out->length, bytes, size);
    }
    out->length += size;
}

/* Invalid UTF-8 and NUL become U+FFFD: the result is NUL-terminated text. */
static void show_string(display *out, slmi_text text)
{
    for (size_t i = 0; i < text.length;) {
        uint32_t code_point;
        const size_t n = slmi_utf8_decode(text.data + i, text.length - i, &code_point);
        if (n > 0 && code_point != 0) {
            show(out, text.data + i, n);
            i += n;
        } else {
            show(out, "\xEF\xBF\xBD", 3);
            i += n > 0 ? n : slmi_utf8_invalid_length(text.data + i, text.length - i);
        }
    }
}

/* The number that digits as "%g" writes them stand for. Exact if they are at most 15 and the
 * exponent is small, which is the case for what people write into metadata. */
static double parse_digits(const char *p)
{
    double mantissa = 0, scale = 1;
    int negative = 0, fraction = 0, exponent = 0;
    for (; *p != '\0' && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9') {
            mantissa = mantissa * 10 + (*p - '0');
            exponent -= fraction;
        } else if (*p == '-') {
            negative = 1;
        } else {
            fraction = 1;
        }
    }
    if (*p == 'e') {
        const int sign = p[1] == '-' ? -1 : 1;
        int written = 0;
        for (p += 2; *p >= '0' && *p <= '9'; p++) {
            written = written * 10 + (*p - '0');
        }
        exponent += sign * written;
    }
    for (int i = exponent < 0 ? -exponent : exponent; i > 0; i--) {
        scale *= 10;
    }
    mantissa = exponent < 0 ? mantissa / scale : mantissa * scale;
    return negative ? -mantissa : mantissa;
}

/* The shortest decimal that reads back as the same number, with a point in every locale. */
static void show_float(display *out, double value, int is_f32)
{
    char digits[64];
    const int most = is_f32 ? 9 : 17;
    for (int precision = 6;; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, value);
        const double read = isfinite(value) ? parse_digits(digits) : value;
        if (precision == most || (is_f32 ? (float)read == (float)value : read == value)) {
            break;
        }
    }
    for (const char *p = digits; *p != '\0';) {
        if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '+') {
            show(out, p++, 1);
            continue;
        }
        show(out, ".", 1);
        while (*p != '\0' && !(*p >= '0' && *p <= '9')) {
            p++;
        }
    }
}

static void show_scalar(display *out, const slmi_gguf_entry *entry)
{
    char number[32];
    if (entry->type == SLMI_GGUF_F32 || entry->type == SLMI_GGUF_F64) {
        show_float(out, slmi_gguf_array_float(entry, 0), entry->type == SLMI_GGUF_F32);
    } else if (entry->type == SLMI_GGUF_BOOL) {
        const char *word = entry->value[0] ? "true" : "false";
        show(out, word, strlen(word));
    } else {
        const int64_t value = slmi_gguf_array_int(entry, 0);
        const int n = entry->type == SLMI_GGUF_U64
                          ? snprintf(number, sizeof(number), "%" PRIu64, (uint64_t)value)
                          : snprintf(number, sizeof(number), "%" PRId64, value);
        show(out, number, (size_t)n);
    }
}

size_t slmi_gguf_format_value(const slmi_gguf_entry *entry, char *text)
{
    display out = { text, 0 };
    if (entry->type == SLMI_GGUF_ARRAY) {
        char summary[64];
        const int n = snprintf(summary, sizeof(summary), "[%s x %" PRIu64 "]",
                               type_names[entry->element_type], entry->count);
        show(&out, summary, (size_t)n);
    } else if (entry->type == SLMI_GGUF_STRING) {
        uint64_t position = 0;
        show_string(&out, slmi_gguf_next_string(entry, &position));
    } else {
        show_scalar(&out, entry);
    }
    if (text != NULL) {
        text[out.length] = '\0';
    }
    return out.length;
}
