/* SPDX-License-Identifier: MIT */
/* Special tokens: their ids in the file, the ones that end a text, and finding them in text. */
#include "base/sort.h"
#include "base/text.h"
#include "tokenizer/internal.h"

/* Texts that end a turn or a text in the models that are around, the ends of turns first.
 * Source: github.com/ggml-org/llama.cpp, src/llama-vocab.cpp */
#define N_END_OF_TURN 11
static const char *const end_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
    "<EOT>", "_<EOT>", "[EOT]",
    "<\xEF\xBD\x9C\x65nd\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
    "<end_of_utterance>",
    "<|eom_id|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "[EOS]", "<eos>",
    "<turn|>", "<|tool_response>", "[e~[",
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
};

/* Marks of infilling, which end nothing. */
static const char *const control_texts[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "<|code_prefix|>", "<|prefix|>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "<|code_suffix|>", "<|suffix|>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "<|code_middle|>", "<|middle|>",
};

static slm_status read_id(const slm_tokenizer *t, const slmi_gguf *gguf, const char *key,
                          int32_t *id, slm_error *err)
{
    const slmi_gguf_entry *entry = slmi_gguf_find(gguf, key);
    if (entry == NULL) {
        return SLM_OK;
    }
    uint32_t read = 0;
    SLM_TRY(slmi_gguf_get_u32(gguf, key, &read, err));
    SLM_FAIL_AT_IF(read >= t->n_vocab, SLM_ERR_FORMAT, entry->offset,
                   "'%s' is %u, but the vocabulary has %u tokens", key, read, t->n_vocab);
    *id = (int32_t)read;
    return SLM_OK;
}

/* What SentencePiece models use when the file does not say. */
static int32_t default_id(const slm_tokenizer *t, uint32_t id)
{
    return t->kind == SLMI_KIND_SPM && id < t->n_vocab && (t->flags[id] & SLMI_IS_HIDDEN) != 0
               ? (int32_t)id
               : -1;
}

static slm_status read_ids(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    t->unk = default_id(t, 0);
    t->bos = default_id(t, 1);
    t->eos = default_id(t, 2);
    t->eot = -1;
    t->eom = -1;
    SLM_TRY(read_id(t, gguf, "tokenizer.ggml.bos_token_id", &t->bos, err));
    SLM_TRY(read_id(t, gguf, "tokenizer.ggml.eos_token_id", &t->eos, err));
    SLM_TRY(read_id(t, gguf, "tokenizer.ggml.eot_token_id", &t->eot, err));
    SLM_TRY(read_id(t, gguf, "tokenizer.ggml.eom_token_id", &t->eom, err));
    SLM_TRY(read_id(t, gguf, "tokenizer.ggml.unknown_token_id", &t->unk, err));
    t->adds_bos = t->kind == SLMI_KIND_SPM || t->pre->adds_bos;
    t->adds_eos = 0;
    SLM_TRY(slmi_gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &t->adds_bos, err));
    SLM_TRY(slmi_gguf_get_bool(gguf, "tokenizer.ggml.add_eos_token", &t->adds_eos, err));
    t->adds_bos = t->adds_bos && t->bos >= 0;
    t->adds_eos = t->adds_eos && t->eos >= 0;
    return SLM_OK;
}

static void mark_end(slm_tokenizer *t, int32_t id)
{
    if (id >= 0) {
        t->flags[id] |= SLMI_IS_END;
    }
}

/* Some files give these tokens a wrong type; they are control tokens whatever the file says. */
static void find_by_text(slm_tokenizer *t)
{
    for (size_t i = 0; i < sizeof(control_texts) / sizeof(control_texts[0]); i++) {
        const int32_t id = slmi_tokenizer_find(t, control_texts[i], strlen(control_texts[i]));
        if (id >= 0) {
            t->flags[id] = SLMI_IS_SPECIAL | SLMI_IS_HIDDEN;
        }
    }
    for (size_t i = 0; i < sizeof(end_texts) / sizeof(end_texts[0]); i++) {
        const int32_t id = slmi_tokenizer_find(t, end_texts[i], strlen(end_texts[i]));
        if (id < 0) {
            continue;
        }
        t->flags[id] = SLMI_IS_SPECIAL | SLMI_IS_HIDDEN | SLMI_IS_END;
        if (t->eot < 0 && i < N_END_OF_TURN) {
            t->eot = id;
        }
    }
    mark_end(t, t->eos);
    mark_end(t, t->eot);
    mark_end(t, t->eom);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* 1 if the text contains the word, which is in lower case, in whatever case. */
static int contains(slmi_text text, const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 0; i + length <= text.length; i++) {
        size_t same = 0;
        while (same < length && lower(text.data[i + same]) == word[same]) {
            same++;
        }
        if (same == length) {
            return 1;
        }
    }
    return 0;
}

/* The vocabulary of phi-3 swallows white space behind its special tokens. GGUF has no field for
 * that: the model is known by its name, and three tokens are excepted.
 * Source: github.com/ggml-org/llama.cpp, src/llama-vocab.cpp */
