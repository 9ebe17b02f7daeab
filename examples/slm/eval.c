/* SPDX-License-Identifier: MIT */
/* `slm eval`: how well a model predicts a text, and how far it is from a reference. */
#define SLM_EXPERIMENTAL
#include <stdlib.h>
#include <string.h>

#include <slm/experimental/evaluate.h>

#include "tool.h"

enum { NO_KV = 99 }; /* no type of cache */

typedef struct eval_options {
    common_options common;
    const char *text, *separator, *reference;
    uint32_t convention, stride, kv_type, compare_kv;
} eval_options;

/* What was measured. */
typedef struct outcome {
    slm_x_evaluation figures;
    double load_seconds, seconds;
} outcome;

static const option_choice conventions[] = {
    { "bits-per-byte", SLM_X_CONVENTION_BITS_PER_BYTE },
    { "llamacpp-512", SLM_X_CONVENTION_LLAMACPP_512 },
    { "gptq-2048", SLM_X_CONVENTION_GPTQ_2048 },
    { "hf-stride", SLM_X_CONVENTION_HF_STRIDE },
    { 0 },
};

static const char *choice_name(const option_choice *choices, uint32_t value)
{
    while (choices->name && choices->value != value)
        choices++;
    return choices->name;
}

static int parse(const command *self, eval_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { NULL, "--text", "FILE", OPTION_TEXT, &o->text, 0, 0, NULL,
          "the text; - = standard input" },
        { NULL, "--convention", "NAME", OPTION_CHOICE, &o->convention, 0, 0, conventions,
          "what counts, after what: bits-per-byte (default), llamacpp-512, gptq-2048, hf-stride" },
        { NULL, "--stride", "TOKENS", OPTION_COUNT, &o->stride, 1, 1 << 24, NULL,
          "hf-stride: tokens from window to window (default 512)" },
        { NULL, "--separator", "TEXT", OPTION_TEXT, &o->separator, 0, 0, NULL,
          "the file holds several texts, each without the white space around it" },
        { NULL, "--kv", "TYPE", OPTION_CHOICE, &o->kv_type, 0, 0, kv_types,
          "numbers of the key and value cache: f16 (default), f32, q8 or q4" },
        { NULL, "--compare-kv", "TYPE", OPTION_CHOICE, &o->compare_kv, 0, 0, kv_types,
          "compare with a cache of this type" },
        { NULL, "--reference", "MODEL", OPTION_TEXT, &o->reference, 0, 0, NULL,
          "compare with this model, which has the same vocabulary" },
        { 0 },
    };
    options_add(&table, rows);
    int code = options_parse(self, &table, &o->common, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    if (!o->text)
        return usage_error(self, "give a text with --text");
    if (o->separator && !*o->separator)
        return usage_error(self, "--separator takes a text");
    if (o->stride && o->convention != SLM_X_CONVENTION_HF_STRIDE)
        return usage_error(self, "--stride belongs to --convention hf-stride");
    if (o->compare_kv == NO_KV && o->reference)
        o->compare_kv = o->kv_type;
    return EXIT_GO_ON;
}

/* ---- texts ---- */

static int is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* The first place at or after `from` where the separator stands, or the end. */
static size_t find_separator(const char *text, size_t length, size_t from, const char *separator)
{
    size_t n = strlen(separator);
    while (from + n <= length && memcmp(text + from, separator, n) != 0)
        from++;
    return from + n <= length ? from : length;
}

/* How far a file is, of which one text is being scored. */
typedef struct file_progress {
    size_t begin, length; /* of the text in the file */
    size_t total;         /* bytes of the file */
} file_progress;

static int32_t show_progress(void *context, float done)
{
    const file_progress *p = context;
    double at = (double)p->begin + (double)done * (double)p->length;
    fprintf(stderr, "\rscoring %3.0f %%", 100.0 * at / (double)p->total);
    return 0;
}

