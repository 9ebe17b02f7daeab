/* SPDX-License-Identifier: MIT */
/* What opening.c does, by llama.cpp: opening_llama MODEL THREADS; compare_opening.py compiles it. */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peak.h"

enum { CONTEXT = 600, MORE = 32 };

static void be_silent(enum ggml_log_level level, const char *text, void *ctx)
{
    (void)level;
    (void)text;
    (void)ctx;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The most probable token after one. */
static llama_token next_token(struct llama_context *context, int n_vocab, llama_token token)
{
    if (llama_decode(context, llama_batch_get_one(&token, 1)) != 0) {
        exit(1);
    }
    const float *logits = llama_get_logits_ith(context, -1);
    llama_token best = 0;
    for (llama_token i = 1; i < n_vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    llama_log_set(be_silent, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = CONTEXT;
    params.n_threads = params.n_threads_batch = atoi(argv[2]);
    struct llama_context *context = model == NULL ? NULL : llama_init_from_model(model, params);
    if (context == NULL) {
        return 1;
    }
    const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    llama_token token = next_token(context, n_vocab, 1);
    puts("first");
    fflush(stdout);
    const double begin = now();
    for (int i = 0; i < MORE; i++) {
        token = next_token(context, n_vocab, token);
    }
    printf("%.3f\n%ld\n", MORE / (now() - begin), peak_kilobytes());
    return 0;
}
