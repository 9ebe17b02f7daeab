/* SPDX-License-Identifier: MIT */
/* Byte-pair merging of one word: again and again the best pair of neighbours becomes one symbol.
 * A heap holds at most one entry per symbol, so a word of n bytes costs O(n log n).
 * Source: Sennrich, Haddow, Birch, Neural Machine Translation of Rare Words with Subword Units. */
#include "base/text.h"
#include "tokenizer/internal.h"

#define NONE UINT32_MAX
#define N_ARRAYS 7

static slm_status reserve(slmi_merger *m, uint32_t n, slm_error *err)
{
    if (n <= m->capacity) {
        return SLM_OK;
    }
    const uint32_t capacity = n < 128 ? 128 : n + n / 4;
    slmi_merger_free(m);
    m->block = slmi_new_array(m->t->alloc, (size_t)capacity * N_ARRAYS, sizeof(uint32_t), 4);
    if (m->block == NULL) {
        return slmi_alloc_fail(m->t->alloc, (uint64_t)capacity * N_ARRAYS * sizeof(uint32_t), err);
    }
    m->capacity = capacity;
    uint32_t **arrays[N_ARRAYS] = { &m->next,   &m->prev, &m->id,   &m->priority,
                                    &m->result, &m->heap, &m->place };
    for (size_t i = 0; i < N_ARRAYS; i++) {
        *arrays[i] = m->block + i * capacity;
    }
    return SLM_OK;
}

void slmi_merger_free(slmi_merger *m)
{
    slmi_free(m->t->alloc, m->block, (size_t)m->capacity * N_ARRAYS * sizeof(uint32_t), 4);
    m->block = NULL;
    m->capacity = 0;
}

/* Equal pairs merge from left to right. */
static int goes_first(const slmi_merger *m, uint32_t a, uint32_t b)
{
    return m->priority[a] < m->priority[b] || (m->priority[a] == m->priority[b] && a < b);
}

static void put(slmi_merger *m, uint32_t slot, uint32_t symbol)
{
    m->heap[slot] = symbol;
    m->place[symbol] = slot;
}

static void sift_up(slmi_merger *m, uint32_t slot)
{
    const uint32_t symbol = m->heap[slot];
    while (slot > 0 && goes_first(m, symbol, m->heap[(slot - 1) / 2])) {
        put(m, slot, m->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    put(m, slot, symbol);
}

static void sift_down(slmi_merger *m, uint32_t slot)
{
    const uint32_t symbol = m->heap[slot];
    for (;;) {
        uint64_t child = 2 * (uint64_t)slot + 1;
        if (child >= m->n_heap) {
            break;
        }
        if (child + 1 < m->n_heap && goes_first(m, m->heap[child + 1], m->heap[child])) {
            child++;
        }
        if (!goes_first(m, m->heap[child], symbol)) {
            break;
        }
        put(m, slot, m->heap[child]);
        slot = (uint32_t)child;
    }
    put(m, slot, symbol);
}

static void heap_remove(slmi_merger *m, uint32_t symbol)
{
    const uint32_t slot = m->place[symbol];
    m->place[symbol] = NONE;
    m->n_heap--;
    if (slot < m->n_heap) {
        put(m, slot, m->heap[m->n_heap]);
        sift_up(m, slot);
        sift_down(m, slot);
    }
}

/* The piece that symbol i and its neighbour give, with its priority. */
static uint32_t pair_priority(slmi_merger *m, uint32_t i)
{
    const uint32_t right = m->next[i];
    if (right == m->n) {
        return NONE;
    }
    if (m->t->kind == SLMI_KIND_BPE) {
        return m->id[i] == NONE || m->id[right] == NONE
                   ? NONE
                   : slmi_merge_find(m->t, m->id[i], m->id[right], &m->result[i]);
    }
    const int32_t piece = slmi_piece_find(m->t, m->text + i, m->next[right] - i, 1);
    m->result[i] = (uint32_t)piece;
    return piece < 0 ? NONE : m->t->priorities[piece];
}

static void update_pair(slmi_merger *m, uint32_t i)
{
    const uint32_t priority = pair_priority(m, i);
    if (priority == NONE) {
        if (m->place[i] != NONE) {
            heap_remove(m, i);
        }
        return;
    }
    m->priority[i] = priority;
    if (m->place[i] == NONE) {
        put(m, m->n_heap++, i);
    }
    sift_up(m, m->place[i]);
    sift_down(m, m->place[i]);
}

/* Symbols at first: bytes, or for SPM characters. */
static void begin_symbols(slmi_merger *m)
{
    uint32_t before = NONE;
    m->n_heap = 0;
    for (uint32_t i = 0; i < m->n;) {
        uint32_t length = 1;
        if (m->t->kind == SLMI_KIND_SPM) {
            uint32_t code_point;
            length = (uint32_t)slmi_utf8_decode(m->text + i, m->n - i, &code_point);
            m->id[i] = (uint32_t)slmi_piece_find(m->t, m->text + i, length, 1);
        } else {
            m->id[i] = (uint32_t)m->t->byte_ids[(uint8_t)m->text[i]];
        }
        m->prev[i] = before;
        m->next[i] = i + length;
        m->place[i] = NONE;
        before = i;
        i += length;
    }
    for (uint32_t i = 0; i < m->n; i = m->next[i]) {
        update_pair(m, i);
    }
}

static void merge_best(slmi_merger *m)
{
    const uint32_t left = m->heap[0];
    const uint32_t right = m->next[left];
    heap_remove(m, left);
    if (m->place[right] != NONE) {
        heap_remove(m, right);
    }
    m->id[left] = m->result[left];
    m->next[left] = m->next[right];
    if (m->next[left] != m->n) {
        m->prev[m->next[left]] = left;
    }
    update_pair(m, left);
    if (m->prev[left] != NONE) {
        update_pair(m, m->prev[left]);
    }
}

/* A symbol that is no piece: its bytes' tokens, or one unknown token if a byte has none. Byte-level
 * vocabularies have a token for every byte; should one lack, the byte is left out, as elsewhere. */
static void push_bytes(const slmi_merger *m, uint32_t begin, uint32_t end, slmi_ids *out)
{
    for (uint32_t i = begin; i < end; i++) {
        if (m->t->kind == SLMI_KIND_SPM && m->t->byte_ids[(uint8_t)m->text[i]] < 0) {
            if (m->t->unk >= 0) {
                slmi_ids_push(out, m->t->unk);
            }
            return;
        }
    }
    for (uint32_t i = begin; i < end; i++) {
        if (m->t->byte_ids[(uint8_t)m->text[i]] >= 0) {
            slmi_ids_push(out, m->t->byte_ids[(uint8_t)m->text[i]]);
        }
    }
}

slm_status slmi_merger_run(slmi_merger *m, const char *text, uint32_t n, slmi_ids *out,
                           slm_error *err)
{
    SLM_TRY(reserve(m, n, err));
    m->text = text;
    m->n = n;
    begin_symbols(m);
    while (m->n_heap > 0) {
        merge_best(m);
    }
    for (uint32_t i = 0; i < n; i = m->next[i]) {
        if (m->id[i] != NONE) {
            slmi_ids_push(out, (int32_t)m->id[i]);
        } else {
            push_bytes(m, i, m->next[i], out);
        }
    }
    return SLM_OK;
}
