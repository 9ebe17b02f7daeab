/* SPDX-License-Identifier: MIT */
/* Merges of byte-level vocabularies, by the ids of their two pieces. */
#include "tokenizer/internal.h"

#define MAX_MERGES (UINT32_C(1) << 27)

static uint32_t slot_of(const slm_tokenizer *t, uint32_t left, uint32_t right)
{
    const uint64_t key = (uint64_t)left << 32 | right;
    const uint64_t mixed = (key ^ key >> 29) * UINT64_C(0x9E3779B97F4A7C15); /* golden ratio */
    return (uint32_t)(mixed >> 32) & (t->n_merge_slots - 1);
}

/* The slot of a merge, or the empty one where it belongs. */
static uint32_t find_slot(const slm_tokenizer *t, uint32_t left, uint32_t right)
{
    uint32_t slot = slot_of(t, left, right);
    for (; t->merge_slots[slot] != 0; slot = (slot + 1) & (t->n_merge_slots - 1)) {
        const slmi_merge *merge = &t->merges[t->merge_slots[slot] - 1];
        if (merge->left == left && merge->right == right) {
            break;
        }
    }
    return slot;
}

uint32_t slmi_merge_find(const slm_tokenizer *t, uint32_t left, uint32_t right, uint32_t *result)
{
    const uint32_t found = t->n_merge_slots == 0 ? 0 : t->merge_slots[find_slot(t, left, right)];
    if (found == 0) {
        return UINT32_MAX;
    }
    *result = t->merges[found - 1].result;
    return found - 1;
}

/* Of equal merges the first one counts. */
static void insert_merge(slm_tokenizer *t, const slmi_merge *merge)
{
    const uint32_t slot = find_slot(t, merge->left, merge->right);
    if (t->merge_slots[slot] == 0) {
        t->merges[t->n_merges] = *merge;
        t->merge_slots[slot] = ++t->n_merges;
    }
}

/* 1 if slmi_piece_find() would find this token. */
static int is_found(const slm_tokenizer *t, uint32_t id, const char *bytes, size_t length)
{
    return id < t->n_vocab && slmi_piece_length(t, id) == length &&
           (t->flags[id] & (SLMI_IS_PIECE | SLMI_IS_REPEATED)) == SLMI_IS_PIECE &&
           memcmp(slmi_piece_bytes(t, id), bytes, length) == 0;
}

/* What a merge gives; most often the result of the merge before or the token behind that. */
static int32_t find_result(const slm_tokenizer *t, uint32_t before, uint64_t hash, const char *bytes,
                           size_t length)
{
    for (uint32_t id = before; id <= before + 1; id++) {
        if (is_found(t, id, bytes, length)) {
            return (int32_t)id;
        }
    }
    return slmi_piece_find_hashed(t, hash, bytes, length, 1);
}

/* Reads "left right"; the space is the first one after the first character. Returns 0 if one of
 * the two or what they give is not in the vocabulary: such a merge can never end in a token, and
 * *merge, which comes in as the one before, stays. */
static int parse_merge(const slm_tokenizer *t, slmi_text text, char *bytes, slmi_merge *merge)
{
    const char *space = text.length > 1 ? memchr(text.data + 1, ' ', text.length - 1) : NULL;
    if (space == NULL) {
        return 0;
    }
    const size_t first = (size_t)(space - text.data);
    const size_t left = slmi_alphabet_decode(text.data, first, bytes);
    if (left == SIZE_MAX) {
        return 0;
    }
    const size_t right = slmi_alphabet_decode(space + 1, text.length - first - 1, bytes + left);
    if (right == SIZE_MAX) {
        return 0;
    }
    const uint64_t left_hash = slmi_hash(SLMI_HASH_START, bytes, left);
    const int32_t left_id = slmi_piece_find_hashed(t, left_hash, bytes, left, 1);
    const int32_t right_id = slmi_piece_find(t, bytes + left, right, 1);
    const int32_t result = find_result(t, merge->result, slmi_hash(left_hash, bytes + left, right), bytes,
                                       left + right);
    if (left_id < 0 || right_id < 0 || result < 0) {
        return 0;
    }
    merge->left = (uint32_t)left_id;
    merge->right = (uint32_t)right_id;
    merge->result = (uint32_t)result;
    return 1;
}

static size_t longest_text(const slmi_gguf_entry *merges)
{
    size_t longest = 0;
    uint64_t position = 0;
    for (uint64_t i = 0; i < merges->count; i++) {
        const slmi_text text = slmi_gguf_next_string(merges, &position);
        longest = text.length > longest ? text.length : longest;
    }
    return longest;
}

static slm_status allocate(slm_tokenizer *t, uint32_t n, slm_error *err)
{
    t->merges_capacity = n;
    t->n_merge_slots = slmi_slot_count(n);
    t->merges = slmi_new_array(t->alloc, n, sizeof(*t->merges), 4);
    t->merge_slots = slmi_new_array(t->alloc, t->n_merge_slots, sizeof(uint32_t), 4);
    if (t->merges == NULL || t->merge_slots == NULL) {
        return slmi_alloc_fail(t->alloc, n * (uint64_t)sizeof(*t->merges) + t->n_merge_slots * 4u,
                               err);
    }
    return SLM_OK;
}

slm_status slmi_merges_load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    const slmi_gguf_entry *merges;
    SLM_TRY(slmi_gguf_get_array(gguf, "tokenizer.ggml.merges", SLMI_GGUF_STRING, &merges, err));
    SLM_FAIL_IF(merges == NULL, SLM_ERR_FORMAT, "the file has no 'tokenizer.ggml.merges'");
    SLM_FAIL_AT_IF(merges->count > MAX_MERGES, SLM_ERR_LIMIT, merges->offset,
                   "the vocabulary has %llu merges", (unsigned long long)merges->count);
    if (merges->count == 0) {
        return SLM_OK;
    }
    SLM_TRY(allocate(t, (uint32_t)merges->count, err));
    const size_t longest = longest_text(merges);
    char *bytes = slmi_new(t->alloc, longest + 1, 1);
    if (bytes == NULL) {
        return slmi_alloc_fail(t->alloc, longest + 1, err);
    }
    uint64_t position = 0;
    slmi_merge merge = { 0, 0, 0 };
    for (uint64_t i = 0; i < merges->count; i++) {
        if (parse_merge(t, slmi_gguf_next_string(merges, &position), bytes, &merge)) {
            insert_merge(t, &merge);
        }
    }
    slmi_free(t->alloc, bytes, longest + 1, 1);
    return SLM_OK;
}
