/* SPDX-License-Identifier: MIT */
/* All that the library asks of Windows (7 or later): KERNEL32 and the C runtime. */
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0601
#include "base/os/os.h"

#include <malloc.h>
#include <string.h>
#include <windows.h>

#include "base/text.h"

void *slmi_os_alloc(size_t size, size_t alignment)
{
    return _aligned_malloc(size, alignment);
}

void slmi_os_free(void *block)
{
    _aligned_free(block);
}

void slmi_os_prefer_large_pages(void *block, size_t size)
{
    (void)block; /* they need a privilege there */
    (void)size;
}

/* ---- files ---- */

/* Longest path in UTF-16 units, its end included: what Linux takes, and a modest piece of stack. */
#define MOST_PATH 4096

/* Writes the path in UTF-16. One of MAX_PATH units or more is spelled out in full, with the prefix that
 * lifts this limit of the system's calls. */
static slm_status wide_path(wchar_t out[MOST_PATH], const char *path, slm_error *err)
{
    static const wchar_t verbatim[] = L"\\\\?\\", verbatim_share[] = L"\\\\?\\UNC\\";
    wchar_t full[MOST_PATH];
    const size_t length = strlen(path);
    const size_t valid = slmi_utf8_check(path, length);
    SLM_FAIL_AT_IF(valid < length, SLM_ERR_INVALID_UTF8, valid, "the path is not valid UTF-8");
    const DWORD n_out = MultiByteToWideChar(CP_UTF8, 0, path, -1, out, MOST_PATH);
    SLM_FAIL_IF(n_out == 0, SLM_ERR_IO, "the path is too long: '%s'", path);
    const DWORD n_full = GetFullPathNameW(out, MOST_PATH, full, NULL);
    SLM_FAIL_IF(n_full >= MOST_PATH, SLM_ERR_IO, "the path is too long: '%s'", path);
    if (n_full < MAX_PATH || wcsncmp(full, verbatim, 4) == 0) {
        return SLM_OK;
    }
    const int is_share = full[0] == L'\\' && full[1] == L'\\';
    const wchar_t *prefix = is_share ? verbatim_share : verbatim;
    const wchar_t *rest = is_share ? full + 2 : full;
    SLM_FAIL_IF(wcslen(prefix) + wcslen(rest) >= MOST_PATH, SLM_ERR_IO,
                "the path is too long: '%s'", path);
    wcscpy(out, prefix);
    wcscat(out, rest);
    return SLM_OK;
}

static slm_status open_failed(const char *path, DWORD code, slm_error *err)
{
    switch (code) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
        return slmi_fail(err, SLM_ERR_NOT_FOUND, SLM_NO_OFFSET, "there is no file '%s'", path);
    case ERROR_ACCESS_DENIED:
        return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "no permission to read '%s'", path);
    case ERROR_SHARING_VIOLATION:
        return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "another program keeps '%s' to itself",
                         path);
    default:
        return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "cannot read '%s' (error %lu)", path, code);
    }
}

static slm_status map_handle(slmi_map *map, HANDLE file, const char *path, slm_error *err)
{
    BY_HANDLE_FILE_INFORMATION info;
    SLM_FAIL_IF(GetFileType(file) != FILE_TYPE_DISK, SLM_ERR_IO, "'%s' is not a regular file", path);
    if (!GetFileInformationByHandle(file, &info)) {
        return open_failed(path, GetLastError(), err);
    }
    SLM_FAIL_IF(info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY, SLM_ERR_IO,
                "'%s' is a directory, not a model file", path);
    const uint64_t size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    SLM_FAIL_AT_IF(size == 0, SLM_ERR_TRUNCATED, 0, "'%s' is empty", path);
    SLM_FAIL_IF(size > SIZE_MAX, SLM_ERR_LIMIT,
                "'%s' is too large for this machine's address space", path);
    const HANDLE mapping = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    const void *data = mapping != NULL ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, (SIZE_T)size)
                                       : NULL;
    const DWORD code = GetLastError();
    if (mapping != NULL) {
        CloseHandle(mapping); /* the view keeps it open */
    }
    SLM_FAIL_IF(data == NULL,
                code == ERROR_NOT_ENOUGH_MEMORY || code == ERROR_COMMITMENT_LIMIT
                    ? SLM_ERR_OUT_OF_MEMORY
                    : SLM_ERR_IO,
                "cannot map '%s' (error %lu)", path, code);
    map->data = data;
    map->size = size;
    return SLM_OK;
}

