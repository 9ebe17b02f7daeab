/* SPDX-License-Identifier: MIT */
/* A tiny model, sessions on it, and the few calls that most session tests make. */
#ifndef SLM_TESTS_SESSION_FIXTURE_H
#define SLM_TESTS_SESSION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/tiny_model.h"

#define OK(expression) assert_int_equal((expression), SLM_OK)
#define FAILS(expression, code_, offset_)                 \
    do {                                                  \
        error = (slm_error)SLM_ERROR_INIT;                \
        assert_int_equal((expression), (code_));          \
        assert_int_equal(error.code, (code_));            \
        assert_true(error.offset == (uint64_t)(offset_)); \
        assert_true(error.message[0] != '\0');            \
    } while (0)

static inline slm_model *make_model(const tiny_model *description)
{
    size_t size;
    slm_model *model;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    uint8_t *file = tiny_model_make(description, &size);
    OK(slm_model_load_memory(file, size, &options, &model, NULL));
    free(file);
    return model;
}

/* A session with one thread and `n` sequences. */
static inline slm_session *make_session(slm_model *model, uint32_t n)
{
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = n;
    options.top_logprobs = 5;
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

static inline slm_sequence add_sequence(slm_session *session, const char *letters)
{
    slm_sequence sequence;
    OK(slm_session_add_sequence(session, &sequence, NULL));
    for (size_t i = 0; letters[i] != '\0'; i++) {
        const int32_t token = letters[i] == ' ' ? TINY_SPACE : TINY_LETTER + (letters[i] - 'a');
        OK(slm_session_append(session, sequence, &token, 1, 0, NULL));
    }
    return sequence;
}

static inline void generate(slm_session *session, slm_sequence sequence, uint32_t n, uint32_t flags)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = n;
    options.flags = flags;
    OK(slm_session_generate(session, sequence, &options, NULL));
}

/* Sets a temperature of 0, so that results do not depend on draws. */
static inline void make_greedy(slm_session *session, slm_sequence sequence)
{
    slm_sampler *sampler;
    OK(slm_sampler_create(TINY_VOCAB, NULL, &sampler, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, 0.0f, NULL));
    OK(slm_session_set_sampler(session, sequence, sampler, NULL));
    slm_sampler_release(sampler);
}

/* What the events of a sequence told until the session had no more work. */
typedef struct result {
    int32_t tokens[2048];
    uint32_t n_tokens, n_logits, n_done, reason, n_generated;
    uint32_t n_full, n_shifts, n_removed;
    slm_status status, last_step;
    char text[8192];
    size_t length;
    float logits[TINY_VOCAB]; /* of the last logits event */
} result;

static inline void note_event(result *r, const slm_event *event)
{
    if (event->type == SLM_EVENT_TOKEN) {
        r->tokens[r->n_tokens++] = event->token;
    } else if (event->type == SLM_EVENT_LOGITS) {
        r->n_logits++;
        memcpy(r->logits, event->logits, sizeof(r->logits));
    } else if (event->type == SLM_EVENT_FULL) {
        r->n_full++;
    } else if (event->type == SLM_EVENT_SHIFT) {
        r->n_shifts++;
        r->n_removed += event->n_removed;
    } else {
        assert_int_equal(event->type, SLM_EVENT_DONE);
        r->n_done++;
        r->reason = event->reason;
        r->status = event->status;
        r->n_generated = event->n_generated;
    }
    if (event->type != SLM_EVENT_LOGITS && event->text_length > 0) {
        memcpy(r->text + r->length, event->text, event->text_length);
        r->length += event->text_length;
    }
}

/* Steps until nothing is left to do or a step fails. */
static inline void run(slm_session *session, slm_sequence sequence, uint64_t budget_us, result *r)
{
    memset(r, 0, sizeof(*r));
    do {
        slm_event event = SLM_EVENT_INIT;
        r->last_step = slm_session_step(session, budget_us, NULL);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            if (event.sequence == sequence) {
                note_event(r, &event);
            }
        }
    } while (r->last_step == SLM_MORE);
}

