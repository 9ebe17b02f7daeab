/* SPDX-License-Identifier: MIT */
/* Whether guesses pay: times by the number of rows, and an account of what guesses won and lost. */
#include "session/gain.h"

#define FORGET_AFTER 512     /* batches; then a time with guesses is measured again */
#define REFRESH_AFTER 64     /* batches; then one without guesses is due */
#define ROW_COST 0.15f       /* of a batch: what a row more is taken to cost until it is measured */
#define FIRST_BALANCE 1.0f   /* batches */
#define MOST_BALANCE 12.0f   /* batches */
#define ALLOWANCE 0.005f     /* for each batch without guesses */
#define WEIGHT 0.3f          /* of a new measurement that is shorter than was known */
#define WEIGHT_UP 0.05f      /* of one that is longer: others may have had the processor */

void slmi_gain_begin(slmi_gain *gain, uint32_t n_rows, uint32_t n_guesses)
{
    if (gain->n_batches == 0) {
        gain->balance = FIRST_BALANCE;
    }
    gain->n_rows = n_rows <= SLMI_GAIN_ROWS ? n_rows : 0;
    gain->n_guesses = n_guesses;
    gain->n_accepted = 0;
    gain->is_done = 0;
    gain->elapsed = 0;
}

static int is_known(const slmi_gain *gain, uint32_t n, uint32_t patience)
{
    return gain->time[n] > 0 && gain->n_batches - gain->when[n] < patience;
}

/* What is known of a time after another measurement. A thread that the system did not schedule for a while
 * tells nothing about rows. */
static float better_time(float before, float elapsed)
{
    if (before <= 0 || elapsed <= before) {
        return before <= 0 ? elapsed : before + WEIGHT * (elapsed - before);
    }
    const float taken = elapsed > 1.5f * before ? 1.5f * before : elapsed;
    return before + WEIGHT_UP * (taken - before);
}

void slmi_gain_note(slmi_gain *gain)
{
    const uint32_t n_alone = gain->n_rows - gain->n_guesses;
    gain->is_done = 0;
    gain->n_batches++;
    const uint32_t n = gain->n_rows;
    const float drafting = (float)gain->drafting;
    if (gain->n_drafted > 0 && gain->drafting > 0) {
        gain->draft_time = better_time(gain->draft_time, drafting / (float)gain->n_drafted);
    }
    gain->drafting = gain->n_drafted = 0;
    if (n == 0 || gain->elapsed == 0) {
        return;
    }
    gain->time[n] = better_time(is_known(gain, n, FORGET_AFTER) ? gain->time[n] : 0, (float)gain->elapsed);
    gain->when[n] = gain->n_batches;
    if (gain->n_guesses == 0) {
        gain->balance += ALLOWANCE;
    } else if (gain->time[n_alone] > 0) {
        const float won = (float)gain->n_accepted / (float)n_alone;
        gain->balance += won - ((gain->time[n] + drafting) / gain->time[n_alone] - 1);
    }
    gain->balance = gain->balance < MOST_BALANCE ? gain->balance : MOST_BALANCE;
}

float slmi_gain_cost(const slmi_gain *gain, uint32_t n_rows, uint32_t n_guesses)
{
    const uint32_t n = n_rows + n_guesses;
    if (n_guesses == 0) {
        return 1;
    }
    if (n > SLMI_GAIN_ROWS || gain->balance <= 0 || !is_known(gain, n_rows, REFRESH_AFTER)) {
        return 0;
    }
    uint32_t below = n;
    while (below > n_rows && !is_known(gain, below, FORGET_AFTER)) {
        below--;
    }
    float time = gain->time[below] + (float)(n - below) * ROW_COST * gain->time[n_rows];
    for (uint32_t above = n + 1; below < n && above <= SLMI_GAIN_ROWS; above++) {
        /* More rows do not cost less. */
        if (is_known(gain, above, FORGET_AFTER) && gain->time[above] < time) {
            time = gain->time[above];
        }
    }
    const float cost = time / gain->time[n_rows];
    return cost > 1 ? cost : 1;
}

float slmi_gain_draft_cost(const slmi_gain *gain, uint32_t n_rows)
{
    return gain->time[n_rows] > 0 ? gain->draft_time / gain->time[n_rows] : 0;
}
