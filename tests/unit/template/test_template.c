/* SPDX-License-Identifier: MIT */
/* Chat templates: golden texts of Jinja, what is told apart, refusals, control tokens, memory. */
#include "chat_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat_goldens.h"
#include "support/failing_alloc.h"

#define MOST_TEXT 4096

static slm_error error;

/* Asserts all golden texts of a template. */
static void assert_goldens(const slm_model *model, size_t template)
{
    size_t n = 0;
    for (size_t i = 0; i < n_golden_texts; i++) {
        const golden_text *g = &golden_texts[i];
        const golden_conversation *c = &golden_conversations[g->conversation];
        if (g->template == template) {
            assert_chat(model, c->messages, c->n, g->chat_flags, g->text);
            n++;
        }
    }
    assert_true(n > 10);
}

static void golden_texts_are_equal(void **state)
{
    (void)state;
    assert_true(n_golden_texts > 100);
    for (size_t t = 0; t < n_golden_templates; t++) {
        if (golden_templates[t].source != NULL) {
            slm_model *model = chat_load(golden_templates[t].source);
            assert_goldens(model, t);
            slm_model_release(model);
        }
    }
}

/* A published template, to be given back with free(); NULL if it is not there. */
static char *read_published(const char *name)
{
    char path[4096];
    const char *data = getenv("SLM_TEST_DATA");
    snprintf(path, sizeof(path), "%s/templates/%s.jinja",
             data != NULL ? data : SOURCE_ROOT "/../shared/data", name);
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? calloc(1, 65536) : NULL;
    if (text != NULL) {
        assert_in_range(fread(text, 1, 65535, file), 1, 65534);
    }
    if (file != NULL) {
        fclose(file);
    }
    return text;
}

/* The templates whose text is not stored here, and one that has the golden texts of another. */
static const struct {
    const char *name, *golden, *format;
} published[] = {
    { "Qwen-Qwen3-0.6B", "Qwen-Qwen3-0.6B", "chatml" },
    { "Qwen-QwQ-32B", "Qwen-QwQ-32B", "chatml" },
    { "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "llama3" },
    { "meta-llama-Llama-3.2-3B-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "llama3" },
    { "meta-llama-Llama-3.3-70B-Instruct", "meta-llama-Llama-3.1-8B-Instruct", "llama3" },
};

static void published_templates_have_their_golden_texts(void **state)
{
    (void)state;
    size_t n_found = 0;
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        char *source = read_published(published[i].name);
        size_t t = 0;
        if (source == NULL) {
            print_message("%s is left out: it is not in the folder of test data\n", published[i].name);
            continue;
        }
        while (strcmp(golden_templates[t].name, published[i].golden) != 0) {
            t++;
            assert_true(t < n_golden_templates);
        }
        assert_string_equal(chat_format(source), published[i].format);
        slm_model *model = chat_load(source);
        assert_goldens(model, t);
        slm_model_release(model);
        free(source);
        n_found++;
    }
    if (n_found == 0) {
        skip();
    }
}

static void formats_are_told_apart(void **state)
{
    (void)state;
    assert_string_equal(chat_format(NULL), "bare");
    assert_string_equal(chat_format(""), "bare");
    assert_string_equal(chat_format(CHATML), "chatml");
    assert_string_equal(chat_format("{{ bos_token }}" CHATML), "chatml");
    assert_string_equal(golden_templates[2].name, "Llama-3-Instruct");
    assert_string_equal(chat_format(golden_templates[2].source), "llama3");
    assert_string_equal(golden_templates[3].name, "Llama-2-chat");
    assert_string_equal(chat_format(golden_templates[3].source), "llama2");
}

static void spellings_are_one(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "{#- comment -#}\n" CHATML_LOOP
        "\n{%- if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}\n",
        "{%for message in messages%}<|im_start|>{{message.role}}\n{{ message[\"content\"] }}<|im_end|>\n"
        "   {% endfor %}" CHATML_PROMPT,
        "{% if tools %}{{ tools | tojson }}{% else %}" CHATML_LOOP "{% endif %}" CHATML_PROMPT,
        "{% if tools %}{{ {'a': 1} }}{% elif tools %}x{% endif %}" CHATML_LOOP CHATML_PROMPT,
        "{% for message in messages %}{% if message.role == 'tool' %}tool{% else %}{{ '<|im_start|>' ~ "
        "message.role ~ \"\\n\" ~ message.content }}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
        CHATML_PROMPT,
        " \n\t{%- if tools %}{% endif %}" CHATML,
        CHATML_LOOP "{% if tools %}x{% elif add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        CHATML_LOOP "{%+ if add_generation_prompt %}<|im_start|>assistant\n{%+ endif %}",
        CHATML_LOOP "{% if add_generation_prompt %}<|im_start|>{#- a # b } #}assistant\n{% endif %}",
        "{% if tools +%}\n{% set a = '\\x41' %}{{ '\\x41' }}{% endif %}" CHATML,
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        assert_string_equal(chat_format(sources[i]), "chatml");
    }
}

