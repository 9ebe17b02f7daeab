/* SPDX-License-Identifier: MIT */
/* `slm run`: a model writes on from a prompt. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

typedef struct run_options {
    common_options common;
    sampling_options sampling;
    guess_options guesses;
    const char *prompt, *file;
    text_list stop;
    uint32_t max_tokens, n_logprobs, kv_type, cpu_level;
} run_options;

static const option_choice cpu_levels[] = {
    { "best", SLM_CPU_BEST },         { "scalar", SLM_CPU_SCALAR }, { "avx2", SLM_CPU_AVX2 },
    { "avx-vnni", SLM_CPU_AVX_VNNI }, { "avx512", SLM_CPU_AVX512 }, { "neon", SLM_CPU_NEON },
    { "neon-dot", SLM_CPU_NEON_DOT }, { "neon-i8mm", SLM_CPU_NEON_I8MM }, { 0 },
};

enum { MAX_STOP_BYTES = 255 };

/* What slm_generate_options takes as stop texts. */
static int check_stops(const command *self, const text_list *stop)
{
    for (uint32_t i = 0; i < stop->n; i++) {
        size_t length = strlen(stop->items[i]);
        if (length < 1 || length > MAX_STOP_BYTES)
            return usage_error(self, "--stop takes a text of 1 to %d bytes, not of %zu",
                               MAX_STOP_BYTES, length);
        if (valid_utf8(stop->items[i], length) < length)
            return usage_error(self, "--stop takes text in UTF-8");
    }
    return EXIT_GO_ON;
}

static int parse(const command *self, run_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { "-p", "--prompt", "PROMPT", OPTION_TEXT, &o->prompt, 0, 0, NULL, "text to begin with" },
        { NULL, "--file", "FILE", OPTION_TEXT, &o->file, 0, 0, NULL,
          "read the prompt from a file; - = standard input" },
        { "-n", "--tokens", "N", OPTION_COUNT, &o->max_tokens, 0, 1 << 24, NULL,
          "tokens to write at most (default 256); 0 = until the text ends" },
        { NULL, "--stop", "TEXT", OPTION_LIST, &o->stop, 0, 0, NULL,
          "end before this text; may be repeated" },
        { NULL, "--logprobs", "N", OPTION_COUNT, &o->n_logprobs, 0, 64, NULL,
          "tell each token's log-probability and the N best" },
        { NULL, "--kv", "TYPE", OPTION_CHOICE, &o->kv_type, 0, 0, kv_types,
          "numbers of the key and value cache: f16, f32, q8 or q4" },
        { NULL, "--cpu", "LEVEL", OPTION_CHOICE, &o->cpu_level, 0, 0,
          cpu_levels, "use at most these instructions: scalar, avx2, avx-vnni, avx512, neon, "
                      "neon-dot, neon-i8mm or best" },
        { 0 },
    };
    options_add(&table, rows);
    options_add_guesses(&table, &o->guesses);
    options_add_sampling(&table, &o->sampling);
    int code = options_parse(self, &table, &o->common, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    if (!o->prompt && !o->file && o->common.model)
        return usage_error(self, "'%s' was taken as the model file; give the prompt with -p",
                           o->common.model);
    if (!o->prompt == !o->file)
        return usage_error(self, "give a prompt with either -p or --file");
    return check_stops(self, &o->stop);
}

/* ---- what a token was worth ---- */

/* Where a token's figures go: standard error, or a JSON array that is open. */
typedef struct token_log {
    const slm_tokenizer *tokenizer;
    json *out; /* NULL = lines of text */
} token_log;

static void log_entry(const token_log *log, int32_t token, float logprob)
{
    const char *bytes = "";
    size_t length = 0;
    slm_tokenizer_get_piece(log->tokenizer, token, &bytes, &length, NULL);
    if (log->out) {
        json_integer(log->out, "id", token);
        json_text(log->out, "text", bytes, length);
        json_number(log->out, "logprob", (double)logprob);
    } else {
        fprintf(stderr, "%9.4f  ", (double)logprob);
        print_quoted(stderr, bytes, length);
    }
}

