/* SPDX-License-Identifier: MIT */
/* Random calls on samplers, tokenizers, chats and models, loading among them. */
#include "fuzz_api.h"

static void make_sampler(world *w)
{
    slm_sampler **sampler = &w->samplers[take(w) % N_SAMPLERS];
    const uint8_t choice = take(w);
    const uint32_t n_vocab = choice < 8 ? take_number(w) % 5000 : TINY_VOCAB;
    slm_sampler_release(*sampler);
    const slm_status status = slm_sampler_create(n_vocab, &w->memory->host, sampler, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_INVALID_ARGUMENT);
    MUST((*sampler != NULL) == (status == SLM_OK));
}

static float take_float(world *w)
{
    const uint32_t number = take_number(w);
    float value;
    memcpy(&value, &number, sizeof(value));
    return number < 256 ? (float)number / 64.0f : value;
}

static void set_sampler_value(world *w)
{
    slm_sampler *sampler = w->samplers[take(w) % N_SAMPLERS];
    const uint32_t param = take(w) % 24;
    if (take(w) & 1) {
        MAY_BE(w, slm_sampler_set_f32(sampler, param, take_float(w), fresh_error(w)),
               SLM_ERR_INVALID_ARGUMENT, SLM_ERR_OUT_OF_RANGE);
    } else {
        MAY_BE(w, slm_sampler_set_u32(sampler, param, take_number(w), fresh_error(w)),
               SLM_ERR_INVALID_ARGUMENT, SLM_ERR_OUT_OF_RANGE);
    }
    float f32;
    uint32_t u32;
    MAY_BE(w, slm_sampler_get_f32(sampler, param, &f32, fresh_error(w)), SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_sampler_get_u32(sampler, param, &u32, fresh_error(w)), SLM_ERR_INVALID_ARGUMENT);
}

static void sample(world *w)
{
    static float logits[5000];
    int32_t history[4], tokens[256], token = -1;
    float logprob, logprobs[256];
    slm_sampler *sampler = w->samplers[take(w) % N_SAMPLERS];
    for (size_t i = 0; i < sizeof(logits) / sizeof(logits[0]); i++) {
        logits[i] = (float)((i * 7919) % 101) / 16.0f;
    }
    logits[take(w)] = take_float(w);
    for (size_t i = 0; i < 4; i++) {
        history[i] = (int32_t)take_number(w);
    }
    const slm_status status = slm_sampler_sample(sampler, logits, history, take(w) % 5, take(w), &token,
                                                 &logprob, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_NOT_FINITE, SLM_ERR_INVALID_ARGUMENT);
    MUST(status != SLM_OK || (token >= 0 && token < 5000));
    MAY_BE(w, slm_sampler_get_top(sampler, logits, take_number(w), tokens, logprobs, fresh_error(w)),
           SLM_ERR_NOT_FINITE, SLM_ERR_OUT_OF_RANGE, SLM_ERR_INVALID_ARGUMENT);
}

static void use_tokenizer(world *w, const slm_tokenizer *t)
{
    int32_t ids[300];
    char back[4096];
    size_t n, length;
    const size_t wanted = take(w);
    const uint32_t flags = take(w) % 16;
    const size_t capacity = take(w) < 200 ? 300 : take(w);
    const char *text = (const char *)w->data;
    const slm_status status = slm_tokenizer_encode(t, text, wanted < w->size ? wanted : w->size, flags,
                                                   ids, capacity, &n, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_INVALID_UTF8, SLM_ERR_INVALID_ARGUMENT);
    MUST(status != SLM_ERR_BUFFER_TOO_SMALL || n > capacity);
    if (status != SLM_OK) {
        return;
    }
    if (n > 0 && take(w) < 8) {
        ids[take(w) % n] = (int32_t)take_number(w);
    }
    MAY_BE(w, slm_tokenizer_decode(t, ids, n, take(w) % 16, back, take(w) < 200 ? sizeof(back) : take(w),
                                   &length, fresh_error(w)),
           SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_OUT_OF_RANGE, SLM_ERR_INVALID_ARGUMENT);
}

static void describe_token(world *w, const slm_tokenizer *t)
{
    WITH_TAIL(slm_tokenizer_info, info, SLM_TOKENIZER_INFO_INIT);
    const int32_t id = (int32_t)take_number(w);
    const char *bytes;
    size_t length;
    const slm_status status = slm_tokenizer_get_piece(t, id, &bytes, &length, fresh_error(w));
    MAY_BE(w, status, SLM_ERR_OUT_OF_RANGE);
    MUST((status == SLM_OK) == (id >= 0 && id < TINY_VOCAB));
    (void)slm_tokenizer_is_end(t, id);
    wild_size(w, &info, sizeof(info.known));
    MAY_BE(w, slm_tokenizer_get_info(t, &info.known, fresh_error(w)), SLM_ERR_INVALID_ARGUMENT);
}