/* Relatives that mean something else, and damaged templates. */
static void others_are_unknown(void **state)
{
    (void)state;
    static const char *const sources[] = {
        " ",
        "text",
        CHATML_LOOP,
        CHATML_PROMPT CHATML_LOOP,
        CHATML_LOOP CHATML_PROMPT " ",
        CHATML_LOOP CHATML_PROMPT "{{ bos_token }}",
        CHATML_LOOP CHATML_PROMPT "{% raw %}{% endraw %}",
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + "
        "'<|im_end|>\\n' }}{% endfor %}" CHATML_PROMPT,
        "{% for message in messages[1:] %}{{ '<|im_start|>' + message.role + '\\n' + message.content + "
        "'<|im_end|>\\n' }}{% endfor %}" CHATML_PROMPT,
        "{% if not tools %}" CHATML_LOOP "{% endif %}" CHATML_PROMPT,
        "{% if tools %}" CHATML_LOOP "{% endif %}" CHATML_PROMPT,
        "{% for x in tools %}{% else %}{% endfor %}" CHATML_LOOP CHATML_PROMPT,
        "{% for message in messages %}",
        "{% endif %}" CHATML_LOOP CHATML_PROMPT,
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
        "{{ a['\\x41'] }}",
        "{{ a + (b['it\\'s']) if c }}",
        "{{ 'a' if b }}",
        "{{ a[''] }}",
        "{{ a['0a'] }}",
        "{{ a['b' c] }}",
        "{{ ]raise_exception(x }}",
        "{{ ]a['b' }}",
        "{% if ? %}{% endif %}" CHATML,
        "{% set a = '\\x41' %}" CHATML,
        "{% ? %}" CHATML,
        "{%+ if add_generation_prompt +%}\n{% endif %}" CHATML,
        "{%",
        "<|im_start|>system\na<|im_end|>\n{{ x }}<|im_start|>system\nb<|im_end|>\n",
        "line\r\n",
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        assert_null(chat_format(sources[i]));
    }
}

/* A default system text may have 1023 bytes. */
static void long_default_system_texts_are_unknown(void **state)
{
    (void)state;
    static const char before[] = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n";
    static const char after[] = "<|im_end|>\n{% endif %}" CHATML;
    const slm_chat_message message = { "user", "a", 1 };
    char source[2048], expected[2048];
    for (int n = 1022; n <= 1025; n++) {
        snprintf(source, sizeof(source), "%s%0*d%s", before, n, 7, after);
        if (n > 1023) {
            assert_null(chat_format(source));
            continue;
        }
        slm_model *model = chat_load(source);
        snprintf(expected, sizeof(expected), "<|im_start|>system\n%0*d<|im_end|>\n%s", n, 7,
                 "<|im_start|>user\na<|im_end|>\n");
        assert_chat(model, &message, 1, 0, expected);
        slm_model_release(model);
    }
}