static void log_token(void *context, const slm_event *event)
{
    token_log *log = context;
    if (event->type != SLM_EVENT_TOKEN)
        return;
    if (log->out)
        json_open(log->out, NULL, '{');
    log_entry(log, event->token, event->logprob);
    if (log->out)
        json_open(log->out, "top", '[');
    else
        fputs(event->n_top ? "  of" : "", stderr);
    for (uint32_t i = 0; i < event->n_top; i++) {
        if (log->out)
            json_open(log->out, NULL, '{');
        log_entry(log, event->top_tokens[i], event->top_logprobs[i]);
        if (log->out)
            json_close(log->out, '}');
    }
    if (log->out) {
        json_close(log->out, ']');
        json_close(log->out, '}');
    } else {
        fputc('\n', stderr);
    }
}

/* ---- figures ---- */

static void print_figures(const stream_result *r)
{
    fprintf(stderr,
            "prompt %u tokens, %.1f tokens/s; text %u tokens, %.1f tokens/s (%s); peak memory "
            "%.1f MB\n",
            r->n_prompt, prompt_tokens_per_second(r), r->n_generated, text_tokens_per_second(r),
            stream_reason(r->reason), 1e-6 * (double)peak_resident_bytes());
}

static void write_figures(json *j, const stream_result *r, double load_seconds)
{
    json_integer(j, "prompt_tokens", r->n_prompt);
    json_integer(j, "generated_tokens", r->n_generated);
    json_string(j, "finish_reason", stream_reason(r->reason));
    json_number(j, "prefill_tokens_per_second", prompt_tokens_per_second(r));
    json_number(j, "decode_tokens_per_second", text_tokens_per_second(r));
    json_number(j, "load_seconds", load_seconds);
    json_integer(j, "peak_resident_bytes", (int64_t)peak_resident_bytes());
}

/* ---- the work ---- */

static const char *cpu_name(uint32_t level)
{
    const option_choice *choice = cpu_levels;
    while (choice->name && choice->value != level)
        choice++;
    return choice->name ? choice->name : "best";
}

/* A session with one empty sequence that draws as the options say. */
static slm_status prepare(const run_options *o, slm_model *model, slm_model *draft_model,
                          slm_session **session, slm_sequence *sequence, slm_error *error)
{
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = o->common.threads;
    options.context_length = o->common.context;
    options.kv_type = o->kv_type;
    options.cpu_level = o->cpu_level;
    options.top_logprobs = o->n_logprobs;
    guesses_set(&o->guesses, draft_model, &options);
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_sampler *sampler = NULL;

    slm_status status = slm_model_get_info(model, &info, error);
    if (status == SLM_OK)
        status = slm_session_create(model, &options, session, error);
    if (status == SLM_ERR_UNSUPPORTED)
        snprintf(error->message, sizeof error->message,
                 "this processor or build does not offer --cpu %s", cpu_name(o->cpu_level));
    if (status == SLM_OK)
        status = slm_session_add_sequence(*session, sequence, error);
    if (status == SLM_OK)
        status = sampling_create(&o->sampling, o->common.seed, info.n_vocab, &sampler, error);
    if (status == SLM_OK)
        status = slm_session_set_sampler(*session, *sequence, sampler, error);
    if (status == SLM_OK)
        status = guesses_begin(&o->guesses, *session, *sequence, error);
    slm_sampler_release(sampler);
    return status;
}

static slm_status no_room(slm_error *error)
{
    snprintf(error->message, sizeof error->message, "there is no room for the figures");
    return SLM_ERR_OUT_OF_MEMORY;
}

