/* SPDX-License-Identifier: MIT */
/* A Jinja template in a canonical spelling. Source: jinja.palletsprojects.com, "Template Designer". */
#include "template/canonical.h"

#include <string.h>

#include "template/token.h"

#define MAX_DEPTH 24

/* An `if` or `for` that is open. */
typedef struct frame {
    unsigned is_for;
    unsigned is_dead;     /* inside a dropped part: everything in it is dropped, its end too */
    unsigned is_dropping; /* its present branch is dropped */
    unsigned is_written;  /* its opening stands in the canonical text */
} frame;

typedef struct maker {
    slmi_canonical *out;
    const char *p;
    const char *end;
    unsigned is_line_start; /* what was consumed before p ends a line */
    unsigned failed;
    size_t n_frames;
    frame frames[MAX_DEPTH];
    size_t literal_length;
    char literal[SLMI_SYSTEM_MAX + 256]; /* text not written yet */
} maker;

/* Growing text in a fixed array. */
typedef struct piece {
    size_t length;
    char text[1024];
} piece;

static unsigned is_dropping(const maker *m)
{
    return m->n_frames > 0 && m->frames[m->n_frames - 1].is_dropping;
}

static void put(char *text, size_t *length, size_t capacity, const char *more, size_t n, unsigned *failed)
{
    if (n >= capacity - *length) {
        *failed = 1;
        return;
    }
    memcpy(text + *length, more, n);
    *length += n;
    text[*length] = '\0';
}

static void write_text(maker *m, const char *text, size_t n)
{
    put(m->out->text, &m->out->length, sizeof(m->out->text), text, n, &m->failed);
}

static void add_literal(maker *m, const char *text, size_t n)
{
    put(m->literal, &m->literal_length, sizeof(m->literal), text, n, &m->failed);
}

/* Replaces the default system text in the pending literal by * and keeps it. */
static void take_system(maker *m)
{
    static const char opening[] = "<|im_start|>system\n";
    const size_t n_opening = sizeof(opening) - 1;
    if (m->literal_length < n_opening || memcmp(m->literal, opening, n_opening) != 0) {
        return;
    }
    char *text = m->literal + n_opening;
    char *closing = strstr(text, "<|im_end|>");
    if (closing == NULL || closing == text) {
        return;
    }
    const size_t n = (size_t)(closing - text);
    slmi_canonical *out = m->out;
    if (n >= sizeof(out->system) || out->has_system) {
        m->failed = 1;
        return;
    }
    memcpy(out->system, text, n);
    out->system_length = n;
    out->has_system = 1;
    memmove(text + 1, closing, strlen(closing) + 1);
    text[0] = '*';
    m->literal_length -= n - 1;
}

static void flush_literal(maker *m)
{
    if (m->literal_length == 0) {
        return;
    }
    take_system(m);
    if (memchr(m->literal, '`', m->literal_length) != NULL) {
        m->failed = 1;
    }
    write_text(m, "`", 1);
    write_text(m, m->literal, m->literal_length);
    write_text(m, "`", 1);
    m->literal_length = 0;
}

static void write_marked(maker *m, char open, const piece *inside, char close)
{
    flush_literal(m);
    write_text(m, &open, 1);
    write_text(m, inside->text, inside->length);
    write_text(m, &close, 1);
}

static void add(piece *out, const char *text, size_t n, unsigned *failed)
{
    put(out->text, &out->length, sizeof(out->text), text, n, failed);
}

/* x['key'] as .key, when what follows is such a subscript. */
static int add_subscript(piece *out, slmi_token_reader *reader, unsigned *failed)
{
    slmi_token_reader ahead = *reader;
    const slmi_token key = slmi_token_next(&ahead);
    const slmi_token close = slmi_token_next(&ahead);
    if (key.kind != SLMI_TOKEN_STRING || !slmi_token_is(close, "]") ||
        !slmi_token_is_name(key.text + 1, key.length - 2)) {
        return 0;
    }
    add(out, ".", 1, failed);
    add(out, key.text + 1, key.length - 2, failed);
    *reader = ahead;
    return 1;
}

