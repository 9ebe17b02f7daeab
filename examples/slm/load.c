/* SPDX-License-Identifier: MIT */
/* Loading the model that the command line names, or the one that is part of the program. */
#include <string.h>

#include "tool.h"

/* The embedded default model, put into the program by embed_model.py. */
extern const unsigned char slm_default_model[];
extern const unsigned char slm_default_model_end[];

const char *model_label(const common_options *common)
{
    return common->model ? common->model : "the embedded model";
}

/* Small models are there at once: progress appears only when the load takes a while. */
static int32_t show_progress(void *context, float done)
{
    const double *begin = context;
    if (now_seconds() - *begin > 0.3)
        fprintf(stderr, "\rloading %3.0f %%", 100.0 * (double)done);
    return 0;
}

static slm_status load_embedded(const slm_model_options *options, slm_model **model,
                                slm_error *error)
{
    size_t size = (size_t)(slm_default_model_end - slm_default_model);
    return slm_model_load_memory(slm_default_model, size, options, model, error);
}

/* Whether the message has the file's name, in quotes, already. */
static int names_file(const char *message, const char *path)
{
    size_t length = strlen(path);
    for (const char *at = strchr(message, '\''); at; at = strchr(at + 1, '\'')) {
        if (strncmp(at + 1, path, length) == 0 && at[1 + length] == '\'')
            return 1;
    }
    return 0;
}

int fail_load(const common_options *common, const slm_error *error)
{
    int named = common->model && names_file(error->message, common->model);
    const char *subject = named ? "" : model_label(common);
    const char *colon = named ? "" : ": ";
    if (error->offset == SLM_NO_OFFSET)
        return fail_with("%s%s%s", subject, colon, error->message);
    return fail_with("%s%s%s (byte %llu)", subject, colon, error->message,
                     (unsigned long long)error->offset);
}

int load_model(const common_options *common, slm_model **model, double *seconds)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    int on_terminal = is_terminal(stderr);
    options.n_threads = common->threads;
    options.flags = common->copy ? SLM_MODEL_COPY : 0;
    double begin = now_seconds();
    options.progress = on_terminal ? show_progress : NULL;
    options.progress_ctx = &begin;

    slm_status status = common->model
                            ? slm_model_load(common->model, &options, model, &error)
                            : load_embedded(&options, model, &error);
    if (seconds)
        *seconds = now_seconds() - begin;
    if (on_terminal)
        fputs("\r\033[K", stderr);
    return status == SLM_OK ? EXIT_GO_ON : fail_load(common, &error);
}

int load_tokenizer(const common_options *common, slm_tokenizer **tokenizer)
{
    slm_error error = SLM_ERROR_INIT;
    if (common->model) {
        slm_status status = slm_tokenizer_load(common->model, NULL, tokenizer, &error);
        return status == SLM_OK ? EXIT_GO_ON : fail_load(common, &error);
    }
    slm_model *model = NULL;
    if (load_embedded(NULL, &model, &error) != SLM_OK)
        return fail_load(common, &error);
    *tokenizer = slm_tokenizer_retain(slm_model_get_tokenizer(model));
    slm_model_release(model);
    return EXIT_GO_ON;
}
