/* SPDX-License-Identifier: MIT */
/* Scores of single rows against the definitions in long double, and the statistics over them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "evaluate/score.h"

enum { MOST_VOCAB = 3000 };

static uint64_t random_state = 1;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

static void fill(float *row, uint32_t n, double spread)
{
    for (uint32_t i = 0; i < n; i++) {
        row[i] = (float)(spread * (uniform() - 0.5));
    }
}

static int is_near(double value, double expected, double tolerance)
{
    return fabs(value - expected) <= tolerance * (fabs(expected) > 1 ? fabs(expected) : 1);
}

static long double log_sum(const float *row, uint32_t n)
{
    long double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        largest = fmaxl(largest, (long double)row[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        sum += expl((long double)row[i] - largest);
    }
    return largest + logl(sum);
}

static uint32_t first_largest(const float *row, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < n; i++) {
        best = row[i] > row[best] ? i : best;
    }
    return best;
}

static void scores_are_those_of_the_definitions(void **state)
{
    (void)state;
    static float q[MOST_VOCAB], p[MOST_VOCAB], difference[MOST_VOCAB];
    const double spreads[] = { 1e-3, 1, 20, 200, 3000 };
    const double distances[] = { 0, 1e-6, 1e-3, 1, 50 };
    for (int k = 0; k < 150; k++) {
        const uint32_t n = k == 0 ? 1 : 1 + (uint32_t)(uniform() * MOST_VOCAB);
        const int32_t target = (int32_t)(uniform() * n);
        fill(q, n, spreads[k % 5]);
        fill(difference, n, distances[k / 5 % 5]);
        for (uint32_t i = 0; i < n; i++) {
            p[i] = q[i] + difference[i];
        }
        const long double a = log_sum(p, n), b = log_sum(q, n);
        long double kl = 0;
        for (uint32_t i = 0; i < n; i++) {
            const long double log_p = (long double)p[i] - a;
            kl += expl(log_p) * (log_p - ((long double)q[i] - b));
        }
        const slmi_score both = slmi_score_row(q, p, n, target);
        assert_true(is_near(both.nll, (double)(b - (long double)q[target]), 1e-14));
        assert_true(is_near(both.reference_nll, (double)(a - (long double)p[target]), 1e-14));
        assert_true(is_near(both.kl, (double)kl, 1e-14 * (1 + distances[k / 5 % 5])) && both.kl >= 0);
        assert_int_equal(both.same_top, first_largest(p, n) == first_largest(q, n));
        const slmi_score alone = slmi_score_row(q, NULL, n, target);
        assert_true(alone.nll == both.nll);
        assert_true(alone.reference_nll == 0 && alone.kl == 0 && alone.same_top == 0);
    }
}

static void ties_go_to_the_lower_id(void **state)
{
    (void)state;
    const float q[] = { 1, 2, 2, 0 }, same[] = { 0, 3, 3, 1 }, other[] = { 0, 2, 3, 3 };
    assert_int_equal(slmi_score_row(q, same, 4, 0).same_top, 1);
    assert_int_equal(slmi_score_row(q, other, 4, 0).same_top, 0);
}

static void equal_rows_have_no_divergence(void **state)
{
    (void)state;
    static float q[MOST_VOCAB];
    fill(q, MOST_VOCAB, 30);
    const slmi_score score = slmi_score_row(q, q, MOST_VOCAB, 7);
    assert_true(score.kl == 0 && score.nll == score.reference_nll && score.same_top == 1);
}

/* Logits as far apart as float32 allows: no overflow, no NaN. */
static void extreme_rows_stay_finite(void **state)
{
    (void)state;
    const float q[] = { 3.4e38f, -3.4e38f }, p[] = { -3.4e38f, 3.4e38f };
    const slmi_score score = slmi_score_row(q, p, 2, 1);
    assert_true(is_near(score.nll, 6.8e38, 1e-7) && score.reference_nll == 0);
    assert_true(is_near(score.kl, 6.8e38, 1e-7));
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_those_of_sorted_values(void **state)
{
    (void)state;
    static double values[1000], sorted[1000];
    const double shares[] = { 0, 0.01, 0.5, 0.99, 1 };
    for (size_t n = 1; n <= 1000; n += n < 30 ? 1 : 97) {
        for (int kinds = 1; kinds <= 1000000; kinds *= 10) {
            for (size_t i = 0; i < n; i++) {
                values[i] = sorted[i] = floor(uniform() * kinds);
            }
            qsort(sorted, n, sizeof(double), compare);
            for (size_t s = 0; s < 5; s++) {
                const double rank = ceil(shares[s] * (double)n);
                const size_t index = rank > 0 ? (size_t)rank - 1 : 0;
                assert_true(slmi_percentile(values, n, shares[s]) == sorted[index]);
            }
            qsort(values, n, sizeof(double), compare);
            assert_memory_equal(values, sorted, n * sizeof(double)); /* reordered, not changed */
        }
    }
}

static void standard_errors(void **state)
{
    (void)state;
    assert_true(slmi_standard_error(0, 0, 0) == 0);
    assert_true(slmi_standard_error(5, 25, 1) == 0);
    assert_true(slmi_standard_error(3, 3, 3) == 0);
    /* 1, 2, 3, 4: variance of the sample 5/3, of the mean a quarter of it. */
    assert_true(is_near(slmi_standard_error(10, 30, 4), sqrt(5.0 / 12), 1e-15));
}

static void sums_add_up(void **state)
{
    (void)state;
    slmi_sums sums = { 0 };
    const slmi_score a = { 3, 1, 0.5, 1 }, b = { 2, 4, 0.25, 0 };
    slmi_sums_add(&sums, &a);
    slmi_sums_add(&sums, &b);
    assert_true(sums.n_scored == 2 && sums.n_same_top == 1);
    assert_true(sums.nll == 5 && sums.nll_squares == 13 && sums.reference_nll == 5);
    assert_true(sums.change_squares == 8);
    assert_true(sums.kl == 0.75 && sums.kl_squares == 0.3125 && sums.kl_max == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_definitions),
        cmocka_unit_test(ties_go_to_the_lower_id),
        cmocka_unit_test(equal_rows_have_no_divergence),
        cmocka_unit_test(extreme_rows_stay_finite),
        cmocka_unit_test(percentiles_are_those_of_sorted_values),
        cmocka_unit_test(standard_errors),
        cmocka_unit_test(sums_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
