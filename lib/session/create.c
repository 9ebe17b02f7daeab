/* SPDX-License-Identifier: MIT */
/* Creating a session: options to sizes, sizes to memory, all of it at once. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "base/options.h"
#include "session/session.h"

#define MOST_SEQUENCES 65535
#define MOST_BATCH 4096
#define MOST_TOP 64
#define DEFAULT_CONTEXT 4096
#define DEFAULT_BATCH 256
#define GUESSES_PER_SPARE 8

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static slm_status check_ranges(const slmi_session_config *c, const slmi_hyper *h, slm_error *err)
{
    SLM_FAIL_IF(c->n_threads > SLMI_MOST_THREADS, SLM_ERR_INVALID_ARGUMENT,
                "n_threads is %u; at most %u are possible", c->n_threads, SLMI_MOST_THREADS);
    SLM_FAIL_IF(c->context_length > h->context_length, SLM_ERR_INVALID_ARGUMENT,
                "context_length is %u; the model was made for at most %u", c->context_length,
                h->context_length);
    SLM_FAIL_IF(c->n_sequences > MOST_SEQUENCES, SLM_ERR_INVALID_ARGUMENT,
                "n_sequences is %u; at most %u are possible", c->n_sequences, MOST_SEQUENCES);
    SLM_FAIL_IF(c->batch_tokens > MOST_BATCH, SLM_ERR_INVALID_ARGUMENT,
                "batch_tokens is %u; at most %u are possible", c->batch_tokens, MOST_BATCH);
    SLM_FAIL_IF(c->kv_type > SLM_KV_Q4, SLM_ERR_INVALID_ARGUMENT,
                "kv_type %u does not exist", c->kv_type);
    SLM_FAIL_IF(c->n_guesses > SLMI_MOST_GUESSES, SLM_ERR_INVALID_ARGUMENT,
                "n_guesses is %u; at most %u are possible", c->n_guesses, SLMI_MOST_GUESSES);
    SLM_FAIL_IF(c->top_logprobs > MOST_TOP || c->top_logprobs > h->n_vocab, SLM_ERR_INVALID_ARGUMENT,
                "top_logprobs is %u; at most %u are possible", c->top_logprobs, MOST_TOP);
    return SLM_OK;
}

static slm_status check_draft(const slm_model *model, const slm_session_options *o, slm_error *err)
{
    SLM_FAIL_IF(o->reserved1 != 0, SLM_ERR_INVALID_ARGUMENT, "reserved1 must be 0");
    if (o->draft_model == NULL) {
        return SLM_OK;
    }
    SLM_FAIL_IF(o->n_guesses == 0, SLM_ERR_INVALID_ARGUMENT, "a draft_model needs n_guesses");
    return slmi_check_vocabulary(model, o->draft_model, "draft model", err);
}

static slm_status configure(const slm_model *model, const slm_session_options *o,
                            slmi_session_config *c, slm_error *err)
{
    const slmi_hyper *h = &model->hyper;
    memset(c, 0, sizeof(*c));
    c->n_threads = or_default(o->n_threads, slmi_cpu_count());
    c->context_length = or_default(
        o->context_length, h->context_length < DEFAULT_CONTEXT ? h->context_length : DEFAULT_CONTEXT);
    c->n_sequences = or_default(o->n_sequences, 1);
    c->batch_tokens = or_default(o->batch_tokens, DEFAULT_BATCH);
    c->logit_rows = or_default(o->logit_rows, c->n_sequences);
    c->kv_type = o->kv_type;
    c->top_logprobs = o->top_logprobs;
    c->n_guesses = o->n_guesses;
    c->max_memory_bytes = o->max_memory_bytes;
    SLM_FAIL_IF(o->reserved0 != NULL, SLM_ERR_INVALID_ARGUMENT, "reserved0 must be NULL");
    SLM_TRY(check_ranges(c, h, err));
    SLM_TRY(check_draft(model, o, err));
    if (c->logit_rows > c->batch_tokens) {
        c->logit_rows = c->batch_tokens;
    }
    c->pages_per_sequence = slmk_pages_of(c->context_length);
    const uint64_t all = (uint64_t)c->pages_per_sequence * c->n_sequences;
    const uint64_t asked = ((uint64_t)o->pool_tokens + SLMK_PAGE - 1) / SLMK_PAGE;
    const uint64_t n_pages = o->pool_tokens != 0 && asked < all ? asked : all;
    c->n_pages = (uint32_t)n_pages; /* at most 65,535 * 2^20 / 64 */
    c->kernels = slmk_table_get(o->cpu_level);
    SLM_FAIL_IF(c->kernels == NULL, SLM_ERR_UNSUPPORTED,
                "this processor does not offer cpu_level %u", o->cpu_level);
    c->host = model->host;
    c->tasks = model->tasks;
    if (o->host != NULL) {
        memset(&c->host, 0, sizeof(c->host));
        SLM_TRY(slmi_options_copy(&c->host, sizeof(c->host), o->host, "slm_host", err));
        SLM_TRY(slmi_tasks_copy(&c->tasks, c->host.tasks, err));
    }
    return SLM_OK;
}

