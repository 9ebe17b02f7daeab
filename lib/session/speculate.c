/* SPDX-License-Identifier: MIT */
/* Guesses of a sequence's next tokens: finding them, choosing how many the batch takes, what came of them.
 * Source: Leviathan et al., "Fast inference from transformers via speculative decoding", 2023; here a guess
 * counts only if it is the token that the sampler draws, so that nothing but time changes. */
#include "session/speculate.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

#define LEAST_MATCH 2     /* where the host asks for none */
#define MOST_MATCH 32
#define FIRST_SHARE 0.25f /* of guesses that come true, before any was seen to; looking on costs nothing */
#define DRAFT_SHARE 0.7f  /* the same of drafts */
#define FIRST_DRAFTS 2    /* tokens of a draft before anything is known of its cost and its worth */
#define DRAFT_AGAIN 256   /* batches after which drafts that did not pay are tried again */
#define LEAST_GAIN 1.1f   /* expected tokens over time */
#define MEMORY 32         /* guesses over which a share is an average */
#define DRAFT_LENGTH 1024 /* in place of a match's: drafts have a class of their own */

void slmi_speculation_reset(slmi_speculation *s)
{
    *s = (slmi_speculation){ .settings.method = SLMI_SPECULATE_OFF, .lookup = s->lookup,
                             .guesses = s->guesses };
    slmi_lookup_forget(&s->lookup, 0);
}

void slmi_speculation_copy(slmi_speculation *copy, const slmi_speculation *source)
{
    copy->settings = source->settings;
    copy->lookup.least = source->lookup.least;
    memcpy(copy->share, source->share, sizeof(copy->share));
    memcpy(copy->n_seen, source->n_seen, sizeof(copy->n_seen));
}

static slm_status check(const slm_session *session, const slm_x_speculate_options *o, slm_error *err)
{
    SLM_FAIL_IF(session->config.n_guesses == 0, SLM_ERR_STATE,
                "the session was created without room for guesses (n_guesses)");
    SLM_FAIL_IF(o->method > SLM_X_GUESS_DRAFT, SLM_ERR_INVALID_ARGUMENT, "method %u does not exist",
                o->method);
    SLM_FAIL_IF(o->method == SLM_X_GUESS_DRAFT && session->draft == NULL, SLM_ERR_STATE,
                "the session was created without a draft_model");
    SLM_FAIL_IF((o->flags & ~(uint32_t)SLM_X_SPECULATE_ALWAYS) != 0, SLM_ERR_INVALID_ARGUMENT,
                "flags 0x%x are unknown", o->flags);
    SLM_FAIL_IF(o->most_tokens > session->config.n_guesses, SLM_ERR_INVALID_ARGUMENT,
                "most_tokens is %u; the session was created for at most %u (n_guesses)", o->most_tokens,
                session->config.n_guesses);
    SLM_FAIL_IF(o->least_match > 16, SLM_ERR_INVALID_ARGUMENT,
                "least_match is %u; it must lie between 1 and 16", o->least_match);
    SLM_FAIL_IF(o->most_match > 64 || (o->most_match != 0 && o->most_match < o->least_match),
                SLM_ERR_INVALID_ARGUMENT, "most_match is %u; it must lie between least_match and 64",
                o->most_match);
    return SLM_OK;
}

slm_status slmi_speculation_set(slm_session *session, slmi_sequence *sequence,
                                const slm_x_speculate_options *options, slm_error *err)
{
    slmi_speculation *s = &sequence->speculation;
    SLM_TRY(check(session, options, err));
    slmi_speculate_settings *settings = &s->settings;
    if (settings->method != options->method) {
        memset(s->n_seen, 0, sizeof(s->n_seen)); /* what is known is known of the other */
    }
    settings->method = options->method;
    settings->flags = options->flags;
    settings->most_tokens = options->most_tokens != 0 ? options->most_tokens : session->config.n_guesses;
    settings->least_match = options->least_match != 0 ? options->least_match : LEAST_MATCH;
    settings->most_match = options->most_match != 0 ? options->most_match : MOST_MATCH;
    settings->most_match = slmi_max_u32(settings->most_match, settings->least_match);
    if (s->lookup.least != settings->least_match) {
        s->lookup.least = settings->least_match;
        slmi_lookup_forget(&s->lookup, 0);
    }
    return SLM_OK;
}

