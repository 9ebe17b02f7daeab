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

uint32_t slmi_merge_find(const slm_tokenizer *t, uint32_t left, uint32_t right, uint32_t *result)
{
    if (t->n_merge_slots == 0) {
        return UINT32_MAX;
    }
    uint32_t slot = slot_of(t, left, right);
    for (; t->merge_slots[slot] != 0; slot = (slot + 1) & (t->n_merge_slots - 1)) {
        const uint32_t rank = t->merge_slots[slot] - 1;
        if (t->merges[rank].left == left && t->merges[rank].right == right) {
            *result = t->merges[rank].result;
            return rank;
        }
    }
    return UINT32_MAX;
}

/* Of equal merges the first one counts. */
static void insert_merge(slm_tokenizer *t, const slmi_merge *merge)
{
    uint32_t result;
    if (slmi_merge_find(t, merge->left, merge->right, &result) != UINT32_MAX) {
        return;
    }
    uint32_t slot = slot_of(t, merge->left, merge->right);
    while (t->merge_slots[slot] != 0) {
        slot = (slot + 1) & (t->n_merge_slots - 1);
    }
    t->merges[t->n_merges] = *merge;
    t->merge_slots[slot] = ++t->n_merges;
}

/* Reads "left right"; the space is the first one after the first character. Returns 0 if one of
 * the two or what they give is not in the vocabulary: such a merge can never end in a token. */
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
    const int32_t left_id = slmi_piece_find(t, bytes, left, 1);
    const int32_t right_id = slmi_piece_find(t, bytes + left, right, 1);
    const int32_t result = slmi_piece_find(t, bytes, left + right, 1);
    merge->left = (uint32_t)left_id;
    merge->right = (uint32_t)right_id;
    merge->result = (uint32_t)result;
    return left_id >= 0 && right_id >= 0 && result >= 0;
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
    for (uint64_t i = 0; i < merges->count; i++) {
        slmi_merge merge;
        if (parse_merge(t, slmi_gguf_next_string(merges, &position), bytes, &merge)) {
            insert_merge(t, &merge);
        }
    }
    slmi_free(t->alloc, bytes, longest + 1, 1);
    return SLM_OK;
}
