/* SPDX-License-Identifier: MIT */
/* One hash of all logits and written tokens for each tiny model, whatever the threads, the batches, the
 * company, the processor level, the caller's floating-point state; needs no test framework. */
#include <fenv.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "slm/slm.h"
#include "support/tiny_model.h"

#define N_TOKENS 150 /* three pages of the cache */
#define N_WRITTEN 20
#define HASH_START UINT64_C(14695981039346656037)

/* How the same work is done. Zeros: one thread, one piece, alone, the best processor level. */
typedef struct manner {
    const char *name;
    uint32_t n_threads, batch_tokens, piece, level, n_others, logit_rows;
    uint32_t save_at, save_form; /* saved when so many tokens are computed, as SLM_SAVE_* */
    uint32_t prefix_at;          /* so many tokens become a prefix that another sequence begins with */
    uint32_t tasks;              /* 1: a job system in place of threads */
    uint64_t budget_us;
    int odd_environment; /* flush to zero, and another rounding */
} manner;

static const manner manners[] = {
    { .name = "2 threads", .n_threads = 2 },
    { .name = "3 threads", .n_threads = 3, .batch_tokens = 64 },
    { .name = "5 threads", .n_threads = 5 },
    { .name = "batches of 1", .batch_tokens = 1 },
    { .name = "batches of 7", .batch_tokens = 7, .n_threads = 2 },
    { .name = "batches of 64", .batch_tokens = 64 },
    { .name = "batches of 256", .batch_tokens = 256 },
    { .name = "token by token", .piece = 1 },
    { .name = "pieces of 37", .piece = 37 },
    { .name = "few rows of logits", .logit_rows = 3 },
    { .name = "in company", .n_others = 3, .n_threads = 2 },
    { .name = "in company, small batches", .n_others = 3, .batch_tokens = 9 },
    { .name = "saved and restored", .save_at = 70, .piece = 10 },
    { .name = "restored from tokens", .save_at = 70, .piece = 35, .save_form = SLM_SAVE_TOKENS },
    { .name = "prefix", .prefix_at = 70, .piece = 10 },
    { .name = "prefix of a page", .prefix_at = 64, .piece = 64, .n_threads = 2 },
    { .name = "budget of 1 us", .budget_us = 1, .n_threads = 2 },
    { .name = "budget of 50 us", .budget_us = 50, .n_threads = 3 },
    { .name = "host tasks", .tasks = 1, .n_threads = 4 },
    { .name = "host tasks, budget of 50 us", .tasks = 1, .n_threads = 4, .budget_us = 50 },
    { .name = "odd environment", .odd_environment = 1, .n_threads = 2 },
    { .name = "plain C", .level = SLM_CPU_SCALAR },
    { .name = "avx2", .level = SLM_CPU_AVX2 },
    { .name = "avx2, 3 threads, in company", .level = SLM_CPU_AVX2, .n_threads = 3, .n_others = 2 },
    { .name = "avx-vnni", .level = SLM_CPU_AVX_VNNI },
    { .name = "avx512", .level = SLM_CPU_AVX512 },
    { .name = "neon", .level = SLM_CPU_NEON },
    { .name = "neon-dot", .level = SLM_CPU_NEON_DOT },
    { .name = "neon-i8mm", .level = SLM_CPU_NEON_I8MM },
};

static const struct {
    const char *family;
    uint32_t type, kv_type;
    uint64_t golden;     /* for numerics version 1 */
    uint32_t head_width; /* 0 = 16 */
} cases[] = {
#include "golden.h"
};

#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return h;
}

static void set_odd_environment(int odd)
{
#if defined(__SSE2__)
    _mm_setcsr(odd ? 0x1F80 | 0x8040 : 0x1F80);
#endif
    fesetround(odd ? FE_UPWARD : FE_TONEAREST);
}

typedef struct work {
    slm_session *session;
    slm_sequence sequence;
    const manner *how;
    uint32_t n_seen; /* logits */
    uint64_t h;
} work;