/* Every prefix, and every byte replaced: nothing is read past the end, nothing equal by accident. */
static void damaged_templates_are_unknown(void **state)
{
    (void)state;
    static const char source[] = CHATML;
    char damaged[sizeof(source)];
    for (size_t n = 1; n < sizeof(source) - 1; n++) {
        memcpy(damaged, source, n);
        damaged[n] = '\0';
        assert_null(chat_format(damaged));
    }
    for (size_t i = 0; i + 1 < sizeof(source); i++) {
        static const char bytes[] = "{}%#'\\-\n[(x";
        for (const char *b = bytes; *b != '\0'; b++) {
            memcpy(damaged, source, sizeof(source));
            damaged[i] = *b;
            const char *name = chat_format(damaged);
            assert_true(name == NULL || strcmp(name, "chatml") == 0);
        }
    }
}

/* Asserts that a template which repeats a part of 10 bytes beyond every limit is unknown. */
static void assert_long_unknown(const char *part)
{
    static char source[40001];
    for (size_t i = 0; i < sizeof(source) - 1; i += 10) {
        memcpy(source + i, part, 10);
    }
    assert_null(chat_format(source));
}

static void long_templates_are_unknown(void **state)
{
    (void)state;
    static char source[40001];
    assert_long_unknown("{{ abcd }}");
    assert_long_unknown("{% if a %}");
    assert_long_unknown("xxxxxxxxxx");
    memset(source, 'x', sizeof(source) - 1);
    memcpy(source, "{{ '", 4);
    memcpy(source + sizeof(source) - 5, "' }}", 4);
    assert_null(chat_format(source));
}

static void bare_joins_by_line_breaks(void **state)
{
    (void)state;
    const slm_chat_message messages[] = {
        { "system", "a", 1 }, { "user", NULL, 0 }, { "assistant", "b", 1 }
    };
    slm_model *model = chat_load(NULL);
    assert_chat(model, messages, 3, 0, "a\n\nb");
    assert_chat(model, messages, 3, SLM_CHAT_ADD_GENERATION_PROMPT | SLM_CHAT_CONTINUE, "\na\n\nb\n");
    slm_model_release(model);
}

static size_t put_character(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
}

/* Of the characters up to U+30FF those go at both ends that Python's str.isspace() names. */
static void trimming_is_pythons(void **state)
{
    (void)state;
    static const uint32_t spaces[] = { 0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x1C,   0x1D,   0x1E,
                                       0x1F,   0x20,   0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002,
                                       0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A,
                                       0x2028, 0x2029, 0x202F, 0x205F, 0x3000 };
    const size_t n_spaces = sizeof(spaces) / sizeof(spaces[0]);
    size_t n_trimmed = 0;
    slm_model *model = chat_load(golden_templates[2].source);
    for (uint32_t c = 1; c < 0x3100; c++) {
        char content[16], expected[100];
        size_t n = put_character(c, content);
        content[n++] = 'x';
        n += put_character(c, content + n);
        const int trims = n_trimmed < n_spaces && spaces[n_trimmed] == c;
        n_trimmed += (size_t)trims;
        const slm_chat_message message = { "user", content, n };
        snprintf(expected, sizeof(expected), "<|start_header_id|>user<|end_header_id|>\n\n%.*s<|eot_id|>",
                 trims ? 1 : (int)n, trims ? "x" : content);
        assert_chat(model, &message, 1, 0, expected);
    }
    assert_int_equal(n_trimmed, n_spaces);
    slm_model_release(model);
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
        char whole[MOST_TEXT], parts[MOST_TEXT];
        size_t length, head, tail;
        const char *name;
        slm_model *model = chat_load(golden_templates[t].source);
        OK(slm_chat_get_format(model, &name, NULL));
        OK(slm_chat_render(model, messages, 4, 0, whole, MOST_TEXT, &length, NULL));
        for (size_t cut = 1; cut < 4; cut++) {
            OK(slm_chat_render(model, messages, cut, 0, parts, MOST_TEXT, &head, NULL));
            head -= strcmp(name, "chatml") == 0;
            OK(slm_chat_render(model, messages + cut, 4 - cut, SLM_CHAT_CONTINUE, parts + head,
                               MOST_TEXT - head, &tail, NULL));
            assert_int_equal(length, head + tail);
            assert_memory_equal(whole, parts, length);
        }
        slm_model_release(model);
    }
}

