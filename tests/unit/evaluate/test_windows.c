/* SPDX-License-Identifier: MIT */
/* Conventions: their windows, token by token, and what they refuse. */
#include "evaluate_fixture.h"

#include <math.h>
#include <stdio.h>

static slm_error error;

/* A letter is a token, and nothing else is added. */
static void add_letters_only(gguf_builder *builder)
{
    gguf_add_bool(builder, "tokenizer.ggml.add_bos_token", 0);
    gguf_add_bool(builder, "tokenizer.ggml.add_space_prefix", 0);
}

static slm_model *make(uint32_t context_length)
{
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .context_length = context_length,
                                     .extend = add_letters_only };
    return make_model(&description);
}

/* A text of n tokens. */
static const char *text_of(size_t n, int32_t *tokens)
{
    static char text[4096];
    assert_true(n < sizeof(text));
    for (uint32_t i = 0; i < n; i++) {
        const int32_t token = text_token(i);
        text[i] = (char)('a' + token - TINY_LETTER);
        if (tokens != NULL) {
            tokens[i] = token;
        }
    }
    return text;
}

/* Evaluates a text of n tokens, and asserts that its figures are those of plain windows; that it is refused
 * where there are none. */
static void assert_windows(slm_model *model, const slm_x_evaluator_options *options, size_t n, const plain *p)
{
    const char *text = text_of(n, NULL);
    if (p->n_windows == 0) {
        slm_x_evaluator *evaluator = make_evaluator(model, options);
        FAILS(slm_x_evaluator_add_text(evaluator, text, n, &error), SLM_ERR_INVALID_ARGUMENT, SLM_NO_OFFSET);
        assert_non_null(strstr(error.message, "too few"));
        slm_x_evaluator_release(evaluator);
        return;
    }
    const uint32_t guessed = options->convention == BITS; /* the first token, which has nothing before it */
    const slm_x_evaluation r = evaluate_text(model, options, text, n);
    assert_int_equal(r.n_windows, p->n_windows);
    assert_int_equal(r.n_scored, p->n + guessed);
    assert_near(r.negative_log_likelihood, sum_of(p->losses, p->n) + guessed * log(TINY_VOCAB));
}

static void cuts_a_stream_as_the_convention_says(void **state)
{
    (void)state;
    const struct {
        uint32_t convention, context, stride;
        size_t n;
        const char *windows; /* "begin:scored-end" of each */
    } cases[] = {
        { BITS, 4, 0, 0, "" },
        { BITS, 4, 0, 1, "" },
        { BITS, 4, 0, 2, "0:1-2" },
        { BITS, 4, 0, 4, "0:1-4" },
        { BITS, 4, 0, 5, "0:1-4 3:4-5" },
        { BITS, 4, 0, 10, "0:1-4 3:4-7 6:7-10" },
        { BITS, 2, 0, 4, "0:1-2 1:2-3 2:3-4" },
        { LLAMACPP, 8, 0, 7, "" },
        { LLAMACPP, 8, 0, 8, "0:5-8" },
        { LLAMACPP, 8, 0, 23, "0:5-8 8:13-16" },
        { LLAMACPP, 3, 0, 6, "0:2-3 3:5-6" },
        { GPTQ, 4, 0, 3, "" },
        { GPTQ, 4, 0, 11, "0:1-4 4:5-8" },
        { GPTQ, 2, 0, 4, "0:1-2 2:3-4" },
        { HF_STRIDE, 8, 4, 3, "0:1-3" },
        { HF_STRIDE, 8, 4, 8, "0:1-8" },
        { HF_STRIDE, 8, 4, 12, "0:1-8 4:8-12" },
        { HF_STRIDE, 8, 4, 14, "0:1-8 4:8-12 8:12-14" },
        { HF_STRIDE, 8, 8, 17, "0:1-8 8:9-16" }, /* the last one's only token has nothing before it */
        { HF_STRIDE, 8, 8, 18, "0:1-8 8:9-16 16:17-18" },
        { HF_STRIDE, 8, 1, 10, "0:1-8 1:8-9 2:9-10" },
    };
    slm_model *model = make(64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        plain p = { .model = model, .kv_type = SLM_KV_F32 };
        int32_t tokens[MOST_TOKENS];
        slm_x_evaluator_options options = options_of(cases[i].convention);
        options.context_length = cases[i].context;
        options.stride = cases[i].stride;
        text_of(cases[i].n, tokens);
        unsigned begin, scored, end;
        int length = 0;
        for (const char *w = cases[i].windows;
             sscanf(w, " %u:%u-%u%n", &begin, &scored, &end, &length) == 3; w += length) {
            add_window(&p, tokens + begin, end - begin, scored - begin);
        }
        assert_int_equal(p.n_windows == 0, cases[i].windows[0] == '\0');
        assert_windows(model, &options, cases[i].n, &p);
    }
    slm_model_release(model);
}

