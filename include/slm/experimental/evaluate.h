/* SPDX-License-Identifier: MIT */
/* Experimental: how well a model predicts a text, and how far it is from another one. */
#ifndef SLM_EXPERIMENTAL_EVALUATE_H
#define SLM_EXPERIMENTAL_EVALUATE_H

#ifndef SLM_EXPERIMENTAL
#error "this header may change in any release; define SLM_EXPERIMENTAL to use it all the same"
#endif

#include "slm/base.h"
#include "slm/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Measures a model on texts: perplexity, bits per byte and, with a reference, the Kullback-Leibler
 * divergence from it. Confined.
 *
 * Figures are sums in binary64 in the order of the tokens, so the same model, texts and options give
 * the same bits on every processor and number of threads.
 */
typedef struct slm_x_evaluator slm_x_evaluator;

/**
 * What is scored, and after which tokens. Figures of two conventions are not comparable.
 * docs/evaluation.md defines each with its formula and source.
 */
enum {
    /** Every token of a text counts once; windows share one token. The only convention whose
     *  figures can be compared across tokenizers: bits_per_byte is set. */
    SLM_X_CONVENTION_BITS_PER_BYTE = 0,
    /** As llama.cpp's llama-perplexity: windows of 512 apart, only their second half counts. */
    SLM_X_CONVENTION_LLAMACPP_512 = 1,
    /** As the papers on quantization and pruning since GPTQ: windows of 2048 apart. */
    SLM_X_CONVENTION_GPTQ_2048 = 2,
    /** As the page "Perplexity of fixed-length models" of Hugging Face: a sliding window. */
    SLM_X_CONVENTION_HF_STRIDE = 3
};

/** How to create an evaluator. */
typedef struct slm_x_evaluator_options {
    uint32_t struct_size;       /**< sizeof(slm_x_evaluator_options) */
    uint32_t convention;        /**< SLM_X_CONVENTION_* */
    uint32_t context_length;    /**< tokens of a window, BOS included, up to the model's; 0 = the
                                     convention's: min(model's, 4096), 512, 2048, the model's */
    uint32_t stride;            /**< HF_STRIDE: tokens from window to window, 1..context_length;
                                     0 = 512. Other conventions: 0 */
    uint32_t kv_type;           /**< SLM_KV_* of the model's cache */
    uint32_t reference_kv_type; /**< SLM_KV_* of the reference's cache; 0 without a reference */
    uint32_t n_threads;         /**< threads, the caller included; 1..256; 0 = all cores */
    uint32_t cpu_level;         /**< SLM_CPU_*: use at most this level; 0 = best */
    uint64_t max_memory_bytes;  /**< refuse to take more memory than this; 0 = no limit */
    slm_model *reference;       /**< NULL = no comparison; a model with the same vocabulary, possibly
                                     the same model with another cache; the evaluator keeps a
                                     reference */
    const slm_host *host;       /**< host services; NULL = the model's; copied */
    void *progress_ctx;         /**< passed to progress */
    /**
     * Called now and then on the thread of slm_x_evaluator_add_text(), every 20 ms or so, with the
     * share of the text that is done, 0..1.
     * @return 0 to go on; anything else cancels.
     */
    int32_t (*progress)(void *ctx, float done);
    const void *reserved0; /**< NULL */
} slm_x_evaluator_options;

#define SLM_X_EVALUATOR_OPTIONS_INIT \
    { sizeof(slm_x_evaluator_options), 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL }

/**
 * Creates an evaluator that has seen no text.
 *
 * @param model      [in] not NULL; the evaluator keeps a reference.
 * @param options    [in] NULL = defaults.
 * @param evaluator  [out] to be released with slm_x_evaluator_release(); NULL unless SLM_OK.
 * @return SLM_OK; SLM_ERR_INVALID_ARGUMENT (also a window that is longer than the model's context or
 *         too short to score a token); SLM_ERR_MISMATCH (the reference has another vocabulary);
 *         SLM_ERR_UNSUPPORTED (cpu_level of another processor); SLM_ERR_OUT_OF_MEMORY;
 *         SLM_ERR_BUDGET (max_memory_bytes); SLM_ERR_SYSTEM (no more locks).
 *
 * Threads: shared (models). Memory: a session for the model and one for the reference, each as
 * slm_session_estimate() with this context_length, batches of up to 256 tokens and rows of logits for
 * up to 32 MiB. Since: 0.1
 */
SLM_API slm_status slm_x_evaluator_create(slm_model *model, const slm_x_evaluator_options *options,
                                          slm_x_evaluator **evaluator, slm_error *err);