/* Hands out parts of one block, or, without a block, only counts. */
typedef struct carver {
    uint8_t *base;
    size_t size;
    int overflow;
} carver;

static void *carve(carver *c, uint64_t count, size_t element_size)
{
    uint64_t bytes;
    if (!slmi_mul_u64(count, element_size, &bytes) || bytes > SIZE_MAX / 2 - c->size) {
        c->overflow = 1;
        return NULL;
    }
    void *part = c->base == NULL ? NULL : c->base + c->size;
    c->size = (size_t)slmi_round_up(c->size + bytes, SLMI_CACHE_LINE);
    return part;
}

static void carve_sequences(slm_session *s, carver *c, uint32_t stream_bytes)
{
    const slmi_session_config *config = &s->config;
    const uint32_t n = config->n_sequences;
    s->sequences = carve(c, n, sizeof(slmi_sequence));
    int32_t *tokens = carve(c, (uint64_t)n * config->context_length, sizeof(int32_t));
    const uint32_t bit_bytes = (config->context_length + 7) / 8;
    uint8_t *bits = carve(c, (uint64_t)n * bit_bytes, 1);
    uint32_t *pages = carve(c, (uint64_t)n * config->pages_per_sequence, sizeof(uint32_t));
    uint8_t **data = carve(c, (uint64_t)n * config->pages_per_sequence, sizeof(uint8_t *));
    char *held = carve(c, (uint64_t)n * stream_bytes, 1);
    char *stops = carve(c, (uint64_t)n * SLMI_STREAM_STOP_SIZE, 1);
    s->event_text = carve(c, ((uint64_t)n * 2 + config->n_guesses) * stream_bytes, 1);
    if (c->base == NULL) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        slmi_sequence *sequence = &s->sequences[i];
        sequence->tokens = tokens + (size_t)i * config->context_length;
        sequence->wants_logits = bits + (size_t)i * bit_bytes;
        sequence->pages = pages + (size_t)i * config->pages_per_sequence;
        sequence->page_data = data + (size_t)i * config->pages_per_sequence;
        sequence->stream.held = held + (size_t)i * stream_bytes;
        sequence->stream.stop = stops + (size_t)i * SLMI_STREAM_STOP_SIZE;
        sequence->stream.capacity = stream_bytes;
    }
}

/* Nothing of it without guesses. */
static void carve_speculation(slm_session *s, carver *c)
{
    const slmi_session_config *config = &s->config;
    const uint32_t n = config->n_guesses > 0 ? config->n_sequences : 0;
    const uint32_t n_buckets = slmi_lookup_buckets(config->context_length);
    s->n_spares = slmi_min_u32(n, (config->n_guesses + GUESSES_PER_SPARE - 1) / GUESSES_PER_SPARE);
    s->spares = carve(c, s->n_spares, sizeof(uint32_t));
    int32_t *guesses = carve(c, (uint64_t)n * config->n_guesses, sizeof(int32_t));
    uint32_t *newest = carve(c, (uint64_t)n * n_buckets, sizeof(uint32_t));
    uint32_t *before = carve(c, (uint64_t)n * config->context_length, sizeof(uint32_t));
    for (uint32_t i = 0; c->base != NULL && i < n; i++) {
        slmi_speculation *speculation = &s->sequences[i].speculation;
        speculation->guesses = guesses + (size_t)i * config->n_guesses;
        speculation->lookup.newest = newest + (size_t)i * n_buckets;
        speculation->lookup.before = before + (size_t)i * config->context_length;
        speculation->lookup.n_buckets = n_buckets;
    }
}

