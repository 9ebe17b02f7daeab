/* SPDX-License-Identifier: MIT */
/* Styles of published templates whose texts are not stored here: golden texts, and memory. Rendered from
 * the inside, for only those texts would lead there from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chat_goldens.h"
#include "support/failing_alloc.h"

static void free_text(slmi_chat_text *text)
{
    slmi_buffer_free(&text->text);
    slmi_buffer_free(&text->content);
}

static void golden_texts_are_equal(void **state)
{
    (void)state;
    slm_error err = SLM_ERROR_INIT;
    slmi_alloc alloc;
    size_t n = 0;
    assert_int_equal(slmi_alloc_init(&alloc, NULL, 0, &err), SLM_OK);
    for (size_t i = 0; i < n_golden_texts; i++) {
        const golden_text *g = &golden_texts[i];
        const golden_template *t = &golden_templates[g->template];
        const golden_conversation *c = &golden_conversations[g->conversation];
        const slmi_canonical none = { 0 };
        const slmi_chat_style style = { t->format, t->flags };
        slmi_chat_text out = { { &alloc, NULL, 0, 0 }, { &alloc, NULL, 0, 0 } };
        if (t->source == NULL) {
            assert_int_equal(slmi_chat_render_as(style, &none, c->messages, c->n, g->chat_flags, &out, &err),
                             SLM_OK);
            assert_int_equal(out.text.size, strlen(g->text));
            assert_memory_equal(out.text.data, g->text, out.text.size);
            n++;
        }
        free_text(&out);
    }
    assert_true(n > 30);
}

static void failing_memory_is_a_status(void **state)
{
    (void)state;
    static const unsigned flags[] = { SLMI_STYLE_QWEN3, SLMI_STYLE_QWQ, SLMI_STYLE_DATE };
    static const int formats[] = { SLMI_CHAT_CHATML, SLMI_CHAT_CHATML, SLMI_CHAT_LLAMA3 };
    failing_alloc failing;
    slmi_alloc own;
    slm_error err = SLM_ERROR_INIT;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&own, &failing.host, 0, &err), SLM_OK);
    for (size_t t = 0; t < 3; t++) {
        slm_status status = SLM_ERR_OUT_OF_MEMORY;
        const slmi_chat_style style = { formats[t], flags[t] };
        const golden_conversation *c = &golden_conversations[0];
        for (uint64_t k = 1; status != SLM_OK; k++) {
            const slmi_canonical canonical = { .has_system = 1, .system_length = 1, .system = "s" };
            slmi_chat_text out = { { &own, NULL, 0, 0 }, { &own, NULL, 0, 0 } };
            failing_alloc_arm(&failing, k, 1);
            status = slmi_chat_render_as(style, &canonical, c->messages, c->n, 1, &out, &err);
            assert_true(status == SLM_OK || status == SLM_ERR_OUT_OF_MEMORY);
            free_text(&out);
            assert_true(failing_alloc_is_clean(&failing));
        }
    }
    failing_alloc_destroy(&failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts_are_equal),
        cmocka_unit_test(failing_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
