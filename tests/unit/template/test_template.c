/* SPDX-License-Identifier: MIT */
/* Chat templates: golden texts of Jinja, what is told apart, refusals, spans, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chat_goldens.h"
#include "support/failing_alloc.h"

#define LOOP                                                                                      \
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] " \
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
#define PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

static slmi_alloc alloc;

static slmi_chat_text new_text(void)
{
    return (slmi_chat_text){ { &alloc, NULL, 0, 0 }, { &alloc, NULL, 0, 0 } };
}

static void free_text(slmi_chat_text *text)
{
    slmi_buffer_free(&text->text);
    slmi_buffer_free(&text->content);
}

static void assert_text(const slmi_chat_text *got, const char *expected)
{
    assert_int_equal(got->text.size, strlen(expected));
    assert_memory_equal(got->text.data != NULL ? (const char *)got->text.data : "", expected,
                        strlen(expected));
}

/* Renders by source, asserting the status; the caller frees. */
static slmi_chat_text render(const char *source, const slm_chat_message *messages, size_t n,
                             uint32_t flags, slm_status expected)
{
    slm_error err = SLM_ERROR_INIT;
    slmi_chat_text out = new_text();
    const slm_status status = slmi_chat_render(slmi_chat_detect(source, strlen(source)), source,
                                               strlen(source), messages, n, flags, &out, &err);
    assert_int_equal(status, expected);
    assert_int_equal(err.code, expected);
    return out;
}

static void golden_texts_are_equal(void **state)
{
    (void)state;
    slm_error err = SLM_ERROR_INIT;
    assert_true(n_golden_texts > 100);
    for (size_t i = 0; i < n_golden_texts; i++) {
        const golden_text *g = &golden_texts[i];
        const golden_template *t = &golden_templates[g->template];
        const golden_conversation *c = &golden_conversations[g->conversation];
        slmi_chat_text out = new_text();
        if (t->source == NULL) {
            slmi_canonical none = { 0 };
            const slmi_chat_style style = { t->format, t->flags };
            assert_int_equal(slmi_chat_render_as(style, &none, c->messages, c->n, g->chat_flags, &out,
                                                 &err),
                             SLM_OK);
        } else {
            const int format = slmi_chat_detect(t->source, strlen(t->source));
            assert_int_equal(slmi_chat_render(format, t->source, strlen(t->source), c->messages, c->n,
                                              g->chat_flags, &out, &err),
                             SLM_OK);
        }
        assert_text(&out, g->text);
        free_text(&out);
    }
}

static void formats_are_told_apart(void **state)
{
    (void)state;
    static const char bos[] = "{{ bos_token }}" LOOP PROMPT;
    assert_int_equal(slmi_chat_detect(NULL, 0), SLMI_CHAT_BARE);
    assert_int_equal(slmi_chat_detect("", 0), SLMI_CHAT_BARE);
    assert_int_equal(slmi_chat_detect(LOOP PROMPT, strlen(LOOP PROMPT)), SLMI_CHAT_CHATML);
    assert_false(slmi_chat_begins_with_bos(LOOP PROMPT, strlen(LOOP PROMPT)));
    assert_true(slmi_chat_begins_with_bos(bos, strlen(bos)));
    assert_string_equal(slmi_chat_name(SLMI_CHAT_BARE), "bare");
    assert_string_equal(slmi_chat_name(SLMI_CHAT_CHATML), "chatml");
    assert_string_equal(slmi_chat_name(SLMI_CHAT_LLAMA3), "llama3");
    assert_string_equal(slmi_chat_name(SLMI_CHAT_LLAMA2), "llama2");
    assert_null(slmi_chat_name(SLMI_CHAT_UNKNOWN));
}

static void spellings_are_one(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "{#- comment -#}\n" LOOP "\n{%- if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}\n",
        "{%for message in messages%}<|im_start|>{{message.role}}\n{{ message[\"content\"] }}<|im_end|>\n"
        "   {% endfor %}" PROMPT,
        "{% if tools %}{{ tools | tojson }}{% else %}" LOOP "{% endif %}" PROMPT,
        "{% if tools %}{{ {'a': 1} }}{% elif tools %}x{% endif %}" LOOP PROMPT,
        "{% for message in messages %}{% if message.role == 'tool' %}tool{% else %}{{ '<|im_start|>' ~ "
        "message.role ~ \"\\n\" ~ message.content }}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}" PROMPT,
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        assert_int_equal(slmi_chat_detect(sources[i], strlen(sources[i])), SLMI_CHAT_CHATML);
    }
}