slm_status slmi_map_open(slmi_map *map, const char *path, slm_error *err)
{
    wchar_t wide[MOST_PATH];
    map->data = NULL;
    map->size = 0;
    SLM_TRY(wide_path(wide, path, err));
    /* With FILE_FLAG_BACKUP_SEMANTICS a directory opens too, and can be told from a lack of permission. */
    const HANDLE file =
        CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                    OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return open_failed(path, GetLastError(), err);
    }
    const slm_status status = map_handle(map, file, path, err);
    CloseHandle(file);
    return status;
}

void slmi_map_forget(const slmi_map *map, uint64_t offset, uint64_t size)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    const uint64_t page = info.dwPageSize;
    const uint64_t begin = (offset + page - 1) / page * page;
    const uint64_t end = (offset + size) / page * page;
    if (begin < end) {
        /* Pages that are not locked leave the working set; that it fails for them is documented. */
        (void)VirtualUnlock((void *)(uintptr_t)(map->data + begin), (SIZE_T)(end - begin));
    }
}

void slmi_map_prefer_large_pages(const slmi_map *map)
{
    (void)map;
}

void slmi_map_close(slmi_map *map)
{
    if (map->data != NULL) {
        (void)UnmapViewOfFile(map->data);
        map->data = NULL;
    }
}

static slm_status write_failed(slm_error *err)
{
    return slmi_fail(err, SLM_ERR_IO, SLM_NO_OFFSET, "writing failed (error %lu)", GetLastError());
}

slm_status slmi_file_create(slmi_file *file, const char *path, slm_error *err)
{
    wchar_t wide[MOST_PATH];
    SLM_TRY(wide_path(wide, path, err));
    file->handle = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    const DWORD code = file->handle == INVALID_HANDLE_VALUE ? GetLastError() : ERROR_SUCCESS;
    if (code == ERROR_FILE_EXISTS) {
        return SLM_END;
    }
    SLM_FAIL_IF(code == ERROR_PATH_NOT_FOUND, SLM_ERR_NOT_FOUND, "there is no folder for '%s'", path);
    SLM_FAIL_IF(code != ERROR_SUCCESS, SLM_ERR_IO, "cannot write '%s' (error %lu)", path, code);
    return SLM_OK;
}

slm_status slmi_file_write(slmi_file *file, const void *bytes, size_t size, slm_error *err)
{
    const uint8_t *from = bytes;
    while (size > 0) {
        const DWORD most = size < (1u << 30) ? (DWORD)size : 1u << 30;
        DWORD n = 0;
        if (!WriteFile(file->handle, from, most, &n, NULL)) {
            return write_failed(err);
        }
        from += n;
        size -= n;
    }
    return SLM_OK;
}

slm_status slmi_file_sync(slmi_file *file, slm_error *err)
{
    return FlushFileBuffers(file->handle) ? SLM_OK : write_failed(err);
}

void slmi_file_close(slmi_file *file)
{
    CloseHandle(file->handle);
}

slm_status slmi_file_rename(const char *from, const char *to, slm_error *err)
{
    wchar_t wide_from[MOST_PATH], wide_to[MOST_PATH];
    SLM_TRY(wide_path(wide_from, from, err));
    SLM_TRY(wide_path(wide_to, to, err));
    SLM_FAIL_IF(!MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH),
                SLM_ERR_IO, "cannot write '%s' (error %lu)", to, GetLastError());
    return SLM_OK;
}

void slmi_file_remove(const char *path)
{
    wchar_t wide[MOST_PATH];
    if (wide_path(wide, path, NULL) == SLM_OK) {
        (void)DeleteFileW(wide);
    }
}

