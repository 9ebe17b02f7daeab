/* SPDX-License-Identifier: MIT */
/* Tiny random models as GGUF files in memory: three families, any weight type, a vocabulary of bytes. */
#ifndef SLM_TESTS_TINY_MODEL_H
#define SLM_TESTS_TINY_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "support/gguf_builder.h"

/* Numbers of ggml's tensor types that the tests use. */
enum {
    TINY_F32 = 0, TINY_F16 = 1, TINY_Q4_0 = 2, TINY_Q8_0 = 8,
    TINY_Q4_K = 12, TINY_Q6_K = 14, TINY_BF16 = 30
};

/* The vocabulary: unknown, begin, end, 256 bytes, a space, the letters, a long control token. */
enum {
    TINY_UNKNOWN = 0, TINY_BEGIN = 1, TINY_END = 2, TINY_BYTE = 3,
    TINY_SPACE = 259, TINY_LETTER = 260, TINY_CONTROL = 286, TINY_VOCAB = 287
};

/* Zero means the default in brackets, so `{ 0 }` is a llama model of 2 layers in float32. */
typedef struct tiny_model {
    const char *family;       /* ["llama"] "qwen2" or "qwen3" */
    uint32_t type;            /* ggml number of all matrices' type */
    uint32_t n_layers;        /* [2] */
    uint32_t width;           /* [64] */
    uint32_t n_heads;         /* [4] */
    uint32_t n_kv_heads;      /* [2] */
    uint32_t ffn_width;       /* [96], with K types [256] */
    uint32_t context_length;  /* [512] */
    uint32_t n_vocab;         /* [TINY_VOCAB] or more, the rest of them like the letters */
    uint32_t seed;
    uint32_t version;         /* [3] of the file's format */
    uint32_t alignment;       /* [32] of the tensors; another one stands in the metadata */
    const char *left_out;     /* name of a tensor that is not written */
    const char *misshapen;    /* name of a tensor that gets a column too many */
    const char *changed;      /* name of a tensor whose last element is another */
    int32_t broken_token;     /* the embedding of this token, if not 0, is NaN; float32 only */
    uint32_t own_head;        /* 1: output.weight exists */
    uint32_t is_flat;         /* 1: layers add nothing: what they end in is zero; float32 only */
    void (*extend)(gguf_builder *builder); /* adds metadata or tensors; may be NULL */
} tiny_model;

/* The file, to be given back with free(). The same description gives the same bytes. */
uint8_t *tiny_model_make(const tiny_model *model, size_t *size);

#endif