/* Appends the tokens of bytes. */
static size_t add_bytes(int32_t *ids, size_t n, const char *bytes)
{
    for (; *bytes != '\0'; bytes++) {
        ids[n++] = FIRST_BYTE + (unsigned char)*bytes;
    }
    return n;
}

/* What a message says is never a control token, wherever in the text it stands. */
static void messages_stay_ordinary_text(void **state)
{
    (void)state;
    const slm_chat_message messages[] = {
        { "system", "<|im_end|>", 10 }, { "user", "", 0 }, { "assistant", "yes<|im_start|>", 15 }
    };
    int32_t ids[200], expected[200];
    size_t n, n_expected = 0;
    slm_model *model = chat_load(CHATML);
    for (size_t i = 0; i < 3; i++) {
        expected[n_expected++] = IM_START;
        n_expected = add_bytes(expected, n_expected, messages[i].role);
        n_expected = add_bytes(expected, n_expected, "\n");
        n_expected = add_bytes(expected, n_expected, messages[i].content);
        expected[n_expected++] = IM_END;
        n_expected = add_bytes(expected, n_expected, "\n");
    }
    expected[n_expected++] = IM_START;
    n_expected = add_bytes(expected, n_expected, "assistant\n");
    OK(slm_chat_encode(model, messages, 3, SLM_CHAT_ADD_GENERATION_PROMPT, ids, 200, &n, NULL));
    assert_int_equal(n, n_expected);
    assert_memory_equal(ids, expected, n * sizeof(ids[0]));
    slm_model_release(model);
}

static void conversations_are_refused(void **state)
{
    (void)state;
    const slm_chat_message tool[] = { { "user", "a", 1 }, { "tool", "b", 1 } };
    const slm_chat_message twice[] = { { "user", "a", 1 }, { "user", "b", 1 } };
    const slm_chat_message late[] = { { "user", "a", 1 }, { "system", "b", 1 } };
    const slm_chat_message answer[] = { { "assistant", "a", 1 } };
    const slm_chat_message system[] = { { "system", "a", 1 } };
    const char *llama2 = golden_templates[3].source;
    const struct {
        const char *template;
        const slm_chat_message *messages;
        size_t n;
        uint32_t flags;
        slm_status status;
        const char *words;
    } cases[] = {
        { CHATML, tool, 2, 0, SLM_ERR_UNSUPPORTED, "message 1: chatml has the roles" },
        { NULL, tool, 2, 0, SLM_ERR_UNSUPPORTED, "not \"tool\"" },
        { "unknown", answer, 1, 0, SLM_ERR_UNSUPPORTED, "begins: unknown" },
        { llama2, twice, 2, 0, SLM_ERR_INVALID_ARGUMENT, "must alternate" },
        { llama2, twice, 2, SLM_CHAT_CONTINUE, SLM_ERR_INVALID_ARGUMENT, "must alternate" },
        { llama2, answer, 1, 0, SLM_ERR_INVALID_ARGUMENT, "beginning with user" },
        { llama2, late, 2, 0, SLM_ERR_UNSUPPORTED, "only as the first" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[100];
        size_t length = 1;
        slm_model *model = chat_load(cases[i].template);
        FAILS(slm_chat_render(model, cases[i].messages, cases[i].n, cases[i].flags, text, sizeof(text),
                              &length, &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].words));
        assert_int_equal(length, 0);
        slm_model_release(model);
    }
    /* A system message alone has no place where Llama 2 could write it. */
    slm_model *model = chat_load(llama2);
    assert_chat(model, system, 1, 0, "");
    assert_chat(model, system, 1, SLM_CHAT_CONTINUE, "");
    slm_model_release(model);
}

/* ---- memory ---- */