/* Says which file a path leads to; 0 if there is none. */
static int identify(const char *path, BY_HANDLE_FILE_INFORMATION *info)
{
    wchar_t wide[MOST_PATH];
    if (wide_path(wide, path, NULL) != SLM_OK) {
        return 0;
    }
    const HANDLE file = CreateFileW(wide, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                    OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    const int found = file != INVALID_HANDLE_VALUE && GetFileInformationByHandle(file, info);
    if (file != INVALID_HANDLE_VALUE) {
        CloseHandle(file);
    }
    return found;
}

int slmi_file_is_same(const char *a, const char *b)
{
    BY_HANDLE_FILE_INFORMATION first, second;
    return identify(a, &first) && identify(b, &second) &&
           first.dwVolumeSerialNumber == second.dwVolumeSerialNumber &&
           first.nFileIndexHigh == second.nFileIndexHigh && first.nFileIndexLow == second.nFileIndexLow;
}

/* ---- time and processors ---- */

uint64_t slmi_clock_ns(void)
{
    LARGE_INTEGER frequency, counter;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&counter);
    const uint64_t per_second = (uint64_t)frequency.QuadPart;
    const uint64_t ticks = (uint64_t)counter.QuadPart;
    return ticks / per_second * 1000000000u + ticks % per_second * 1000000000u / per_second;
}

uint32_t slmi_cpu_count(void)
{
    DWORD_PTR allowed = 0, present = 0;
    uint32_t n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &allowed, &present)) {
        for (; allowed != 0; allowed &= allowed - 1) {
            n++;
        }
    }
    if (n == 0) { /* the masks are empty where threads run in several groups of processors */
        n = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    }
    return n < 1 ? 1 : n > SLMI_MOST_THREADS ? SLMI_MOST_THREADS : n;
}

/* ---- threads ---- */

_Static_assert(sizeof(SRWLOCK) == sizeof(slmi_mutex) &&
                   sizeof(CONDITION_VARIABLE) == sizeof(slmi_condition),
               "os.h spells out the system's types");

static SRWLOCK *lock_of(slmi_mutex *mutex)
{
    return (SRWLOCK *)(void *)&mutex->lock;
}

static CONDITION_VARIABLE *variable_of(slmi_condition *condition)
{
    return (CONDITION_VARIABLE *)(void *)&condition->variable;
}

slm_status slmi_mutex_init(slmi_mutex *mutex, slm_error *err)
{
    (void)err;
    InitializeSRWLock(lock_of(mutex));
    return SLM_OK;
}

void slmi_mutex_destroy(slmi_mutex *mutex)
{
    (void)mutex;
}

void slmi_mutex_lock(slmi_mutex *mutex)
{
    AcquireSRWLockExclusive(lock_of(mutex));
}

void slmi_mutex_unlock(slmi_mutex *mutex)
{
    ReleaseSRWLockExclusive(lock_of(mutex));
}

slm_status slmi_condition_init(slmi_condition *condition, slm_error *err)
{
    (void)err;
    InitializeConditionVariable(variable_of(condition));
    return SLM_OK;
}

void slmi_condition_destroy(slmi_condition *condition)
{
    (void)condition;
}

void slmi_condition_wait(slmi_condition *condition, slmi_mutex *mutex)
{
    SleepConditionVariableSRW(variable_of(condition), lock_of(mutex), INFINITE, 0);
}

void slmi_condition_broadcast(slmi_condition *condition)
{
    WakeAllConditionVariable(variable_of(condition));
}

static DWORD WINAPI thread_main(void *argument)
{
    const slmi_thread *thread = argument;
    thread->run(thread->ctx);
    return 0;
}

slm_status slmi_thread_start(slmi_thread *thread, void *(*run)(void *), void *ctx, slm_error *err)
{
    thread->run = run;
    thread->ctx = ctx;
    thread->handle = CreateThread(NULL, SLMI_THREAD_STACK, thread_main, thread,
                                  STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    SLM_FAIL_IF(thread->handle == NULL, SLM_ERR_SYSTEM, "cannot start a thread (error %lu)",
                GetLastError());
    return SLM_OK;
}

void slmi_thread_join(slmi_thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

void slmi_thread_yield(void)
{
    SwitchToThread();
}

uint64_t slmi_process_id(void)
{
    return GetCurrentProcessId();
}
