/* SPDX-License-Identifier: MIT */
/* Text to ids: special tokens are cut out first, the stretches between them are split and
 * merged. */
#include "base/text.h"
#include "tokenizer/internal.h"

typedef struct encoder {
    const slm_tokenizer *t;
    const char *text;
    size_t length;
    uint32_t flags;
    const slmi_span *literal; /* those that end behind the present position */
    size_t n_literal;
    slmi_merger merger;
    slmi_buffer stretch; /* SPM: a stretch with its spaces made uniform */
    slmi_ids out;
} encoder;

/* Bytes from p in which control tokens are recognised. */
static size_t hidden_length(encoder *e, size_t p)
{
    while (e->n_literal > 0 && e->literal->end <= p) {
        e->literal++;
        e->n_literal--;
    }
    if (!(e->flags & SLM_TEXT_PARSE_SPECIAL)) {
        return 0;
    }
    if (e->n_literal == 0) {
        return e->length - p;
    }
    return e->literal->begin > p ? e->literal->begin - p : 0;
}

/* The next special token from p on; *begin is the end of the text if there is none. */
static int32_t next_special(encoder *e, size_t p, size_t *begin)
{
    const slm_tokenizer *t = e->t;
    for (; p < e->length; p++) {
        const uint8_t byte = (uint8_t)e->text[p];
        if (t->first_special[byte] == t->first_special[byte + 1]) {
            continue;
        }
        const int32_t id = slmi_special_match(t, e->text + p, e->length - p, hidden_length(e, p));
        if (id >= 0) {
            *begin = p;
            return id;
        }
    }
    *begin = e->length;
    return -1;
}

/* Writes the stretch with a space for each word mark, since the two are the same to
 * SentencePiece, and with the space that belongs in front. */
static slm_status make_uniform(encoder *e, const char *text, size_t length, slm_error *err)
{
    e->stretch.size = 0;
    SLM_TRY(slmi_buffer_reserve(&e->stretch, length + 1, err));
    char *out = (char *)e->stretch.data;
    size_t n = 0;
    if (e->t->adds_space) {
        out[n++] = ' ';
    }
    for (size_t i = 0; i < length; n++) {
        const int mark = length - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0;
        out[n] = mark ? ' ' : text[i];
        i += mark ? 3 : 1;
    }
    e->stretch.size = n;
    return SLM_OK;
}

/* No piece reaches across a space whose neighbour joins_space[] does not name, so the words
 * between can be merged one by one, with the same outcome and less memory. */
static slm_status encode_spm(encoder *e, const char *text, size_t length, slm_error *err)
{
    SLM_TRY(make_uniform(e, text, length, err));
    const char *uniform = (const char *)e->stretch.data;
    size_t begin = 0;
    for (size_t p = 1; p <= e->stretch.size; p++) {
        if (p == e->stretch.size ||
            (uniform[p] == ' ' && !e->t->joins_space[(uint8_t)uniform[p - 1]])) {
            SLM_TRY(slmi_merger_run(&e->merger, uniform + begin, (uint32_t)(p - begin), &e->out,
                                    err));
            begin = p;
        }
    }
    return SLM_OK;
}

static slm_status encode_bpe(encoder *e, const char *text, size_t length, slm_error *err)
{
    slmi_splitter splitter = { text, length, 0, 0, e->t->pre->rule };
    size_t begin;
    for (size_t n = slmi_split_next(&splitter, &begin); n > 0;
         n = slmi_split_next(&splitter, &begin)) {
        const int32_t whole =
            e->t->pre->whole_words ? slmi_piece_find(e->t, text + begin, n, 1) : -1;
        if (whole >= 0) {
            slmi_ids_push(&e->out, whole);
        } else {
            SLM_TRY(slmi_merger_run(&e->merger, text + begin, (uint32_t)n, &e->out, err));
        }
    }
    return SLM_OK;
}

/* As isspace() in the C locale. */
static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static slm_status encode_all(encoder *e, slm_error *err)
{
    const slm_tokenizer *t = e->t;
    size_t p = 0;
    if ((e->flags & SLM_TEXT_ADD_SPECIAL) && t->adds_bos) {
        slmi_ids_push(&e->out, t->bos);
    }
    while (p < e->length) {
        size_t begin;
        const int32_t id = next_special(e, p, &begin);
        if (begin > p) {
            SLM_TRY(t->kind == SLMI_KIND_SPM
                        ? encode_spm(e, e->text + p, begin - p, err)
                        : encode_bpe(e, e->text + p, begin - p, err));
        }
        p = begin;
        if (id >= 0) {
            slmi_ids_push(&e->out, id);
            p += slmi_piece_length(t, (uint32_t)id);
            while ((t->flags[id] & SLMI_STRIPS_RIGHT) && p < e->length && is_space(e->text[p])) {
                p++;
            }
        }
    }
    if ((e->flags & SLM_TEXT_ADD_SPECIAL) && t->adds_eos) {
        slmi_ids_push(&e->out, t->eos);
    }
    return SLM_OK;
}

/* Checks the text; `repaired` takes its place if it is invalid and the flags allow that. */
static slm_status check_text(encoder *e, slmi_buffer *repaired, slm_error *err)
{
    SLM_FAIL_IF(e->length > INT32_MAX, SLM_ERR_INVALID_ARGUMENT,
                "a text of %llu bytes; 2 GiB are possible at most", (unsigned long long)e->length);
    const size_t valid = slmi_utf8_check(e->text, e->length);
    if (valid == e->length) {
        return SLM_OK;
    }
    SLM_FAIL_AT_IF(!(e->flags & SLM_TEXT_REPLACE_INVALID) || e->n_literal > 0,
                   SLM_ERR_INVALID_UTF8, valid, "the text is not valid UTF-8 at byte %llu",
                   (unsigned long long)valid);
    SLM_TRY(slmi_utf8_replace(repaired, e->text, e->length, err));
    SLM_FAIL_IF(repaired->size > INT32_MAX, SLM_ERR_INVALID_ARGUMENT,
                "the text has more than 2 GiB once its invalid bytes are replaced");
    e->text = (const char *)repaired->data;
    e->length = repaired->size;
    return SLM_OK;
}

slm_status slmi_tokenizer_encode(const slm_tokenizer *t, const char *text, size_t length,
                                 uint32_t flags, const slmi_span *literal, size_t n_literal,
                                 int32_t *ids, size_t capacity, size_t *n_ids, slm_error *err)
{
    encoder e = { t, text, length, flags, literal, n_literal, { 0 }, { 0 }, { ids, capacity, 0 } };
    slmi_buffer repaired = { t->alloc, NULL, 0, 0 };
    e.merger.t = t;
    e.stretch.alloc = t->alloc;
    *n_ids = 0;
    slm_status status = check_text(&e, &repaired, err);
    if (status == SLM_OK) {
        status = encode_all(&e, err);
    }
    slmi_merger_free(&e.merger);
    slmi_buffer_free(&e.stretch);
    slmi_buffer_free(&repaired);
    if (status != SLM_OK) {
        return status;
    }
    *n_ids = e.out.count;
    SLM_FAIL_IF(e.out.count > capacity, SLM_ERR_BUFFER_TOO_SMALL,
                "the text has %llu tokens; there is room for %llu",
                (unsigned long long)e.out.count, (unsigned long long)capacity);
    return SLM_OK;
}
