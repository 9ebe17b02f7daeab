/* SPDX-License-Identifier: MIT */
/* Random legal and illegal calls of the whole interface; each input byte chooses a call or one of its
 * arguments. A call may only answer what its comment promises; no page and no block may be lost, work comes
 * to an end, and a sequence that nothing inexact happened to has the bits of one that was computed anew. */
#include "fuzz_api.h"

#include "base/text.h"
#include "session/session.h"

uint8_t take(world *w)
{
    if (w->size == 0) {
        return 0;
    }
    w->size--;
    return *w->data++;
}

uint32_t take_number(world *w)
{
    static const uint32_t borders[] = { 0,   1,   63,  64,         65,          127,
                                        128, 192, 256, 0x7FFFFFFF, 0x80000000u, UINT32_MAX };
    const uint8_t choice = take(w);
    return choice < 12 ? borders[choice] : choice < 128 ? choice % 32u : take(w);
}

slm_error *fresh_error(world *w)
{
    w->err = (slm_error)SLM_ERROR_INIT;
    return &w->err;
}

void check_status(world *w, slm_status status, const slm_status *allowed, size_t n)
{
    int found = status == SLM_ERR_OUT_OF_MEMORY && w->memory->n_failed > 0;
    for (size_t i = 0; i < n; i++) {
        found |= status == allowed[i];
    }
    if (!found) {
        fprintf(stderr, "%s: %s\n", slm_status_name(status), w->err.message);
    }
    MUST(found);
    MUST(w->err.code == (status < 0 ? status : SLM_OK));
    MUST((w->err.message[0] != '\0') == (status < 0));
}

void wild_size(world *w, void *options, uint32_t right)
{
    uint32_t size = right;
    switch (take(w)) {
    case 0:
        size = right + take(w) % 33;
        break;
    case 1:
        size = take(w) % (right + 1);
        break;
    case 2:
        memset((uint8_t *)options + right, take(w), 32);
        size = right + 8;
        break;
    default:
        break;
    }
    memcpy(options, &size, sizeof(size));
}

/* Inside a step nothing but cancelling and releasing is allowed. */
static void make_mischief(world *w)
{
    slm_session *session = w->stepping;
    size_t size;
    slm_event event = SLM_EVENT_INIT;
    slm_prefix *prefix = w->prefixes[0].prefix;
    const slm_sequence id = w->ids[0].id;
    switch (w->mischief) {
    case 1:
        slm_session_cancel(session);
        break;
    case 2:
        slm_session_cancel_sequence(session, id);
        break;
    case 3:
        MUST(slm_session_step(session, 0, NULL) == SLM_ERR_BUSY);
        MUST(slm_session_append(session, id, NULL, 0, 0, NULL) == SLM_ERR_BUSY);
        MUST(slm_session_get_event(session, &event, NULL) == SLM_ERR_BUSY);
        MUST(slm_session_replace(session, id, 0, 1, NULL, 0, 0, NULL) == SLM_ERR_BUSY);
        MUST(slm_session_set_u32(session, id, SLM_SEQUENCE_FULL, 1, NULL) == SLM_ERR_BUSY);
        break;
    case 4:
        MUST(slm_session_remove_sequence(session, id, NULL) == SLM_ERR_BUSY);
        MUST(slm_session_save_sequence(session, id, NULL, NULL, 0, &size, NULL) == SLM_ERR_BUSY);
        MUST(prefix == NULL ||
             slm_session_append_prefix(session, id, prefix, NULL) == SLM_ERR_BUSY);
        MUST(slm_prefix_create(session, id, "x", &prefix, NULL) == SLM_ERR_BUSY);
        break;
    case 5:
        if (!w->released) {
            slm_session_release(session);
            w->released = 1;
        }
        break;
    default:
        break;
    }
}

static uint64_t random_clock(void *ctx)
{
    world *w = ctx;
    if (w->stepping != NULL) {
        make_mischief(w);
    }
    w->time = w->time * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return w->time >> 40;
}

static void run_tasks(player *p)
{
    while (p->n_tasks > 0) {
        const task t = p->tasks[--p->n_tasks];
        t.run(t.argument);
    }
}

static void *enqueue(void *ctx, void (*run)(void *task), void *argument)
{
    player *p = ctx;
    MUST(p->n_tasks < MAX_TASKS);
    if (p->manner == TASKS_AT_NEXT) {
        run_tasks(p);
    }
    if (p->manner == TASKS_AT_ONCE) {
        run(argument);
        return NULL;
    }
    if (p->manner == TASKS_NEVER) {
        return NULL;
    }
    p->tasks[p->n_tasks++] = (task){ run, argument };
    return (uint8_t *)p + p->n_tasks;
}

static void wait_for(void *ctx, void *handle)
{
    player *p = ctx;
    MUST(handle != NULL);
    if (p->manner == TASKS_IN_WAIT && p->n_tasks > 1) {
        const task first = p->tasks[0]; /* the oldest, then the rest from the youngest on */
        p->tasks[0] = p->tasks[--p->n_tasks];
        first.run(first.argument);
    }
    run_tasks(p);
}

