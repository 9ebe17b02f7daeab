/* SPDX-License-Identifier: MIT */
/* A tokenizer's life, what it is, and ids back to text. */
#include "base/text.h"
#include "tokenizer/internal.h"

static slm_status read_kind(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    slmi_text model = { NULL, 0 };
    SLM_TRY(slmi_gguf_get_text(gguf, "tokenizer.ggml.model", &model, err));
    SLM_FAIL_IF(model.data == NULL, SLM_ERR_FORMAT,
                "the file has no tokenizer: 'tokenizer.ggml.model' is missing");
    const uint64_t offset = slmi_gguf_find(gguf, "tokenizer.ggml.model")->offset;
    if (model.length == 5 && memcmp(model.data, "llama", 5) == 0) {
        t->kind = SLMI_KIND_SPM;
        return SLM_OK;
    }
    SLM_FAIL_AT_IF(model.length != 4 || memcmp(model.data, "gpt2", 4) != 0, SLM_ERR_UNSUPPORTED,
                   offset, "tokenizer '%.*s' is not known; 'llama' and 'gpt2' are",
                   (int)(model.length < 64 ? model.length : 64), model.data);
    t->kind = SLMI_KIND_BPE;
    return SLM_OK;
}

static slm_status read_pre(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    static const slmi_pre none = { "", 0, 0, 0 };
    t->pre = &none;
    if (t->kind == SLMI_KIND_SPM) {
        t->adds_space = 1;
        return slmi_gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &t->adds_space, err);
    }
    slmi_text name = { NULL, 0 };
    SLM_TRY(slmi_gguf_get_text(gguf, "tokenizer.ggml.pre", &name, err));
    SLM_FAIL_IF(name.data == NULL, SLM_ERR_UNSUPPORTED,
                "the file does not name its pre-tokenizer: 'tokenizer.ggml.pre' is missing");
    t->pre = slmi_pre_find(name.data, name.length);
    SLM_FAIL_AT_IF(t->pre == NULL, SLM_ERR_UNSUPPORTED,
                   slmi_gguf_find(gguf, "tokenizer.ggml.pre")->offset,
                   "pre-tokenizer '%.*s' is not known",
                   (int)(name.length < 64 ? name.length : 64), name.data);
    return SLM_OK;
}

static slm_status load(slm_tokenizer *t, const slmi_gguf *gguf, slm_error *err)
{
    SLM_TRY(read_kind(t, gguf, err));
    SLM_TRY(read_pre(t, gguf, err));
    SLM_TRY(slmi_pieces_load(t, gguf, err));
    SLM_TRY(slmi_specials_load(t, gguf, err));
    SLM_TRY(slmi_specials_index(t, err));
    return t->kind == SLMI_KIND_BPE ? slmi_merges_load(t, gguf, err) : SLM_OK;
}

slm_status slmi_tokenizer_create(const slmi_gguf *gguf, const slm_host *host, uint64_t limit,
                                 slm_tokenizer **out, slm_error *err)
{
    *out = NULL;
    slmi_alloc first;
    SLM_TRY(slmi_alloc_init(&first, host, limit, err));
    slm_tokenizer *t = slmi_new(&first, sizeof(*t), _Alignof(slm_tokenizer));
    if (t == NULL) {
        return slmi_alloc_fail(&first, sizeof(*t), err);
    }
    t->own_alloc.host = first.host;
    t->own_alloc.limit = limit;
    atomic_init(&t->own_alloc.used, sizeof(*t));
    atomic_init(&t->own_alloc.over_limit, 0);
    atomic_init(&t->references, 1);
    t->alloc = &t->own_alloc;
    const slm_status status = load(t, gguf, err);
    if (status != SLM_OK) {
        slmi_tokenizer_release(t);
        return status;
    }
    *out = t;
    return SLM_OK;
}

void slmi_tokenizer_retain(slm_tokenizer *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
}

static void destroy(slm_tokenizer *t)
{
    const size_t n = t->n_vocab;
    slmi_free(t->alloc, t->bytes, t->offsets != NULL ? (size_t)t->offsets[n] + 1 : 0, 1);
    slmi_free(t->alloc, t->offsets, (n + 1) * sizeof(uint32_t), 4);
    slmi_free(t->alloc, t->flags, n, 1);
    slmi_free(t->alloc, t->piece_slots, t->n_piece_slots * sizeof(uint32_t), 4);
    slmi_free(t->alloc, t->priorities, n * sizeof(uint32_t), 4);
    slmi_free(t->alloc, t->merges, t->merges_capacity * sizeof(*t->merges), 4);
    slmi_free(t->alloc, t->merge_slots, t->n_merge_slots * sizeof(uint32_t), 4);
    slmi_free(t->alloc, t->specials, t->specials_capacity * sizeof(uint32_t), 4);
    const slm_allocator host = t->own_alloc.host;
    host.free(host.ctx, t, sizeof(*t), _Alignof(slm_tokenizer));
}