static void skip_arguments(slmi_token_reader *reader)
{
    int depth = 0;
    do {
        const slmi_token t = slmi_token_next(reader);
        if (t.kind == SLMI_TOKEN_END) {
            return;
        }
        depth += slmi_token_depth(t);
    } while (depth > 0);
}

static void add_string(piece *out, slmi_token t, unsigned *failed)
{
    char decoded[512];
    size_t n;
    if (!slmi_token_decode(t, decoded, sizeof(decoded), &n) || memchr(decoded, '\'', n) != NULL) {
        *failed = 1;
        return;
    }
    add(out, "'", 1, failed);
    add(out, decoded, n, failed);
    add(out, "'", 1, failed);
}

/* One token in the canonical spelling; `before` is the token in front of it. */
static void add_token(piece *out, slmi_token t, slmi_token before, slmi_token_reader *reader,
                      unsigned *failed)
{
    if (t.kind == SLMI_TOKEN_STRING) {
        add_string(out, t, failed);
    } else if (t.kind == SLMI_TOKEN_WORD) {
        if (before.kind == SLMI_TOKEN_WORD || slmi_token_is(before, ")") || slmi_token_is(before, "]") ||
            before.kind == SLMI_TOKEN_STRING) {
            add(out, " ", 1, failed);
        }
        if (slmi_token_is(t, "raise_exception")) {
            add(out, "raise", 5, failed);
            skip_arguments(reader);
        } else {
            add(out, t.text, t.length, failed);
        }
    } else if (!(slmi_token_is(t, "[") && (before.kind == SLMI_TOKEN_WORD || slmi_token_is(before, "]")) &&
                 add_subscript(out, reader, failed))) {
        add(out, t.text, t.length, failed);
    }
}

static void spell(piece *out, const char *begin, const char *end, unsigned *failed)
{
    slmi_token_reader reader = { begin, end };
    slmi_token before = { SLMI_TOKEN_END, begin, 0 };
    out->length = 0;
    out->text[0] = '\0';
    for (slmi_token t = slmi_token_next(&reader); t.kind != SLMI_TOKEN_END;
         t = slmi_token_next(&reader)) {
        add_token(out, t, before, &reader, failed);
        before = t;
    }
    *failed |= reader.p != reader.end;
}

/* 1 if the expression is a plain sum, whose terms may be written one after the other. */
static int is_sum(const char *begin, const char *end)
{
    static const char *const others[] = { "if", "else", "or", "and", "not", "in", "is", "==", "!=",
                                          "<",  ">",    "<=", ">=",  "-",   "*",  "/",  "%" };
    slmi_token_reader reader = { begin, end };
    int depth = 0;
    for (slmi_token t = slmi_token_next(&reader); t.kind != SLMI_TOKEN_END;
         t = slmi_token_next(&reader)) {
        depth += slmi_token_depth(t);
        for (size_t i = 0; depth == 0 && i < sizeof(others) / sizeof(others[0]); i++) {
            if (slmi_token_is(t, others[i])) {
                return 0;
            }
        }
    }
    return 1;
}

/* A term of an output: strings become literal text, anything else is spelled. */
static void write_term(maker *m, const char *begin, const char *end)
{
    slmi_token_reader reader = { begin, end };
    const slmi_token t = slmi_token_next(&reader);
    if (t.kind == SLMI_TOKEN_STRING && slmi_token_next(&reader).kind == SLMI_TOKEN_END) {
        char decoded[SLMI_SYSTEM_MAX];
        size_t n;
        if (slmi_token_decode(t, decoded, sizeof(decoded), &n)) {
            add_literal(m, decoded, n);
        } else {
            m->failed = 1;
        }
        return;
    }
    piece spelled;
    spell(&spelled, begin, end, &m->failed);
    write_marked(m, '{', &spelled, '}');
}

