/* SPDX-License-Identifier: MIT */
/* Running a model: a session holds sequences of tokens and advances all of them step by step. */
#ifndef SLM_SESSION_H
#define SLM_SESSION_H

#include "slm/base.h"
#include "slm/model.h"
#include "slm/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A model at work: its workers, its memory and 1 to N sequences. Confined.
 *
 * The same model, tokens and seed give the same bits whatever the number of threads, the sequences
 * that happen to run beside, the way a prompt was split over calls, and the processor level.
 */
typedef struct slm_session slm_session;

/** Names a sequence of a session: 8 bytes, index and generation, never reused. 0 = no sequence. */
typedef uint64_t slm_sequence;

/** Number types of the key and value cache. */
enum { SLM_KV_F16 = 0, SLM_KV_F32 = 1 };

/** How to create a session. */
typedef struct slm_session_options {
    uint32_t struct_size;      /**< sizeof(slm_session_options) */
    uint32_t n_threads;        /**< threads, the caller included; 1..256; 0 = all cores */
    uint32_t context_length;   /**< tokens a sequence can hold; 1..the model's; 0 = min(model's, 4096) */
    uint32_t n_sequences;      /**< sequences that can exist at once, 1..65,535; 0 = 1 */
    uint32_t pool_tokens;      /**< tokens of cache for all sequences together, rounded up to pages of
                                    64; 0 = n_sequences full contexts. A smaller pool serves many short
                                    sequences; when it is used up a sequence ends with SLM_ERR_BUDGET */
    uint32_t batch_tokens;     /**< tokens computed together at most, 1..4096; 0 = 256 */
    uint32_t logit_rows;       /**< rows of logits a step can deliver; 0 = n_sequences */
    uint32_t kv_type;          /**< SLM_KV_F16 or SLM_KV_F32 */
    uint32_t cpu_level;        /**< SLM_CPU_*: use at most this level; 0 = best */
    uint32_t top_logprobs;     /**< largest n_top a generation may ask for, 0..64 */
    uint64_t max_memory_bytes; /**< refuse to be created if more memory is needed; 0 = no limit */
    const slm_host *host;      /**< host services; NULL = the model's; copied */
    const void *reserved0;     /**< NULL */
} slm_session_options;

#define SLM_SESSION_OPTIONS_INIT { sizeof(slm_session_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL }

/** Bytes that a session takes; everything is allocated at creation, nothing while stepping. */
typedef struct slm_session_memory {
    uint32_t struct_size;   /**< sizeof(slm_session_memory), set by the caller */
    uint32_t n_pages;       /**< pages of the cache */
    uint64_t total_bytes;   /**< all of it, exact */
    uint64_t kv_bytes;      /**< key and value cache */
    uint64_t scratch_bytes; /**< activations of a batch */
    uint64_t logit_bytes;   /**< logits */
    uint64_t page_bytes;    /**< one page: the cache of 64 tokens */
} slm_session_memory;

#define SLM_SESSION_MEMORY_INIT { sizeof(slm_session_memory), 0, 0, 0, 0, 0, 0 }

/**
 * Tells the memory that slm_session_create() would take with the same arguments, without taking it.
 *
 * @param memory  [out] filled up to memory->struct_size.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT; SLM_ERR_UNSUPPORTED (cpu_level of another processor);
 *         SLM_ERR_OUT_OF_MEMORY.
 *
 * Threads: shared (model). Memory: some scratch during the call. Since: 0.1
 */
SLM_API slm_status slm_session_estimate(const slm_model *model, const slm_session_options *options,
                                        slm_session_memory *memory, slm_error *err);

/**
 * Creates a session without sequences.
 *
 * @param model    [in] not NULL; the session keeps a reference.
 * @param options  [in] NULL = defaults.
 * @param session  [out] to be released with slm_session_release(); NULL unless SLM_OK.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT; SLM_ERR_OUT_OF_MEMORY; SLM_ERR_BUDGET
 *         (max_memory_bytes); SLM_ERR_UNSUPPORTED (cpu_level of another processor); SLM_ERR_SYSTEM (no
 *         more locks).
 *
 * Threads: shared (model). Worker threads start at the first step; when no call is in progress they
 * sleep, after a spin of some 20 us. Memory: as slm_session_estimate(). Since: 0.1
 */
