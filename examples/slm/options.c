/* SPDX-License-Identifier: MIT */
/* Reading the command line from a table of options, and the help text from the same table. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* The tool's spelling of the sampler's parameters; what they take is asked of the library. */
static const struct sampling_name {
    uint32_t param;
    const char *name, *value, *help;
} sampling_names[] = {
    { SLM_SAMPLER_TEMPERATURE, "--temp", "T", "randomness; 0 = always the most probable token" },
    { SLM_SAMPLER_TOP_K, "--top-k", "K", "draw from the K most probable; 0 = all" },
    { SLM_SAMPLER_TOP_P, "--top-p", "P", "draw from the most probable that sum to P; 1 = all" },
    { SLM_SAMPLER_MIN_P, "--min-p", "P", "drop those below P times the most probable" },
    { SLM_SAMPLER_REPETITION_PENALTY, "--repeat-penalty", "R", "weaken tokens seen; 1 = off" },
    { SLM_SAMPLER_FREQUENCY_PENALTY, "--frequency-penalty", "F",
      "subtract F per occurrence; 0 = off" },
    { SLM_SAMPLER_PRESENCE_PENALTY, "--presence-penalty", "P", "subtract P if seen; 0 = off" },
    { SLM_SAMPLER_PENALTY_LAST_N, "--penalty-last-n", "N", "tokens that penalties look back" },
};

const option_choice kv_types[] = {
    { "f16", SLM_KV_F16 }, { "f32", SLM_KV_F32 }, { "q8", SLM_KV_Q8 }, { "q4", SLM_KV_Q4 }, { 0 }
};

void options_add(option_table *table, const option *rows)
{
    for (; rows->help && table->n < MAX_OPTIONS; rows++)
        table->rows[table->n++] = *rows;
}

void options_add_sampling(option_table *table, sampling_options *sampling)
{
    for (size_t i = 0; i < sizeof sampling_names / sizeof sampling_names[0]; i++) {
        slm_param_info info = SLM_PARAM_INFO_INIT;
        uint32_t index = 0, param = 0;
        while (slm_sampler_get_param_info(index, &param, &info, NULL) == SLM_OK &&
               param != sampling_names[i].param)
            index++;
        uint32_t n = sampling->n++;
        sampling->params[n] = sampling_names[i].param;
        sampling->infos[n] = info;
        sampling->values[n] = info.default_value;
        option_kind kind = info.type == SLM_PARAM_U32 ? OPTION_WHOLE : OPTION_NUMBER;
        option rows[] = { { NULL, sampling_names[i].name, sampling_names[i].value, kind,
                            &sampling->values[n], info.minimum, info.maximum, NULL,
                            sampling_names[i].help },
                          { 0 } };
        options_add(table, rows);
    }
}

slm_status sampling_create(const sampling_options *sampling, uint32_t seed, uint32_t n_vocab,
                           slm_sampler **sampler, slm_error *error)
{
    slm_status status = slm_sampler_create(n_vocab, NULL, sampler, error);
    if (status == SLM_OK)
        status = slm_sampler_set_u32(*sampler, SLM_SAMPLER_SEED, seed, error);
    for (uint32_t i = 0; i < sampling->n && status == SLM_OK; i++) {
        uint32_t param = sampling->params[i];
        if (sampling->infos[i].type == SLM_PARAM_U32)
            status = slm_sampler_set_u32(*sampler, param, (uint32_t)sampling->values[i], error);
        else
            status = slm_sampler_set_f32(*sampler, param, (float)sampling->values[i], error);
    }
    return status;
}

int usage_error(const command *self, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "slm %s: ", self->name);
    vfprintf(stderr, format, values);
    fprintf(stderr, "; see `slm %s --help`\n", self->name);
    va_end(values);
    return EXIT_USAGE;
}

static void print_help(const command *self, const option_table *table)
{
    printf("usage: slm %s %s\n\n%c%s.\n\n", self->name, self->arguments,
           self->summary[0] - 'a' + 'A', self->summary + 1);
    for (uint32_t i = 0; i < table->n; i++) {
        const option *o = &table->rows[i];
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", o->letter ? o->letter : "    ",
                 o->letter && o->name ? ", " : "", o->name ? o->name : "", o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-28s %s\n", left, o->help);
    }
}

