/* SPDX-License-Identifier: MIT */
/* What every part of the interface shares: statuses, errors, versions, services of the host. */
#ifndef SLM_BASE_H
#define SLM_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define SLM_API
#elif defined(__GNUC__)
#define SLM_API __attribute__((visibility("default")))
#else
#define SLM_API
#endif

#define SLM_VERSION_MAJOR 0
#define SLM_VERSION_MINOR 1
#define SLM_VERSION_PATCH 0

/*
 * Conventions of the whole interface
 *
 * - A call returns a slm_status: 0 is success, a positive value is success with a note, a negative
 *   value is an error. After an error every object involved is as it was before the call unless the
 *   call's comment says otherwise, and can still be used and released.
 * - Every call may return SLM_ERR_INVALID_ARGUMENT for a NULL that its comment does not allow, and every
 *   call on a session SLM_ERR_BUSY when it comes from a callback of that session's own step.
 * - `slm_error *err` is always optional (NULL) and always the last parameter. It belongs to the
 *   caller and is written only when the call returns an error.
 * - Options are structs whose first member is `struct_size`; start from SLM_<NAME>_INIT. Zero means
 *   "default" for every field. A NULL options pointer means all defaults.
 * - Text is UTF-8, given as pointer and length in bytes. Text that comes back is not NUL-terminated
 *   unless its comment says so.
 * - Thread words: "shared" objects may be used by any number of threads at once; "confined" objects
 *   by one thread at a time, and they may move between threads from call to call.
 * - `*_release(NULL)` does nothing. Objects may be released in any order: each one keeps what it
 *   uses alive. What a host supplies (allocator, reader, log sink) must outlive the objects it was
 *   given to.
 */

/** Result of a call; one of the SLM_* constants below. */
typedef int32_t slm_status;

/* One list makes the constants, their names (slm_status_name), docs/status-codes.md and the Python
 * exceptions: X(name, value, meaning). Values are never reused. */
#define SLM_STATUS_LIST(X)                                                                       \
    X(OK, 0, "done")                                                                             \
    X(MORE, 1, "done so far; work remains, call again")                                          \
    X(END, 2, "nothing (more) to deliver")                                                       \
    X(CANCELLED, 3, "stopped because it was asked to; the object is consistent")                 \
    X(ERR_INVALID_ARGUMENT, -1, "an argument is NULL, out of range or contradictory")            \
    X(ERR_INVALID_UTF8, -2, "the text is not valid UTF-8; the offset says where")                \
    X(ERR_OUT_OF_RANGE, -3, "an index, position or token id lies outside what exists")           \
    X(ERR_STALE_ID, -4, "the sequence id is unknown or was removed")                             \
    X(ERR_BUFFER_TOO_SMALL, -5, "the caller's buffer is too small; the needed size is returned") \
    X(ERR_OUT_OF_MEMORY, -20, "the allocator returned NULL")                                     \
    X(ERR_BUDGET, -21, "the memory budget or the sequence pool given at creation is used up")    \
    X(ERR_IO, -30, "reading failed")                                                             \
    X(ERR_NOT_FOUND, -31, "there is no such file or entry")                                      \
    X(ERR_FORMAT, -40, "the data is malformed; the offset says where")                           \
    X(ERR_TRUNCATED, -41, "the data ends too early; the offset says where")                      \
    X(ERR_LIMIT, -42, "the data exceeds a limit set by the host or by the library")              \
    X(ERR_CHECKSUM, -43, "the data was altered: its checksum does not match")                    \
    X(ERR_MISMATCH, -44, "the data belongs to another model or another configuration")           \
    X(ERR_UNSUPPORTED, -60, "valid, but this library cannot do it; the message names it")        \
    X(ERR_CONTEXT_FULL, -80, "the context has no room for this many tokens")                     \
    X(ERR_BUSY, -81, "called from inside a callback or while another call is in progress")       \
    X(ERR_STATE, -82, "the call does not fit the object's present state")                        \
    X(ERR_NOT_FINITE, -83, "the computation gave a value that is infinite or not a number")      \
    X(ERR_SYSTEM, -90, "the operating system refused a resource such as a thread")               \
    X(ERR_INTERNAL, -99, "a defect of the library itself; please report it")

enum {
#define SLM_STATUS_CONSTANT(name, value, meaning) SLM_##name = (value),
    SLM_STATUS_LIST(SLM_STATUS_CONSTANT)
#undef SLM_STATUS_CONSTANT
        SLM_STATUS_LIST_END_ = 1000 /* not a status */
};

/** Offset of an error that has no position. */
#define SLM_NO_OFFSET UINT64_MAX

/** What went wrong, in the caller's memory. */
typedef struct slm_error {
    uint32_t struct_size; /**< sizeof(slm_error), set by the caller; 0 = 256, the size in version 0.1 */
    slm_status code;      /**< the status that the call returned */
    uint64_t offset;      /**< byte position in the file, text or blob; SLM_NO_OFFSET = none */
    char message[240];    /**< one sentence, UTF-8, NUL-terminated */
} slm_error;

#define SLM_ERROR_INIT { sizeof(slm_error), SLM_OK, SLM_NO_OFFSET, { 0 } }

/**
 * Memory for the library's objects.
 *
 * Both functions are called with the sizes that belong to the block, so budgets and leak checks are
 * exact. They may be called from any thread that uses the object and from its workers.
 */
typedef struct slm_allocator {
    uint32_t struct_size; /**< sizeof(slm_allocator) */
    uint32_t reserved0;   /**< 0 */
    void *ctx;            /**< passed back as the first argument */
    /** Returns `size` bytes (> 0) aligned to `alignment` (a power of two, at most 4096), or NULL. */
    void *(*alloc)(void *ctx, size_t size, size_t alignment);
    /** Takes back a block with the size and alignment that it was asked for with. */
    void (*free)(void *ctx, void *block, size_t size, size_t alignment);
} slm_allocator;

