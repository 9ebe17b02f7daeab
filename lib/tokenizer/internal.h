/* SPDX-License-Identifier: MIT */
/* The tokenizer's own data: pieces, the two hash tables, special tokens. */
#ifndef SLMI_TOKENIZER_INTERNAL_H
#define SLMI_TOKENIZER_INTERNAL_H

#include "base/bytes.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"

/* Types of tokens in GGUF metadata. */
enum {
    SLMI_TOKEN_NORMAL = 1,
    SLMI_TOKEN_UNKNOWN = 2,
    SLMI_TOKEN_CONTROL = 3,
    SLMI_TOKEN_USER_DEFINED = 4,
    SLMI_TOKEN_UNUSED = 5,
    SLMI_TOKEN_BYTE = 6
};

/* What a token is, as bits. */
enum {
    SLMI_IS_PIECE = 1,    /* merging finds it */
    SLMI_IS_SPECIAL = 2,  /* its text is recognised before anything is split or merged */
    SLMI_IS_HIDDEN = 4,   /* decoding shows nothing; if special, only by SLM_TEXT_PARSE_SPECIAL */
    SLMI_IS_END = 8,      /* ends a text */
    SLMI_STRIPS_RIGHT = 16, /* as a special token it swallows the white space behind it */
    SLMI_IS_REPEATED = 32   /* not found: an earlier token has the same bytes */
};

/* Special tokens that are longer are not recognised in text: bounds the cost of a look-up. */
#define SLMI_LONGEST_SPECIAL 512

enum { SLMI_KIND_SPM, SLMI_KIND_BPE };

/* A merge of two pieces, in the order of the file; its index is its rank, 0 comes first. */
typedef struct slmi_merge {
    uint32_t left;
    uint32_t right;
    uint32_t result;
} slmi_merge;

struct slm_tokenizer {
    slmi_alloc own_alloc;
    slmi_alloc *alloc; /* &own_alloc: scratch memory is taken although the tokenizer is constant */
    _Atomic uint32_t references;

    uint32_t kind; /* SLMI_KIND_* */
    const slmi_pre *pre;
    uint32_t n_vocab;
    int32_t bos, eos, eot, eom, unk; /* -1 = none */
    uint32_t adds_bos;
    uint32_t adds_eos;
    uint32_t adds_space; /* SPM: a space goes before text, at its beginning and behind specials */

    /* Bytes of all pieces in one block; piece i is [offsets[i], offsets[i + 1]). An SPM word mark
     * (U+2581) is kept as a space, a byte-level piece as the bytes it stands for. */
    char *bytes;
    uint32_t *offsets; /* [n_vocab + 1] */
    uint8_t *flags;    /* [n_vocab] SLMI_IS_* */
    uint32_t longest;  /* bytes of the longest piece */

    uint32_t *piece_slots; /* open addressing over bytes: id + 1, or 0 */
    uint32_t n_piece_slots; /* a power of two */

    uint32_t *priorities;   /* SPM [n_vocab]: ascending order is descending score */
    int32_t byte_ids[256];  /* token of a single byte, or -1 */
    uint8_t joins_space[256]; /* SPM: 1 if some piece has this byte right before an inner space */

    slmi_merge *merges; /* BPE [n_merges] */
    uint32_t n_merges;
    uint32_t merges_capacity;
    uint32_t *merge_slots; /* open addressing over (left, right): rank + 1, or 0 */
    uint32_t n_merge_slots;

    uint32_t *specials; /* [n_specials] ids, sorted by bytes */
    uint32_t n_specials;
    uint32_t specials_capacity;
    uint32_t first_special[257]; /* specials that begin with byte b: [first[b], first[b + 1]) */
};

/* Text of a token. */
static inline const char *slmi_piece_bytes(const slm_tokenizer *t, uint32_t id)
{
    return t->bytes + t->offsets[id];
}

static inline uint32_t slmi_piece_length(const slm_tokenizer *t, uint32_t id)
{
    return t->offsets[id + 1] - t->offsets[id];
}

/* pieces.c */

/* Reads tokens, types and scores and builds the piece table. */
slm_status slmi_pieces_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err);

/* The token with these bytes that merging finds (piece = 1) or does not find (piece = 0), or -1. */
int32_t slmi_piece_find(const slm_tokenizer *t, const char *bytes, size_t length, int piece);

/* The same for bytes whose slmi_hash() is known. */
int32_t slmi_piece_find_hashed(const slm_tokenizer *t, uint64_t hash, const char *bytes, size_t length,
                               int piece);

/* merges.c */

/* Reads the merges of a byte-level vocabulary. */
slm_status slmi_merges_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err);

/* Rank of merging two pieces and the piece it gives, or UINT32_MAX. */
uint32_t slmi_merge_find(const slm_tokenizer *t, uint32_t left, uint32_t right, uint32_t *result);

/* Number of slots for a hash table of n entries. */
uint32_t slmi_slot_count(uint32_t n);

/* alphabet.c */

/* Bytes of text in GPT-2's byte alphabet, into out if it is not NULL (never longer than text).
 * SIZE_MAX if a character is not in the alphabet. */
size_t slmi_alphabet_decode(const char *text, size_t length, char *out);

/* special.c */

/* Reads special ids and finds the tokens that end a text. */
slm_status slmi_specials_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err);

/* Sorts the special tokens for slmi_special_match(). */
slm_status slmi_specials_index(slm_tokenizer *t, slm_error *err);

/* The longest special token that text[0..length), not empty, begins with, or -1. Hidden ones count only if
 * they fit into the first `hidden_length` bytes. */
int32_t slmi_special_match(const slm_tokenizer *t, const char *text, size_t length,
                           size_t hidden_length);

/* merge_engine.c */

/* Ids as they come out, counted beyond the capacity. */
typedef struct slmi_ids {
    int32_t *ids;
    size_t capacity;
    size_t count;
} slmi_ids;

static inline void slmi_ids_push(slmi_ids *out, int32_t id)
{
    if (out->count < out->capacity) {
        out->ids[out->count] = id;
    }
    out->count++;
}

/* Scratch for merging one word: arrays indexed by byte position; symbol i is [i, next[i]). */
typedef struct slmi_merger {
    const slm_tokenizer *t;
    const char *text;
    uint32_t n;
    uint32_t capacity;
    uint32_t n_heap;
    uint32_t *block;    /* the arrays' memory: 7 * capacity */
    uint32_t *next;     /* next symbol; n = the end */
    uint32_t *prev;     /* symbol before; UINT32_MAX = none */
    uint32_t *id;       /* of the symbol; UINT32_MAX = no piece */
    uint32_t *priority; /* of merging with the next one: least first; UINT32_MAX = cannot */
    uint32_t *result;   /* piece that this gives */
    uint32_t *heap;     /* symbols that can merge, by (priority, position) */
    uint32_t *place;    /* of a symbol in the heap; UINT32_MAX = not in it */
} slmi_merger;

/* Merges one word and appends its ids. */
slm_status slmi_merger_run(slmi_merger *merger, const char *text, uint32_t n, slmi_ids *out,
                           slm_error *err);

void slmi_merger_free(slmi_merger *merger);

#endif
