/* SPDX-License-Identifier: MIT */
/* Out of memory at every request: of loading, sampling, sessions; and threads that do not start. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#endif

#include "slm/experimental/evaluate.h"
#include "slm/experimental/speculate.h"
#include "slm/slm.h"
#include "slm/tokenizer.h"
#include "support/failing_alloc.h"
#include "support/files.h"
#include "support/tiny_model.h"

static int threads_left = -1; /* that may still start; -1 = any number */

/* Stands in front of the system's, so that starting a thread can fail. */
#if defined(_WIN32)

typedef HANDLE WINAPI create_thread(LPSECURITY_ATTRIBUTES security, SIZE_T stack,
                                    LPTHREAD_START_ROUTINE run, LPVOID ctx, DWORD flags, LPDWORD id);

extern create_thread *__real___imp_CreateThread; /* by the linker's --wrap */
extern create_thread *__wrap___imp_CreateThread;

static HANDLE WINAPI create_or_refuse(LPSECURITY_ATTRIBUTES security, SIZE_T stack,
                                      LPTHREAD_START_ROUTINE run, LPVOID ctx, DWORD flags, LPDWORD id)
{
    if (threads_left == 0) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    threads_left -= threads_left > 0;
    return __real___imp_CreateThread(security, stack, run, ctx, flags, id);
}

create_thread *__wrap___imp_CreateThread = create_or_refuse;

#else

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *ctx)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof(real));
    if (threads_left == 0) {
        return EAGAIN;
    }
    threads_left -= threads_left > 0;
    return real(thread, attributes, run, ctx);
}

#endif

typedef struct world {
    failing_alloc memory;
    uint8_t *file;
    size_t size;
    char path[64];
    slm_model_options options;
} world;

typedef slm_status scenario(world *w);

static slm_status read_file(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    memcpy(buffer, ((const world *)ctx)->file + offset, size);
    return SLM_OK;
}

static slm_status load_from_path(world *w)
{
    slm_model *model;
    const slm_status status = slm_model_load(w->path, &w->options, &model, NULL);
    slm_model_release(model);
    return status;
}

static slm_status load_from_memory(world *w)
{
    slm_model *model;
    const slm_status status = slm_model_load_memory(w->file, w->size, &w->options, &model, NULL);
    slm_model_release(model);
    return status;
}

static slm_status load_from_reader(world *w)
{
    slm_model *model;
    slm_reader reader = SLM_READER_INIT;
    reader.size = w->size;
    reader.ctx = w;
    reader.read = read_file;
    const slm_status status = slm_model_load_reader(&reader, &w->options, &model, NULL);
    slm_model_release(model);
    return status;
}

static slm_status load_tokenizer(world *w)
{
    slm_tokenizer *tokenizer;
    int32_t ids[64];
    size_t n;
    slm_status status = slm_tokenizer_load(w->path, &w->options, &tokenizer, NULL);
    if (status == SLM_OK) {
        status = slm_tokenizer_encode(tokenizer, "some words", 10, 0, ids, 64, &n, NULL);
    }
    slm_tokenizer_release(tokenizer);
    return status;
}

static slm_status chat(world *w)
{
    static const slm_chat_message messages[] = { { "user", "some words", 10 } };
    slm_model *model;
    char text[64];
    int32_t ids[64];
    size_t n;
    slm_status status = slm_model_load_memory(w->file, w->size, &w->options, &model, NULL);
    if (status == SLM_OK) {
        status = slm_chat_render(model, messages, 1, 0, text, sizeof(text), &n, NULL);
    }
    if (status == SLM_OK) {
        status = slm_chat_encode(model, messages, 1, 0, ids, 64, &n, NULL);
    }
    slm_model_release(model);
    return status;
}

static slm_status create_sampler(world *w)
{
    slm_sampler *sampler;
    const slm_status status = slm_sampler_create(TINY_VOCAB, &w->memory.host, &sampler, NULL);
    slm_sampler_release(sampler);
    return status;
}

#define TRY(expression)                \
    do {                               \
        status = (expression);         \
        if (status < 0) {              \
            goto end;                  \
        }                              \
    } while (0)

