/* SPDX-License-Identifier: MIT */
/* One process with libslm.a and llama.cpp's library: both load a model and compute the logits of the same
 * tokens, and they agree. Run: link_both MODEL.gguf */
#include <llama.h>
#include <slm/slm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_TOKENS 6

static const int32_t tokens[N_TOKENS] = { 3, 104, 101, 108, 108, 111 };

static void check(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

/* [n_vocab] logits after the last token, to be given back with free(). */
static float *compute_slm(const char *path, uint32_t *n_vocab)
{
    slm_model *model;
    slm_session *session;
    slm_sequence sequence;
    slm_event event = SLM_EVENT_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 2;
    options.logit_rows = N_TOKENS;
    check(slm_model_load(path, NULL, &model, NULL) == SLM_OK, "loading with libslm");
    check(slm_session_create(model, &options, &session, NULL) == SLM_OK, "a session");
    check(slm_session_add_sequence(session, &sequence, NULL) == SLM_OK, "a sequence");
    check(slm_session_append(session, sequence, tokens, N_TOKENS, SLM_APPEND_LOGITS, NULL) == SLM_OK,
          "appending");
    check(slm_session_step(session, 0, NULL) == SLM_OK, "a step");
    for (int i = 0; i < N_TOKENS; i++) {
        check(slm_session_get_event(session, &event, NULL) == SLM_OK, "an event");
    }
    *n_vocab = event.n_logits;
    float *logits = malloc(event.n_logits * sizeof(float));
    check(logits != NULL && event.position == N_TOKENS - 1, "the last logits");
    memcpy(logits, event.logits, event.n_logits * sizeof(float));
    slm_session_release(session);
    slm_model_release(model);
    return logits;
}

static void be_quiet(enum ggml_log_level level, const char *text, void *ctx)
{
    (void)level;
    (void)text;
    (void)ctx;
}

int main(int argc, char **argv)
{
    uint32_t n_vocab;
    double difference = 0.0, square = 0.0;
    check(argc == 2, "finding the model's name");
    llama_log_set(be_quiet, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    check(model != NULL, "loading with llama.cpp");
    float *logits = compute_slm(argv[1], &n_vocab); /* while the other library is at work, too */
    struct llama_context *context = llama_init_from_model(model, llama_context_default_params());
    check(context != NULL, "a context of llama.cpp");
    llama_token copy[N_TOKENS];
    memcpy(copy, tokens, sizeof(copy));
    check(llama_decode(context, llama_batch_get_one(copy, N_TOKENS)) == 0, "decoding with llama.cpp");
    const float *other = llama_get_logits_ith(context, -1);
    check((int)n_vocab == llama_vocab_n_tokens(llama_model_get_vocab(model)), "one size of vocabulary");
    for (uint32_t i = 0; i < n_vocab; i++) {
        difference += (double)(logits[i] - other[i]) * (double)(logits[i] - other[i]);
        square += (double)other[i] * (double)other[i];
    }
    printf("normalised mean squared error %.2g\n", difference / square);
    check(difference <= 1e-5 * square, "agreeing");
    free(logits);
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
    return 0;
}