/* Relatives that mean something else, and damaged templates. */
static void others_are_unknown(void **state)
{
    (void)state;
    static const char *const sources[] = {
        " ",
        "text",
        LOOP,
        PROMPT LOOP,
        LOOP PROMPT " ",
        LOOP PROMPT "{{ bos_token }}",
        LOOP PROMPT "{% raw %}{% endraw %}",
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + "
        "'<|im_end|>\\n' }}{% endfor %}" PROMPT,
        "{% for message in messages[1:] %}{{ '<|im_start|>' + message.role + '\\n' + message.content + "
        "'<|im_end|>\\n' }}{% endfor %}" PROMPT,
        "{% if not tools %}" LOOP "{% endif %}" PROMPT,
        "{% if tools %}" LOOP "{% endif %}" PROMPT,
        "{% for x in tools %}{% else %}{% endfor %}" LOOP PROMPT,
        "{% for message in messages %}",
        "{% endif %}" LOOP PROMPT,
        "{% if a %}{% endfor %}",
        "{% if a",
        "{{ 'a",
        "{{ 'a\\",
        "{{ '\\x41' }}",
        "{{ ? }}",
        "{# open",
        "{",
        "{%",
        "{{",
        "{%%}",
        "{{}}",
        "a`b",
        "<|im_start|>system\na<|im_end|>\n{{ x }}<|im_start|>system\nb<|im_end|>\n",
        "line\r\n",
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        assert_int_equal(slmi_chat_detect(sources[i], strlen(sources[i])), SLMI_CHAT_UNKNOWN);
    }
    static const char nul[] = "a\0b";
    assert_int_equal(slmi_chat_detect(nul, 3), SLMI_CHAT_UNKNOWN);
}

/* Every prefix, and every byte replaced: nothing is read past the end, nothing equal by accident. */
static void damaged_templates_are_unknown(void **state)
{
    (void)state;
    static const char source[] = LOOP PROMPT;
    char damaged[sizeof(source)];
    for (size_t n = 1; n < sizeof(source) - 1; n++) {
        assert_int_equal(slmi_chat_detect(source, n), SLMI_CHAT_UNKNOWN);
    }
    for (size_t i = 0; i + 1 < sizeof(source); i++) {
        static const char bytes[] = "{}%#'\\-\n[(x";
        for (const char *b = bytes; *b != '\0'; b++) {
            memcpy(damaged, source, sizeof(source));
            damaged[i] = *b;
            slmi_chat_detect(damaged, sizeof(source) - 1);
        }
    }
}

static void long_templates_are_unknown(void **state)
{
    (void)state;
    static char source[40000];
    for (size_t i = 0; i + 10 < sizeof(source); i += 10) {
        memcpy(source + i, "{{ abcd }}", 10);
    }
    assert_int_equal(slmi_chat_detect(source, 39990), SLMI_CHAT_UNKNOWN);
    for (size_t i = 0; i + 10 < sizeof(source); i += 10) {
        memcpy(source + i, "{% if a %}", 10);
    }
    assert_int_equal(slmi_chat_detect(source, 39990), SLMI_CHAT_UNKNOWN);
    memset(source, 'x', sizeof(source));
    assert_int_equal(slmi_chat_detect(source, sizeof(source)), SLMI_CHAT_UNKNOWN);
    memcpy(source, "{{ '", 4);
    memcpy(source + sizeof(source) - 4, "' }}", 4);
    assert_int_equal(slmi_chat_detect(source, sizeof(source)), SLMI_CHAT_UNKNOWN);
}

static void bare_joins_by_line_breaks(void **state)
{
    (void)state;
    const slm_chat_message messages[] = {
        { "system", "a", 1 }, { "user", NULL, 0 }, { "assistant", "b", 1 }
    };
    slmi_chat_text out = render("", messages, 3, 0, SLM_OK);
    assert_text(&out, "a\n\nb");
    free_text(&out);
    out = render("", messages, 3, SLM_CHAT_ADD_GENERATION_PROMPT | SLM_CHAT_CONTINUE, SLM_OK);
    assert_text(&out, "\na\n\nb\n");
    free_text(&out);
}

/* What continues a conversation gives the same text as the whole, cut behind the end token of a message:
 * ChatML's line break after it belongs to the continuation. */
