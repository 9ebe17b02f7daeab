/* SPDX-License-Identifier: MIT */
/* `slm info`: what a model file holds and what running it takes. */
#include <string.h>

#include "tool.h"

typedef struct info_options {
    common_options common;
    int tensors, metadata;
} info_options;

/* Everything that is told. */
typedef struct report {
    slm_model *model;
    slm_model_info model_info;
    slm_tokenizer_info tokenizer;
    slm_session_memory memory;
    uint32_t context; /* of the default session */
    const char *chat_format;
    const char *licence;
    const char *description;
} report;

static int parse(const command *self, info_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { NULL, "--tensors", NULL, OPTION_FLAG, &o->tensors, 0, 0, NULL, "list the tensors" },
        { NULL, "--metadata", NULL, OPTION_FLAG, &o->metadata, 0, 0, NULL,
          "list the metadata entries" },
        { 0 },
    };
    options_add(&table, rows);
    return options_parse(self, &table, &o->common, argc, argv);
}

static const char *find_metadata(const slm_model *model, const char *name)
{
    const char *key, *value;
    for (uint32_t i = 0; slm_model_get_metadata(model, i, &key, &value, NULL) == SLM_OK; i++) {
        if (strcmp(key, name) == 0)
            return value;
    }
    return NULL;
}

static slm_status collect(report *r, const common_options *common, slm_error *error)
{
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = common->threads;
    options.context_length = common->context;
    r->model_info = (slm_model_info)SLM_MODEL_INFO_INIT;
    r->tokenizer = (slm_tokenizer_info)SLM_TOKENIZER_INFO_INIT;
    r->memory = (slm_session_memory)SLM_SESSION_MEMORY_INIT;
    slm_status status = slm_model_get_info(r->model, &r->model_info, error);
    if (status == SLM_OK)
        status = slm_tokenizer_get_info(slm_model_get_tokenizer(r->model), &r->tokenizer, error);
    if (status == SLM_OK)
        status = slm_session_estimate(r->model, &options, &r->memory, error);
    if (status != SLM_OK)
        return status;
    uint32_t made_for = r->model_info.context_length;
    r->context = common->context ? common->context : made_for < 4096 ? made_for : 4096;
    r->licence = find_metadata(r->model, "general.license");
    r->description = find_metadata(r->model, "general.description");
    /* A model without a known format is no failure here: chat_format stays NULL. */
    slm_chat_get_format(r->model, &r->chat_format, NULL);
    return SLM_OK;
}

/* ---- how many tensors there are of each type ---- */

typedef struct type_count {
    const char *name;
    uint32_t n;
    uint64_t bytes;
} type_count;

enum { MAX_TYPES = 32 };

static size_t count_types(const slm_model *model, type_count types[MAX_TYPES])
{
    size_t n_types = 0;
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    for (uint32_t i = 0; slm_model_get_tensor(model, i, &tensor, NULL) == SLM_OK; i++) {
        size_t k = 0;
        while (k < n_types && strcmp(types[k].name, tensor.type) != 0)
            k++;
        if (k == MAX_TYPES)
            continue;
        if (k == n_types)
            types[n_types++] = (type_count){ tensor.type, 0, 0 };
        types[k].n++;
        types[k].bytes += tensor.bytes;
    }
    return n_types;
}

/* ---- as text ---- */

static double megabytes(uint64_t bytes)
{
    return 1e-6 * (double)bytes;
}

static void print_types(const slm_model *model)
{
    type_count types[MAX_TYPES];
    size_t n = count_types(model, types);
    for (size_t k = 0; k < n; k++)
        printf("%s%u %s (%.2f MB)", k ? ", " : "", types[k].n, types[k].name,
               megabytes(types[k].bytes));
}

static void print_report(const report *r)
{
    const slm_model_info *m = &r->model_info;
    const slm_tokenizer_info *t = &r->tokenizer;
    printf("name         %s\n", m->name[0] ? m->name : "not stated");
    if (r->description)
        printf("description  %s\n", r->description);
    printf("licence      %s\n", r->licence ? r->licence : "not stated");
    printf("architecture %s, %.2f million parameters\n", m->architecture,
           1e-6 * (double)m->n_parameters);
    printf("shape        %u layers, width %u, %u heads of %u over %u key-value heads, "
           "feed-forward %u\n",
           m->n_layers, m->width, m->n_heads, m->head_width, m->n_kv_heads, m->ffn_width);
    printf("context      %u tokens\n", m->context_length);
    printf("tokenizer    %s%s%s, %u tokens\n", t->kind, t->pre[0] ? " " : "", t->pre, t->n_vocab);
    printf("chat format  %s\n", r->chat_format ? r->chat_format : "not known");
    printf("file         %.2f MB, %u tensors: ", megabytes(m->file_bytes), m->n_tensors);
    print_types(r->model);
    printf("\nmemory       model %.2f MB (weights %.2f MB), session %.2f MB (cache %.2f MB for %u "
           "tokens)\n",
           megabytes(m->memory_bytes), megabytes(m->weight_bytes),
           megabytes(r->memory.total_bytes), megabytes(r->memory.kv_bytes), r->context);
}