static void carve_drawings(slm_session *s, carver *c)
{
    const uint32_t n_vocab = s->model->hyper.n_vocab;
    s->drawings = carve(c, s->config.n_threads, sizeof(slmi_drawing));
    for (uint32_t i = 0; i < s->config.n_threads; i++) {
        void *block = carve(c, slmi_sampler_scratch_size(n_vocab), 1);
        if (block != NULL) {
            slmi_sampler_scratch_init(&s->drawings[i].scratch, n_vocab, block);
        }
    }
}

/* For one panel of keys in the largest type, and for one key with its angles. */
static void carve_conversion(slm_session *s, carver *c)
{
    uint32_t width = 0;
    for (uint32_t i = 0; i < s->model->plan.n_slots; i++) {
        const uint32_t d = s->model->plan.slots[i].head_width;
        width = d > width ? d : width;
    }
    s->kv_panel = carve(c, (uint64_t)width * SLMK_ROWS, sizeof(float));
    s->kv_row = carve(c, (uint64_t)width * 3, sizeof(float));
}

/* Everything but the cache lies first and is cleared; the cache is not. */
static void carve_all(slm_session *s, carver *c, size_t *cleared)
{
    const slmi_session_config *config = &s->config;
    const uint32_t t = config->batch_tokens + config->n_guesses;
    const uint32_t n = config->n_sequences;
    const uint32_t w = config->logit_rows + config->n_guesses;
    carve_sequences(s, c, slmi_stream_capacity(slmi_tokenizer_longest_piece(s->model->tokenizer)));
    carve_speculation(s, c);
    s->page_references = carve(c, (uint64_t)config->n_pages + s->n_spares, sizeof(uint32_t));
    s->free_pages = carve(c, config->n_pages, sizeof(uint32_t));
    s->batch_tokens = carve(c, t, sizeof(int32_t));
    s->batch_positions = carve(c, t, sizeof(uint32_t));
    s->batch_row_pages = carve(c, t, sizeof(uint8_t *));
    s->batch_wanted = carve(c, w, sizeof(uint32_t));
    s->wanted = carve(c, w, sizeof(slmi_wanted));
    s->runs = carve(c, n, sizeof(slmi_run));
    s->run_sequences = carve(c, n, sizeof(uint32_t));
    s->run_tiles = carve(c, (uint64_t)n + 1, sizeof(uint32_t));
    s->ready = carve(c, n, sizeof(uint32_t));
    s->cancelled = carve(c, n, sizeof(_Atomic uint32_t));
    s->events = carve(c, (uint64_t)3 * n + w, sizeof(slm_event));
    s->top_tokens = carve(c, (uint64_t)w * config->top_logprobs, sizeof(int32_t));
    s->top_logprobs = carve(c, (uint64_t)w * config->top_logprobs, sizeof(float));
    carve_drawings(s, c);
    carve_conversion(s, c);
    *cleared = c->size;
    s->exec.worker_scratch = carve(c, config->n_threads, s->exec_plan.worker_bytes);
    s->exec.scratch = carve(c, s->exec_plan.scratch_bytes, 1);
    s->page_memory = carve(c, (uint64_t)config->n_pages + s->n_spares, s->exec_plan.page_bytes);
}

/* The executable plan, the size of the arena and of its first part, which is cleared; `s` has a model,
 * an allocator and a configuration. */
