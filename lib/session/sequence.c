/* SPDX-License-Identifier: MIT */
/* Sequences: ids, tokens, and pages of the cache, which forks share until one of them writes. */
#include <string.h>

#include "base/error.h"
#include "session/session.h"

slm_sequence slmi_sequence_id(const slm_session *session, const slmi_sequence *sequence)
{
    const uint64_t index = (uint64_t)(sequence - session->sequences);
    return (uint64_t)sequence->generation_number << 32 | (index + 1);
}

slm_status slmi_sequence_find(const slm_session *session, slm_sequence id, slmi_sequence **out,
                              slm_error *err)
{
    const uint64_t index = (id & UINT32_MAX) - 1;
    const int exists = index < session->config.n_sequences && session->sequences[index].in_use &&
                       session->sequences[index].generation_number == id >> 32;
    SLM_FAIL_IF(!exists, SLM_ERR_STALE_ID, "there is no sequence %llx", (unsigned long long)id);
    *out = &session->sequences[index];
    return SLM_OK;
}

slm_status slmi_sequence_add(slm_session *session, slmi_sequence **out, slm_error *err)
{
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence = &session->sequences[i];
        if (!sequence->in_use) {
            sequence->in_use = 1;
            sequence->generation_number++;
            sequence->n_tokens = 0;
            sequence->n_computed = 0;
            sequence->n_requested = 0;
            sequence->n_pages = 0;
            memset(&sequence->generation, 0, sizeof(sequence->generation));
            memset(sequence->wants_logits, 0, (session->config.context_length + 7) / 8);
            sequence->stream.n_tail = 0;
            slmi_stream_reset(&sequence->stream);
            slmi_sampler_settings_default(&sequence->sampler);
            *out = sequence;
            return SLM_OK;
        }
    }
    return slmi_fail(err, SLM_ERR_BUDGET, SLM_NO_OFFSET, "all %u sequences of the session are in use",
                     session->config.n_sequences);
}

static uint8_t *page_data(const slm_session *session, uint32_t page)
{
    return session->page_memory + page * session->exec_plan.page_bytes;
}

static void release_page(slm_session *session, uint32_t page)
{
    if (--session->page_references[page] == 0) {
        session->free_pages[session->n_free_pages++] = page;
    }
}

static void drop_pages(slm_session *session, slmi_sequence *sequence, uint32_t n_kept)
{
    while (sequence->n_pages > n_kept) {
        release_page(session, sequence->pages[--sequence->n_pages]);
    }
}

static slm_status take_page(slm_session *session, uint32_t *page, slm_error *err)
{
    SLM_FAIL_IF(session->n_free_pages == 0, SLM_ERR_BUDGET,
                "all %u pages of 64 tokens of the session's cache are in use",
                session->config.n_pages);
    *page = session->free_pages[--session->n_free_pages];
    session->page_references[*page] = 1;
    return SLM_OK;
}

static void set_page(slm_session *session, slmi_sequence *sequence, uint32_t index, uint32_t page)
{
    sequence->pages[index] = page;
    sequence->page_data[index] = page_data(session, page);
}

/* Gives the sequence a page of its own in place of a shared one. */
static slm_status unshare_page(slm_session *session, slmi_sequence *sequence, uint32_t index,
                               slm_error *err)
{
    const uint32_t shared = sequence->pages[index];
    if (session->page_references[shared] == 1) {
        return SLM_OK;
    }
    uint32_t page = 0;
    SLM_TRY(take_page(session, &page, err));
    memcpy(page_data(session, page), page_data(session, shared), session->exec_plan.page_bytes);
    release_page(session, shared);
    set_page(session, sequence, index, page);
    return SLM_OK;
}

slm_status slmi_sequence_own_pages(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens,
                                   slm_error *err)
{
    const uint32_t before = sequence->n_pages;
    const uint32_t needed = (n_tokens + SLMK_PAGE - 1) / SLMK_PAGE;
    for (uint32_t i = sequence->n_computed / SLMK_PAGE; i < before && i < needed; i++) {
        SLM_TRY(unshare_page(session, sequence, i, err));
    }
    while (sequence->n_pages < needed) {
        uint32_t page = 0;
        const slm_status status = take_page(session, &page, err);
        if (status != SLM_OK) {
            drop_pages(session, sequence, before);
            return status;
        }
        memset(page_data(session, page), 0, session->exec_plan.page_bytes);
        set_page(session, sequence, sequence->n_pages++, page);
    }
    return SLM_OK;
}

