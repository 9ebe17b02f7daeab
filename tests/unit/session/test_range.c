/* SPDX-License-Identifier: MIT */
/* Models whose numbers leave the range of the library's own sines and exponentials. */
#include "session_fixture.h"

#include <math.h>

#include "slm/experimental/evaluate.h"

/* Elements 2, 3, ... of a head turn by 2^(8 * their pair) times the first one's angle. */
static void add_fast_rope(gguf_builder *b)
{
    gguf_add_f32(b, "llama.rope.freq_base", 0x1p-64f);
}

static void add_slow_rope(gguf_builder *b)
{
    gguf_add_f32(b, "llama.rope.freq_base", 1.0f);
}

/* Angles of more than 2^20 are not computed: a step that needs one fails, and says so. */
static void angles_beyond_the_range(void **state)
{
    (void)state;
    static result r;
    tiny_model description = { .extend = add_fast_rope };
    slm_model *model = make_model(&description);
    slm_session *session = make_session(model, 1);
    slm_sequence q = add_sequence(session, "a");
    generate(session, q, 1, 0);
    run(session, q, 0, &r); /* position 0 does not turn at all */
    assert_int_equal(r.last_step, SLM_OK);
    assert_int_equal(r.n_tokens, 1);
    generate(session, q, 2, 0);
    run(session, q, 0, &r);
    assert_int_equal(r.last_step, SLM_ERR_NOT_FINITE);
    assert_int_equal(r.n_tokens, 0);
    slm_session_release(session);
    slm_model_release(model);

    description.extend = add_slow_rope; /* all turn alike */
    model = make_model(&description);
    session = make_session(model, 1);
    q = add_sequence(session, "the quick brown fox");
    generate(session, q, 5, SLM_GENERATE_IGNORE_END);
    run(session, q, 0, &r);
    assert_int_equal(r.last_step, SLM_OK);
    assert_int_equal(r.n_tokens, 5);
    slm_session_release(session);
    slm_model_release(model);
}

static void add_loud_norm(gguf_builder *b)
{
    const uint64_t length = 64;
    float weights[64];
    for (int i = 0; i < 64; i++) {
        weights[i] = 1e5f;
    }
    gguf_add_tensor(b, "output_norm.weight", TINY_F32, 1, &length, weights, sizeof(weights));
}

/* A model that is sure of the wrong tokens: what a text costs is a number, its perplexity is infinite. */
static void perplexity_beyond_the_range(void **state)
{
    (void)state;
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    const tiny_model description = { .left_out = "output_norm.weight", .extend = add_loud_norm };
    slm_model *model = make_model(&description);
    slm_x_evaluator_options options = SLM_X_EVALUATOR_OPTIONS_INIT;
    slm_x_evaluation figures = SLM_X_EVALUATION_INIT;
    slm_x_evaluator *evaluator;
    options.n_threads = 1;
    OK(slm_x_evaluator_create(model, &options, &evaluator, NULL));
    OK(slm_x_evaluator_add_text(evaluator, text, strlen(text), NULL));
    OK(slm_x_evaluator_get_result(evaluator, &figures, NULL));
    assert_true(figures.negative_log_likelihood > 710 * (double)figures.n_scored);
    assert_true(figures.negative_log_likelihood < INFINITY);
    assert_true(figures.perplexity == INFINITY);
    slm_x_evaluator_release(evaluator);
    slm_model_release(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(angles_beyond_the_range),
        cmocka_unit_test(perplexity_beyond_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