/* Where every token counts, it does so once, for any length. */
static void counts_every_token_once(void **state)
{
    (void)state;
    slm_model *model = make(64);
    for (uint32_t stride = 0; stride <= 5; stride++) {
        slm_x_evaluator_options options = options_of(stride == 0 ? BITS : HF_STRIDE);
        options.context_length = 6;
        options.stride = stride;
        for (size_t n = 0; n < 40; n++) {
            plain p = { .model = model, .kv_type = SLM_KV_F32 };
            int32_t tokens[MOST_TOKENS];
            text_of(n, tokens);
            add_windows(&p, &options, 0, tokens, n);
            assert_int_equal(p.n, n > 1 ? n - 1 : 0);
            assert_windows(model, &options, n, &p);
        }
    }
    slm_model_release(model);
}

static void has_the_numbers_of_its_source(void **state)
{
    (void)state;
    const struct {
        uint32_t convention, model_context, context, stride, n_unscored; /* 0: a window is too long to try */
    } cases[] = {
        { BITS, 512, 512, 511, 1 },       { BITS, 100000, 4096, 4095, 0 },
        { LLAMACPP, 512, 512, 512, 257 }, { GPTQ, 2048, 2048, 2048, 1 },
        { HF_STRIDE, 1024, 1024, 512, 1 }, { HF_STRIDE, 8192, 8192, 512, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slm_model *model = make(cases[i].model_context);
        slm_x_evaluator_options options = options_of(cases[i].convention);
        options.context_length = options.stride = 0;
        const size_t n = cases[i].n_unscored > 0 ? cases[i].context : 2;
        const slm_x_evaluation r = evaluate_text(model, &options, text_of(n, NULL), n);
        const uint32_t guessed = cases[i].convention == BITS;
        assert_int_equal(r.context_length, cases[i].context);
        assert_int_equal(r.stride, cases[i].stride);
        assert_int_equal(r.n_windows, 1);
        assert_int_equal(r.n_scored, n - (cases[i].n_unscored > 0 ? cases[i].n_unscored : 1) + guessed);
        assert_int_equal(r.bits_per_byte > 0, guessed);
        slm_model_release(model);
    }
}

static void refuses_what_it_cannot_mean(void **state)
{
    (void)state;
    const struct {
        uint32_t convention, context, stride, model_context;
        const char *word;
    } cases[] = {
        { 4, 0, 0, 512, "convention 4" },          { UINT32_MAX, 0, 0, 512, "does not exist" },
        { LLAMACPP, 0, 0, 511, "windows of 512" }, { GPTQ, 0, 0, 512, "windows of 2048" },
        { BITS, 513, 0, 512, "at most 512" },      { HF_STRIDE, 2000, 0, 1999, "at most 1999" },
        { BITS, 1, 0, 512, "at least 2" },         { GPTQ, 1, 0, 512, "at least 2" },
        { LLAMACPP, 2, 0, 512, "at least 3" },     { HF_STRIDE, 1, 1, 512, "at least 2" },
        { BITS, 0, 4, 512, "no stride" },          { GPTQ, 64, 4, 512, "no stride" },
        { LLAMACPP, 0, 4, 512, "no stride" },      { HF_STRIDE, 0, 513, 512, "stride of 513" },
        { HF_STRIDE, 256, 0, 512, "stride of 512" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slm_model *model = make(cases[i].model_context);
        slm_x_evaluator_options options = options_of(cases[i].convention);
        slm_x_evaluator *evaluator = (slm_x_evaluator *)model;
        options.context_length = cases[i].context;
        options.stride = cases[i].stride;
        FAILS(slm_x_evaluator_create(model, &options, &evaluator, &error), SLM_ERR_INVALID_ARGUMENT,
              SLM_NO_OFFSET);
        assert_non_null(strstr(error.message, cases[i].word));
        assert_null(evaluator);
        slm_model_release(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_a_stream_as_the_convention_says),
        cmocka_unit_test(counts_every_token_once),
        cmocka_unit_test(has_the_numbers_of_its_source),
        cmocka_unit_test(refuses_what_it_cannot_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
