/* SPDX-License-Identifier: MIT */
/* A sequence to a blob. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "kernels/kv.h"
#include "session/blob.h"

static slm_status choose_form(const slm_session *session, const slm_save_options *options,
                              slmi_blob *blob, slm_error *err)
{
    SLM_FAIL_IF(options->form > SLM_SAVE_TOKENS, SLM_ERR_INVALID_ARGUMENT, "form %u does not exist",
                options->form);
    SLM_FAIL_IF(options->whole > 1, SLM_ERR_INVALID_ARGUMENT, "whole is %u; it must be 0 or 1",
                options->whole);
    SLM_FAIL_IF(options->reserved0 != 0, SLM_ERR_INVALID_ARGUMENT, "reserved0 must be 0");
    blob->kv_type = options->form == SLM_SAVE_Q8   ? SLMK_KV_Q8
                    : options->form == SLM_SAVE_Q4 ? SLMK_KV_Q4
                                                   : session->config.kv_type;
    return SLM_OK;
}

/* What the blob will hold. */
static slm_status describe(const slm_session *session, const slmi_sequence *sequence,
                           const slm_save_options *options, slmi_blob *blob, slm_error *err)
{
    const uint32_t hidden_end = slmi_pages_hidden_end(sequence) * SLMK_PAGE;
    memset(blob, 0, sizeof(*blob));
    SLM_TRY(choose_form(session, options, blob, err));
    blob->model = session->model->identity;
    blob->n_tokens = sequence->n_tokens;
    blob->n_requested = sequence->n_requested;
    blob->n_cached = sequence->n_computed;
    blob->params = sequence->params;
    blob->token_bytes = session->model->hyper.n_vocab <= 65536 ? 2 : 4;
    blob->n_tail = sequence->stream.n_tail;
    memcpy(blob->tail, sequence->stream.tail, sequence->stream.n_tail);
    const int keeps_prefix = sequence->prefix != NULL && sequence->n_prefix == sequence->prefix->n_tokens;
    if (keeps_prefix && !options->whole) {
        blob->n_prefix = sequence->n_prefix;
        /* A generation may be about to compute the prefix's last token again. */
        blob->n_cached = slmi_max_u32(blob->n_cached, blob->n_prefix);
        blob->fingerprint = sequence->prefix->fingerprint;
        blob->name = (const uint8_t *)sequence->prefix->name;
    }
    if (sequence->move.active) {
        /* What is on the move is computed again, and behind hidden tokens everything is. */
        blob->n_requested = slmi_max_u32(blob->n_requested, slmi_move_end(sequence));
        blob->n_cached = hidden_end > 0 ? 0 : blob->n_cached;
    } else if (hidden_end > 0) {
        blob->hidden_begin = slmk_pages_of(sequence->params.sinks) * SLMK_PAGE;
        blob->hidden_end = hidden_end;
    }
    if (options->form == SLM_SAVE_TOKENS) {
        SLM_FAIL_IF(hidden_end > 0, SLM_ERR_STATE,
                    "the window has hidden tokens, so the cache cannot be computed from the tokens");
        /* What was computed is computed again, also what nobody would ask for otherwise. */
        blob->n_requested = slmi_max_u32(blob->n_requested, sequence->n_computed);
        blob->n_cached = blob->n_prefix;
    }
    blob->cache_bytes = slmi_blob_cache_bytes(blob, &session->model->plan);
    return SLM_OK;
}

static void write_tokens(const slmi_sequence *sequence, const slmi_blob *blob, uint8_t *bytes)
{
    uint8_t *out = bytes + slmi_blob_tokens_offset();
    memset(out, 0, (size_t)(slmi_blob_cache_offset(blob) - slmi_blob_tokens_offset()));
    for (uint32_t i = blob->n_prefix; i < blob->n_tokens; i++) {
        if (blob->token_bytes == 2) {
            slmi_write_u16(out, (uint16_t)sequence->tokens[i]);
        } else {
            slmi_write_u32(out, (uint32_t)sequence->tokens[i]);
        }
        out += blob->token_bytes;
    }
}

typedef struct saving {
    const slm_session *session;
    uint32_t kv_type; /* of the blob */
    uint8_t *out;
} saving;

static void save_keys(void *ctx, uint32_t d, uint8_t *panel, uint32_t first, uint32_t n)
{
    saving *s = ctx;
    const slm_session *session = s->session;
    const uint32_t type = session->config.kv_type;
    if (s->kv_type != type) {
        for (uint32_t lane = first; lane < first + n; lane++) {
            slmk_kv_load_key(type, d, panel, lane, session->kv_row);
            session->config.kernels->store_key(session->kv_row, d, s->kv_type, lane, session->kv_panel);
        }
        panel = session->kv_panel;
    }
    slmk_kv_save_keys(s->kv_type, d, panel, first, n, s->out);
    s->out += n * slmk_kv_row_bytes(s->kv_type, d);
}

static void save_values(void *ctx, uint32_t d, uint8_t *rows, uint32_t n)
{
    saving *s = ctx;
    const slm_session *session = s->session;
    const uint32_t type = session->config.kv_type;
    const size_t row_bytes = slmk_kv_row_bytes(s->kv_type, d);
    if (s->kv_type == type) {
        memcpy(s->out, rows, n * row_bytes);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            slmk_kv_load_value(type, d, rows + i * slmk_kv_row_bytes(type, d), session->kv_row);
            session->config.kernels->store_value(session->kv_row, d, s->kv_type,
                                                 s->out + i * row_bytes);
        }
    }
    s->out += n * row_bytes;
}

slm_status slmi_sequence_save(const slm_session *session, const slmi_sequence *sequence,
                              const slm_save_options *options, uint8_t *bytes, size_t capacity,
                              size_t *length, slm_error *err)
{
    slmi_blob blob;
    SLM_TRY(describe(session, sequence, options, &blob, err));
    const uint64_t size = slmi_blob_bytes(&blob);
    SLM_FAIL_IF(size > SIZE_MAX, SLM_ERR_LIMIT, "%llu bytes are more than can be addressed",
                (unsigned long long)size);
    *length = (size_t)size;
    SLM_FAIL_IF(capacity < size, SLM_ERR_BUFFER_TOO_SMALL,
                "the sequence needs %llu bytes; the buffer has %llu", (unsigned long long)size,
                (unsigned long long)capacity);
    slmi_blob_write_header(&blob, bytes);
    write_tokens(sequence, &blob, bytes);
    static const slmi_blob_visitor visitor = { save_keys, save_values };
    saving s = { session, blob.kv_type, bytes + slmi_blob_cache_offset(&blob) };
    slmi_blob_walk(&blob, session, sequence, &visitor, &s);
    slmi_blob_write_checksum(bytes, size);
    return SLM_OK;
}
