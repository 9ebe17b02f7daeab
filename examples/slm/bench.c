/* SPDX-License-Identifier: MIT */
/* `slm bench`: speed and memory of a model, beside what the machine can do at most. */
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "tool.h"

enum { MAX_REPEATS = 100 };

typedef struct bench_options {
    common_options common;
    uint32_t prompt_tokens, text_tokens, repeats, batch_tokens;
} bench_options;

/* What is measured, and what the shares are computed from. */
typedef struct figures {
    double load_seconds;
    double prefill, decode; /* tokens per second, medians */
    uint64_t peak_bytes;
    uint64_t body_parameters; /* in the matrices that each token of a prompt meets */
    uint64_t decode_bytes;    /* weights in the file that each new token reads */
    machine machine;
} figures;

static int parse(const command *self, bench_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { "-p", "--prompt-tokens", "N", OPTION_COUNT, &o->prompt_tokens, 1, 1 << 20, NULL,
          "tokens of the prompt (default 512)" },
        { "-n", "--tokens", "N", OPTION_COUNT, &o->text_tokens, 1, 1 << 20, NULL,
          "tokens to write (default 128)" },
        { "-r", "--repeats", "N", OPTION_COUNT, &o->repeats, 1, MAX_REPEATS, NULL,
          "repetitions; the median counts (default 3)" },
        { "-b", "--batch", "TOKENS", OPTION_COUNT, &o->batch_tokens, 1, 4096, NULL,
          "tokens computed together at most (default 256)" },
        { 0 },
    };
    options_add(&table, rows);
    return options_parse(self, &table, &o->common, argc, argv);
}

/* A prompt and a text are measured apart, so the longer of the two has to fit. */
static void fit_context(bench_options *o, uint32_t made_for)
{
    uint32_t needed = o->prompt_tokens > o->text_tokens + 1 ? o->prompt_tokens
                                                            : o->text_tokens + 1;
    uint32_t context = o->common.context ? o->common.context : needed;
    if (context > made_for)
        context = made_for;
    o->common.context = context;
    if (o->prompt_tokens > context)
        o->prompt_tokens = context;
    if (o->text_tokens + 1 > context)
        o->text_tokens = context > 1 ? context - 1 : 1;
}

static slm_status step_to_end(slm_session *session, slm_error *error)
{
    slm_status status;
    do {
        status = slm_session_step(session, 0, error);
    } while (status == SLM_MORE);
    return status;
}

/* Seconds to compute a prompt of n tokens, drawn from the vocabulary. */
static slm_status time_prefill(slm_session *session, uint32_t n, uint32_t n_vocab, uint32_t seed,
                               double *seconds, slm_error *error)
{
    slm_sequence sequence = 0;
    int32_t *tokens = malloc(n * sizeof *tokens);
    if (!tokens) {
        snprintf(error->message, sizeof error->message, "there is no memory for the prompt");
        return SLM_ERR_OUT_OF_MEMORY;
    }
    uint64_t state = seed;
    for (uint32_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        tokens[i] = (int32_t)((state >> 33) % n_vocab);
    }
    slm_status status = slm_session_add_sequence(session, &sequence, error);
    if (status == SLM_OK)
        status = slm_session_append(session, sequence, tokens, n, 0, error);
    double begin = now_seconds();
    if (status == SLM_OK)
        status = step_to_end(session, error);
    *seconds = now_seconds() - begin;
    free(tokens);
    slm_session_remove_sequence(session, sequence, NULL);
    return status;
}

