/* SPDX-License-Identifier: MIT */
/* The evaluator: sessions, one sequence each, driven through the windows of a text. */
#include "evaluate/evaluate.h"

#include <string.h>

#include "base/error.h"
#include "kernels/math.h"

#define MOST_BATCH 256
#define LOGIT_BYTES (32u << 20)
#define STEP_US 20000 /* how often the host is asked whether to go on */
#define LN_2 0.693147180559945309417

/* ---- life ---- */

static slm_status open_side(slm_x_evaluator *e, slm_model *model, const slm_x_evaluator_options *options,
                            uint32_t kv_type, slm_error *err)
{
    const uint32_t c = e->convention.context_length;
    slm_session_options o = SLM_SESSION_OPTIONS_INIT;
    slmi_side *side = &e->sides[e->n_sides];
    o.n_threads = options->n_threads;
    o.context_length = c;
    o.batch_tokens = c < MOST_BATCH ? c : MOST_BATCH;
    o.logit_rows = e->most_rows;
    o.kv_type = kv_type;
    o.cpu_level = options->cpu_level;
    o.max_memory_bytes = slmi_limit_left(e->alloc.limit, atomic_load(&e->alloc.used));
    o.host = options->host;
    SLM_TRY(slmi_session_create(model, &o, &side->session, err));
    e->n_sides++;
    e->alloc.limit = slmi_limit_left(e->alloc.limit, atomic_load(&side->session->alloc.used));
    return slmi_sequence_add(side->session, &side->sequence, err);
}

static slm_status open_all(slm_x_evaluator *e, const slm_x_evaluator_options *options, slm_error *err)
{
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    slmi_tokenizer_info(e->model->tokenizer, &info);
    e->bos = info.adds_bos ? info.bos : -1;
    e->n_vocab = e->model->hyper.n_vocab;
    if (e->reference != NULL && e->reference != e->model) {
        SLM_TRY(slmi_check_vocabulary(e->model, e->reference, "reference", err));
    }
    const uint32_t rows = LOGIT_BYTES / (uint32_t)sizeof(float) / e->n_vocab;
    e->most_rows = rows < 1 ? 1 : rows < MOST_BATCH ? rows : MOST_BATCH;
    e->scores = slmi_new_array(&e->alloc, e->most_rows, sizeof(*e->scores), SLMI_CACHE_LINE);
    if (e->scores == NULL) {
        return slmi_alloc_fail(&e->alloc, e->most_rows * sizeof(*e->scores), err);
    }
    SLM_TRY(open_side(e, e->model, options, options->kv_type, err));
    return e->reference == NULL
               ? SLM_OK
               : open_side(e, e->reference, options, options->reference_kv_type, err);
}

static slm_status check_options(const slm_model *model, const slm_x_evaluator_options *o,
                                slmi_convention *convention, slm_error *err)
{
    uint32_t context = model->hyper.context_length;
    SLM_FAIL_IF(o->reserved0 != NULL, SLM_ERR_INVALID_ARGUMENT, "reserved0 must be NULL");
    SLM_FAIL_IF(o->reference == NULL && o->reference_kv_type != 0, SLM_ERR_INVALID_ARGUMENT,
                "reference_kv_type is %u without a reference", o->reference_kv_type);
    if (o->reference != NULL && o->reference->hyper.context_length < context) {
        context = o->reference->hyper.context_length;
    }
    return slmi_convention_init(convention, o->convention, o->context_length, o->stride, context, err);
}

