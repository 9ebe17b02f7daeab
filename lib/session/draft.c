/* SPDX-License-Identifier: MIT */
/* Guesses of a smaller model. Its sequences follow those of the session: what they have in common stays, the
 * rest is computed anew, and then they write a few tokens ahead, the likeliest ones. */
#include "session/draft.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/session.h"

#define CAUGHT_UP 64 /* tokens; a draft model that is further behind reads a text, which is no draft's cost */

slm_status slmi_check_vocabulary(const slm_model *model, const slm_model *other, const char *name,
                                 slm_error *err)
{
    const uint32_t n = model->hyper.n_vocab;
    slm_tokenizer_info own = SLM_TOKENIZER_INFO_INIT;
    slm_tokenizer_info its = SLM_TOKENIZER_INFO_INIT;
    SLM_FAIL_IF(other->hyper.n_vocab != n, SLM_ERR_MISMATCH,
                "the %s has a vocabulary of %u tokens, the model one of %u", name, other->hyper.n_vocab, n);
    slmi_tokenizer_info(model->tokenizer, &own);
    slmi_tokenizer_info(other->tokenizer, &its);
    SLM_FAIL_IF(own.bos != its.bos || own.adds_bos != its.adds_bos, SLM_ERR_MISMATCH,
                "the %s begins texts in another way: BOS %d, added: %u; the model: %d, %u", name,
                (int)its.bos, its.adds_bos, (int)own.bos, own.adds_bos);
    for (uint32_t i = 0; i < n; i++) {
        const char *bytes, *its_bytes;
        size_t length, its_length;
        const int32_t id = (int32_t)i;
        SLM_TRY(slmi_tokenizer_piece(model->tokenizer, id, SLM_TEXT_SHOW_SPECIAL, &bytes, &length, err));
        SLM_TRY(slmi_tokenizer_piece(other->tokenizer, id, SLM_TEXT_SHOW_SPECIAL, &its_bytes, &its_length,
                                     err));
        SLM_FAIL_IF(length != its_length || memcmp(bytes, its_bytes, length) != 0, SLM_ERR_MISMATCH,
                    "token %u of the %s is another one than the model's", i, name);
    }
    return SLM_OK;
}

slm_session_options slmi_draft_options(const slm_session_options *options, uint32_t context_length)
{
    slm_session_options o = *options;
    const uint32_t most = options->draft_model->hyper.context_length;
    o.context_length = slmi_min_u32(context_length, most);
    o.pool_tokens = 0;
    o.logit_rows = 0;
    o.top_logprobs = 0;
    o.n_guesses = 0;
    o.draft_model = NULL;
    return o;
}

slm_status slmi_draft_begin(slm_session *session, slm_error *err)
{
    slm_session *draft = session->draft;
    for (uint32_t i = 0; i < session->config.n_sequences; i++) {
        slmi_sequence *sequence;
        SLM_TRY(slmi_sequence_add(draft, &sequence, err));
        sequence->sampler.temperature = 0;
    }
    draft->exec.cancel = &session->cancel;
    draft->exec.clock = session->exec.clock;
    draft->exec.clock_ctx = session->exec.clock_ctx;
    return SLM_OK;
}

static slmi_sequence *draft_of(const slm_session *session, const slmi_sequence *sequence)
{
    return &session->draft->sequences[sequence - session->sequences];
}

static uint32_t n_common(const slmi_sequence *a, const slmi_sequence *b)
{
    const uint32_t n = slmi_min_u32(a->n_tokens, b->n_tokens);
    if (memcmp(a->tokens, b->tokens, n * sizeof(int32_t)) == 0) {
        return n;
    }
    uint32_t i = 0;
    while (a->tokens[i] == b->tokens[i]) {
        i++;
    }
    return i;
}

uint32_t slmi_draft_find(const slm_session *session, const slmi_sequence *sequence, int32_t *guesses,
                         uint32_t n_guesses)
{
    const slmi_sequence *draft = draft_of(session, sequence);
    if (draft->n_tokens <= sequence->n_tokens || n_common(draft, sequence) < sequence->n_tokens) {
        return 0;
    }
    const uint32_t n = slmi_min_u32(n_guesses, draft->n_tokens - sequence->n_tokens);
    memcpy(guesses, draft->tokens + sequence->n_tokens, n * sizeof(int32_t));
    return n;
}

/* Has the draft model write n tokens behind those of the sequence. */
static slm_status begin_draft(slm_session *session, const slmi_sequence *sequence, uint32_t n)
{
    slmi_sequence *draft = draft_of(session, sequence);
    const uint32_t common = n_common(draft, sequence);
    const slm_generate_options options = { sizeof(options), n, SLM_GENERATE_IGNORE_END, 0, NULL, 0, 0 };
    session->gain.n_drafted = sequence->n_tokens - common > CAUGHT_UP ? 0 : n;
    SLM_TRY(slmi_sequence_truncate(session->draft, draft, common, NULL));
    SLM_TRY(slmi_sequence_append(session->draft, draft, sequence->tokens + common,
                                 sequence->n_tokens - common, 0, NULL));
    return slmi_generation_begin(session->draft, draft, &options, NULL);
}

/* Begins drafts for the sequences that the next batch takes; 1 if there are any. */
static int begin_drafts(slm_session *session)
{
    const uint32_t n_writing = slmi_batch_writing(session);
    int begun = 0;
    for (uint32_t i = 0; i < n_writing; i++) {
        slmi_sequence *sequence = &session->sequences[session->ready[i]];
        const uint32_t n = slmi_speculation_drafts(session, sequence, n_writing);
        int32_t guess;
        if (n > 0 && sequence->n_tokens + n < session->draft->config.context_length &&
            slmi_draft_find(session, sequence, &guess, 1) == 0) {
            begun |= begin_draft(session, sequence, n) == SLM_OK;
        }
    }
    return begun;
}

/* Runs the draft model until it is done or time is up. */
static slm_status advance(slm_session *session, uint64_t deadline)
{
    slm_session *draft = session->draft;
    slm_status status = SLM_MORE;
    while (status == SLM_MORE && atomic_load(&session->cancel) == 0) {
        draft->n_events = 0;
        status = slmi_session_advance(draft, deadline, NULL);
        if (deadline != 0 && session->exec.clock(session->exec.clock_ctx) >= deadline) {
            break;
        }
    }
    return status;
}

int slmi_draft_run(slm_session *session, uint64_t deadline)
{
    if (session->drafts == SLMI_DRAFTS_DONE) {
        return 1;
    }
    const uint64_t begin = session->exec.clock(session->exec.clock_ctx);
    if (session->drafts == SLMI_DRAFTS_NONE && !begin_drafts(session)) {
        return 1;
    }
    const slm_status status = advance(session, deadline);
    const uint64_t end = session->exec.clock(session->exec.clock_ctx);
    session->gain.drafted = end > begin ? end - begin : 0;
    session->gain.drafting += session->gain.n_drafted > 0 ? session->gain.drafted : 0;
    session->drafts = status == SLM_MORE ? SLMI_DRAFTS_BEGUN : SLMI_DRAFTS_DONE;
    return status != SLM_MORE && !(deadline != 0 && end >= deadline);
}
