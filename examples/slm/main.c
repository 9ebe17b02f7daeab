/* SPDX-License-Identifier: MIT */
/* The command line tool `slm`: picks the command. */
#include <string.h>

#include "tool.h"

static const command commands[] = {
    { "run", "[MODEL] -p PROMPT [OPTION]...", "let a model write on from a prompt", command_run },
    { "chat", "[MODEL] [OPTION]...", "talk with a model, line by line", command_chat },
    { "info", "[MODEL] [OPTION]...", "tell what a model file holds", command_info },
    { "tokenize", "[MODEL] [OPTION]... < TEXT", "split standard input into tokens",
      command_tokenize },
    { "bench", "[MODEL] [OPTION]...", "measure speed and memory", command_bench },
    { "eval", "[MODEL] --text FILE [OPTION]...", "measure how well a model predicts a text",
      command_eval },
    { "convert", "MODEL OUT [OPTION]...", "write a model's file anew so that it opens at once",
      command_convert },
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_overview(FILE *out)
{
    fputs("usage: slm COMMAND [MODEL] [OPTION]...\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\nMODEL is a GGUF file; left out, the model inside this program is used.\n"
          "`slm COMMAND --help` tells the options of a command.\n",
          out);
}

int main(int argc, char **argv)
{
    system_begin(&argc, &argv);
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(&commands[i], argc - 2, argv + 2);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_overview(stdout);
        return EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        uint32_t version = slm_version();
        printf("slm %u.%u.%u, numerics %u, %s\n", version / 1000000, version / 1000 % 1000,
               version % 1000, slm_numerics_version(), slm_cpu_level_name(slm_cpu_level()));
        return EXIT_DONE;
    }
    fprintf(stderr, "slm: there is no command '%s'; see `slm --help`\n", word);
    return EXIT_USAGE;
}
