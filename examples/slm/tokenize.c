/* SPDX-License-Identifier: MIT */
/* `slm tokenize`: standard input as tokens. The file may hold a vocabulary alone. */
#include <stdlib.h>

#include "tool.h"

typedef struct tokenize_options {
    common_options common;
    int ids, special, parse_special;
} tokenize_options;

static int parse(const command *self, tokenize_options *o, int argc, char **argv)
{
    option_table table = { .n = 0 };
    option rows[] = {
        { NULL, "--ids", NULL, OPTION_FLAG, &o->ids, 0, 0, NULL,
          "print only the ids, on one line" },
        { NULL, "--special", NULL, OPTION_FLAG, &o->special, 0, 0, NULL,
          "add BOS and EOS where the model asks for them" },
        { NULL, "--parse-special", NULL, OPTION_FLAG, &o->parse_special, 0, 0, NULL,
          "text such as <|im_end|> becomes its control token" },
        { 0 },
    };
    options_add(&table, rows);
    return options_parse(self, &table, &o->common, argc, argv);
}

/* Reads standard input and encodes it. The caller frees *ids. */
static int encode_input(const slm_tokenizer *tokenizer, uint32_t flags, int32_t **ids,
                        size_t *n_ids)
{
    slm_error error = SLM_ERROR_INIT;
    char *text = NULL;
    size_t length = 0;
    int code = read_file("-", &text, &length);
    if (code != EXIT_GO_ON)
        return code;

    /* A token stands for at least one byte, BOS, EOS and a leading space aside. */
    size_t capacity = length + 16;
    *ids = malloc(capacity * sizeof **ids);
    slm_status status = SLM_OK;
    if (!*ids)
        code = fail_with("the text does not fit in memory");
    else
        status = slm_tokenizer_encode(tokenizer, text, length, flags, *ids, capacity, n_ids,
                                      &error);
    if (status != SLM_OK)
        code = fail("standard input", &error);
    free(text);
    return code;
}

static void print_tokens(const slm_tokenizer *tokenizer, const tokenize_options *o,
                         const int32_t *ids, size_t n_ids)
{
    json j = { stdout, 0, 0 };
    if (o->common.json)
        json_open(&j, NULL, '[');
    for (size_t i = 0; i < n_ids; i++) {
        const char *bytes = "";
        size_t length = 0;
        slm_tokenizer_get_piece(tokenizer, ids[i], &bytes, &length, NULL);
        if (o->common.json) {
            json_open(&j, NULL, '{');
            json_integer(&j, "id", ids[i]);
            json_text(&j, "text", bytes, length);
            json_close(&j, '}');
        } else if (o->ids) {
            printf("%s%d", i ? " " : "", ids[i]);
        } else {
            printf("%d\t", ids[i]);
            print_quoted(stdout, bytes, length);
            putchar('\n');
        }
    }
    if (o->common.json)
        json_close(&j, ']');
    else if (o->ids)
        putchar('\n');
}

int command_tokenize(const command *self, int argc, char **argv)
{
    tokenize_options o = { .ids = 0 };
    int code = parse(self, &o, argc, argv);
    if (code != EXIT_GO_ON)
        return code;
    slm_tokenizer *tokenizer = NULL;
    if ((code = load_tokenizer(&o.common, &tokenizer)) != EXIT_GO_ON)
        return code;

    uint32_t flags = (o.special ? SLM_TEXT_ADD_SPECIAL : 0u) |
                     (o.parse_special ? SLM_TEXT_PARSE_SPECIAL : 0u);
    int32_t *ids = NULL;
    size_t n_ids = 0;
    code = encode_input(tokenizer, flags, &ids, &n_ids);
    if (code == EXIT_GO_ON) {
        print_tokens(tokenizer, &o, ids, n_ids);
        code = EXIT_DONE;
    }
    free(ids);
    slm_tokenizer_release(tokenizer);
    return code;
}