void slmi_tokenizer_release(slm_tokenizer *t)
{
    if (t != NULL && atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) == 1) {
        destroy(t);
    }
}

slm_status slmi_tokenizer_piece(const slm_tokenizer *t, int32_t id, uint32_t flags,
                                const char **bytes, size_t *length, slm_error *err)
{
    SLM_FAIL_IF(id < 0 || (uint32_t)id >= t->n_vocab, SLM_ERR_OUT_OF_RANGE,
                "token %d is not in the vocabulary of %u tokens", (int)id, t->n_vocab);
    const int hidden = (t->flags[id] & SLMI_IS_HIDDEN) != 0 && !(flags & SLM_TEXT_SHOW_SPECIAL);
    *bytes = slmi_piece_bytes(t, (uint32_t)id);
    *length = hidden ? 0 : slmi_piece_length(t, (uint32_t)id);
    return SLM_OK;
}

int slmi_tokenizer_strips_space(const slm_tokenizer *t)
{
    return t->adds_space != 0;
}

int slmi_tokenizer_is_end(const slm_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n_vocab && (t->flags[id] & SLMI_IS_END) != 0;
}

void slmi_tokenizer_info(const slm_tokenizer *t, slm_tokenizer_info *info)
{
    info->n_vocab = t->n_vocab;
    info->bos = t->bos;
    info->eos = t->eos;
    info->eot = t->eot;
    info->unk = t->unk;
    info->adds_bos = t->adds_bos;
    info->adds_eos = t->adds_eos;
    info->kind = t->kind == SLMI_KIND_SPM ? "spm" : "bpe";
    info->pre = t->pre->name;
}

uint64_t slmi_tokenizer_memory(const slm_tokenizer *t)
{
    return atomic_load(&t->alloc->used);
}

size_t slmi_tokenizer_longest_piece(const slm_tokenizer *t)
{
    return t->longest;
}

/* Text as it comes out: bytes that are no valid UTF-8 together become U+FFFD, and what does not
 * fit is counted only. */
typedef struct decoder {
    char *text;
    size_t capacity;
    size_t length;
    int strips_space;
    char pending[4]; /* the beginning of a character */
    size_t n_pending;
} decoder;

static void put(decoder *d, const char *bytes, size_t n)
{
    if (d->length + n <= d->capacity) {
        memcpy(d->text + d->length, bytes, n);
    }
    d->length += n;
}

static void drop(decoder *d, size_t n)
{
    d->n_pending -= n;
    memmove(d->pending, d->pending + n, d->n_pending);
}

/* Writes as much of the pending bytes as can be decided; all of it at the end. */
static void settle(decoder *d, int at_end)
{
    while (d->n_pending > 0) {
        uint32_t code_point;
        const size_t n = slmi_utf8_decode(d->pending, d->n_pending, &code_point);
        if (n > 0) {
            put(d, d->pending, n);
            drop(d, n);
        } else if (!at_end && slmi_utf8_is_incomplete(d->pending, d->n_pending)) {
            return;
        } else {
            put(d, "\xEF\xBF\xBD", 3);
            drop(d, slmi_utf8_invalid_length(d->pending, d->n_pending));
        }
    }
}

static void feed(decoder *d, const char *bytes, size_t n)
{
    size_t i = 0;
    if (n > 0 && d->strips_space) {
        d->strips_space = 0;
        i = bytes[0] == ' ';
    }
    for (; i < n; i++) {
        d->pending[d->n_pending++] = bytes[i];
        settle(d, 0);
    }
}

slm_status slmi_tokenizer_decode(const slm_tokenizer *t, const int32_t *ids, size_t n_ids,
                                 uint32_t flags, char *text, size_t capacity, size_t *length,
                                 slm_error *err)
{
    decoder d = { text, capacity, 0, slmi_tokenizer_strips_space(t), { 0 }, 0 };
    *length = 0;
    for (size_t i = 0; i < n_ids; i++) {
        const char *bytes;
        size_t n;
        SLM_FAIL_AT_IF(slmi_tokenizer_piece(t, ids[i], flags, &bytes, &n, NULL) != SLM_OK,
                       SLM_ERR_OUT_OF_RANGE, i, "token %d is not in the vocabulary of %u tokens",
                       (int)ids[i], t->n_vocab);
        feed(&d, bytes, n);
    }
    settle(&d, 1);
    *length = d.length;
    SLM_FAIL_IF(d.length > capacity, SLM_ERR_BUFFER_TOO_SMALL,
                "the text has %llu bytes; there is room for %llu", (unsigned long long)d.length,
                (unsigned long long)capacity);
    return SLM_OK;
}