static void write_output(maker *m, const char *begin, const char *end)
{
    if (!is_sum(begin, end)) {
        write_term(m, begin, end);
        return;
    }
    slmi_token_reader reader = { begin, end };
    const char *term = begin;
    int depth = 0;
    for (slmi_token t = slmi_token_next(&reader); t.kind != SLMI_TOKEN_END;
         t = slmi_token_next(&reader)) {
        depth += slmi_token_depth(t);
        if (depth == 0 && (slmi_token_is(t, "+") || slmi_token_is(t, "~"))) {
            write_term(m, term, t.text);
            term = reader.p;
        }
    }
    write_term(m, term, end);
}

/* Conditions that hold for no conversation without tools and tool messages. */
static unsigned is_never(const char *condition)
{
    return strcmp(condition, "tools") == 0 || strcmp(condition, "message.tool_calls") == 0 ||
           strcmp(condition, "message.role=='tool'") == 0;
}

static void open_block(maker *m, const piece *statement, unsigned is_for)
{
    if (m->n_frames == MAX_DEPTH) {
        m->failed = 1;
        return;
    }
    frame f = { is_for, is_dropping(m), 0, 0 };
    f.is_dropping = f.is_dead || (!is_for && is_never(statement->text + 3));
    f.is_written = !f.is_dropping;
    m->frames[m->n_frames++] = f;
    if (f.is_written) {
        write_marked(m, '%', statement, '%');
    }
}

/* elif and else: a dropped branch ends, or one begins. */
static void next_branch(maker *m, piece *statement, unsigned is_else)
{
    frame *f = &m->frames[m->n_frames - 1];
    if (f->is_dead) {
        return;
    }
    f->is_dropping = !is_else && is_never(statement->text + 5);
    if (f->is_dropping) {
        return;
    }
    if (f->is_written) {
        write_marked(m, '%', statement, '%');
    } else if (!is_else) {
        /* All branches before were dropped, so this elif is the if. */
        statement->length -= 2;
        memmove(statement->text, statement->text + 2, statement->length + 1);
        write_marked(m, '%', statement, '%');
        f->is_written = 1;
    }
}

static void close_block(maker *m, const piece *statement)
{
    const frame f = m->frames[--m->n_frames];
    if (f.is_written) {
        write_marked(m, '%', statement, '%');
    }
}

static void write_statement(maker *m, const char *begin, const char *end)
{
    slmi_token_reader reader = { begin, end };
    const slmi_token word = slmi_token_next(&reader);
    const unsigned is_branch = slmi_token_is(word, "elif") || slmi_token_is(word, "else");
    const unsigned is_end = slmi_token_is(word, "endif") || slmi_token_is(word, "endfor");
    unsigned failed = 0;
    piece statement = { 0 };
    spell(&statement, begin, end, &failed);
    if ((is_branch || is_end) && m->n_frames == 0) {
        m->failed = 1;
        return;
    }
    if (slmi_token_is(word, "if") || slmi_token_is(word, "for")) {
        open_block(m, &statement, slmi_token_is(word, "for"));
    } else if (is_branch) {
        next_branch(m, &statement, slmi_token_is(word, "else"));
    } else if (is_end) {
        m->failed |= m->frames[m->n_frames - 1].is_for != (unsigned)slmi_token_is(word, "endfor");
        close_block(m, &statement);
    } else if (!is_dropping(m)) {
        write_marked(m, '%', &statement, '%');
    }
    m->failed |= failed && !is_dropping(m);
}

