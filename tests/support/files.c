/* SPDX-License-Identifier: MIT */
/* Files of tests: in the folder where the test runs, any path in UTF-8, on any system. */
#define _POSIX_C_SOURCE 200809L
#include "support/files.h"

#include <stdio.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static unsigned long process_id(void)
{
    return GetCurrentProcessId();
}

enum { MOST_PATH = 4096 };

/* In full and with the prefix that allows more than MAX_PATH characters. */
static const wchar_t *wide(const char *path, wchar_t out[MOST_PATH])
{
    wchar_t given[MOST_PATH] = L"";
    MultiByteToWideChar(CP_UTF8, 0, path, -1, given, MOST_PATH);
    wcscpy(out, L"\\\\?\\");
    GetFullPathNameW(given, MOST_PATH - 4, out + 4, NULL);
    return out;
}

int test_file_write(const char *path, const void *data, size_t size)
{
    wchar_t buffer[MOST_PATH];
    DWORD written = 0;
    const HANDLE file = CreateFileW(wide(path, buffer), GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                                    FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return 0;
    }
    const int done = WriteFile(file, data, (DWORD)size, &written, NULL) && written == size;
    return CloseHandle(file) && done;
}

int test_file_cut(const char *path, size_t size)
{
    wchar_t buffer[MOST_PATH];
    LARGE_INTEGER end;
    const HANDLE file = CreateFileW(wide(path, buffer), GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                                    FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return 0;
    }
    end.QuadPart = (LONGLONG)size;
    const int done = SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file);
    return CloseHandle(file) && done;
}

int test_file_remove(const char *path)
{
    wchar_t buffer[MOST_PATH];
    return DeleteFileW(wide(path, buffer)) != 0;
}

int test_folder_make(const char *path)
{
    wchar_t buffer[MOST_PATH];
    return CreateDirectoryW(wide(path, buffer), NULL) != 0;
}

int test_folder_remove(const char *path)
{
    wchar_t buffer[MOST_PATH];
    return RemoveDirectoryW(wide(path, buffer)) != 0;
}

#else

#include <sys/stat.h>
#include <unistd.h>

static unsigned long process_id(void)
{
    return (unsigned long)getpid();
}

int test_file_write(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return 0;
    }
    const int done = fwrite(data, 1, size, file) == size;
    return fclose(file) == 0 && done;
}

int test_file_cut(const char *path, size_t size)
{
    return truncate(path, (off_t)size) == 0;
}

int test_file_remove(const char *path)
{
    return unlink(path) == 0;
}

int test_folder_make(const char *path)
{
    return mkdir(path, 0700) == 0;
}

int test_folder_remove(const char *path)
{
    return rmdir(path) == 0;
}

#endif

void test_path(char *path, size_t size, const char *name)
{
    snprintf(path, size, "slm-test-%lu-%s", process_id(), name);
}
