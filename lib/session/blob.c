/* SPDX-License-Identifier: MIT */
/* The frame of a saved sequence: header, checks, order of the cache's parts. */
#include "session/blob.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "kernels/kv.h"

#define VERSION_1_HEADER 48
#define NAME_OFFSET 96
#define NAME_SIZE (SLM_PREFIX_NAME_BYTES + 1)

static const uint8_t magic[8] = { 'S', 'L', 'M', 'S', 'E', 'Q', 0, 0 };

static uint64_t token_bytes(uint64_t n_tokens, uint32_t size)
{
    return slmi_round_up(n_tokens * size, 8);
}

uint64_t slmi_blob_tokens_offset(void)
{
    return SLMI_BLOB_HEADER;
}

uint64_t slmi_blob_cache_offset(const slmi_blob *blob)
{
    return SLMI_BLOB_HEADER + token_bytes(blob->n_tokens - blob->n_prefix, blob->token_bytes);
}

uint64_t slmi_blob_bytes(const slmi_blob *blob)
{
    return slmi_blob_cache_offset(blob) + blob->cache_bytes + SLMI_BLOB_CHECKSUM;
}

void slmi_blob_write_header(const slmi_blob *blob, uint8_t *bytes)
{
    const slmi_params *p = &blob->params;
    const uint32_t params[6] = { p->priority, p->full, p->keep, p->drop, p->window, p->sinks };
    memset(bytes, 0, SLMI_BLOB_HEADER);
    memcpy(bytes, magic, sizeof(magic));
    slmi_write_u32(bytes + 8, SLMI_BLOB_VERSION);
    slmi_write_u32(bytes + 12, blob->kv_type);
    slmi_write_u64(bytes + 16, blob->model);
    slmi_write_u32(bytes + 24, blob->n_tokens);
    slmi_write_u32(bytes + 28, blob->n_requested);
    slmi_write_u32(bytes + 32, blob->n_cached);
    slmi_write_u32(bytes + 36, blob->n_prefix);
    slmi_write_u64(bytes + 40, blob->fingerprint);
    slmi_write_u32(bytes + 48, blob->hidden_begin);
    slmi_write_u32(bytes + 52, blob->hidden_end);
    for (uint32_t i = 0; i < 6; i++) {
        slmi_write_u32(bytes + 56 + 4 * i, params[i]);
    }
    slmi_write_u32(bytes + 80, blob->token_bytes);
    bytes[84] = (uint8_t)blob->n_tail;
    memcpy(bytes + 85, blob->tail, blob->n_tail);
    slmi_write_u64(bytes + 88, blob->cache_bytes);
    if (blob->name != NULL) {
        memcpy(bytes + NAME_OFFSET, blob->name, NAME_SIZE);
    }
}

void slmi_blob_write_checksum(uint8_t *bytes, uint64_t size)
{
    const size_t checked = (size_t)size - SLMI_BLOB_CHECKSUM;
    slmi_write_u64(bytes + checked, slmi_hash_words(SLMI_HASH_START, bytes, checked));
}

static slm_status check_frame(const uint8_t *bytes, size_t length, slm_error *err)
{
    const size_t least = VERSION_1_HEADER + SLMI_BLOB_CHECKSUM;
    SLM_FAIL_AT_IF(length < least, SLM_ERR_TRUNCATED, length,
                   "a saved sequence has at least %llu bytes", (unsigned long long)least);
    SLM_FAIL_AT_IF(memcmp(bytes, magic, sizeof(magic)) != 0, SLM_ERR_FORMAT, 0,
                   "this is not a saved sequence");
    const uint32_t version = slmi_read_u32(bytes + 8);
    SLM_FAIL_AT_IF(version == 0, SLM_ERR_FORMAT, 8, "version 0 does not exist");
    SLM_FAIL_AT_IF(version > SLMI_BLOB_VERSION, SLM_ERR_UNSUPPORTED, 8,
                   "the sequence was saved in format %u by a newer version; this one reads up to %d",
                   version, SLMI_BLOB_VERSION);
    SLM_FAIL_AT_IF(version == 2 && length < SLMI_BLOB_HEADER + SLMI_BLOB_CHECKSUM, SLM_ERR_TRUNCATED,
                   length, "the header has %d bytes", SLMI_BLOB_HEADER);
    return SLM_OK;
}

