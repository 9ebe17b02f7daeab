/* SPDX-License-Identifier: MIT */
/* A client of version 0.1: calls every function, with the structs of its time, and prints what came back.
 * client-0.1-x86_64 is this program as it was compiled then; it runs on every later library and must print
 * the same (client-0.1.txt). Lines that begin with "numbers" depend on slm_numerics_version().
 *
 *   client MODEL.gguf */
#include <slm/slm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_VOCAB_MAX 4096

static int n_failures;

/* Every call goes through here, so that the output tells all statuses. */
static void ok(const char *what, slm_status status)
{
    printf("%s: %s\n", what, slm_status_name(status));
    n_failures += status != SLM_OK;
}

static void expect(const char *what, slm_status status, slm_status expected)
{
    printf("%s: %s\n", what, slm_status_name(status));
    n_failures += status != expected;
}

/* ---- what a host supplies ------------------------------------------------------------------------ */

static size_t live_bytes;

static void *take(void *ctx, size_t size, size_t alignment)
{
    void *block = NULL;
    (void)ctx;
    if (posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) != 0)
        return NULL;
    live_bytes += size;
    return block;
}

static void give_back(void *ctx, void *block, size_t size, size_t alignment)
{
    (void)ctx;
    (void)alignment;
    live_bytes -= size;
    free(block);
}

static void *run_at_once(void *ctx, void (*run)(void *task), void *task)
{
    (void)ctx;
    run(task);
    return NULL;
}

static void wait_for(void *ctx, void *handle)
{
    (void)ctx;
    (void)handle;
}

static uint64_t still_clock(void *ctx)
{
    (void)ctx;
    return 0;
}

static void count_line(void *ctx, uint32_t level, const char *line)
{
    *(int *)ctx += level == SLM_LOG_INFO && line[0] != '\0';
}

static int32_t go_on(void *ctx, float done)
{
    *(int *)ctx += done > 0.0f;
    return 0;
}

typedef struct file {
    unsigned char *bytes;
    size_t size;
} file;

static slm_status read_file(void *ctx, uint64_t offset, void *buffer, size_t size)
{
    memcpy(buffer, ((const file *)ctx)->bytes + offset, size);
    return SLM_OK;
}

/* Where this program believes the members of slm_event to lie, and where the library does. */
static void check_layout(void)
{
    const char *name = NULL;
    uint32_t offset = 0, size = 0, n = 0, n_right = 0;
    for (; slm_layout_get(n, &name, &offset, &size) == SLM_OK; n++) {
        n_right += strcmp(name, "slm_event.token") == 0 && offset == offsetof(slm_event, token);
        n_right += strcmp(name, "slm_event.status") == 0 && offset == offsetof(slm_event, status);
        n_right += strcmp(name, "slm_event") == 0 && size >= sizeof(slm_event);
    }
    printf("layout: %d, %u right\n", n > 100, n_right);
}

static int read_whole(const char *path, file *f)
{
    FILE *in = fopen(path, "rb");
    f->bytes = malloc(1 << 20);
    f->size = in != NULL && f->bytes != NULL ? fread(f->bytes, 1, 1 << 20, in) : 0;
    if (in != NULL)
        fclose(in);
    return f->size > 0;
}

/* ---- models and tokenizers ----------------------------------------------------------------------- */

static slm_model *load_all_ways(const char *path, const file *f, const slm_host *host)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    slm_reader reader = SLM_READER_INIT;
    slm_model *a = NULL, *b = NULL, *c = NULL;
    int n_progress = 0;
    options.n_threads = 2;
    options.host = host;
    options.progress = go_on;
    options.progress_ctx = &n_progress;
    reader.size = f->size;
    reader.ctx = (void *)f;
    reader.read = read_file;
    ok("load", slm_model_load(path, &options, &a, &error));
    ok("load memory", slm_model_load_memory(f->bytes, f->size, NULL, &b, &error));
    ok("load reader", slm_model_load_reader(&reader, &options, &c, &error));
    printf("progress: %d\n", n_progress > 0);
    slm_model_release(b);
    expect("load half", slm_model_load_memory(f->bytes, f->size / 2, &options, &b, &error),
           SLM_ERR_TRUNCATED);
    printf("told: %d\n", error.code == SLM_ERR_TRUNCATED && error.message[0] != '\0');
    slm_model_release(slm_model_retain(c));
    slm_model_release(c);
    return a;
}