void slmi_speculation_get(const slm_session *session, const slmi_sequence *sequence,
                          slm_x_speculation *result)
{
    const slmi_speculation *s = &sequence->speculation;
    const float *time = session->gain.time;
    result->is_on = s->n_taken > 0;
    result->n_tokens = s->n_tokens;
    result->n_batches = s->n_batches;
    result->n_guessed = s->n_guessed;
    result->n_accepted = s->n_accepted;
    result->row_cost = time[1] > 0 && time[2] > 0 ? (double)time[2] / (double)time[1] : 0;
}

/* ---- how likely a guess is ---- */

static uint32_t class_of(uint32_t length)
{
    uint32_t class = 0;
    while (length > 1 && class + 1 < SLMI_MATCH_CLASSES) {
        length /= 2;
        class++;
    }
    return class;
}

static float first_share(const slmi_speculation *s)
{
    return s->settings.method == SLM_X_GUESS_DRAFT ? DRAFT_SHARE : FIRST_SHARE;
}

/* A longer match is at least as good as a shorter one until it is known. */
static float share_of(const slmi_speculation *s, uint32_t length)
{
    const float first = first_share(s);
    uint32_t class = class_of(length);
    if (s->n_seen[class] > 0) {
        return s->share[class];
    }
    while (class > 0 && s->n_seen[class] == 0) {
        class--;
    }
    return s->n_seen[class] > 0 && s->share[class] > first ? s->share[class] : first;
}

void slmi_speculation_note(slm_session *session, slmi_sequence *sequence, int32_t token)
{
    slmi_speculation *s = &sequence->speculation;
    s->n_tokens += s->settings.method != SLMI_SPECULATE_OFF;
    if (s->is_wrong || s->n_right == s->n_found) {
        return;
    }
    const uint32_t class = class_of(s->length + s->n_right);
    const int right = token == s->guesses[s->n_right];
    const float before = s->n_seen[class] > 0 ? s->share[class] : first_share(s);
    s->n_seen[class] += s->n_seen[class] < MEMORY;
    s->share[class] = before + ((float)right - before) / (float)(s->n_seen[class] + 2);
    if (!right) {
        s->is_wrong = 1;
        return;
    }
    s->n_right++;
    if (s->n_right <= s->n_taken) {
        s->n_accepted++;
        session->gain.n_accepted++;
    }
}

/* ---- finding ---- */

/* Guesses that a batch could take for the sequence: what it may still write, and where its keys and values
 * find room. A guess takes no page of the pool, which another sequence could miss. */
static uint32_t room_of(const slm_session *session, const slmi_sequence *sequence)
{
    const slmi_generation *g = &sequence->generation;
    uint32_t left = session->config.context_length - sequence->n_tokens;
    if (g->max_tokens != 0) {
        left = slmi_min_u32(left, g->max_tokens - g->n_written);
    }
    /* The token after the last guess takes a place as well. */
    const uint32_t room = slmi_min_u32(sequence->speculation.settings.most_tokens, left > 0 ? left - 1 : 0);
    const uint32_t n_pages = slmk_pages_of(sequence->n_tokens);
    const uint32_t in_page = n_pages * SLMK_PAGE - sequence->n_tokens;
    const int has_spare =
        session->n_spares_taken < session->n_spares && sequence->n_pages == n_pages;
    return has_spare ? room : slmi_min_u32(room, in_page);
}