SLM_API slm_status slm_session_create(slm_model *model, const slm_session_options *options,
                                      slm_session **session, slm_error *err);

/** Ends the workers and frees the session and its sequences; called from a callback of the session's own
 *  step, that step does so when it ends. NULL does nothing. Threads: confined. Since: 0.1 */
SLM_API void slm_session_release(slm_session *session);

/** Borrows the session's model. @return NULL for a NULL session. Threads: confined. Since: 0.1 */
SLM_API slm_model *slm_session_get_model(const slm_session *session);

/**
 * Adds an empty sequence.
 *
 * @param sequence  [out] its id; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_BUDGET (n_sequences exist already); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_add_sequence(slm_session *session, slm_sequence *sequence,
                                            slm_error *err);

/**
 * Adds a sequence that begins as a copy of another: tokens, cache and sampler. Full pages of the
 * cache are shared, not copied, so a prefix is stored once. The copy has no generation in progress.
 *
 * @param source    [in] an existing sequence.
 * @param sequence  [out] the copy's id; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_BUDGET (sequences or pages used up).
 *
 * Threads: confined. Cost: at most one page copied. Since: 0.1
 */
SLM_API slm_status slm_session_fork_sequence(slm_session *session, slm_sequence source,
                                             slm_sequence *sequence, slm_error *err);

/** Removes a sequence; its id becomes stale. @return SLM_OK; SLM_ERR_STALE_ID. Threads: confined.
 *  Since: 0.1 */
SLM_API slm_status slm_session_remove_sequence(slm_session *session, slm_sequence sequence,
                                               slm_error *err);

/** Bits for slm_session_append(). */
enum {
    SLM_APPEND_LOGITS = 1 /**< deliver an SLM_EVENT_LOGITS for each of these tokens */
};

/**
 * Appends tokens to a sequence; they are computed by the steps that follow. A generation in progress
 * on the sequence ends first, without an event.
 *
 * @param tokens    [in] int32 [n_tokens], ids in [0, n_vocab).
 * @param flags     0 or SLM_APPEND_LOGITS.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE (an id is not in the vocabulary; offset = its
 *         index); SLM_ERR_CONTEXT_FULL (more than fit); SLM_ERR_BUDGET (pool_tokens is used up);
 *         SLM_ERR_INVALID_ARGUMENT. On error nothing was appended.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_append(slm_session *session, slm_sequence sequence,
                                      const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                      slm_error *err);

/**
 * Encodes text and appends its tokens.
 *
 * @param text   [in] UTF-8 [length].
 * @param flags  SLM_TEXT_* bits; SLM_TEXT_ADD_SPECIAL has an effect only on an empty sequence.
 * @return as slm_tokenizer_encode(), but SLM_ERR_CONTEXT_FULL if the ids do not fit, and as
 *         slm_session_append(); nothing was appended on error.
 *
 * Threads: confined. Memory: scratch during the call. Since: 0.1
 */
SLM_API slm_status slm_session_append_text(slm_session *session, slm_sequence sequence,
                                           const char *text, size_t length, uint32_t flags,
                                           slm_error *err);

/**
 * Gives a sequence a copy of a sampler's settings. Without this call a sequence has the defaults of
 * slm_sampler_create().
 *
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_INVALID_ARGUMENT (NULL, or another vocabulary size).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_set_sampler(slm_session *session, slm_sequence sequence,
                                           const slm_sampler *sampler, slm_error *err);

/** What to generate. */
typedef struct slm_generate_options {
    uint32_t struct_size;  /**< sizeof(slm_generate_options) */
    uint32_t max_tokens;   /**< tokens to write at most; 0 = until an end token or a full context */
    uint32_t flags;        /**< SLM_GENERATE_* bits */
    uint32_t n_top;        /**< deliver the n most probable tokens with each; at most top_logprobs */
    const char *const *stop; /**< [n_stop] NUL-terminated UTF-8 texts that end the generation and are
                                  not delivered; copied; each 1..255 bytes */
    uint32_t n_stop;       /**< at most 16 */
    uint32_t reserved0;    /**< 0 */
} slm_generate_options;

