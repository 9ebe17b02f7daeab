/* SPDX-License-Identifier: MIT */
/* `slm chat`: a conversation, one line of standard input for each turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

typedef struct chat_options {
    common_options common;
    sampling_options sampling;
    guess_options guesses;
    const char *system;
    uint32_t max_tokens;
} chat_options;

/* A conversation is one sequence: each turn appends only what is new. */
typedef struct chat {
    const chat_options *options;
    slm_model *model, *draft_model;
    slm_session *session;
    slm_sequence sequence;
    int32_t end_of_turn; /* the token that ends an answer; -1 = the format has none */
    int continues;       /* a turn is in the sequence already */
    uint32_t n_context;  /* tokens that the sequence can hold */
    uint32_t n_answered, n_refused; /* messages */
} chat;

enum { DEFAULT_CONTEXT = 4096 };

static int parse(const command *self, chat_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { NULL, "--system", "TEXT", OPTION_TEXT, &o->system, 0, 0, NULL,
          "who the model is to be" },
        { "-n", "--tokens", "N", OPTION_COUNT, &o->max_tokens, 0, 1 << 24, NULL,
          "tokens of an answer at most (default: 0 = until it ends)" },
        { 0 },
    };
    options_add(&table, rows);
    options_add_guesses(&table, &o->guesses);
    options_add_sampling(&table, &o->sampling);
    int code = options_parse(self, &table, &o->common, argc, argv);
    size_t length = o->system ? strlen(o->system) : 0;
    if (code == EXIT_GO_ON && length > valid_utf8(o->system, length))
        return usage_error(self, "--system takes text in UTF-8");
    return code;
}

static slm_status open_chat(chat *c, slm_error *error)
{
    const chat_options *o = c->options;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_tokenizer_info tokenizer = SLM_TOKENIZER_INFO_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = o->common.threads;
    guesses_set(&o->guesses, c->draft_model, &options);
    slm_sampler *sampler = NULL;
    const char *format = NULL;

    slm_status status = slm_chat_get_format(c->model, &format, error);
    if (status == SLM_OK)
        status = slm_model_get_info(c->model, &info, error);
    if (status == SLM_OK)
        status = slm_tokenizer_get_info(slm_model_get_tokenizer(c->model), &tokenizer, error);
    c->end_of_turn = tokenizer.eot >= 0 ? tokenizer.eot : tokenizer.eos;
    if (status == SLM_OK && strcmp(format, "bare") == 0)
        c->end_of_turn = -1;
    c->n_context = o->common.context ? o->common.context
                   : info.context_length < DEFAULT_CONTEXT ? info.context_length
                                                           : DEFAULT_CONTEXT;
    options.context_length = c->n_context;
    if (status == SLM_OK)
        status = slm_session_create(c->model, &options, &c->session, error);
    if (status == SLM_OK)
        status = slm_session_add_sequence(c->session, &c->sequence, error);
    if (status == SLM_OK)
        status = sampling_create(&o->sampling, o->common.seed, info.n_vocab, &sampler, error);
    if (status == SLM_OK)
        status = slm_session_set_sampler(c->session, c->sequence, sampler, error);
    if (status == SLM_OK)
        status = guesses_begin(&o->guesses, c->session, c->sequence, error);
    slm_sampler_release(sampler);
    return status;
}

/* Encodes a turn in the model's own format. The system text goes before the first one. The caller frees
 * *ids. */
static slm_status encode_turn(const chat *c, const char *line, size_t length, int32_t **ids,
                              size_t *n_ids, slm_error *error)
{
    slm_chat_message messages[2];
    size_t n = 0;
    uint32_t flags = SLM_CHAT_ADD_GENERATION_PROMPT;
    const char *system = c->options->system;
    if (c->continues)
        flags |= SLM_CHAT_CONTINUE;
    else if (system)
        messages[n++] = (slm_chat_message){ "system", system, strlen(system) };
    messages[n++] = (slm_chat_message){ "user", line, length };

    /* Once for the number of ids, once for the ids. */
    *ids = NULL;
    slm_status status = slm_chat_encode(c->model, messages, n, flags, NULL, 0, n_ids, error);
    if (status != SLM_ERR_BUFFER_TOO_SMALL)
        return status;
    *ids = malloc(*n_ids * sizeof **ids);
    if (!*ids) {
        snprintf(error->message, sizeof error->message, "there is no memory for the message");
        return SLM_ERR_OUT_OF_MEMORY;
    }
    return slm_chat_encode(c->model, messages, n, flags, *ids, *n_ids, n_ids, error);
}

static slm_status start_afresh(chat *c, slm_error *error)
{
    fprintf(stderr, "slm: the context is full; the conversation starts afresh\n");
    c->continues = 0;
    return slm_session_truncate_sequence(c->session, c->sequence, 0, error);
}

/* An answer ends as the format has it: one that was cut off gets its end, so that the next question is
 * not taken for a part of it, and another token that ended it gives way. */
