/* SPDX-License-Identifier: MIT */
/* What the tool asks of Windows. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0601
#define PSAPI_VERSION 2 /* psapi.h's functions from KERNEL32 */
#include "system.h"

#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <psapi.h>
#include <shellapi.h>
#include <stdlib.h>

/* ---- texts: the system's are UTF-16, the tool's UTF-8 ---- */

/* Length of n units in UTF-8; written to `out` too unless its capacity is 0. */
static size_t to_utf8(const wchar_t *text, size_t n, char *out, size_t capacity)
{
    int bytes = WideCharToMultiByte(CP_UTF8, 0, text, (int)n, out, (int)capacity, NULL, NULL);
    return bytes > 0 ? (size_t)bytes : 0;
}

static char *utf8_copy(const wchar_t *text)
{
    size_t units = wcslen(text) + 1;
    size_t bytes = to_utf8(text, units, NULL, 0);
    char *copy = malloc(bytes);
    if (copy)
        to_utf8(text, units, copy, bytes);
    return copy;
}

/* The console as it was, which outlives the program. */
static UINT input_before, output_before;

static void restore_console(void)
{
    SetConsoleCP(input_before);
    SetConsoleOutputCP(output_before);
}

void system_begin(int *argc, char ***argv)
{
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    input_before = GetConsoleCP();
    output_before = GetConsoleOutputCP();
    if (output_before && atexit(restore_console) == 0) {
        SetConsoleCP(CP_UTF8);
        SetConsoleOutputCP(CP_UTF8);
    }
    DWORD mode;
    HANDLE errors = GetStdHandle(STD_ERROR_HANDLE);
    if (GetConsoleMode(errors, &mode)) /* for the escapes that clear a line */
        SetConsoleMode(errors, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);

    int n = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
    char **narrow = wide ? calloc((size_t)n + 1, sizeof *narrow) : NULL;
    int done = 0;
    while (narrow && done < n && (narrow[done] = utf8_copy(wide[done])) != NULL)
        done++;
    LocalFree(wide);
    if (narrow && done == n) { /* it lives as long as the program; without memory the old one stays */
        *argc = n;
        *argv = narrow;
    }
}

FILE *open_file(const char *path)
{
    wchar_t wide[4096];
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 4096)) {
        errno = ENOENT;
        return NULL;
    }
    return _wfopen(wide, L"rb");
}

int is_terminal(FILE *stream)
{
    DWORD mode;
    return GetConsoleMode((HANDLE)_get_osfhandle(_fileno(stream)), &mode) != 0;
}

/* ---- drafts: in a file that the system deletes when it is closed ---- */

void draft_open(draft *d)
{
    wchar_t folder[MAX_PATH + 1], path[MAX_PATH + 1];
    *d = (draft){ NULL, NULL, 0 };
    if (GetTempPathW(MAX_PATH + 1, folder) && GetTempFileNameW(folder, L"slm", 0, path))
        d->stream = _wfopen(path, L"w+bTD");
}

int draft_close(draft *d, FILE *out)
{
    char bytes[4096];
    size_t n;
    int failed = fseek(d->stream, 0, SEEK_SET) != 0;
    while (!failed && out && (n = fread(bytes, 1, sizeof bytes, d->stream)) > 0)
        failed = fwrite(bytes, 1, n, out) != n;
    failed |= ferror(d->stream);
    fclose(d->stream);
    return failed ? -1 : 0;
}

/* ---- lines ---- */

/* Makes room for `more` bytes at *length. */
static int reserve(char **line, size_t *capacity, size_t length, size_t more)
{
    if (length + more <= *capacity)
        return 1;
    size_t larger = 2 * (length + more);
    char *moved = realloc(*line, larger);
    if (!moved)
        return 0;
    *line = moved;
    *capacity = larger;
    return 1;
}

/* Only ReadConsoleW() gives all characters. It may cut between the halves of a surrogate pair. */
static ptrdiff_t read_console_line(HANDLE console, char **line, size_t *capacity)
{
    wchar_t units[1024];
    size_t length = 0, kept = 0;
    DWORD n = 0;
    while (ReadConsoleW(console, units + kept, (DWORD)(1024 - kept), &n, NULL) && n > 0) {
        size_t end = kept + n;
        if (length == 0 && units[0] == 26) /* Ctrl-Z: the end of the input */
            return -1;
        int is_last = units[end - 1] == L'\n';
        size_t whole = IS_HIGH_SURROGATE(units[end - 1]) ? end - 1 : end;
        if (!reserve(line, capacity, length, 3 * whole))
            return -1;
        length += to_utf8(units, whole, *line + length, *capacity - length);
        kept = end - whole;
        if (kept)
            units[0] = units[end - 1];
        if (is_last)
            break;
    }
    return length > 0 ? (ptrdiff_t)length : -1;
}

ptrdiff_t read_line(char **line, size_t *capacity)
{
    if (is_terminal(stdin))
        return read_console_line(GetStdHandle(STD_INPUT_HANDLE), line, capacity);
    size_t length = 0;
    int c = 0;
    while (c != '\n' && (c = getchar()) != EOF) {
        if (!reserve(line, capacity, length, 1))
            return -1;
        (*line)[length++] = (char)c;
    }
    return length > 0 ? (ptrdiff_t)length : -1;
}

/* ---- time, memory, processors ---- */

double now_seconds(void)
{
    LARGE_INTEGER frequency, counter;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    return (double)counter.QuadPart / (double)frequency.QuadPart;
}

uint64_t peak_resident_bytes(void)
{
    PROCESS_MEMORY_COUNTERS counters;
    if (!GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters))
        return 0;
    return counters.PeakWorkingSetSize;
}

void *new_large_buffer(size_t bytes)
{
    return malloc(bytes);
}

uint32_t core_count(void)
{
    DWORD n = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return n < 1 ? 1 : n > 256 ? 256 : (uint32_t)n;
}

/* ---- Ctrl-C: comes in a thread of its own ---- */

static SRWLOCK interrupt_lock = SRWLOCK_INIT;
static void (*interrupt_handler)(void);

static BOOL WINAPI on_console_event(DWORD event)
{
    int handled = 0;
    AcquireSRWLockExclusive(&interrupt_lock);
    if (interrupt_handler && (event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT)) {
        interrupt_handler();
        handled = 1;
    }
    ReleaseSRWLockExclusive(&interrupt_lock);
    return handled;
}

void catch_interrupt(void (*handler)(void))
{
    AcquireSRWLockExclusive(&interrupt_lock);
    interrupt_handler = handler;
    ReleaseSRWLockExclusive(&interrupt_lock);
    SetConsoleCtrlHandler(on_console_event, handler != NULL);
}

/* ---- threads ---- */

typedef struct thread {
    HANDLE handle;
    void (*work)(void *item);
    void *item;
} thread;

static DWORD WINAPI thread_main(void *argument)
{
    thread *t = argument;
    t->work(t->item);
    return 0;
}

uint32_t run_threads(uint32_t n, void (*work)(void *item), void *items, size_t item_bytes)
{
    thread *threads = calloc(n, sizeof *threads);
    uint32_t started = 0;
    for (; threads && started < n; started++) {
        thread *t = &threads[started];
        t->work = work;
        t->item = (char *)items + started * item_bytes;
        t->handle = CreateThread(NULL, 0, thread_main, t, 0, NULL);
        if (!t->handle)
            break;
    }
    for (uint32_t i = 0; i < started; i++) {
        WaitForSingleObject(threads[i].handle, INFINITE);
        CloseHandle(threads[i].handle);
    }
    free(threads);
    return started;
}
