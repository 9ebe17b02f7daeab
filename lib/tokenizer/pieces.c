/* SPDX-License-Identifier: MIT */
/* Reading the vocabulary: bytes, kinds and scores of its pieces, and a hash table over them. */
#include "tokenizer/internal.h"

/* Pieces are addressed by 32 bits, ids are int32. Real pieces have at most some hundred bytes; every
 * sequence keeps room for the longest. */
#define MAX_VOCAB (UINT32_C(1) << 27)
#define MAX_BYTES (UINT32_C(1) << 31)
#define MAX_PIECE_BYTES (UINT32_C(1) << 16)

#define WORD_MARK "\xE2\x96\x81" /* U+2581 */

uint32_t slmi_slot_count(uint32_t n)
{
    uint32_t slots = 16;
    while (slots < n + n / 2) {
        slots *= 2;
    }
    return slots;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of a text such as "<0x0A>", or -1. */
static int byte_of(slmi_text text)
{
    if (text.length != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    const int high = hex_digit(text.data[3]);
    const int low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static size_t copy(slmi_text text, char *out)
{
    if (out != NULL && text.length > 0) {
        memcpy(out, text.data, text.length);
    }
    return text.length;
}

static int is_mark(slmi_text text, size_t i)
{
    return i + 3 <= text.length && memcmp(text.data + i, WORD_MARK, 3) == 0;
}

/* Text of a SentencePiece piece with spaces for word marks. A space of the text itself cannot
 * come out of merging, since spaces are marks there. */
static size_t convert_spm(slmi_text text, uint32_t type, char *out, uint8_t *flags)
{
    size_t n = 0;
    int has_mark = 0, has_space = 0;
    for (size_t i = 0; i < text.length; n++) {
        const int mark = is_mark(text, i);
        has_mark |= mark;
        has_space |= text.data[i] == ' ';
        if (out != NULL) {
            out[n] = mark ? ' ' : text.data[i];
        }
        i += mark ? 3 : 1;
    }
    *flags = has_space ? 0 : SLMI_IS_PIECE;
    if (type == SLMI_TOKEN_USER_DEFINED && !has_mark) {
        *flags |= SLMI_IS_SPECIAL;
    }
    return n;
}

static int is_plain(slmi_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7E) {
            return 0;
        }
    }
    return 1;
}

/* Text of a byte-level piece as the bytes it stands for. User-defined tokens are written as they
 * are. */
static size_t convert_bpe(slmi_text text, uint32_t type, char *out, uint8_t *flags)
{
    if (type == SLMI_TOKEN_USER_DEFINED) {
        *flags = (uint8_t)(SLMI_IS_SPECIAL | (is_plain(text) ? SLMI_IS_PIECE : 0));
        return copy(text, out);
    }
    const size_t n = slmi_alphabet_decode(text.data, text.length, out);
    *flags = n == SIZE_MAX ? 0 : SLMI_IS_PIECE;
    return n == SIZE_MAX ? copy(text, out) : n;
}

/* Writes a token's bytes to out unless that is NULL, and tells what it is. Returns their number. */
static size_t convert(const slm_tokenizer *t, slmi_text text, uint32_t type, char *out,
                      uint8_t *flags)
{
    *flags = 0;
    if (type == SLMI_TOKEN_CONTROL || type == SLMI_TOKEN_UNKNOWN) {
        *flags = SLMI_IS_SPECIAL | SLMI_IS_HIDDEN;
        return copy(text, out);
    }
    if (type == SLMI_TOKEN_BYTE && byte_of(text) >= 0) {
        if (out != NULL) {
            out[0] = (char)byte_of(text);
        }
        return 1;
    }
    return t->kind == SLMI_KIND_SPM ? convert_spm(text, type, out, flags)
                                    : convert_bpe(text, type, out, flags);
}

/* The slot of a piece, or the empty one where it belongs. `hash` is slmi_hash() of the bytes. */
static uint32_t slot_of(const slm_tokenizer *t, uint64_t hash, const char *bytes, size_t length, int piece)
{
    const uint32_t mask = t->n_piece_slots - 1;
    uint32_t slot = (uint32_t)(hash ^ hash >> 32) & mask;
    for (; t->piece_slots[slot] != 0; slot = (slot + 1) & mask) {
        const uint32_t id = t->piece_slots[slot] - 1;
        if (slmi_piece_length(t, id) == length &&
            (t->flags[id] & SLMI_IS_PIECE) == (piece ? SLMI_IS_PIECE : 0) &&
            memcmp(slmi_piece_bytes(t, id), bytes, length) == 0) {
            break;
        }
    }
    return slot;
}

int32_t slmi_piece_find_hashed(const slm_tokenizer *t, uint64_t hash, const char *bytes, size_t length,
                               int piece)
{
    if (length == 0 || length > t->longest) {
        return -1;
    }
    return (int32_t)t->piece_slots[slot_of(t, hash, bytes, length, piece)] - 1;
}

int32_t slmi_piece_find(const slm_tokenizer *t, const char *bytes, size_t length, int piece)
{
    const size_t hashed = length <= t->longest ? length : 0; /* what is longer is not there */
    return slmi_piece_find_hashed(t, slmi_hash(SLMI_HASH_START, bytes, hashed), bytes, length, piece);
}

/* Of equal pieces only the first one is kept: many equal ones must not make the table slow. */
static void insert_piece(slm_tokenizer *t, uint32_t id)
{
    const char *bytes = slmi_piece_bytes(t, id);
    const uint32_t length = slmi_piece_length(t, id);
    if (length == 0) {
        return;
    }
    const uint64_t hash = slmi_hash(SLMI_HASH_START, bytes, length);
    const uint32_t slot = slot_of(t, hash, bytes, length, t->flags[id] & SLMI_IS_PIECE);
    if (t->piece_slots[slot] == 0) {
        t->piece_slots[slot] = id + 1;
    } else {
        t->flags[id] |= SLMI_IS_REPEATED;
    }
}

/* The three arrays of the vocabulary; types and scores may be missing. */
typedef struct vocabulary {
    const slmi_gguf_entry *tokens;
    const slmi_gguf_entry *types;
    const slmi_gguf_entry *scores;
} vocabulary;

static slm_status read_array(const slmi_gguf *gguf, const char *key, uint32_t element_type,
                             const vocabulary *v, const slmi_gguf_entry **entry, slm_error *err)
{
    SLM_TRY(slmi_gguf_get_array(gguf, key, element_type, entry, err));
    SLM_FAIL_AT_IF(*entry != NULL && (*entry)->count != v->tokens->count, SLM_ERR_FORMAT,
                   (*entry)->offset, "'%s' has %llu elements for %llu tokens", key,
                   (unsigned long long)(*entry)->count, (unsigned long long)v->tokens->count);
    return SLM_OK;
}

static slm_status read_vocabulary(const slmi_gguf *gguf, vocabulary *v, slm_error *err)
{
    SLM_TRY(slmi_gguf_get_array(gguf, "tokenizer.ggml.tokens", SLMI_GGUF_STRING, &v->tokens, err));
    SLM_FAIL_IF(v->tokens == NULL, SLM_ERR_FORMAT, "the file has no 'tokenizer.ggml.tokens'");
    SLM_FAIL_AT_IF(v->tokens->count == 0, SLM_ERR_FORMAT, v->tokens->offset,
                   "the vocabulary is empty");
    SLM_FAIL_AT_IF(v->tokens->count > MAX_VOCAB || v->tokens->value_bytes > MAX_BYTES,
                   SLM_ERR_LIMIT, v->tokens->offset, "the vocabulary has %llu tokens in %llu bytes",
                   (unsigned long long)v->tokens->count,
                   (unsigned long long)v->tokens->value_bytes);
    SLM_TRY(read_array(gguf, "tokenizer.ggml.token_type", SLMI_GGUF_I32, v, &v->types, err));
    return read_array(gguf, "tokenizer.ggml.scores", SLMI_GGUF_F32, v, &v->scores, err);
}

/* A file without types marks its byte tokens by their text alone. */
static uint32_t type_of(const slm_tokenizer *t, const vocabulary *v, uint32_t id, slmi_text text)
{
    if (v->types != NULL) {
        return (uint32_t)slmi_gguf_array_int(v->types, id);
    }
    return t->kind == SLMI_KIND_SPM && byte_of(text) >= 0 ? SLMI_TOKEN_BYTE : SLMI_TOKEN_NORMAL;
}

static slm_status count_bytes(const slm_tokenizer *t, const vocabulary *v, size_t *bytes,
                              slm_error *err)
{
    *bytes = 0;
    uint64_t position = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        uint8_t flags;
        const slmi_text text = slmi_gguf_next_string(v->tokens, &position);
        SLM_FAIL_AT_IF(text.length > MAX_PIECE_BYTES, SLM_ERR_LIMIT, v->tokens->offset,
                       "token %u has %llu bytes; at most %u are possible", id,
                       (unsigned long long)text.length, MAX_PIECE_BYTES);
        *bytes += convert(t, text, type_of(t, v, id, text), NULL, &flags);
    }
    return SLM_OK;
}

