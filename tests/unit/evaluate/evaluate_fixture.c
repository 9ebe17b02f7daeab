/* SPDX-License-Identifier: MIT */
/* Evaluators of tiny models, and the same figures by plain loops over the logits of sessions. */
#include "evaluate_fixture.h"

#include <math.h>

slm_x_evaluator_options options_of(uint32_t convention)
{
    slm_x_evaluator_options options = SLM_X_EVALUATOR_OPTIONS_INIT;
    options.convention = convention;
    options.context_length = CONTEXT;
    options.stride = convention == HF_STRIDE ? STRIDE : 0;
    options.kv_type = SLM_KV_F32;
    options.n_threads = 1;
    return options;
}

slm_x_evaluator *make_evaluator(slm_model *model, const slm_x_evaluator_options *options)
{
    slm_x_evaluator *evaluator;
    OK(slm_x_evaluator_create(model, options, &evaluator, NULL));
    return evaluator;
}

slm_x_evaluation evaluate_text(slm_model *model, const slm_x_evaluator_options *options, const char *text,
                               size_t length)
{
    slm_x_evaluation figures = SLM_X_EVALUATION_INIT;
    slm_x_evaluator *evaluator = make_evaluator(model, options);
    OK(slm_x_evaluator_add_text(evaluator, text, length, NULL));
    OK(slm_x_evaluator_get_result(evaluator, &figures, NULL));
    slm_x_evaluator_release(evaluator);
    return figures;
}

/* Log-probabilities [n][V] after each of the tokens. */
static double *log_probabilities(slm_model *model, uint32_t kv_type, const int32_t *tokens, size_t n)
{
    slm_session *session;
    slm_sequence sequence;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    double *rows = malloc(n * TINY_VOCAB * sizeof(double));
    options.n_threads = 1;
    options.logit_rows = (uint32_t)n;
    options.kv_type = kv_type;
    OK(slm_session_create(model, &options, &session, NULL));
    OK(slm_session_add_sequence(session, &sequence, NULL));
    OK(slm_session_append(session, sequence, tokens, n, SLM_APPEND_LOGITS, NULL));
    OK(slm_session_step(session, 0, NULL));
    slm_event event = SLM_EVENT_INIT;
    while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
        double sum = 0;
        for (int i = 0; i < TINY_VOCAB; i++) {
            sum += exp((double)event.logits[i]);
        }
        for (int i = 0; i < TINY_VOCAB; i++) {
            rows[event.position * TINY_VOCAB + (uint32_t)i] = (double)event.logits[i] - log(sum);
        }
    }
    slm_session_release(session);
    return rows;
}

static int top_of(const double *row)
{
    int best = 0;
    for (int i = 0; i < TINY_VOCAB; i++) {
        best = row[i] > row[best] ? i : best;
    }
    return best;
}

void add_window(plain *p, const int32_t *tokens, size_t n, size_t first)
{
    double *q = log_probabilities(p->model, p->kv_type, tokens, n);
    double *r = p->reference != NULL ? log_probabilities(p->reference, p->reference_kv_type, tokens, n) : q;
    p->n_windows++;
    for (size_t at = first; at < n; at++) {
        const double *log_q = q + (at - 1) * TINY_VOCAB, *log_p = r + (at - 1) * TINY_VOCAB;
        double kl = 0;
        for (int i = 0; i < TINY_VOCAB; i++) {
            kl += exp(log_p[i]) * (log_p[i] - log_q[i]);
        }
        assert_true(p->n < MOST_TOKENS);
        p->losses[p->n] = -log_q[tokens[at]];
        p->reference_losses[p->n] = -log_p[tokens[at]];
        p->kl[p->n++] = kl;
        p->n_same_top += top_of(log_q) == top_of(log_p);
    }
    if (r != q) {
        free(r);
    }
    free(q);
}

void add_windows(plain *p, const slm_x_evaluator_options *options, int adds_bos, const int32_t *stream,
                 size_t n)
{
    const size_t context = options->context_length;
    int32_t window[MOST_TOKENS];
    if (options->convention == BITS) {
        for (size_t i = 0; i + 1 < n; i += context - 1) {
            const size_t length = n - i < context ? n - i : context;
            memcpy(window, stream + i, length * sizeof(int32_t));
            window[0] = adds_bos ? TINY_BEGIN : window[0];
            add_window(p, window, length, 1);
        }
    } else if (options->convention == HF_STRIDE) {
        size_t previous = 0;
        for (size_t i = 0; previous < n; i += options->stride) {
            const size_t end = i + context < n ? i + context : n;
            const size_t first = previous > i ? previous - i : 1;
            if (first < end - i) { /* the only token of a window has nothing before it */
                add_window(p, stream + i, end - i, first);
            }
            previous = end;
        }
    } else {
        const int half = options->convention == LLAMACPP;
        for (size_t i = 0; i < n / context; i++) {
            memcpy(window, stream + i * context, context * sizeof(int32_t));
            window[0] = half && adds_bos ? TINY_BEGIN : window[0];
            add_window(p, window, context, half ? context / 2 + 1 : 1);
        }
    }
}

double sum_of(const double *values, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += values[i];
    }
    return sum;
}

double error_of_mean(const double *values, uint32_t n)
{
    const double mean = sum_of(values, n) / n;
    double squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    return sqrt(squares / n / (n - 1));
}

void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-9 * fabs(expected) + 1e-13)) {
        fail_msg("%.17g is not near %.17g", value, expected);
    }
}
