/* SPDX-License-Identifier: MIT */
/* Many characters on one model: what batching gains, what memories take, what saving one costs.
 * Usage: characters MODEL [-t THREADS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MOST 16    /* sequences that write together */
#define WRITTEN 64 /* tokens each */
#define ROUNDS 5
#define REMEMBERED 500 /* tokens of a memory beyond the prefix */
#define PREFIX 64

static const char *const kv_names[] = { "f16", "f32", "q8", "q4" };

static slm_session *create(slm_model *model, uint32_t n_threads, uint32_t n, uint32_t context,
                           uint32_t kv_type)
{
    slm_error error = SLM_ERROR_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session *session;
    options.n_threads = n_threads;
    options.n_sequences = n;
    options.context_length = context;
    options.kv_type = kv_type;
    bench_must(slm_session_create(model, &options, &session, &error), &error);
    return session;
}

static void finish(slm_session *session)
{
    slm_error error = SLM_ERROR_INIT;
    slm_status status;
    do {
        status = slm_session_step(session, 0, &error);
    } while (status == SLM_MORE);
    bench_must(status, &error);
}

/* Tokens per second, all together, of n sequences that write. */
static double write_together(slm_session *session, uint32_t n)
{
    slm_error error = SLM_ERROR_INIT;
    slm_sequence sequences[MOST];
    for (uint32_t i = 0; i < n; i++) {
        bench_must(slm_session_add_sequence(session, &sequences[i], &error), &error);
        bench_append(session, sequences[i], 16, i);
    }
    finish(session);
    for (uint32_t i = 0; i < n; i++) {
        bench_generate(session, sequences[i], WRITTEN);
    }
    const double begin = bench_now_us();
    finish(session);
    const double speed = n * WRITTEN / (bench_now_us() - begin) * 1e6;
    for (uint32_t i = 0; i < n; i++) {
        bench_must(slm_session_remove_sequence(session, sequences[i], &error), &error);
    }
    return speed;
}

static void measure_batching(slm_model *model, uint32_t n_threads)
{
    slm_session *session = create(model, n_threads, MOST, 256, SLM_KV_F16);
    printf("writing together, %u threads, medians of %d rounds in turns:\n", n_threads, ROUNDS);
    for (uint32_t n = 2; n <= MOST; n *= 2) {
        double one[ROUNDS], many[ROUNDS], ratios[ROUNDS];
        for (uint32_t i = 0; i < ROUNDS; i++) {
            one[i] = write_together(session, 1);
            many[i] = write_together(session, n);
            ratios[i] = many[i] / one[i];
        }
        printf("  %2u sequences %8.1f tokens/s, one alone %7.1f: %.2f times\n", n,
               bench_percentile(many, ROUNDS, 0.5), bench_percentile(one, ROUNDS, 0.5),
               bench_percentile(ratios, ROUNDS, 0.5));
    }
    slm_session_release(session);
}

static void measure_memory(slm_model *model, uint32_t n_threads)
{
    slm_error error = SLM_ERROR_INIT;
    printf("200 sequences of 128 tokens, no shared prefix, logits and scratch included:\n");
    for (uint32_t kv_type = 0; kv_type < 4; kv_type++) {
        slm_session_options options = SLM_SESSION_OPTIONS_INIT;
        slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
        options.n_threads = n_threads;
        options.n_sequences = 200;
        options.context_length = 128;
        options.kv_type = kv_type;
        bench_must(slm_session_estimate(model, &options, &memory, &error), &error);
        printf("  kv %s  %6.1f MB (cache %.1f, scratch %.1f, logits %.1f)\n", kv_names[kv_type],
               (double)memory.total_bytes / 1e6, (double)memory.kv_bytes / 1e6,
               (double)memory.scratch_bytes / 1e6, (double)memory.logit_bytes / 1e6);
    }
}