/* Ascending integers for descending scores. Source of the bit trick: IEEE 754 numbers order like
 * sign-magnitude integers. */
static uint32_t priority_of(float score)
{
    const float no_minus_zero = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &no_minus_zero, sizeof(bits));
    const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ascending == 0 ? UINT32_MAX - 1 : ~ascending;
}

static slm_status allocate(slm_tokenizer *t, size_t n_bytes, slm_error *err)
{
    const size_t n = t->n_vocab;
    t->n_piece_slots = slmi_slot_count(t->n_vocab);
    t->offsets = slmi_new_array(t->alloc, n + 1, sizeof(uint32_t), 4);
    t->flags = slmi_new(t->alloc, n, 1);
    t->piece_slots = slmi_new_array(t->alloc, t->n_piece_slots, sizeof(uint32_t), 4);
    if (t->offsets == NULL || t->flags == NULL || t->piece_slots == NULL) {
        return slmi_alloc_fail(t->alloc, n * 5 + 4 * (uint64_t)t->n_piece_slots, err);
    }
    t->bytes = slmi_new(t->alloc, n_bytes + 1, 1);
    if (t->bytes == NULL) {
        return slmi_alloc_fail(t->alloc, n_bytes + 1, err);
    }
    t->offsets[n] = (uint32_t)n_bytes;
    if (t->kind == SLMI_KIND_SPM) {
        t->priorities = slmi_new_array(t->alloc, n, sizeof(uint32_t), 4);
        if (t->priorities == NULL) {
            return slmi_alloc_fail(t->alloc, n * sizeof(uint32_t), err);
        }
    }
    return SLM_OK;
}

