/* SPDX-License-Identifier: MIT */
/* The evaluator through the public interface: its figures against plain loops over logits, every status. */
#include "evaluate_fixture.h"

#include <math.h>
#include <stdio.h>

static slm_error error;

static const char TEXT[] = "the quick brown fox jumps over the lazy dog and the dog sleeps on while "
                           "the fox runs \xC3\xA9t\xC3\xA9";

static void add_no_bos(gguf_builder *builder)
{
    gguf_add_bool(builder, "tokenizer.ggml.add_bos_token", 0);
}

static slm_model *make(int adds_bos, uint32_t seed)
{
    tiny_model description = { .seed = seed, .context_length = 64 };
    description.extend = adds_bos ? NULL : add_no_bos;
    return make_model(&description);
}

static slm_x_evaluation evaluate(slm_model *model, const slm_x_evaluator_options *options)
{
    return evaluate_text(model, options, TEXT, strlen(TEXT));
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest of the divergences that 99 of 100 do not exceed. */
static double percentile_99(const plain *p)
{
    double sorted[MOST_TOKENS];
    memcpy(sorted, p->kl, p->n * sizeof(double));
    qsort(sorted, p->n, sizeof(double), compare);
    return sorted[(99 * p->n + 99) / 100 - 1];
}

static void check_figures(const slm_x_evaluation *r, const plain *p, int guessed)
{
    const double guess = guessed ? log(TINY_VOCAB) : 0;
    const double loss = sum_of(p->losses, p->n) + guess;
    const double reference = sum_of(p->reference_losses, p->n) + guess;
    const double n = p->n + guessed;
    double changes[MOST_TOKENS], largest = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        changes[i] = p->losses[i] - p->reference_losses[i];
        largest = fmax(largest, p->kl[i]);
    }
    assert_true(r->n_texts == 1 && r->n_bytes == strlen(TEXT));
    assert_int_equal(r->n_windows, p->n_windows);
    assert_int_equal(r->n_scored, p->n + (uint32_t)guessed);
    assert_near(r->negative_log_likelihood, loss);
    assert_near(r->perplexity, exp(loss / n));
    assert_near(r->perplexity_standard_error,
                exp(loss / n) * error_of_mean(p->losses, p->n) * p->n / n); /* guesses have no error */
    assert_near(r->reference_negative_log_likelihood, reference);
    assert_near(r->reference_perplexity, exp(reference / n));
    assert_near(r->loss_change, sum_of(changes, p->n) / p->n);
    assert_near(r->loss_change_standard_error, error_of_mean(changes, p->n));
    assert_near(r->kl_mean, sum_of(p->kl, p->n) / p->n);
    assert_near(r->kl_standard_error, error_of_mean(p->kl, p->n));
    assert_near(r->kl_max, largest);
    assert_near(r->kl_percentile_99, percentile_99(p));
    const double share = (double)p->n_same_top / p->n;
    assert_near(r->same_top_share, share);
    assert_near(r->same_top_share_standard_error, sqrt(share * (1 - share) / (p->n - 1)));
}

static void figures_are_those_of_plain_loops(void **state)
{
    (void)state;
    for (int adds_bos = 0; adds_bos < 2; adds_bos++) {
        slm_model *model = make(adds_bos, 1), *reference = make(adds_bos, 2);
        int32_t stream[MOST_TOKENS] = { TINY_BEGIN };
        size_t n;
        OK(slm_tokenizer_encode(slm_model_get_tokenizer(model), TEXT, strlen(TEXT), 0, stream + adds_bos,
                                MOST_TOKENS - 1, &n, NULL));
        for (uint32_t convention = 0; convention < 4; convention++) {
            plain p = { .model = model, .reference = reference, .kv_type = SLM_KV_F32 };
            slm_x_evaluator_options options = options_of(convention);
            options.reference = reference;
            const slm_x_evaluation r = evaluate(model, &options);
            const int counts_all = convention == SLM_X_CONVENTION_BITS_PER_BYTE;
            add_windows(&p, &options, adds_bos, stream, n + (size_t)adds_bos);
            check_figures(&r, &p, counts_all && !adds_bos);
            assert_int_equal(r.n_tokens, n);
            assert_int_equal(r.context_length, CONTEXT);
            assert_int_equal(r.starts_with_bos, adds_bos);
            const double bits = counts_all ? log(2) * (double)strlen(TEXT) : INFINITY;
            assert_near(r.bits_per_byte, r.negative_log_likelihood / bits);
            assert_near(r.bits_per_byte_standard_error, error_of_mean(p.losses, p.n) * p.n / bits);
            assert_near(r.reference_bits_per_byte, r.reference_negative_log_likelihood / bits);
            if (counts_all) {
                assert_int_equal(r.n_scored, n); /* whether a BOS begins the text or not */
            }
        }
        slm_model_release(model);
        slm_model_release(reference);
    }
}

