/* SPDX-License-Identifier: MIT */
/* Generation: what was asked for, one token at a time, and the events that tell of it. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "session/session.h"

slm_event *slmi_event_add(slm_session *session, uint32_t type, const slmi_sequence *sequence)
{
    slm_event *event = &session->events[session->n_events++];
    memset(event, 0, sizeof(*event));
    event->struct_size = sizeof(*event);
    event->type = type;
    event->sequence = slmi_sequence_id(session, sequence);
    return event;
}

/* Where the text of a done event lies. */
static char *done_text(const slm_session *session, const slmi_sequence *sequence)
{
    const size_t index = (size_t)(sequence - session->sequences);
    return session->event_text + (2 * index + 1) * sequence->stream.capacity;
}

/* Where the text of a row's token event lies. */
static char *token_text(const slm_session *session, const slmi_sequence *sequence, uint32_t row)
{
    const uint32_t area = session->wanted[row].area;
    const size_t index = (size_t)(sequence - session->sequences);
    const size_t number =
        area == 0 ? 2 * index : 2 * (size_t)session->config.n_sequences + area - 1;
    return session->event_text + number * sequence->stream.capacity;
}

static slm_status check_stops(const slm_generate_options *options, slm_error *err)
{
    SLM_FAIL_IF(options->n_stop > SLMI_STOP_TEXTS, SLM_ERR_INVALID_ARGUMENT,
                "n_stop is %u; at most %d stop texts are possible", options->n_stop, SLMI_STOP_TEXTS);
    SLM_FAIL_IF(options->n_stop > 0 && options->stop == NULL, SLM_ERR_INVALID_ARGUMENT,
                "stop must not be NULL when n_stop is %u", options->n_stop);
    for (uint32_t i = 0; i < options->n_stop; i++) {
        SLM_FAIL_IF(options->stop[i] == NULL, SLM_ERR_INVALID_ARGUMENT, "stop[%u] is NULL", i);
        const size_t length = strlen(options->stop[i]);
        SLM_FAIL_IF(length == 0 || length > SLMI_STOP_BYTES, SLM_ERR_INVALID_ARGUMENT,
                    "stop[%u] has %llu bytes; 1 to %d are possible", i, (unsigned long long)length,
                    SLMI_STOP_BYTES);
        const size_t bad = slmi_utf8_check(options->stop[i], length);
        SLM_FAIL_AT_IF(bad < length, SLM_ERR_INVALID_UTF8, bad, "stop[%u] is not valid UTF-8", i);
    }
    return SLM_OK;
}

static void take_stops(slmi_stream *stream, const slm_generate_options *options)
{
    slmi_stream_reset(stream);
    for (uint32_t i = 0; i < options->n_stop; i++) {
        const size_t length = strlen(options->stop[i]);
        stream->stop_length[i] = (uint8_t)length;
        memcpy(stream->stop + i * SLMI_STOP_BYTES, options->stop[i], length);
    }
    stream->n_stop = options->n_stop;
}

/* 1 if no token so far stands for text, so that the first text may begin with a dummy space. */
static uint32_t has_no_text(const slm_session *session, const slmi_sequence *sequence)
{
    const slm_tokenizer *tokenizer = session->model->tokenizer;
    for (uint32_t i = 0; i < sequence->n_tokens; i++) {
        const char *bytes;
        size_t length = 0;
        (void)slmi_tokenizer_piece(tokenizer, sequence->tokens[i], 0, &bytes, &length, NULL);
        if (length > 0) {
            return 0;
        }
    }
    return 1;
}

slm_status slmi_generation_begin(slm_session *session, slmi_sequence *sequence,
                                 const slm_generate_options *options, slm_error *err)
{
    const uint32_t known = SLM_GENERATE_IGNORE_END | SLM_GENERATE_SHOW_SPECIAL;
    SLM_FAIL_IF(sequence->n_tokens == 0, SLM_ERR_STATE,
                "an empty sequence has nothing to go on from: append a token first");
    SLM_FAIL_IF(sequence->n_tokens == session->config.context_length &&
                    sequence->params.full != SLM_FULL_SHIFT,
                SLM_ERR_CONTEXT_FULL, "the context of %u tokens is full",
                session->config.context_length);
    SLM_FAIL_IF((options->flags & ~known) != 0, SLM_ERR_INVALID_ARGUMENT, "flags 0x%x are unknown",
                options->flags & ~known);
    SLM_FAIL_IF(options->reserved0 != 0, SLM_ERR_INVALID_ARGUMENT, "reserved0 must be 0");
    SLM_FAIL_IF(options->n_top > session->config.top_logprobs, SLM_ERR_INVALID_ARGUMENT,
                "n_top is %u; the session was created for at most %u (top_logprobs)", options->n_top,
                session->config.top_logprobs);
    SLM_TRY(check_stops(options, err));
    slmi_batch_leave(session, sequence); /* it was made without this generation's wish for logits */
    if (!sequence->move.active) {
        /* If the last token is computed, its logits are gone: it is computed once more, to the same bits. */
        SLM_TRY(slmi_pages_rewind(session, sequence, sequence->n_tokens - 1, sequence->n_tokens, err));
    }
    atomic_store(&session->cancelled[sequence - session->sequences], 0); /* that was another generation's */
    take_stops(&sequence->stream, options);
    sequence->stream.strips_space = (uint32_t)slmi_tokenizer_strips_space(session->model->tokenizer) &&
                                    has_no_text(session, sequence);
    sequence->generation = (slmi_generation){ .active = 1,
                                              .max_tokens = options->max_tokens,
                                              .flags = options->flags,
                                              .n_top = options->n_top };
    return SLM_OK;
}