/* Checks the size that the header implies, then the checksum. */
static slm_status check_size(const uint8_t *bytes, size_t length, uint64_t expected, slm_error *err)
{
    SLM_FAIL_AT_IF(length < expected, SLM_ERR_TRUNCATED, length, "the blob should have %llu bytes",
                   (unsigned long long)expected);
    SLM_FAIL_AT_IF(length > expected, SLM_ERR_FORMAT, expected, "the blob should have %llu bytes",
                   (unsigned long long)expected);
    const size_t checked = length - SLMI_BLOB_CHECKSUM;
    SLM_FAIL_AT_IF(slmi_read_u64(bytes + checked) != slmi_hash_words(SLMI_HASH_START, bytes, checked),
                   SLM_ERR_CHECKSUM, checked, "the blob was altered: its checksum does not match");
    return SLM_OK;
}

static slm_status check_tail(const uint8_t *bytes, uint32_t offset, slmi_blob *blob, slm_error *err)
{
    blob->n_tail = bytes[offset];
    SLM_FAIL_AT_IF(blob->n_tail > sizeof(blob->tail), SLM_ERR_FORMAT, offset,
                   "no character is %u bytes short of its end", blob->n_tail);
    memcpy(blob->tail, bytes + offset + 1, blob->n_tail);
    SLM_FAIL_AT_IF(blob->n_tail > 0 && !slmi_utf8_is_incomplete(blob->tail, blob->n_tail),
                   SLM_ERR_FORMAT, offset + 1, "these bytes do not begin a character");
    return SLM_OK;
}

static slm_status parse_version_1(const uint8_t *bytes, size_t length, slmi_blob *blob, slm_error *err)
{
    blob->page_bytes = slmi_read_u64(bytes + 24);
    blob->n_tokens = slmi_read_u32(bytes + 32);
    blob->n_cached = slmi_read_u32(bytes + 36);
    blob->n_requested = slmi_read_u32(bytes + 40);
    blob->token_bytes = 4;
    slmi_params_default(&blob->params);
    SLM_FAIL_AT_IF(blob->n_cached > blob->n_tokens, SLM_ERR_FORMAT, 36,
                   "%u tokens cannot be computed of %u", blob->n_cached, blob->n_tokens);
    SLM_FAIL_AT_IF(blob->n_requested > blob->n_tokens, SLM_ERR_FORMAT, 40,
                   "%u tokens cannot be wanted of %u", blob->n_requested, blob->n_tokens);
    SLM_TRY(check_tail(bytes, 44, blob, err));
    blob->tokens_offset = VERSION_1_HEADER;
    const uint64_t before = VERSION_1_HEADER + token_bytes(blob->n_tokens, 4);
    SLM_FAIL_AT_IF(!slmi_mul_u64(slmk_pages_of(blob->n_cached), blob->page_bytes, &blob->cache_bytes) ||
                       blob->cache_bytes > SIZE_MAX / 2,
                   SLM_ERR_FORMAT, 24, "a cache page cannot have %llu bytes",
                   (unsigned long long)blob->page_bytes);
    SLM_TRY(check_size(bytes, length, before + blob->cache_bytes + SLMI_BLOB_CHECKSUM, err));
    blob->cache = bytes + before;
    return SLM_OK;
}

static void read_params(const uint8_t *bytes, slmi_params *params)
{
    params->priority = slmi_read_u32(bytes);
    params->full = slmi_read_u32(bytes + 4);
    params->keep = slmi_read_u32(bytes + 8);
    params->drop = slmi_read_u32(bytes + 12);
    params->window = slmi_read_u32(bytes + 16);
    params->sinks = slmi_read_u32(bytes + 20);
}