static void read_session_options(world *w, player *p, slm_session_options *options)
{
    options->n_threads = 1 + take(w) % 4;
    options->n_sequences = take(w) % 6;
    options->context_length = 1 + take(w) + take(w) % 64;
    options->pool_tokens = take(w) % 10 * 64;
    options->batch_tokens = take(w) % 101;
    options->logit_rows = take(w) % 8;
    options->n_guesses = options->batch_tokens * 7 % 20;
    options->top_logprobs = take(w) % 4;
    options->kv_type = take(w) % 5;
    options->cpu_level = take(w) % 4 == 0 ? SLM_CPU_SCALAR : SLM_CPU_BEST;
    options->max_memory_bytes = take(w) < 8 ? (uint64_t)take(w) << 12 : 0;
    p->manner = take(w) % N_MANNERS;
    p->kv_type = options->kv_type;
    if (p->manner == TASKS_NONE) {
        options->n_threads = 1; /* threads of its own would make runs differ */
    }
}

static void create_session(world *w, player *p)
{
    WITH_TAIL(slm_session_options, options, SLM_SESSION_OPTIONS_INIT);
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_tasks tasks = SLM_TASKS_INIT;
    p->model = take(w) % N_MODELS;
    read_session_options(w, p, &options.known);
    if (options.known.n_guesses % 3 == 1) {
        options.known.draft_model = w->models[(p->model + options.known.n_guesses / 3) % N_MODELS];
    }
    host.allocator = &w->memory->allocator;
    host.clock = random_clock;
    host.clock_ctx = w;
    tasks.ctx = p;
    tasks.enqueue = enqueue;
    tasks.wait = wait_for;
    host.tasks = p->manner == TASKS_NONE ? NULL : &tasks;
    options.known.host = &host;
    wild_size(w, &options, sizeof(options.known));
    if (options.known.struct_size < offsetof(slm_session_options, reserved0)) {
        return; /* without its host the session would have threads and the system's clock */
    }
    const uint64_t before = w->memory->live_bytes;
    const slm_status status =
        slm_session_create(w->models[p->model], &options.known, &p->session, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_INVALID_ARGUMENT, SLM_ERR_UNSUPPORTED, SLM_ERR_BUDGET, SLM_ERR_MISMATCH);
    MUST((p->session != NULL) == (status == SLM_OK));
    const uint64_t taken = w->memory->live_bytes - before;
    if (status == SLM_OK && slm_session_estimate(w->models[p->model], &options.known, &memory,
                                                 fresh_error(w)) == SLM_OK) {
        MUST(memory.total_bytes == taken);
    }
}

/* The session is gone, and so are its sequences. */
static void forget_session(world *w, player *p)
{
    p->session = NULL;
    p->n_tasks = 0;
    for (size_t i = 0; i < N_IDS; i++) {
        w->ids[i].exact &= w->ids[i].owner != p;
    }
}

static void read_events(world *w, slm_session *session)
{
    for (;;) {
        WITH_TAIL(slm_event, event, SLM_EVENT_INIT);
        const slm_status status = slm_session_get_event(session, &event.known, fresh_error(w));
        MAY_BE(w, status, SLM_END);
        if (status == SLM_END) {
            return;
        }
        const slm_event *e = &event.known;
        MUST(e->type >= SLM_EVENT_TOKEN && e->type <= SLM_EVENT_SHIFT && e->sequence != 0);
        MUST(e->text_length == 0 || slmi_utf8_check(e->text, e->text_length) == e->text_length);
        MUST((e->type == SLM_EVENT_DONE) == (e->reason != 0));
        MUST((e->type == SLM_EVENT_LOGITS && e->status == SLM_OK) == (e->logits != NULL));
        MUST((e->type == SLM_EVENT_SHIFT) == (e->n_removed != 0));
        MUST(e->n_top <= 3);
    }
}

static slm_status step(world *w, player *p, uint64_t budget_us, uint32_t mischief)
{
    w->stepping = p->session;
    w->mischief = mischief;
    const slm_status status = slm_session_step(p->session, budget_us, fresh_error(w));
    w->stepping = NULL;
    if (w->released) {
        w->released = 0;
        forget_session(w, p);
        return SLM_OK;
    }
    MUST(p->n_tasks == 0);
    MAY_BE(w, status, SLM_MORE, SLM_CANCELLED, SLM_ERR_BUDGET);
    read_events(w, p->session);
    return status;
}

/* Every page is free or has as many references as sequences hold it. */
static void check_pages(const slm_session *s)
{
    uint32_t n_held = 0;
    for (uint32_t page = 0; page < s->config.n_pages; page++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->config.n_sequences; i++) {
            const slmi_sequence *q = &s->sequences[i];
            for (uint32_t k = 0; q->in_use && k < q->n_pages; k++) {
                n += q->pages[k] == page;
            }
        }
        n_held += n > 0;
        MUST(n == 0 || s->page_references[page] == n);
    }
    MUST(n_held + s->n_free_pages == s->config.n_pages);
}