void slmi_generation_end(slm_session *session, slmi_sequence *sequence, uint32_t reason,
                         slm_status status)
{
    slm_event *event = slmi_event_add(session, SLM_EVENT_DONE, sequence);
    char *text = done_text(session, sequence);
    slmi_stream_flush(&sequence->stream, reason == SLM_DONE_END, text, &event->text_length);
    event->text = text;
    event->reason = reason;
    event->status = status;
    event->n_generated = sequence->generation.n_written;
    sequence->generation.active = 0;
}

/* Tells of the token and shows its text. Returns 1 if a stop text was found. */
static int show_token(slm_session *session, slmi_sequence *sequence, uint32_t row, slm_event *event)
{
    const uint32_t flags =
        sequence->generation.flags & SLM_GENERATE_SHOW_SPECIAL ? SLM_TEXT_SHOW_SPECIAL : 0;
    const char *bytes = NULL;
    size_t length = 0;
    char *text = token_text(session, sequence, row);
    (void)slmi_tokenizer_piece(session->model->tokenizer, event->token, flags, &bytes, &length, NULL);
    const int stopped =
        slmi_stream_push(&sequence->stream, bytes, length, text, &event->text_length);
    event->text = text;
    return stopped;
}

/* The last token fills the context: ends, makes room or waits, as the sequence's policy has it. */
static slm_status meet_full_context(slm_session *session, slmi_sequence *sequence, slm_error *err)
{
    if (sequence->params.full == SLM_FULL_WAIT) {
        sequence->generation.waits = 1;
        slmi_event_add(session, SLM_EVENT_FULL, sequence)->position = sequence->n_tokens;
        return SLM_OK;
    }
    slm_status status = SLM_ERR_CONTEXT_FULL;
    uint32_t first = 0, n_removed = 0;
    slm_error own = SLM_ERROR_INIT; /* a context that is full is no error of the step */
    if (sequence->params.full == SLM_FULL_SHIFT) {
        status = slmi_sequence_make_room(session, sequence, &first, &n_removed, &own);
    }
    if (status == SLM_ERR_CONTEXT_FULL) {
        slmi_generation_end(session, sequence, SLM_DONE_CONTEXT_FULL, SLM_OK);
        return SLM_OK;
    }
    if (status != SLM_OK) {
        slmi_generation_end(session, sequence, SLM_DONE_ERROR, status);
        return slmi_fail(err, status, own.offset, "%s", own.message);
    }
    slm_event *event = slmi_event_add(session, SLM_EVENT_SHIFT, sequence);
    event->position = first;
    event->n_removed = n_removed;
    return SLM_OK;
}

static slm_event *add_token_event(slm_session *session, slmi_sequence *sequence, uint32_t row)
{
    const size_t top = (size_t)row * session->config.top_logprobs;
    slm_event *event = slmi_event_add(session, SLM_EVENT_TOKEN, sequence);
    event->position = sequence->n_tokens;
    event->token = session->wanted[row].token;
    event->logprob = session->wanted[row].logprob;
    event->n_top = sequence->generation.n_top;
    if (event->n_top > 0) {
        event->top_tokens = session->top_tokens + top;
        event->top_logprobs = session->top_logprobs + top;
    }
    return event;
}

slm_status slmi_generation_take(slm_session *session, slmi_sequence *sequence, uint32_t row,
                                slm_error *err)
{
    slmi_generation *generation = &sequence->generation;
    const int32_t token = session->wanted[row].token;
    slm_status status = SLM_OK;
    if (sequence->n_tokens == session->config.context_length) {
        return meet_full_context(session, sequence, err); /* it was filled since the last token */
    }
    if (!session->wanted[row].finite) {
        status = slmi_fail(err, SLM_ERR_NOT_FINITE, SLM_NO_OFFSET,
                           "a logit is infinite or not a number");
    } else {
        status = slmi_pages_own(session, sequence, sequence->n_computed, sequence->n_tokens + 1, err);
    }
    if (status != SLM_OK) {
        slmi_generation_end(session, sequence, SLM_DONE_ERROR, status);
        return status;
    }
    slm_event *event = add_token_event(session, sequence, row);
    sequence->tokens[sequence->n_tokens++] = token;
    generation->n_written++;
    slmi_speculation_note(session, sequence, token);
    const int stopped = show_token(session, sequence, row, event);
    if (stopped) {
        slmi_generation_end(session, sequence, SLM_DONE_STOP, SLM_OK);
    } else if (!(generation->flags & SLM_GENERATE_IGNORE_END) &&
               slmi_tokenizer_is_end(session->model->tokenizer, token)) {
        slmi_generation_end(session, sequence, SLM_DONE_END, SLM_OK);
    } else if (generation->n_written == generation->max_tokens) {
        slmi_generation_end(session, sequence, SLM_DONE_LENGTH, SLM_OK);
    } else if (sequence->n_tokens == session->config.context_length) {
        return meet_full_context(session, sequence, err);
    }
    return SLM_OK;
}
