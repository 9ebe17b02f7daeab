/* SPDX-License-Identifier: MIT */
/* A loaded model: its canonical plan with weights, its metadata as text, its identity. */
#ifndef SLMI_MODEL_MODEL_H
#define SLMI_MODEL_MODEL_H

#include <stdatomic.h>

#include "base/pool.h"
#include "format/gguf.h"
#include "format/sink.h"
#include "plan/plan.h"
#include "slm/model.h"

/* Numbers that describe a transformer; a family fills them while it writes its plan. */
typedef struct slmi_hyper {
    uint32_t n_layers;
    uint32_t width;          /* D */
    uint32_t n_heads;        /* H */
    uint32_t n_kv_heads;     /* K */
    uint32_t head_width;     /* d */
    uint32_t ffn_width;      /* F */
    uint32_t n_vocab;        /* V */
    uint32_t context_length;
    float norm_epsilon;
} slmi_hyper;

typedef struct slmi_tensor_entry {
    const char *name;
    const char *type;
    uint32_t n_dims;
    uint64_t dims[4];
    uint64_t bytes;
} slmi_tensor_entry;

struct slm_model {
    _Atomic uint32_t n_references;
    slmi_alloc alloc;
    slm_host host;            /* log and clock of the load options; the rest is in alloc and tasks */
    slm_tasks tasks;          /* of the load options; enqueue is NULL: own threads */
    slmi_hyper hyper;
    slmi_plan plan;
    slmi_map map;             /* of a file whose panels are used where they stand, else zeroed */
    uint64_t file_bytes;
    uint64_t n_parameters;
    uint64_t identity;        /* hash of directory, hyperparameters and samples of the weights */
    char architecture[32];
    const char *name;         /* general.name in texts */
    slmi_buffer texts;        /* NUL-terminated strings */
    const char **metadata;    /* [2 * n_metadata] keys and values in texts */
    uint32_t n_metadata;
    slmi_tensor_entry *tensors; /* [n_tensors] */
    uint32_t n_tensors;
    slm_tokenizer *tokenizer;   /* a reference that whoever made the model set and drops */
    const char *chat_template; /* in texts; NULL = none */
    size_t chat_template_length;
};

/* load.c: reads header, metadata, plan and weights. The tokenizer, a sibling, is the caller's to make
 * from the same gguf. `options` is our own full copy. */
slm_status slmi_model_create(const slmi_gguf *gguf, const slm_model_options *options,
                             slm_model **out, slm_error *err);

/* Whether slmi_model_create() would take the file, without looking at a matrix; also the tokenizer is not
 * looked at. Progress is not called. */
slm_status slmi_model_check(const slmi_gguf *gguf, const slm_model_options *options, slm_error *err);

/* convert.c: writes the file anew with stored panels. It is one that slmi_model_check() takes. Progress is
 * called as in loading. */
slm_status slmi_model_convert(const slmi_gguf *gguf, const slm_model_options *options, slmi_sink *sink,
                              slm_error *err);

/* Frees what slmi_model_create() made; the caller has dropped the last reference. */
void slmi_model_destroy(slm_model *model);

/* describe.c: copies what outlives the file. */
slm_status slmi_model_describe(slm_model *model, const slmi_gguf *gguf, slm_error *err);

/* For those who handle models without knowing what they are made of. */
slmi_alloc *slmi_model_alloc(const slm_model *model);
slm_tokenizer *slmi_model_tokenizer(const slm_model *model);

/* The chat template's text, or NULL and 0. */
const char *slmi_model_chat_template(const slm_model *model, size_t *length);

#endif
