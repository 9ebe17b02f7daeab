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

#include "slm/saved.h"
#include "slm/sequence.h"
#include "slm/tokenizer.h"
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
    int32_t tokens[512];
    uint32_t n_tokens, n_logits, n_done, reason, n_generated;
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
    } else {
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

#endif