static void chat(world *w, const slm_model *model)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool", "", NULL };
    slm_chat_message messages[4];
    char text[512];
    int32_t ids[300];
    size_t length, n_ids;
    const size_t n = take(w) % 5;
    for (size_t i = 0; i < n; i++) {
        messages[i].role = roles[take(w) % 6];
        messages[i].content_length = take(w) % 32;
        if (messages[i].content_length > w->size) {
            messages[i].content_length = w->size;
        }
        messages[i].content = (const char *)w->data;
    }
    const uint32_t flags = take(w) % 5;
    const slm_status status = slm_chat_render(model, messages, n, flags, text,
                                              take(w) & 1 ? sizeof(text) : take(w), &length,
                                              fresh_error(w));
    MAY_BE(w, status, SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_UNSUPPORTED, SLM_ERR_INVALID_UTF8,
           SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_chat_encode(model, messages, n, flags, ids, take(w) & 1 ? 300 : take(w), &n_ids,
                              fresh_error(w)),
           SLM_ERR_BUFFER_TOO_SMALL, SLM_ERR_UNSUPPORTED, SLM_ERR_INVALID_UTF8,
           SLM_ERR_INVALID_ARGUMENT);
}

static void describe_model(world *w, const slm_model *model)
{
    WITH_TAIL(slm_model_info, info, SLM_MODEL_INFO_INIT);
    WITH_TAIL(slm_tensor_info, tensor, SLM_TENSOR_INFO_INIT);
    WITH_TAIL(slm_param_info, param, SLM_PARAM_INFO_INIT);
    const char *key, *value, *format;
    const uint32_t index = take_number(w);
    wild_size(w, &info, sizeof(info.known));
    wild_size(w, &tensor, sizeof(tensor.known));
    wild_size(w, &param, sizeof(param.known));
    MAY_BE(w, slm_model_get_info(model, &info.known, fresh_error(w)), SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_model_get_tensor(model, index, &tensor.known, fresh_error(w)), SLM_END,
           SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_session_get_param_info(index, NULL, &param.known, fresh_error(w)), SLM_END,
           SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_sampler_get_param_info(index, NULL, &param.known, fresh_error(w)), SLM_END,
           SLM_ERR_INVALID_ARGUMENT);
    MAY_BE(w, slm_model_get_metadata(model, index, &key, &value, fresh_error(w)), SLM_END);
    MAY_BE(w, slm_chat_get_format(model, &format, fresh_error(w)), SLM_ERR_UNSUPPORTED);
    MUST(slm_status_name((slm_status)index)[0] == 'S' && slm_status_text((slm_status)index)[0] != '\0');
    MUST(slm_cpu_level_name(index)[0] != '\0');
}

/* Loading: a file in memory that ends too early, a reader that fails, a host that cancels. */
typedef struct loading {
    const uint8_t *file;
    uint32_t reads_left, progress_left;
} loading;

static slm_status read_file(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    loading *l = ctx;
    if (l->reads_left == 0) {
        return SLM_ERR_IO;
    }
    l->reads_left--;
    memcpy(buffer, l->file + offset, size);
    return SLM_OK;
}

static int32_t maybe_cancel(void *ctx, float done)
{
    loading *l = ctx;
    MUST(done >= 0.0f && done <= 1.0f);
    return l->progress_left-- == 0;
}

static void load(world *w)
{
    static uint8_t *file; /* made once */
    static size_t size;
    if (file == NULL) {
        const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 1, .n_kv_heads = 1,
                                         .ffn_width = 32 };
        file = tiny_model_make(&description, &size);
    }
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    loading l = { file, take(w), take(w) };
    slm_model *model;
    slm_reader reader = { sizeof(reader), 0, size, &l, read_file };
    options.n_threads = 1;
    options.host = &w->memory->host;
    options.progress = maybe_cancel;
    options.progress_ctx = &l;
    options.max_memory_bytes = take(w) < 8 ? (uint64_t)take(w) << 12 : 0;
    options.max_string_bytes = take(w) < 8 ? take(w) : 0;
    const size_t cut = take(w) < 8 ? take_number(w) % size : size;
    const slm_status status =
        l.reads_left % 2 == 0
            ? slm_model_load_reader(&reader, &options, &model, fresh_error(w))
            : slm_model_load_memory(file, cut, &options, &model, fresh_error(w));
    MAY_BE(w, status, SLM_CANCELLED, SLM_ERR_INVALID_ARGUMENT, SLM_ERR_IO, SLM_ERR_TRUNCATED,
           SLM_ERR_LIMIT, SLM_ERR_BUDGET);
    MUST((model != NULL) == (status == SLM_OK));
    slm_model_release(model);
}

void call_object(world *w, player *p)
{
    slm_model *model = slm_session_get_model(p->session);
    switch (take(w) % 8) {
    case 0:
        make_sampler(w);
        break;
    case 1:
        set_sampler_value(w);
        break;
    case 2:
        sample(w);
        break;
    case 3:
        use_tokenizer(w, slm_model_get_tokenizer(model));
        break;
    case 4:
        describe_token(w, slm_model_get_tokenizer(model));
        break;
    case 5:
        chat(w, model);
        break;
    case 6:
        describe_model(w, model);
        break;
    default:
        load(w);
        break;
    }
}