slm_status slmi_evaluator_create(slm_model *model, const slm_x_evaluator_options *options,
                                 const slm_host *host, slm_x_evaluator **out, slm_error *err)
{
    slmi_convention convention;
    slmi_alloc alloc;
    *out = NULL;
    SLM_TRY(check_options(model, options, &convention, err));
    SLM_TRY(slmi_alloc_init(&alloc, host, options->max_memory_bytes, err));
    if (host == NULL) {
        alloc.host = model->alloc.host;
    }
    slm_x_evaluator *e = slmi_new(&alloc, sizeof(*e), SLMI_CACHE_LINE);
    if (e == NULL) {
        return slmi_alloc_fail(&alloc, sizeof(*e), err);
    }
    e->alloc = alloc;
    e->divergences.alloc = &e->alloc;
    e->model = model;
    e->reference = options->reference;
    e->convention = convention;
    e->progress = options->progress;
    e->progress_ctx = options->progress_ctx;
    const slm_status status = open_all(e, options, err);
    if (status != SLM_OK) {
        slmi_evaluator_destroy(e);
        return status;
    }
    *out = e;
    return SLM_OK;
}

void slmi_evaluator_destroy(slm_x_evaluator *evaluator)
{
    for (uint32_t i = 0; i < evaluator->n_sides; i++) {
        slmi_session_destroy(evaluator->sides[i].session);
    }
    slmi_buffer_free(&evaluator->divergences);
    slmi_free(&evaluator->alloc, evaluator->scores, evaluator->most_rows * sizeof(*evaluator->scores),
              SLMI_CACHE_LINE);
    slmi_alloc alloc = evaluator->alloc;
    slmi_free(&alloc, evaluator, sizeof(*evaluator), SLMI_CACHE_LINE);
}

/* ---- a window ---- */

/* Appends the tokens of a window but the last, which nothing follows. `stream` is whole; its rows from
 * the one before the first scored token on deliver logits. */
static slm_status append_window(const slm_x_evaluator *e, const slmi_side *side, const int32_t *stream,
                                const slmi_window *window, slm_error *err)
{
    const int32_t *tokens = stream + window->begin;
    const size_t n_silent = window->scored - 1 - window->begin;
    const size_t n = window->end - 1 - window->begin;
    const int32_t first = e->convention.bos_first && e->bos >= 0 ? e->bos : tokens[0];
    side->session->next_event = side->session->n_events; /* a call that failed may have left some */
    SLM_TRY(slmi_sequence_truncate(side->session, side->sequence, 0, err));
    SLM_TRY(slmi_sequence_append(side->session, side->sequence, &first, 1,
                                 n_silent == 0 ? SLM_APPEND_LOGITS : 0, err));
    if (n_silent > 1) {
        SLM_TRY(slmi_sequence_append(side->session, side->sequence, tokens + 1, n_silent - 1, 0, err));
    }
    const size_t from = n_silent > 0 ? n_silent : 1;
    return slmi_sequence_append(side->session, side->sequence, tokens + from, n - from,
                                SLM_APPEND_LOGITS, err);
}

static slm_status ask_host(const slm_x_evaluator *e, size_t done, size_t n)
{
    if (e->progress == NULL) {
        return SLM_OK;
    }
    return e->progress(e->progress_ctx, (float)((double)done / (double)n)) == 0 ? SLM_OK : SLM_CANCELLED;
}

/* Steps every side until it has rows of logits that were not scored. */
static slm_status compute_rows(const slm_x_evaluator *e, size_t done, size_t n, slm_error *err)
{
    for (uint32_t i = 0; i < e->n_sides; i++) {
        slm_session *session = e->sides[i].session;
        while (session->next_event == session->n_events) {
            SLM_TRY(ask_host(e, done, n));
            const slm_status status = slmi_session_step(session, STEP_US, err);
            SLM_TRY(status == SLM_MORE ? SLM_OK : status);
        }
    }
    return SLM_OK;
}

/* Rows of logits of all sides for the tokens [at, at + n_rows) of the stream, which lie at the front of
 * each session's events. */
typedef struct row_job {
    slm_x_evaluator *evaluator;
    const int32_t *targets; /* [n_rows] */
    uint32_t n_rows;
    _Atomic uint32_t next_row;
} row_job;

static const float *get_row(const slm_x_evaluator *e, uint32_t side, uint32_t row)
{
    const slm_session *session = e->sides[side].session;
    return session->events[session->next_event + row].logits;
}