/* Everything a program does with a session. */
static slm_status use_session(world *w)
{
    slm_model *model = NULL;
    slm_session *session = NULL;
    slm_sequence a, b, c;
    slm_status status;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_generate_options generate = SLM_GENERATE_OPTIONS_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    uint8_t *blob = NULL;
    size_t size;
    options.n_threads = 2;
    options.n_sequences = 3;
    options.n_guesses = 4;
    generate.max_tokens = 3;
    TRY(slm_model_load_memory(w->file, w->size, &w->options, &model, NULL));
    options.draft_model = model;
    TRY(slm_session_estimate(model, &options, &memory, NULL));
    TRY(slm_session_create(model, &options, &session, NULL));
    TRY(slm_session_add_sequence(session, &a, NULL));
    TRY(slm_session_append_text(session, a, "some words", 10, SLM_TEXT_ADD_SPECIAL, NULL));
    TRY(slm_x_session_speculate(session, a, NULL, NULL));
    TRY(slm_session_generate(session, a, &generate, NULL));
    do {
        TRY(slm_session_step(session, 0, NULL));
    } while (status == SLM_MORE);
    TRY(slm_session_fork_sequence(session, a, &b, NULL));
    (void)slm_session_save_sequence(session, a, NULL, NULL, 0, &size, NULL);
    blob = malloc(size);
    TRY(slm_session_save_sequence(session, a, NULL, blob, size, &size, NULL));
    TRY(slm_session_restore_sequence(session, blob, size, NULL, &c, NULL));
    status = SLM_OK;
end:
    free(blob);
    slm_model_release(model);
    slm_session_release(session);
    return status;
}

static slm_status evaluate(world *w)
{
    slm_model *model = NULL;
    slm_x_evaluator *evaluator = NULL;
    slm_status status;
    slm_x_evaluation figures = SLM_X_EVALUATION_INIT;
    slm_x_evaluator_options options = SLM_X_EVALUATOR_OPTIONS_INIT;
    options.n_threads = 2;
    TRY(slm_model_load_memory(w->file, w->size, &w->options, &model, NULL));
    options.reference = model;
    options.reference_kv_type = SLM_KV_F32;
    TRY(slm_x_evaluator_create(model, &options, &evaluator, NULL));
    TRY(slm_x_evaluator_add_text(evaluator, "some words", 10, NULL));
    TRY(slm_x_evaluator_get_result(evaluator, &figures, NULL));
end:
    slm_model_release(model);
    slm_x_evaluator_release(evaluator);
    return status;
}

/* The saved form of a sequence, in memory of the caller's. */
static uint8_t *save(slm_session *session, slm_sequence q, uint32_t form, size_t *size)
{
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    options.form = form;
    (void)slm_session_save_sequence(session, q, &options, NULL, 0, size, NULL);
    uint8_t *blob = malloc(*size);
    assert_int_equal(slm_session_save_sequence(session, q, &options, blob, *size, size, NULL), SLM_OK);
    return blob;
}

/* Prefixes, what is saved relative to them, and tokens that give way to others. */
static slm_status share_and_replace(world *w)
{
    slm_model *model = NULL;
    slm_session *session = NULL, *other = NULL;
    slm_prefix *prefix = NULL;
    slm_sequence a, b, c;
    slm_status status;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    uint8_t *blob = NULL;
    size_t size;
    int32_t tokens[100] = { 7, 8, 9 };
    options.n_threads = 2;
    options.n_sequences = 2;
    options.context_length = 200;
    TRY(slm_model_load_memory(w->file, w->size, &w->options, &model, NULL));
    TRY(slm_session_create(model, &options, &session, NULL));
    TRY(slm_session_add_sequence(session, &a, NULL));
    TRY(slm_session_append(session, a, tokens, 100, 0, NULL));
    TRY(slm_session_step(session, 0, NULL));
    TRY(slm_prefix_create(session, a, "persona", &prefix, NULL));
    TRY(slm_session_create(model, &options, &other, NULL));
    TRY(slm_session_add_sequence(other, &b, NULL));
    TRY(slm_session_append_prefix(other, b, prefix, NULL));
    TRY(slm_session_append(other, b, tokens, 50, 0, NULL));
    TRY(slm_session_step(other, 0, NULL));
    blob = save(other, b, SLM_SAVE_Q8, &size);
    TRY(slm_session_restore_sequence(other, blob, size, prefix, &c, NULL));
    TRY(slm_session_replace(other, c, 20, 70, NULL, 0, SLM_REPLACE_SHIFT, NULL));
    TRY(slm_session_replace(other, b, 20, 70, tokens, 10, 0, NULL));
    do {
        TRY(slm_session_step(other, 0, NULL));
    } while (status == SLM_MORE);
end:
    free(blob);
    slm_prefix_release(prefix);
    slm_session_release(session);
    slm_session_release(other);
    slm_model_release(model);
    return status;
}

