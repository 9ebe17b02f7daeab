/* SPDX-License-Identifier: MIT */
/* Pieces of tokens to text that may be shown. */
#include "session/stream.h"

#include <string.h>

#include "base/text.h"

static const char replacement[3] = { '\xEF', '\xBF', '\xBD' };

uint32_t slmi_stream_capacity(size_t longest_piece)
{
    return (uint32_t)(SLMI_REPLACED * (longest_piece + sizeof(((slmi_stream *)0)->tail)) +
                      SLMI_STOP_BYTES);
}

void slmi_stream_reset(slmi_stream *stream)
{
    stream->n_held = 0;
    stream->n_stop = 0;
}

static void hold(slmi_stream *stream, const char *bytes, size_t length)
{
    memcpy(stream->held + stream->n_held, bytes, length);
    stream->n_held += (uint32_t)length;
}

/* Takes one byte: completes the character in tail, or finds that it is none. */
static void take(slmi_stream *stream, char byte)
{
    stream->tail[stream->n_tail++] = byte;
    for (;;) {
        uint32_t code_point;
        if (stream->n_tail == 0 || slmi_utf8_is_incomplete(stream->tail, stream->n_tail)) {
            return;
        }
        const size_t n = slmi_utf8_decode(stream->tail, stream->n_tail, &code_point);
        size_t used = n;
        if (n != 0) {
            hold(stream, stream->tail, n);
        } else {
            hold(stream, replacement, sizeof(replacement));
            used = slmi_utf8_invalid_length(stream->tail, stream->n_tail);
        }
        stream->n_tail -= (uint32_t)used;
        memmove(stream->tail, stream->tail + used, stream->n_tail);
    }
}

/* Position of the first stop text in what is held, or n_held. */
static uint32_t find_stop(const slmi_stream *stream)
{
    uint32_t first = stream->n_held;
    for (uint32_t s = 0; s < stream->n_stop; s++) {
        const char *stop = stream->stop + s * SLMI_STOP_BYTES;
        const uint32_t length = stream->stop_length[s];
        for (uint32_t i = 0; i + length <= stream->n_held && i < first; i++) {
            if (memcmp(stream->held + i, stop, length) == 0) {
                first = i;
            }
        }
    }
    return first;
}

/* Bytes at the end of what is held that could be the beginning of a stop text. */
static uint32_t possible_stop(const slmi_stream *stream)
{
    uint32_t longest = 0;
    for (uint32_t s = 0; s < stream->n_stop; s++) {
        const uint32_t length = stream->stop_length[s];
        uint32_t n = length - 1 < stream->n_held ? length - 1 : stream->n_held;
        while (n > longest && memcmp(stream->held + stream->n_held - n,
                                     stream->stop + s * SLMI_STOP_BYTES, n) != 0) {
            n--;
        }
        longest = n > longest ? n : longest;
    }
    return longest;
}

static void show(slmi_stream *stream, uint32_t n, char *out, size_t *out_length)
{
    uint32_t skipped = 0;
    if (n > 0 && stream->strips_space) {
        skipped = stream->held[0] == ' ';
        stream->strips_space = 0;
    }
    memcpy(out, stream->held + skipped, n - skipped);
    *out_length = n - skipped;
    stream->n_held -= n;
    memmove(stream->held, stream->held + n, stream->n_held);
}

int slmi_stream_push(slmi_stream *stream, const char *bytes, size_t length, char *out,
                     size_t *out_length)
{
    for (size_t i = 0; i < length; i++) {
        take(stream, bytes[i]);
    }
    const uint32_t stop = find_stop(stream);
    if (stop < stream->n_held) {
        show(stream, stop, out, out_length);
        stream->n_held = 0;
        stream->n_tail = 0;
        return 1;
    }
    show(stream, stream->n_held - possible_stop(stream), out, out_length);
    return 0;
}

void slmi_stream_flush(slmi_stream *stream, int finally, char *out, size_t *out_length)
{
    if (finally && stream->n_tail > 0) {
        hold(stream, replacement, sizeof(replacement));
        stream->n_tail = 0;
    }
    show(stream, stream->n_held, out, out_length);
}