/* Workers take row after row; which one scores a row makes no difference to it. */
static void score_rows(void *ctx, uint32_t worker)
{
    row_job *job = ctx;
    slm_x_evaluator *e = job->evaluator;
    uint32_t row;
    (void)worker;
    while ((row = atomic_fetch_add(&job->next_row, 1)) < job->n_rows) {
        const float *reference = e->n_sides > 1 ? get_row(e, 1, row) : NULL;
        e->scores[row] =
            slmi_score_row(get_row(e, 0, row), reference, e->n_vocab, job->targets[row]);
    }
}

/* Scores as many rows as every side has, and adds them in their order. */
static slm_status use_rows(slm_x_evaluator *e, const int32_t *targets, uint32_t *n_used, slm_error *err)
{
    row_job job = { e, targets, UINT32_MAX, 0 };
    for (uint32_t i = 0; i < e->n_sides; i++) {
        const slm_session *session = e->sides[i].session;
        const uint32_t n = session->n_events - session->next_event;
        job.n_rows = n < job.n_rows ? n : job.n_rows;
    }
    slmi_pool_run(e->sides[0].session->pool, score_rows, &job);
    for (uint32_t row = 0; row < job.n_rows; row++) {
        slmi_sums_add(&e->totals.sums, &e->scores[row]);
        if (e->n_sides > 1) {
            const double kl = e->scores[row].kl;
            SLM_TRY(slmi_buffer_append(&e->divergences, &kl, sizeof(kl), err));
        }
    }
    for (uint32_t i = 0; i < e->n_sides; i++) {
        e->sides[i].session->next_event += job.n_rows;
    }
    *n_used = job.n_rows;
    return SLM_OK;
}

/* A sequence's rows come in the order of its tokens, whatever the batches of its session. */
static slm_status score_window(slm_x_evaluator *e, const int32_t *stream, size_t n,
                               const slmi_window *window, slm_error *err)
{
    for (uint32_t i = 0; i < e->n_sides; i++) {
        SLM_TRY(append_window(e, &e->sides[i], stream, window, err));
    }
    for (size_t at = window->scored; at < window->end;) {
        uint32_t n_used = 0;
        SLM_TRY(compute_rows(e, at, n, err));
        SLM_TRY(use_rows(e, stream + at, &n_used, err));
        at += n_used;
    }
    return SLM_OK;
}

/* ---- a text ---- */

static slm_status score_stream(slm_x_evaluator *e, const int32_t *stream, size_t n, slm_error *err)
{
    slmi_window window = { 0, 0, 0 };
    const uint64_t before = e->totals.n_windows;
    if (n > 0 && e->convention.counts_all && e->bos < 0) {
        e->totals.n_guessed++;
    }
    while (slmi_window_next(&e->convention, n, &window)) {
        SLM_TRY(score_window(e, stream, n, &window, err));
        e->totals.n_windows++;
    }
    SLM_FAIL_IF(e->totals.n_windows == before, SLM_ERR_INVALID_ARGUMENT,
                "the text has %llu tokens%s, too few for a window of this convention (at least %u)",
                (unsigned long long)n, e->bos >= 0 ? " with BOS" : "",
                e->convention.whole_only ? e->convention.context_length : 2);
    return ask_host(e, n, n);
}

/* Encodes the text behind BOS, where that is added, and scores it. A token stands for at least one byte,
 * save for BOS and a space that may be put in front. */
static slm_status add_text(slm_x_evaluator *e, const char *text, size_t length, slm_error *err)
{
    int32_t *stream;
    size_t n = 0;
    const size_t n_bos = e->bos >= 0;
    const size_t capacity = length + 16;
    SLM_FAIL_IF(length > INT32_MAX, SLM_ERR_INVALID_ARGUMENT,
                "a text of %llu bytes; 2 GiB are possible at most", (unsigned long long)length);
    stream = slmi_new_array(&e->alloc, capacity, sizeof(*stream), SLMI_CACHE_LINE);
    if (stream == NULL) {
        return slmi_alloc_fail(&e->alloc, capacity * sizeof(*stream), err);
    }
    stream[0] = e->bos;
    slm_status status = slmi_tokenizer_encode(e->model->tokenizer, text, length, 0, NULL, 0,
                                              stream + n_bos, capacity - n_bos, &n, err);
    if (status == SLM_OK) {
        e->totals.n_texts++;
        e->totals.n_bytes += length;
        e->totals.n_tokens += n;
        status = score_stream(e, stream, n_bos + n, err);
    }
    slmi_free(&e->alloc, stream, capacity * sizeof(*stream), SLMI_CACHE_LINE);
    return status;
}