#define SLM_GENERATE_OPTIONS_INIT { sizeof(slm_generate_options), 0, 0, 0, NULL, 0, 0 }

enum {
    SLM_GENERATE_IGNORE_END = 1,  /**< go on after end tokens */
    SLM_GENERATE_SHOW_SPECIAL = 2 /**< control tokens appear as their text */
};

/**
 * Asks for text: once the sequence's appended tokens are computed, each step samples one token.
 * Replaces a generation in progress on the sequence.
 *
 * @param options  [in] NULL = defaults; copied.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_STATE (the sequence is empty); SLM_ERR_CONTEXT_FULL (no
 *         room for one token); SLM_ERR_INVALID_UTF8 (a stop text); SLM_ERR_BUDGET (pool_tokens is used
 *         up); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_generate(slm_session *session, slm_sequence sequence,
                                        const slm_generate_options *options, slm_error *err);

/**
 * Does work: computes appended tokens of all sequences in batches and samples for those that
 * generate. Returns after one batch, so tokens stream, or when the budget is used up, which may be
 * anywhere inside a layer; the next step goes on from there. Events of the step before are dropped.
 *
 * @param budget_us  microseconds after which no further piece of work is begun; 0 = a whole batch.
 * @return SLM_MORE (work remains); SLM_OK (all appended tokens are computed and nothing generates);
 *         SLM_CANCELLED (slm_session_cancel() was called); SLM_ERR_NOT_FINITE, SLM_ERR_BUDGET (a
 *         sequence met this: its done or logits event has that status; the other sequences went on
 *         and the next step goes on with them); SLM_ERR_BUSY (called from a callback);
 *         SLM_ERR_SYSTEM (a worker thread could not be started; nothing changed).
 *
 * Threads: confined; the session's workers run parts of it and are parked when it returns.
 * Memory: none. Numbers: exact. Since: 0.1
 */
SLM_API slm_status slm_session_step(slm_session *session, uint64_t budget_us, slm_error *err);

/** Kinds of events. */
enum {
    SLM_EVENT_TOKEN = 1,  /**< a token was generated */
    SLM_EVENT_LOGITS = 2, /**< the logits after one appended token */
    SLM_EVENT_DONE = 3    /**< a generation ended */
};

/** Why a generation ended. */
enum {
    SLM_DONE_LENGTH = 1,       /**< max_tokens were written */
    SLM_DONE_END = 2,          /**< an end token */
    SLM_DONE_STOP = 3,         /**< a stop text */
    SLM_DONE_CONTEXT_FULL = 4, /**< the context is full */
    SLM_DONE_CANCELLED = 5,    /**< slm_session_cancel() */
    SLM_DONE_ERROR = 6         /**< see status */
};

/** Something that a step brought about. Pointers are valid until the next call that changes the
 *  session. */
typedef struct slm_event {
    uint32_t struct_size;  /**< sizeof(slm_event), set by the caller */
    uint32_t type;         /**< SLM_EVENT_* */
    slm_sequence sequence; /**< which sequence */
    uint32_t position;     /**< TOKEN, LOGITS: 0-based position of the token in the sequence */
    int32_t token;         /**< TOKEN, LOGITS: the token's id */
    const char *text;      /**< TOKEN, DONE: text that became certain, whole characters only; what may
                                be the beginning of a stop text is held back; not NUL-terminated */
    size_t text_length;    /**< bytes; 0 is usual while a character is incomplete */
    float logprob;         /**< TOKEN: log-probability under the model's own distribution */
    uint32_t n_top;        /**< TOKEN: entries in top_tokens and top_logprobs */
    const int32_t *top_tokens;  /**< [n_top] most probable tokens, best first */
    const float *top_logprobs;  /**< [n_top] their log-probabilities */
    const float *logits;   /**< LOGITS: float32 [n_logits], not normalised; NULL after an error */
    const void *reserved0; /**< NULL */
    uint32_t n_logits;     /**< LOGITS: vocabulary size; 0 after an error */
    uint32_t reason;       /**< DONE: SLM_DONE_* */
    slm_status status;     /**< DONE: the error for SLM_DONE_ERROR; LOGITS: SLM_ERR_NOT_FINITE if they
                                are not finite; else SLM_OK */
    uint32_t n_generated;  /**< DONE: tokens that this generation wrote */
} slm_event;