static void take_event(work *w, const slm_event *event)
{
    if (event->sequence != w->sequence) {
        return;
    }
    if (event->type == SLM_EVENT_LOGITS) {
        MUST(event->position == w->n_seen++ && event->n_logits == TINY_VOCAB);
        w->h = hash(w->h, event->logits, event->n_logits * sizeof(float));
    } else if (event->type == SLM_EVENT_TOKEN) {
        w->h = hash(w->h, &event->token, sizeof(event->token));
        w->h = hash(w->h, &event->logprob, sizeof(event->logprob));
    }
}

static void run(work *w)
{
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        set_odd_environment(w->how->odd_environment);
        status = slm_session_step(w->session, w->how->budget_us, NULL);
        MUST(!w->how->odd_environment || fegetround() == FE_UPWARD);
        set_odd_environment(0);
        MUST(status == SLM_MORE || status == SLM_OK);
        while (slm_session_get_event(w->session, &event, NULL) == SLM_OK) {
            take_event(w, &event);
        }
    }
}

static void save_and_restore(work *w)
{
    size_t size;
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    options.form = w->how->save_form;
    MUST(slm_session_save_sequence(w->session, w->sequence, &options, NULL, 0, &size, NULL) ==
         SLM_ERR_BUFFER_TOO_SMALL);
    void *blob = malloc(size);
    MUST(slm_session_save_sequence(w->session, w->sequence, &options, blob, size, &size, NULL) == SLM_OK);
    MUST(slm_session_remove_sequence(w->session, w->sequence, NULL) == SLM_OK);
    MUST(slm_session_restore_sequence(w->session, blob, size, NULL, &w->sequence, NULL) == SLM_OK);
    free(blob);
}

/* Another sequence goes on from what this one has computed. */
static void begin_with_prefix(work *w)
{
    slm_prefix *prefix;
    MUST(slm_prefix_create(w->session, w->sequence, "so far", &prefix, NULL) == SLM_OK);
    MUST(slm_session_remove_sequence(w->session, w->sequence, NULL) == SLM_OK);
    MUST(slm_session_add_sequence(w->session, &w->sequence, NULL) == SLM_OK);
    MUST(slm_session_append_prefix(w->session, w->sequence, prefix, NULL) == SLM_OK);
    slm_prefix_release(prefix);
}

/* A job system of one thread: every other task is run at once, the rest when it is waited for. */
typedef struct job {
    void (*run)(void *task);
    void *task;
} job;

typedef struct jobs {
    job queue[8];
    uint32_t n;
} jobs;

static void *enqueue(void *ctx, void (*run_task)(void *task), void *task)
{
    jobs *all = ctx;
    if (all->n++ % 2 == 0) {
        run_task(task);
        return NULL;
    }
    all->queue[all->n % 8] = (job){ run_task, task };
    return &all->queue[all->n % 8];
}

static void wait_for(void *ctx, void *handle)
{
    const job *waiting = handle;
    (void)ctx;
    waiting->run(waiting->task);
}

/* Sequences that run beside, some of them writing. */
static void add_others(work *w)
{
    for (uint32_t i = 0; i < w->how->n_others; i++) {
        slm_sequence other;
        const int32_t tokens[3] = { TINY_BEGIN, (int32_t)(TINY_LETTER + i), TINY_SPACE };
        slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
        options.max_tokens = 50;
        options.flags = SLM_GENERATE_IGNORE_END;
        MUST(slm_session_add_sequence(w->session, &other, NULL) == SLM_OK);
        MUST(slm_session_append(w->session, other, tokens, 3, 0, NULL) == SLM_OK);
        MUST(slm_session_generate(w->session, other, &options, NULL) == SLM_OK);
    }
}

static void append_and_write(work *w)
{
    int32_t tokens[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) {
        tokens[i] = i == 0 ? TINY_BEGIN : i * 7 % TINY_VOCAB;
    }
    const uint32_t piece = w->how->piece != 0 ? w->how->piece : N_TOKENS;
    for (uint32_t done = 0; done < N_TOKENS;) {
        const uint32_t n = N_TOKENS - done < piece ? N_TOKENS - done : piece;
        MUST(slm_session_append(w->session, w->sequence, tokens + done, n, SLM_APPEND_LOGITS, NULL) ==
             SLM_OK);
        done += n;
        if (piece != N_TOKENS) {
            run(w);
        }
        if (w->how->save_at != 0 && w->how->save_at == done) {
            save_and_restore(w);
        }
        if (w->how->prefix_at != 0 && w->how->prefix_at == done) {
            begin_with_prefix(w);
        }
    }
    run(w);
    MUST(w->n_seen == N_TOKENS);
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = N_WRITTEN;
    options.flags = SLM_GENERATE_IGNORE_END;
    MUST(slm_session_generate(w->session, w->sequence, &options, NULL) == SLM_OK);
    run(w);
}

