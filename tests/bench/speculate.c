/* SPDX-License-Identifier: MIT */
/* Guesses: how much faster given answers are written with them, beside how many came true. The answers are
 * those of tasks (speculation_tasks.py), whatever the model, so that any weights of a shape will do.
 * Usage: bench_speculate MODEL TASKS [-t THREADS] [-g GUESSES] [-r ROUNDS] [-a, always guess] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "slm/experimental/speculate.h"
#include "support/follow.h"

#define MOST_TASKS 256
#define MOST_TOKENS 4096

typedef struct task {
    const char *kind, *prompt, *answer;
} task;

typedef struct bench {
    slm_model *model;
    slm_session *sessions[2]; /* without guesses, and with */
    slm_sequence prompts[2];
    uint32_t flags, n_rounds;
    uint32_t n_prompt, n_answer;
    int32_t answer[MOST_TOKENS];
} bench;

/* Sums over the tasks of a kind. */
typedef struct kind {
    const char *name;
    double time[2]; /* us, the medians of each task */
    double worst;   /* gain of a task */
    uint64_t n_tokens, n_batches, n_guessed, n_accepted;
} kind;

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    char *text = calloc(*size + 1, 1);
    rewind(file);
    *size = fread(text, 1, *size, file);
    fclose(file);
    return text;
}

static uint32_t split_tasks(const char *text, size_t size, task *tasks)
{
    uint32_t n = 0;
    for (const char *p = text; p < text + size && n < MOST_TASKS; n++) {
        const char **parts[] = { &tasks[n].kind, &tasks[n].prompt, &tasks[n].answer };
        for (int i = 0; i < 3; i++) {
            *parts[i] = p;
            p += strlen(p) + 1;
        }
    }
    return n;
}

static int32_t follow_answer(const void *ctx, uint32_t sequence, uint32_t position)
{
    const bench *b = ctx;
    (void)sequence;
    const uint32_t i = position - b->n_prompt;
    return position >= b->n_prompt && i < b->n_answer ? b->answer[i] : -1;
}

static slm_session *open_session(slm_model *model, uint32_t n_threads, uint32_t n_guesses)
{
    slm_error error = SLM_ERROR_INIT;
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = n_threads;
    options.context_length = MOST_TOKENS;
    options.n_sequences = 2;
    options.n_guesses = n_guesses;
    bench_must(slm_session_create(model, &options, &session, &error), &error);
    return session;
}

/* Computes the prompt in both sessions and takes the answer's tokens. */
static void begin_task(bench *b, const task *t)
{
    slm_error error = SLM_ERROR_INIT;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    size_t n;
    for (int i = 0; i < 2; i++) {
        slm_session *s = b->sessions[i];
        bench_must(slm_session_add_sequence(s, &b->prompts[i], &error), &error);
        bench_must(slm_session_append_text(s, b->prompts[i], t->prompt, strlen(t->prompt), 0, &error),
                   &error);
        while (slm_session_step(s, 0, &error) == SLM_MORE) {
        }
    }
    bench_must(slm_session_get_sequence_info(b->sessions[0], b->prompts[0], &info, &error), &error);
    bench_must(slm_tokenizer_encode(slm_model_get_tokenizer(b->model), t->answer, strlen(t->answer), 0,
                                    b->answer, MOST_TOKENS, &n, &error), &error);
    b->n_prompt = info.n_tokens;
    b->n_answer = (uint32_t)n;
}

/* Writes the answer once; returns the microseconds that it took. */
static double write_answer(bench *b, int guess, kind *k)
{
    slm_error error = SLM_ERROR_INIT;
    slm_sequence q;
    slm_session *s = b->sessions[guess];
    bench_must(slm_session_fork_sequence(s, b->prompts[guess], &q, &error), &error);
    if (guess) {
        slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
        options.flags = b->flags;
        bench_must(slm_x_session_speculate(s, q, &options, &error), &error);
    }
    follow(s, follow_answer, b);
    bench_generate(s, q, b->n_answer);
    const double begin = bench_now_us();
    while (slm_session_step(s, 0, &error) == SLM_MORE) {
    }
    const double time = bench_now_us() - begin;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_x_speculation figures = SLM_X_SPECULATION_INIT;
    bench_must(slm_session_get_sequence_info(s, q, &info, &error), &error);
    bench_must(slm_x_session_get_speculation(s, q, &figures, &error), &error);
    if (info.n_tokens != b->n_prompt + b->n_answer ||
        memcmp(info.tokens + b->n_prompt, b->answer, b->n_answer * sizeof(int32_t)) != 0) {
        fprintf(stderr, "the answer was not followed: %u tokens of %u + %u\n", info.n_tokens, b->n_prompt,
                b->n_answer);
        exit(1);
    }
    k->n_tokens += figures.n_tokens;
    k->n_batches += figures.n_batches;
    k->n_guessed += figures.n_guessed;
    k->n_accepted += figures.n_accepted;
    bench_must(slm_session_remove_sequence(s, q, &error), &error);
    return time;
}

