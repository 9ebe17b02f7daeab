/* SPDX-License-Identifier: MIT */
/* Renders one conversation for tests/references/chat_templates.py: chat_probe TEMPLATE FLAGS, messages on
 * standard input as "role length\n" and the content's bytes. Exit code 2: the template is not known; 3: the
 * conversation is refused. With --canonical the template's canonical text and its hash are printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "template/formats.h"

#define MOST_BYTES 65536
#define MOST_MESSAGES 32

static size_t read_file(const char *path, char *bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    const size_t n = fread(bytes, 1, MOST_BYTES, file);
    fclose(file);
    return n;
}

static int print_canonical(const char *source, size_t length)
{
    slmi_canonical canonical;
    const int is_made = slmi_canonical_make(&canonical, source, length);
    const uint64_t hash = slmi_hash(SLMI_HASH_START, canonical.text, canonical.length);
    printf("%s\n%016llx %s\n", canonical.text, (unsigned long long)hash, is_made ? "" : "refused");
    return is_made ? 0 : 2;
}

static size_t read_messages(slm_chat_message *messages, char (*roles)[16], char *contents)
{
    size_t n = 0, used = 0, length;
    while (n < MOST_MESSAGES && scanf("%15s %zu", roles[n], &length) == 2 && getchar() == '\n' &&
           length < MOST_BYTES - used && fread(contents + used, 1, length, stdin) == length) {
        messages[n] = (slm_chat_message){ roles[n], contents + used, length };
        used += length;
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    static char source[MOST_BYTES], contents[MOST_BYTES], roles[MOST_MESSAGES][16];
    slm_chat_message messages[MOST_MESSAGES];
    slmi_alloc alloc;
    slm_error err = SLM_ERROR_INIT;
    if (argc != 3 || slmi_alloc_init(&alloc, NULL, 0, NULL) != SLM_OK) {
        return 1;
    }
    const size_t length = read_file(argv[1], source);
    if (strcmp(argv[2], "--canonical") == 0) {
        return length > 0 ? print_canonical(source, length) : 1;
    }
    if (slmi_chat_detect(source, length) == SLMI_CHAT_UNKNOWN) {
        return 2;
    }
    slmi_chat_text out = { { &alloc, NULL, 0, 0 }, { &alloc, NULL, 0, 0 } };
    const size_t n = read_messages(messages, roles, contents);
    const slm_status status = slmi_chat_render(source, length, messages, n,
                                               (uint32_t)strtoul(argv[2], NULL, 10), &out, &err);
    if (status == SLM_OK) {
        fwrite(out.text.data, 1, out.text.size, stdout);
    }
    slmi_buffer_free(&out.text);
    slmi_buffer_free(&out.content);
    return status == SLM_OK ? 0 : 3;
}