static void describe(const slm_model *model)
{
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    const char *key = NULL, *value = NULL;
    uint32_t n = 0;
    ok("info", slm_model_get_info(model, &info, NULL));
    printf("%s, %u layers of %u, %u heads of %u, %u of keys, ffn %u, vocabulary %u, context %u\n",
           info.architecture, info.n_layers, info.width, info.n_heads, info.head_width,
           info.n_kv_heads, info.ffn_width, info.n_vocab, info.context_length);
    printf("%u tensors, %llu weights, %llu bytes, memory %d\n", info.n_tensors,
           (unsigned long long)info.n_parameters, (unsigned long long)info.file_bytes,
           info.memory_bytes >= info.weight_bytes && info.weight_bytes > 0);
    ok("tensor", slm_model_get_tensor(model, 0, &tensor, NULL));
    printf("%s %s %u %llu\n", tensor.name, tensor.type, tensor.n_dims, (unsigned long long)tensor.dims[0]);
    while (slm_model_get_metadata(model, n, &key, &value, NULL) == SLM_OK)
        n++;
    printf("%u entries\n", n);
}

static void tokenize(const char *path, const slm_model *model)
{
    static const char text[] = "Hello, tiny \xE2\x82\xAC world!";
    slm_tokenizer_info info = SLM_TOKENIZER_INFO_INIT;
    slm_tokenizer *loaded = NULL;
    slm_tokenizer *t = slm_tokenizer_retain(slm_model_get_tokenizer(model));
    int32_t ids[128];
    char back[256];
    const char *piece;
    size_t n = 0, length = 0;
    ok("tokenizer", slm_tokenizer_load(path, NULL, &loaded, NULL));
    slm_tokenizer_release(loaded);
    ok("tokenizer info", slm_tokenizer_get_info(t, &info, NULL));
    printf("%s '%s' %u: %d %d %d %d, %u %u\n", info.kind, info.pre, info.n_vocab, info.bos, info.eos,
           info.eot, info.unk, info.adds_bos, info.adds_eos);
    ok("encode", slm_tokenizer_encode(t, text, strlen(text), SLM_TEXT_ADD_SPECIAL, ids, 128, &n, NULL));
    for (size_t i = 0; i < n; i++)
        printf("%d%s", ids[i], i + 1 < n ? " " : "\n");
    ok("decode", slm_tokenizer_decode(t, ids, n, 0, back, sizeof(back), &length, NULL));
    printf("%.*s\n", (int)length, back);
    ok("piece", slm_tokenizer_get_piece(t, ids[n - 1], &piece, &length, NULL));
    printf("%d bytes, end %d\n", (int)length, slm_tokenizer_is_end(t, info.eos));
    expect("bad text", slm_tokenizer_encode(t, "\xFF", 1, 0, ids, 128, &n, NULL), SLM_ERR_INVALID_UTF8);
    slm_tokenizer_release(t);
}

static void chat(const slm_model *model)
{
    const slm_chat_message messages[] = { { "user", "Hi", 2 }, { "assistant", "Ho", 2 } };
    const char *name = NULL;
    char text[256];
    int32_t ids[128];
    size_t length = 0, n = 0;
    ok("chat", slm_chat_get_format(model, &name, NULL));
    ok("render", slm_chat_render(model, messages, 2, 0, text, sizeof(text), &length, NULL));
    ok("chat encode", slm_chat_encode(model, messages, 2, 0, ids, 128, &n, NULL));
    printf("%s, %u bytes, %u ids\n", name, (unsigned)length, (unsigned)n);
}

/* ---- samplers ------------------------------------------------------------------------------------ */

static slm_sampler *make_sampler(uint32_t n_vocab, const slm_host *host)
{
    static float logits[N_VOCAB_MAX];
    slm_sampler *sampler = NULL;
    slm_param_info info = SLM_PARAM_INFO_INIT;
    int32_t token = -1, top[3];
    float logprob, logprobs[3], temperature = 1.0f;
    uint32_t param, top_k = 1;
    ok("sampler", slm_sampler_create(n_vocab, host, &sampler, NULL));
    for (uint32_t i = 0; slm_sampler_get_param_info(i, &param, &info, NULL) == SLM_OK; i++)
        if (param <= SLM_SAMPLER_SEED)
            printf("%u %s %u %g\n", param, info.name, info.type, info.default_value);
    ok("set f32", slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, 0.0f, NULL));
    ok("set u32", slm_sampler_set_u32(sampler, SLM_SAMPLER_TOP_K, 7, NULL));
    ok("get f32", slm_sampler_get_f32(sampler, SLM_SAMPLER_TEMPERATURE, &temperature, NULL));
    ok("get u32", slm_sampler_get_u32(sampler, SLM_SAMPLER_TOP_K, &top_k, NULL));
    logits[5] = 2.0f;
    logits[6] = 1.0f;
    ok("sample", slm_sampler_sample(sampler, logits, NULL, 0, 0, &token, &logprob, NULL));
    ok("top", slm_sampler_get_top(sampler, logits, 3, top, logprobs, NULL));
    printf("%g %u: %d of %d %d %d\n", (double)temperature, top_k, token, top[0], top[1], top[2]);
    return sampler;
}

