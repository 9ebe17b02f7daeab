/* SPDX-License-Identifier: MIT */
/* A session from the inside: sequences, their pages, the batch in progress, events.
 *
 * N sequences at most, C tokens each at most; T tokens and W wanted rows a batch at most. */
#ifndef SLMI_SESSION_SESSION_H
#define SLMI_SESSION_SESSION_H

#include "model/model.h"
#include "plan/exec.h"
#include "sampler/sampler.h"
#include "session/stream.h"
#include "slm/session.h"
#include "tokenizer/tokenizer.h"

/* All options with their defaults filled in. */
typedef struct slmi_session_config {
    uint32_t n_threads, context_length, n_sequences, batch_tokens, logit_rows, kv_type, top_logprobs;
    uint32_t n_pages;
    uint32_t pages_per_sequence; /* ceil(C / 64) */
    uint64_t max_memory_bytes;
    const slmk_table *kernels;
    slm_host host;               /* allocator pointer NULL: the allocator is in the session's alloc */
} slmi_session_config;

/* What a sequence was asked to write. */
typedef struct slmi_generation {
    uint32_t active;
    uint32_t max_tokens; /* 0 = no limit */
    uint32_t flags;
    uint32_t n_top;
    uint32_t n_written;
} slmi_generation;

typedef struct slmi_sequence {
    uint32_t in_use;
    uint32_t generation_number; /* of the id; grows with each use of the slot */
    uint32_t n_tokens;
    uint32_t n_computed;        /* tokens whose keys and values are in the pages */
    uint32_t n_requested;       /* tokens that were appended, not generated, and so must be computed */
    uint32_t n_pages;
    int32_t *tokens;            /* [C] */
    uint8_t *wants_logits;      /* [ceil(C / 8)] a bit for each token */
    uint32_t *pages;            /* [pages_per_sequence] numbers of pages */
    uint8_t **page_data;        /* [pages_per_sequence] where they lie */
    slmi_sampler_settings sampler;
    slmi_generation generation;
    slmi_stream stream;
} slmi_sequence;

/* A row of the batch whose logits are wanted. */
typedef struct slmi_wanted {
    uint32_t sequence; /* index */
    uint32_t position;
    uint32_t deliver;  /* 1: as an event; the last row of a sequence may be sampled from as well */
} slmi_wanted;

enum { SLMI_PHASE_IDLE, SLMI_PHASE_COMPUTE, SLMI_PHASE_SAMPLE };

struct slm_session {
    slmi_alloc alloc;
    slm_model *model;
    slmi_session_config config;
    slmi_exec_plan exec_plan;
    slmi_exec exec;
    slmi_pool pool;
    uint8_t *arena;        /* everything below lies in it */
    size_t arena_bytes;
    uint32_t has_barrier;
    uint32_t busy;         /* a step is in progress: calls from callbacks are refused */
    _Atomic uint32_t release_when_idle;
    _Atomic uint32_t cancel;

    slmi_sequence *sequences;  /* [N] */
    uint8_t *page_memory;      /* [n_pages][page_bytes] */
    uint32_t *page_references; /* [n_pages] */
    uint32_t *free_pages;      /* [n_pages], the first n_free_pages are free */
    uint32_t n_free_pages;

    uint32_t phase;
    uint32_t next_sequence;    /* where the search for work begins, for fairness */
    int32_t *batch_tokens;     /* [T] */
    uint32_t *batch_positions; /* [T] */
    uint8_t **batch_row_pages; /* [T] */
    uint32_t *batch_wanted;    /* [W] */
    slmi_wanted *wanted;       /* [W] */
    slmi_run *runs;            /* [N] */
    uint32_t *run_sequences;   /* [N] */
    uint32_t *run_tiles;       /* [N + 1] */
    slmi_batch batch;
    uint32_t next_wanted;      /* first row that has not been delivered or sampled */

    slmi_sampler_scratch sampler_scratch;
    slm_event *events;         /* [2 N + W] */
    uint32_t n_events, next_event;
    char *event_text;          /* [N][2 * stream bytes], an area for each sequence */
    int32_t *top_tokens;       /* [N][top_logprobs] */
    float *top_logprobs;       /* [N][top_logprobs] */
};

/* create.c */
slm_status slmi_session_estimate(const slm_model *model, const slm_session_options *options,
                                 slm_session_memory *memory, slm_error *err);
slm_status slmi_session_create(slm_model *model, const slm_session_options *options,
                               slm_session **out, slm_error *err);
void slmi_session_destroy(slm_session *session);

/* sequence.c: ids, tokens, pages. Statuses as the public calls of the same names. */
slm_status slmi_sequence_find(const slm_session *session, slm_sequence id, slmi_sequence **out,
                              slm_error *err);
slm_sequence slmi_sequence_id(const slm_session *session, const slmi_sequence *sequence);
slm_status slmi_sequence_add(slm_session *session, slmi_sequence **out, slm_error *err);
slm_status slmi_sequence_fork(slm_session *session, const slmi_sequence *source, slmi_sequence **out,
                              slm_error *err);
void slmi_sequence_remove(slm_session *session, slmi_sequence *sequence);
void slmi_sequence_truncate(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens);
slm_status slmi_sequence_append(slm_session *session, slmi_sequence *sequence, const int32_t *tokens,
                                size_t n_tokens, uint32_t flags, slm_error *err);

/* Makes sure that the pages of tokens [n_computed, n_tokens) exist and belong to this sequence alone. */
slm_status slmi_sequence_own_pages(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens,
                                   slm_error *err);

/* generate.c: beginning a generation, and one token of it. */
slm_status slmi_generation_begin(slm_session *session, slmi_sequence *sequence,
                                 const slm_generate_options *options, slm_error *err);
void slmi_generation_end(slm_session *session, slmi_sequence *sequence, uint32_t reason,
                         slm_status status);
slm_status slmi_generation_sample(slm_session *session, slmi_sequence *sequence, const float *logits,
                                  slm_error *err);
slm_event *slmi_event_add(slm_session *session, uint32_t type, const slmi_sequence *sequence);

/* batch.c: chooses tokens for the next batch; 0 if there is nothing to do. */
int slmi_batch_make(slm_session *session);
int slmi_session_has_work(const slm_session *session);

/* 1 if the batch in progress computes tokens of this sequence. */
int slmi_batch_holds(const slm_session *session, const slmi_sequence *sequence);

/* Drops the batch in progress; its tokens remain to be computed. */
void slmi_batch_abandon(slm_session *session);

/* step.c */
slm_status slmi_session_step(slm_session *session, uint64_t budget_us, slm_error *err);

/* save.c */
slm_status slmi_sequence_save(const slm_session *session, const slmi_sequence *sequence, uint8_t *blob,
                              size_t capacity, size_t *length, slm_error *err);
slm_status slmi_sequence_restore(slm_session *session, const uint8_t *blob, size_t length,
                                 slmi_sequence **out, slm_error *err);

#endif
