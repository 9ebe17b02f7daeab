/* SPDX-License-Identifier: MIT */
/* Files of tests: in the folder where the test runs, any path in UTF-8, on any system. */
#ifndef SLM_TESTS_FILES_H
#define SLM_TESTS_FILES_H

#include <stddef.h>

/* Makes a name that no other running test uses, in size bytes. */
void test_path(char *path, size_t size, const char *name);

/* Each returns 1 if it was done. */
int test_file_write(const char *path, const void *data, size_t size);
int test_file_cut(const char *path, size_t size); /* leaves the first size bytes */
int test_file_remove(const char *path);
int test_folder_make(const char *path);
int test_folder_remove(const char *path);

#endif