static slm_status check_prefix(const slmi_blob *blob, slm_error *err)
{
    const uint8_t *end = memchr(blob->name, 0, NAME_SIZE);
    const size_t length = end != NULL ? (size_t)(end - blob->name) : NAME_SIZE;
    const int named = length > 0 && length < NAME_SIZE &&
                      slmi_utf8_check((const char *)blob->name, length) == length;
    SLM_FAIL_AT_IF(blob->n_prefix > blob->n_cached, SLM_ERR_FORMAT, 36,
                   "a prefix of %u tokens cannot begin %u", blob->n_prefix, blob->n_cached);
    SLM_FAIL_AT_IF(blob->n_prefix > 0 ? !named : length > 0, SLM_ERR_FORMAT, NAME_OFFSET,
                   "this is not the name of a prefix");
    return SLM_OK;
}

static slm_status check_hidden(const slmi_blob *blob, slm_error *err)
{
    const uint32_t begin = blob->hidden_begin, end = blob->hidden_end;
    const uint32_t sinks = slmk_pages_of(blob->params.sinks) * SLMK_PAGE;
    const uint32_t seen = /* by the next token, from here on */
        SLMK_PAGE * slmi_window_page(blob->params.window, sinks / SLMK_PAGE, blob->n_cached);
    const int fits = begin == sinks && end > begin && end % SLMK_PAGE == 0 && end <= blob->n_cached &&
                     end <= seen;
    SLM_FAIL_AT_IF(begin == 0 && end == 0 ? 0 : !fits, SLM_ERR_FORMAT, 48,
                   "no window hides tokens %u to %u", begin, end);
    SLM_FAIL_AT_IF(blob->params.window != 0 && blob->n_prefix > 0, SLM_ERR_FORMAT, 36,
                   "a sequence with a window has no prefix");
    return SLM_OK;
}

static slm_status parse_version_2(const uint8_t *bytes, size_t length, slmi_blob *blob, slm_error *err)
{
    blob->n_tokens = slmi_read_u32(bytes + 24);
    blob->n_requested = slmi_read_u32(bytes + 28);
    blob->n_cached = slmi_read_u32(bytes + 32);
    blob->n_prefix = slmi_read_u32(bytes + 36);
    blob->fingerprint = slmi_read_u64(bytes + 40);
    blob->hidden_begin = slmi_read_u32(bytes + 48);
    blob->hidden_end = slmi_read_u32(bytes + 52);
    read_params(bytes + 56, &blob->params);
    blob->token_bytes = slmi_read_u32(bytes + 80);
    blob->cache_bytes = slmi_read_u64(bytes + 88);
    blob->name = bytes + NAME_OFFSET;
    SLM_FAIL_AT_IF(blob->kv_type > SLMK_KV_Q4, SLM_ERR_FORMAT, 12, "kv type %u does not exist",
                   blob->kv_type);
    SLM_FAIL_AT_IF(blob->n_requested > blob->n_tokens, SLM_ERR_FORMAT, 28,
                   "%u tokens cannot be wanted of %u", blob->n_requested, blob->n_tokens);
    SLM_FAIL_AT_IF(blob->n_cached > blob->n_tokens, SLM_ERR_FORMAT, 32,
                   "%u tokens cannot be computed of %u", blob->n_cached, blob->n_tokens);
    SLM_TRY(check_prefix(blob, err));
    SLM_TRY(check_hidden(blob, err));
    SLM_FAIL_AT_IF(slmi_params_check(&blob->params, NULL) != SLM_OK, SLM_ERR_FORMAT, 56,
                   "a parameter lies outside its range");
    SLM_FAIL_AT_IF(blob->token_bytes != 2 && blob->token_bytes != 4, SLM_ERR_FORMAT, 80,
                   "no token id has %u bytes", blob->token_bytes);
    SLM_TRY(check_tail(bytes, 84, blob, err));
    SLM_FAIL_AT_IF(blob->cache_bytes > SIZE_MAX / 2, SLM_ERR_FORMAT, 88,
                   "no cache has %llu bytes", (unsigned long long)blob->cache_bytes);
    blob->tokens_offset = SLMI_BLOB_HEADER;
    SLM_TRY(check_size(bytes, length, slmi_blob_bytes(blob), err));
    blob->cache = bytes + slmi_blob_cache_offset(blob);
    return SLM_OK;
}

