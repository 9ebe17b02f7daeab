-- SPDX-License-Identifier: MIT
-- The C interface for ffi.cdef; made by bindings/lua/make_abi.py from include/slm, not by hand.
return {
    version = { 0, 1 }, -- of the headers
    declarations = [[
typedef int32_t slm_status;
enum {
    SLM_OK = 0,
    SLM_MORE = 1,
    SLM_END = 2,
    SLM_CANCELLED = 3,
    SLM_ERR_INVALID_ARGUMENT = -1,
    SLM_ERR_INVALID_UTF8 = -2,
    SLM_ERR_OUT_OF_RANGE = -3,
    SLM_ERR_STALE_ID = -4,
    SLM_ERR_BUFFER_TOO_SMALL = -5,
    SLM_ERR_OUT_OF_MEMORY = -20,
    SLM_ERR_BUDGET = -21,
    SLM_ERR_IO = -30,
    SLM_ERR_NOT_FOUND = -31,
    SLM_ERR_FORMAT = -40,
    SLM_ERR_TRUNCATED = -41,
    SLM_ERR_LIMIT = -42,
    SLM_ERR_CHECKSUM = -43,
    SLM_ERR_MISMATCH = -44,
    SLM_ERR_UNSUPPORTED = -60,
    SLM_ERR_CONTEXT_FULL = -80,
    SLM_ERR_BUSY = -81,
    SLM_ERR_STATE = -82,
    SLM_ERR_NOT_FINITE = -83,
    SLM_ERR_SYSTEM = -90,
    SLM_ERR_INTERNAL = -99,
};
typedef struct slm_error {
    uint32_t struct_size;
    slm_status code;
    uint64_t offset;
    char message[240];
} slm_error;
typedef struct slm_allocator {
    uint32_t struct_size;
    uint32_t reserved0;
    void *ctx;
    void *(*alloc)(void *ctx, size_t size, size_t alignment);
    void (*free)(void *ctx, void *block, size_t size, size_t alignment);
} slm_allocator;
typedef struct slm_tasks {
    uint32_t struct_size;
    uint32_t reserved0;
    void *ctx;
    void *(*enqueue)(void *ctx, void (*run)(void *task), void *task);
    void (*wait)(void *ctx, void *handle);
} slm_tasks;
enum { SLM_LOG_INFO = 1, SLM_LOG_WARNING = 2 };
typedef struct slm_host {
    uint32_t struct_size;
    uint32_t reserved0;
    const slm_allocator *allocator;
    void *log_ctx;
    void (*log)(void *ctx, uint32_t level, const char *line);
    void *clock_ctx;
    uint64_t (*clock)(void *ctx);
    const slm_tasks *tasks;
} slm_host;
const char *slm_status_name(slm_status status);
const char *slm_status_text(slm_status status);
uint32_t slm_version(void);
uint32_t slm_numerics_version(void);
slm_status slm_layout_get(uint32_t index, const char **name, uint32_t *offset, uint32_t *size);
enum {
    SLM_CPU_BEST = 0,
    SLM_CPU_SCALAR = 1,
    SLM_CPU_AVX2 = 10,
    SLM_CPU_AVX_VNNI = 15,
    SLM_CPU_AVX512 = 20,
    SLM_CPU_NEON = 30,
    SLM_CPU_NEON_DOT = 40,
    SLM_CPU_NEON_I8MM = 50
};
uint32_t slm_cpu_level(void);
const char *slm_cpu_level_name(uint32_t level);

typedef struct slm_model slm_model;
typedef struct slm_tokenizer slm_tokenizer;
typedef struct slm_reader {
    uint32_t struct_size;
    uint32_t reserved0;
    uint64_t size;
    void *ctx;
    slm_status (*read)(void *ctx, uint64_t offset, void *buffer, size_t size);
} slm_reader;
enum {
    SLM_MODEL_COPY = 1
};
typedef struct slm_model_options {
    uint32_t struct_size;
    uint32_t n_threads;
    uint64_t max_tensors;
    uint64_t max_string_bytes;
    uint64_t max_memory_bytes;
    const slm_host *host;
    void *progress_ctx;
    int32_t (*progress)(void *ctx, float done);
    const void *reserved0;
    uint32_t flags;
    uint32_t reserved1;
} slm_model_options;
slm_status slm_model_load(const char *path, const slm_model_options *options,
        slm_model **model, slm_error *err);
slm_status slm_model_load_memory(const void *data, size_t size,
        const slm_model_options *options, slm_model **model,
        slm_error *err);
slm_status slm_model_load_reader(const slm_reader *reader, const slm_model_options *options,
        slm_model **model, slm_error *err);
slm_model *slm_model_retain(slm_model *model);
void slm_model_release(slm_model *model);
typedef struct slm_model_info {
    uint32_t struct_size;
    uint32_t n_layers;
    uint32_t width;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_width;
    uint32_t ffn_width;
    uint32_t n_vocab;
    uint32_t context_length;
    uint32_t n_tensors;
    uint64_t n_parameters;
    uint64_t file_bytes;
    uint64_t weight_bytes;
    uint64_t memory_bytes;
    const char *architecture;
    const char *name;
    uint64_t mapped_bytes;
} slm_model_info;
slm_status slm_model_get_info(const slm_model *model, slm_model_info *info, slm_error *err);
slm_status slm_model_get_metadata(const slm_model *model, uint32_t index, const char **key,
        const char **value, slm_error *err);
typedef struct slm_tensor_info {
    uint32_t struct_size;
    uint32_t n_dims;
    uint64_t dims[4];
    uint64_t bytes;
    const char *name;
    const char *type;
} slm_tensor_info;
slm_status slm_model_get_tensor(const slm_model *model, uint32_t index, slm_tensor_info *info,
        slm_error *err);
slm_tokenizer *slm_model_get_tokenizer(const slm_model *model);

typedef struct slm_chat_message {
    const char *role;
    const char *content;
    size_t content_length;
} slm_chat_message;
enum {
    SLM_CHAT_ADD_GENERATION_PROMPT = 1,
    SLM_CHAT_CONTINUE = 2
};
slm_status slm_chat_get_format(const slm_model *model, const char **name, slm_error *err);
slm_status slm_chat_render(const slm_model *model, const slm_chat_message *messages,
        size_t n_messages, uint32_t flags, char *text, size_t capacity,
        size_t *length, slm_error *err);
slm_status slm_chat_encode(const slm_model *model, const slm_chat_message *messages,
        size_t n_messages, uint32_t flags, int32_t *ids, size_t capacity,
        size_t *n_ids, slm_error *err);

typedef struct slm_sampler slm_sampler;
enum {
    SLM_SAMPLER_TEMPERATURE = 1,
    SLM_SAMPLER_TOP_K = 2,
    SLM_SAMPLER_TOP_P = 3,
    SLM_SAMPLER_MIN_P = 4,
    SLM_SAMPLER_SEED = 5,
    SLM_SAMPLER_REPETITION_PENALTY = 16,
    SLM_SAMPLER_FREQUENCY_PENALTY = 17,
    SLM_SAMPLER_PRESENCE_PENALTY = 18,
    SLM_SAMPLER_PENALTY_LAST_N = 19
};
enum { SLM_PARAM_F32 = 1, SLM_PARAM_U32 = 2 };
typedef struct slm_param_info {
    uint32_t struct_size;
    uint32_t type;
    double minimum;
    double maximum;
    double default_value;
    const char *name;
    const void *reserved0;
} slm_param_info;
slm_status slm_sampler_create(uint32_t n_vocab, const slm_host *host, slm_sampler **sampler,
        slm_error *err);
void slm_sampler_release(slm_sampler *sampler);
slm_status slm_sampler_set_f32(slm_sampler *sampler, uint32_t param, float value,
        slm_error *err);
slm_status slm_sampler_set_u32(slm_sampler *sampler, uint32_t param, uint32_t value,
        slm_error *err);
slm_status slm_sampler_get_f32(const slm_sampler *sampler, uint32_t param, float *value,
        slm_error *err);
slm_status slm_sampler_get_u32(const slm_sampler *sampler, uint32_t param, uint32_t *value,
        slm_error *err);
slm_status slm_sampler_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
        slm_error *err);
slm_status slm_sampler_sample(slm_sampler *sampler, const float *logits,
        const int32_t *history, size_t n_history, uint64_t draw,
        int32_t *token, float *logprob, slm_error *err);
slm_status slm_sampler_get_top(slm_sampler *sampler, const float *logits, uint32_t n,
        int32_t *tokens, float *logprobs, slm_error *err);

typedef struct slm_session slm_session;
typedef uint64_t slm_sequence;
enum {
    SLM_KV_F16 = 0,
    SLM_KV_F32 = 1,
    SLM_KV_Q8 = 2,
    SLM_KV_Q4 = 3
};
typedef struct slm_session_options {
    uint32_t struct_size;
    uint32_t n_threads;
    uint32_t context_length;
    uint32_t n_sequences;
    uint32_t pool_tokens;
    uint32_t batch_tokens;
    uint32_t logit_rows;
    uint32_t kv_type;
    uint32_t cpu_level;
    uint32_t top_logprobs;
    uint64_t max_memory_bytes;
    const slm_host *host;
    const void *reserved0;
    uint32_t n_guesses;
    uint32_t reserved1;
    slm_model *draft_model;
} slm_session_options;
typedef struct slm_session_memory {
    uint32_t struct_size;
    uint32_t n_pages;
    uint64_t total_bytes;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t logit_bytes;
    uint64_t page_bytes;
} slm_session_memory;
slm_status slm_session_estimate(const slm_model *model, const slm_session_options *options,
        slm_session_memory *memory, slm_error *err);
slm_status slm_session_create(slm_model *model, const slm_session_options *options,
        slm_session **session, slm_error *err);
void slm_session_release(slm_session *session);
slm_model *slm_session_get_model(const slm_session *session);
typedef struct slm_generate_options {
    uint32_t struct_size;
    uint32_t max_tokens;
    uint32_t flags;
    uint32_t n_top;
    const char *const *stop;
    uint32_t n_stop;
    uint32_t reserved0;
} slm_generate_options;
enum {
    SLM_GENERATE_IGNORE_END = 1,
    SLM_GENERATE_SHOW_SPECIAL = 2
};
slm_status slm_session_generate(slm_session *session, slm_sequence sequence,
        const slm_generate_options *options, slm_error *err);
slm_status slm_session_step(slm_session *session, uint64_t budget_us, slm_error *err);
enum {
    SLM_EVENT_TOKEN = 1,
    SLM_EVENT_LOGITS = 2,
    SLM_EVENT_DONE = 3,
    SLM_EVENT_FULL = 4,
    SLM_EVENT_SHIFT = 5
};
enum {
    SLM_DONE_LENGTH = 1,
    SLM_DONE_END = 2,
    SLM_DONE_STOP = 3,
    SLM_DONE_CONTEXT_FULL = 4,
    SLM_DONE_CANCELLED = 5,
    SLM_DONE_ERROR = 6
};
typedef struct slm_event {
    uint32_t struct_size;
    uint32_t type;
    slm_sequence sequence;
    uint32_t position;
    int32_t token;
    const char *text;
    size_t text_length;
    float logprob;
    uint32_t n_top;
    const int32_t *top_tokens;
    const float *top_logprobs;
    const float *logits;
    const void *reserved0;
    uint32_t n_logits;
    uint32_t reason;
    slm_status status;
    uint32_t n_generated;
    uint32_t n_removed;
    uint32_t reserved1;
} slm_event;
slm_status slm_session_get_event(slm_session *session, slm_event *event, slm_error *err);
void slm_session_cancel(slm_session *session);
void slm_session_cancel_sequence(slm_session *session, slm_sequence sequence);

typedef struct slm_prefix slm_prefix;
slm_status slm_prefix_create(const slm_session *session, slm_sequence sequence, const char *name,
        slm_prefix **prefix, slm_error *err);
slm_prefix *slm_prefix_retain(slm_prefix *prefix);
void slm_prefix_release(slm_prefix *prefix);
typedef struct slm_prefix_info {
    uint32_t struct_size;
    uint32_t n_tokens;
    uint32_t kv_type;
    uint32_t reserved0;
    uint64_t memory_bytes;
    const char *name;
    const int32_t *tokens;
} slm_prefix_info;
slm_status slm_prefix_get_info(const slm_prefix *prefix, slm_prefix_info *info, slm_error *err);
slm_status slm_session_append_prefix(slm_session *session, slm_sequence sequence,
        slm_prefix *prefix, slm_error *err);

enum {
    SLM_SAVE_CACHE = 0,
    SLM_SAVE_Q8 = 1,
    SLM_SAVE_Q4 = 2,
    SLM_SAVE_TOKENS = 3
};
typedef struct slm_save_options {
    uint32_t struct_size;
    uint32_t form;
    uint32_t whole;
    uint32_t reserved0;
} slm_save_options;
slm_status slm_session_save_sequence(const slm_session *session, slm_sequence sequence,
        const slm_save_options *options, void *blob,
        size_t capacity, size_t *length, slm_error *err);
slm_status slm_session_restore_sequence(slm_session *session, const void *blob, size_t length,
        slm_prefix *prefix, slm_sequence *sequence,
        slm_error *err);
typedef struct slm_saved_info {
    uint32_t struct_size;
    uint32_t format;
    uint32_t kv_type;
    uint32_t n_tokens;
    uint32_t n_cached;
    uint32_t n_prefix_tokens;
    uint64_t model;
    char prefix[63 + 1];
} slm_saved_info;
slm_status slm_saved_get_info(const void *blob, size_t length, slm_saved_info *info,
        slm_error *err);

slm_status slm_session_add_sequence(slm_session *session, slm_sequence *sequence,
        slm_error *err);
slm_status slm_session_fork_sequence(slm_session *session, slm_sequence source,
        slm_sequence *sequence, slm_error *err);
slm_status slm_session_remove_sequence(slm_session *session, slm_sequence sequence,
        slm_error *err);
enum {
    SLM_APPEND_LOGITS = 1
};
slm_status slm_session_append(slm_session *session, slm_sequence sequence,
        const int32_t *tokens, size_t n_tokens, uint32_t flags,
        slm_error *err);
slm_status slm_session_append_text(slm_session *session, slm_sequence sequence,
        const char *text, size_t length, uint32_t flags,
        slm_error *err);
slm_status slm_session_set_sampler(slm_session *session, slm_sequence sequence,
        const slm_sampler *sampler, slm_error *err);
enum {
    SLM_FULL_END = 0,
    SLM_FULL_SHIFT = 1,
    SLM_FULL_WAIT = 2
};
enum {
    SLM_SEQUENCE_PRIORITY = 1,
    SLM_SEQUENCE_FULL = 2,
    SLM_SEQUENCE_KEEP = 3,
    SLM_SEQUENCE_DROP = 4,
    SLM_SEQUENCE_WINDOW = 5,
    SLM_SEQUENCE_SINKS = 6
};
slm_status slm_session_set_u32(slm_session *session, slm_sequence sequence, uint32_t param,
        uint32_t value, slm_error *err);
slm_status slm_session_get_u32(const slm_session *session, slm_sequence sequence,
        uint32_t param, uint32_t *value, slm_error *err);
slm_status slm_session_get_param_info(uint32_t index, uint32_t *param, slm_param_info *info,
        slm_error *err);
typedef struct slm_sequence_info {
    uint32_t struct_size;
    uint32_t n_tokens;
    uint32_t n_computed;
    uint32_t is_generating;
    const int32_t *tokens;
    uint32_t n_pages;
    uint32_t n_prefix_tokens;
} slm_sequence_info;
slm_status slm_session_get_sequence_info(const slm_session *session, slm_sequence sequence,
        slm_sequence_info *info, slm_error *err);
slm_status slm_session_truncate_sequence(slm_session *session, slm_sequence sequence,
        uint32_t n_tokens, slm_error *err);
enum {
    SLM_REPLACE_SHIFT = 1
};
slm_status slm_session_replace(slm_session *session, slm_sequence sequence, uint32_t first,
        uint32_t n_removed, const int32_t *tokens, size_t n_tokens,
        uint32_t flags, slm_error *err);

enum {
    SLM_TEXT_ADD_SPECIAL = 1,
    SLM_TEXT_PARSE_SPECIAL = 2,
    SLM_TEXT_REPLACE_INVALID = 4,
    SLM_TEXT_SHOW_SPECIAL = 8
};
slm_status slm_tokenizer_load(const char *path, const slm_model_options *options,
        slm_tokenizer **tokenizer, slm_error *err);
slm_tokenizer *slm_tokenizer_retain(slm_tokenizer *tokenizer);
void slm_tokenizer_release(slm_tokenizer *tokenizer);
slm_status slm_tokenizer_encode(const slm_tokenizer *tokenizer, const char *text,
        size_t length, uint32_t flags, int32_t *ids, size_t capacity,
        size_t *n_ids, slm_error *err);
slm_status slm_tokenizer_decode(const slm_tokenizer *tokenizer, const int32_t *ids,
        size_t n_ids, uint32_t flags, char *text, size_t capacity,
        size_t *length, slm_error *err);
slm_status slm_tokenizer_get_piece(const slm_tokenizer *tokenizer, int32_t id,
        const char **bytes, size_t *length, slm_error *err);
typedef struct slm_tokenizer_info {
    uint32_t struct_size;
    uint32_t n_vocab;
    int32_t bos;
    int32_t eos;
    int32_t eot;
    int32_t unk;
    uint32_t adds_bos;
    uint32_t adds_eos;
    const char *kind;
    const char *pre;
} slm_tokenizer_info;
slm_status slm_tokenizer_get_info(const slm_tokenizer *tokenizer, slm_tokenizer_info *info,
        slm_error *err);
int32_t slm_tokenizer_is_end(const slm_tokenizer *tokenizer, int32_t id);


]],
}