/* Both ways in turns. */
static void run_task(bench *b, const task *t, kind *k)
{
    slm_error error = SLM_ERROR_INIT;
    double times[2][64];
    begin_task(b, t);
    for (uint32_t r = 0; r < b->n_rounds; r++) {
        for (uint32_t i = 0; i < 2; i++) {
            const int guess = (int)((i + r) % 2);
            times[guess][r] = write_answer(b, guess, k);
        }
    }
    const double plain = bench_percentile(times[0], b->n_rounds, 0.5);
    const double guessed = bench_percentile(times[1], b->n_rounds, 0.5);
    k->time[0] += plain;
    k->time[1] += guessed;
    k->worst = k->worst == 0 || plain / guessed < k->worst ? plain / guessed : k->worst;
    for (int i = 0; i < 2; i++) {
        bench_must(slm_session_remove_sequence(b->sessions[i], b->prompts[i], &error), &error);
    }
}

static void print_kind(const bench *b, const kind *k)
{
    const double n = (double)k->n_tokens / b->n_rounds;
    printf("%-12s %7.0f  %7.1f  %5.2f  %5.2f  %4.0f of %-4.0f  %8.2f\n", k->name, n, n / k->time[0] * 1e6,
           k->time[0] / k->time[1], k->worst, (double)k->n_accepted / b->n_rounds,
           (double)k->n_guessed / b->n_rounds, (double)k->n_tokens / (double)(k->n_tokens - k->n_accepted));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static bench b;
    static task tasks[MOST_TASKS];
    kind k = { .name = NULL };
    uint32_t n_threads = 0, n_guesses = 15;
    size_t size;
    b.n_rounds = 3;
    for (int i = 3; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "-a") == 0) {
            b.flags = SLM_X_SPECULATE_ALWAYS;
        } else if (i + 1 < argc) {
            const uint32_t value = (uint32_t)strtoul(argv[++i], NULL, 10);
            n_threads = strcmp(option, "-t") == 0 ? value : n_threads;
            n_guesses = strcmp(option, "-g") == 0 ? value : n_guesses;
            b.n_rounds = strcmp(option, "-r") == 0 ? value : b.n_rounds;
        }
    }
    if (argc < 3 || b.n_rounds == 0 || b.n_rounds > 64) {
        fprintf(stderr, "usage: bench_speculate MODEL TASKS [-t THREADS] [-g GUESSES] [-r ROUNDS] [-a]\n");
        return 2;
    }
    b.model = bench_load(argv[1], n_threads);
    const char *text = read_file(argv[2], &size);
    const uint32_t n_tasks = split_tasks(text, size, tasks);
    b.sessions[0] = open_session(b.model, n_threads, 0);
    b.sessions[1] = open_session(b.model, n_threads, n_guesses);
    printf("%-12s %7s  %7s  %5s  %5s  %9s  %8s\n", "", "tokens", "tok/s", "gain", "worst", "came true",
           "a batch");
    for (uint32_t i = 0; i < n_tasks; i++) { /* those of a kind stand together */
        if (k.name != NULL && strcmp(k.name, tasks[i].kind) != 0) {
            print_kind(&b, &k);
            memset(&k, 0, sizeof(k));
        }
        k.name = tasks[i].kind;
        run_task(&b, &tasks[i], &k);
    }
    print_kind(&b, &k);
    slm_session_release(b.sessions[0]);
    slm_session_release(b.sessions[1]);
    slm_model_release(b.model);
    return 0;
}
