/* SPDX-License-Identifier: MIT */
/* --speculate and --draft: guesses of the next tokens, for `slm run` and `slm chat`. */
#define SLM_EXPERIMENTAL
#include <slm/experimental/speculate.h>

#include "tool.h"

enum { N_GUESSES = 15 }; /* with the token before them a batch of 16 */

void options_add_guesses(option_table *table, guess_options *guesses)
{
    const option rows[] = {
        { NULL, "--speculate", NULL, OPTION_FLAG, &guesses->speculate, 0, 0, NULL,
          "guess what was written before to go on alike: the same text, sooner if it repeats" },
        { NULL, "--draft", "MODEL", OPTION_TEXT, &guesses->draft, 0, 0, NULL,
          "a smaller model with the same tokens that guesses: the same text" },
        { 0 },
    };
    options_add(table, rows);
}

int guesses_load(const guess_options *guesses, const common_options *common,
                 slm_model **draft_model)
{
    common_options own = *common;
    own.model = guesses->draft;
    return guesses->draft ? load_model(&own, draft_model, NULL) : EXIT_GO_ON;
}

static int are_wanted(const guess_options *guesses)
{
    return guesses->speculate || guesses->draft;
}

void guesses_set(const guess_options *guesses, slm_model *draft_model,
                 slm_session_options *options)
{
    options->n_guesses = are_wanted(guesses) ? N_GUESSES : 0;
    options->draft_model = draft_model;
}

slm_status guesses_begin(const guess_options *guesses, slm_session *session, slm_sequence sequence,
                         slm_error *error)
{
    slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
    options.method = guesses->draft ? SLM_X_GUESS_DRAFT : SLM_X_GUESS_LOOKUP;
    return are_wanted(guesses) ? slm_x_session_speculate(session, sequence, &options, error)
                               : SLM_OK;
}

static slm_x_speculation figures_of(slm_session *session, slm_sequence sequence)
{
    slm_x_speculation figures = SLM_X_SPECULATION_INIT;
    slm_x_session_get_speculation(session, sequence, &figures, NULL);
    return figures;
}

void guesses_print(const guess_options *guesses, slm_session *session, slm_sequence sequence)
{
    if (!are_wanted(guesses))
        return;
    slm_x_speculation f = figures_of(session, sequence);
    double n_batches = (double)(f.n_tokens - f.n_accepted);
    fprintf(stderr, "guesses: %llu of %llu came true; %.2f tokens a batch\n",
            (unsigned long long)f.n_accepted, (unsigned long long)f.n_guessed,
            n_batches > 0 ? (double)f.n_tokens / n_batches : 0);
}

void guesses_write(const guess_options *guesses, json *j, slm_session *session,
                   slm_sequence sequence)
{
    if (!are_wanted(guesses))
        return;
    slm_x_speculation f = figures_of(session, sequence);
    json_integer(j, "guessed_tokens", (int64_t)f.n_guessed);
    json_integer(j, "accepted_tokens", (int64_t)f.n_accepted);
}
