/* SPDX-License-Identifier: MIT */
/* `slm bench`: speed and memory of a model, beside what the machine can do at most. */
#define SLM_EXPERIMENTAL
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include <slm/experimental/profile.h>

enum { MAX_REPEATS = 100 };

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

/* The phase's op of that name; ops beyond the table's end share its last row. */
static bench_op *find_op(bench_phase *phase, const char *name)
{
    for (uint32_t i = 0; i < phase->n_ops; i++) {
        if (strcmp(phase->ops[i].name, name) == 0)
            return &phase->ops[i];
    }
    if (phase->n_ops == MAX_OPS)
        return &phase->ops[MAX_OPS - 1];
    bench_op *op = &phase->ops[phase->n_ops++];
    snprintf(op->name, sizeof op->name, "%s", name);
    return op;
}

static void add_stage(bench_op *op, const slm_x_stage_profile *stage)
{
    op->seconds += 1e-9 * (double)stage->nanoseconds;
    op->integer_operations += 2 * (double)stage->integer_products;
    op->float_operations += 2 * (double)stage->float_products;
    op->bytes += (double)(stage->weight_bytes + stage->cache_bytes);
}

/* Adds up what a profiled session did, over its layers: a stage's name without "blk.3: ". */
static slm_status collect_ops(slm_session *session, bench_phase *phase, slm_error *error)
{
    slm_x_stage_profile stage = SLM_X_STAGE_PROFILE_INIT;
    slm_status status;
    for (uint32_t i = 0;
         (status = slm_x_session_get_stage_profile(session, i, &stage, error)) == SLM_OK; i++) {
        const char *colon = strchr(stage.name, ':');
        add_stage(find_op(phase, colon ? colon + 2 : stage.name), &stage);
        if (stage.kind == SLM_X_STAGE_MATMUL)
            add_stage(&phase->products, &stage);
        add_stage(&phase->all, &stage);
    }
    return status == SLM_END ? SLM_OK : status;
}

/* One repetition of a phase, profiled; `seconds` is how long it took. */
static slm_status measure_phase(const bench_options *o, slm_session *session,
                                const slm_sampler *greedy, bench_figures *f, bench_phase *phase,
                                double *seconds, slm_error *error)
{
    slm_status status = slm_x_session_set_profiling(session, 1, error);
    if (status == SLM_OK && phase == &f->prefill)
        status = time_prefill(session, phase->n_tokens, f->info.n_vocab, o->common.seed, seconds,
                              error);
    else if (status == SLM_OK)
        status = time_decode(session, greedy, (int32_t)(o->common.seed % f->info.n_vocab),
                             phase->n_tokens, seconds, error);
    if (status == SLM_OK)
        status = collect_ops(session, phase, error);
    return status;
}

static void end_phase(bench_phase *phase, double *seconds, uint32_t n)
{
    for (uint32_t r = 0; r < n; r++)
        phase->seconds += seconds[r];
    phase->all.seconds = phase->seconds;
    phase->tokens_per_second = phase->n_tokens / median(seconds, n);
}

/* The machine is measured between the repetitions, so that both meet the same neighbours. */
static slm_status measure_model(const bench_options *o, slm_session *session,
                                const slm_sampler *greedy, bench_figures *f, slm_error *error)
{
    double prefill[MAX_REPEATS], decode[MAX_REPEATS], seconds = 0;
    int show = is_terminal(stderr);

    /* A short round first: workers start and caches fill. What the model needs at most is known after it,
     * and before the machine's own measurement, which takes memory too. */
    slm_status status = time_prefill(session, o->batch_tokens ? o->batch_tokens : 1, f->info.n_vocab,
                                     0, &seconds, error);
    f->peak_bytes = peak_resident_bytes();
    if (status == SLM_OK && machine_begin(&f->machine, o->common.threads) != 0) {
        snprintf(error->message, sizeof error->message,
                 "the machine could not be measured: there is no memory for it");
        status = SLM_ERR_OUT_OF_MEMORY;
    }
    for (uint32_t r = 0; r < o->repeats && status == SLM_OK; r++) {
        if (show)
            fprintf(stderr, "\rround %u of %u", r + 1, o->repeats);
        if (machine_measure(&f->machine) != 0) {
            snprintf(error->message, sizeof error->message,
                     "the machine could not be measured: there are no threads for it");
            status = SLM_ERR_SYSTEM;
        }
        if (status == SLM_OK)
            status = measure_phase(o, session, greedy, f, &f->prefill, &prefill[r], error);
        if (status == SLM_OK)
            status = measure_phase(o, session, greedy, f, &f->decode, &decode[r], error);
    }
    machine_end(&f->machine);
    if (show)
        fputs("\r\033[K", stderr);
    if (status == SLM_OK) {
        end_phase(&f->prefill, prefill, o->repeats);
        end_phase(&f->decode, decode, o->repeats);
    }
    return status;
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

/* A session and a greedy sampler, measured and released. */
static slm_status bench_model(bench_options *o, slm_model *model, bench_figures *f, slm_error *error)
{
    slm_session *session = NULL;
    slm_sampler *greedy = NULL;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_status status = slm_model_get_info(model, &f->info, error);
    if (status == SLM_OK) {
        fit_context(o, f->info.context_length);
        f->prefill.n_tokens = o->prompt_tokens;
        f->decode.n_tokens = o->text_tokens;
        options.n_threads = o->common.threads;
        options.context_length = o->common.context;
        options.batch_tokens = o->batch_tokens;
        status = slm_session_create(model, &options, &session, error);
    }
    if (status == SLM_OK)
        status = slm_sampler_create(f->info.n_vocab, NULL, &greedy, error);
    if (status == SLM_OK)
        status = slm_sampler_set_f32(greedy, SLM_SAMPLER_TEMPERATURE, 0, error);
    if (status == SLM_OK)
        status = measure_model(o, session, greedy, f, error);
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
    bench_figures f = { .info = SLM_MODEL_INFO_INIT,
                        .prefill.name = "prefill",
                        .decode.name = "decode" };
    if ((code = load_model(&o.common, &model, &f.load_seconds)) != EXIT_GO_ON)
        return code;
    slm_error error = SLM_ERROR_INIT;
    code = EXIT_DONE;
    if (bench_model(&o, model, &f, &error) != SLM_OK) {
        code = fail(NULL, &error);
    } else {
        type_names(model, f.types, sizeof f.types);
        if (o.common.json)
            bench_write_json(&o, &f);
        else
            bench_print(&o, &f);
    }
    slm_model_release(model);
    return code;
}
