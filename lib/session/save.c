/* SPDX-License-Identifier: MIT */
/* A sequence as a blob. Version 1; all numbers but those inside the pages are little-endian, pages and
 * the model's identity are as this machine has them:
 *
 *    0  "SLMSEQ" 0 0     magic
 *    8  u32  version     1
 *   12  u32  kv type
 *   16  u64  model       identity of the model
 *   24  u64  page bytes
 *   32  u32  tokens      n
 *   36  u32  computed    c <= n
 *   40  u32  requested   <= n
 *   44  u8   t <= 3      bytes of a character that is not complete yet
 *   45  u8[3]            these bytes, then zeros
 *   48  u32[n]           token ids, padded with zeros to a multiple of 8 bytes
 *       pages            ceil(c / 64) pages of the cache as they are
 *       u64  checksum    slmi_hash_words() of all before it
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "session/session.h"

#define VERSION 1
#define HEADER_BYTES 48
#define CHECKSUM_BYTES 8

static const uint8_t magic[8] = { 'S', 'L', 'M', 'S', 'E', 'Q', 0, 0 };

static uint64_t token_bytes(uint64_t n_tokens)
{
    return slmi_round_up(n_tokens * sizeof(uint32_t), 8);
}

static uint64_t blob_bytes(uint64_t n_tokens, uint64_t n_pages, uint64_t page_bytes)
{
    return HEADER_BYTES + token_bytes(n_tokens) + n_pages * page_bytes + CHECKSUM_BYTES;
}

static uint32_t pages_of(uint32_t n_computed)
{
    return (n_computed + SLMK_PAGE - 1) / SLMK_PAGE;
}

slm_status slmi_sequence_save(const slm_session *session, const slmi_sequence *sequence, uint8_t *blob,
                              size_t capacity, size_t *length, slm_error *err)
{
    const size_t page_bytes = session->exec_plan.page_bytes;
    const uint32_t n_pages = pages_of(sequence->n_computed);
    *length = (size_t)blob_bytes(sequence->n_tokens, n_pages, page_bytes);
    SLM_FAIL_IF(capacity < *length, SLM_ERR_BUFFER_TOO_SMALL,
                "the sequence needs %llu bytes; the buffer has %llu", (unsigned long long)*length,
                (unsigned long long)capacity);
    memset(blob, 0, HEADER_BYTES + (size_t)token_bytes(sequence->n_tokens));
    memcpy(blob, magic, sizeof(magic));
    slmi_write_u32(blob + 8, VERSION);
    slmi_write_u32(blob + 12, session->config.kv_type);
    slmi_write_u64(blob + 16, session->model->identity);
    slmi_write_u64(blob + 24, page_bytes);
    slmi_write_u32(blob + 32, sequence->n_tokens);
    slmi_write_u32(blob + 36, sequence->n_computed);
    slmi_write_u32(blob + 40, sequence->n_requested);
    blob[44] = (uint8_t)sequence->stream.n_tail;
    memcpy(blob + 45, sequence->stream.tail, sequence->stream.n_tail);
    for (uint32_t i = 0; i < sequence->n_tokens; i++) {
        slmi_write_u32(blob + HEADER_BYTES + 4 * (size_t)i, (uint32_t)sequence->tokens[i]);
    }
    uint8_t *pages = blob + HEADER_BYTES + token_bytes(sequence->n_tokens);
    for (uint32_t i = 0; i < n_pages; i++) {
        memcpy(pages + i * page_bytes, sequence->page_data[i], page_bytes);
    }
    const size_t checked = *length - CHECKSUM_BYTES;
    slmi_write_u64(blob + checked, slmi_hash_words(SLMI_HASH_START, blob, checked));
    return SLM_OK;
}

/* Numbers of a blob's header, checked against its length. */
typedef struct blob_header {
    uint32_t n_tokens, n_computed, n_requested, n_pages;
} blob_header;

static slm_status check_frame(const uint8_t *blob, size_t length, slm_error *err)
{
    SLM_FAIL_AT_IF(length < HEADER_BYTES + CHECKSUM_BYTES, SLM_ERR_TRUNCATED, length,
                   "a saved sequence has at least %d bytes", HEADER_BYTES + CHECKSUM_BYTES);
    SLM_FAIL_AT_IF(memcmp(blob, magic, sizeof(magic)) != 0, SLM_ERR_FORMAT, 0,
                   "this is not a saved sequence");
    const uint32_t version = slmi_read_u32(blob + 8);
    SLM_FAIL_AT_IF(version == 0, SLM_ERR_FORMAT, 8, "version 0 does not exist");
    SLM_FAIL_AT_IF(version > VERSION, SLM_ERR_UNSUPPORTED, 8,
                   "the sequence was saved in format %u by a newer version; this one reads up to %d",
                   version, VERSION);
    return SLM_OK;
}

