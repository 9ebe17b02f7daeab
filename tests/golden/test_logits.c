/* SPDX-License-Identifier: MIT */
/* Logits of tiny models against stored ones that PyTorch and llama.cpp gave (make_goldens.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slm/slm.h"

typedef struct golden {
    uint32_t n_tokens; /* T */
    uint32_t n_vocab;  /* V */
    float limit;       /* largest normalised mean squared error */
    int32_t *tokens;   /* [T] */
    float *logits;     /* [T, V] */
} golden;

static void path_of(const char *name, const char *suffix, char path[512])
{
    const int length = snprintf(path, 512, "%s/%s.%s", GOLDEN_FOLDER, name, suffix);
    assert_in_range(length, 1, 511);
}

static void read_all(FILE *file, void *to, size_t size)
{
    assert_int_equal(fread(to, 1, size, file), size);
}

static golden read_golden(const char *name)
{
    char path[512];
    path_of(name, "logits", path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char magic[8];
    uint32_t unused;
    golden g;
    read_all(file, magic, sizeof magic);
    assert_memory_equal(magic, "SLMGOLD1", sizeof magic);
    read_all(file, &g.n_tokens, sizeof g.n_tokens);
    read_all(file, &g.n_vocab, sizeof g.n_vocab);
    read_all(file, &g.limit, sizeof g.limit);
    read_all(file, &unused, sizeof unused);
    g.tokens = malloc(g.n_tokens * sizeof *g.tokens);
    g.logits = malloc((size_t)g.n_tokens * g.n_vocab * sizeof *g.logits);
    assert_true(g.tokens != NULL && g.logits != NULL);
    read_all(file, g.tokens, g.n_tokens * sizeof *g.tokens);
    read_all(file, g.logits, (size_t)g.n_tokens * g.n_vocab * sizeof *g.logits);
    fclose(file);
    return g;
}

/* Runs the golden's tokens through the model; logits [T, V]. */
static void compute(const char *name, const golden *g, uint32_t kv_type, float *logits)
{
    char path[512];
    path_of(name, "gguf", path);
    slm_error err = SLM_ERROR_INIT;
    slm_model *model = NULL;
    if (slm_model_load(path, NULL, &model, &err) != SLM_OK)
        fail_msg("%s: %s", path, err.message);
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = 2;
    options.kv_type = kv_type;
    options.logit_rows = g->n_tokens;
    slm_session *session = NULL;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    slm_sequence sequence = 0;
    assert_int_equal(slm_session_add_sequence(session, &sequence, NULL), SLM_OK);
    assert_int_equal(slm_session_append(session, sequence, g->tokens, g->n_tokens,
                                        SLM_APPEND_LOGITS, NULL),
                     SLM_OK);
    uint32_t n_rows = 0;
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        status = slm_session_step(session, 0, &err);
        slm_event event = SLM_EVENT_INIT;
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            assert_int_equal(event.type, SLM_EVENT_LOGITS);
            assert_int_equal(event.n_logits, g->n_vocab);
            assert_int_equal(event.position, n_rows);
            memcpy(logits + (size_t)n_rows++ * g->n_vocab, event.logits,
                   g->n_vocab * sizeof *logits);
        }
    }
    assert_int_equal(status, SLM_OK);
    assert_int_equal(n_rows, g->n_tokens);
    slm_session_release(session);
    slm_model_release(model);
}

static double error_of(const float *logits, const float *expected, size_t n)
{
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)logits[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return difference / norm;
}

static void test_model(void **state)
{
    const char *name = *state;
    golden g = read_golden(name);
    const size_t n = (size_t)g.n_tokens * g.n_vocab;
    float *logits = calloc(n, sizeof *logits);
    assert_non_null(logits);
    compute(name, &g, SLM_KV_F32, logits);
    const double exact = error_of(logits, g.logits, n);
    compute(name, &g, SLM_KV_F16, logits);
    const double half = error_of(logits, g.logits, n);
    print_message("%-18s KV in float32 %.1e (at most %.0e), in float16 %.1e\n", name, exact,
                  (double)g.limit, half);
    assert_true(exact <= (double)g.limit);
    assert_true(half <= (double)g.limit + 1e-4);
    free(logits);
    free(g.tokens);
    free(g.logits);
}

int main(void)
{
#define MODEL(name) { name, test_model, NULL, NULL, (void *)(uintptr_t)name }
    const struct CMUnitTest tests[] = {
        MODEL("tiny-llama"),  MODEL("tiny-linear"), MODEL("tiny-llama3"),
        MODEL("tiny-qwen2"),  MODEL("tiny-qwen3"),  MODEL("tiny-blocks"),
        MODEL("tiny-super-blocks"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