/* Each text of the file is scored by itself; without a separator the file is one, as it is. */
static slm_status add_texts(const eval_options *o, slm_x_evaluator *evaluator, const char *text,
                            file_progress *progress, slm_error *error)
{
    size_t length = progress->total;
    slm_status status = SLM_OK;
    if (!o->separator)
        return slm_x_evaluator_add_text(evaluator, text, progress->length = length, error);
    for (size_t begin = 0; begin < length && status == SLM_OK;) {
        size_t end = find_separator(text, length, begin, o->separator);
        size_t first = begin, last = end;
        while (first < last && is_white(text[first]))
            first++;
        while (first < last && is_white(text[last - 1]))
            last--;
        progress->begin = first;
        progress->length = last - first;
        if (first < last)
            status = slm_x_evaluator_add_text(evaluator, text + first, last - first, error);
        begin = end + strlen(o->separator);
    }
    return status;
}

/* Scores the texts; `reference` may be NULL. */
static int evaluate(const eval_options *o, slm_model *model, slm_model *reference,
                    const char *text, size_t length, outcome *out)
{
    slm_error error = SLM_ERROR_INIT;
    slm_x_evaluator *evaluator = NULL;
    slm_x_evaluator_options options = SLM_X_EVALUATOR_OPTIONS_INIT;
    file_progress progress = { .total = length };
    int on_terminal = is_terminal(stderr);
    options.convention = o->convention;
    options.context_length = o->common.context;
    options.stride = o->stride;
    options.kv_type = o->kv_type;
    options.reference = reference;
    options.reference_kv_type = reference ? o->compare_kv : 0;
    options.n_threads = o->common.threads;
    options.progress = on_terminal ? show_progress : NULL;
    options.progress_ctx = &progress;
    double begin = now_seconds();
    if (slm_x_evaluator_create(model, &options, &evaluator, &error) != SLM_OK)
        return fail(NULL, &error);
    slm_status status = add_texts(o, evaluator, text, &progress, &error);
    if (status == SLM_OK)
        status = slm_x_evaluator_get_result(evaluator, &out->figures, &error);
    out->seconds = now_seconds() - begin;
    if (on_terminal)
        fputs("\r\033[K", stderr);
    slm_x_evaluator_release(evaluator);
    return status == SLM_OK ? EXIT_DONE : fail(o->text, &error);
}

/* ---- figures ---- */

static void print_figures(const eval_options *o, const outcome *out)
{
    const slm_x_evaluation *f = &out->figures;
    printf("convention     %s, windows of %u tokens, one every %u%s\n",
           choice_name(conventions, o->convention), f->context_length, f->stride,
           f->starts_with_bos ? ", BOS" : ", no BOS");
    printf("text           %llu bytes, %llu tokens, %llu scored in %llu windows; %.1f s\n",
           (unsigned long long)f->n_bytes, (unsigned long long)f->n_tokens,
           (unsigned long long)f->n_scored, (unsigned long long)f->n_windows, out->seconds);
    printf("perplexity     %.6f +- %.6f\n", f->perplexity, f->perplexity_standard_error);
    if (o->convention == SLM_X_CONVENTION_BITS_PER_BYTE)
        printf("bits per byte  %.6f +- %.6f\n", f->bits_per_byte, f->bits_per_byte_standard_error);
    if (o->compare_kv == NO_KV)
        return;
    printf("reference      %s, cache %s: perplexity %.6f\n",
           o->reference ? o->reference : "the same model", choice_name(kv_types, o->compare_kv),
           f->reference_perplexity);
    printf("loss change    %.3g +- %.2g nats a token\n", f->loss_change,
           f->loss_change_standard_error);
    printf("KL             %.3g +- %.2g nats a token; 99 %% up to %.3g, all up to %.3g\n",
           f->kl_mean, f->kl_standard_error, f->kl_percentile_99, f->kl_max);
    printf("same top       %.3f +- %.3f %%\n", 100 * f->same_top_share,
           100 * f->same_top_share_standard_error);
}