/* Seconds to write n tokens after one. */
static slm_status time_decode(slm_session *session, const slm_sampler *greedy, int32_t first,
                              uint32_t n, double *seconds, slm_error *error)
{
    slm_sequence sequence = 0;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = n;
    options.flags = SLM_GENERATE_IGNORE_END;
    slm_status status = slm_session_add_sequence(session, &sequence, error);
    if (status == SLM_OK)
        status = slm_session_set_sampler(session, sequence, greedy, error);
    if (status == SLM_OK)
        status = slm_session_append(session, sequence, &first, 1, 0, error);
    if (status == SLM_OK)
        status = slm_session_generate(session, sequence, &options, error);
    double begin = now_seconds();
    if (status == SLM_OK)
        status = step_to_end(session, error);
    *seconds = now_seconds() - begin;
    slm_session_remove_sequence(session, sequence, NULL);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

static slm_status measure_model(const bench_options *o, slm_session *session,
                                const slm_model_info *info, const slm_sampler *greedy, figures *f,
                                slm_error *error)
{
    double prefill[MAX_REPEATS], decode[MAX_REPEATS], seconds = 0;
    int show = is_terminal(stderr);
    int32_t first = (int32_t)(o->common.seed % info->n_vocab);

    /* One short round first: workers start and caches fill. */
    slm_status status = time_prefill(session, 1, info->n_vocab, 0, &seconds, error);
    for (uint32_t r = 0; r < o->repeats && status == SLM_OK; r++) {
        if (show)
            fprintf(stderr, "\rround %u of %u", r + 1, o->repeats);
        status = time_prefill(session, o->prompt_tokens, info->n_vocab, o->common.seed, &seconds,
                              error);
        prefill[r] = o->prompt_tokens / seconds;
        if (status == SLM_OK)
            status = time_decode(session, greedy, first, o->text_tokens, &seconds, error);
        decode[r] = o->text_tokens / seconds;
    }
    if (show)
        fputs("\r\033[K", stderr);
    if (status == SLM_OK) {
        f->prefill = median(prefill, o->repeats);
        f->decode = median(decode, o->repeats);
    }
    return status;
}

/* Which weights a token meets. The embedding is looked up, not multiplied, unless it is also the
 * output head; and of a prompt only the last token meets the head. */
static void count_work(const slm_model *model, figures *f)
{
    slm_tensor_info t = SLM_TENSOR_INFO_INIT;
    uint64_t embedding_bytes = 0;
    int has_head = 0;
    for (uint32_t i = 0; slm_model_get_tensor(model, i, &t, NULL) == SLM_OK; i++) {
        int is_embedding = strcmp(t.name, "token_embd.weight") == 0;
        int is_head = strcmp(t.name, "output.weight") == 0;
        has_head |= is_head;
        if (is_embedding)
            embedding_bytes = t.bytes;
        else
            f->decode_bytes += t.bytes;
        if (t.n_dims == 2 && !is_embedding && !is_head)
            f->body_parameters += t.dims[0] * t.dims[1];
    }
    if (!has_head)
        f->decode_bytes += embedding_bytes;
}

static void type_names(const slm_model *model, char *names, size_t capacity)
{
    slm_tensor_info t = SLM_TENSOR_INFO_INIT;
    names[0] = '\0';
    for (uint32_t i = 0; slm_model_get_tensor(model, i, &t, NULL) == SLM_OK; i++) {
        size_t used = strlen(names);
        if (!strstr(names, t.type) && used + strlen(t.type) + 3 <= capacity)
            snprintf(names + used, capacity - used, "%s%s", used ? ", " : "", t.type);
    }
}

static double integer_share(const figures *f)
{
    return 2 * (double)f->body_parameters * f->prefill / f->machine.integer_operations_per_second;
}

static double bandwidth_share(const figures *f)
{
    return (double)f->decode_bytes * f->decode / f->machine.read_bytes_per_second;
}

static void print_figures(const bench_options *o, const slm_model_info *info, const char *types,
                          const figures *f)
{
    printf("model    %s, %.2f million parameters, %s, %.2f MB\n", info->name,
           1e-6 * (double)info->n_parameters, types, 1e-6 * (double)info->file_bytes);
    printf("threads  %u, %s\n", o->common.threads, slm_cpu_level_name(slm_cpu_level()));
    printf("load     %.3f s\n", f->load_seconds);
    printf("prefill  %.1f tokens/s, %u tokens; %.1f %% of %.0f GOP/s (%s)\n", f->prefill,
           o->prompt_tokens, 100 * integer_share(f),
           1e-9 * f->machine.integer_operations_per_second, f->machine.integer_instructions);
    printf("decode   %.1f tokens/s, %u tokens; %.1f %% of %.1f GB/s read\n", f->decode,
           o->text_tokens, 100 * bandwidth_share(f), 1e-9 * f->machine.read_bytes_per_second);
    printf("memory   %.1f MB at the peak\n", 1e-6 * (double)f->peak_bytes);
}

static void write_figures(const bench_options *o, const slm_model_info *info, const char *types,
                          const figures *f)
{
    json j = { stdout, 0, 0 };
    json_open(&j, NULL, '{');
    json_string(&j, "model", info->name);
    json_string(&j, "tensor_types", types);
    json_integer(&j, "parameters", (int64_t)info->n_parameters);
    json_integer(&j, "file_bytes", (int64_t)info->file_bytes);
    json_integer(&j, "threads", o->common.threads);
    json_string(&j, "cpu_level", slm_cpu_level_name(slm_cpu_level()));
    json_integer(&j, "prompt_tokens", o->prompt_tokens);
    json_integer(&j, "generated_tokens", o->text_tokens);
    json_integer(&j, "repeats", o->repeats);
    json_number(&j, "load_seconds", f->load_seconds);
    json_number(&j, "prefill_tokens_per_second", f->prefill);
    json_number(&j, "decode_tokens_per_second", f->decode);
    json_integer(&j, "peak_resident_bytes", (int64_t)f->peak_bytes);
    json_number(&j, "machine_read_bytes_per_second", f->machine.read_bytes_per_second);
    json_number(&j, "machine_integer_operations_per_second",
                f->machine.integer_operations_per_second);
    json_string(&j, "machine_integer_instructions", f->machine.integer_instructions);
    json_number(&j, "prefill_integer_peak_share", integer_share(f));
    json_number(&j, "decode_read_bandwidth_share", bandwidth_share(f));
    json_close(&j, '}');
}

/* A session and a greedy sampler, measured and released. */
static slm_status bench_model(bench_options *o, slm_model *model, slm_model_info *info,
                              figures *f, slm_error *error)
{
    slm_session *session = NULL;
    slm_sampler *greedy = NULL;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_status status = slm_model_get_info(model, info, error);
    if (status == SLM_OK) {
        fit_context(o, info->context_length);
        options.n_threads = o->common.threads;
        options.context_length = o->common.context;
        options.batch_tokens = o->batch_tokens;
        status = slm_session_create(model, &options, &session, error);
    }
    if (status == SLM_OK)
        status = slm_sampler_create(info->n_vocab, NULL, &greedy, error);
    if (status == SLM_OK)
        status = slm_sampler_set_f32(greedy, SLM_SAMPLER_TEMPERATURE, 0, error);
    if (status == SLM_OK)
        status = measure_model(o, session, info, greedy, f, error);
    slm_sampler_release(greedy);
    slm_session_release(session);
    return status;
}

int command_bench(const command *self, int argc, char **argv)
{
    bench_options o = { .prompt_tokens = 512, .text_tokens = 128, .repeats = 3 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    if (o.common.threads == 0)
        o.common.threads = core_count();

    slm_model *model = NULL;
    figures f = { 0 };
    if ((code = load_model(&o.common, &model, &f.load_seconds)) != EXIT_GO_ON)
        return code;
    slm_error error = SLM_ERROR_INIT;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    char types[256];
    code = EXIT_DONE;
    if (bench_model(&o, model, &info, &f, &error) != SLM_OK) {
        code = fail(NULL, &error);
    } else {
        /* Before the machine's own measurement, which takes memory too. */
        f.peak_bytes = peak_resident_bytes();
        count_work(model, &f);
        type_names(model, types, sizeof types);
        if (machine_measure(o.common.threads, &f.machine) != 0)
            code = fail_with("the machine could not be measured: no memory or no threads");
        else if (o.common.json)
            write_figures(&o, &info, types, &f);
        else
            print_figures(&o, &info, types, &f);
    }
    slm_model_release(model);
    return code;
}
