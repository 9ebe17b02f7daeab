/* SPDX-License-Identifier: MIT */
/* Eight threads with a session each on one model and one prefix; for ThreadSanitizer above all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os/os.h"
#include "slm/experimental/speculate.h"
#include "slm/slm.h"
#include "slm/tokenizer.h"
#include "support/tiny_model.h"

#define N_THREADS 8
#define N_TOKENS 12

#define MUST(condition)                                                     \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

#define N_PREFIX 70

typedef struct job {
    slm_model *model;
    slm_prefix *prefix;
    uint32_t n_workers;
    uint32_t n_guesses;
    int32_t tokens[N_TOKENS];
} job;

/* The prefix is read, its last page copied, and references come and go, all at once. */
static slm_sequence begin(slm_session *session, slm_prefix *prefix)
{
    slm_sequence q, copy;
    slm_prefix_info info = SLM_PREFIX_INFO_INIT;
    slm_prefix *own = slm_prefix_retain(prefix);
    MUST(slm_prefix_get_info(own, &info, NULL) == SLM_OK && info.n_tokens == N_PREFIX);
    MUST(slm_session_add_sequence(session, &q, NULL) == SLM_OK);
    MUST(slm_session_append_prefix(session, q, own, NULL) == SLM_OK);
    slm_prefix_release(own);
    MUST(slm_session_fork_sequence(session, q, &copy, NULL) == SLM_OK);
    MUST(slm_session_remove_sequence(session, q, NULL) == SLM_OK);
    return copy;
}

static void write_tokens(slm_session *session, slm_prefix *prefix, uint32_t n_guesses, int32_t *tokens)
{
    const slm_sequence q = begin(session, prefix);
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    slm_status status = SLM_MORE;
    uint32_t n = 0;
    options.max_tokens = N_TOKENS;
    options.flags = SLM_GENERATE_IGNORE_END;
    MUST(slm_session_append_text(session, q, "some words", 10, SLM_TEXT_ADD_SPECIAL, NULL) == SLM_OK);
    MUST(slm_session_generate(session, q, &options, NULL) == SLM_OK);
    if (n_guesses > 0) {
        slm_x_speculate_options guess = SLM_X_SPECULATE_OPTIONS_INIT;
        guess.flags = SLM_X_SPECULATE_ALWAYS;
        guess.least_match = 1;
        MUST(slm_x_session_speculate(session, q, &guess, NULL) == SLM_OK);
    }
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(session, 20, NULL);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            if (event.type == SLM_EVENT_TOKEN) {
                tokens[n++] = event.token;
            }
        }
    }
    MUST(status == SLM_OK && n == N_TOKENS);
}

static void *work(void *ctx)
{
    job *j = ctx;
    for (int i = 0; i < 3; i++) {
        slm_session *session;
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
        options.n_threads = j->n_workers;
        options.n_sequences = 2;
        options.n_guesses = j->n_guesses;
        slm_model *model = slm_model_retain(j->model);
        slm_tokenizer *tokenizer = slm_tokenizer_retain(slm_model_get_tokenizer(model));
        MUST(slm_session_estimate(model, &options, &memory, NULL) == SLM_OK);
        MUST(slm_session_create(model, &options, &session, NULL) == SLM_OK);
        slm_model_release(model);
        write_tokens(session, j->prefix, j->n_guesses, j->tokens);
        slm_session_release(session);
        slm_tokenizer_release(tokenizer);
    }
    slm_prefix_release(j->prefix);
    slm_model_release(j->model);
    return NULL;
}

static slm_prefix *make_prefix(slm_model *model)
{
    slm_session *session;
    slm_sequence q;
    slm_prefix *prefix;
    int32_t tokens[N_PREFIX];
    for (int i = 0; i < N_PREFIX; i++) {
        tokens[i] = TINY_LETTER + i * 5 % 26;
    }
    MUST(slm_session_create(model, NULL, &session, NULL) == SLM_OK);
    MUST(slm_session_add_sequence(session, &q, NULL) == SLM_OK);
    MUST(slm_session_append(session, q, tokens, N_PREFIX, 0, NULL) == SLM_OK);
    MUST(slm_session_step(session, 0, NULL) == SLM_OK);
    MUST(slm_prefix_create(session, q, "shared", &prefix, NULL) == SLM_OK);
    slm_session_release(session);
    return prefix;
}

int main(void)
{
    const tiny_model description = { .type = TINY_Q8_0 };
    static job jobs[N_THREADS];
    slmi_thread threads[N_THREADS];
    slm_model *model;
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    MUST(slm_model_load_memory(file, size, NULL, &model, NULL) == SLM_OK);
    free(file);
    slm_prefix *prefix = make_prefix(model);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        jobs[i].model = slm_model_retain(model);
        jobs[i].prefix = slm_prefix_retain(prefix);
        jobs[i].n_workers = 1 + i % 3;
        jobs[i].n_guesses = i % 2 == 0 ? 0 : i;
        MUST(slmi_thread_start(&threads[i], work, &jobs[i], NULL) == SLM_OK);
    }
    slm_prefix_release(prefix);
    slm_model_release(model);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        slmi_thread_join(&threads[i]);
        MUST(memcmp(jobs[i].tokens, jobs[0].tokens, sizeof(jobs[0].tokens)) == 0);
    }
    return 0;
}