static void note_joined_spaces(slm_tokenizer *t, uint32_t id)
{
    const char *bytes = slmi_piece_bytes(t, id);
    for (uint32_t i = 1; i < slmi_piece_length(t, id); i++) {
        if (bytes[i] == ' ') {
            t->joins_space[(uint8_t)bytes[i - 1]] = 1;
        }
    }
}

static void fill(slm_tokenizer *t, const vocabulary *v)
{
    uint32_t end = 0;
    uint64_t position = 0;
    memset(t->byte_ids, 0xFF, sizeof(t->byte_ids));
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        const slmi_text text = slmi_gguf_next_string(v->tokens, &position);
        const uint32_t type = type_of(t, v, id, text);
        t->offsets[id] = end;
        const uint32_t length = (uint32_t)convert(t, text, type, t->bytes + end, &t->flags[id]);
        end += length;
        t->longest = length > t->longest ? length : t->longest;
        if (type == SLMI_TOKEN_BYTE && byte_of(text) >= 0 && t->byte_ids[byte_of(text)] < 0) {
            t->byte_ids[byte_of(text)] = (int32_t)id;
        }
        if (t->kind == SLMI_KIND_SPM) {
            t->priorities[id] =
                priority_of(v->scores != NULL ? (float)slmi_gguf_array_float(v->scores, id) : 0.0f);
        }
    }
    t->offsets[t->n_vocab] = end;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        insert_piece(t, id);
        note_joined_spaces(t, id);
    }
}

slm_status slmi_pieces_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    vocabulary v;
    SLM_TRY(read_vocabulary(gguf, &v, err));
    t->n_vocab = (uint32_t)v.tokens->count;
    size_t bytes;
    SLM_TRY(count_bytes(t, &v, &bytes, err));
    SLM_TRY(allocate(t, bytes, err));
    fill(t, &v);
    for (int byte = 0; byte < 256; byte++) {
        const char text[1] = { (char)byte };
        const int32_t piece = slmi_piece_find(t, text, 1, 1);
        /* A byte-level vocabulary's letters are its bytes; SPM prefers byte tokens. */
        if (piece >= 0 && (t->kind == SLMI_KIND_BPE || t->byte_ids[byte] < 0)) {
            t->byte_ids[byte] = piece;
        }
    }
    return SLM_OK;
}
