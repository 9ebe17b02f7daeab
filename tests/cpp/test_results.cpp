// SPDX-License-Identifier: MIT
// Views, results and owners of handles, which need no model.
#include "check.hpp"

#include <array>
#include <string>
#include <type_traits>
#if __has_include(<span>) && __cplusplus >= 202002L
#include <span>
#endif

// Handles cost what a pointer costs, moving one cannot fail, and what is confined has one owner.
static_assert(sizeof(slm::model) == sizeof(void *) && sizeof(slm::session) == sizeof(void *));
static_assert(std::is_nothrow_move_constructible_v<slm::session> &&
              std::is_nothrow_move_assignable_v<slm::session>);
static_assert(!std::is_copy_constructible_v<slm::session> && !std::is_copy_assignable_v<slm::session>);
static_assert(!std::is_copy_constructible_v<slm::sampler> && !std::is_copy_assignable_v<slm::sampler>);
static_assert(std::is_nothrow_copy_constructible_v<slm::model> &&
              std::is_nothrow_copy_assignable_v<slm::prefix>);
static_assert(std::is_trivially_copyable_v<slm::sequence> && std::is_trivially_copyable_v<slm::event>);
static_assert(!std::is_convertible_v<slm::result<slm::model>, bool>);

static std::size_t count(slm::span<const std::int32_t> ids)
{
    return ids.size();
}

static std::size_t count_bytes(slm::bytes file)
{
    return file.size();
}

static void test_views()
{
    std::int32_t plain[3] = { 1, 2, 3 };
    std::vector<std::int32_t> vector(4, 7);
    const std::array<std::int32_t, 2> array = { 5, 6 };
    CHECK(count({}) == 0 && count({ 1, 2 }) == 2 && count(plain) == 3 && count(vector) == 4);
    CHECK(count(array) == 2 && count(std::vector<std::int32_t>(5)) == 5 && count({ plain, 2 }) == 2);

    const slm::span<std::int32_t> writable(vector);
    writable[1] = 8;
    CHECK(vector[1] == 8 && writable.end() - writable.begin() == 4);
    const slm::span<const std::int32_t> readable = writable;
    CHECK(readable.data() == vector.data() && !readable.empty());
    static_assert(!std::is_constructible_v<slm::span<std::int32_t>, const std::vector<std::int32_t> &>);
    static_assert(!std::is_constructible_v<slm::span<const std::int32_t>, std::vector<float> &>);

    CHECK(count_bytes(std::string_view("four")) == 4 && count_bytes(std::vector<std::byte>(6)) == 6);
    CHECK(count_bytes(std::string("five!")) == 5 && count_bytes({ plain, 12 }) == 12);
    static_assert(!std::is_convertible_v<std::vector<std::int32_t>, slm::bytes>);
#if defined(__cpp_lib_span)
    const std::span<const std::int32_t> theirs = readable;
    CHECK(theirs.size() == 4 && count(theirs) == 4 && count(std::span(vector).first(2)) == 2);
#endif
}

static void test_errors()
{
    const slm::error none;
    CHECK(none.code() == SLM_OK && std::string(none.message()) == slm_status_text(SLM_OK));
    const slm::error own(SLM_ERR_STATE, "not now");
    CHECK(own.code() == SLM_ERR_STATE && std::string(own.message()) == "not now");
    CHECK(std::string(own.name()) == "SLM_ERR_STATE" && own.offset() == SLM_NO_OFFSET);
    const slm::error bare(SLM_ERR_BUDGET, "");
    CHECK(std::string(bare.message()) == slm_status_text(SLM_ERR_BUDGET));
    const slm::error longest(SLM_ERR_IO, std::string(1000, 'x'));
    CHECK(std::string(longest.message()) == std::string(sizeof(longest.get().message) - 1, 'x'));
}

static void test_values()
{
    slm::result<std::string> good(std::string("text"));
    CHECK(good && *good == "text" && good->size() == 4 && good.code() == SLM_OK);
    CHECK(std::move(good).value_or("other") == "text");
    slm::result<std::string> bad(slm::error(SLM_ERR_IO, "broken"));
    CHECK(!bad && bad.value().empty() && bad.error().code() == SLM_ERR_IO);
    CHECK(std::move(bad).value_or("other") == "other");

    slm::result<void> noted;
    CHECK(noted && !noted.more());
    noted.settle(SLM_MORE);
    CHECK(noted && noted.more() && noted.code() == SLM_MORE);
    noted.settle(SLM_ERR_BUSY);
    CHECK(!noted && !noted.more() && noted.error().code() == SLM_ERR_BUSY);
}

static void test_exceptions()
{
#if defined(__cpp_exceptions)
    CHECK(slm::or_throw(slm::result<int>(3)) == 3);
    slm::or_throw(slm::result<void>());
    bool thrown = false;
    try {
        (void)slm::or_throw(slm::model::load("no/such/file"));
    } catch (const slm::failure &problem) {
        thrown = problem.error().code() == SLM_ERR_NOT_FOUND &&
                 std::string(problem.what()).find("no/such/file") != std::string::npos;
    }
    CHECK(thrown);
#endif
}

static void test_structs()
{
    const slm::session_options made;
    const slm_session_options init = SLM_SESSION_OPTIONS_INIT;
    CHECK(made.struct_size == init.struct_size && made.n_threads == 0 && made.host == nullptr);
    const slm_chat_message said = slm::message("user", "hello");
    CHECK(std::string(said.role) == "user" && said.content_length == 5);
}

// A forgotten check is an error of the next call, nothing worse.
static void test_emptiness()
{
    slm::session session;
    CHECK(!session && !session.step() && !session.add_sequence() && !session.get_model());
    CHECK(session.step(std::chrono::milliseconds(1)).code() == SLM_ERR_INVALID_ARGUMENT);
    CHECK(session.events().begin() == session.events().end());
    CHECK(session.write("text").code() == SLM_ERR_INVALID_ARGUMENT);
    session.cancel();
    const slm::sequence sequence;
    CHECK(sequence.append_text("text").code() == SLM_ERR_INVALID_ARGUMENT);
    CHECK(sequence.save().code() == SLM_ERR_INVALID_ARGUMENT && sequence.tokens().empty());
    sequence.cancel();
    const slm::model model;
    CHECK(model.get_info().n_layers == 0 && !model.get_tokenizer() && !model.get_metadata(0));
    CHECK(slm::session::create(model).code() == SLM_ERR_INVALID_ARGUMENT);
    CHECK(slm::prefix().tokens().empty());
    slm::sampler sampler;
    CHECK(!sampler.sample({}) && !sampler.get(slm::sampler_f32::top_p));
}

void test_results()
{
    test_views();
    test_errors();
    test_values();
    test_exceptions();
    test_structs();
    test_emptiness();
}
