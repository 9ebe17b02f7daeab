/* SPDX-License-Identifier: MIT */
/* Conventions: their windows, token by token, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "evaluate/windows.h"
#include "slm/experimental/evaluate.h"

enum { BITS = SLM_X_CONVENTION_BITS_PER_BYTE, LLAMACPP = SLM_X_CONVENTION_LLAMACPP_512,
       GPTQ = SLM_X_CONVENTION_GPTQ_2048, STRIDE = SLM_X_CONVENTION_HF_STRIDE };

/* "begin:scored-end" of each window. */
static void list_windows(uint32_t id, uint32_t context, uint32_t stride, size_t n, char *text, size_t size)
{
    slmi_convention convention;
    slmi_window window = { 0, 0, 0 };
    size_t used = 0;
    text[0] = '\0';
    assert_int_equal(slmi_convention_init(&convention, id, context, stride, 100000, NULL), SLM_OK);
    while (slmi_window_next(&convention, n, &window)) {
        assert_true(window.begin < window.scored && window.scored < window.end && window.end <= n);
        assert_true(window.end - window.begin <= context);
        used += (size_t)snprintf(text + used, size - used, "%s%zu:%zu-%zu", used > 0 ? " " : "",
                                 window.begin, window.scored, window.end);
    }
}

static void cuts_a_stream_as_the_convention_says(void **state)
{
    (void)state;
    const struct {
        uint32_t id, context, stride;
        size_t n;
        const char *windows;
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
        { STRIDE, 8, 4, 3, "0:1-3" },
        { STRIDE, 8, 4, 8, "0:1-8" },
        { STRIDE, 8, 4, 12, "0:1-8 4:8-12" },
        { STRIDE, 8, 4, 14, "0:1-8 4:8-12 8:12-14" },
        { STRIDE, 8, 8, 17, "0:1-8 8:9-16" }, /* the last one's only token has nothing before it */
        { STRIDE, 8, 8, 18, "0:1-8 8:9-16 16:17-18" },
        { STRIDE, 8, 1, 10, "0:1-8 1:8-9 2:9-10" },
    };
    char text[128];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        list_windows(cases[i].id, cases[i].context, cases[i].stride, cases[i].n, text, sizeof(text));
        assert_string_equal(text, cases[i].windows);
    }
}

/* Where every token counts, it does so once, for any length. */
static void counts_every_token_once(void **state)
{
    (void)state;
    for (uint32_t stride = 0; stride <= 5; stride++) {
        for (size_t n = 0; n < 40; n++) {
            slmi_convention convention;
            slmi_window window = { 0, 0, 0 };
            size_t next = 1;
            assert_int_equal(slmi_convention_init(&convention, stride == 0 ? BITS : STRIDE, 6, stride,
                                                  100, NULL), SLM_OK);
            while (slmi_window_next(&convention, n, &window)) {
                assert_int_equal(window.scored, next);
                next = window.end;
            }
            assert_int_equal(next, n > 1 ? n : 1);
        }
    }
}

static void has_the_numbers_of_its_source(void **state)
{
    (void)state;
    const struct {
        uint32_t id, model_context, context, stride, n_unscored;
    } cases[] = {
        { BITS, 512, 512, 511, 1 },      { BITS, 100000, 4096, 4095, 1 },
        { LLAMACPP, 512, 512, 512, 257 }, { GPTQ, 2048, 2048, 2048, 1 },
        { STRIDE, 1024, 1024, 512, 1 },  { STRIDE, 8192, 8192, 512, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slmi_convention c;
        assert_int_equal(slmi_convention_init(&c, cases[i].id, 0, 0, cases[i].model_context, NULL), SLM_OK);
        assert_int_equal(c.context_length, cases[i].context);
        assert_int_equal(c.stride, cases[i].stride);
        assert_int_equal(c.n_unscored, cases[i].n_unscored);
        assert_int_equal(c.bos_first, cases[i].id == BITS || cases[i].id == LLAMACPP);
        assert_int_equal(c.counts_all, cases[i].id == BITS);
    }
}

static void refuses_what_it_cannot_mean(void **state)
{
    (void)state;
    const struct {
        uint32_t id, context, stride, model_context;
        const char *word;
    } cases[] = {
        { 4, 0, 0, 512, "convention 4" },          { UINT32_MAX, 0, 0, 512, "does not exist" },
        { LLAMACPP, 0, 0, 511, "windows of 512" }, { GPTQ, 0, 0, 512, "windows of 2048" },
        { BITS, 513, 0, 512, "at most 512" },      { STRIDE, 2000, 0, 1999, "at most 1999" },
        { BITS, 1, 0, 512, "at least 2" },         { GPTQ, 1, 0, 512, "at least 2" },
        { LLAMACPP, 2, 0, 512, "at least 3" },     { STRIDE, 1, 1, 512, "at least 2" },
        { BITS, 0, 4, 512, "no stride" },          { GPTQ, 64, 4, 512, "no stride" },
        { LLAMACPP, 0, 4, 512, "no stride" },      { STRIDE, 0, 513, 512, "stride of 513" },
        { STRIDE, 256, 0, 512, "stride of 512" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        slmi_convention convention;
        slm_error error = SLM_ERROR_INIT;
        assert_int_equal(slmi_convention_init(&convention, cases[i].id, cases[i].context, cases[i].stride,
                                              cases[i].model_context, &error), SLM_ERR_INVALID_ARGUMENT);
        assert_int_equal(error.code, SLM_ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].word));
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