#define SLM_EVENT_INIT \
    { sizeof(slm_event), 0, 0, 0, 0, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0 }

/**
 * Takes the next event of the last step, oldest first.
 *
 * @param event  [out] filled up to event->struct_size.
 * @return SLM_OK; SLM_END (no more); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_get_event(slm_session *session, slm_event *event, slm_error *err);

/** State of a sequence. */
typedef struct slm_sequence_info {
    uint32_t struct_size;   /**< sizeof(slm_sequence_info), set by the caller */
    uint32_t n_tokens;      /**< tokens in the sequence, computed or not */
    uint32_t n_computed;    /**< tokens whose cache is there */
    uint32_t is_generating; /**< 1 while a generation is in progress */
    const int32_t *tokens;  /**< [n_tokens], valid until the next call that changes the session */
} slm_sequence_info;

#define SLM_SEQUENCE_INFO_INIT { sizeof(slm_sequence_info), 0, 0, 0, NULL }

/**
 * Describes a sequence.
 *
 * @param info  [out] filled up to info->struct_size.
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_get_sequence_info(const slm_session *session, slm_sequence sequence,
                                                 slm_sequence_info *info, slm_error *err);

/**
 * Cuts a sequence back to its first n_tokens tokens, for example to answer a changed question. A
 * generation in progress on it ends without an event.
 *
 * @return SLM_OK; SLM_ERR_STALE_ID; SLM_ERR_OUT_OF_RANGE (more than the sequence has).
 *
 * Threads: confined. Since: 0.1
 */
SLM_API slm_status slm_session_truncate_sequence(slm_session *session, slm_sequence sequence,
                                                 uint32_t n_tokens, slm_error *err);

/**
 * Stops work from any thread: the step in progress, or else the next one, returns SLM_CANCELLED soon
 * (between two pieces of work, about 50 us, or after the sampling of one token). All generations end with
 * a done event. Tokens whose computation was cut short remain appended and are computed by later steps.
 *
 * @param session  [in] not NULL; must not be released meanwhile.
 *
 * Threads: any, also while a step is in progress. Since: 0.1
 */
SLM_API void slm_session_cancel(slm_session *session);

/**
 * Writes a sequence (its tokens and their cache, not its sampler) as a checksummed blob.
 *
 * @param blob      [out] [capacity] bytes; may be NULL when capacity is 0.
 * @param length    [out] bytes needed, also when they do not fit; not NULL.
 * @return SLM_OK; SLM_ERR_BUFFER_TOO_SMALL (*length = needed); SLM_ERR_STALE_ID;
 *         SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Cost: a copy of the cache. Since: 0.1
 */
SLM_API slm_status slm_session_save_sequence(const slm_session *session, slm_sequence sequence,
                                             void *blob, size_t capacity, size_t *length,
                                             slm_error *err);

/**
 * Adds a sequence from a blob. All or nothing: on error the session is as it was.
 *
 * @param blob      [in] what slm_session_save_sequence() wrote, by this or an older version.
 * @param sequence  [out] the new sequence; 0 unless SLM_OK.
 * @return SLM_OK; SLM_ERR_FORMAT, SLM_ERR_TRUNCATED, SLM_ERR_CHECKSUM (damaged; offset says where);
 *         SLM_ERR_MISMATCH (another model, told by
 *         its shape and samples of its weights, or another KV type); SLM_ERR_UNSUPPORTED (written by a
 *         newer version); SLM_ERR_CONTEXT_FULL; SLM_ERR_BUDGET (sequences or pages used up);
 *         SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_restore_sequence(slm_session *session, const void *blob, size_t length,
                                                slm_sequence *sequence, slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
