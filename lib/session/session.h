/* SPDX-License-Identifier: MIT */
/* A session from the inside: sequences, their pages, the batch in progress, events.
 *
 * N sequences at most, C tokens each at most; T tokens, W wanted rows and E guesses (more of both) a batch at
 * most; n threads. */
#ifndef SLMI_SESSION_SESSION_H
#define SLMI_SESSION_SESSION_H

#include "model/model.h"
#include "plan/exec.h"
#include "sampler/draw.h"
#include "session/draft.h"
#include "session/prefix.h"
#include "session/speculate.h"
#include "session/stream.h"
#include "slm/saved.h"
#include "slm/sequence.h"
#include "tokenizer/tokenizer.h"

/* All options with their defaults filled in. */
typedef struct slmi_session_config {
    uint32_t n_threads, context_length, n_sequences, batch_tokens, logit_rows, kv_type, top_logprobs;
    uint32_t n_guesses;
    uint32_t n_pages;
    uint32_t pages_per_sequence; /* ceil(C / 64) */
    uint64_t max_memory_bytes;
    const slmk_table *kernels;
    slm_host host;               /* allocator and tasks are NULL: they are in alloc and tasks */
    slm_tasks tasks;             /* enqueue is NULL: own threads */
} slmi_session_config;

/* What a sequence was asked to write. */
typedef struct slmi_generation {
    uint32_t active;
    uint32_t max_tokens; /* 0 = no limit */
    uint32_t flags;
    uint32_t n_top;
    uint32_t n_written;
    uint32_t waits;      /* for room, as SLM_FULL_WAIT has it: nothing is computed for it */
} slmi_generation;

/* SLM_SEQUENCE_* */
typedef struct slmi_params {
    uint32_t priority, full, keep, drop, window, sinks;
} slmi_params;

/* Keys and values on their way to other positions: tokens [first + n_removed, .. + n_moved) go to `first`.
 * The first n_hidden of them have none, for a window hid them. Slots before `slot` are done, and of that one
 * n_done tokens. */
typedef struct slmi_move {
    uint32_t active;
    uint32_t first, n_removed, n_moved, n_hidden;
    uint32_t slot, n_done;
} slmi_move;

/* Numbers of pages that lie elsewhere: in the sequence's prefix, or nowhere because a window hid them. */
#define SLMI_PREFIX_PAGE UINT32_MAX
#define SLMI_HIDDEN_PAGE (UINT32_MAX - 1)

typedef struct slmi_sequence {
    uint32_t in_use;
    uint32_t generation_number; /* of the id; grows with each use of the slot */
    uint32_t n_tokens;
    uint32_t n_computed;        /* tokens whose keys and values are in the pages */
    uint32_t n_requested;       /* tokens that were appended, not generated, and so must be computed */
    uint32_t n_pages;
    uint32_t n_prefix;          /* tokens at the beginning that are the prefix's */
    slm_prefix *prefix;         /* a reference; NULL = none */
    slmi_params params;
    slmi_move move;
    uint32_t n_waited;          /* batches that were made without it though it was ready */
    uint32_t n_changes;         /* changes that make rows of logits under way useless */
    int32_t *tokens;            /* [C] */
    uint8_t *wants_logits;      /* [ceil(C / 8)] a bit for each token */
    uint32_t *pages;            /* [pages_per_sequence] numbers of pages, or SLMI_*_PAGE */
    uint8_t **page_data;        /* [pages_per_sequence] where they lie; NULL = hidden */
    slmi_sampler_settings sampler;
    slmi_generation generation;
    slmi_stream stream;
    slmi_speculation speculation;
} slmi_sequence;

/* Whether the logits after a token are to be delivered. */
static inline int slmi_wants_logits(const slmi_sequence *sequence, uint32_t position)
{
    return sequence->wants_logits[position / 8] >> position % 8 & 1;
}