/* ---- sessions ------------------------------------------------------------------------------------ */

static slm_session *make_session(slm_model *model, const slm_host *host)
{
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_session_memory memory = SLM_SESSION_MEMORY_INIT;
    slm_session *session = NULL;
    options.n_threads = 2;
    options.n_sequences = 4;
    options.batch_tokens = 32;
    options.top_logprobs = 2;
    options.kv_type = SLM_KV_F32;
    options.cpu_level = SLM_CPU_SCALAR;
    options.host = host;
    ok("estimate", slm_session_estimate(model, &options, &memory, NULL));
    const size_t before = live_bytes;
    ok("session", slm_session_create(model, &options, &session, NULL));
    printf("exact: %d, parts: %d, model: %d\n", live_bytes - before == memory.total_bytes,
           memory.kv_bytes + memory.scratch_bytes + memory.logit_bytes <= memory.total_bytes &&
               memory.kv_bytes == memory.n_pages * memory.page_bytes,
           slm_session_get_model(session) == model);
    return session;
}

/* Steps until nothing is left to do and prints what came. */
static void run(slm_session *session, uint64_t budget_us)
{
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        slm_event event = SLM_EVENT_INIT;
        status = slm_session_step(session, budget_us, NULL);
        while (slm_session_get_event(session, &event, NULL) == SLM_OK) {
            if (event.type == SLM_EVENT_TOKEN)
                printf("numbers: token %d at %u, %.9g, best %d\n", event.token, event.position,
                       (double)event.logprob, event.n_top > 0 ? event.top_tokens[0] : -1);
            else if (event.type == SLM_EVENT_LOGITS)
                printf("numbers: logits at %u of %u, the first %.9g\n", event.position, event.n_logits,
                       (double)event.logits[0]);
            else if (event.type == SLM_EVENT_DONE)
                printf("done: %u, %u written\n", event.reason, event.n_generated);
            else
                printf("event: %u\n", event.type);
        }
    }
    printf("run: %s\n", slm_status_name(status));
}

static void generate(slm_session *session, slm_sequence sequence, uint32_t n)
{
    static const char *const stops[] = { "\x01never\x01" };
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = n;
    options.flags = SLM_GENERATE_IGNORE_END;
    options.n_top = 2;
    options.n_stop = 1;
    options.stop = stops;
    ok("generate", slm_session_generate(session, sequence, &options, NULL));
}

static void use_sequences(slm_session *session, const slm_sampler *sampler)
{
    const int32_t tokens[] = { 3, 4, 5, 6, 7, 8 };
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    slm_param_info param_info = SLM_PARAM_INFO_INIT;
    slm_sequence a = 0, b = 0;
    uint32_t keep = 0, param = 0;
    ok("add", slm_session_add_sequence(session, &a, NULL));
    ok("sampler of", slm_session_set_sampler(session, a, sampler, NULL));
    ok("append", slm_session_append(session, a, tokens, 6, SLM_APPEND_LOGITS, NULL));
    ok("append text", slm_session_append_text(session, a, "ab", 2, 0, NULL));
    ok("parameter", slm_session_set_u32(session, a, SLM_SEQUENCE_KEEP, 2, NULL));
    ok("parameter of", slm_session_get_u32(session, a, SLM_SEQUENCE_KEEP, &keep, NULL));
    ok("parameters", slm_session_get_param_info(0, &param, &param_info, NULL));
    printf("keep %u; %u is %s\n", keep, param, param_info.name);
    generate(session, a, 4);
    run(session, 1000);
    ok("fork", slm_session_fork_sequence(session, a, &b, NULL));
    ok("truncate", slm_session_truncate_sequence(session, b, 5, NULL));
    ok("replace", slm_session_replace(session, b, 1, 2, tokens, 1, 0, NULL));
    generate(session, a, 2);
    generate(session, b, 2);
    slm_session_cancel_sequence(session, a);
    run(session, 0);
    ok("sequence", slm_session_get_sequence_info(session, b, &info, NULL));
    printf("%u tokens, %u computed, %u generating, %u pages, %u of a prefix\n", info.n_tokens,
           info.n_computed, info.is_generating, info.n_pages, info.n_prefix_tokens);
    generate(session, a, 2);
    slm_session_cancel(session);
    run(session, 0);
    ok("remove", slm_session_remove_sequence(session, a, NULL));
    ok("remove", slm_session_remove_sequence(session, b, NULL));
    expect("remove again", slm_session_remove_sequence(session, a, NULL), SLM_ERR_STALE_ID);
}

