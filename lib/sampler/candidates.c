/* SPDX-License-Identifier: MIT */
/* The tokens that may still be drawn, and the filters that thin them out, a piece at a time. */
#include "sampler/candidates.h"

#include <float.h>
#include <string.h>

#include "base/bytes.h"
#include "kernels/math.h"

/* Operations on a heap that one piece does: each touches log2(n) candidates. */
#define HEAP_PIECE 512

/* Logits that are skipped at once when none of them is large enough. */
#define SKIP 256

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

static void go_to(slmi_candidates *c, uint32_t stage, uint32_t at)
{
    c->work.stage = stage;
    c->work.at = at;
}

/* The filter is done; the next one begins afresh. */
static int finish(slmi_candidates *c)
{
    memset(&c->work, 0, sizeof(c->work));
    return 1;
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

/* Makes [work.begin, work.end) a heap; work.at roots are left. Returns 1 when it is one. */
static int make_heap(slmi_candidates *c, int order)
{
    for (uint32_t i = 0; i < HEAP_PIECE && c->work.at > 0; i++) {
        sift_down(c, c->work.begin, c->work.end, --c->work.at, order);
    }
    return c->work.at == 0;
}

static void begin_heap(slmi_candidates *c, uint32_t stage, uint32_t begin, uint32_t end)
{
    c->work.begin = begin;
    c->work.end = end;
    go_to(c, stage, (end - begin) / 2);
}

/* Looks at some more logits; those that are better than the worst of the k best take its place. Ids
 * ascend, so an equal value is worse than what the heap holds. Returns 1 when all have been seen. */
static int scan(slmi_candidates *c, const slmk_table *kernels, const float *logits, uint32_t n_vocab,
                uint32_t k)
{
    const size_t end = slmi_end_of_piece(c->work.at, n_vocab);
    uint32_t n_better = 0;
    while (c->work.at < end && n_better < HEAP_PIECE) {
        const uint32_t n = slmi_min_u32(SKIP, end - c->work.at);
        float most;
        (void)kernels->max_finite(logits + c->work.at, n, &most);
        for (uint32_t i = c->work.at; most > c->values[0] && i < c->work.at + n; i++) {
            if (logits[i] > c->values[0]) {
                put(c, 0, (candidate){ logits[i], (int32_t)i });
                sift_down(c, 0, k, 0, WORST_ON_TOP);
                n_better++;
            }
        }
        c->work.at += n;
    }
    return c->work.at == n_vocab;
}

/* Takes the worst off the heap [0, work.end) and puts it behind it. Returns 1 when all are in order. */
static int sort_best(slmi_candidates *c)
{
    for (uint32_t i = 0; i < HEAP_PIECE && c->work.end > 1; i++) {
        swap(c, 0, --c->work.end);
        sift_down(c, 0, c->work.end, 0, WORST_ON_TOP);
    }
    return c->work.end <= 1;
}

int slmi_candidates_best(slmi_candidates *c, const slmk_table *kernels, const float *logits,
                         uint32_t n_vocab, uint32_t k)
{
    enum { FILL, HEAP, SCAN, SORT };
    switch (c->work.stage) {
    case FILL:
        for (const size_t end = slmi_end_of_piece(c->work.at, k); c->work.at < end; c->work.at++) {
            put(c, c->work.at, (candidate){ logits[c->work.at], (int32_t)c->work.at });
        }
        if (c->work.at == k) {
            begin_heap(c, HEAP, 0, k);
        }
        return 0;
    case HEAP:
        if (make_heap(c, WORST_ON_TOP)) {
            go_to(c, SCAN, k);
        }
        return 0;
    case SCAN:
        if (scan(c, kernels, logits, n_vocab, k)) {
            go_to(c, SORT, 0);
        }
        return 0;
    default:
        if (!sort_best(c)) {
            return 0;
        }
        c->n = k;
        c->is_sorted = 1;
        c->max = c->values[0];
        return finish(c);
    }
}

int slmi_candidates_all(slmi_candidates *c, const float *logits, uint32_t n_vocab)
{
    const size_t end = slmi_end_of_piece(c->work.at, n_vocab);
    for (; c->work.at < end; c->work.at++) {
        put(c, c->work.at, (candidate){ logits[c->work.at], (int32_t)c->work.at });
    }
    if (end < n_vocab) {
        return 0;
    }
    c->n = n_vocab;
    c->is_sorted = 0;
    return finish(c);
}

/* Moves candidates with at least this logarithm of the weight to the front. Returns 1 at the end. */
static int partition(slmi_candidates *c, double least)
{
    for (const size_t end = slmi_end_of_piece(c->work.at, c->n); c->work.at < end; c->work.at++) {
        if ((double)c->values[c->work.at] - (double)c->max >= least) {
            swap(c, c->work.at, c->work.front++);
        }
    }
    return c->work.at == c->n;
}

/* Adds the best of [work.begin, work.end) that are not in order yet to work.sum, until it is enough. A heap
 * that loses its top shrinks at the back: the best ones gather there, best last. Returns 1 at the end. */
static int take_best(slmi_candidates *c)
{
    const uint32_t n = c->work.end - c->work.begin;
    for (uint32_t i = 0; i < HEAP_PIECE && c->work.count < n && c->work.sum < c->work.enough; i++) {
        const uint32_t best = c->is_sorted ? c->work.begin + c->work.count : c->work.begin;
        c->work.sum += slmk_exp((double)c->values[best] - (double)c->max);
        c->work.count++;
        if (!c->is_sorted) {
            const uint32_t left = c->work.end - c->work.count;
            swap(c, c->work.begin, left);
            sift_down(c, c->work.begin, left, 0, BEST_ON_TOP);
        }
    }
    return c->work.count == n || c->work.sum >= c->work.enough;
}

/* Brings the best ones, which lie best last at the back, to the front. Returns 1 at the end. */
static int turn_round(slmi_candidates *c)
{
    const uint32_t n = slmi_min_u32(c->work.count, (c->work.end - c->work.begin) / 2);
    for (const size_t end = slmi_end_of_piece(c->work.at, n); c->work.at < end; c->work.at++) {
        swap(c, c->work.begin + c->work.at, c->work.end - 1 - c->work.at);
    }
    return c->work.at == n;
}

/* The sum of all weights; then how much of it is enough. Returns 1 at the end. */
static int sum_weights(slmi_candidates *c, const slmk_table *kernels, float p)
{
    const size_t end = slmi_end_of_piece(c->work.at, c->n);
    c->work.total +=
        (double)kernels->exp_sum(c->values + c->work.at, end - c->work.at, c->max, NULL);
    c->work.at = end;
    c->work.enough = p > 0 ? (double)p * c->work.total : DBL_MIN; /* the best one always stays */
    return end == c->n;
}

int slmi_candidates_top_p(slmi_candidates *c, const slmk_table *kernels, float p)
{
    enum { SUM, PARTITION, HEAP, TAKE, TURN };
    switch (c->work.stage) {
    case SUM:
        if (sum_weights(c, kernels, p)) {
            c->work.end = c->n;
            go_to(c, c->is_sorted ? TAKE : PARTITION, 0);
        }
        return 0;
    case PARTITION:
        /* All candidates with a smaller weight than this sum to less than 1 - p together, so they lie
         * outside, up to rounding: the second heap below is for that. */
        if (partition(c, slmk_log((1 - (double)p) * c->work.total / c->n))) {
            begin_heap(c, HEAP, 0, c->work.front);
        }
        return 0;
    case HEAP:
        if (make_heap(c, BEST_ON_TOP)) {
            go_to(c, TAKE, 0);
        }
        return 0;
    case TAKE:
        if (!take_best(c)) {
            return 0;
        }
        go_to(c, TURN, 0);
        return 0;
    default:
        if (!c->is_sorted && !turn_round(c)) {
            return 0;
        }
        if (c->work.sum < c->work.enough && c->work.end < c->n) {
            begin_heap(c, HEAP, c->work.end, c->n);
            c->work.count = 0;
            return 0;
        }
        c->n = c->work.begin + c->work.count;
        c->is_sorted = 1;
        return finish(c);
    }
}

int slmi_candidates_min_p(slmi_candidates *c, float p)
{
    const double least = slmk_log(p);
    for (const size_t end = slmi_end_of_piece(c->work.at, c->n); c->work.at < end; c->work.at++) {
        if ((double)c->values[c->work.at] - (double)c->max >= least) {
            put(c, c->work.count++, get(c, c->work.at));
        }
    }
    if (c->work.at < c->n) {
        return 0;
    }
    c->n = c->work.count;
    return finish(c);
}

/* Values to weights, and their sum. Returns 1 at the end. */
static int weigh(slmi_candidates *c, const slmk_table *kernels, float temperature)
{
    const uint32_t begin = c->work.at;
    const size_t end = slmi_end_of_piece(begin, c->n);
    for (uint32_t i = begin; i < end; i++) {
        c->values[i] = (c->values[i] - c->max) / temperature;
    }
    (void)kernels->exp_sum(c->values + begin, end - begin, 0, c->values + begin);
    for (uint32_t i = begin; i < end; i++) {
        c->work.total += (double)c->values[i];
    }
    c->work.at = end;
    return end == c->n;
}

/* Walks on until the weights passed exceed the target. Returns 1 at the end. */
static int walk(slmi_candidates *c, double target)
{
    const size_t end = slmi_end_of_piece(c->work.at, c->n);
    while (c->work.at < end && c->work.sum <= target) {
        const float weight = c->values[c->work.at];
        c->work.sum += (double)weight;
        if (weight > 0) {
            c->work.count = c->work.at;
        }
        c->work.at++;
    }
    return c->work.at == c->n || c->work.sum > target;
}

int slmi_candidates_draw(slmi_candidates *c, const slmk_table *kernels, float temperature,
                         double uniform, int32_t *id)
{
    enum { WEIGH, WALK };
    if (c->work.stage == WEIGH) {
        if (weigh(c, kernels, temperature)) {
            go_to(c, WALK, 0);
        }
        return 0;
    }
    if (!walk(c, uniform * c->work.total)) {
        return 0;
    }
    *id = c->ids[c->work.count];
    return finish(c);
}
