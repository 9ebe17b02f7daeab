/* SPDX-License-Identifier: MIT */
/* Random legal and illegal calls on a session with a small pool; each input byte chooses a call or one of
 * its arguments. Afterwards no page of the cache may be lost. */
#include <string.h>

#include "fuzz.h"
#include "session/session.h"
#include "support/tiny_model.h"

#define N_IDS 8

typedef struct player {
    const uint8_t *data;
    size_t size;
    slm_session *session;
    slm_sequence ids[N_IDS]; /* some of them stale */
    uint8_t *blob;
    size_t blob_bytes;
    uint64_t time;
} player;

static uint8_t take(player *p)
{
    if (p->size == 0) {
        return 0;
    }
    p->size--;
    return *p->data++;
}

static uint64_t random_clock(void *ctx)
{
    player *p = ctx;
    p->time = p->time * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return p->time >> 40;
}

static void append(player *p, slm_sequence id)
{
    int32_t tokens[255];
    const size_t n = take(p);
    const uint8_t first = take(p);
    for (size_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)(first + i) % (TINY_VOCAB + (first == 255));
    }
    (void)slm_session_append(p->session, id, tokens, n, take(p) & 1u, NULL);
}

static void generate(player *p, slm_sequence id)
{
    static const char *const stops[3] = { "a", "bc", "\xC3\xA9" };
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = take(p);
    options.flags = take(p) % 5;
    options.n_top = take(p) % 4;
    options.n_stop = take(p) % 4;
    options.stop = stops;
    (void)slm_session_generate(p->session, id, &options, NULL);
}

static void step(player *p)
{
    const slm_status status = slm_session_step(p->session, take(p), NULL);
    MUST(status == SLM_OK || status == SLM_MORE || status == SLM_CANCELLED ||
         status == SLM_ERR_BUDGET);
    slm_event event = SLM_EVENT_INIT;
    while (slm_session_get_event(p->session, &event, NULL) == SLM_OK) {
        MUST(event.type >= SLM_EVENT_TOKEN && event.type <= SLM_EVENT_DONE);
        MUST(event.text_length == 0 || event.text != NULL);
    }
}

static void save(player *p, slm_sequence id)
{
    size_t size = 0;
    const slm_status status = slm_session_save_sequence(p->session, id, NULL, NULL, 0, &size, NULL);
    if (status == SLM_ERR_BUFFER_TOO_SMALL) {
        free(p->blob);
        p->blob = malloc(size);
        p->blob_bytes = size;
        MUST(slm_session_save_sequence(p->session, id, NULL, p->blob, size, &size, NULL) == SLM_OK);
    }
}

static void call(player *p)
{
    const uint8_t choice = take(p) % 12;
    slm_sequence *id = &p->ids[take(p) % N_IDS];
    switch (choice) {
    case 0:
        (void)slm_session_add_sequence(p->session, id, NULL);
        break;
    case 1:
        (void)slm_session_fork_sequence(p->session, *id, &p->ids[take(p) % N_IDS], NULL);
        break;
    case 2:
        (void)slm_session_remove_sequence(p->session, *id, NULL);
        break;
    case 3:
        append(p, *id);
        break;
    case 4:
        (void)slm_session_append_text(p->session, *id, "some \xC3\xA9 text", 12, take(p) % 8, NULL);
        break;
    case 5:
        generate(p, *id);
        break;
    case 6:
        (void)slm_session_truncate_sequence(p->session, *id, take(p), NULL);
        break;
    case 7:
        slm_session_cancel(p->session);
        break;
    case 8:
        save(p, *id);
        break;
    case 9:
        (void)slm_session_restore_sequence(p->session, p->blob, p->blob_bytes, NULL, id, NULL);
        break;
    default:
        step(p);
        break;
    }
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

/* Whatever came before, work comes to an end. */
static void finish(player *p)
{
    int n_steps = 0;
    slm_status status = SLM_MORE;
    while (status != SLM_OK) {
        status = slm_session_step(p->session, 0, NULL);
        MUST(++n_steps < 5000);
    }
    for (uint32_t i = 0; i < p->session->config.n_sequences; i++) {
        MUST(!p->session->sequences[i].in_use || !p->session->sequences[i].generation.active);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_model *model; /* one for all inputs */
    player p = { .data = data, .size = size };
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_host host = SLM_HOST_INIT;
    if (model == NULL) {
        const tiny_model description = {
            .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1, .ffn_width = 32
        };
        size_t file_size;
        uint8_t *file = tiny_model_make(&description, &file_size);
        MUST(slm_model_load_memory(file, file_size, NULL, &model, NULL) == SLM_OK);
        free(file);
    }
    host.clock = random_clock;
    host.clock_ctx = &p;
    options.host = &host;
    options.n_threads = 1;
    options.n_sequences = 5;
    options.context_length = 150;
    options.pool_tokens = 6 * 64;
    options.batch_tokens = 1 + take(&p) % 100;
    options.logit_rows = take(&p) % 8;
    options.top_logprobs = 3;
    MUST(slm_session_create(model, &options, &p.session, NULL) == SLM_OK);
    while (p.size > 0) {
        call(&p);
        check_pages(p.session);
    }
    finish(&p);
    slm_session_release(p.session);
    free(p.blob);
    return 0;
}