static inline void slmi_want_logits(slmi_sequence *sequence, uint32_t position, int wanted)
{
    const uint8_t bit = (uint8_t)(1u << position % 8);
    uint8_t *bits = &sequence->wants_logits[position / 8];
    *bits = (uint8_t)(wanted ? *bits | bit : *bits & ~bit);
}

/* A row of the batch whose logits are wanted. */
typedef struct slmi_wanted {
    uint32_t sequence; /* index */
    uint32_t position;
    uint32_t deliver;  /* 1: as an event; the last row of a sequence may be sampled from as well */
    uint32_t guess;    /* 0 = the token is the sequence's; else it is its guess number so and so, from 1 on */
    uint32_t area;     /* 0 = the sequence's own area for text; else the number of a guess's, from 1 on */
    uint32_t n_changes; /* of the sequence when the batch was made */

    /* What the draw found. */
    int finite;
    int32_t token;
    float logprob;
} slmi_wanted;

/* A draw under way, and then those of the guesses behind its row as long as they come true. Any worker may go
 * on with it, one at a time. */
typedef struct slmi_drawing {
    _Atomic uint32_t is_taken;
    uint32_t is_open; /* a row is being drawn from */
    uint32_t row;
    slmi_draw draw;
    slmi_sampler_scratch scratch;
} slmi_drawing;

/* Drafts for the next batch. */
enum { SLMI_DRAFTS_NONE, SLMI_DRAFTS_BEGUN, SLMI_DRAFTS_DONE };

/* A batch is made, computed, drawn from row by row, and committed: its tokens appended, its events told. */
enum { SLMI_PHASE_IDLE, SLMI_PHASE_COMPUTE, SLMI_PHASE_DRAW, SLMI_PHASE_COMMIT };

struct slm_session {
    slmi_alloc alloc;
    slm_model *model;
    slmi_session_config config;
    slmi_exec_plan exec_plan;
    slmi_exec exec;
    slmi_pool own_pool;    /* zeroed in a draft model's session */
    slmi_pool *pool;
    slm_session *draft;    /* of the draft model, on the same pool; NULL = none */
    uint32_t drafts;       /* SLMI_DRAFTS_* */
    uint8_t *arena;        /* everything below lies in it */
    size_t arena_bytes;
    uint32_t busy;         /* a step is in progress: calls from callbacks are refused */
    _Atomic uint32_t release_when_idle;
    _Atomic uint32_t cancel;

    slmi_sequence *sequences;  /* [N] */
    uint8_t *page_memory;      /* [n_pages + n_spares][page_bytes] */
    uint32_t *page_references; /* [n_pages + n_spares] */
    uint32_t *free_pages;      /* [n_pages], the first n_free_pages are free */
    uint32_t n_free_pages;
    uint32_t *spares;          /* [n_spares] pages beside the pool, for guesses behind a last page */
    uint32_t n_spares, n_spares_taken;

    uint32_t phase;
    uint32_t next_sequence;    /* where the search for work begins, for fairness */
    int32_t *batch_tokens;     /* [T + E] */
    uint32_t *batch_positions; /* [T + E] */
    uint8_t **batch_row_pages; /* [T + E] */
    uint32_t *batch_wanted;    /* [W + E] */
    slmi_wanted *wanted;       /* [W + E] */
    uint32_t n_batch_guesses;  /* among the rows of the batch */
    slmi_gain gain;
    slmi_run *runs;            /* [N] */
    uint32_t *run_sequences;   /* [N] */
    uint32_t *run_tiles;       /* [N + 1] */
    uint32_t *ready;           /* [N] sequences in the order in which the batch takes them */
    slmi_batch batch;
    slmi_drawing *drawings;    /* [n] */
    _Atomic uint32_t next_draw; /* first row that nobody draws from yet */
    _Atomic uint32_t n_drawn;   /* rows that are no guesses, and with each the guesses behind it */
    uint32_t next_commit;      /* first row that has not been committed */
    uint32_t n_moving;         /* sequences with a move */
    uint8_t *kv_panel;         /* a panel of keys of the largest type, to convert one */
    float *kv_row;             /* [3 d] a key or value, and angles */
    _Atomic uint32_t *cancelled; /* [N] generation number of the sequence to cancel; 0 = none */
    _Atomic uint32_t any_cancelled;