/* Streams the text; the JSON follows when all went well, for an error is told in one line instead. */
static slm_status write_with_json(const run_options *o, slm_session *session,
                                  slm_sequence sequence, token_log *log, double load_seconds,
                                  stream_result *result, slm_error *error)
{
    draft d;
    draft_open(&d);
    json j = { d.stream, 0, 0 };
    if (!j.out)
        return no_room(error);
    log->out = &j;
    json_open(&j, NULL, '{');
    json_open(&j, "tokens", '[');
    slm_status status = stream_text(session, sequence, log_token, log, result, error);
    json_close(&j, ']');
    write_figures(&j, result, load_seconds);
    guesses_write(&o->guesses, &j, session, sequence);
    json_close(&j, '}');
    if (draft_close(&d, status == SLM_OK ? stderr : NULL) != 0 && status == SLM_OK)
        status = no_room(error);
    return status;
}

/* Streams the text, and what the options want to know of it besides. */
static slm_status write_on(const run_options *o, slm_session *session, slm_sequence sequence,
                           double load_seconds, stream_result *result, slm_error *error)
{
    token_log log = { .tokenizer = slm_model_get_tokenizer(slm_session_get_model(session)) };
    if (o->common.json)
        return write_with_json(o, session, sequence, &log, load_seconds, result, error);
    slm_status status = stream_text(session, sequence, o->n_logprobs ? log_token : NULL, &log,
                                    result, error);
    if (status == SLM_OK) {
        print_figures(result);
        guesses_print(&o->guesses, session, sequence);
    }
    return status;
}

/* Appends the prompt and asks for the text: after this it is known that there is room for both. */
static slm_status begin(const run_options *o, slm_session *session, slm_sequence sequence,
                        const char *prompt, size_t length, slm_error *error)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = o->max_tokens;
    options.n_top = o->n_logprobs;
    options.stop = o->stop.items;
    options.n_stop = o->stop.n;
    slm_status status =
        slm_session_append_text(session, sequence, prompt, length, SLM_TEXT_ADD_SPECIAL, error);
    if (status == SLM_OK)
        status = slm_session_generate(session, sequence, &options, error);
    return status;
}

static int write_text(const run_options *o, slm_model *model, slm_model *draft_model,
                      const char *prompt, size_t length, double load_seconds)
{
    slm_error error = SLM_ERROR_INIT;
    slm_session *session = NULL;
    slm_sequence sequence = 0;
    stream_result result = { 0 };
    const char *subject = NULL;
    slm_status status = prepare(o, model, draft_model, &session, &sequence, &error);
    if (status == SLM_OK) {
        subject = "the prompt";
        status = begin(o, session, sequence, prompt, length, &error);
    }
    if (status == SLM_OK) {
        subject = NULL;
        fwrite(prompt, 1, length, stdout);
        fflush(stdout);
        status = write_on(o, session, sequence, load_seconds, &result, &error);
    }
    slm_session_release(session);
    if (status != SLM_OK)
        return fail(subject, &error);
    if (ferror(stdout))
        return fail_with("cannot write to standard output");
    return result.reason == SLM_DONE_CANCELLED ? EXIT_INTERRUPTED : EXIT_DONE;
}

int command_run(const command *self, int argc, char **argv)
{
    run_options o = { .max_tokens = 256 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;

    char *text = NULL;
    size_t length = 0;
    if (o.file && (code = read_file(o.file, &text, &length)) != EXIT_GO_ON)
        return code;
    const char *prompt = text ? text : o.prompt;
    if (!text)
        length = strlen(prompt);

    slm_model *model = NULL, *draft_model = NULL;
    double load_seconds = 0;
    code = load_model(&o.common, &model, &load_seconds);
    if (code == EXIT_GO_ON)
        code = guesses_load(&o.guesses, &o.common, &draft_model);
    if (code == EXIT_GO_ON)
        code = write_text(&o, model, draft_model, prompt, length, load_seconds);
    slm_model_release(model);
    slm_model_release(draft_model);
    free(text);
    return code;
}