static void print_tensors(const slm_model *model)
{
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    for (uint32_t i = 0; slm_model_get_tensor(model, i, &tensor, NULL) == SLM_OK; i++) {
        printf("%-32s %-6s ", tensor.name, tensor.type);
        for (uint32_t d = 0; d < tensor.n_dims; d++)
            printf("%s%llu", d ? " x " : "", (unsigned long long)tensor.dims[d]);
        putchar('\n');
    }
}

static void print_metadata(const slm_model *model)
{
    const char *key, *value;
    for (uint32_t i = 0; slm_model_get_metadata(model, i, &key, &value, NULL) == SLM_OK; i++) {
        printf("%-40s ", key);
        print_quoted(stdout, value, strlen(value));
        putchar('\n');
    }
}

/* ---- as JSON ---- */

static void write_shape(json *j, const slm_model_info *m)
{
    json_integer(j, "parameters", (int64_t)m->n_parameters);
    json_integer(j, "layers", m->n_layers);
    json_integer(j, "width", m->width);
    json_integer(j, "heads", m->n_heads);
    json_integer(j, "key_value_heads", m->n_kv_heads);
    json_integer(j, "head_width", m->head_width);
    json_integer(j, "feed_forward_width", m->ffn_width);
    json_integer(j, "vocabulary_tokens", m->n_vocab);
    json_integer(j, "context_tokens", m->context_length);
}

static void write_memory(json *j, const report *r)
{
    json_open(j, "memory", '{');
    json_integer(j, "model_bytes", (int64_t)r->model_info.memory_bytes);
    json_integer(j, "weight_bytes", (int64_t)r->model_info.weight_bytes);
    json_integer(j, "session_context_tokens", r->context);
    json_integer(j, "session_bytes", (int64_t)r->memory.total_bytes);
    json_integer(j, "cache_bytes", (int64_t)r->memory.kv_bytes);
    json_integer(j, "scratch_bytes", (int64_t)r->memory.scratch_bytes);
    json_integer(j, "logit_bytes", (int64_t)r->memory.logit_bytes);
    json_close(j, '}');
}

static void write_tokenizer(json *j, const slm_tokenizer_info *t)
{
    json_open(j, "tokenizer", '{');
    json_string(j, "kind", t->kind);
    json_string(j, "pre_tokenizer", t->pre);
    json_integer(j, "beginning_id", t->bos);
    json_integer(j, "end_id", t->eos);
    json_integer(j, "end_of_turn_id", t->eot);
    json_integer(j, "unknown_id", t->unk);
    json_close(j, '}');
}

static void write_types(json *j, const slm_model *model)
{
    type_count types[MAX_TYPES];
    size_t n = count_types(model, types);
    json_open(j, "tensor_types", '{');
    for (size_t k = 0; k < n; k++) {
        json_open(j, types[k].name, '{');
        json_integer(j, "tensors", types[k].n);
        json_integer(j, "bytes", (int64_t)types[k].bytes);
        json_close(j, '}');
    }
    json_close(j, '}');
}

static void write_tensors(json *j, const slm_model *model)
{
    slm_tensor_info tensor = SLM_TENSOR_INFO_INIT;
    json_open(j, "tensors", '[');
    for (uint32_t i = 0; slm_model_get_tensor(model, i, &tensor, NULL) == SLM_OK; i++) {
        json_open(j, NULL, '{');
        json_string(j, "name", tensor.name);
        json_string(j, "type", tensor.type);
        json_integer(j, "bytes", (int64_t)tensor.bytes);
        json_open(j, "dimensions", '[');
        for (uint32_t d = 0; d < tensor.n_dims; d++)
            json_integer(j, NULL, (int64_t)tensor.dims[d]);
        json_close(j, ']');
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void write_metadata(json *j, const slm_model *model)
{
    const char *key, *value;
    json_open(j, "metadata", '{');
    for (uint32_t i = 0; slm_model_get_metadata(model, i, &key, &value, NULL) == SLM_OK; i++)
        json_string(j, key, value);
    json_close(j, '}');
}

static void write_report(const report *r, const info_options *o)
{
    json j = { stdout, 0, 0 };
    json_open(&j, NULL, '{');
    json_string(&j, "name", r->model_info.name);
    json_string(&j, "licence", r->licence ? r->licence : "");
    json_string(&j, "architecture", r->model_info.architecture);
    json_integer(&j, "file_bytes", (int64_t)r->model_info.file_bytes);
    write_shape(&j, &r->model_info);
    write_tokenizer(&j, &r->tokenizer);
    json_string(&j, "chat_format", r->chat_format ? r->chat_format : "");
    write_types(&j, r->model);
    write_memory(&j, r);
    if (o->tensors)
        write_tensors(&j, r->model);
    if (o->metadata)
        write_metadata(&j, r->model);
    json_close(&j, '}');
}

int command_info(const command *self, int argc, char **argv)
{
    info_options o = { .tensors = 0 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    report r = { .model = NULL };
    if ((code = load_model(&o.common, &r.model, NULL)) != EXIT_GO_ON)
        return code;

    slm_error error = SLM_ERROR_INIT;
    code = EXIT_DONE;
    if (collect(&r, &o.common, &error) != SLM_OK) {
        code = fail(NULL, &error);
    } else if (o.common.json) {
        write_report(&r, &o);
    } else {
        print_report(&r);
        if (o.tensors)
            print_tensors(r.model);
        if (o.metadata)
            print_metadata(r.model);
    }
    slm_model_release(r.model);
    return code;
}
