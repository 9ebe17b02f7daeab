/* SPDX-License-Identifier: MIT */
/* The tokens that may still be drawn, and the filters that thin them out. */
#include "sampler/candidates.h"

#include <float.h>

#include "kernels/math.h"

typedef struct candidate {
    float value;
    int32_t id;
} candidate;

static candidate get(const slmi_candidates *c, uint32_t i)
{
    return (candidate){ c->values[i], c->ids[i] };
}

static void put(slmi_candidates *c, uint32_t i, candidate one)
{
    c->values[i] = one.value;
    c->ids[i] = one.id;
}

static void swap(slmi_candidates *c, uint32_t i, uint32_t j)
{
    const candidate one = get(c, i);
    put(c, i, get(c, j));
    put(c, j, one);
}

static int is_better(candidate a, candidate b)
{
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

/* Which candidate a heap has on top. */
enum { WORST_ON_TOP = 0, BEST_ON_TOP = 1 };

static int belongs_above(candidate a, candidate b, int order)
{
    return order == BEST_ON_TOP ? is_better(a, b) : is_better(b, a);
}

/* The heap lies in [begin, end), its top at begin. */
static void sift_down(slmi_candidates *c, uint32_t begin, uint32_t end, uint32_t root, int order)
{
    const uint32_t n = end - begin;
    const candidate moving = get(c, begin + root);
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && belongs_above(get(c, begin + child + 1), get(c, begin + child), order)) {
            child++;
        }
        if (!belongs_above(get(c, begin + child), moving, order)) {
            break;
        }
        put(c, begin + root, get(c, begin + child));
        root = child;
    }
    put(c, begin + root, moving);
}

static void make_heap(slmi_candidates *c, uint32_t begin, uint32_t end, int order)
{
    for (uint32_t i = (end - begin) / 2; i > 0; i--) {
        sift_down(c, begin, end, i - 1, order);
    }
}

void slmi_candidates_best(slmi_candidates *c, const float *logits, uint32_t n_vocab, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) {
        put(c, i, (candidate){ logits[i], (int32_t)i });
    }
    make_heap(c, 0, k, WORST_ON_TOP);
    /* Ids ascend, so an equal value is worse than what the heap holds. */
    for (uint32_t i = k; i < n_vocab; i++) {
        if (logits[i] > c->values[0]) {
            put(c, 0, (candidate){ logits[i], (int32_t)i });
            sift_down(c, 0, k, 0, WORST_ON_TOP);
        }
    }
    for (uint32_t end = k; end > 1; end--) {
        swap(c, 0, end - 1);
        sift_down(c, 0, end - 1, 0, WORST_ON_TOP);
    }
    c->n = k;
    c->is_sorted = 1;
    c->max = c->values[0];
}

void slmi_candidates_all(slmi_candidates *c, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        c->ids[i] = (int32_t)i;
    }
    c->n = n_vocab;
    c->is_sorted = 0;
}

/* Moves the candidates with at least this logarithm of the weight to the front; returns how many. */
static uint32_t partition(slmi_candidates *c, double least)
{
    uint32_t n_front = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if ((double)c->values[i] - (double)c->max >= least) {
            swap(c, i, n_front++);
        }
    }
    return n_front;
}

/* Sorts [begin, end) from its best on, adding weights to *sum, until it reaches `enough`; returns the
 * number of candidates in order. */
static uint32_t sort_until(slmi_candidates *c, uint32_t begin, uint32_t end, double enough, double *sum)
{
    if (!c->is_sorted) {
        make_heap(c, begin, end, BEST_ON_TOP);
    }
    /* A heap that loses its top shrinks at the back: the best ones gather there, best last. */
    uint32_t left = end;
    uint32_t n = 0;
    while (begin + n < end && *sum < enough) {
        const uint32_t i = c->is_sorted ? begin + n : begin;
        *sum += slmk_exp((double)c->values[i] - (double)c->max);
        n++;
        if (!c->is_sorted) {
            swap(c, begin, --left);
            sift_down(c, begin, left, 0, BEST_ON_TOP);
        }
    }
    if (!c->is_sorted) {
        for (uint32_t i = 0; i < (end - begin) / 2; i++) {
            swap(c, begin + i, end - 1 - i);
        }
    }
    return begin + n;
}

void slmi_candidates_top_p(slmi_candidates *c, const slmk_table *kernels, float p)
{
    const double total = kernels->exp_sum(c->values, c->n, c->max, NULL);
    const double enough = p > 0 ? (double)p * total : DBL_MIN; /* the best one always stays */
    uint32_t n_front = c->n;
    if (!c->is_sorted) {
        /* All candidates with a smaller weight than this sum to less than 1 - p together, so they lie
         * outside, up to rounding: the second sort below is for that. */
        n_front = partition(c, slmk_log((1 - (double)p) * total / c->n));
    }
    double sum = 0;
    uint32_t n = sort_until(c, 0, n_front, enough, &sum);
    if (n == n_front && sum < enough) {
        n = sort_until(c, n_front, c->n, enough, &sum);
    }
    c->n = n;
    c->is_sorted = 1;
}

void slmi_candidates_min_p(slmi_candidates *c, float p)
{
    const double least = slmk_log(p);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if ((double)c->values[i] - (double)c->max >= least) {
            put(c, n++, get(c, i));
        }
    }
    c->n = n;
}

int32_t slmi_candidates_draw(slmi_candidates *c, const slmk_table *kernels, float temperature,
                             double uniform)
{
    for (uint32_t i = 0; i < c->n; i++) {
        c->values[i] = (c->values[i] - c->max) / temperature;
    }
    kernels->exp_sum(c->values, c->n, 0, c->values);
    double total = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        total += (double)c->values[i];
    }
    const double target = uniform * total;
    double sum = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < c->n && sum <= target; i++) {
        sum += (double)c->values[i];
        if (c->values[i] > 0) {
            chosen = i;
        }
    }
    return c->ids[chosen];
}