    slm_event *events;         /* [3 N + W + E] */
    uint32_t n_events, next_event;
    char *event_text;          /* [2 N + E][stream bytes], two areas for each sequence, and one for a guess */
    int32_t *top_tokens;       /* [W + E][top_logprobs] */
    float *top_logprobs;       /* [W + E][top_logprobs] */
};

/* create.c */
slm_status slmi_session_estimate(const slm_model *model, const slm_session_options *options,
                                 slm_session_memory *memory, slm_error *err);
slm_status slmi_session_create(slm_model *model, const slm_session_options *options,
                               slm_session **out, slm_error *err);
void slmi_session_destroy(slm_session *session);

/* sequence.c: ids and tokens. Statuses as the public calls of the same names. */
slm_status slmi_sequence_find(const slm_session *session, slm_sequence id, slmi_sequence **out,
                              slm_error *err);
slm_sequence slmi_sequence_id(const slm_session *session, const slmi_sequence *sequence);
slm_status slmi_sequence_add(slm_session *session, slmi_sequence **out, slm_error *err);
slm_status slmi_sequence_fork(slm_session *session, const slmi_sequence *source, slmi_sequence **out,
                              slm_error *err);
void slmi_sequence_remove(slm_session *session, slmi_sequence *sequence);
slm_status slmi_sequence_truncate(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens,
                                  slm_error *err);
slm_status slmi_sequence_append(slm_session *session, slmi_sequence *sequence, const int32_t *tokens,
                                size_t n_tokens, uint32_t flags, slm_error *err);
slm_status slmi_sequence_append_prefix(slm_session *session, slmi_sequence *sequence,
                                       slm_prefix *prefix, slm_error *err);
slm_status slmi_sequence_check_tokens(const slm_session *session, const int32_t *tokens,
                                      size_t n_tokens, slm_error *err);

/* replace.c: other tokens in the place of some; keys that move; what a full context asks for. */
slm_status slmi_sequence_replace(slm_session *session, slmi_sequence *sequence, uint32_t first,
                                 uint32_t n_removed, const int32_t *tokens, uint32_t n_tokens,
                                 uint32_t flags, slm_error *err);

/* Makes room as SLM_FULL_SHIFT has it and tells which tokens went; SLM_ERR_CONTEXT_FULL if all have to
 * stay. */
slm_status slmi_sequence_make_room(slm_session *session, slmi_sequence *sequence, uint32_t *first,
                                   uint32_t *n_removed, slm_error *err);

/* move.c: goes on with keys that move until all are there (1) or the deadline is past (0). Does some work in
 * any case. */
int slmi_moves_run(slm_session *session, uint64_t deadline);
void slmi_move_begin(slm_session *session, slmi_sequence *sequence, uint32_t first, uint32_t n_removed,
                     uint32_t n_hidden);

/* Gives a move up: what has not arrived is computed again. */
void slmi_move_abandon(slm_session *session, slmi_sequence *sequence);

/* Tokens that are computed once the move has ended; n_computed if there is none. */
uint32_t slmi_move_end(const slmi_sequence *sequence);

/* pages.c: the sequence's share of the cache. */

/* Makes sure that the pages of tokens [first, end) exist and belong to this sequence alone. */
slm_status slmi_pages_own(slm_session *session, slmi_sequence *sequence, uint32_t first, uint32_t end,
                          slm_error *err);

/* Gives pages from n_kept on back. */
void slmi_pages_drop(slm_session *session, slmi_sequence *sequence, uint32_t n_kept);

/* Gives back what the sequence's window hides from all tokens from position `first` on. */
void slmi_pages_hide(slm_session *session, slmi_sequence *sequence, uint32_t first);