static int set_number(const command *self, const option *o, const char *name, const char *text)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || errno == ERANGE)
        return usage_error(self, "%s takes a number, not '%s'", name, text);
    if (o->kind != OPTION_NUMBER && value != floor(value))
        return usage_error(self, "%s takes a whole number, not '%s'", name, text);
    if (value < o->minimum || value > o->maximum)
        return usage_error(self, "%s takes a number from %.10g to %.10g, not '%s'", name,
                           o->minimum, o->maximum, text);
    if (o->kind == OPTION_COUNT)
        *(uint32_t *)o->target = (uint32_t)value;
    else
        *(double *)o->target = value;
    return EXIT_GO_ON;
}

static int set_choice(const command *self, const option *o, const char *name, const char *text)
{
    char words[96] = "";
    for (const option_choice *choice = o->choices; choice->name; choice++) {
        if (strcmp(choice->name, text) == 0) {
            *(uint32_t *)o->target = choice->value;
            return EXIT_GO_ON;
        }
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", used ? ", " : "", choice->name);
    }
    return usage_error(self, "%s takes one of %s, not '%s'", name, words, text);
}

static int set_value(const command *self, const option *o, const char *name, const char *text)
{
    text_list *list = o->target;
    switch (o->kind) {
    case OPTION_FLAG:
        *(int *)o->target = 1;
        return EXIT_GO_ON;
    case OPTION_TEXT:
        if (*(const char **)o->target)
            return usage_error(self, "%s can be given only once", name);
        *(const char **)o->target = text;
        return EXIT_GO_ON;
    case OPTION_LIST:
        if (list->n == sizeof list->items / sizeof list->items[0])
            return usage_error(self, "%s can be given at most 16 times", name);
        list->items[list->n++] = text;
        return EXIT_GO_ON;
    case OPTION_CHOICE:
        return set_choice(self, o, name, text);
    default:
        return set_number(self, o, name, text);
    }
}

/* Finds the option that a word names; "--name=value" leaves the value in *value. */
static const option *find_option(const option_table *table, const char *word, const char **value)
{
    size_t length = strcspn(word, "=");
    *value = word[length] == '=' ? word + length + 1 : NULL;
    for (uint32_t i = 0; i < table->n; i++) {
        const option *o = &table->rows[i];
        if (o->letter && strcmp(word, o->letter) == 0)
            return o;
        if (o->name && strlen(o->name) == length && strncmp(word, o->name, length) == 0)
            return o;
    }
    return NULL;
}

static void add_common(option_table *table, common_options *c, int *help)
{
    option rows[] = {
        { "-t", "--threads", "THREADS", OPTION_COUNT, &c->threads, 1, 256, NULL,
          "threads (default: all cores)" },
        { "-c", "--context", "TOKENS", OPTION_COUNT, &c->context, 1, 1 << 24, NULL,
          "context length (default: the model's, at most 4096)" },
        { NULL, "--seed", "N", OPTION_COUNT, &c->seed, 0, UINT32_MAX, NULL,
          "seed of the random numbers (default: 0)" },
        { NULL, "--copy", NULL, OPTION_FLAG, &c->copy, 0, 0, NULL,
          "read a converted model into memory instead of mapping its file" },
        { NULL, "--json", NULL, OPTION_FLAG, &c->json, 0, 0, NULL, "print figures as JSON" },
        { "-h", "--help", NULL, OPTION_FLAG, help, 0, 0, NULL, "print this text" },
        { 0 },
    };
    options_add(table, rows);
}

int options_parse(const command *self, option_table *table, common_options *common, int argc,
                  char **argv)
{
    int help = 0, only_words = 0;
    add_common(table, common, &help);
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = 1;
            continue;
        }
        if (only_words || word[0] != '-') {
            if (common->model && common->takes_output && !common->output) {
                common->output = word;
                continue;
            }
            if (common->model)
                return usage_error(self, "one MODEL is enough, '%s' is a second", word);
            common->model = word;
            continue;
        }
        const option *o = find_option(table, word, &value);
        if (!o)
            return usage_error(self, "there is no option '%s'", word);
        if (o->kind == OPTION_FLAG && value)
            return usage_error(self, "%s takes no value", o->name);
        if (o->kind != OPTION_FLAG && !value && ++i == argc)
            return usage_error(self, "%s needs a value", word);
        int code = set_value(self, o, o->name ? o->name : o->letter, value ? value : argv[i]);
        if (code != EXIT_GO_ON)
            return code;
    }
    if (help) {
        print_help(self, table);
        return EXIT_DONE;
    }
    return EXIT_GO_ON;
}