static slm_status end_answer(chat *c, const stream_result *result, slm_error *error)
{
    if (result->reason == SLM_DONE_CONTEXT_FULL)
        return start_afresh(c, error);
    if (c->end_of_turn < 0)
        return SLM_OK;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_status status = slm_session_get_sequence_info(c->session, c->sequence, &info, error);
    if (status == SLM_OK && result->reason == SLM_DONE_END) {
        uint32_t last = info.n_tokens - 1;
        if (info.tokens[last] == c->end_of_turn)
            return SLM_OK;
        status = slm_session_truncate_sequence(c->session, c->sequence, last, error);
    }
    if (status == SLM_OK)
        status = slm_session_append(c->session, c->sequence, &c->end_of_turn, 1, 0, error);
    return status == SLM_ERR_CONTEXT_FULL ? start_afresh(c, error) : status;
}

/* Whether a turn and at least one token of its answer fit after what was said. */
static slm_status has_room(const chat *c, size_t n_ids, int *fits, slm_error *error)
{
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_status status = slm_session_get_sequence_info(c->session, c->sequence, &info, error);
    *fits = n_ids < c->n_context - info.n_tokens;
    return status;
}

/* A turn that does not fit after what was said begins a new conversation, if it fits there; else it is
 * refused and the conversation stays as it was. */
static slm_status append_turn(chat *c, const char *line, size_t length, slm_error *error)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    int fits = 0, continued = c->continues;
    slm_status status = encode_turn(c, line, length, &ids, &n_ids, error);
    if (status == SLM_OK)
        status = has_room(c, n_ids, &fits, error);
    if (status == SLM_OK && !fits && continued) {
        free(ids);
        c->continues = 0;
        status = encode_turn(c, line, length, &ids, &n_ids, error);
        c->continues = continued;
        fits = n_ids < c->n_context;
        if (status == SLM_OK && fits)
            status = start_afresh(c, error);
    }
    if (status == SLM_OK && !fits) {
        snprintf(error->message, sizeof error->message,
                 "its %zu tokens and an answer do not fit in the context of %u", n_ids,
                 c->n_context);
        status = SLM_ERR_CONTEXT_FULL;
    }
    if (status == SLM_OK)
        status = slm_session_append(c->session, c->sequence, ids, n_ids, 0, error);
    free(ids);
    if (status == SLM_OK)
        c->continues = 1;
    return status;
}

/* One turn: the question in, the answer out. */
static slm_status take_turn(chat *c, const char *line, size_t length, slm_error *error)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = c->options->max_tokens;
    stream_result result;

    slm_status status = append_turn(c, line, length, error);
    if (status == SLM_OK)
        status = slm_session_generate(c->session, c->sequence, &options, error);
    if (status == SLM_OK)
        status = stream_text(c->session, c->sequence, NULL, NULL, &result, error);
    if (status != SLM_OK)
        return status;
    if (!is_terminal(stdout))
        putchar('\n'); /* a terminal has it already */
    fflush(stdout);
    return end_answer(c, &result, error);
}

/* Answers one line. One that is no message is left out, with a note, and the conversation goes on. */
static int answer_line(chat *c, const char *line, size_t length)
{
    slm_error error = SLM_ERROR_INIT;
    size_t valid = valid_utf8(line, length);
    if (valid < length) {
        fail_with("this message is left out: it is not valid UTF-8 at byte %zu", valid);
        c->n_refused++;
        return EXIT_DONE;
    }
    slm_status status = take_turn(c, line, length, &error);
    if (status == SLM_OK) {
        c->n_answered++;
        return EXIT_DONE;
    }
    if (status != SLM_ERR_CONTEXT_FULL)
        return fail(NULL, &error);
    fail("this message is left out", &error);
    c->n_refused++;
    return EXIT_DONE;
}

/* Reads to the end of the input. It has failed only if messages were left out and none was answered. */
static int converse(chat *c)
{
    int on_terminal = is_terminal(stdin);
    int code = EXIT_DONE;
    char *line = NULL;
    size_t capacity = 0;
    ptrdiff_t length;
    while (code == EXIT_DONE) {
        if (on_terminal)
            fputs("> ", stderr);
        if ((length = read_line(&line, &capacity)) < 0)
            break;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        if (length > 0)
            code = answer_line(c, line, (size_t)length);
    }
    if (ferror(stdin))
        code = fail_with("cannot read standard input: %s", strerror(errno));
    free(line);
    return code == EXIT_DONE && c->n_refused && !c->n_answered ? EXIT_FAILED : code;
}

int command_chat(const command *self, int argc, char **argv)
{
    chat_options o = { .max_tokens = 0 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    chat c = { .options = &o };
    slm_error error = SLM_ERROR_INIT;
    code = load_model(&o.common, &c.model, NULL);
    if (code == EXIT_GO_ON)
        code = guesses_load(&o.guesses, &o.common, &c.draft_model);
    if (code == EXIT_GO_ON && open_chat(&c, &error) != SLM_OK)
        code = fail(NULL, &error);
    if (code == EXIT_GO_ON) {
        code = converse(&c);
        guesses_print(&o.guesses, c.session, c.sequence);
    }
    slm_session_release(c.session);
    slm_model_release(c.model);
    slm_model_release(c.draft_model);
    return code;
}