/** Frees an evaluator; called from its own progress function, that call does so at its end. NULL does
 *  nothing. Threads: confined. Since: 0.1 */
SLM_API void slm_x_evaluator_release(slm_x_evaluator *evaluator);

/**
 * Scores a text and adds it to the result: a whole file, or one of many documents, each of which
 * begins afresh. All or nothing: on any other status than SLM_OK the result is as before the call.
 *
 * @param text    [in] UTF-8 [length]; encoded as ordinary text, without control tokens.
 * @param length  bytes.
 * @return SLM_OK; SLM_CANCELLED (by progress); SLM_ERR_INVALID_UTF8 (offset = first bad byte);
 *         SLM_ERR_INVALID_ARGUMENT (also a text too short for one token, or one window of
 *         LLAMACPP_512 and GPTQ_2048, to be scored); SLM_ERR_NOT_FINITE (a logit is not finite);
 *         SLM_ERR_OUT_OF_MEMORY; SLM_ERR_BUDGET (max_memory_bytes); SLM_ERR_SYSTEM (a worker thread
 *         could not be started); SLM_ERR_BUSY (called from progress).
 *
 * Threads: confined; parts run on the evaluator's workers. Memory: during the call 4 bytes per
 * byte of text, and the scratch of slm_tokenizer_encode(), which the model's host gives; with a
 * reference, 8 bytes for each token scored so far remain, in a block that grows by half. Numbers: exact.
 * Since: 0.1
 */
SLM_API slm_status slm_x_evaluator_add_text(slm_x_evaluator *evaluator, const char *text,
                                            size_t length, slm_error *err);

/**
 * Figures over all tokens that were scored, in nats (natural logarithm) where they are logarithms.
 *
 * Standard errors take the tokens as independent; those of neighbouring tokens are not quite.
 * Members from reference_negative_log_likelihood on are 0 without a reference.
 */
typedef struct slm_x_evaluation {
    uint32_t struct_size;    /**< sizeof(slm_x_evaluation), set by the caller */
    uint32_t context_length; /**< tokens of a window */
    uint32_t stride;         /**< tokens from the beginning of a window to that of the next */
    uint32_t starts_with_bos; /**< 1: the model's tokenizer adds BOS, as the convention says */
    uint64_t n_texts;        /**< texts that were added */
    uint64_t n_bytes;        /**< UTF-8 bytes of the texts */
    uint64_t n_tokens;       /**< tokens of the texts, without BOS */
    uint64_t n_windows;      /**< windows */
    uint64_t n_scored;       /**< tokens that count */
    double negative_log_likelihood;       /**< sum of -ln q(token) */
    double perplexity;                    /**< exp(negative_log_likelihood / n_scored) */
    double perplexity_standard_error;     /**< of perplexity; 0 for a single token, like all of them */
    double bits_per_byte;                 /**< negative_log_likelihood / (ln(2) n_bytes); 0 unless the
                                               convention is BITS_PER_BYTE */
    double bits_per_byte_standard_error;  /**< of bits_per_byte */
    double reference_negative_log_likelihood; /**< sum of -ln p(token) */
    double reference_perplexity;          /**< of the reference */
    double reference_bits_per_byte;       /**< of the reference */
    double loss_change;                   /**< mean of ln p(token) - ln q(token): what the model loses
                                               against the reference; ln of the perplexities' ratio */
    double loss_change_standard_error;    /**< of loss_change, from the tokens' own differences */
    double kl_mean;                       /**< mean over positions of KL(p || q) = sum p ln(p / q), p of
                                               the reference, q of the model */
    double kl_standard_error;             /**< of kl_mean */
    double kl_percentile_99;              /**< 99 of 100 positions have at most this KL */
    double kl_max;                        /**< largest KL */
    double same_top_share;                /**< share of positions, 0..1, where both have the same most
                                               probable token (ties: the lower id) */
    double same_top_share_standard_error; /**< of same_top_share, sqrt(share (1 - share) / (n - 1)) */
} slm_x_evaluation;

#define SLM_X_EVALUATION_INIT \
    { sizeof(slm_x_evaluation), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/**
 * Tells the figures over all texts so far.
 *
 * @param result  [out] filled up to result->struct_size.
 * @return SLM_OK; SLM_ERR_STATE (no text yet); SLM_ERR_BUSY (called from progress);
 *         SLM_ERR_INVALID_ARGUMENT.
 *
 * Threads: confined. Memory: none. Since: 0.1
 */
SLM_API slm_status slm_x_evaluator_get_result(slm_x_evaluator *evaluator, slm_x_evaluation *result,
                                              slm_error *err);

#ifdef __cplusplus
}
#endif

#endif