static slm_status find_strips(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    static const char *const excepted[] = { "<unk>", "<s>", "<|endoftext|>" };
    slmi_text name = { "", 0 };
    SLM_TRY(slmi_gguf_get_text(gguf, "general.name", &name, err));
    if (!contains(name, "phi-3") && !contains(name, "phi3")) {
        return SLM_OK;
    }
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        if (t->flags[id] & SLMI_IS_SPECIAL) {
            t->flags[id] |= SLMI_STRIPS_RIGHT;
        }
    }
    for (size_t i = 0; i < sizeof(excepted) / sizeof(excepted[0]); i++) {
        const int32_t id = slmi_tokenizer_find(t, excepted[i], strlen(excepted[i]));
        if (id >= 0) {
            t->flags[id] &= (uint8_t)~SLMI_STRIPS_RIGHT;
        }
    }
    return SLM_OK;
}

slm_status slmi_specials_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    SLM_TRY(read_ids(t, gguf, err));
    find_by_text(t);
    return find_strips(t, gguf, err);
}

/* Only valid UTF-8 counts, so that what lies between special tokens is valid as well, and of equal
 * ones the first. */
static int is_indexed(const slm_tokenizer *t, uint32_t id)
{
    const char *bytes = slmi_piece_bytes(t, id);
    const uint32_t length = slmi_piece_length(t, id);
    return (t->flags[id] & SLMI_IS_SPECIAL) != 0 && length > 0 && length <= SLMI_LONGEST_SPECIAL &&
           slmi_utf8_check(bytes, length) == length &&
           slmi_piece_find(t, bytes, length, t->flags[id] & SLMI_IS_PIECE) == (int32_t)id;
}

static int bytes_less(const void *ctx, uint32_t a, uint32_t b)
{
    const slm_tokenizer *t = ctx;
    const uint32_t length_a = slmi_piece_length(t, a);
    const uint32_t length_b = slmi_piece_length(t, b);
    const int order = memcmp(slmi_piece_bytes(t, a), slmi_piece_bytes(t, b),
                             length_a < length_b ? length_a : length_b);
    if (order != 0 || length_a != length_b) {
        return order < 0 || (order == 0 && length_a < length_b);
    }
    return a < b;
}

slm_status slmi_specials_index(slm_tokenizer *t, slm_error *err)
{
    uint32_t n = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        n += (uint32_t)is_indexed(t, id);
    }
    if (n == 0) {
        return SLM_OK;
    }
    t->specials = slmi_new_array(t->alloc, n, sizeof(uint32_t), 4);
    if (t->specials == NULL) {
        return slmi_alloc_fail(t->alloc, n * sizeof(uint32_t), err);
    }
    t->specials_capacity = n;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        if (is_indexed(t, id)) {
            t->specials[t->n_specials++] = id;
        }
    }
    slmi_sort_indices(t->specials, n, bytes_less, t);
    for (uint32_t i = 0; i < n; i++) {
        t->first_special[(uint8_t)slmi_piece_bytes(t, t->specials[i])[0] + 1]++;
    }
    for (int byte = 0; byte < 256; byte++) {
        t->first_special[byte + 1] += t->first_special[byte];
    }
    return SLM_OK;
}

/* First of the specials [low, high), equal in their first `depth` bytes, whose next byte is >=
 * byte. */
static uint32_t lower_bound(const slm_tokenizer *t, uint32_t low, uint32_t high, uint32_t depth,
                            int byte)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint32_t id = t->specials[middle];
        const int next =
            slmi_piece_length(t, id) > depth ? (uint8_t)slmi_piece_bytes(t, id)[depth] : -1;
        if (next < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int32_t slmi_special_match(const slm_tokenizer *t, const char *text, size_t length,
                           size_t hidden_length)
{
    const uint8_t first = (uint8_t)text[0];
    uint32_t low = t->first_special[first];
    uint32_t high = t->first_special[first + 1];
    int32_t longest = -1;
    for (uint32_t depth = 1; low < high; depth++) {
        /* Those that end here come first: they are the shortest of the range. */
        for (uint32_t i = low; i < high && slmi_piece_length(t, t->specials[i]) == depth; i++) {
            const int hidden = (t->flags[t->specials[i]] & SLMI_IS_HIDDEN) != 0;
            if (!hidden || depth <= hidden_length) {
                longest = (int32_t)t->specials[i];
                break;
            }
        }
        if (depth >= length) {
            break;
        }
        const uint8_t byte = (uint8_t)text[depth];
        low = lower_bound(t, low, high, depth, byte);
        high = lower_bound(t, low, high, depth, byte + 1);
    }
    return longest;
}

int32_t slmi_tokenizer_find(const slm_tokenizer *t, const char *text, size_t length)
{
    const int32_t special = slmi_piece_find(t, text, length, 0);
    return special >= 0 ? special : slmi_piece_find(t, text, length, 1);
}
