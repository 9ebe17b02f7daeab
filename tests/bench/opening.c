/* SPDX-License-Identifier: MIT */
/* Opens a model and computes the token after one: opening MODEL [THREADS [copy]]. Prints "first" at once,
 * then tokens per second of the 32 that follow and the peak of resident memory, for compare_opening.py. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "peak.h"

enum { CONTEXT = 600, MORE = 32 };

static void step_to_end(slm_session *session)
{
    slm_error error = SLM_ERROR_INIT;
    slm_status status;
    while ((status = slm_session_step(session, 0, &error)) == SLM_MORE) {
    }
    bench_must(status, &error);
}

int main(int argc, char **argv)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_session_options session_options = SLM_SESSION_OPTIONS_INIT;
    slm_model *model;
    slm_session *session;
    slm_sequence sequence;
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [THREADS [copy]]\n", argv[0]);
        return 2;
    }
    options.n_threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    options.flags = argc > 3 ? SLM_MODEL_COPY : 0;
    session_options.n_threads = options.n_threads;
    session_options.context_length = CONTEXT;
    bench_must(slm_model_load(argv[1], &options, &model, &error), &error);
    bench_must(slm_session_create(model, &session_options, &session, &error), &error);
    bench_must(slm_session_add_sequence(session, &sequence, &error), &error);
    bench_append(session, sequence, 1, 1);
    bench_generate(session, sequence, 1);
    step_to_end(session);
    puts("first");
    fflush(stdout);
    bench_generate(session, sequence, MORE);
    const double begin = bench_now_us();
    step_to_end(session);
    printf("%.3f\n%ld\n", MORE * 1e6 / (bench_now_us() - begin), peak_kilobytes());
    slm_session_release(session);
    slm_model_release(model);
    return 0;
}
