/* SPDX-License-Identifier: MIT */
/* Streaming a generation to standard output: the loop at the heart of `run` and `chat`. */
#include <string.h>

#include "tool.h"

/* Ctrl-C while text is written. slm_session_cancel() may be called from anywhere, so also here. */
static slm_session *volatile interrupted_session;

static void cancel_session(void)
{
    slm_session_cancel(interrupted_session);
}

/* Takes the events of one step. Returns 1 after the last event of the generation. */
static int take_events(slm_session *session, stream_listener *listener, void *context,
                       stream_result *result, double *first, slm_error *error)
{
    slm_event event = SLM_EVENT_INIT;
    int done = 0;
    while (slm_session_get_event(session, &event, error) == SLM_OK) {
        if (event.text_length) {
            fwrite(event.text, 1, event.text_length, stdout);
            fflush(stdout);
        }
        if (event.type == SLM_EVENT_TOKEN && *first == 0)
            *first = now_seconds();
        if (event.type == SLM_EVENT_DONE) {
            result->reason = event.reason;
            result->n_generated = event.n_generated;
            done = 1;
        }
        if (listener)
            listener(context, &event);
    }
    return done;
}

slm_status stream_text(slm_session *session, slm_sequence sequence, stream_listener *listener,
                       void *context, stream_result *result, slm_error *error)
{
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_status status = slm_session_get_sequence_info(session, sequence, &info, error);
    if (status != SLM_OK)
        return status;
    memset(result, 0, sizeof *result);
    result->n_prompt = info.n_tokens - info.n_computed;

    interrupted_session = session;
    catch_interrupt(cancel_session);
    double begin = now_seconds(), first = 0;
    int done = 0;
    while (!done && status >= 0) {
        status = slm_session_step(session, 0, error);
        done = take_events(session, listener, context, result, &first, error);
    }
    double end = now_seconds();
    catch_interrupt(NULL);
    if (is_terminal(stdout))
        putchar('\n');

    result->prompt_seconds = (first ? first : end) - begin;
    result->text_seconds = first ? end - first : 0;
    return status < 0 ? status : SLM_OK;
}

const char *stream_reason(uint32_t reason)
{
    static const char *const names[] = { "unknown", "length",    "end",  "stop",
                                         "context", "cancelled", "error" };
    return reason < sizeof names / sizeof names[0] ? names[reason] : names[0];
}

double prompt_tokens_per_second(const stream_result *result)
{
    return result->prompt_seconds > 0 ? result->n_prompt / result->prompt_seconds : 0;
}

/* The first token belongs to the prompt's time, so one less was written in the text's. */
double text_tokens_per_second(const stream_result *result)
{
    if (result->n_generated < 2 || result->text_seconds <= 0)
        return 0;
    return (result->n_generated - 1) / result->text_seconds;
}