slm_status slmi_evaluator_add_text(slm_x_evaluator *e, const char *text, size_t length, slm_error *err)
{
    const slmi_totals totals = e->totals;
    const size_t size = e->divergences.size;
    const slm_status status = add_text(e, text, length, err);
    if (status != SLM_OK) {
        e->totals = totals;
        e->divergences.size = size;
    }
    return status;
}

/* ---- figures ---- */

/* A side's sum, with what the tokens without context cost it: ln V each. */
static double whole_loss(const slm_x_evaluator *e, double nll)
{
    return nll + (double)e->totals.n_guessed * slmk_log((double)e->n_vocab);
}

static void tell_comparison(const slm_x_evaluator *e, slm_x_evaluation *r)
{
    const slmi_sums *sums = &e->totals.sums;
    const double n = (double)sums->n_scored;
    const double share = (double)sums->n_same_top / n;
    const double change = sums->nll - sums->reference_nll;
    double *divergences = (double *)(void *)e->divergences.data;
    r->reference_negative_log_likelihood = whole_loss(e, sums->reference_nll);
    r->reference_perplexity = slmk_exp(r->reference_negative_log_likelihood / (double)r->n_scored);
    if (e->convention.counts_all) {
        r->reference_bits_per_byte =
            r->reference_negative_log_likelihood / (LN_2 * (double)r->n_bytes);
    }
    r->loss_change = change / n;
    r->loss_change_standard_error = slmi_standard_error(change, sums->change_squares, sums->n_scored);
    r->kl_mean = sums->kl / n;
    r->kl_standard_error = slmi_standard_error(sums->kl, sums->kl_squares, sums->n_scored);
    r->kl_percentile_99 = slmi_percentile(divergences, (size_t)sums->n_scored, 0.99);
    r->kl_max = sums->kl_max;
    r->same_top_share = share;
    r->same_top_share_standard_error =
        slmi_standard_error((double)sums->n_same_top, (double)sums->n_same_top, sums->n_scored);
}

slm_status slmi_evaluator_get_result(slm_x_evaluator *e, slm_x_evaluation *r, slm_error *err)
{
    const slmi_totals *t = &e->totals;
    SLM_FAIL_IF(t->n_texts == 0, SLM_ERR_STATE, "no text was scored yet");
    const double error = slmi_standard_error(t->sums.nll, t->sums.nll_squares, t->sums.n_scored);
    r->context_length = e->convention.context_length;
    r->stride = e->convention.stride;
    r->starts_with_bos = e->bos >= 0;
    r->n_texts = t->n_texts;
    r->n_bytes = t->n_bytes;
    r->n_tokens = t->n_tokens;
    r->n_windows = t->n_windows;
    r->n_scored = t->sums.n_scored + t->n_guessed;
    r->negative_log_likelihood = whole_loss(e, t->sums.nll);
    r->perplexity = slmk_exp(r->negative_log_likelihood / (double)r->n_scored);
    const double loss_error = error * (double)t->sums.n_scored; /* of the whole; guesses have none */
    r->perplexity_standard_error = r->perplexity * loss_error / (double)r->n_scored;
    if (e->convention.counts_all) {
        const double bits = LN_2 * (double)t->n_bytes;
        r->bits_per_byte = r->negative_log_likelihood / bits;
        r->bits_per_byte_standard_error = loss_error / bits;
    }
    if (e->n_sides > 1) {
        tell_comparison(e, r);
    }
    return SLM_OK;
}