static void find_guesses(slm_session *session, slmi_sequence *sequence)
{
    slmi_speculation *s = &sequence->speculation;
    const uint32_t room = room_of(session, sequence);
    uint32_t n = 0;
    if (s->settings.method == SLM_X_GUESS_LOOKUP) {
        n = slmi_lookup_find(&s->lookup, sequence->tokens, sequence->n_tokens, s->settings.most_match,
                             s->guesses, room, &s->length);
    } else if (s->settings.method == SLM_X_GUESS_DRAFT) {
        n = slmi_draft_find(session, sequence, s->guesses, room);
        s->length = DRAFT_LENGTH;
    }
    while (s->n_found < n && ((sequence->generation.flags & SLM_GENERATE_IGNORE_END) ||
                              !slmi_tokenizer_is_end(session->model->tokenizer, s->guesses[s->n_found]))) {
        s->n_found++; /* nothing follows an end */
    }
}

static int is_always(const slmi_sequence *sequence)
{
    return (sequence->speculation.settings.flags & SLM_X_SPECULATE_ALWAYS) != 0;
}

uint32_t slmi_speculation_drafts(slm_session *session, slmi_sequence *sequence, uint32_t n_writing)
{
    slmi_speculation *s = &sequence->speculation;
    if (s->settings.method != SLM_X_GUESS_DRAFT || n_writing > SLMI_MOST_WRITING) {
        return 0;
    }
    uint32_t most = slmi_min_u32(room_of(session, sequence), session->config.n_guesses / n_writing);
    if (is_always(sequence)) {
        return most;
    }
    const float each = slmi_gain_draft_cost(&session->gain, n_writing);
    if (each <= 0 || s->n_seen[class_of(DRAFT_LENGTH)] == 0) {
        most = slmi_min_u32(most, FIRST_DRAFTS);
    }
    const float share = share_of(s, DRAFT_LENGTH);
    float likely = 1, expected = 1, best = LEAST_GAIN;
    uint32_t n_best = 0;
    for (uint32_t n = 1; n <= most; n++) {
        const float cost = slmi_gain_cost(&session->gain, n_writing, n * n_writing);
        likely *= share;
        expected += likely;
        if (cost > 0 && expected > best * (cost + (float)n * each)) {
            best = expected / (cost + (float)n * each);
            n_best = n;
        }
    }
    s->n_idle = n_best > 0 ? 0 : s->n_idle + 1;
    if (s->n_idle % DRAFT_AGAIN == DRAFT_AGAIN - 1 && session->gain.balance > 0) {
        n_best = slmi_min_u32(most, FIRST_DRAFTS);
    }
    return n_best;
}

/* ---- choosing ---- */

/* How likely it is that the next guess of each sequence counts, in likely[n]. */
typedef struct choice {
    slm_session *session;
    uint32_t n_ready;
    uint32_t n_taken[SLMI_MOST_WRITING];
    float likely[SLMI_MOST_WRITING];
} choice;

static const slmi_speculation *speculation_of(const choice *c, uint32_t i)
{
    return &c->session->sequences[c->session->ready[i]].speculation;
}

static void look_at_next(choice *c, uint32_t i, float likely_before)
{
    const slmi_speculation *s = speculation_of(c, i);
    c->likely[i] = c->n_taken[i] < s->n_found
                       ? likely_before * share_of(s, s->length + c->n_taken[i]) : 0;
}

/* The likeliest guess that is not taken yet. */
static uint32_t find_likeliest(const choice *c)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < c->n_ready; i++) {
        best = c->likely[i] > c->likely[best] ? i : best;
    }
    return best;
}

/* Takes guesses, likeliest first, as many as let the most tokens be expected in a time. */
static void choose(slm_session *session, uint32_t n_ready)
{
    choice c = { .session = session, .n_ready = n_ready };
    float expected = (float)n_ready;
    float best = (float)n_ready * LEAST_GAIN;
    for (uint32_t i = 0; i < n_ready; i++) {
        look_at_next(&c, i, 1);
    }
    for (uint32_t n = 1; n <= session->config.n_guesses; n++) {
        const uint32_t i = find_likeliest(&c);
        const float cost = slmi_gain_cost(&session->gain, n_ready, n);
        if (c.likely[i] <= 0 || cost <= 0) {
            break;
        }
        expected += c.likely[i];
        c.n_taken[i]++;
        look_at_next(&c, i, c.likely[i]);
        if (expected > best * cost) {
            best = expected / cost;
            for (uint32_t j = 0; j < n_ready; j++) {
                session->sequences[session->ready[j]].speculation.n_taken = c.n_taken[j];
            }
        }
    }
}