static void check_sequences(const slm_session *s)
{
    for (uint32_t i = 0; i < s->config.n_sequences; i++) {
        const slmi_sequence *q = &s->sequences[i];
        if (q->in_use) {
            MUST(q->n_computed <= q->n_tokens && q->n_tokens <= s->config.context_length);
            MUST(q->n_prefix <= q->n_tokens && q->n_requested <= q->n_tokens);
            MUST((uint64_t)q->n_pages * SLMK_PAGE >= q->n_computed);
        }
    }
}

named_sequence *find_name(world *w, const player *p, slm_sequence id)
{
    for (size_t i = 0; i < N_IDS; i++) {
        if (w->ids[i].owner == p && w->ids[i].id == id && id != 0) {
            return &w->ids[i];
        }
    }
    return NULL;
}

static void call(world *w)
{
    const uint8_t choice = take(w) % 32;
    player *p = &w->players[take(w) % N_SESSIONS];
    if (choice == 0) {
        failing_alloc_arm(w->memory, take(w) % 16, take(w) & 1u);
    } else if (choice == 1) {
        slm_session_release(p->session);
        forget_session(w, p);
    } else if (p->session == NULL) {
        create_session(w, p);
    } else if (choice < 8) {
        const uint64_t budget_us = take(w);
        const uint8_t mischief = take(w);
        (void)step(w, p, budget_us, mischief < 6 ? mischief : 0);
    } else if (choice < 24) {
        call_sequence(w, p);
    } else if (choice < 28) {
        call_saved(w, p);
    } else {
        call_object(w, p);
    }
    if (p->session != NULL) {
        check_pages(p->session);
        check_sequences(p->session);
    }
}

/* Nobody who would write for ever, dropping old tokens, does so: the context's end is the end. */
static void end_the_endless(const player *p)
{
    for (uint32_t i = 0; i < p->session->config.n_sequences; i++) {
        slmi_sequence *q = &p->session->sequences[i];
        if (q->generation.max_tokens == 0 && q->params.full == SLM_FULL_SHIFT) {
            q->params.full = SLM_FULL_END;
        }
    }
}

/* Whatever came before, work comes to an end; only who waits for room goes on waiting. */
static void finish(world *w, player *p)
{
    int n_steps = 0;
    slm_status status = SLM_MORE;
    failing_alloc_arm(w->memory, 0, 0);
    end_the_endless(p);
    while (status != SLM_OK) {
        status = step(w, p, 0, 0);
        MUST(++n_steps < 20000);
    }
    for (uint32_t i = 0; i < p->session->config.n_sequences; i++) {
        const slmi_sequence *q = &p->session->sequences[i];
        MUST(!q->in_use || !q->generation.active || q->generation.waits);
    }
    for (size_t i = 0; i < N_IDS; i++) {
        if (w->ids[i].exact && w->ids[i].owner == p) {
            compare_with_fresh(w, p, &w->ids[i]);
        }
    }
}

static void use_chat_template(gguf_builder *builder)
{
    gguf_add_string(builder, "tokenizer.chat_template",
                    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
}

static void load_models(slm_model **models, failing_alloc *memory)
{
    const tiny_model descriptions[N_MODELS] = {
        { .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1, .ffn_width = 32 },
        { .family = "qwen3", .width = 64, .n_heads = 2, .n_kv_heads = 2, .ffn_width = 32,
          .type = TINY_Q8_0, .extend = use_chat_template },
    };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    failing_alloc_init(memory);
    options.n_threads = 1;
    options.host = &memory->host;
    for (size_t i = 0; i < N_MODELS; i++) {
        size_t size;
        uint8_t *file = tiny_model_make(&descriptions[i], &size);
        MUST(slm_model_load_memory(file, size, &options, &models[i], NULL) == SLM_OK);
        free(file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_model *models[N_MODELS]; /* the same for all inputs */
    static failing_alloc memory;
    if (models[0] == NULL) {
        load_models(models, &memory);
    }
    world w = { .data = data, .size = size, .models = models, .memory = &memory };
    const uint64_t before = memory.live_bytes;
    failing_alloc_arm(&memory, 0, 0);
    while (w.size > 0) {
        call(&w);
    }
    for (size_t i = 0; i < N_SESSIONS; i++) {
        if (w.players[i].session != NULL) {
            finish(&w, &w.players[i]);
            slm_session_release(w.players[i].session);
        }
    }
    for (size_t i = 0; i < N_PREFIXES; i++) {
        slm_prefix_release(w.prefixes[i].prefix);
    }
    for (size_t i = 0; i < N_SAMPLERS; i++) {
        slm_sampler_release(w.samplers[i]);
    }
    for (size_t i = 0; i < N_BLOBS; i++) {
        free(w.blobs[i].bytes);
    }
    MUST(memory.live_bytes == before && memory.n_errors == 0);
    return 0;
}