/* Texts of many lengths, so that a hundredth of them is a whole number of tokens and is not. */
static void percentiles_are_those_of_sorted_values(void **state)
{
    (void)state;
    static const uint32_t lengths[] = { 2, 3, 50, 98, 99, 100, 101, 150, 199, 200, 201, 499, 500 };
    slm_model *model = make(1, 1), *reference = make(1, 2);
    slm_x_evaluator_options options = options_of(BITS);
    options.context_length = 64;
    options.reference = reference;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        plain p = { .model = model, .reference = reference, .kv_type = SLM_KV_F32 };
        int32_t stream[MOST_TOKENS] = { TINY_BEGIN };
        char text[MOST_TOKENS];
        size_t n;
        for (uint32_t k = 0; k < lengths[i]; k++) {
            text[k] = (char)('a' + text_token(k) - TINY_LETTER);
        }
        /* A space in front is the first token. */
        OK(slm_tokenizer_encode(slm_model_get_tokenizer(model), text, lengths[i] - 1, 0, stream + 1,
                                MOST_TOKENS - 1, &n, NULL));
        const slm_x_evaluation r = evaluate_text(model, &options, text, lengths[i] - 1);
        add_windows(&p, &options, 1, stream, n + 1);
        assert_int_equal(r.n_scored, lengths[i]);
        assert_int_equal(p.n, lengths[i]);
        assert_near(r.kl_percentile_99, percentile_99(&p));
    }
    slm_model_release(model);
    slm_model_release(reference);
}

/* A single token has no standard error. */
static void one_token_has_figures(void **state)
{
    (void)state;
    slm_model *model = make(1, 1), *reference = make(1, 2);
    const int32_t stream[] = { TINY_BEGIN, TINY_SPACE };
    plain p = { .model = model, .reference = reference, .kv_type = SLM_KV_F32 };
    slm_x_evaluator_options options = options_of(GPTQ);
    options.context_length = 2;
    options.reference = reference;
    const slm_x_evaluation r = evaluate_text(model, &options, "a", 1); /* the letter fills no window */
    add_windows(&p, &options, 1, stream, 2);
    assert_true(r.n_scored == 1 && r.n_windows == 1);
    assert_near(r.negative_log_likelihood, p.losses[0]);
    assert_near(r.kl_mean, p.kl[0]);
    assert_true(r.kl_percentile_99 == r.kl_mean && r.kl_max == r.kl_mean);
    assert_true(r.perplexity_standard_error == 0 && r.loss_change_standard_error == 0);
    assert_true(r.kl_standard_error == 0 && r.same_top_share_standard_error == 0);
    slm_model_release(model);
    slm_model_release(reference);
}

static void the_model_itself_is_no_distance_away(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    slm_x_evaluator_options options = options_of(0);
    const slm_x_evaluation alone = evaluate(model, &options);
    assert_true(alone.reference_perplexity == 0 && alone.kl_max == 0 && alone.same_top_share == 0);
    options.reference = model;
    options.reference_kv_type = SLM_KV_F32;
    slm_x_evaluation r = evaluate(model, &options);
    assert_true(r.negative_log_likelihood == alone.negative_log_likelihood);
    assert_true(r.reference_negative_log_likelihood == r.negative_log_likelihood);
    assert_true(r.reference_bits_per_byte == r.bits_per_byte);
    assert_true(r.kl_mean == 0 && r.kl_percentile_99 == 0 && r.kl_max == 0 && r.loss_change == 0);
    assert_true(r.same_top_share == 1 && r.same_top_share_standard_error == 0);
    options.reference_kv_type = SLM_KV_F16;
    r = evaluate(model, &options);
    assert_true(r.kl_mean > 0 && r.kl_mean < 1e-5);
    slm_model_release(model);
}

