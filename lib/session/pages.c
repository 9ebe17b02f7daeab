/* SPDX-License-Identifier: MIT */
/* A sequence's share of the cache: pages of 64 tokens, which forks and prefixes share until one writes. */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

static uint8_t *page_data(const slm_session *session, uint32_t page)
{
    return session->page_memory + page * session->exec_plan.page_bytes;
}

static int is_pooled(uint32_t page)
{
    return page != SLMI_PREFIX_PAGE && page != SLMI_HIDDEN_PAGE;
}

static void release_page(slm_session *session, uint32_t page)
{
    if (is_pooled(page) && --session->page_references[page] == 0) {
        session->free_pages[session->n_free_pages++] = page;
    }
}

static void set_page(slm_session *session, slmi_sequence *sequence, uint32_t index, uint32_t page)
{
    sequence->pages[index] = page;
    sequence->page_data[index] = page_data(session, page);
}

void slmi_pages_drop(slm_session *session, slmi_sequence *sequence, uint32_t n_kept)
{
    while (sequence->n_pages > n_kept) {
        release_page(session, sequence->pages[--sequence->n_pages]);
    }
}

/* 1 if writing into the page would be seen by others, or it is nowhere. */
static int must_take(const slm_session *session, const slmi_sequence *sequence, uint32_t index)
{
    return index >= sequence->n_pages || !is_pooled(sequence->pages[index]) ||
           session->page_references[sequence->pages[index]] > 1;
}

/* A page of its own in place of a shared one, with the same contents, or of none. A new page is not cleared:
 * attention passes over tokens that are not there. */
static void take_page(slm_session *session, slmi_sequence *sequence, uint32_t index)
{
    const uint32_t page = session->free_pages[--session->n_free_pages];
    const uint8_t *before = index < sequence->n_pages ? sequence->page_data[index] : NULL;
    session->page_references[page] = 1;
    if (before != NULL) {
        memcpy(page_data(session, page), before, session->exec_plan.page_bytes);
    }
    if (index < sequence->n_pages) {
        release_page(session, sequence->pages[index]);
    } else {
        sequence->n_pages = index + 1;
    }
    set_page(session, sequence, index, page);
}

slm_status slmi_pages_own(slm_session *session, slmi_sequence *sequence, uint32_t first, uint32_t end,
                          slm_error *err)
{
    const uint32_t begin_page = first / SLMK_PAGE;
    const uint32_t end_page = slmk_pages_of(end);
    uint32_t n_needed = 0;
    for (uint32_t i = begin_page; i < end_page; i++) {
        n_needed += (uint32_t)must_take(session, sequence, i);
    }
    SLM_FAIL_IF(n_needed > session->n_free_pages, SLM_ERR_BUDGET,
                "%u more pages of 64 tokens are needed; %u of the session's %u are free", n_needed,
                session->n_free_pages, session->config.n_pages);
    for (uint32_t i = begin_page; i < end_page; i++) {
        if (must_take(session, sequence, i)) {
            take_page(session, sequence, i);
        }
    }
    return SLM_OK;
}

static uint32_t first_visible(const slmi_params *params, uint32_t position)
{
    return slmi_window_page(params->window, slmk_pages_of(params->sinks), position);
}

void slmi_pages_hide(slm_session *session, slmi_sequence *sequence, uint32_t first)
{
    const slmi_params *params = &sequence->params;
    if (params->window == 0) {
        return;
    }
    const uint32_t end = first_visible(params, first);
    for (uint32_t i = slmk_pages_of(params->sinks); i < end; i++) {
        release_page(session, sequence->pages[i]);
        sequence->pages[i] = SLMI_HIDDEN_PAGE;
        sequence->page_data[i] = NULL;
    }
}

void slmi_pages_share(slm_session *session, const slmi_sequence *source, slmi_sequence *copy)
{
    for (uint32_t i = 0; i < source->n_pages; i++) {
        if (is_pooled(source->pages[i])) {
            session->page_references[source->pages[i]]++;
        }
        copy->pages[i] = source->pages[i];
        copy->page_data[i] = source->page_data[i];
    }
    copy->n_pages = source->n_pages;
}

void slmi_pages_share_prefix(slmi_sequence *sequence, slm_prefix *prefix)
{
    for (uint32_t i = 0; i < prefix->n_pages; i++) {
        sequence->pages[i] = SLMI_PREFIX_PAGE;
        sequence->page_data[i] = prefix->pages + i * prefix->page_bytes;
    }
    sequence->n_pages = prefix->n_pages;
}

void slmi_pages_add_hidden(slmi_sequence *sequence, uint32_t end)
{
    for (; sequence->n_pages < end / SLMK_PAGE; sequence->n_pages++) {
        sequence->pages[sequence->n_pages] = SLMI_HIDDEN_PAGE;
        sequence->page_data[sequence->n_pages] = NULL;
    }
}

uint32_t slmi_pages_hidden_end(const slmi_sequence *sequence)
{
    uint32_t end = sequence->n_pages;
    while (end > 0 && sequence->pages[end - 1] != SLMI_HIDDEN_PAGE) {
        end--;
    }
    return end;
}

slm_status slmi_pages_rewind(slm_session *session, slmi_sequence *sequence, uint32_t n_kept,
                             uint32_t n_tokens, slm_error *err)
{
    const uint32_t hidden_end = slmi_pages_hidden_end(sequence);
    uint32_t n_computed = n_kept < sequence->n_computed ? n_kept : sequence->n_computed;
    if (hidden_end > 0 && first_visible(&sequence->params, n_computed) < hidden_end) {
        n_computed = 0;
    }
    if (n_computed < n_tokens) {
        SLM_TRY(slmi_pages_own(session, sequence, n_computed, n_tokens, err));
    }
    if (n_computed < sequence->n_computed) {
        /* What was computed is computed again, also what nobody would ask for otherwise. */
        sequence->n_requested = slmi_max_u32(sequence->n_requested, slmi_move_end(sequence));
    }
    sequence->n_computed = n_computed;
    return SLM_OK;
}
