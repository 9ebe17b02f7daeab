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

/** Number types of the key and value cache, with the bytes of a number. Q8 and Q4 share a scale among 32
 * neighbours of a token's head; what they cost in accuracy is in docs/evaluation.md. */
enum {
    SLM_KV_F16 = 0, /**< half precision, 2 bytes */
    SLM_KV_F32 = 1, /**< single precision, 4 bytes */
    SLM_KV_Q8 = 2,  /**< 8 bits, 1.06 bytes for head widths that are multiples of 32 */
    SLM_KV_Q4 = 3   /**< 4 bits, 0.56 bytes for head widths that are multiples of 32 */
};

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
    uint32_t kv_type;          /**< SLM_KV_*; 0 = SLM_KV_F16 */
    uint32_t cpu_level;        /**< SLM_CPU_*: use at most this level; 0 = best */
    uint32_t top_logprobs;     /**< largest n_top a generation may ask for, 0..64 */
    uint64_t max_memory_bytes; /**< refuse to be created if more memory is needed; 0 = no limit */
    const slm_host *host;      /**< host services; NULL = the model's; copied */
    const void *reserved0;     /**< NULL */
    uint32_t n_guesses;        /**< guesses of next tokens that a batch checks at most, for all sequences
                                    together, 0..64; each has a row of logits, and up to 8 share a page of
                                    cache beside the pool; 0 = none (slm/experimental/speculate.h) */
    uint32_t reserved1;        /**< 0 */
    slm_model *draft_model;    /**< a far smaller model with the same vocabulary, whose guesses sequences can
                                    ask for; it has a cache for n_sequences contexts of its own, and the
                                    session keeps a reference; NULL = none */
} slm_session_options;

#define SLM_SESSION_OPTIONS_INIT \
    { sizeof(slm_session_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, NULL }

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
 *         SLM_ERR_MISMATCH (draft_model has another vocabulary); SLM_ERR_OUT_OF_MEMORY.
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
 *         (max_memory_bytes); SLM_ERR_UNSUPPORTED (cpu_level of another processor); SLM_ERR_MISMATCH
 *         (draft_model has another vocabulary); SLM_ERR_SYSTEM (no more locks).
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
 * Asks for text: once the sequence's appended tokens are computed, each step samples one token,
 * or more where guesses come true.
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
 * generate; where guesses come true (slm/experimental/speculate.h), several tokens of a sequence. Returns
 * after one batch, so tokens stream, or when the budget is used up, which may be anywhere inside a layer
 * or a draw; the next step goes on from there. Events of the step before are dropped.
 *
 * A batch takes one token of each sequence that writes, then appended text, both in the order of
 * SLM_SEQUENCE_PRIORITY and, within one priority, in turns. A sequence that waits for 16 batches counts
 * as one priority higher, and as one that writes, so each gets its turn.
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
    SLM_EVENT_DONE = 3,   /**< a generation ended */
    SLM_EVENT_FULL = 4,   /**< the context is full and the sequence's policy is SLM_FULL_WAIT: the generation
                               goes on once there is room (slm_session_replace()) */
    SLM_EVENT_SHIFT = 5   /**< the context was full and the policy is SLM_FULL_SHIFT: n_removed tokens from
                               `position` on were dropped; the generation goes on */
};

/** Why a generation ended. */
enum {
    SLM_DONE_LENGTH = 1,       /**< max_tokens were written */
    SLM_DONE_END = 2,          /**< an end token */
    SLM_DONE_STOP = 3,         /**< a stop text */
    SLM_DONE_CONTEXT_FULL = 4, /**< the context is full */
    SLM_DONE_CANCELLED = 5,    /**< slm_session_cancel() or slm_session_cancel_sequence() */
    SLM_DONE_ERROR = 6         /**< see status */
};

/** Something that a step brought about. Pointers are valid until the next call that changes the
 *  session. */
typedef struct slm_event {
    uint32_t struct_size;  /**< sizeof(slm_event), set by the caller */
    uint32_t type;         /**< SLM_EVENT_* */
    slm_sequence sequence; /**< which sequence */
    uint32_t position;     /**< TOKEN, LOGITS: 0-based position of the token in the sequence; FULL: tokens
                                in the sequence; SHIFT: of the first token that was dropped */
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
    uint32_t n_removed;    /**< SHIFT: tokens that were dropped */
    uint32_t reserved1;    /**< 0 */
} slm_event;

#define SLM_EVENT_INIT \
    { sizeof(slm_event), 0, 0, 0, 0, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0 }

/**
 * Takes the next event of the last step, oldest first.
 *
 * @param event  [out] filled up to event->struct_size.
 * @return SLM_OK; SLM_END (no more); SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_session_get_event(slm_session *session, slm_event *event, slm_error *err);

/**
 * Stops work from any thread: the step in progress, or else the next one, returns SLM_CANCELLED soon
 * (between two pieces of work, about 50 us). All generations end with a done event. Tokens whose
 * computation was cut short remain appended and are computed by later steps.
 *
 * @param session  [in] NULL does nothing; must not be released meanwhile.
 *
 * Threads: any, also while a step is in progress. Since: 0.1
 */
SLM_API void slm_session_cancel(slm_session *session);

/**
 * Stops one sequence's generation from any thread: the step in progress, or else the next one, ends it
 * with a done event (SLM_DONE_CANCELLED). Other sequences do not notice. A sequence that does not generate,
 * or is unknown by then, stays as it is.
 *
 * @param session   [in] NULL does nothing; must not be released meanwhile.
 * @param sequence  an id of this session.
 *
 * Threads: any, also while a step is in progress. Since: 0.1
 */
SLM_API void slm_session_cancel_sequence(slm_session *session, slm_sequence sequence);

#ifdef __cplusplus
}
#endif

#endif