static void figures_are_the_same_bits_however_computed(void **state)
{
    (void)state;
    const tiny_model description = { .type = TINY_Q8_0, .context_length = 64 };
    slm_model *model = make_model(&description), *reference = make(1, 2);
    for (uint32_t convention = 0; convention < 4; convention++) {
        slm_x_evaluator_options options = options_of(convention);
        options.kv_type = convention; /* each type of cache once */
        options.reference = reference;
        const slm_x_evaluation first = evaluate(model, &options);
        options.n_threads = 3;
        slm_x_evaluation r = evaluate(model, &options);
        assert_memory_equal(&r, &first, sizeof(r));
        options.cpu_level = SLM_CPU_SCALAR;
        r = evaluate(model, &options);
        assert_memory_equal(&r, &first, sizeof(r));
        uint64_t time = 0; /* of a clock that is late at every look, so that a step does not do all */
        slm_host host = SLM_HOST_INIT;
        host.clock = late_clock;
        host.clock_ctx = &time;
        options.host = &host;
        r = evaluate(model, &options);
        assert_memory_equal(&r, &first, sizeof(r));
        assert_true(time > 0);
    }
    slm_model_release(model);
    slm_model_release(reference);
}

/* ---- texts ---- */

static void texts_add_up(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    slm_x_evaluator_options options = options_of(0);
    slm_x_evaluation one = SLM_X_EVALUATION_INIT, both = SLM_X_EVALUATION_INIT;
    slm_x_evaluator *evaluator = make_evaluator(model, &options);
    slm_model_release(model); /* the evaluator keeps it */
    OK(slm_x_evaluator_add_text(evaluator, "a", 1, NULL));
    OK(slm_x_evaluator_get_result(evaluator, &one, NULL));
    assert_true(one.n_scored == 2 && one.n_tokens == 2 && one.n_windows == 1); /* a space is put in front */
    OK(slm_x_evaluator_add_text(evaluator, "a", 1, NULL));
    OK(slm_x_evaluator_get_result(evaluator, &both, NULL));
    assert_true(both.n_texts == 2 && both.n_bytes == 2 && both.n_scored == 4 && both.n_windows == 2);
    assert_near(both.negative_log_likelihood, 2 * one.negative_log_likelihood);
    assert_near(both.bits_per_byte, one.bits_per_byte);
    slm_x_evaluator_release(evaluator);
}

static void assert_unchanged(slm_x_evaluator *evaluator, const slm_x_evaluation *before)
{
    slm_x_evaluation now = SLM_X_EVALUATION_INIT;
    OK(slm_x_evaluator_get_result(evaluator, &now, NULL));
    assert_memory_equal(&now, before, sizeof(now));
}

