/* SPDX-License-Identifier: MIT */
/* Pre-tokenizers of byte-level vocabularies, matched by hand. Source of names and patterns:
 * github.com/ggml-org/llama.cpp, src/llama-vocab.cpp; the patterns are those of the models'
 * tokenizer.json files. */
#include "tokenizer/split.h"

#include <string.h>

#include "base/text.h"
#include "tokenizer/unicode.h"

/* Nothing stands there: the end of the text. */
#define NO_CHAR UINT32_MAX
#define CLASS_END 4

typedef struct character {
    uint32_t code_point;
    int class;
    size_t end; /* position behind it */
} character;

const slmi_pre *slmi_pre_find(const char *name, size_t length)
{
    static const slmi_pre known[] = {
        { "gpt-2", SLMI_SPLIT_GPT2, 0, 0 },
        { "phi-2", SLMI_SPLIT_GPT2, 0, 0 },
        { "gigachat", SLMI_SPLIT_GPT2, 0, 0 },
        { "a.x-4.0", SLMI_SPLIT_GPT2, 0, 0 },
        { "mellum", SLMI_SPLIT_GPT2, 0, 0 },
        { "exaone4", SLMI_SPLIT_GPT2, 0, 0 },
        { "mpt", SLMI_SPLIT_GPT2, 0, 0 },
        { "olmo", SLMI_SPLIT_GPT2, 0, 0 },
        { "jais", SLMI_SPLIT_GPT2, 0, 0 },
        { "trillion", SLMI_SPLIT_GPT2, 0, 0 },
        { "granite-docling", SLMI_SPLIT_GPT2, 0, 0 },
        { "llama-bpe", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "llama3", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "llama-v3", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "falcon3", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "falcon-h1", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "pixtral", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "midm-2.0", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "lfm2", SLMI_SPLIT_LLAMA3, 1, 1 },
        { "dbrx", SLMI_SPLIT_LLAMA3, 0, 0 },
        { "smaug-bpe", SLMI_SPLIT_LLAMA3, 0, 0 },
        { "chatglm-bpe", SLMI_SPLIT_LLAMA3, 0, 0 },
        { "glm4", SLMI_SPLIT_LLAMA3, 1, 0 },
        { "glm5", SLMI_SPLIT_LLAMA3, 1, 0 },
        { "qwen2", SLMI_SPLIT_QWEN2, 0, 0 },
        { "deepseek-r1-qwen", SLMI_SPLIT_QWEN2, 0, 0 },
        { "kormo", SLMI_SPLIT_QWEN2, 0, 0 },
        { "f2llmv2", SLMI_SPLIT_QWEN2, 0, 0 },
        { "megrez", SLMI_SPLIT_QWEN2, 0, 0 },
        { "stablelm2", SLMI_SPLIT_QWEN2, 0, 0 },
        { "hunyuan", SLMI_SPLIT_QWEN2, 0, 0 },
        { "solar-open", SLMI_SPLIT_QWEN2, 0, 0 },
        { "grok-2", SLMI_SPLIT_QWEN2, 0, 0 },
        { "smollm", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "starcoder", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "refact", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "command-r", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "codeshell", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "exaone", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "minerva-7b", SLMI_SPLIT_SMOLLM, 0, 0 },
        { "mellum2", SLMI_SPLIT_SMOLLM, 0, 0 },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == length && memcmp(known[i].name, name, length) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

/* The character at p; words never end inside one, and the text is valid. */
static character char_at(const slmi_splitter *s, size_t p, size_t end)
{
    character c = { NO_CHAR, CLASS_END, end };
    if (p < end) {
        const size_t n = slmi_utf8_decode(s->text + p, end - p, &c.code_point);
        c.class = slmi_char_class(c.code_point);
        c.end = p + n;
    }
    return c;
}

/* End of the run of characters of one class that begins at p. */
static size_t run_of(const slmi_splitter *s, size_t p, size_t end, int class)
{
    for (;;) {
        const character c = char_at(s, p, end);
        if (c.class != class) {
            return p;
        }
        p = c.end;
    }
}

/* Length of 's, 't, 'm, 'd, 're, 've or 'll at p, or 0. Other cases count if any_case is not 0; no
 * character but the ASCII capitals has one of these letters as its lower case. */
static size_t contraction(const slmi_splitter *s, size_t p, size_t end, int any_case)
{
    char letters[2] = { 0, 0 };
    if (end - p < 2 || s->text[p] != '\'') {
        return 0;
    }
    for (size_t i = 0; i < 2 && p + 1 + i < end; i++) {
        const char letter = s->text[p + 1 + i];
        letters[i] = any_case && letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
    }
    if (letters[0] == 's' || letters[0] == 't' || letters[0] == 'm' || letters[0] == 'd') {
        return 2;
    }
    const int two = (letters[0] == 'r' && letters[1] == 'e') ||
                    (letters[0] == 'v' && letters[1] == 'e') ||
                    (letters[0] == 'l' && letters[1] == 'l');
    return two ? 3 : 0;
}

/* \s+(?!\S)|\s+ at p, where a space stands: all of the run, or all but its last character if a word
 * follows, which takes that one. */
static size_t spaces(const slmi_splitter *s, size_t p, size_t end)
{
    size_t last = p;
    character c = char_at(s, p, end);
    while (c.class == SLMI_CHAR_SPACE) {
        last = p;
        p = c.end;
        c = char_at(s, p, end);
    }
    return c.class == CLASS_END ? p : last;
}

static size_t end_of_gpt2_word(const slmi_splitter *s, size_t p, size_t end)
{
    const size_t short_form = contraction(s, p, end, 0);
    if (short_form > 0) {
        return p + short_form;
    }
    character c = char_at(s, p, end);
    if (c.code_point == ' ') {
        const character after = char_at(s, c.end, end);
        if (after.class != SLMI_CHAR_SPACE && after.class != CLASS_END) {
            c = after;
        }
    }
    if (c.class != SLMI_CHAR_SPACE) {
        return run_of(s, c.end, end, c.class);
    }
    const size_t begin = p;
    p = spaces(s, p, end);
    return p > begin ? p : c.end;
}

/* \s*[\r\n]+ at p: behind the last line break of the run of spaces, or 0. */
static size_t line_breaks(const slmi_splitter *s, size_t p, size_t end)
{
    size_t behind = 0;
    for (character c = char_at(s, p, end); c.class == SLMI_CHAR_SPACE; c = char_at(s, p, end)) {
        p = c.end;
        if (c.code_point == '\n' || c.code_point == '\r') {
            behind = p;
        }
    }
    return behind;
}

static size_t up_to_three_numbers(const slmi_splitter *s, size_t p, size_t end)
{
    for (int i = 0; i < 3; i++) {
        const character c = char_at(s, p, end);
        if (c.class != SLMI_CHAR_NUMBER) {
            break;
        }
        p = c.end;
    }
    return p;
}

static size_t end_of_llama3_word(const slmi_splitter *s, size_t p, size_t end, uint32_t rule)
{
    const size_t short_form = contraction(s, p, end, 1);
    if (short_form > 0) {
        return p + short_form;
    }
    const character c = char_at(s, p, end);
    if (c.class == SLMI_CHAR_NUMBER) {
        return rule == SLMI_SPLIT_QWEN2 ? c.end : up_to_three_numbers(s, p, end);
    }
    const character after = char_at(s, c.end, end);
    const int is_break = c.code_point == '\n' || c.code_point == '\r';
    if (!is_break && (c.class == SLMI_CHAR_LETTER || after.class == SLMI_CHAR_LETTER)) {
        return run_of(s, c.end, end, SLMI_CHAR_LETTER);
    }
    const int marks_follow = c.code_point == ' ' && after.class == SLMI_CHAR_OTHER;
    if (c.class == SLMI_CHAR_OTHER || marks_follow) {
        p = run_of(s, c.end, end, SLMI_CHAR_OTHER);
        while (p < end && (s->text[p] == '\n' || s->text[p] == '\r')) {
            p++;
        }
        return p;
    }
    const size_t behind = line_breaks(s, p, end);
    if (behind > 0) {
        return behind;
    }
    const size_t all = spaces(s, p, end);
    return all > p ? all : c.end;
}

/* Numbers stand alone, whatever is beside them: text between two numbers is split as if it were
 * all. */
static size_t end_of_smollm_word(slmi_splitter *s, size_t p)
{
    if (p >= s->run_end) {
        const character c = char_at(s, p, s->end);
        if (c.class == SLMI_CHAR_NUMBER) {
            return c.end;
        }
        s->run_end = c.end;
        for (character next = char_at(s, c.end, s->end);
             next.class != SLMI_CHAR_NUMBER && next.class != CLASS_END;
             next = char_at(s, next.end, s->end)) {
            s->run_end = next.end;
        }
    }
    return end_of_gpt2_word(s, p, s->run_end);
}

size_t slmi_split_next(slmi_splitter *s, size_t *begin)
{
    *begin = s->position;
    if (s->position >= s->end) {
        return 0;
    }
    switch (s->rule) {
    case SLMI_SPLIT_GPT2:
        s->position = end_of_gpt2_word(s, s->position, s->end);
        break;
    case SLMI_SPLIT_SMOLLM:
        s->position = end_of_smollm_word(s, s->position);
        break;
    default:
        s->position = end_of_llama3_word(s, s->position, s->end, s->rule);
        break;
    }
    return s->position - *begin;
}