static slm_status check_owner(const slm_session *session, const uint8_t *blob, slm_error *err)
{
    SLM_FAIL_AT_IF(slmi_read_u64(blob + 16) != session->model->identity, SLM_ERR_MISMATCH, 16,
                   "the sequence was saved from another model");
    SLM_FAIL_AT_IF(slmi_read_u32(blob + 12) != session->config.kv_type, SLM_ERR_MISMATCH, 12,
                   "the sequence was saved with another kv_type");
    SLM_FAIL_AT_IF(slmi_read_u64(blob + 24) != session->exec_plan.page_bytes, SLM_ERR_FORMAT, 24,
                   "a cache page has another size");
    return SLM_OK;
}

static slm_status check_blob(const slm_session *session, const uint8_t *blob, size_t length,
                             blob_header *h, slm_error *err)
{
    SLM_TRY(check_frame(blob, length, err));
    SLM_TRY(check_owner(session, blob, err));
    h->n_tokens = slmi_read_u32(blob + 32);
    h->n_computed = slmi_read_u32(blob + 36);
    h->n_requested = slmi_read_u32(blob + 40);
    h->n_pages = pages_of(h->n_computed);
    SLM_FAIL_AT_IF(h->n_computed > h->n_tokens, SLM_ERR_FORMAT, 36,
                   "%u tokens cannot be computed of %u", h->n_computed, h->n_tokens);
    SLM_FAIL_AT_IF(h->n_requested > h->n_tokens, SLM_ERR_FORMAT, 40,
                   "%u tokens cannot be wanted of %u", h->n_requested, h->n_tokens);
    SLM_FAIL_AT_IF(blob[44] > 3, SLM_ERR_FORMAT, 44, "no character is %u bytes short of its end",
                   blob[44]);
    SLM_FAIL_AT_IF(blob[44] > 0 && !slmi_utf8_is_incomplete((const char *)blob + 45, blob[44]),
                   SLM_ERR_FORMAT, 45, "these bytes do not begin a character");
    const uint64_t bytes = blob_bytes(h->n_tokens, h->n_pages, session->exec_plan.page_bytes);
    SLM_FAIL_AT_IF(length < bytes, SLM_ERR_TRUNCATED, length, "the blob should have %llu bytes",
                   (unsigned long long)bytes);
    SLM_FAIL_AT_IF(length > bytes, SLM_ERR_FORMAT, bytes, "the blob should have %llu bytes",
                   (unsigned long long)bytes);
    const size_t checked = length - CHECKSUM_BYTES;
    SLM_FAIL_AT_IF(slmi_read_u64(blob + checked) != slmi_hash_words(SLMI_HASH_START, blob, checked),
                   SLM_ERR_CHECKSUM, checked, "the blob was altered: its checksum does not match");
    SLM_FAIL_AT_IF(h->n_tokens > session->config.context_length, SLM_ERR_CONTEXT_FULL, 32,
                   "%u tokens do not fit a context of %u", h->n_tokens,
                   session->config.context_length);
    return SLM_OK;
}

static slm_status check_tokens(const slm_session *session, const uint8_t *blob, uint32_t n_tokens,
                               slm_error *err)
{
    for (uint32_t i = 0; i < n_tokens; i++) {
        const size_t offset = HEADER_BYTES + 4 * (size_t)i;
        SLM_FAIL_AT_IF(slmi_read_u32(blob + offset) >= session->model->hyper.n_vocab, SLM_ERR_FORMAT,
                       offset, "token %u is not in the vocabulary", i);
    }
    return SLM_OK;
}

slm_status slmi_sequence_restore(slm_session *session, const uint8_t *blob, size_t length,
                                 slmi_sequence **out, slm_error *err)
{
    blob_header h;
    slmi_sequence *sequence;
    SLM_TRY(check_blob(session, blob, length, &h, err));
    SLM_TRY(check_tokens(session, blob, h.n_tokens, err));
    SLM_TRY(slmi_sequence_add(session, &sequence, err));
    const slm_status status = slmi_sequence_own_pages(session, sequence, h.n_tokens, err);
    if (status != SLM_OK) {
        slmi_sequence_remove(session, sequence);
        return status;
    }
    for (uint32_t i = 0; i < h.n_tokens; i++) {
        sequence->tokens[i] = (int32_t)slmi_read_u32(blob + HEADER_BYTES + 4 * (size_t)i);
    }
    const size_t page_bytes = session->exec_plan.page_bytes;
    const uint8_t *pages = blob + HEADER_BYTES + token_bytes(h.n_tokens);
    for (uint32_t i = 0; i < h.n_pages; i++) {
        memcpy(sequence->page_data[i], pages + i * page_bytes, page_bytes);
    }
    sequence->n_tokens = h.n_tokens;
    sequence->n_computed = h.n_computed;
    sequence->n_requested = h.n_requested;
    sequence->stream.n_tail = blob[44];
    memcpy(sequence->stream.tail, blob + 45, blob[44]);
    *out = sequence;
    return SLM_OK;
}