static void write_comparison(json *j, const eval_options *o, const slm_x_evaluation *f)
{
    json_open(j, "reference", '{');
    json_string(j, "model", o->reference ? o->reference : model_label(&o->common));
    json_string(j, "kv_type", choice_name(kv_types, o->compare_kv));
    json_number(j, "negative_log_likelihood", f->reference_negative_log_likelihood);
    json_number(j, "perplexity", f->reference_perplexity);
    if (o->convention == SLM_X_CONVENTION_BITS_PER_BYTE)
        json_number(j, "bits_per_byte", f->reference_bits_per_byte);
    json_close(j, '}');
    json_number(j, "loss_change", f->loss_change);
    json_number(j, "loss_change_standard_error", f->loss_change_standard_error);
    json_number(j, "kl_mean", f->kl_mean);
    json_number(j, "kl_standard_error", f->kl_standard_error);
    json_number(j, "kl_percentile_99", f->kl_percentile_99);
    json_number(j, "kl_max", f->kl_max);
    json_number(j, "same_top_share", f->same_top_share);
    json_number(j, "same_top_share_standard_error", f->same_top_share_standard_error);
}

static void write_figures(const eval_options *o, const outcome *out)
{
    const slm_x_evaluation *f = &out->figures;
    json j = { stdout, 0, 0 };
    json_open(&j, NULL, '{');
    json_string(&j, "model", model_label(&o->common));
    json_string(&j, "convention", choice_name(conventions, o->convention));
    json_string(&j, "kv_type", choice_name(kv_types, o->kv_type));
    json_integer(&j, "window_tokens", f->context_length);
    json_integer(&j, "stride_tokens", f->stride);
    json_integer(&j, "starts_with_bos", f->starts_with_bos);
    json_integer(&j, "texts", (int64_t)f->n_texts);
    json_integer(&j, "text_bytes", (int64_t)f->n_bytes);
    json_integer(&j, "text_tokens", (int64_t)f->n_tokens);
    json_integer(&j, "windows", (int64_t)f->n_windows);
    json_integer(&j, "scored_tokens", (int64_t)f->n_scored);
    json_number(&j, "load_seconds", out->load_seconds);
    json_number(&j, "evaluation_seconds", out->seconds);
    json_integer(&j, "peak_resident_bytes", (int64_t)peak_resident_bytes());
    json_number(&j, "negative_log_likelihood", f->negative_log_likelihood);
    json_number(&j, "perplexity", f->perplexity);
    json_number(&j, "perplexity_standard_error", f->perplexity_standard_error);
    if (o->convention == SLM_X_CONVENTION_BITS_PER_BYTE) {
        json_number(&j, "bits_per_byte", f->bits_per_byte);
        json_number(&j, "bits_per_byte_standard_error", f->bits_per_byte_standard_error);
    }
    if (o->compare_kv != NO_KV)
        write_comparison(&j, o, f);
    json_close(&j, '}');
}

static int read_text(const eval_options *o, char **text, size_t *length)
{
    int code = read_file(o->text, text, length);
    size_t valid = code == EXIT_GO_ON ? valid_utf8(*text, *length) : 0;
    if (code == EXIT_GO_ON && valid < *length)
        code = fail_with("%s: the text is not valid UTF-8 at byte %zu", o->text, valid);
    return code;
}

/* The model to compare with: another file, the same model, or none (NULL). */
static int load_reference(const eval_options *o, slm_model *model, slm_model **reference)
{
    common_options other = o->common;
    other.model = o->reference;
    *reference = o->compare_kv == NO_KV || o->reference ? NULL : slm_model_retain(model);
    return o->reference ? load_model(&other, reference, NULL) : EXIT_GO_ON;
}

int command_eval(const command *self, int argc, char **argv)
{
    eval_options o = { .compare_kv = NO_KV };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;

    outcome out = { .figures = SLM_X_EVALUATION_INIT };
    slm_model *model = NULL, *reference = NULL;
    char *text = NULL;
    size_t length = 0;
    code = read_text(&o, &text, &length);
    if (code == EXIT_GO_ON)
        code = load_model(&o.common, &model, &out.load_seconds);
    if (code == EXIT_GO_ON)
        code = load_reference(&o, model, &reference);
    if (code == EXIT_GO_ON)
        code = evaluate(&o, model, reference, text, length, &out);
    if (code == EXIT_DONE && o.common.json)
        write_figures(&o, &out);
    else if (code == EXIT_DONE)
        print_figures(&o, &out);
    free(text);
    slm_model_release(reference);
    slm_model_release(model);
    return code;
}