static void torture(world *w, scenario *run)
{
    for (int keep_failing = 0; keep_failing < 2; keep_failing++) {
        uint64_t k = 0;
        slm_status status;
        do {
            failing_alloc_arm(&w->memory, ++k, keep_failing);
            status = run(w);
            assert_int_equal(status, w->memory.n_failed > 0 ? SLM_ERR_OUT_OF_MEMORY : SLM_OK);
            assert_true(failing_alloc_is_clean(&w->memory));
        } while (status != SLM_OK);
        assert_true(k > 1);
    }
}

static void at_every_request(void **state)
{
    world *w = *state;
    scenario *const all[] = { load_from_path, load_from_memory, load_from_reader,
                              load_tokenizer, create_sampler,   use_session,
                              share_and_replace,
                              evaluate,       chat };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        torture(w, all[i]);
    }
}

static void when_threads_do_not_start(void **state)
{
    world *w = *state;
    slm_model *model;
    slm_session *session;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_model_options load = w->options;
    slm_sequence q;
    const int32_t tokens[3] = { 5, 6, 7 };
    failing_alloc_arm(&w->memory, 0, 0);
    load.n_threads = 4;
    for (threads_left = 0; threads_left < 3;) {
        const int next = threads_left + 1;
        assert_int_equal(slm_model_load_memory(w->file, w->size, &load, &model, NULL),
                         SLM_ERR_SYSTEM);
        threads_left = next;
    }
    threads_left = -1;
    assert_int_equal(slm_model_load_memory(w->file, w->size, &load, &model, NULL), SLM_OK);
    options.n_threads = 4;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    assert_int_equal(slm_session_append(session, q, tokens, 3, 0, NULL), SLM_OK);
    threads_left = 1;
    assert_int_equal(slm_session_step(session, 0, NULL), SLM_ERR_SYSTEM);
    assert_int_equal(slm_session_step(session, 0, NULL), SLM_ERR_SYSTEM);
    threads_left = -1;
    assert_int_equal(slm_session_step(session, 0, NULL), SLM_OK);
    slm_session_release(session);
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&w->memory));
}

/* The first tensor that a load reads, and a small one. */
static void add_factors(gguf_builder *b)
{
    const float factors[8] = { 1, 1, 1, 2, 3, 8, 8, 8 };
    const uint64_t length = 8;
    gguf_add_tensor(b, "rope_freqs.weight", TINY_F32, 1, &length, factors, sizeof(factors));
}

static int set_up(void **state)
{
    static world w;
    const tiny_model description = { .n_layers = 1, .family = "qwen2", .extend = add_factors };
    w.file = tiny_model_make(&description, &w.size);
    failing_alloc_init(&w.memory);
    w.options = (slm_model_options)SLM_MODEL_OPTIONS_INIT;
    w.options.n_threads = 2;
    w.options.host = &w.memory.host;
    test_path(w.path, sizeof(w.path), "oom");
    *state = &w;
    return !test_file_write(w.path, w.file, w.size);
}

static int tear_down(void **state)
{
    world *w = *state;
    test_file_remove(w->path);
    free(w->file);
    failing_alloc_destroy(&w->memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_every_request),
        cmocka_unit_test(when_threads_do_not_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
