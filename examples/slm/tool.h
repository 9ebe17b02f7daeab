/* SPDX-License-Identifier: MIT */
/* What the commands of the tool share: options, messages, loading, streaming text, JSON. */
#ifndef TOOL_H
#define TOOL_H

#include <stdint.h>
#include <stdio.h>

#include <slm/slm.h>

#include "system.h"

#if defined(__MINGW32__) && !defined(__clang__) /* whose 'printf' is that of Microsoft's runtime */
#define PRINTF_LIKE(text, first) __attribute__((format(gnu_printf, text, first)))
#else
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#endif

/* Exit codes. EXIT_GO_ON is what a helper returns when the command should continue. */
enum { EXIT_GO_ON = -1, EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* ---- options.c: the command line ---- */

typedef enum option_kind {
    OPTION_FLAG,   /* int: set to 1 */
    OPTION_TEXT,   /* const char * */
    OPTION_LIST,   /* text_list: may be given several times */
    OPTION_COUNT,  /* uint32_t in [minimum, maximum] */
    OPTION_WHOLE,  /* double without a fraction, in [minimum, maximum] */
    OPTION_NUMBER, /* double in [minimum, maximum] */
    OPTION_CHOICE  /* uint32_t: one of choices */
} option_kind;

/* A word and what it stands for; a list of them ends with a NULL name. */
typedef struct option_choice {
    const char *name;
    uint32_t value;
} option_choice;

/* Types of the key and value cache, for --kv. */
extern const option_choice kv_types[];

typedef struct text_list {
    const char *items[16];
    uint32_t n;
} text_list;

/* One option of a command; a table of them ends with a zeroed row. */
typedef struct option {
    const char *letter; /* "-t", or NULL */
    const char *name;   /* "--threads", or NULL */
    const char *value;  /* what the help calls the value; NULL for a flag */
    option_kind kind;
    void *target;
    double minimum, maximum;
    const option_choice *choices;
    const char *help;
} option;

/* What a command is called and takes. */
typedef struct command {
    const char *name;
    const char *arguments; /* "[MODEL] -p PROMPT [OPTION]..." */
    const char *summary;
    int (*run)(const struct command *self, int argc, char **argv);
} command;

/* Options that every command takes. */
typedef struct common_options {
    const char *model; /* path; NULL = the embedded default */
    const char *output; /* the second path of commands that have takes_output set */
    int takes_output;
    int copy;          /* a converted file is read, not mapped */
    uint32_t threads;  /* 0 = all cores */
    uint32_t context;  /* 0 = the library's default */
    uint32_t seed;
    int json;
} common_options;

/* Settings of the sampler, as the library describes them. */
enum { MAX_SAMPLING = 16 };

typedef struct sampling_options {
    double values[MAX_SAMPLING];
    uint32_t params[MAX_SAMPLING];
    slm_param_info infos[MAX_SAMPLING];
    uint32_t n;
} sampling_options;

/* A growing table of options, built by the add_* functions below. */
enum { MAX_OPTIONS = 40 };

typedef struct option_table {
    option rows[MAX_OPTIONS + 1];
    uint32_t n;
} option_table;

void options_add(option_table *table, const option *rows);
void options_add_sampling(option_table *table, sampling_options *sampling);

/* Reads the command line: the rows of `table` and the common options, which it adds. Returns
 * EXIT_GO_ON, EXIT_DONE after --help, or EXIT_USAGE after a message. */
int options_parse(const command *self, option_table *table, common_options *common, int argc,
                  char **argv);

/* Prints "slm COMMAND: ..." with a hint to --help and returns EXIT_USAGE. */
int usage_error(const command *self, const char *format, ...) PRINTF_LIKE(2, 3);

/* Makes a sampler from the settings; seed comes from --seed. */
slm_status sampling_create(const sampling_options *sampling, uint32_t seed, uint32_t n_vocab,
                           slm_sampler **sampler, slm_error *error);

/* ---- support.c: messages, files, texts ---- */

/* Prints "slm: SUBJECT: why", one line on standard error, and returns EXIT_FAILED. `subject` may be
 * NULL. */
int fail(const char *subject, const slm_error *error);

/* The same with words of the tool's own. */
int fail_with(const char *format, ...) PRINTF_LIKE(1, 2);

/* Reads a whole file, or standard input for "-". The caller frees *text. */
int read_file(const char *path, char **text, size_t *length);

/* Prints text in quotes, with escapes for what is not printable or not UTF-8. */
void print_quoted(FILE *out, const char *text, size_t length);

/* Length of the UTF-8 character at text, 1..4, or 0 when the bytes are not valid. */
size_t utf8_length(const char *text, size_t length);

/* Bytes at the beginning of text that are valid UTF-8: `length` if all are. */
size_t valid_utf8(const char *text, size_t length);

/* ---- load.c: models ---- */

/* What a file is called in messages. */
const char *model_label(const common_options *common);

/* Loads the model that the options name, with progress on a terminal. Returns EXIT_GO_ON or, after a
 * message, EXIT_FAILED. `seconds` may be NULL. */
int load_model(const common_options *common, slm_model **model, double *seconds);

/* Says which file is no model, why, and where in it; returns EXIT_FAILED. */
int fail_load(const common_options *common, const slm_error *error);

/* Loads only its tokenizer. */
int load_tokenizer(const common_options *common, slm_tokenizer **tokenizer);

/* ---- stream.c: text as it is written ---- */

/* What a generation came to. */
typedef struct stream_result {
    uint32_t n_prompt;      /* tokens that had to be computed before the first new one */
    uint32_t n_generated;   /* tokens written */
    uint32_t reason;        /* SLM_DONE_* */
    double prompt_seconds;  /* until the first new token */
    double text_seconds;    /* from the first new token to the last */
} stream_result;

/* Is told of each new token and of the end, in order. */
typedef void stream_listener(void *context, const slm_event *event);

/* Runs the generation that was begun and writes its text as it comes. Ctrl-C ends it with
 * SLM_DONE_CANCELLED. `listener` may be NULL. */
slm_status stream_text(slm_session *session, slm_sequence sequence, stream_listener *listener,
                       void *context, stream_result *result, slm_error *error);

/* Why a generation ended, in a word. */
const char *stream_reason(uint32_t reason);

/* Speeds; 0 when nothing was measured. */
double prompt_tokens_per_second(const stream_result *result);
double text_tokens_per_second(const stream_result *result);

/* ---- json.c: one JSON value, written as it is described ---- */

typedef struct json {
    FILE *out;
    int depth;
    int has_member; /* the object or array that is open has a member already */
} json;

/* `key` is NULL inside arrays and for the outermost value. */
void json_open(json *j, const char *key, char bracket);
void json_close(json *j, char bracket);
void json_text(json *j, const char *key, const char *text, size_t length);
void json_string(json *j, const char *key, const char *text);
void json_integer(json *j, const char *key, int64_t value);
void json_number(json *j, const char *key, double value);

/* ---- guesses.c: --speculate and --draft ---- */

typedef struct guess_options {
    int speculate;     /* look guesses up in what was written */
    const char *draft; /* path of a model that guesses; NULL = none */
} guess_options;

void options_add_guesses(option_table *table, guess_options *guesses);

/* Loads the draft model, if there is one. Returns as load_model(). */
int guesses_load(const guess_options *guesses, const common_options *common,
                 slm_model **draft_model);

/* Has the session make room for guesses, and then the sequence guess, where that is wanted. */
void guesses_set(const guess_options *guesses, slm_model *draft_model,
                 slm_session_options *options);
slm_status guesses_begin(const guess_options *guesses, slm_session *session, slm_sequence sequence,
                         slm_error *error);

/* What came of them, on standard error or as members of an object. */
void guesses_print(const guess_options *guesses, slm_session *session, slm_sequence sequence);
void guesses_write(const guess_options *guesses, json *j, slm_session *session,
                   slm_sequence sequence);

/* ---- the commands ---- */

int command_run(const command *self, int argc, char **argv);
int command_chat(const command *self, int argc, char **argv);
int command_info(const command *self, int argc, char **argv);
int command_tokenize(const command *self, int argc, char **argv);
int command_bench(const command *self, int argc, char **argv);
int command_eval(const command *self, int argc, char **argv);
int command_convert(const command *self, int argc, char **argv);

#endif