static slm_status measure(slm_session *s, size_t *arena_bytes, size_t *cleared, slm_error *err)
{
    const slmi_lower_options lower = { .max_tokens = s->config.batch_tokens + s->config.n_guesses,
                                       .max_wanted = s->config.logit_rows + s->config.n_guesses,
                                       .kv_type = s->config.kv_type,
                                       .fuse = 1 };
    SLM_TRY(slmi_lower(&s->model->plan, &lower, &s->alloc, &s->exec_plan, err));
    carver counter = { NULL, 0, 0 };
    carve_all(s, &counter, cleared);
    SLM_FAIL_IF(counter.overflow, SLM_ERR_INVALID_ARGUMENT,
                "these options need more memory than can be addressed");
    *arena_bytes = counter.size;
    return SLM_OK;
}

static uint64_t logit_bytes(const slm_session *s)
{
    return s->exec_plan.floats[s->model->plan.logits].stride *
           ((uint64_t)s->config.logit_rows + s->config.n_guesses);
}

/* Adds the draft model's session, which has no workers of its own. */
static slm_status add_draft(const slmi_session_config *config, const slm_session_options *options,
                            slm_session_memory *memory, slm_error *err)
{
    slm_session_memory draft = SLM_SESSION_MEMORY_INIT;
    const slm_session_options o = slmi_draft_options(options, config->context_length);
    SLM_TRY(slmi_session_estimate(options->draft_model, &o, &draft, err));
    memory->kv_bytes += draft.kv_bytes;
    memory->scratch_bytes += draft.scratch_bytes;
    memory->logit_bytes += draft.logit_bytes;
    memory->total_bytes += draft.total_bytes - slmi_pool_memory(config->n_threads);
    return SLM_OK;
}

slm_status slmi_session_estimate(const slm_model *model, const slm_session_options *options,
                                 slm_session_memory *memory, slm_error *err)
{
    slm_session probe;
    size_t arena_bytes = 0, cleared = 0;
    memset(&probe, 0, sizeof(probe));
    probe.model = (slm_model *)(uintptr_t)model;
    SLM_TRY(configure(model, options, &probe.config, err));
    (void)slmi_alloc_init(&probe.alloc, NULL, 0, NULL);
    probe.alloc.host = model->alloc.host;
    const slm_status status = measure(&probe, &arena_bytes, &cleared, err);
    if (status != SLM_OK) {
        slmi_exec_plan_free(&probe.exec_plan);
        return status;
    }
    memory->n_pages = probe.config.n_pages;
    memory->page_bytes = probe.exec_plan.page_bytes;
    memory->kv_bytes = ((uint64_t)probe.config.n_pages + probe.n_spares) * probe.exec_plan.page_bytes;
    memory->scratch_bytes = probe.exec_plan.scratch_bytes - logit_bytes(&probe) +
                            (uint64_t)probe.config.n_threads * probe.exec_plan.worker_bytes;
    memory->logit_bytes = logit_bytes(&probe);
    memory->total_bytes = sizeof(slm_session) + atomic_load(&probe.alloc.used) +
                          slmi_pool_memory(probe.config.n_threads) + arena_bytes;
    slmi_exec_plan_free(&probe.exec_plan);
    return options->draft_model != NULL ? add_draft(&probe.config, options, memory, err) : SLM_OK;
}

static uint64_t system_clock(void *ctx)
{
    (void)ctx;
    return slmi_clock_ns();
}