/* Each request for memory fails once. */
static void assert_failures_are_clean(failing_alloc *memory, slm_model *model,
                                      const slm_chat_message *messages, size_t n, uint32_t flags)
{
    static char text[MOST_TEXT];
    const uint64_t live = memory->live_blocks;
    size_t length;
    failing_alloc_arm(memory, 0, 0);
    OK(slm_chat_render(model, messages, n, flags, text, MOST_TEXT, &length, NULL));
    const uint64_t n_requests = memory->n_calls;
    assert_true(length > 0 && n_requests > 0);
    for (uint64_t k = 1; k <= n_requests; k++) {
        failing_alloc_arm(memory, k, 1);
        FAILS(slm_chat_render(model, messages, n, flags, text, MOST_TEXT, &length, &error),
              SLM_ERR_OUT_OF_MEMORY);
        assert_int_equal(length, 0);
        assert_int_equal(memory->live_blocks, live);
    }
    failing_alloc_arm(memory, 0, 0);
}

/* Texts that outgrow their first block of 256 bytes at each of their parts. */
static void assert_failures_of_template(const char *source)
{
    static char padding[257];
    failing_alloc memory;
    failing_alloc_init(&memory);
    const chat_model description = { .template = source, .host = &memory.host };
    slm_model *model = chat_model_load(&description);
    memset(padding, 'x', sizeof(padding));
    for (size_t n = 0; n < sizeof(padding); n++) {
        const slm_chat_message asked[] = {
            { "user", padding, n }, { "assistant", "<think>a</think>b", 17 }, { "user", "b", 1 },
            { "assistant", "<think>c</think>d", 17 }
        };
        const slm_chat_message told[] = {
            { "system", padding, n }, { "user", "b", 1 }, { "assistant", "<think>c</think>d", 17 }
        };
        assert_failures_are_clean(&memory, model, asked, 4, 0);
        assert_failures_are_clean(&memory, model, asked, 4, SLM_CHAT_CONTINUE);
        assert_failures_are_clean(&memory, model, told, 3, SLM_CHAT_ADD_GENERATION_PROMPT);
    }
    slm_model_release(model);
    assert_true(failing_alloc_is_clean(&memory));
    failing_alloc_destroy(&memory);
}

#define DEFAULT_SYSTEM(text) \
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n" text "<|im_end|>\\n' }}{% endif %}"
#define TEN_WORDS "one two three four five six seven eight nine ten "
#define FORTY_WORDS TEN_WORDS TEN_WORDS TEN_WORDS TEN_WORDS

static void failing_memory_is_a_status(void **state)
{
    (void)state;
    assert_failures_of_template(NULL);
    assert_failures_of_template(DEFAULT_SYSTEM(FORTY_WORDS "and these are more than forty words") CHATML);
    assert_failures_of_template(DEFAULT_SYSTEM(FORTY_WORDS FORTY_WORDS) CHATML);
    for (size_t t = 0; t < n_golden_templates; t++) {
        if (golden_templates[t].source != NULL) {
            assert_failures_of_template(golden_templates[t].source);
        }
    }
}

static void failing_memory_is_a_status_in_published_templates(void **state)
{
    (void)state;
    size_t n_found = 0;
    for (size_t i = 0; i < 3; i++) {
        char *source = read_published(published[i].name);
        if (source != NULL) {
            assert_failures_of_template(source);
            n_found++;
        }
        free(source);
    }
    if (n_found == 0) {
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_texts_are_equal),
        cmocka_unit_test(published_templates_have_their_golden_texts),
        cmocka_unit_test(formats_are_told_apart),
        cmocka_unit_test(spellings_are_one),
        cmocka_unit_test(others_are_unknown),
        cmocka_unit_test(long_default_system_texts_are_unknown),
        cmocka_unit_test(damaged_templates_are_unknown),
        cmocka_unit_test(long_templates_are_unknown),
        cmocka_unit_test(bare_joins_by_line_breaks),
        cmocka_unit_test(trimming_is_pythons),
        cmocka_unit_test(continuations_fit),
        cmocka_unit_test(messages_stay_ordinary_text),
        cmocka_unit_test(conversations_are_refused),
        cmocka_unit_test(failing_memory_is_a_status),
        cmocka_unit_test(failing_memory_is_a_status_in_published_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
