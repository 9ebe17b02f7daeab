/* SPDX-License-Identifier: MIT */
/* Frame budgets: how far steps exceed their time, beside a control that only wakes threads and spins; and
 * what budgets cost in speed. Usage: frames MODEL [-t THREADS] [-f FRAMES] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "bench.h"

#define PROMPT 128 /* tokens of a prompt, and tokens written behind it */
#define ROUNDS 5   /* of the comparison of speeds */

typedef struct bench {
    slm_session *session;
    slm_sequence sequence;
    uint32_t n_prompts;
    slmi_alloc alloc;
    slmi_pool pool;
    double deadline; /* of the control's frame */
} bench;

/* A new prompt and its continuation when the last one is done, so that frames meet prefill and decode. */
static void keep_busy(bench *b)
{
    slm_error error = SLM_ERROR_INIT;
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    bench_must(slm_session_get_sequence_info(b->session, b->sequence, &info, &error), &error);
    if (!info.is_generating) {
        bench_must(slm_session_truncate_sequence(b->session, b->sequence, 0, &error), &error);
        bench_append(b->session, b->sequence, PROMPT, b->n_prompts++);
        bench_generate(b->session, b->sequence, PROMPT);
    }
}

/* Uses the budget up, in several steps if they end early; returns the time in microseconds. */
static double run_frame(bench *b, double budget)
{
    slm_error error = SLM_ERROR_INIT;
    const double begin = bench_now_us();
    double passed = 0;
    while (budget - passed >= 1) {
        keep_busy(b);
        bench_must(slm_session_step(b->session, (uint64_t)(budget - passed), &error), &error);
        passed = bench_now_us() - begin;
    }
    return passed;
}

static void spin(void *ctx, uint32_t worker)
{
    const bench *b = ctx;
    (void)worker;
    while (bench_now_us() < b->deadline) {
    }
}

static double run_control(bench *b, double budget)
{
    const double begin = bench_now_us();
    b->deadline = begin + budget;
    slmi_pool_run(&b->pool, spin, b);
    return bench_now_us() - begin;
}

static void print_row(const char *name, double *overruns, uint32_t n)
{
    const double median = bench_percentile(overruns, n, 0.5); /* sorts */
    printf("  %-8s  median %7.1f  99 %% %7.1f  99.9 %% %7.1f  max %8.1f us\n", name, median,
           bench_percentile(overruns, n, 0.99), bench_percentile(overruns, n, 0.999), overruns[n - 1]);
}

static void measure_overrun(bench *b, double budget, uint32_t n_frames)
{
    double *steps = calloc(n_frames, sizeof(double));
    double *control = calloc(n_frames, sizeof(double));
    for (uint32_t i = 0; i < n_frames; i++) {
        steps[i] = run_frame(b, budget) - budget;
        control[i] = run_control(b, budget) - budget;
    }
    printf("overrun of a budget of %.0f us, %u frames each, in turns:\n", budget, n_frames);
    print_row("steps", steps, n_frames);
    print_row("control", control, n_frames);
    const double above = bench_percentile(steps, n_frames, 0.999) -
                         bench_percentile(control, n_frames, 0.999);
    printf("  99.9 %% above the control's: %.1f us (asked: at most %.0f)\n", above,
           0.1 * budget + 50);
    free(steps);
    free(control);
}

/* Tokens per second of decode, steps called back to back with a budget (0 = none). */
static double decode_speed(bench *b, uint64_t budget)
{
    slm_error error = SLM_ERROR_INIT;
    slm_status status;
    bench_must(slm_session_truncate_sequence(b->session, b->sequence, 0, &error), &error);
    bench_append(b->session, b->sequence, 16, 7);
    do {
        status = slm_session_step(b->session, 0, &error);
    } while (status == SLM_MORE);
    bench_generate(b->session, b->sequence, PROMPT);
    const double begin = bench_now_us();
    do {
        status = slm_session_step(b->session, budget, &error);
    } while (status == SLM_MORE);
    bench_must(status, &error);
    return PROMPT / (bench_now_us() - begin) * 1e6;
}

static void measure_speed(bench *b, uint64_t budget)
{
    double with[ROUNDS], without[ROUNDS], ratios[ROUNDS];
    for (uint32_t i = 0; i < ROUNDS; i++) {
        without[i] = decode_speed(b, 0);
        with[i] = decode_speed(b, budget);
        ratios[i] = with[i] / without[i];
    }
    printf("decode with steps of %llu us back to back: %.1f tokens/s, without a budget %.1f; median of "
           "%d ratios %.3f\n", (unsigned long long)budget, bench_percentile(with, ROUNDS, 0.5),
           bench_percentile(without, ROUNDS, 0.5), ROUNDS, bench_percentile(ratios, ROUNDS, 0.5));
}

int main(int argc, char **argv)
{
    slm_error error = SLM_ERROR_INIT;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    const slm_tasks own_threads = { 0 };
    uint32_t n_frames = 10000;
    static bench b;
    options.n_threads = 2;
    options.context_length = 2 * PROMPT;
    for (int i = 2; i + 1 < argc; i += 2) {
        const uint32_t value = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        *(strcmp(argv[i], "-t") == 0 ? &options.n_threads : &n_frames) = value;
    }
    if (argc < 2 || n_frames == 0) {
        fprintf(stderr, "Usage: frames MODEL [-t THREADS] [-f FRAMES]\n");
        return 2;
    }
    slm_model *model = bench_load(argv[1], options.n_threads);
    bench_must(slm_session_create(model, &options, &b.session, &error), &error);
    bench_must(slm_session_add_sequence(b.session, &b.sequence, &error), &error);
    bench_must(slmi_alloc_init(&b.alloc, NULL, 0, &error), &error);
    bench_must(slmi_pool_init(&b.pool, options.n_threads, &own_threads, &b.alloc, &error), &error);
    bench_must(slmi_pool_start(&b.pool, &error), &error);
    printf("%s, %u threads\n", argv[1], options.n_threads);
    measure_overrun(&b, 1000, n_frames);
    measure_overrun(&b, 4000, n_frames);
    measure_speed(&b, 4000);
    slmi_pool_destroy(&b.pool);
    slm_session_release(b.session);
    slm_model_release(model);
    return 0;
}
