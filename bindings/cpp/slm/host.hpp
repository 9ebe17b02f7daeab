// SPDX-License-Identifier: MIT
// Host services from C++ objects: memory, jobs, readers, log sinks, clocks, progress.
#ifndef SLM_HOST_HPP
#define SLM_HOST_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "slm/result.hpp"

/*
 * Each function makes C callbacks of a C++ object. They keep a pointer to the object, which must outlive
 * whatever they were given to, and the object must not throw: an exception would end the program.
 */
namespace slm {

using allocator = detail::initialized<slm_allocator>;
using tasks = detail::initialized<slm_tasks>;
using host = detail::initialized<slm_host>;
using reader = detail::initialized<slm_reader>;

namespace detail {
template <typename Object> void *context(Object &object) noexcept
{
    return const_cast<void *>(static_cast<const volatile void *>(std::addressof(object)));
}
} // namespace detail

/**
 * Memory from an object with allocate(size, alignment) and deallocate(block, size, alignment), such as a
 * std::pmr::memory_resource. It may refuse with nullptr or, where there are exceptions, by throwing.
 */
template <typename Resource> allocator make_allocator(Resource &resource) noexcept
{
    allocator made;
    made.ctx = detail::context(resource);
    made.alloc = [](void *ctx, std::size_t size, std::size_t alignment) noexcept -> void * {
#if defined(__cpp_exceptions)
        try {
            return static_cast<Resource *>(ctx)->allocate(size, alignment);
        } catch (...) {
            return nullptr;
        }
#else
        return static_cast<Resource *>(ctx)->allocate(size, alignment);
#endif
    };
    made.free = [](void *ctx, void *block, std::size_t size, std::size_t alignment) noexcept {
        static_cast<Resource *>(ctx)->deallocate(block, size, alignment);
    };
    return made;
}

/** The host's jobs, from an object with void *enqueue(void (*run)(void *), void *task) and wait(void *). */
template <typename Jobs> tasks make_tasks(Jobs &jobs) noexcept
{
    tasks made;
    made.ctx = detail::context(jobs);
    made.enqueue = [](void *ctx, void (*run)(void *), void *task) noexcept -> void * {
        return static_cast<Jobs *>(ctx)->enqueue(run, task);
    };
    made.wait = [](void *ctx, void *handle) noexcept { static_cast<Jobs *>(ctx)->wait(handle); };
    return made;
}

/** A source of `size` bytes; read(offset, span<std::byte> to_fill) returns a slm_status. */
template <typename Read> reader make_reader(std::uint64_t size, Read &read) noexcept
{
    reader made;
    made.size = size;
    made.ctx = detail::context(read);
    made.read = [](void *ctx, std::uint64_t offset, void *buffer, std::size_t n) noexcept -> slm_status {
        return (*static_cast<Read *>(ctx))(offset, span<std::byte>(static_cast<std::byte *>(buffer), n));
    };
    return made;
}

/** Sends log lines to log(std::uint32_t level, std::string_view line). */
template <typename Log> void set_log(slm_host &services, Log &log) noexcept
{
    services.log_ctx = detail::context(log);
    services.log = [](void *ctx, std::uint32_t level, const char *line) noexcept {
        (*static_cast<Log *>(ctx))(level, std::string_view(line));
    };
}

/** Takes the time of step budgets from clock(), in std::chrono::nanoseconds; workers call it, too. */
template <typename Clock> void set_clock(slm_host &services, Clock &clock) noexcept
{
    services.clock_ctx = detail::context(clock);
    services.clock = [](void *ctx) noexcept -> std::uint64_t {
        const std::chrono::nanoseconds now = (*static_cast<Clock *>(ctx))();
        return static_cast<std::uint64_t>(now.count());
    };
}

/** Tells the share done, 0..1, to progress(float), which returns whether to go on. */
template <typename Progress> void set_progress(slm_model_options &options, Progress &progress) noexcept
{
    options.progress_ctx = detail::context(progress);
    options.progress = [](void *ctx, float done) noexcept -> std::int32_t {
        return (*static_cast<Progress *>(ctx))(done) ? 0 : 1;
    };
}

} // namespace slm

#endif
