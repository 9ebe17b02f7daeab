/* SPDX-License-Identifier: MIT */
/* Conversations as text, byte for byte as Jinja renders the templates that formats.c knows. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "template/formats.h"

/* A part of somebody's text. */
typedef struct span {
    const char *text;
    size_t length;
} span;

enum { SYSTEM, USER, ASSISTANT };

typedef struct renderer {
    slmi_chat_style style;
    const slmi_canonical *canonical;
    const slm_chat_message *messages;
    size_t n;
    uint32_t flags;
    slmi_chat_text *out;
    slm_error *err;
} renderer;

static int role_of(const slm_chat_message *message)
{
    static const char *const roles[] = { "system", "user", "assistant" };
    for (int i = 0; i < 3; i++) {
        if (strcmp(message->role, roles[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* Writes the template's own words. */
static slm_status write_markup(const renderer *r, const char *text)
{
    return slmi_buffer_append(&r->out->text, text, strlen(text), r->err);
}

/* Writes words of a message and records where they stand. */
static slm_status write_content(const renderer *r, span content)
{
    if (content.length == 0) {
        return SLM_OK;
    }
    const size_t range[2] = { r->out->text.size, r->out->text.size + content.length };
    SLM_TRY(slmi_buffer_append(&r->out->text, content.text, content.length, r->err));
    return slmi_buffer_append(&r->out->content, range, sizeof(range), r->err);
}

static span content_of(const slm_chat_message *message)
{
    return (span){ message->content_length > 0 ? message->content : "", message->content_length };
}

/* Python's str.isspace(). */
static int is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* Bytes of the white-space character at the end of the text, or 0. */
static size_t last_space(span s)
{
    for (size_t n = 1; n <= 3 && n <= s.length; n++) {
        uint32_t c;
        if (slmi_utf8_decode(s.text + s.length - n, n, &c) == n) {
            return is_space(c) ? n : 0;
        }
    }
    return 0;
}

static span strip_end(span s)
{
    for (size_t n = last_space(s); n > 0; n = last_space(s)) {
        s.length -= n;
    }
    return s;
}

/* Python's str.strip(), which is Jinja's trim, of valid UTF-8. */
static span strip(span s)
{
    while (s.length > 0) {
        uint32_t c;
        const size_t n = slmi_utf8_decode(s.text, s.length, &c);
        if (!is_space(c)) {
            break;
        }
        s.text += n;
        s.length -= n;
    }
    return strip_end(s);
}

static span strip_line_breaks(span s, int at_begin, int at_end)
{
    while (at_begin && s.length > 0 && s.text[0] == '\n') {
        s.text++;
        s.length--;
    }
    while (at_end && s.length > 0 && s.text[s.length - 1] == '\n') {
        s.length--;
    }
    return s;
}

/* Position of a mark, first or last, or s.length if it does not occur. */
static size_t find(span s, const char *mark, int last)
{
    const size_t n = strlen(mark);
    size_t found = s.length;
    for (size_t i = 0; i + n <= s.length; i++) {
        if (memcmp(s.text + i, mark, n) == 0) {
            found = i;
            if (!last) {
                break;
            }
        }
    }
    return found;
}

static int starts_with(span s, const char *mark)
{
    return s.length >= strlen(mark) && memcmp(s.text, mark, strlen(mark)) == 0;
}

static int ends_with(span s, const char *mark)
{
    const size_t n = strlen(mark);
    return s.length >= n && memcmp(s.text + s.length - n, mark, n) == 0;
}

/* What stands behind the last mark; all of s if it does not occur. */
static span behind_last(span s, const char *mark)
{
    const size_t at = find(s, mark, 1);
    if (at == s.length) {
        return s;
    }
    const size_t skipped = at + strlen(mark);
    return (span){ s.text + skipped, s.length - skipped };
}

/* Splits an answer into thoughts and what follows them, as Qwen's templates do. */
static span split_thoughts(span answer, span *thoughts)
{
    const size_t end = find(answer, "</think>", 0);
    *thoughts = (span){ answer.text, 0 };
    if (end == answer.length) {
        return answer;
    }
    const span before = strip_line_breaks((span){ answer.text, end }, 0, 1);
    *thoughts = strip_line_breaks(behind_last(before, "<think>"), 1, 0);
    return strip_line_breaks(behind_last(answer, "</think>"), 1, 0);
}

/* Index of the last question that is not a tool's answer in disguise. */
static size_t last_question(const renderer *r)
{
    for (size_t i = r->n; i > 0; i--) {
        const span content = content_of(&r->messages[i - 1]);
        const int is_tool = starts_with(content, "<tool_response>") && ends_with(content, "</tool_response>");
        if (role_of(&r->messages[i - 1]) == USER && !is_tool) {
            return i - 1;
        }
    }
    return r->n - 1;
}

/* Qwen3: thoughts stay in answers after the last question. */
static slm_status write_qwen3_answer(const renderer *r, size_t index)
{
    span thoughts;
    const span answer = split_thoughts(content_of(&r->messages[index]), &thoughts);
    const int is_last = index + 1 == r->n;
    if (index > last_question(r) && (is_last || thoughts.length > 0)) {
        SLM_TRY(write_markup(r, "<think>\n"));
        SLM_TRY(write_content(r, strip_line_breaks(thoughts, 1, 1)));
        SLM_TRY(write_markup(r, "\n</think>\n\n"));
        return write_content(r, strip_line_breaks(answer, 1, 0));
    }
    return write_content(r, answer);
}

static slm_status write_chatml_message(const renderer *r, size_t index)
{
    const slm_chat_message *message = &r->messages[index];
    const int is_answer = role_of(message) == ASSISTANT;
    SLM_TRY(write_markup(r, "<|im_start|>"));
    SLM_TRY(write_markup(r, message->role));
    SLM_TRY(write_markup(r, "\n"));
    if (is_answer && (r->style.flags & SLMI_STYLE_QWEN3) != 0) {
        SLM_TRY(write_qwen3_answer(r, index));
    } else if (is_answer && (r->style.flags & SLMI_STYLE_QWQ) != 0 && index + 1 < r->n) {
        const span answer = behind_last(content_of(message), "</think>");
        SLM_TRY(write_content(r, strip_line_breaks(answer, 1, 0)));
    } else {
        SLM_TRY(write_content(r, content_of(message)));
    }
    return write_markup(r, "<|im_end|>\n");
}

static slm_status render_chatml(const renderer *r)
{
    const int is_beginning = (r->flags & SLM_CHAT_CONTINUE) == 0;
    if (is_beginning && r->canonical->has_system && role_of(&r->messages[0]) != SYSTEM) {
        SLM_TRY(write_markup(r, "<|im_start|>system\n"));
        SLM_TRY(slmi_buffer_append(&r->out->text, r->canonical->system, r->canonical->system_length,
                                   r->err));
        SLM_TRY(write_markup(r, "<|im_end|>\n"));
    }
    SLM_TRY(write_markup(r, is_beginning ? "" : "\n")); /* behind the end token of the answer before */
    for (size_t i = 0; i < r->n; i++) {
        SLM_TRY(write_chatml_message(r, i));
    }
    if ((r->flags & SLM_CHAT_ADD_GENERATION_PROMPT) == 0) {
        return SLM_OK;
    }
    SLM_TRY(write_markup(r, "<|im_start|>assistant\n"));
    return (r->style.flags & SLMI_STYLE_QWQ) != 0 ? write_markup(r, "<think>\n</think>") : SLM_OK;
}

static slm_status write_llama3_header(const renderer *r, const char *role)
{
    SLM_TRY(write_markup(r, "<|start_header_id|>"));
    SLM_TRY(write_markup(r, role));
    return write_markup(r, "<|end_header_id|>\n\n");
}

static slm_status render_llama3(const renderer *r)
{
    const int trims = (r->style.flags & SLMI_STYLE_TRIM) != 0;
    const int has_preamble = (r->flags & SLM_CHAT_CONTINUE) == 0 && (r->style.flags & SLMI_STYLE_DATE) != 0;
    size_t i = 0;
    if (has_preamble) {
        SLM_TRY(write_markup(r, "<|start_header_id|>system<|end_header_id|>\n\n"
                                "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"));
        if (role_of(&r->messages[0]) == SYSTEM) {
            SLM_TRY(write_content(r, strip(content_of(&r->messages[i++]))));
        }
        SLM_TRY(write_markup(r, "<|eot_id|>"));
    }
    for (; i < r->n; i++) {
        const span content = content_of(&r->messages[i]);
        SLM_TRY(write_llama3_header(r, r->messages[i].role));
        SLM_TRY(write_content(r, trims ? strip(content) : content));
        SLM_TRY(write_markup(r, "<|eot_id|>"));
    }
    const int prompts = (r->flags & SLM_CHAT_ADD_GENERATION_PROMPT) != 0 ||
                        (r->style.flags & SLMI_STYLE_ALWAYS_PROMPTS) != 0;
    return prompts ? write_llama3_header(r, "assistant") : SLM_OK;
}

/* A question, with the system message inside if there is one; white space at the ends of both together
 * goes away. */
static slm_status write_llama2_question(const renderer *r, const slm_chat_message *system, span question)
{
    SLM_TRY(write_markup(r, system != NULL ? "[INST] <<SYS>>\n" : "[INST] "));
    if (system != NULL) {
        SLM_TRY(write_content(r, content_of(system)));
        SLM_TRY(write_markup(r, "\n<</SYS>>"));
        question = strip_end(question);
        SLM_TRY(write_markup(r, question.length > 0 ? "\n\n" : ""));
    } else {
        question = strip(question);
    }
    SLM_TRY(write_content(r, question));
    return write_markup(r, " [/INST]");
}

static slm_status render_llama2(const renderer *r)
{
    slm_error *err = r->err;
    const slm_chat_message *system = role_of(&r->messages[0]) == SYSTEM ? &r->messages[0] : NULL;
    const size_t first = system != NULL ? 1 : 0;
    const int is_continuation = (r->flags & SLM_CHAT_CONTINUE) != 0;
    int expected = is_continuation && first < r->n ? role_of(&r->messages[first]) : USER;
    for (size_t i = first; i < r->n; i++) {
        const int role = role_of(&r->messages[i]);
        SLM_FAIL_IF(role == SYSTEM, SLM_ERR_UNSUPPORTED,
                    "llama2 takes a system message only as the first of a conversation");
        SLM_FAIL_IF(role != expected, SLM_ERR_INVALID_ARGUMENT,
                    "in llama2, user and assistant messages must alternate, beginning with user");
        expected = role == USER ? ASSISTANT : USER;
        if (role == USER) {
            SLM_TRY(write_markup(r, i > first || is_continuation ? "<s>" : ""));
            SLM_TRY(write_llama2_question(r, i == first ? system : NULL, content_of(&r->messages[i])));
        } else {
            SLM_TRY(write_markup(r, " "));
            SLM_TRY(write_content(r, strip(content_of(&r->messages[i]))));
            SLM_TRY(write_markup(r, " </s>"));
        }
    }
    return SLM_OK;
}

static slm_status render_bare(const renderer *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const int is_first = i == 0 && (r->flags & SLM_CHAT_CONTINUE) == 0;
        SLM_TRY(write_markup(r, is_first ? "" : "\n"));
        SLM_TRY(write_content(r, content_of(&r->messages[i])));
    }
    return write_markup(r, (r->flags & SLM_CHAT_ADD_GENERATION_PROMPT) != 0 ? "\n" : "");
}

slm_status slmi_chat_render_as(slmi_chat_style style, const slmi_canonical *canonical,
                               const slm_chat_message *messages, size_t n_messages, uint32_t flags,
                               slmi_chat_text *out, slm_error *err)
{
    for (size_t i = 0; i < n_messages; i++) {
        SLM_FAIL_IF(role_of(&messages[i]) < 0, SLM_ERR_UNSUPPORTED,
                    "message %llu: %s has the roles system, user and assistant, not \"%.40s\"",
                    (unsigned long long)i, slmi_chat_name(style.format), messages[i].role);
    }
    const renderer r = { style, canonical, messages, n_messages, flags, out, err };
    switch (style.format) {
    case SLMI_CHAT_CHATML:
        return render_chatml(&r);
    case SLMI_CHAT_LLAMA3:
        return render_llama3(&r);
    case SLMI_CHAT_LLAMA2:
        return render_llama2(&r);
    default:
        return render_bare(&r);
    }
}

slm_status slmi_chat_render(const char *source, size_t source_length, const slm_chat_message *messages,
                            size_t n_messages, uint32_t flags, slmi_chat_text *out, slm_error *err)
{
    slmi_canonical canonical;
    const slmi_chat_style style = slmi_chat_find(source, source_length, &canonical);
    return slmi_chat_render_as(style, &canonical, messages, n_messages, flags, out, err);
}
