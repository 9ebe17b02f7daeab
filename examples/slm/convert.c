/* SPDX-License-Identifier: MIT */
/* `slm convert`: a model's file with stored panels, which opens at once. */
#define SLM_EXPERIMENTAL
#include <slm/experimental/convert.h>

#include "tool.h"

static int32_t show_progress(void *context, float done)
{
    (void)context;
    fprintf(stderr, "\rconverting %3.0f %%", 100.0 * (double)done);
    return 0;
}

static int convert(const common_options *common)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    int on_terminal = is_terminal(stderr);
    options.n_threads = common->threads;
    options.progress = on_terminal ? show_progress : NULL;
    slm_status status = slm_x_convert_file(common->model, common->output, &options, &error);
    if (on_terminal)
        fputs("\r\033[K", stderr);
    return status == SLM_OK ? EXIT_DONE : fail_load(common, &error);
}

int command_convert(const command *self, int argc, char **argv)
{
    common_options common = { .takes_output = 1 };
    option_table table = { .n = 0 };
    int code = options_parse(self, &table, &common, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    if (!common.model || !common.output)
        return usage_error(self, "give a model's file and the name of the new one");
    double begin = now_seconds();
    code = convert(&common);
    double seconds = now_seconds() - begin;
    if (code == EXIT_DONE && common.json) {
        json j = { stdout, 0, 0 };
        json_open(&j, NULL, '{');
        json_string(&j, "model", common.model);
        json_string(&j, "output", common.output);
        json_number(&j, "seconds", seconds);
        json_close(&j, '}');
    } else if (code == EXIT_DONE) {
        printf("%s written in %.1f s\n", common.output, seconds);
    }
    return code;
}
