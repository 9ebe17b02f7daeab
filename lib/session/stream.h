/* SPDX-License-Identifier: MIT */
/* Pieces of tokens to text that may be shown: whole characters only, nothing of a stop text. */
#ifndef SLMI_SESSION_STREAM_H
#define SLMI_SESSION_STREAM_H

#include <stddef.h>
#include <stdint.h>

#define SLMI_STOP_TEXTS 16
#define SLMI_STOP_BYTES 255

/* A piece that is no valid UTF-8 grows by a factor of 3 when it is replaced. */
#define SLMI_REPLACED 3

typedef struct slmi_stream {
    char *held;          /* [capacity] valid text that is not shown yet */
    uint32_t n_held;
    uint32_t capacity;
    char tail[4];        /* beginning of a character */
    uint32_t n_tail;
    uint32_t n_stop;
    uint32_t strips_space; /* 1: the next text loses one leading space */
    uint8_t stop_length[SLMI_STOP_TEXTS];
    char *stop;          /* [SLMI_STOP_TEXTS][SLMI_STOP_BYTES] */
} slmi_stream;

/* Bytes of held text that any piece up to longest_piece needs, and of the stop texts. */
uint32_t slmi_stream_capacity(size_t longest_piece);
#define SLMI_STREAM_STOP_SIZE (SLMI_STOP_TEXTS * SLMI_STOP_BYTES)

/* Forgets text and stop texts, not the beginning of a character. */
void slmi_stream_reset(slmi_stream *stream);

/* Adds a token's bytes. Writes what may be shown now to `out` (capacity bytes) and its length. Returns 1
 * if a stop text was found: what stands before it is shown, the rest dropped. */
int slmi_stream_push(slmi_stream *stream, const char *bytes, size_t length, char *out,
                     size_t *out_length);

/* Shows what was held back. With `finally` an incomplete character becomes U+FFFD, else it waits. */
void slmi_stream_flush(slmi_stream *stream, int finally, char *out, size_t *out_length);

#endif