/* 0 if the processor lacks the level. */
static int do_work(slm_model *model, uint32_t kv_type, const manner *how, uint64_t *out)
{
    work w = { .how = how, .h = HASH_START };
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = how->n_threads != 0 ? how->n_threads : 1;
    options.n_sequences = 1 + how->n_others;
    options.batch_tokens = how->batch_tokens;
    options.logit_rows = how->logit_rows != 0 ? how->logit_rows : 256;
    options.kv_type = kv_type;
    options.cpu_level = how->level;
    jobs all = { .n = 0 };
    slm_tasks tasks = SLM_TASKS_INIT;
    slm_host host = SLM_HOST_INIT;
    tasks.ctx = &all;
    tasks.enqueue = enqueue;
    tasks.wait = wait_for;
    host.tasks = &tasks;
    options.host = how->tasks ? &host : NULL;
    const slm_status status = slm_session_create(model, &options, &w.session, NULL);
    if (status == SLM_ERR_UNSUPPORTED) {
        return 0;
    }
    MUST(status == SLM_OK);
    slm_sampler *sampler;
    MUST(slm_sampler_create(TINY_VOCAB, NULL, &sampler, NULL) == SLM_OK);
    MUST(slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, 1.0f, NULL) == SLM_OK);
    MUST(slm_sampler_set_u32(sampler, SLM_SAMPLER_SEED, 42, NULL) == SLM_OK);
    if (how->n_others > 0) {
        add_others(&w);
        MUST(slm_session_step(w.session, 0, NULL) == SLM_MORE);
    }
    MUST(slm_session_add_sequence(w.session, &w.sequence, NULL) == SLM_OK);
    append_and_write(&w);
    MUST(slm_session_set_sampler(w.session, w.sequence, sampler, NULL) == SLM_OK);
    slm_generate_options generate = SLM_GENERATE_OPTIONS_INIT;
    generate.max_tokens = N_WRITTEN;
    generate.flags = SLM_GENERATE_IGNORE_END;
    MUST(slm_session_generate(w.session, w.sequence, &generate, NULL) == SLM_OK);
    run(&w);
    slm_sampler_release(sampler);
    slm_session_release(w.session);
    *out = w.h;
    return 1;
}

static int check_case(size_t index)
{
    tiny_model description = { .family = cases[index].family, .type = cases[index].type };
    if (cases[index].head_width != 0) {
        description.width = 2 * cases[index].head_width;
        description.n_heads = 2;
        description.n_kv_heads = 1;
    }
    size_t size;
    uint8_t *file = tiny_model_make(&description, &size);
    slm_model *model;
    MUST(slm_model_load_memory(file, size, NULL, &model, NULL) == SLM_OK);
    free(file);
    const manner plain = { .name = "plain" };
    uint64_t expected;
    int failed = 0;
    MUST(do_work(model, cases[index].kv_type, &plain, &expected));
    printf("    { \"%s\", %u, %u, UINT64_C(0x%016" PRIx64 "), %u },\n", cases[index].family,
           cases[index].type, cases[index].kv_type, expected, cases[index].head_width);
    if (slm_numerics_version() == 1 && expected != cases[index].golden) {
        printf("differs from the golden hash %016" PRIx64 "\n", cases[index].golden);
        failed = 1;
    }
    for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
        uint64_t h;
        if (do_work(model, cases[index].kv_type, &manners[i], &h) && h != expected) {
            printf("%s: %016" PRIx64 "\n", manners[i].name, h);
            failed = 1;
        }
    }
    slm_model_release(model);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        failed |= check_case(i);
    }
    return failed;
}