/* Takes the arena and connects the executor. `pool` is another session's, or NULL. */
static slm_status assemble(slm_session *s, slmi_pool *pool, slm_error *err)
{
    size_t arena_bytes = 0;
    size_t cleared = 0;
    SLM_TRY(measure(s, &arena_bytes, &cleared, err));
    s->pool = pool;
    if (pool == NULL) {
        s->pool = &s->own_pool;
        SLM_TRY(slmi_pool_init(s->pool, s->config.n_threads, &s->config.tasks, &s->alloc, err));
    }
    s->arena = slmi_new_raw(&s->alloc, arena_bytes, SLMI_CACHE_LINE);
    if (s->arena == NULL) {
        return slmi_alloc_fail(&s->alloc, arena_bytes, err);
    }
    s->arena_bytes = arena_bytes;
    carver carving = { s->arena, 0, 0 };
    memset(s->arena, 0, cleared); /* before carving, which writes pointers into the sequences */
    carve_all(s, &carving, &cleared);
    for (uint32_t i = 0; i < s->config.n_pages; i++) {
        s->free_pages[i] = s->config.n_pages - 1 - i;
    }
    s->n_free_pages = s->config.n_pages;
    for (uint32_t i = 0; i < s->n_spares; i++) {
        s->spares[i] = s->config.n_pages + i;
    }
    SLM_TRY(slmi_gate_init(&s->exec.gate, err));
    s->exec.plan = &s->exec_plan;
    s->exec.kernels = s->config.kernels;
    s->exec.pool = s->pool;
    s->exec.cancel = &s->cancel;
    s->exec.clock = s->config.host.clock != NULL ? s->config.host.clock : system_clock;
    s->exec.clock_ctx = s->config.host.clock_ctx;
    return SLM_OK;
}

static slm_status create(slm_model *model, const slm_session_options *options, slmi_pool *pool,
                         slm_session **out, slm_error *err)
{
    slmi_session_config config;
    slmi_alloc alloc;
    *out = NULL;
    SLM_TRY(configure(model, options, &config, err));
    const slm_host *own_host = options->host != NULL ? &config.host : NULL;
    SLM_TRY(slmi_alloc_init(&alloc, own_host, config.max_memory_bytes, err));
    if (own_host == NULL) {
        alloc.host = model->alloc.host;
    }
    slm_session *session = slmi_new(&alloc, sizeof(*session), SLMI_CACHE_LINE);
    if (session == NULL) {
        return slmi_alloc_fail(&alloc, sizeof(*session), err);
    }
    session->alloc = alloc;
    session->config = config;
    session->config.host.allocator = NULL;
    session->config.host.tasks = NULL;
    session->model = model;
    const slm_status status = assemble(session, pool, err);
    if (status != SLM_OK) {
        slmi_session_destroy(session);
        return status;
    }
    slmi_log(&session->config.host, SLM_LOG_INFO,
             "session: %u threads, level %s, %u sequences of %u tokens, %llu bytes",
             session->config.n_threads, session->config.kernels->name, session->config.n_sequences,
             session->config.context_length, (unsigned long long)atomic_load(&session->alloc.used));
    *out = session;
    return SLM_OK;
}

static slm_status create_draft(slm_session *session, const slm_session_options *options, slm_error *err)
{
    slm_session_options o = slmi_draft_options(options, session->config.context_length);
    o.max_memory_bytes = slmi_limit_left(session->alloc.limit, atomic_load(&session->alloc.used));
    SLM_TRY(create(options->draft_model, &o, session->pool, &session->draft, err));
    return slmi_draft_begin(session, err);
}

slm_status slmi_session_create(slm_model *model, const slm_session_options *options,
                               slm_session **out, slm_error *err)
{
    SLM_TRY(create(model, options, NULL, out, err));
    const slm_status status = options->draft_model != NULL ? create_draft(*out, options, err) : SLM_OK;
    if (status != SLM_OK) {
        slmi_session_destroy(*out);
        *out = NULL;
    }
    return status;
}

void slmi_session_destroy(slm_session *session)
{
    if (session->draft != NULL) {
        slmi_session_destroy(session->draft);
    }
    slmi_pool_destroy(&session->own_pool);
    slmi_gate_destroy(&session->exec.gate);
    for (uint32_t i = 0; session->sequences != NULL && i < session->config.n_sequences; i++) {
        slmi_prefix_release(session->sequences[i].prefix);
    }
    slmi_profile_free(session->exec.profile, &session->exec_plan, &session->alloc);
    slmi_exec_plan_free(&session->exec_plan);
    slmi_free(&session->alloc, session->arena, session->arena_bytes, SLMI_CACHE_LINE);
    slmi_alloc alloc = session->alloc;
    slmi_free(&alloc, session, sizeof(*session), SLMI_CACHE_LINE);
}