/* A session with a sequence of REMEMBERED tokens behind a shared prefix. */
static slm_sequence remember(slm_session *session, slm_prefix **prefix)
{
    slm_error error = SLM_ERROR_INIT;
    slm_sequence sequence;
    bench_must(slm_session_add_sequence(session, &sequence, &error), &error);
    bench_append(session, sequence, PREFIX, 1);
    finish(session);
    bench_must(slm_prefix_create(session, sequence, "persona", prefix, &error), &error);
    bench_must(slm_session_remove_sequence(session, sequence, &error), &error);
    bench_must(slm_session_add_sequence(session, &sequence, &error), &error);
    bench_must(slm_session_append_prefix(session, sequence, *prefix, &error), &error);
    bench_append(session, sequence, REMEMBERED, 2);
    finish(session);
    return sequence;
}

/* Saves and restores in turns; prints the size and the median times. */
static void measure_form(slm_session *session, slm_sequence sequence, slm_prefix *prefix, uint32_t form,
                         const char *name)
{
    slm_error error = SLM_ERROR_INIT;
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    size_t size = 0;
    double save[ROUNDS], restore[ROUNDS], both[ROUNDS];
    options.form = form;
    (void)slm_session_save_sequence(session, sequence, &options, NULL, 0, &size, &error);
    void *blob = calloc(1, size);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        slm_sequence copy;
        const double begin = bench_now_us();
        bench_must(slm_session_save_sequence(session, sequence, &options, blob, size, &size, &error),
                   &error);
        const double saved = bench_now_us();
        bench_must(slm_session_restore_sequence(session, blob, size, prefix, &copy, &error), &error);
        const double restored = bench_now_us();
        bench_must(slm_session_remove_sequence(session, copy, &error), &error);
        save[i] = saved - begin;
        restore[i] = restored - saved;
        both[i] = restored - begin;
    }
    printf("    as %-6s %9zu bytes  save %6.2f ms  restore %6.2f ms  both %6.2f ms\n", name, size,
           bench_percentile(save, ROUNDS, 0.5) / 1e3, bench_percentile(restore, ROUNDS, 0.5) / 1e3,
           bench_percentile(both, ROUNDS, 0.5) / 1e3);
    free(blob);
}

static void measure_saving(slm_model *model, uint32_t n_threads)
{
    printf("a memory of %d tokens beyond a shared prefix of %d:\n", REMEMBERED, PREFIX);
    for (uint32_t kv_type = 0; kv_type < 4; kv_type++) {
        slm_prefix *prefix;
        slm_session *session = create(model, n_threads, 2, PREFIX + REMEMBERED + 64, kv_type);
        const slm_sequence sequence = remember(session, &prefix);
        printf("  session with kv %s\n", kv_names[kv_type]);
        measure_form(session, sequence, prefix, SLM_SAVE_CACHE, kv_names[kv_type]);
        if (kv_type == SLM_KV_F16) {
            measure_form(session, sequence, prefix, SLM_SAVE_Q8, "q8");
            measure_form(session, sequence, prefix, SLM_SAVE_Q4, "q4");
            measure_form(session, sequence, prefix, SLM_SAVE_TOKENS, "tokens");
        }
        slm_prefix_release(prefix);
        slm_session_release(session);
    }
}

int main(int argc, char **argv)
{
    uint32_t n_threads = 2;
    if (argc == 4 && strcmp(argv[2], "-t") == 0) {
        n_threads = (uint32_t)strtoul(argv[3], NULL, 10);
    } else if (argc != 2) {
        fprintf(stderr, "Usage: characters MODEL [-t THREADS]\n");
        return 2;
    }
    slm_model *model = bench_load(argv[1], n_threads);
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_error error = SLM_ERROR_INIT;
    bench_must(slm_model_get_info(model, &info, &error), &error);
    printf("%s\n", argv[1]);
    measure_batching(model, n_threads);
    measure_memory(model, n_threads);
    if (info.context_length >= PREFIX + REMEMBERED + 64) {
        measure_saving(model, n_threads);
    }
    slm_model_release(model);
    return 0;
}
