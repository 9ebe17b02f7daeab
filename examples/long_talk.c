/* SPDX-License-Identifier: MIT */
/* A story longer than its context: long_talk drop|shift|summarise [MODEL.gguf]
 *
 * drop       the older half goes, the rest is computed again: as if the story had begun with it
 * shift      the library drops the older half by itself and keeps what it computed: cheapest
 * summarise  the model says in short what goes, and that takes its place */
#include <slm/slm.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT 192
#define KEEP 16 /* tokens at the beginning that always stay */

/* The default model, part of the program: see slm/embed_model.py. */
extern const unsigned char slm_default_model[];
extern const unsigned char slm_default_model_end[];

static const char prompt[] = "Once upon a time, there was a boy named Tom who had a red boat.";

/* ---- summarise ---------------------------------------------------------------------------------- */

typedef struct summary {
    slm_sequence sequence; /* 0 = none in the making */
    uint32_t begin;        /* its first token */
    uint32_t n_replaced;   /* tokens of the story that it stands for */
} summary;

/* On SLM_EVENT_FULL. The fork costs nothing: it shares what the story has computed. */
static slm_status begin_summary(slm_session *session, slm_sequence story, summary *s, slm_error *error)
{
    static const char ask[] = "\nIn short,";
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    options.max_tokens = 24;
    s->n_replaced = (CONTEXT - KEEP) / 2;
    slm_status status = slm_session_fork_sequence(session, story, &s->sequence, error);
    if (status == SLM_OK)
        status = slm_session_truncate_sequence(session, s->sequence, KEEP + s->n_replaced, error);
    if (status == SLM_OK)
        status = slm_session_append_text(session, s->sequence, ask, strlen(ask), 0, error);
    if (status == SLM_OK)
        status = slm_session_get_sequence_info(session, s->sequence, &info, error);
    s->begin = info.n_tokens;
    return status == SLM_OK ? slm_session_generate(session, s->sequence, &options, error) : status;
}

/* On the summary's SLM_EVENT_DONE: it takes the place of what it stands for, and the story goes on. */
static slm_status end_summary(slm_session *session, slm_sequence story, summary *s, slm_error *error)
{
    int32_t tokens[24];
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_status status = slm_session_get_sequence_info(session, s->sequence, &info, error);
    const size_t n_tokens = status == SLM_OK ? info.n_tokens - s->begin : 0;
    if (n_tokens > 0) /* they are the session's: the calls that follow change them */
        memcpy(tokens, info.tokens + s->begin, n_tokens * sizeof tokens[0]);
    if (status == SLM_OK)
        status = slm_session_remove_sequence(session, s->sequence, error);
    s->sequence = 0;
    return status == SLM_OK ? slm_session_replace(session, story, KEEP, s->n_replaced, tokens, n_tokens, 0,
                                                  error)
                            : status;
}

/* ---- all three ---------------------------------------------------------------------------------- */

enum { DROP, SHIFT, SUMMARISE, N_POLICIES };

/* Events are handled when all are taken: what is done about them changes the session. */
static slm_status tell(slm_session *session, slm_sequence story, int policy, slm_error *error)
{
    summary s = { 0, 0, 0 };
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        int is_full = 0, is_summed_up = 0;
        status = slm_session_step(session, 0, error);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            is_full |= event.type == SLM_EVENT_FULL;
            is_summed_up |= event.type == SLM_EVENT_DONE && event.sequence == s.sequence;
            if (event.type == SLM_EVENT_SHIFT)
                printf("\n[dropped %u tokens from token %u on]\n", event.n_removed, event.position);
            if (event.sequence == s.sequence && event.position == s.begin)
                printf("\n[in short:");
            printf("%.*s%s", (int)event.text_length, event.text, is_summed_up ? "]\n" : "");
        }
        if (status >= 0 && is_full && policy == DROP) {
            printf("\n[dropped %u tokens from token %u on]\n", (CONTEXT - KEEP) / 2, KEEP);
            status = slm_session_replace(session, story, KEEP, (CONTEXT - KEEP) / 2, NULL, 0, 0, error);
        } else if (status >= 0 && is_full) {
            status = begin_summary(session, story, &s, error);
        } else if (status >= 0 && is_summed_up) {
            status = end_summary(session, story, &s, error);
        } else {
            continue;
        }
        status = status == SLM_OK ? SLM_MORE : status; /* there is work again */
    }
    return status;
}

static slm_status begin_story(slm_session *session, slm_sequence *story, int policy, slm_error *error)
{
    const uint32_t full = policy == SHIFT ? SLM_FULL_SHIFT : SLM_FULL_WAIT;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = 600;
    options.flags = SLM_GENERATE_IGNORE_END;
    slm_status status = slm_session_add_sequence(session, story, error);
    if (status == SLM_OK)
        status = slm_session_set_u32(session, *story, SLM_SEQUENCE_FULL, full, error);
    if (status == SLM_OK)
        status = slm_session_set_u32(session, *story, SLM_SEQUENCE_KEEP, KEEP, error);
    if (status == SLM_OK)
        status = slm_session_append_text(session, *story, prompt, strlen(prompt), SLM_TEXT_ADD_SPECIAL,
                                         error);
    return status == SLM_OK ? slm_session_generate(session, *story, &options, error) : status;
}

int main(int argc, char **argv)
{
    static const char *const names[N_POLICIES] = { "drop", "shift", "summarise" };
    const size_t size = (size_t)(slm_default_model_end - slm_default_model);
    slm_error error = SLM_ERROR_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_model *model = NULL;
    slm_session *session = NULL;
    slm_sequence story = 0;
    int policy = 0;
    while (policy < N_POLICIES && (argc < 2 || strcmp(argv[1], names[policy]) != 0))
        policy++;
    if (policy == N_POLICIES) {
        fputs("usage: long_talk drop|shift|summarise [MODEL.gguf]\n", stderr);
        return 2;
    }
    options.context_length = CONTEXT;
    options.n_sequences = 2; /* the story and its summary */
    slm_status status = argc > 2 ? slm_model_load(argv[2], NULL, &model, &error)
                                 : slm_model_load_memory(slm_default_model, size, NULL, &model, &error);
    if (status == SLM_OK)
        status = slm_session_create(model, &options, &session, &error);
    if (status == SLM_OK)
        status = begin_story(session, &story, policy, &error);
    if (status == SLM_OK) {
        fputs(prompt, stdout);
        status = tell(session, story, policy, &error);
        puts("");
    }
    if (status < 0)
        fprintf(stderr, "long_talk: %s\n", error.message);
    slm_session_release(session);
    slm_model_release(model);
    return status < 0;
}
