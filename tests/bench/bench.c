/* SPDX-License-Identifier: MIT */
/* What the benches share: a model from the command line, time, percentiles, prompts. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/os/os.h"

void bench_must(slm_status status, const slm_error *error)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", slm_status_name(status), error->message);
        exit(1);
    }
}

slm_model *bench_load(const char *path, uint32_t n_threads)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    options.n_threads = n_threads;
    bench_must(slm_model_load(path, &options, &model, &error), &error);
    return model;
}

double bench_now_us(void)
{
    return (double)slmi_clock_ns() / 1000.0;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_percentile(double *values, uint32_t n, double share)
{
    qsort(values, n, sizeof(*values), compare);
    const double position = share * (double)(n - 1);
    return values[(uint32_t)(position + 0.5)];
}

void bench_append(slm_session *session, slm_sequence sequence, uint32_t n, uint32_t seed)
{
    slm_error error = SLM_ERROR_INIT;
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    const slm_model *model = slm_session_get_model(session);
    bench_must(slm_tokenizer_get_info(slm_model_get_tokenizer(model), &info, &error), &error);
    for (uint32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        const int32_t token = (int32_t)((seed >> 8) % info.n_vocab);
        bench_must(slm_session_append(session, sequence, &token, 1, 0, &error), &error);
    }
}

void bench_generate(slm_session *session, slm_sequence sequence, uint32_t n)
{
    slm_error error = SLM_ERROR_INIT;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = n;
    options.flags = SLM_GENERATE_IGNORE_END;
    bench_must(slm_session_generate(session, sequence, &options, &error), &error);
}