static const char *find_tag(const char *p, const char *end)
{
    while (p + 1 < end && !(p[0] == '{' && (p[1] == '{' || p[1] == '%' || p[1] == '#'))) {
        p++;
    }
    return p + 1 < end ? p : end;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Text in front of a tag (or of the end), without the white space that the tag takes away. */
static void write_literal_before(maker *m, const char *begin, const char *tag)
{
    const char *stop = tag;
    if (tag < m->end && tag + 2 < m->end && tag[2] == '-') {
        while (stop > begin && is_space(stop[-1])) {
            stop--;
        }
    } else if (tag < m->end && tag[1] != '{' && !(tag + 2 < m->end && tag[2] == '+')) {
        const char *line = stop;
        while (line > begin && (line[-1] == ' ' || line[-1] == '\t')) {
            line--;
        }
        if (line > begin ? line[-1] == '\n' : m->is_line_start) {
            stop = line;
        }
    }
    if (!is_dropping(m)) {
        add_literal(m, begin, (size_t)(stop - begin));
    }
}

/* End of the tag's inside: the first closing mark outside strings and brackets. */
static const char *find_close(const char *p, const char *end, char kind)
{
    if (kind == '#') {
        while (p + 1 < end && !(p[0] == '#' && p[1] == '}')) {
            p++;
        }
        return p + 1 < end ? p : NULL;
    }
    const char mark = kind == '{' ? '}' : '%';
    slmi_token_reader reader = { p, end };
    int depth = 0;
    for (;;) {
        slmi_token_skip_blanks(&reader);
        const char *q = reader.p;
        const char *close = q < end && (*q == '-' || *q == '+') ? q + 1 : q;
        if (depth == 0 && end - close >= 2 && close[0] == mark && close[1] == '}') {
            return q;
        }
        const slmi_token t = slmi_token_next(&reader);
        if (t.kind == SLMI_TOKEN_END) {
            return NULL;
        }
        depth += slmi_token_depth(t);
    }
}

/* Consumes a closing mark with the white space that it takes away. */
static void pass_close(maker *m, const char *close, char kind)
{
    const char sign = *close;
    const unsigned signed_close = kind != '#' && (sign == '-' || sign == '+');
    const unsigned strips = kind == '#' ? close[-1] == '-' : sign == '-';
    m->p = close + (signed_close ? 3 : 2);
    if (strips) {
        while (m->p < m->end && is_space(*m->p)) {
            m->p++;
        }
    } else if (kind != '{' && !(signed_close && sign == '+') && m->p < m->end && *m->p == '\n') {
        m->p++;
    }
    m->is_line_start = m->p[-1] == '\n';
}

static void read_tag(maker *m, const char *tag)
{
    const char kind = tag[1];
    const char *inside = tag + 2;
    if (inside < m->end && (*inside == '-' || *inside == '+')) {
        inside++;
    }
    const char *close = find_close(inside, m->end, kind);
    if (close == NULL) {
        m->failed = 1;
        return;
    }
    if (kind == '%') {
        write_statement(m, inside, close);
    } else if (kind == '{' && !is_dropping(m)) {
        write_output(m, inside, close);
    }
    pass_close(m, close, kind);
}

int slmi_canonical_make(slmi_canonical *canonical, const char *source, size_t length)
{
    canonical->length = 0;
    canonical->text[0] = '\0';
    canonical->system_length = 0;
    canonical->has_system = 0;
    if (memchr(source, '\r', length) != NULL) {
        return 0;
    }
    /* Jinja drops one line break at the end of a template. */
    const size_t n = source[length - 1] == '\n' ? length - 1 : length;
    maker m;
    m.out = canonical;
    m.p = source;
    m.end = source + n;
    m.is_line_start = 1;
    m.failed = 0;
    m.n_frames = 0;
    m.literal_length = 0;
    while (m.p < m.end && !m.failed) {
        const char *tag = find_tag(m.p, m.end);
        write_literal_before(&m, m.p, tag);
        m.p = tag;
        if (tag < m.end) {
            read_tag(&m, tag);
        }
    }
    flush_literal(&m);
    return !m.failed && m.n_frames == 0;
}