/* After each text that is refused, the figures are as they were, and a good text counts as ever. */
static void refuses_texts_all_or_nothing(void **state)
{
    (void)state;
    const tiny_model description = { .broken_token = TINY_LETTER + 25, .context_length = 64, .own_head = 1 };
    slm_model *model = make_model(&description);
    slm_x_evaluator_options options = options_of(0);
    slm_x_evaluation before = SLM_X_EVALUATION_INIT, after = SLM_X_EVALUATION_INIT;
    options.reference = model;
    const char *good = "the fox runs and the dog sleeps on";
    const char *broken = "the fox runs and the dog sleepz on and on";
    slm_x_evaluator *e = make_evaluator(model, &options);
    FAILS(slm_x_evaluator_get_result(e, &before, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_add_text(e, broken, strlen(broken), &error), SLM_ERR_NOT_FINITE, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_get_result(e, &before, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    OK(slm_x_evaluator_add_text(e, good, strlen(good), NULL));
    OK(slm_x_evaluator_get_result(e, &before, NULL));
    FAILS(slm_x_evaluator_add_text(NULL, "a", 1, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_add_text(e, NULL, 1, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_add_text(e, NULL, 0, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_add_text(e, "ab\xC3", 3, &error), SLM_ERR_INVALID_UTF8, 2);
    FAILS(slm_x_evaluator_add_text(e, "a", SIZE_MAX, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_add_text(e, broken, strlen(broken), &error), SLM_ERR_NOT_FINITE, SLM_NO_OFFSET);
    assert_unchanged(e, &before);
    OK(slm_x_evaluator_add_text(e, good, strlen(good), NULL));
    OK(slm_x_evaluator_get_result(e, &after, NULL));
    assert_near(after.negative_log_likelihood, 2 * before.negative_log_likelihood);
    assert_true(after.kl_max == before.kl_max && after.n_scored == 2 * before.n_scored);
    slm_x_evaluator_release(e);
    slm_model_release(model);
}

static void refuses_texts_that_are_too_short(void **state)
{
    (void)state;
    for (int adds_bos = 0; adds_bos < 2; adds_bos++) {
        slm_model *model = make(adds_bos, 1);
        for (uint32_t convention = 0; convention < 4; convention++) {
            slm_x_evaluator_options options = options_of(convention);
            const int whole = convention == SLM_X_CONVENTION_LLAMACPP_512 ||
                              convention == SLM_X_CONVENTION_GPTQ_2048;
            const size_t enough = whole ? CONTEXT : 2; /* tokens, BOS included */
            slm_x_evaluator *e = make_evaluator(model, &options);
            /* Every letter is a token, and a space in front one more. */
            for (size_t n_letters = 0; n_letters < CONTEXT; n_letters++) {
                const size_t n = n_letters > 0 ? n_letters + 1 + (size_t)adds_bos : (size_t)adds_bos;
                if (n < enough) {
                    FAILS(slm_x_evaluator_add_text(e, "abcdefghijklmnop", n_letters, &error),
                          SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
                    assert_non_null(strstr(error.message, "too few"));
                } else {
                    OK(slm_x_evaluator_add_text(e, "abcdefghijklmnop", n_letters, NULL));
                }
            }
            slm_x_evaluator_release(e);
        }
        slm_model_release(model);
    }
}

/* ---- creation ---- */

static void refuses_options(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    slm_x_evaluator *e = (slm_x_evaluator *)model;
    const slm_x_evaluator_options good = options_of(0);
    slm_x_evaluator_options o = good;
    struct {
        slm_x_evaluator_options known;
        uint64_t more;
    } later = { good, 1 };
#define REFUSED(change, code)                                                             \
    do {                                                                                  \
        o = good;                                                                         \
        change;                                                                           \
        FAILS(slm_x_evaluator_create(model, &o, &e, &error), (code), SLM_NO_OFFSET);      \
        assert_null(e);                                                                   \
    } while (0)
    FAILS(slm_x_evaluator_create(NULL, NULL, &e, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    assert_null(e);
    FAILS(slm_x_evaluator_create(model, NULL, NULL, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    REFUSED(o.struct_size = 3, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.convention = 4, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.context_length = 65, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.context_length = 1, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.stride = 1, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.kv_type = 77, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.reference_kv_type = SLM_KV_F32, SLM_ERR_INVALID_ARGUMENT);
    REFUSED((o.reference = model, o.reference_kv_type = 77), SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.n_threads = 257, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.reserved0 = &o, SLM_ERR_INVALID_ARGUMENT);
    REFUSED(o.cpu_level = 3, SLM_ERR_UNSUPPORTED);
    slm_host host = SLM_HOST_INIT;
    host.struct_size = 1;
    REFUSED(o.host = &host, SLM_ERR_INVALID_ARGUMENT);
    slm_allocator allocator = SLM_ALLOCATOR_INIT; /* without functions */
    host = (slm_host)SLM_HOST_INIT;
    host.allocator = &allocator;
    REFUSED(o.host = &host, SLM_ERR_INVALID_ARGUMENT);
    later.known.struct_size = sizeof(later);
    FAILS(slm_x_evaluator_create(model, &later.known, &e, &error), SLM_ERR_UNSUPPORTED, SLM_NO_OFFSET);
    slm_x_evaluator_release(NULL);
    slm_model_release(model);
}

/* Loads a model whose file has other bytes behind the first place of `before`. */
static slm_model *make_changed(const void *before, size_t n_before, const void *bytes, size_t n)
{
    const tiny_model description = { .context_length = 64 };
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_model *model;
    size_t size, at = 0;
    uint8_t *file = tiny_model_make(&description, &size);
    while (memcmp(file + at, before, n_before) != 0) {
        at++;
        assert_true(at + n_before + n <= size);
    }
    memcpy(file + at + n_before, bytes, n);
    OK(slm_model_load_memory(file, size, &options, &model, NULL));
    free(file);
    return model;
}

static void set_end(gguf_builder *builder)
{
    gguf_add_bool(builder, "tokenizer.ggml.add_eos_token", 1);
}

static void refuses_references_of_another_vocabulary(void **state)
{
    (void)state;
    static const uint8_t p[] = { 1, 0, 0, 0, 0, 0, 0, 0, 'p' }; /* of the pieces, which are q and r next */
    static const uint8_t other[] = { 1, 0, 0, 0, 0, 0, 0, 0, 'Q' };
    static const uint8_t longer[] = { 2, 0, 0, 0, 0, 0, 0, 0, 'q', 'r', 0, 0, 0, 0, 0, 0, 0, 0 };
    static const char bos[] = "tokenizer.ggml.bos_token_id\4\0\0";
    slm_model *model = make(1, 1);
    const struct {
        slm_model *reference;
        const char *words;
    } cases[] = {
        { make(0, 1), "BOS" },
        { make_changed(bos, sizeof(bos), "\2", 1), "BOS 2" },
        { make_changed(p, sizeof(p), other, sizeof(other)), "token 276" },
        { make_changed(p, sizeof(p), longer, sizeof(longer)), "token 276" },
    };
    slm_x_evaluator_options options = options_of(0);
    slm_x_evaluator *e;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        options.reference = cases[i].reference;
        FAILS(slm_x_evaluator_create(model, &options, &e, &error), SLM_ERR_MISMATCH, SLM_NO_OFFSET);
        assert_non_null(strstr(error.message, cases[i].words));
        slm_model_release(cases[i].reference);
    }
    /* A shorter context of the reference bounds the windows; other weights and flags do not matter. */
    const tiny_model description = { .seed = 9, .context_length = 15, .extend = set_end };
    slm_model *shorter = make_model(&description);
    options.reference = shorter;
    FAILS(slm_x_evaluator_create(model, &options, &e, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    options.context_length = 0;
    assert_int_equal(evaluate(model, &options).context_length, 15);
    slm_model_release(model);
    slm_model_release(shorter);
}

/* ---- memory ---- */

static void stays_within_its_budget(void **state)
{
    (void)state;
    failing_alloc memory;
    failing_alloc_init(&memory);
    slm_model *model = make(1, 1);
    slm_x_evaluator_options options = options_of(0);
    slm_x_evaluator *e;
    options.host = &memory.host;
    options.reference = model;
    uint64_t least = 0, most = 1 << 24;
    while (least + 1 < most) { /* the smallest budget that suffices for creation */
        options.max_memory_bytes = least + (most - least) / 2;
        const slm_status status = slm_x_evaluator_create(model, &options, &e, &error);
        assert_true(status == SLM_OK || status == SLM_ERR_BUDGET);
        slm_x_evaluator_release(e);
        *(status == SLM_OK ? &most : &least) = options.max_memory_bytes;
    }
    assert_true(failing_alloc_is_clean(&memory));
    /* A budget that the evaluator uses up to the last byte, so that nothing is left for its sessions. */
    memory.peak_bytes = 0;
    options.max_memory_bytes = 0;
    failing_alloc_arm(&memory, 3, 1);
    FAILS(slm_x_evaluator_create(model, &options, &e, &error), SLM_ERR_OUT_OF_MEMORY, SLM_NO_OFFSET);
    failing_alloc_arm(&memory, 0, 0);
    options.max_memory_bytes = memory.peak_bytes;
    FAILS(slm_x_evaluator_create(model, &options, &e, &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    assert_true(failing_alloc_is_clean(&memory));
    memory.peak_bytes = 0;
    options.max_memory_bytes = most;
    e = make_evaluator(model, &options);
    assert_true(memory.live_bytes <= most && memory.peak_bytes <= most);
    FAILS(slm_x_evaluator_add_text(e, TEXT, strlen(TEXT), &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    slm_x_evaluator_release(e);
    options.max_memory_bytes = most + 1000; /* the tokens fit, the divergences do not */
    e = make_evaluator(model, &options);
    OK(slm_x_evaluator_add_text(e, "a", 1, NULL));
    FAILS(slm_x_evaluator_add_text(e, TEXT, strlen(TEXT), &error), SLM_ERR_BUDGET, SLM_NO_OFFSET);
    slm_x_evaluation r = SLM_X_EVALUATION_INIT;
    OK(slm_x_evaluator_get_result(e, &r, NULL));
    assert_int_equal(r.n_scored, 2);
    assert_true(memory.peak_bytes <= options.max_memory_bytes);
    slm_x_evaluator_release(e);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
    slm_model_release(model);
}

/* ---- progress ---- */

typedef struct watcher {
    slm_x_evaluator *evaluator;
    int n_calls, cancel_at; /* the call that cancels, from 1; 0 = none */
    int calls_back, releases;
    float last;
} watcher;

static int32_t watch(void *ctx, float done)
{
    watcher *w = ctx;
    slm_x_evaluation figures = SLM_X_EVALUATION_INIT;
    assert_true(done >= w->last && done <= 1);
    w->last = done;
    if (w->calls_back) {
        FAILS(slm_x_evaluator_add_text(w->evaluator, "a", 1, &error), SLM_ERR_BUSY, SLM_NO_OFFSET);
        FAILS(slm_x_evaluator_get_result(w->evaluator, &figures, &error), SLM_ERR_BUSY, SLM_NO_OFFSET);
    }
    if (w->releases && w->n_calls == 2) {
        slm_x_evaluator_release(w->evaluator);
    }
    return ++w->n_calls == w->cancel_at;
}

static void cancels_at_every_call(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    watcher w = { 0 };
    slm_x_evaluator_options options = options_of(SLM_X_CONVENTION_HF_STRIDE);
    options.reference = model;
    options.progress = watch;
    options.progress_ctx = &w;
    const slm_x_evaluation whole = evaluate(model, &options);
    assert_true(w.n_calls > (int)whole.n_windows && w.last == 1);
    const int n_calls = (int)whole.n_windows; /* the calls between them depend on the time that passes */
    slm_x_evaluator *e = make_evaluator(model, &options);
    for (int k = 1; k <= n_calls; k++) {
        slm_x_evaluation none = SLM_X_EVALUATION_INIT;
        w = (watcher){ .cancel_at = k };
        error = (slm_error)SLM_ERROR_INIT;
        assert_int_equal(slm_x_evaluator_add_text(e, TEXT, strlen(TEXT), &error), SLM_CANCELLED);
        assert_int_equal(error.code, SLM_OK);
        FAILS(slm_x_evaluator_get_result(e, &none, &error), SLM_ERR_STATE, SLM_NO_OFFSET);
    }
    w = (watcher){ 0 };
    OK(slm_x_evaluator_add_text(e, TEXT, strlen(TEXT), NULL));
    assert_unchanged(e, &whole);
    slm_x_evaluator_release(e);
    slm_model_release(model);
}

static void calls_from_progress_are_refused(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    watcher w = { .calls_back = 1 };
    slm_x_evaluator_options options = options_of(0);
    options.progress = watch;
    options.progress_ctx = &w;
    w.evaluator = make_evaluator(model, &options);
    OK(slm_x_evaluator_add_text(w.evaluator, TEXT, strlen(TEXT), NULL));
    assert_true(w.n_calls > 1);
    w = (watcher){ .evaluator = w.evaluator, .releases = 1 };
    OK(slm_x_evaluator_add_text(w.evaluator, TEXT, strlen(TEXT), NULL)); /* and frees it */
    slm_model_release(model);
}

static void results_of_other_versions(void **state)
{
    (void)state;
    slm_model *model = make(1, 1);
    slm_x_evaluator *e = make_evaluator(model, NULL);
    slm_x_evaluation figures = SLM_X_EVALUATION_INIT;
    OK(slm_x_evaluator_add_text(e, "abc", 3, NULL));
    FAILS(slm_x_evaluator_get_result(e, NULL, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    FAILS(slm_x_evaluator_get_result(NULL, &figures, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    figures.struct_size = 5;
    FAILS(slm_x_evaluator_get_result(e, &figures, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
    memset(&figures, 0xAA, sizeof(figures));
    figures.struct_size = offsetof(slm_x_evaluation, perplexity);
    OK(slm_x_evaluator_get_result(e, &figures, NULL));
    assert_int_equal(figures.n_bytes, 3);
    assert_int_equal(figures.context_length, 64);
    assert_int_equal(*(unsigned char *)&figures.perplexity, 0xAA);
    slm_x_evaluator_release(e);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_plain_loops),
        cmocka_unit_test(percentiles_are_those_of_sorted_values),
        cmocka_unit_test(one_token_has_figures),
        cmocka_unit_test(the_model_itself_is_no_distance_away),
        cmocka_unit_test(figures_are_the_same_bits_however_computed),
        cmocka_unit_test(texts_add_up),
        cmocka_unit_test(refuses_texts_all_or_nothing),
        cmocka_unit_test(refuses_texts_that_are_too_short),
        cmocka_unit_test(refuses_options),
        cmocka_unit_test(refuses_references_of_another_vocabulary),
        cmocka_unit_test(stays_within_its_budget),
        cmocka_unit_test(cancels_at_every_call),
        cmocka_unit_test(calls_from_progress_are_refused),
        cmocka_unit_test(results_of_other_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
