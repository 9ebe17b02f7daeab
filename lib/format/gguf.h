/* SPDX-License-Identifier: MIT */
/* GGUF version 2 and 3: header, metadata and tensor directory, every byte bounds-checked.
 * Source: github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef SLMI_FORMAT_GGUF_H
#define SLMI_FORMAT_GGUF_H

#include "format/source.h"

/* Types of metadata values. */
enum {
    SLMI_GGUF_U8 = 0,
    SLMI_GGUF_I8 = 1,
    SLMI_GGUF_U16 = 2,
    SLMI_GGUF_I16 = 3,
    SLMI_GGUF_U32 = 4,
    SLMI_GGUF_I32 = 5,
    SLMI_GGUF_F32 = 6,
    SLMI_GGUF_BOOL = 7,
    SLMI_GGUF_STRING = 8,
    SLMI_GGUF_ARRAY = 9,
    SLMI_GGUF_U64 = 10,
    SLMI_GGUF_I64 = 11,
    SLMI_GGUF_F64 = 12
};

/* A piece of text inside the header; not NUL-terminated; lives as long as the slmi_gguf. */
typedef struct slmi_text {
    const char *data;
    size_t length;
} slmi_text;

typedef struct slmi_gguf_entry {
    slmi_text key;
    uint32_t type;         /* SLMI_GGUF_* */
    uint32_t element_type; /* of an array; arrays of arrays are refused */
    uint64_t count;        /* elements of an array, else 1 */
    const uint8_t *value;  /* first byte of the value, or of an array's first element */
    uint64_t value_bytes;  /* bytes at value; checked to lie inside the header */
    uint64_t offset;       /* position of value in the file, for errors */
} slmi_gguf_entry;

typedef struct slmi_gguf_tensor {
    slmi_text name;
    uint32_t n_dims;    /* 1..4 */
    int32_t type;       /* SLMK_*, or -1 for a type that is not known */
    uint32_t file_type; /* the file's own number */
    uint32_t is_panels; /* 1: a matrix stored in panels (gguf_panels.c); type and dims are the matrix's */
    uint64_t dims[4];   /* >= 1 each; dims[0] is the row length, a multiple of the type's block */
    uint64_t offset;    /* from the beginning of the file */
    uint64_t bytes;     /* in the file; 0 if the type is not known */
    uint64_t entry_offset; /* position of the directory entry, for errors */
} slmi_gguf_tensor;

typedef struct slmi_gguf_limits {
    uint64_t max_tensors;      /* 0 = 65,536 */
    uint64_t max_string_bytes; /* 0 = 16 MiB */
} slmi_gguf_limits;

typedef struct slmi_gguf {
    slmi_source *source;
    slmi_alloc *alloc;
    uint32_t version;
    uint32_t n_entries;
    uint32_t n_tensors;
    uint32_t alignment;
    uint32_t has_panels;         /* 1: a file that was written with stored panels */
    uint32_t reserved0;
    uint64_t data_offset;        /* beginning of the tensor data */
    slmi_gguf_entry *entries;    /* [n_entries] in file order */
    uint32_t *entries_by_key;    /* [n_entries] sorted */
    slmi_gguf_tensor *tensors;   /* [n_tensors] in file order */
    uint32_t *tensors_by_name;   /* [n_tensors] sorted */
    uint8_t *header;             /* the header's bytes, if the source is a reader; else NULL */
    size_t header_capacity;
} slmi_gguf;

/* Reads and checks header, metadata and directory: magic, version, sizes, names (unique),
 * alignment, every tensor inside the file and none overlapping another. Costs memory in
 * proportion to the bytes that are really there. On error the object is as slmi_gguf_close()
 * leaves it. The source is borrowed. */
slm_status slmi_gguf_open(slmi_gguf *gguf, slmi_source *source, const slmi_gguf_limits *limits,
                          slmi_alloc *alloc, slm_error *err);

/* A zeroed object does nothing. */
void slmi_gguf_close(slmi_gguf *gguf);

/* Metadata of files with stored panels. general.architecture says SLMI_PANELS_ARCHITECTURE there, so that
 * who does not know them does not take them for anything else. */
#define SLMI_PANELS_ARCHITECTURE "slm-panels"
#define SLMI_PANELS_KEYS "slm.panels." /* all of them begin so */
#define SLMI_PANELS_VERSION_KEY "slm.panels.version"       /* u32: SLMK_PANELS_VERSION */
#define SLMI_PANELS_MODEL_KEY "slm.panels.architecture"    /* string: the original's architecture */
#define SLMI_PANELS_TYPES_KEY "slm.panels.types"           /* u32 [n_tensors]: the original's type numbers */
#define SLMI_PANELS_SHAPES_KEY "slm.panels.shapes"         /* u64 [n_tensors][4]: its dims, 0 = none */

/* Alignment of stored panels. */
#define SLMI_PANELS_ALIGNMENT 64

/* The type number of a tensor of opaque bytes. */
#define SLMI_GGUF_BYTES_TYPE 24

/* The entry with this NUL-terminated key, or NULL. */
const slmi_gguf_entry *slmi_gguf_find(const slmi_gguf *gguf, const char *key);

/* The tensor with this NUL-terminated name, or NULL. */
const slmi_gguf_tensor *slmi_gguf_find_tensor(const slmi_gguf *gguf, const char *name);

/* Typed values. A missing key leaves *value as it is and returns SLM_OK, so defaults stand
 * before the call; a key of another type (any integer type serves for u32, any float type
 * for f32) or out of range is SLM_ERR_FORMAT with its position. */
slm_status slmi_gguf_get_u32(const slmi_gguf *gguf, const char *key, uint32_t *value,
                             slm_error *err);
slm_status slmi_gguf_get_f32(const slmi_gguf *gguf, const char *key, float *value, slm_error *err);
slm_status slmi_gguf_get_bool(const slmi_gguf *gguf, const char *key, uint32_t *value,
                              slm_error *err);
slm_status slmi_gguf_get_text(const slmi_gguf *gguf, const char *key, slmi_text *value,
                              slm_error *err);

/* An array of the given element type; *entry is NULL if the key is missing. */
slm_status slmi_gguf_get_array(const slmi_gguf *gguf, const char *key, uint32_t element_type,
                               const slmi_gguf_entry **entry, slm_error *err);

/* Walks an array of strings: *position begins at 0 and moves on; strings were checked when
 * opened. */
slmi_text slmi_gguf_next_string(const slmi_gguf_entry *entry, uint64_t *position);

/* Integer element i of an array of integers or booleans, as it stands. */
int64_t slmi_gguf_array_int(const slmi_gguf_entry *entry, uint64_t i);

/* Float element i of an array of f32 or f64. */
double slmi_gguf_array_float(const slmi_gguf_entry *entry, uint64_t i);

/* Writes an entry's value as NUL-terminated text, as slm_model_get_metadata() shows it ("[string x 32000]"
 * for arrays), and returns its length; NULL only measures. */
size_t slmi_gguf_format_value(const slmi_gguf_entry *entry, char *text);

/* Name of the file's type number, for example "Q4_K" or "IQ2_XXS", also for types that cannot be
 * loaded; "type 99" style names are not made: NULL if unknown. */
const char *slmi_gguf_type_name(uint32_t file_type);

#endif