/* Steps until all is computed. */
static inline void finish(slm_session *session)
{
    result r;
    run(session, 0, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
}

/* A model so small that long texts cost little. */
static inline slm_model *make_small(uint32_t n_layers)
{
    const tiny_model description = { .n_layers = n_layers, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .context_length = 2048 };
    return make_model(&description);
}

/* Defaults with one thread, for `n` sequences of `context` tokens. */
static inline slm_session_options small_options(uint32_t n, uint32_t context)
{
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 1;
    options.n_sequences = n;
    options.context_length = context;
    return options;
}

/* A clock that is late at every look: a step with a budget does one piece of work. */
static inline uint64_t late_clock(void *ctx)
{
    uint64_t *time = ctx;
    return *time += 1000000000;
}

/* A session whose steps with a budget do one piece of work each. */
static inline slm_session *make_piecewise(slm_model *model, slm_session_options options, uint64_t *time)
{
    slm_session *session;
    slm_host host = SLM_HOST_INIT;
    *time = 0;
    host.clock = late_clock;
    host.clock_ctx = time;
    options.n_threads = 1;
    options.host = &host;
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

static inline slm_session *make_sized(slm_model *model, uint32_t n, uint32_t context)
{
    slm_session *session;
    const slm_session_options options = small_options(n, context);
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

/* A long text: its token at a position. */
static inline int32_t text_token(uint32_t position)
{
    return TINY_LETTER + (int32_t)((position * UINT32_C(2654435761) >> 16) % 26);
}

/* Appends tokens [first, end) of the long text. */
static inline void append_text_tokens(slm_session *session, slm_sequence sequence, uint32_t first,
                                      uint32_t end, uint32_t flags)
{
    int32_t tokens[2048];
    for (uint32_t i = first; i < end; i++) {
        tokens[i - first] = text_token(i);
    }
    OK(slm_session_append(session, sequence, tokens, end - first, flags, NULL));
}

/* A sequence of the long text's first `n` tokens, not computed yet. */
static inline slm_sequence begin_text(slm_session *session, uint32_t n)
{
    slm_sequence sequence;
    OK(slm_session_add_sequence(session, &sequence, NULL));
    append_text_tokens(session, sequence, 0, n, 0);
    return sequence;
}

static inline slm_sequence_info info_of(slm_session *session, slm_sequence sequence)
{
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    OK(slm_session_get_sequence_info(session, sequence, &info, NULL));
    return info;
}

/* What comes after a sequence's tokens: logits of tokens that are appended, and a text of drawn ones. It is
 * the same for two sequences if and only if they hold the same. */
#define FUTURE_TOKENS 12

typedef struct future {
    float logits[2][TINY_VOCAB];
    int32_t tokens[FUTURE_TOKENS];
} future;

static inline void look_ahead(slm_session *session, slm_sequence sequence, future *f)
{
    result r;
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < 2; i++) {
        const int32_t token = TINY_LETTER + 7 * i;
        OK(slm_session_append(session, sequence, &token, 1, SLM_APPEND_LOGITS, NULL));
        run(session, sequence, 0, &r);
        assert_int_equal(r.n_logits, 1);
        memcpy(f->logits[i], r.logits, sizeof(r.logits));
    }
    generate(session, sequence, FUTURE_TOKENS, SLM_GENERATE_IGNORE_END);
    run(session, sequence, 0, &r);
    assert_int_equal(r.n_tokens, FUTURE_TOKENS);
    memcpy(f->tokens, r.tokens, sizeof(f->tokens));
}

static inline void assert_same_future(const future *a, const future *b)
{
    assert_memory_equal(a->logits, b->logits, sizeof(a->logits));
    assert_memory_equal(a->tokens, b->tokens, sizeof(a->tokens));
}

/* The largest difference of the first logits. */
static inline double future_distance(const future *a, const future *b)
{
    double most = 0;
    for (int i = 0; i < TINY_VOCAB; i++) {
        const double d = (double)a->logits[0][i] - (double)b->logits[0][i];
        most = d > most ? d : -d > most ? -d : most;
    }
    return most;
}

#endif
