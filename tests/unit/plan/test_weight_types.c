/* SPDX-License-Identifier: MIT */
/* Weights of every type: what a row gives as the embedding of a token is what the same row gives in the head,
 * in the best kernels and in plain C. The layers between them add nothing. */
#include <math.h>

#include "unit/session/session_fixture.h"

#define WIDTH 256
#define N_ROWS 33 /* of two panels and one more */

/* ggml's number, bytes of 256 elements, and where half-precision scales stand in a block: -1 = nowhere. */
typedef struct weight_type {
    uint32_t number, bytes, block_bytes;
    int scale, minimum;
} weight_type;

static const weight_type weight_types[] = {
    { 0, 1024, 1024, -1, -1 }, { 1, 512, 512, -1, -1 }, { 30, 512, 512, -1, -1 }, { 2, 144, 18, 0, -1 },
    { 3, 160, 20, 0, 2 },      { 6, 176, 22, 0, -1 },   { 7, 192, 24, 0, 2 },     { 8, 272, 34, 0, -1 },
    { 10, 84, 84, 80, 82 },    { 11, 110, 110, 108, -1 }, { 12, 144, 144, 0, 2 }, { 13, 176, 176, 0, 2 },
    { 14, 210, 210, 208, -1 }, { 20, 144, 18, 0, -1 },
};

static const weight_type *type;
static uint8_t rows[TINY_VOCAB * 1024];

/* Any bits are a row, as long as its scales are numbers. */
static void make_rows(void)
{
    uint32_t random = 7;
    for (size_t i = 0; i < (size_t)TINY_VOCAB * type->bytes; i++) {
        random = random * 1664525u + 1013904223u;
        rows[i] = (uint8_t)(random >> 24);
    }
    const size_t step = type->scale >= 0 ? type->block_bytes : type->number == 0 ? 4 : 2;
    for (size_t i = 0; i < (size_t)TINY_VOCAB * type->bytes; i += step) {
        if (type->scale >= 0) {
            rows[i + (size_t)type->scale + 1] = 0x24 | (i / step & 1); /* 2^-6 and more */
            if (type->minimum >= 0) {
                rows[i + (size_t)type->minimum + 1] = 0x1C;
            }
        } else { /* numbers near one, of either sign */
            uint8_t *high = &rows[i + step - 1];
            *high = (uint8_t)((*high & 0x80) | (type->number == 1 ? 0x3C : 0x3F));
        }
    }
}

/* Row i of so many is 1 at element i. */
static void add_units(gguf_builder *b, const char *name)
{
    static float units[TINY_VOCAB][WIDTH];
    const uint64_t dims[2] = { WIDTH, TINY_VOCAB };
    for (int i = 0; i < WIDTH; i++) {
        units[i][i] = 1.0f;
    }
    gguf_add_tensor(b, name, TINY_F32, 2, dims, units, sizeof(units));
}

static void add_rows(gguf_builder *b, const char *name)
{
    const uint64_t dims[2] = { WIDTH, TINY_VOCAB };
    gguf_add_tensor(b, name, type->number, 2, dims, rows, (size_t)TINY_VOCAB * type->bytes);
}

static void as_embedding(gguf_builder *b)
{
    add_rows(b, "token_embd.weight");
    add_units(b, "output.weight");
}

static void as_head(gguf_builder *b)
{
    add_units(b, "token_embd.weight");
    add_rows(b, "output.weight");
}

/* The logits of tokens 0 to n - 1. */
static void compute(void (*extend)(gguf_builder *builder), uint32_t cpu_level, int32_t n,
                    float (*logits)[TINY_VOCAB])
{
    const tiny_model description = { .n_layers = 1, .width = WIDTH, .ffn_width = 32, .is_flat = 1,
                                     .left_out = "token_embd.weight", .extend = extend };
    slm_model *model = make_model(&description);
    slm_session *session;
    slm_sequence q;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_status status = SLM_MORE;
    options.n_threads = 1;
    options.cpu_level = cpu_level;
    OK(slm_session_create(model, &options, &session, NULL));
    OK(slm_session_add_sequence(session, &q, NULL));
    for (int32_t token = 0; token < n; token++) {
        OK(slm_session_append(session, q, &token, 1, SLM_APPEND_LOGITS, NULL));
    }
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(session, 0, NULL);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            assert_non_null(event.logits);
            memcpy(logits[event.token], event.logits, sizeof(*logits));
        }
    }
    OK(status);
    slm_session_release(session);
    slm_model_release(model);
}

/* Token t through the embedding gives g[i] * w[t][i] / rms(w[t]) at i; token i through the head gives
 * 16 * g[i] * w[t][i] at t, where g is the last norm's: for each t their ratio is one number. */
static void rows_mean_the_same_on_both_sides(void **state)
{
    (void)state;
    static float embedded[TINY_VOCAB][TINY_VOCAB], multiplied[TINY_VOCAB][TINY_VOCAB];
    static float again[TINY_VOCAB][TINY_VOCAB];
    for (size_t i = 0; i < sizeof(weight_types) / sizeof(weight_types[0]); i++) {
        type = &weight_types[i];
        make_rows();
        compute(as_embedding, SLM_CPU_BEST, N_ROWS, embedded);
        compute(as_embedding, SLM_CPU_SCALAR, N_ROWS, again);
        assert_memory_equal(again, embedded, N_ROWS * sizeof(*again));
        compute(as_head, SLM_CPU_BEST, WIDTH, multiplied);
        compute(as_head, SLM_CPU_SCALAR, N_ROWS, again);
        assert_memory_equal(again, multiplied, N_ROWS * sizeof(*again));
        for (int t = 0; t < N_ROWS; t++) {
            double products = 0, squares = 0, largest = 0;
            for (int k = 0; k < WIDTH; k++) {
                products += (double)embedded[t][k] * (double)multiplied[k][t];
                squares += (double)multiplied[k][t] * (double)multiplied[k][t];
                largest = fmax(largest, fabs((double)embedded[t][k]));
            }
            const double ratio = products / squares;
            assert_true(ratio > 0 && largest > 0.5);
            for (int k = 0; k < WIDTH; k++) {
                assert_true(fabs((double)embedded[t][k] - ratio * (double)multiplied[k][t]) <
                            1e-3 * largest);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_mean_the_same_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