#define SLM_ALLOCATOR_INIT { sizeof(slm_allocator), 0, NULL, NULL, NULL }

/**
 * The host's job system, in place of threads of the library's own.
 *
 * A step or a load that was asked for n threads offers n - 1 tasks, works itself, and waits for the tasks
 * before it returns. Any task may come late, run one after the other with the rest, or never: the calling
 * thread does whatever nobody else did, and a task that begins when all is done returns at once. Results
 * do not depend on it. A task returns within about 50 us when a step's budget is used up.
 */
typedef struct slm_tasks {
    uint32_t struct_size; /**< sizeof(slm_tasks) */
    uint32_t reserved0;   /**< 0 */
    void *ctx;            /**< passed back as the first argument */
    /**
     * Has run(task) called once, on any thread, now or later.
     * @return a handle for `wait`; NULL if run(task) has returned already, or will never be called.
     * Called on the thread that steps or loads.
     */
    void *(*enqueue)(void *ctx, void (*run)(void *task), void *task);
    /**
     * Returns when the run(task) of this handle has returned. It may call it itself, if it has not begun,
     * and may do other jobs meanwhile. Called on the thread that steps or loads, once for each handle.
     */
    void (*wait)(void *ctx, void *handle);
} slm_tasks;

#define SLM_TASKS_INIT { sizeof(slm_tasks), 0, NULL, NULL, NULL }

/** Importance of a log line. */
enum { SLM_LOG_INFO = 1, SLM_LOG_WARNING = 2 };

/**
 * Services of the host. Every field is optional; without a log sink nothing is logged: the library
 * never writes to standard output or standard error.
 */
typedef struct slm_host {
    uint32_t struct_size;           /**< sizeof(slm_host) */
    uint32_t reserved0;             /**< 0 */
    const slm_allocator *allocator; /**< NULL = the C library's allocator; copied */
    void *log_ctx;                  /**< passed to log */
    /** Receives one line without a line break; called on the calling thread, never under a lock. */
    void (*log)(void *ctx, uint32_t level, const char *line);
    void *clock_ctx; /**< passed to clock */
    /** Monotonic time in nanoseconds, for step budgets; NULL = the operating system's. Called from the
     *  stepping thread and from the session's workers, at once. */
    uint64_t (*clock)(void *ctx);
    const slm_tasks *tasks; /**< NULL = threads of the library's own; copied */
} slm_host;

#define SLM_HOST_INIT { sizeof(slm_host), 0, NULL, NULL, NULL, NULL, NULL, NULL }

/**
 * Names a status, for example "SLM_ERR_CONTEXT_FULL".
 *
 * @param status  any value.
 * @return a static NUL-terminated string; "SLM_ERR_UNKNOWN" for a value that is no status.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API const char *slm_status_name(slm_status status);

/**
 * Explains a status in a few words, for example "the context has no room for this many tokens".
 *
 * @param status  any value.
 * @return a static NUL-terminated string.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API const char *slm_status_text(slm_status status);

/**
 * Returns the version of the library that runs, which may be newer than the header.
 *
 * @return major * 1000000 + minor * 1000 + patch.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API uint32_t slm_version(void);

/**
 * Returns the number of the arithmetic: two libraries with the same number give the same bits for
 * the same model, input and seed, on every processor and thread count (docs/numerics.md).
 *
 * Threads: shared. Since: 0.1
 */
SLM_API uint32_t slm_numerics_version(void);

/**
 * Tells where the stable structs and their members lie, as this library was compiled: for bindings that
 * mirror the structs without a C compiler, to check themselves when they load the library.
 *
 * @param index   0, 1, ...; a struct is followed by its members, in their order.
 * @param name    [out] "slm_event", "slm_event.type"; static, NUL-terminated; may be NULL.
 * @param offset  [out] bytes from the beginning of the struct; 0 for a struct; may be NULL.
 * @param size    [out] bytes of the struct or the member; may be NULL.
 * @return SLM_OK; SLM_END (no more).
 *
 * Threads: shared. Since: 0.1
 */
SLM_API slm_status slm_layout_get(uint32_t index, const char **name, uint32_t *offset, uint32_t *size);

/** Processor levels, for slm_session_options.cpu_level and slm_cpu_level(); all give the same bits. */
enum {
    SLM_CPU_BEST = 0,       /**< the best that this processor and operating system offer */
    SLM_CPU_SCALAR = 1,     /**< plain C, the specification */
    SLM_CPU_AVX2 = 10,      /**< x86-64 with AVX2, FMA and F16C */
    SLM_CPU_AVX_VNNI = 15,  /**< the same with AVX-VNNI */
    SLM_CPU_AVX512 = 20,    /**< x86-64 with AVX-512 F, BW, DQ, VL and VNNI */
    SLM_CPU_NEON = 30,      /**< 64-bit ARM */
    SLM_CPU_NEON_DOT = 40,  /**< the same with the dot-product extension */
    SLM_CPU_NEON_I8MM = 50  /**< the same with 8-bit matrix products (I8MM) */
};

/**
 * Returns the best processor level of this machine.
 *
 * @return one of the SLM_CPU_* constants, never SLM_CPU_BEST.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API uint32_t slm_cpu_level(void);

/**
 * Names a processor level, for example "avx512".
 *
 * @return a static NUL-terminated string; "unknown" for a value that is no level.
 *
 * Threads: shared. Since: 0.1
 */
SLM_API const char *slm_cpu_level_name(uint32_t level);

#ifdef __cplusplus
}
#endif

#endif