/* Shares all pages of source with an empty sequence, or all pages of a prefix. */
void slmi_pages_share(slm_session *session, const slmi_sequence *source, slmi_sequence *copy);
void slmi_pages_share_prefix(slmi_sequence *sequence, slm_prefix *prefix);

/* Adds hidden pages up to token `end`, a multiple of 64. */
void slmi_pages_add_hidden(slmi_sequence *sequence, uint32_t end);

/* Behind the last page that is hidden; 0 = none is. */
uint32_t slmi_pages_hidden_end(const slmi_sequence *sequence);

/* Takes computed tokens from n_kept on back, so that they are computed again (all tokens if a window hid
 * pages that they see), and makes the pages of all that is not computed of n_tokens, which the sequence is
 * about to have, its own. SLM_ERR_BUDGET: there are not enough pages, and nothing changed. */
slm_status slmi_pages_rewind(slm_session *session, slmi_sequence *sequence, uint32_t n_kept,
                             uint32_t n_tokens, slm_error *err);

/* params.c */
slm_status slmi_params_set(slm_session *session, slmi_sequence *sequence, uint32_t param,
                           uint32_t value, slm_error *err);
slm_status slmi_params_get(const slmi_sequence *sequence, uint32_t param, uint32_t *value,
                           slm_error *err);
slm_status slmi_params_info(uint32_t index, uint32_t *param, slm_param_info *info, slm_error *err);
slm_status slmi_params_check(const slmi_params *params, slm_error *err);
void slmi_params_default(slmi_params *params);

/* generate.c: beginning a generation, and one token of it. */
slm_status slmi_generation_begin(slm_session *session, slmi_sequence *sequence,
                                 const slm_generate_options *options, slm_error *err);
void slmi_generation_end(slm_session *session, slmi_sequence *sequence, uint32_t reason,
                         slm_status status);

/* Takes the token that was drawn from a row. */
slm_status slmi_generation_take(slm_session *session, slmi_sequence *sequence, uint32_t row,
                                slm_error *err);
slm_event *slmi_event_add(slm_session *session, uint32_t type, const slmi_sequence *sequence);

/* batch.c: chooses tokens for the next batch; 0 if there is nothing to do. */
int slmi_batch_make(slm_session *session);
int slmi_session_has_work(const slm_session *session);

/* Sequences in session->ready if all that are ready write; else 0. */
uint32_t slmi_batch_writing(slm_session *session);

/* Has a sequence leave the batch in progress before it changes: while the batch is computed, which writes
 * into pages, the batch is dropped; later the sequence's rows are. Its tokens remain to be computed. */
void slmi_batch_leave(slm_session *session, slmi_sequence *sequence);

/* Drops the batch in progress; its tokens remain to be computed. */
void slmi_batch_abandon(slm_session *session);

/* draws.c: draws from the batch's rows until all are drawn (1) or the deadline is past (0). */
void slmi_draws_begin(slm_session *session);
int slmi_draws_run(slm_session *session, uint64_t deadline);
void slmi_draws_abandon(slm_session *session);

/* The sequence has changed: nobody draws a token for it any more. */
void slmi_draws_leave(slm_session *session, const slmi_sequence *sequence);

/* step.c */
slm_status slmi_session_step(slm_session *session, uint64_t budget_us, slm_error *err);

/* The same up to a time of the session's clock; 0 = a whole batch. The pool is started. */
slm_status slmi_session_advance(slm_session *session, uint64_t deadline, slm_error *err);

/* save.c, restore.c; the format stands in blob.h. */
slm_status slmi_sequence_save(const slm_session *session, const slmi_sequence *sequence,
                              const slm_save_options *options, uint8_t *blob, size_t capacity,
                              size_t *length, slm_error *err);
slm_status slmi_sequence_restore(slm_session *session, const uint8_t *blob, size_t length,
                                 slm_prefix *prefix, slmi_sequence **out, slm_error *err);

#endif
