// SPDX-License-Identifier: MIT
// Host services made of C++ objects: memory, readers, log sinks, clocks, progress, jobs.
#include "check.hpp"

#include <atomic>
#include <cstring>
#include <new>
#include <string>

// Memory with a budget, in the manner of std::pmr::memory_resource.
struct counting_memory {
    std::size_t budget = SIZE_MAX;
    std::atomic<std::size_t> live{ 0 };

    void *allocate(std::size_t size, std::size_t alignment)
    {
        if (live + size > budget) {
#if defined(__cpp_exceptions)
            throw std::bad_alloc();
#else
            return nullptr;
#endif
        }
        live += size;
        return ::operator new(size, std::align_val_t(alignment), std::nothrow);
    }
    void deallocate(void *block, std::size_t size, std::size_t alignment)
    {
        live -= size;
        ::operator delete(block, std::align_val_t(alignment));
    }
};

static void test_memory()
{
    counting_memory memory;
    const slm::allocator allocator = slm::make_allocator(memory);
    slm::host host;
    host.allocator = &allocator;
    slm::model_options options;
    options.host = &host;
    options.n_threads = 1;
    {
        const auto model = slm::model::load_memory(tiny_file(), options);
        CHECK(model && memory.live == model->get_info().memory_bytes);
        memory.budget = memory.live + 1000;
        CHECK(slm::session::create(*model).code() == SLM_ERR_OUT_OF_MEMORY);
        memory.budget = SIZE_MAX;

        const std::size_t before = memory.live;
        const auto estimate = slm::session::estimate(*model);
        const auto session = slm::session::create(*model);
        CHECK(session && estimate && memory.live - before == estimate->total_bytes);
    }
    CHECK(memory.live == 0);
}

static void test_reader()
{
    int n_calls = 0;
    auto read = [&n_calls](std::uint64_t offset, slm::span<std::byte> to_fill) -> slm_status {
        n_calls++;
        std::memcpy(to_fill.data(), tiny_file().data() + offset, to_fill.size());
        return SLM_OK;
    };
    const slm::reader reader = slm::make_reader(tiny_file().size(), read);
    CHECK(slm::model::load_reader(reader) && n_calls > 0);

    auto broken = [](std::uint64_t, slm::span<std::byte>) -> slm_status { return SLM_ERR_IO; };
    CHECK(slm::model::load_reader(slm::make_reader(1000, broken)).code() == SLM_ERR_IO);
}

static void test_progress()
{
    float last = -1.0f;
    auto watch = [&last](float done) {
        CHECK(done >= last && done <= 1.0f);
        last = done;
        return true;
    };
    slm::model_options options;
    slm::set_progress(options, watch);
    CHECK(slm::model::load_memory(tiny_file(), options) && last > 0.0f);

    auto refuse = [](float) { return false; };
    slm::set_progress(options, refuse);
    const auto cancelled = slm::model::load_memory(tiny_file(), options);
    CHECK(!cancelled && cancelled.code() == SLM_CANCELLED && !cancelled.value());
    CHECK(std::string(cancelled.error().message()) == slm_status_text(SLM_CANCELLED));
}

static void test_log_and_clock()
{
    std::string seen;
    auto log = [&seen](std::uint32_t, std::string_view line) { seen.append(line).append("\n"); };
    std::atomic<int> n_asked{ 0 };
    auto clock = [&n_asked] { return std::chrono::milliseconds(10) * ++n_asked; };
    slm::host host;
    slm::set_log(host, log);
    slm::set_clock(host, clock);
    host.log(host.log_ctx, SLM_LOG_WARNING, "a line");
    CHECK(seen == "a line\n");

    slm::session_options options;
    options.host = &host;
    options.n_threads = 1;
    auto session = slm::session::create(tiny(), options);
    auto sequence = session->add_sequence();
    CHECK(sequence->append_text("some words to be computed"));
    /* By this clock any budget of milliseconds is over at once: every step does a small piece. */
    int n_steps = 0;
    while (session->step(std::chrono::milliseconds(2)).more())
        n_steps++;
    CHECK(n_steps > 5 && n_asked > n_steps);
}

// Jobs that are done when somebody waits for them.
struct late_jobs {
    struct job {
        void (*run)(void *);
        void *task;
    };
    job kept[8] = {};
    int n_enqueued = 0;
    int n_waited = 0;

    void *enqueue(void (*run)(void *), void *task)
    {
        job &place = kept[n_enqueued++ % 8];
        place = { run, task };
        return &place;
    }
    void wait(void *handle)
    {
        n_waited++;
        static_cast<job *>(handle)->run(static_cast<job *>(handle)->task);
    }
};

static void test_jobs()
{
    late_jobs jobs;
    const slm::tasks tasks = slm::make_tasks(jobs);
    slm::host host;
    host.tasks = &tasks;
    slm::session_options options;
    options.host = &host;
    options.n_threads = 4;
    auto session = slm::session::create(tiny(), options);
    slm::generate_options few;
    few.max_tokens = 8;
    const auto written = session->write("abc", few);
    CHECK(written && jobs.n_enqueued > 0 && jobs.n_waited == jobs.n_enqueued);
    auto serial = slm::session::create(tiny());
    CHECK(serial->write("abc", few).value() == *written);
}

void test_host()
{
    test_memory();
    test_reader();
    test_progress();
    test_log_and_clock();
    test_jobs();
}