/* Takes all that there are, as far as the batch has room. */
static void take_always(slm_session *session, uint32_t n_ready)
{
    uint32_t left = session->config.n_guesses;
    for (uint32_t i = 0; i < n_ready; i++) {
        slmi_sequence *sequence = &session->sequences[session->ready[i]];
        slmi_speculation *s = &sequence->speculation;
        s->n_taken = is_always(sequence) ? slmi_min_u32(s->n_found, left) : 0;
        left -= s->n_taken;
    }
}

/* Has the guesses that leave the sequence's last page go on in a spare one. */
static void take_spare(slm_session *session, slmi_sequence *sequence)
{
    slmi_speculation *s = &sequence->speculation;
    const uint32_t page = slmk_pages_of(sequence->n_tokens);
    if (sequence->n_tokens + s->n_taken <= page * SLMK_PAGE) {
        return;
    }
    if (session->n_spares_taken == session->n_spares) {
        s->n_taken = page * SLMK_PAGE - sequence->n_tokens;
        return;
    }
    s->spare = ++session->n_spares_taken;
    s->spare_page = page;
    sequence->page_data[page] =
        session->page_memory + session->spares[s->spare - 1] * session->exec_plan.page_bytes;
}

void slmi_speculation_plan(slm_session *session, uint32_t n_ready, uint32_t n_writing)
{
    int always = 0;
    session->n_spares_taken = 0;
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_speculation *s = &session->sequences[i].speculation;
        s->n_found = s->n_taken = s->n_right = s->is_wrong = s->spare = 0;
    }
    if (session->config.n_guesses == 0 || n_writing < n_ready || n_ready > SLMI_MOST_WRITING ||
        n_ready > session->config.batch_tokens) {
        return;
    }
    for (uint32_t i = 0; i < n_ready; i++) {
        slmi_sequence *sequence = &session->sequences[session->ready[i]];
        find_guesses(session, sequence);
        always |= is_always(sequence);
    }
    if (always) {
        take_always(session, n_ready);
    } else {
        choose(session, n_ready);
    }
    for (uint32_t i = 0; i < n_ready; i++) {
        take_spare(session, &session->sequences[session->ready[i]]);
    }
}

/* ---- what came of them ---- */

/* The sequence's page was taken for a token whose keys and values lie in a spare one: they change places. */
static int exchange_spare(slm_session *session, slmi_sequence *sequence)
{
    slmi_speculation *s = &sequence->speculation;
    uint32_t *spare = &session->spares[s->spare - 1];
    uint32_t *page = &sequence->pages[s->spare_page];
    if (session->page_references[*page] != 1) {
        return 0; /* a fork shares it by now */
    }
    const uint32_t taken = *page;
    session->page_references[taken] = 0;
    session->page_references[*spare] = 1;
    *page = *spare;
    *spare = taken;
    sequence->page_data[s->spare_page] =
        session->page_memory + *page * session->exec_plan.page_bytes;
    s->spare = 0;
    return 1;
}

int slmi_speculation_holds(slm_session *session, slmi_sequence *sequence, const slmi_wanted *wanted)
{
    const slmi_speculation *s = &sequence->speculation;
    if (!sequence->generation.active || sequence->generation.waits || s->n_right < wanted->guess ||
        wanted->position + 1 != sequence->n_tokens) {
        return 0;
    }
    if (s->spare != 0 && wanted->position / SLMK_PAGE == s->spare_page &&
        !exchange_spare(session, sequence)) {
        return 0;
    }
    sequence->n_computed = sequence->n_tokens;
    slmi_pages_hide(session, sequence, wanted->position);
    return 1;
}