static void continuations_fit(void **state)
{
    (void)state;
    const slm_chat_message messages[] = {
        { "user", "one", 3 }, { "assistant", "two ", 4 }, { "user", " three", 6 }, { "assistant", "", 0 }
    };
    for (size_t t = 0; t < 4; t++) {
        const char *source = golden_templates[t].source;
        assert_non_null(source);
        for (size_t cut = 1; cut < 4; cut++) {
            slmi_chat_text whole = render(source, messages, 4, 0, SLM_OK);
            slmi_chat_text head = render(source, messages, cut, 0, SLM_OK);
            slmi_chat_text tail = render(source, messages + cut, 4 - cut, SLM_CHAT_CONTINUE, SLM_OK);
            head.text.size -= slmi_chat_detect(source, strlen(source)) == SLMI_CHAT_CHATML;
            assert_int_equal(whole.text.size, head.text.size + tail.text.size);
            assert_memory_equal(whole.text.data, head.text.data, head.text.size);
            assert_memory_equal(whole.text.data + head.text.size, tail.text.data, tail.text.size);
            free_text(&whole);
            free_text(&head);
            free_text(&tail);
        }
    }
}

static void spans_hold_the_messages(void **state)
{
    (void)state;
    const slm_chat_message messages[] = {
        { "system", "<|im_end|>", 10 }, { "user", "", 0 }, { "assistant", "yes", 3 }
    };
    slmi_chat_text out = render(LOOP PROMPT, messages, 3, SLM_CHAT_ADD_GENERATION_PROMPT, SLM_OK);
    size_t spans[4];
    assert_int_equal(out.content.size, sizeof(spans));
    memcpy(spans, out.content.data, sizeof(spans));
    assert_int_equal(spans[1] - spans[0], 10);
    assert_memory_equal(out.text.data + spans[0], "<|im_end|>", 10);
    assert_true(spans[1] <= spans[2]);
    assert_int_equal(spans[3] - spans[2], 3);
    assert_memory_equal(out.text.data + spans[2], "yes", 3);
    free_text(&out);
}

static void conversations_are_refused(void **state)
{
    (void)state;
    const slm_chat_message tool[] = { { "user", "a", 1 }, { "tool", "b", 1 } };
    const slm_chat_message twice[] = { { "user", "a", 1 }, { "user", "b", 1 } };
    const slm_chat_message late[] = { { "user", "a", 1 }, { "system", "b", 1 } };
    const slm_chat_message answer[] = { { "assistant", "a", 1 } };
    const char *llama2 = golden_templates[3].source;
    assert_string_equal(golden_templates[3].name, "Llama-2-chat");
    slmi_chat_text out = render(LOOP PROMPT, tool, 2, 0, SLM_ERR_UNSUPPORTED);
    free_text(&out);
    out = render("", tool, 2, 0, SLM_ERR_UNSUPPORTED);
    free_text(&out);
    out = render("unknown", answer, 1, 0, SLM_ERR_UNSUPPORTED);
    free_text(&out);
    out = render(llama2, twice, 2, 0, SLM_ERR_INVALID_ARGUMENT);
    free_text(&out);
    out = render(llama2, answer, 1, 0, SLM_ERR_INVALID_ARGUMENT);
    free_text(&out);
    out = render(llama2, late, 2, 0, SLM_ERR_UNSUPPORTED);
    free_text(&out);
}

static void failing_memory_is_a_status(void **state)
{
    (void)state;
    failing_alloc failing;
    slmi_alloc own;
    slm_error err = SLM_ERROR_INIT;
    failing_alloc_init(&failing);
    assert_int_equal(slmi_alloc_init(&own, &failing.host, 0, &err), SLM_OK);
    for (size_t t = 0; t < 7; t++) {
        slm_status status = SLM_ERR_OUT_OF_MEMORY;
        const slmi_chat_style style = { SLMI_CHAT_CHATML + (int)t % 3, SLMI_STYLE_DATE | SLMI_STYLE_QWEN3 };
        const golden_conversation *c = &golden_conversations[0];
        for (uint64_t k = 1; status != SLM_OK; k++) {
            slmi_canonical canonical = { .has_system = 1, .system_length = 1, .system = "s" };
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
        cmocka_unit_test(formats_are_told_apart),
        cmocka_unit_test(spellings_are_one),
        cmocka_unit_test(others_are_unknown),
        cmocka_unit_test(damaged_templates_are_unknown),
        cmocka_unit_test(long_templates_are_unknown),
        cmocka_unit_test(bare_joins_by_line_breaks),
        cmocka_unit_test(continuations_fit),
        cmocka_unit_test(spans_hold_the_messages),
        cmocka_unit_test(conversations_are_refused),
        cmocka_unit_test(failing_memory_is_a_status),
    };
    if (slmi_alloc_init(&alloc, NULL, 0, NULL) != SLM_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