static void save_and_restore(slm_session *session)
{
    static unsigned char blob[1 << 17];
    slm_prefix_info prefix_info = SLM_PREFIX_INFO_INIT;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    slm_prefix *prefix = NULL;
    slm_sequence a = 0, b = 0, c = 0;
    size_t size = 0;
    ok("add", slm_session_add_sequence(session, &a, NULL));
    ok("append text", slm_session_append_text(session, a, "once upon a time", 16, 0, NULL));
    run(session, 0);
    ok("prefix", slm_prefix_create(session, a, "story", &prefix, NULL));
    ok("prefix info", slm_prefix_get_info(prefix, &prefix_info, NULL));
    printf("%s, %u tokens, cache %u\n", prefix_info.name, prefix_info.n_tokens, prefix_info.kv_type);
    ok("add", slm_session_add_sequence(session, &b, NULL));
    ok("append prefix", slm_session_append_prefix(session, b, prefix, NULL));
    ok("append text", slm_session_append_text(session, b, "ab", 2, 0, NULL));
    run(session, 0);
    for (uint32_t form = SLM_SAVE_CACHE; form <= SLM_SAVE_TOKENS; form++) {
        options.form = form;
        ok("save", slm_session_save_sequence(session, b, &options, blob, sizeof(blob), &size, NULL));
        ok("saved", slm_saved_get_info(blob, size, &info, NULL));
        printf("%s, %u tokens, %u of the prefix, %u cached\n", info.prefix, info.n_tokens,
               info.n_prefix_tokens, info.n_cached);
        ok("restore", slm_session_restore_sequence(session, blob, size, prefix, &c, NULL));
        ok("remove", slm_session_remove_sequence(session, c, NULL));
    }
    expect("no prefix", slm_session_restore_sequence(session, blob, size, NULL, &c, NULL),
           SLM_ERR_MISMATCH);
    slm_prefix_release(slm_prefix_retain(prefix));
    slm_prefix_release(prefix);
}

int main(int argc, char **argv)
{
    slm_allocator allocator = SLM_ALLOCATOR_INIT;
    slm_tasks tasks = SLM_TASKS_INIT;
    slm_host host = SLM_HOST_INIT;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    int n_lines = 0;
    file f;
    if (argc != 2 || !read_whole(argv[1], &f))
        return 2;
    allocator.alloc = take;
    allocator.free = give_back;
    tasks.enqueue = run_at_once;
    tasks.wait = wait_for;
    host.allocator = &allocator;
    host.tasks = &tasks;
    host.clock = still_clock;
    host.log = count_line;
    host.log_ctx = &n_lines;
    printf("numerics %u\n", slm_numerics_version());
    printf("version: %d\n", slm_version() >= SLM_VERSION_MAJOR * 1000000u + SLM_VERSION_MINOR * 1000u);
    printf("level: %d, %s, %s\n", slm_cpu_level() >= SLM_CPU_SCALAR, slm_cpu_level_name(SLM_CPU_AVX2),
           slm_status_text(SLM_ERR_CONTEXT_FULL));
    check_layout();
    slm_model *model = load_all_ways(argv[1], &f, &host);
    if (model == NULL)
        return 1;
    describe(model);
    tokenize(argv[1], model);
    chat(model);
    (void)slm_model_get_info(model, &info, NULL);
    slm_sampler *sampler = make_sampler(info.n_vocab, &host);
    slm_session *session = make_session(model, &host);
    use_sequences(session, sampler);
    save_and_restore(session);
    slm_model_release(model); /* the session keeps it */
    slm_session_release(session);
    slm_sampler_release(sampler);
    free(f.bytes);
    printf("left: %u bytes; log: %d\n", (unsigned)live_bytes, n_lines > 0);
    return n_failures > 0;
}