slm_status slmi_blob_parse(const uint8_t *bytes, size_t length, slmi_blob *blob, slm_error *err)
{
    memset(blob, 0, sizeof(*blob));
    SLM_TRY(check_frame(bytes, length, err));
    blob->version = slmi_read_u32(bytes + 8);
    blob->kv_type = slmi_read_u32(bytes + 12);
    blob->model = slmi_read_u64(bytes + 16);
    SLM_TRY(blob->version == 1 ? parse_version_1(bytes, length, blob, err)
                               : parse_version_2(bytes, length, blob, err));
    blob->tokens = bytes + blob->tokens_offset;
    return SLM_OK;
}

void slmi_blob_describe(const slmi_blob *blob, slm_saved_info *info)
{
    info->format = blob->version;
    info->kv_type = blob->kv_type;
    info->n_tokens = blob->n_tokens;
    info->n_cached =
        blob->n_cached - blob->n_prefix - (blob->hidden_end - blob->hidden_begin);
    info->n_prefix_tokens = blob->n_prefix;
    info->model = blob->model;
    if (blob->name != NULL) {
        memcpy(info->prefix, blob->name, NAME_SIZE);
    }
}

/* Tokens [first, first + n) of a page, for one head of one slot. */
static void visit_head(const slmi_exec_plan *plan, uint8_t *page, uint32_t slot, uint32_t head,
                       uint32_t first, uint32_t n, const slmi_blob_visitor *visitor, void *ctx)
{
    const uint32_t d = plan->plan->slots[slot].head_width;
    const size_t row_bytes = slmk_kv_row_bytes(plan->kv_type, d);
    uint8_t *panels = slmi_cache_keys(plan, page, slot, head);
    for (uint32_t lane = first; lane < first + n;) {
        const uint32_t panel = lane / SLMK_ROWS;
        const uint32_t end = slmi_min_u32(first + n, (panel + 1) * SLMK_ROWS);
        visitor->keys(ctx, d, panels + panel * SLMK_ROWS * row_bytes, lane % SLMK_ROWS, end - lane);
        lane = end;
    }
    visitor->values(ctx, d, slmi_cache_values(plan, page, slot, head) + first * row_bytes, n);
}

void slmi_blob_walk(const slmi_blob *blob, const slm_session *session, const slmi_sequence *sequence,
                    const slmi_blob_visitor *visitor, void *ctx)
{
    const slmi_exec_plan *plan = &session->exec_plan;
    uint32_t token = blob->n_prefix;
    while (token < blob->n_cached) {
        if (token >= blob->hidden_begin && token < blob->hidden_end) {
            token = blob->hidden_end;
            continue;
        }
        const uint32_t first = token % SLMK_PAGE;
        const uint32_t n = slmi_min_u32(SLMK_PAGE - first, blob->n_cached - token);
        uint8_t *page = sequence->page_data[token / SLMK_PAGE];
        for (uint32_t slot = 0; slot < plan->plan->n_slots; slot++) {
            for (uint32_t head = 0; head < plan->plan->slots[slot].n_heads; head++) {
                visit_head(plan, page, slot, head, first, n, visitor, ctx);
            }
        }
        token += n;
    }
}

uint64_t slmi_blob_cache_bytes(const slmi_blob *blob, const slmi_plan *plan)
{
    const uint64_t n =
        blob->n_cached - blob->n_prefix - (blob->hidden_end - blob->hidden_begin);
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < plan->n_slots; s++) {
        bytes += 2 * n * plan->slots[s].n_heads *
                 slmk_kv_row_bytes(blob->kv_type, plan->slots[s].head_width);
    }
    return bytes;
}
