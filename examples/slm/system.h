/* SPDX-License-Identifier: MIT */
/* What the tool asks of the operating system; system_posix.c or system_windows.c. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Comes first: makes the command line UTF-8, and the standard streams take and give bytes as they are. */
void system_begin(int *argc, char ***argv);

/* Opens a file to read its bytes. Returns NULL, with errno set, on failure. */
FILE *open_file(const char *path);

int is_terminal(FILE *stream);

/* Output that is kept back until it is known to be wanted. */
typedef struct draft {
    FILE *stream; /* to write to; NULL when there is no room for it */
    char *text;   /* where it is kept in memory */
    size_t length;
} draft;

void draft_open(draft *d);

/* Ends it and copies it to `out`, unless that is NULL. Returns 0, or -1 if something was lost. */
int draft_close(draft *d, FILE *out);

/* Reads a line of standard input with its line break into *line, which grows as needed; the caller frees
 * it in the end. Returns its length, or -1 when there is none or reading failed. */
ptrdiff_t read_line(char **line, size_t *capacity);

/* Monotonic. */
double now_seconds(void);

/* Largest memory that the process has had, in bytes; 0 where the system does not tell. */
uint64_t peak_resident_bytes(void);

/* Takes memory that lies on large pages where the system has them; the caller frees it. NULL if there is
 * none. */
void *new_large_buffer(size_t bytes);

/* Cores that the system offers, at least 1. */
uint32_t core_count(void);

/* Has Ctrl-C call `handler`, which may do no more than a signal handler may; NULL puts back what was
 * before. When that returns, the handler does not run any more. */
void catch_interrupt(void (*handler)(void));

/* Calls work() for each of n items, item_bytes apart, in a thread of its own, and waits for all. Returns
 * how many threads could be started. */
uint32_t run_threads(uint32_t n, void (*work)(void *item), void *items, size_t item_bytes);

#endif
