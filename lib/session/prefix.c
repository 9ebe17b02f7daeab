/* SPDX-License-Identifier: MIT */
/* A shared prefix: tokens and pages of the cache in memory of their own. */
#include "session/prefix.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "session/session.h"

static slm_status check_name(const char *name, slm_error *err)
{
    const size_t length = strlen(name);
    SLM_FAIL_IF(length == 0 || length > SLM_PREFIX_NAME_BYTES, SLM_ERR_INVALID_ARGUMENT,
                "the name has %llu bytes; 1 to %d are possible", (unsigned long long)length,
                SLM_PREFIX_NAME_BYTES);
    const size_t bad = slmi_utf8_check(name, length);
    SLM_FAIL_AT_IF(bad < length, SLM_ERR_INVALID_UTF8, bad, "the name is not valid UTF-8");
    return SLM_OK;
}

static slm_status check_sequence(const slmi_sequence *sequence, slm_error *err)
{
    SLM_FAIL_IF(sequence->n_tokens == 0, SLM_ERR_STATE, "an empty sequence makes no prefix");
    SLM_FAIL_IF(sequence->n_computed < sequence->n_tokens || sequence->move.active, SLM_ERR_STATE,
                "%u of the sequence's %u tokens are computed: append (nothing, to ask for a written token) "
                "and step until SLM_OK first",
                sequence->n_computed, sequence->n_tokens);
    SLM_FAIL_IF(sequence->params.window != 0, SLM_ERR_STATE, "a sequence with a window makes no prefix");
    return SLM_OK;
}

static uint64_t fingerprint(const slm_prefix *prefix)
{
    uint64_t hash = slmi_hash_words(SLMI_HASH_START, &prefix->model, sizeof(prefix->model));
    hash = slmi_hash_words(hash, &prefix->kv_type, sizeof(prefix->kv_type));
    return slmi_hash_words(hash, prefix->tokens, prefix->n_tokens * sizeof(int32_t));
}

slm_status slmi_prefix_create(const slm_session *session, const slmi_sequence *sequence,
                              const char *name, slm_prefix **out, slm_error *err)
{
    slmi_alloc alloc;
    SLM_TRY(check_name(name, err));
    SLM_TRY(check_sequence(sequence, err));
    (void)slmi_alloc_init(&alloc, NULL, 0, NULL);
    alloc.host = session->model->alloc.host;
    const size_t page_bytes = session->exec_plan.page_bytes;
    const size_t header = (size_t)slmi_round_up(sizeof(slm_prefix), SLMI_CACHE_LINE);
    const size_t tokens =
        (size_t)slmi_round_up(sequence->n_tokens * sizeof(int32_t), SLMI_CACHE_LINE);
    const size_t bytes = header + tokens + sequence->n_pages * page_bytes;
    uint8_t *block = slmi_new_raw(&alloc, bytes, SLMI_CACHE_LINE);
    if (block == NULL) {
        return slmi_alloc_fail(&alloc, bytes, err);
    }
    slm_prefix *prefix = (slm_prefix *)(void *)block;
    memset(prefix, 0, sizeof(*prefix));
    prefix->n_references = 1;
    prefix->alloc = alloc;
    prefix->model = session->model->identity;
    prefix->kv_type = session->config.kv_type;
    prefix->n_tokens = sequence->n_tokens;
    prefix->n_pages = sequence->n_pages;
    prefix->page_bytes = page_bytes;
    prefix->bytes = bytes;
    memcpy(prefix->name, name, strlen(name));
    prefix->tokens = (int32_t *)(void *)(block + header);
    prefix->pages = block + header + tokens;
    memcpy(prefix->tokens, sequence->tokens, sequence->n_tokens * sizeof(int32_t));
    for (uint32_t i = 0; i < sequence->n_pages; i++) {
        memcpy(prefix->pages + i * page_bytes, sequence->page_data[i], page_bytes);
    }
    prefix->fingerprint = fingerprint(prefix);
    *out = prefix;
    return SLM_OK;
}

void slmi_prefix_retain(slm_prefix *prefix)
{
    if (prefix != NULL) {
        atomic_fetch_add(&prefix->n_references, 1);
    }
}

void slmi_prefix_release(slm_prefix *prefix)
{
    if (prefix != NULL && atomic_fetch_sub(&prefix->n_references, 1) == 1) {
        slmi_alloc alloc = prefix->alloc;
        slmi_free(&alloc, prefix, prefix->bytes, SLMI_CACHE_LINE);
    }
}