slm_status slmi_sequence_fork(slm_session *session, const slmi_sequence *source, slmi_sequence **out,
                              slm_error *err)
{
    slmi_sequence *copy;
    SLM_TRY(slmi_sequence_add(session, &copy, err));
    for (uint32_t i = 0; i < source->n_pages; i++) {
        session->page_references[source->pages[i]]++;
        set_page(session, copy, i, source->pages[i]);
    }
    copy->n_pages = source->n_pages;
    copy->n_tokens = source->n_tokens;
    copy->n_computed = source->n_computed;
    copy->n_requested = source->n_requested;
    copy->sampler = source->sampler;
    copy->stream.n_tail = source->stream.n_tail;
    memcpy(copy->stream.tail, source->stream.tail, sizeof(copy->stream.tail));
    memcpy(copy->tokens, source->tokens, source->n_tokens * sizeof(int32_t));
    /* The page that the copy will write next is copied now, so that a full pool shows here. */
    const slm_status status = slmi_sequence_own_pages(session, copy, copy->n_tokens, err);
    if (status != SLM_OK) {
        slmi_sequence_remove(session, copy);
        return status;
    }
    *out = copy;
    return SLM_OK;
}

void slmi_sequence_remove(slm_session *session, slmi_sequence *sequence)
{
    if (slmi_batch_holds(session, sequence)) {
        slmi_batch_abandon(session);
    }
    drop_pages(session, sequence, 0);
    sequence->in_use = 0;
    sequence->generation.active = 0;
}

void slmi_sequence_truncate(slm_session *session, slmi_sequence *sequence, uint32_t n_tokens)
{
    if (slmi_batch_holds(session, sequence)) {
        slmi_batch_abandon(session);
    }
    for (uint32_t i = n_tokens; i < sequence->n_tokens; i++) {
        sequence->wants_logits[i / 8] &= (uint8_t)~(1u << i % 8);
    }
    if (n_tokens < sequence->n_tokens) {
        sequence->stream.n_tail = 0;
    }
    sequence->generation.active = 0;
    sequence->n_tokens = n_tokens;
    sequence->n_computed = sequence->n_computed < n_tokens ? sequence->n_computed : n_tokens;
    sequence->n_requested = sequence->n_requested < n_tokens ? sequence->n_requested : n_tokens;
    drop_pages(session, sequence, (n_tokens + SLMK_PAGE - 1) / SLMK_PAGE);
}

slm_status slmi_sequence_append(slm_session *session, slmi_sequence *sequence, const int32_t *tokens,
                                size_t n_tokens, uint32_t flags, slm_error *err)
{
    const uint32_t room = session->config.context_length - sequence->n_tokens;
    SLM_FAIL_IF(n_tokens > room, SLM_ERR_CONTEXT_FULL,
                "%llu tokens do not fit: %u of %u are taken", (unsigned long long)n_tokens,
                sequence->n_tokens, session->config.context_length);
    for (size_t i = 0; i < n_tokens; i++) {
        SLM_FAIL_AT_IF(tokens[i] < 0 || (uint32_t)tokens[i] >= session->model->hyper.n_vocab,
                       SLM_ERR_OUT_OF_RANGE, i, "token id %d is not in the vocabulary of %u",
                       (int)tokens[i], session->model->hyper.n_vocab);
    }
    const uint32_t end = sequence->n_tokens + (uint32_t)n_tokens;
    SLM_TRY(slmi_sequence_own_pages(session, sequence, end, err));
    if (n_tokens > 0) {
        memmove(sequence->tokens + sequence->n_tokens, tokens, n_tokens * sizeof(int32_t));
    }
    if (flags & SLM_APPEND_LOGITS) {
        for (uint32_t i = sequence->n_tokens; i < end; i++) {
            sequence->wants_logits[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
    sequence->generation.active = 0;
    sequence->stream.n_tail = 0;
    sequence->n_tokens = end;
    sequence->n_requested = end;
    return SLM_OK;
}
