/* SPDX-License-Identifier: MIT */
/* A blob to a sequence: everything is checked before the session changes. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "kernels/kv.h"
#include "session/blob.h"

static slm_status check_owner(const slm_session *session, const slmi_blob *blob, slm_error *err)
{
    SLM_FAIL_AT_IF(blob->model != session->model->identity, SLM_ERR_MISMATCH, 16,
                   "the sequence was saved from another model");
    if (blob->version == 1) {
        SLM_FAIL_AT_IF(blob->kv_type != session->config.kv_type, SLM_ERR_MISMATCH, 12,
                       "the sequence was saved with another kv_type");
        SLM_FAIL_AT_IF(blob->page_bytes != session->exec_plan.page_bytes, SLM_ERR_FORMAT, 24,
                       "a cache page has another size");
    } else {
        SLM_FAIL_AT_IF(blob->cache_bytes != slmi_blob_cache_bytes(blob, &session->model->plan),
                       SLM_ERR_FORMAT, 88, "the cache has another size");
    }
    SLM_FAIL_AT_IF(blob->n_tokens > session->config.context_length, SLM_ERR_CONTEXT_FULL,
                   blob->version == 1 ? 32 : 24, "%u tokens do not fit a context of %u",
                   blob->n_tokens, session->config.context_length);
    return SLM_OK;
}

static slm_status check_prefix(const slmi_blob *blob, const slm_prefix *prefix, slm_error *err)
{
    SLM_FAIL_IF(blob->n_prefix == 0 && prefix != NULL, SLM_ERR_MISMATCH,
                "the sequence was saved whole, not relative to prefix '%s'", prefix->name);
    SLM_FAIL_AT_IF(blob->n_prefix > 0 && prefix == NULL, SLM_ERR_MISMATCH, 36,
                   "the sequence was saved relative to prefix '%s', which is needed",
                   (const char *)blob->name);
    SLM_FAIL_AT_IF(blob->n_prefix > 0 && (prefix->fingerprint != blob->fingerprint ||
                                          prefix->n_tokens != blob->n_prefix),
                   SLM_ERR_MISMATCH, 40,
                   "the sequence was saved relative to prefix '%s', and prefix '%s' is another one",
                   (const char *)blob->name, prefix->name);
    return SLM_OK;
}

static uint32_t token_at(const slmi_blob *blob, uint32_t index)
{
    const uint8_t *at = blob->tokens + (size_t)index * blob->token_bytes;
    return blob->token_bytes == 2 ? slmi_read_u16(at) : slmi_read_u32(at);
}

static slm_status check_tokens(const slm_session *session, const slmi_blob *blob, slm_error *err)
{
    for (uint32_t i = 0; i < blob->n_tokens - blob->n_prefix; i++) {
        SLM_FAIL_AT_IF(token_at(blob, i) >= session->model->hyper.n_vocab, SLM_ERR_FORMAT,
                       blob->tokens_offset + (uint64_t)i * blob->token_bytes,
                       "token %u is not in the vocabulary", i + blob->n_prefix);
    }
    return SLM_OK;
}

typedef struct restoring {
    slm_session *session;
    uint32_t kv_type; /* of the blob */
    const uint8_t *in;
} restoring;

static void restore_keys(void *ctx, uint32_t d, uint8_t *panel, uint32_t first, uint32_t n)
{
    restoring *r = ctx;
    slm_session *session = r->session;
    const uint32_t type = session->config.kv_type;
    if (r->kv_type == type) {
        slmk_kv_restore_keys(type, d, r->in, first, n, panel);
    } else {
        slmk_kv_restore_keys(r->kv_type, d, r->in, first, n, session->kv_panel);
        for (uint32_t lane = first; lane < first + n; lane++) {
            slmk_kv_load_key(r->kv_type, d, session->kv_panel, lane, session->kv_row);
            session->config.kernels->store_key(session->kv_row, d, type, lane, panel);
        }
    }
    r->in += n * slmk_kv_row_bytes(r->kv_type, d);
}

static void restore_values(void *ctx, uint32_t d, uint8_t *rows, uint32_t n)
{
    restoring *r = ctx;
    slm_session *session = r->session;
    const uint32_t type = session->config.kv_type;
    const size_t row_bytes = slmk_kv_row_bytes(r->kv_type, d);
    if (r->kv_type == type) {
        memcpy(rows, r->in, n * row_bytes);
    } else {
        for (uint32_t i = 0; i < n; i++) {
            slmk_kv_load_value(r->kv_type, d, r->in + i * row_bytes, session->kv_row);
            session->config.kernels->store_value(session->kv_row, d, type,
                                                 rows + i * slmk_kv_row_bytes(type, d));
        }
    }
    r->in += n * row_bytes;
}

/* Version 1 has whole pages. */
static void restore_pages(const slm_session *session, const slmi_sequence *sequence,
                          const slmi_blob *blob)
{
    const size_t page_bytes = session->exec_plan.page_bytes;
    for (uint32_t i = 0; i * SLMK_PAGE < blob->n_cached; i++) {
        memcpy(sequence->page_data[i], blob->cache + i * page_bytes, page_bytes);
    }
}

/* Prefix and pages of a sequence that has just been added. */
static slm_status take_room(slm_session *session, slmi_sequence *sequence, const slmi_blob *blob,
                            slm_prefix *prefix, slm_error *err)
{
    sequence->params = blob->params;
    if (prefix != NULL) {
        SLM_TRY(slmi_sequence_append_prefix(session, sequence, prefix, err));
    }
    if (blob->hidden_end > 0) {
        SLM_TRY(slmi_pages_own(session, sequence, 0, blob->hidden_begin, err));
        slmi_pages_add_hidden(sequence, blob->hidden_end);
    }
    const uint32_t first = blob->hidden_end > 0 ? blob->hidden_end : blob->n_prefix;
    return slmi_pages_own(session, sequence, first, blob->n_tokens, err);
}

static void fill(slm_session *session, slmi_sequence *sequence, const slmi_blob *blob)
{
    for (uint32_t i = blob->n_prefix; i < blob->n_tokens; i++) {
        sequence->tokens[i] = (int32_t)token_at(blob, i - blob->n_prefix);
    }
    if (blob->version == 1) {
        restore_pages(session, sequence, blob);
    } else {
        static const slmi_blob_visitor visitor = { restore_keys, restore_values };
        restoring r = { session, blob->kv_type, blob->cache };
        slmi_blob_walk(blob, session, sequence, &visitor, &r);
    }
    sequence->n_tokens = blob->n_tokens;
    sequence->n_computed = blob->n_cached;
    sequence->n_requested = blob->n_requested;
    sequence->stream.n_tail = blob->n_tail;
    memcpy(sequence->stream.tail, blob->tail, blob->n_tail);
}

slm_status slmi_sequence_restore(slm_session *session, const uint8_t *bytes, size_t length,
                                 slm_prefix *prefix, slmi_sequence **out, slm_error *err)
{
    slmi_blob blob;
    slmi_sequence *sequence;
    SLM_TRY(slmi_blob_parse(bytes, length, &blob, err));
    SLM_TRY(check_owner(session, &blob, err));
    SLM_TRY(check_prefix(&blob, prefix, err));
    SLM_TRY(check_tokens(session, &blob, err));
    SLM_TRY(slmi_sequence_add(session, &sequence, err));
    const slm_status status = take_room(session, sequence, &blob, prefix, err);
    if (status != SLM_OK) {
        slmi_sequence_remove(session, sequence);
        return status;
    }
    fill(session, sequence, &blob);
    *out = sequence;
    return SLM_OK;
}
