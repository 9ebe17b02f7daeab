/* SPDX-License-Identifier: MIT */
/* `slm chat`: a conversation, one line of standard input for each turn. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

typedef struct chat_options {
    common_options common;
    sampling_options sampling;
    const char *system;
    uint32_t max_tokens;
} chat_options;

/* A conversation is one sequence: each turn appends only what is new. */
typedef struct chat {
    const chat_options *options;
    slm_model *model;
    slm_session *session;
    slm_sequence sequence;
    int32_t end_of_turn; /* the token that ends an answer; -1 = the format has none */
    int continues;       /* a turn is in the sequence already */
} chat;

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
    options_add_sampling(&table, &o->sampling);
    return options_parse(self, &table, &o->common, argc, argv);
}

static slm_status open_chat(chat *c, slm_error *error)
{
    const chat_options *o = c->options;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_tokenizer_info tokenizer = SLM_TOKENIZER_INFO_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = o->common.threads;
    options.context_length = o->common.context;
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
    if (status == SLM_OK)
        status = slm_session_create(c->model, &options, &c->session, error);
    if (status == SLM_OK)
        status = slm_session_add_sequence(c->session, &c->sequence, error);
    if (status == SLM_OK)
        status = sampling_create(&o->sampling, o->common.seed, info.n_vocab, &sampler, error);
    if (status == SLM_OK)
        status = slm_session_set_sampler(c->session, c->sequence, sampler, error);
    slm_sampler_release(sampler);
    return status;
}

/* Appends a turn in the model's own format. The system text goes before the first one. */
static slm_status append_turn(chat *c, const char *line, size_t length, slm_error *error)
{
    slm_chat_message messages[2];
    size_t n = 0, n_ids = 0;
    uint32_t flags = SLM_CHAT_ADD_GENERATION_PROMPT;
    const char *system = c->options->system;
    if (c->continues)
        flags |= SLM_CHAT_CONTINUE;
    else if (system)
        messages[n++] = (slm_chat_message){ "system", system, strlen(system) };
    messages[n++] = (slm_chat_message){ "user", line, length };

    /* Once for the number of ids, once for the ids. */
    slm_status status = slm_chat_encode(c->model, messages, n, flags, NULL, 0, &n_ids, error);
    if (status != SLM_ERR_BUFFER_TOO_SMALL)
        return status;
    int32_t *ids = malloc(n_ids * sizeof *ids);
    if (!ids) {
        snprintf(error->message, sizeof error->message, "there is no memory for the message");
        return SLM_ERR_OUT_OF_MEMORY;
    }
    status = slm_chat_encode(c->model, messages, n, flags, ids, n_ids, &n_ids, error);
    if (status == SLM_OK)
        status = slm_session_append(c->session, c->sequence, ids, n_ids, 0, error);
    free(ids);
    if (status == SLM_OK)
        c->continues = 1;
    return status;
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

/* One turn: the question in, the answer out. An error of the message leaves the conversation as it
 * was, so the next line is read after a note. */
static slm_status take_turn(chat *c, const char *line, size_t length, slm_error *error)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = c->options->max_tokens;
    stream_result result;

    slm_status status = append_turn(c, line, length, error);
    if (status == SLM_ERR_CONTEXT_FULL && c->continues) {
        status = start_afresh(c, error);
        if (status == SLM_OK)
            status = append_turn(c, line, length, error);
    }
    if (status == SLM_OK)
        status = stream_text(c->session, c->sequence, &options, NULL, NULL, &result, error);
    if (status != SLM_OK)
        return status;
    if (!isatty(STDOUT_FILENO))
        putchar('\n'); /* a terminal has it already */
    fflush(stdout);
    return end_answer(c, &result, error);
}

/* Whether the conversation can go on after this error of one message. */
static int is_about_message(slm_status status)
{
    return status == SLM_ERR_INVALID_UTF8 || status == SLM_ERR_CONTEXT_FULL;
}

static int converse(chat *c)
{
    int on_terminal = isatty(STDIN_FILENO);
    int code = EXIT_DONE;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    while (code == EXIT_DONE) {
        if (on_terminal)
            fputs("> ", stderr);
        if ((length = getline(&line, &capacity, stdin)) < 0)
            break;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        if (length == 0)
            continue;
        slm_error error = SLM_ERROR_INIT;
        slm_status status = take_turn(c, line, (size_t)length, &error);
        if (status != SLM_OK)
            code = fail(NULL, &error);
        if (is_about_message(status) && on_terminal)
            code = EXIT_DONE;
    }
    if (ferror(stdin))
        code = fail_with("cannot read standard input: %s", strerror(errno));
    free(line);
    return code;
}

int command_chat(const command *self, int argc, char **argv)
{
    chat_options o = { .max_tokens = 0 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    chat c = { .options = &o };
    if ((code = load_model(&o.common, &c.model, NULL)) != EXIT_GO_ON)
        return code;

    slm_error error = SLM_ERROR_INIT;
    if (open_chat(&c, &error) != SLM_OK)
        code = fail(NULL, &error);
    else
        code = converse(&c);
    slm_session_release(c.session);
    slm_model_release(c.model);
    return code;
}
