// SPDX-License-Identifier: MIT
// Sessions: sequences, events, writing, budgets, cancelling, saving, prefixes, room; nothing allocated.
#include "check.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <new>
#include <string>
#if __cplusplus >= 202002L
static_assert(std::input_iterator<slm::event_range::iterator>);
#endif

static std::size_t n_allocations = 0;

// All of this program's memory in C++ comes from here. Not inlined, so that no compiler takes the pairs for
// mismatched ones.
[[gnu::noinline]] void *operator new(std::size_t size)
{
    n_allocations++;
    void *block = std::malloc(size != 0 ? size : 1);
    if (block == nullptr)
        std::abort();
    return block;
}

[[gnu::noinline]] void operator delete(void *block) noexcept
{
    std::free(block);
}

[[gnu::noinline]] void operator delete(void *block, std::size_t) noexcept
{
    std::free(block);
}

static slm::session open(std::uint32_t n_sequences = 4, std::uint32_t context_length = 128)
{
    slm::session_options options;
    options.n_sequences = n_sequences;
    options.context_length = context_length;
    options.n_threads = 2;
    options.top_logprobs = 3;
    auto made = slm::session::create(tiny(), options);
    CHECK(made);
    return std::move(made).value();
}

static slm::generate_options tokens(std::uint32_t n)
{
    slm::generate_options options;
    options.max_tokens = n;
    options.flags = SLM_GENERATE_IGNORE_END;
    return options;
}

// A sequence with some text, all of it computed.
static slm::sequence begin(slm::session &session, std::string_view text = "once upon a time")
{
    auto added = session.add_sequence();
    CHECK(added && added->append_text(text, SLM_TEXT_ADD_SPECIAL));
    CHECK(session.run([](const slm::event &) {}));
    return *added;
}

static void test_events()
{
    slm::session session = open();
    const slm::sequence one = begin(session);
    const slm::sequence two = *one.fork();
    CHECK(one != two && one == slm::sequence(session.get(), one.id()));
    slm::generate_options options = tokens(6);
    options.n_top = 3;
    CHECK(one.generate(options) && two.generate(options));
    std::string texts[2];
    int n_tokens[2] = {};
    int n_done = 0;
    while (session.step().more()) {
        for (const slm::event &told : session.events()) {
            const int which = told.sequence() == two;
            texts[which].append(told.text());
            if (told.type() == slm::event_type::token) {
                n_tokens[which]++;
                CHECK(told.logprob() <= 0.0f && told.top_tokens().size() == 3);
                CHECK(told.top_logprobs()[0] >= told.top_logprobs()[2]);
                CHECK(told.sequence().tokens()[told.position()] == told.token());
            }
        }
    }
    for (const slm::event &told : session.events()) {
        CHECK(told.type() != slm::event_type::done || told.reason() == slm::done_reason::length);
        n_done += told.type() == slm::event_type::done && told.n_generated() == 6;
        const int which = told.sequence() == two;
        n_tokens[which] += told.type() == slm::event_type::token;
        texts[which].append(told.text());
    }
    CHECK(n_done == 2 && n_tokens[0] == 6 && n_tokens[1] == 6 && texts[0] == texts[1]);
    CHECK(session.events().begin() == session.events().end());
}

static void test_logits()
{
    slm::session session = open();
    const slm::sequence sequence = *session.add_sequence();
    CHECK(sequence.append({ 1, 260, 261 }, SLM_APPEND_LOGITS));
    std::uint32_t seen = 0;
    CHECK(session.run([&](const slm::event &told) {
        CHECK(told.type() == slm::event_type::logits && told.status() == SLM_OK);
        CHECK(told.position() == seen && told.logits().size() == 287);
        seen++;
    }));
    CHECK(seen == 3);
    const auto wrong = sequence.append({ 1, 5000 });
    CHECK(wrong.code() == SLM_ERR_OUT_OF_RANGE && wrong.error().offset() == 1);
}

static void test_writing()
{
    slm::session session = open();
    const auto text = session.write("once", tokens(20));
    CHECK(text && !text->empty() && session.write("once", tokens(20)).value() == *text);
    const slm::sequence beside = begin(session, "other");
    CHECK(beside.generate(tokens(50)));
    CHECK(session.write("once", tokens(20)).value() == *text);

    /* A stop text is not delivered: what stands before its first appearance is. */
    const std::size_t letter = text->find_last_of("abcdefghijklmnopqrstuvwxyz");
    CHECK(letter != std::string::npos);
    const std::string stop = text->substr(letter, 1);
    const auto stopped = session.write("once", tokens(20), { stop.c_str() });
    CHECK(stopped && *stopped == text->substr(0, text->find(stop)));
    CHECK(session.write("\xff").code() == SLM_ERR_INVALID_UTF8);
    CHECK(session.write("once", tokens(5), { "" }).code() == SLM_ERR_INVALID_ARGUMENT);
    CHECK(session.write(std::string(500, 'a')).code() == SLM_ERR_CONTEXT_FULL);

    const slm::sequence full = begin(session);
    CHECK(full.write(tokens(0)) && full.get_info()->n_tokens == 128);
    CHECK(full.write().code() == SLM_ERR_CONTEXT_FULL);
    CHECK(full.truncate(10) && full.tokens().size() == 10 && full.write(tokens(3)));
    CHECK(full.remove() && full.remove().code() == SLM_ERR_STALE_ID && full.tokens().empty());
}

static void test_parameters()
{
    slm::session session = open();
    const slm::sequence sequence = begin(session);
    CHECK(sequence.set(slm::sequence_u32::priority, 7));
    CHECK(*sequence.get(slm::sequence_u32::priority) == 7);
    CHECK(sequence.set(slm::sequence_u32::priority, 256).code() == SLM_ERR_OUT_OF_RANGE);
    CHECK(sequence.set(slm::sequence_u32::window, 64).code() == SLM_ERR_STATE);
    std::uint32_t n_params = 0;
    while (slm::sequence::get_param_info(n_params))
        n_params++;
    CHECK(n_params == 6);

    auto sampler = slm::sampler::create(287);
    CHECK(sampler->set(slm::sampler_f32::temperature, 0.0f) && sequence.set_sampler(*sampler));
    CHECK(sequence.set_sampler(slm::sampler()).code() == SLM_ERR_INVALID_ARGUMENT);
}

static void test_budgets()
{
    slm::session session = open();
    const slm::sequence sequence = *session.add_sequence();
    CHECK(sequence.append_text(std::string(100, 'a')) && sequence.generate(tokens(4)));
    int n_steps = 1;
    /* No time is little time, not C's 0, which would be a whole batch. */
    while (session.step(std::chrono::nanoseconds(-5)).more())
        n_steps++;
    CHECK(n_steps > 10 && sequence.tokens().size() > 100);
}

static void test_cancelling()
{
    slm::session session = open();
    const slm::sequence one = begin(session);
    const slm::sequence two = begin(session);
    CHECK(one.generate(tokens(50)) && two.generate(tokens(10)));
    one.cancel();
    bool alone = false;
    CHECK(session.run([&](const slm::event &told) {
        if (told.type() == slm::event_type::done && told.sequence() == one)
            alone = told.reason() == slm::done_reason::cancelled;
    }));
    CHECK(alone && two.tokens().size() > one.tokens().size());

    CHECK(two.generate(tokens(50)));
    session.cancel();
    CHECK(session.step().code() == SLM_CANCELLED && !two.get_info()->is_generating);
}

static void test_saving()
{
    slm::session session = open();
    const slm::sequence sequence = begin(session);
    auto blob = sequence.save();
    const auto saved = slm::get_saved_info(*blob);
    CHECK(blob && saved && saved->n_tokens == sequence.tokens().size());
    const std::string text = sequence.write(tokens(12)).value();

    const auto restored = session.restore_sequence(*blob);
    CHECK(restored && restored->write(tokens(12)).value() == text);
    slm::save_options ids;
    ids.form = SLM_SAVE_TOKENS;
    std::vector<std::byte> room(4000);
    const auto length = restored->save_into(room, ids);
    CHECK(length && *length < blob->size());
    CHECK(restored->save_into({ room.data(), 5 }, ids).value() == *length);
    CHECK(session.restore_sequence({ room.data(), *length }));

    (*blob)[blob->size() / 2] ^= std::byte(1);
    CHECK(session.restore_sequence(*blob).code() == SLM_ERR_CHECKSUM);
    CHECK(slm::get_saved_info({ room.data(), 10 }).code() == SLM_ERR_TRUNCATED);
}

static void test_prefixes()
{
    slm::session session = open(4, 256);
    slm::sequence first = begin(session, std::string(90, 'p'));
    auto made = first.create_prefix("persona");
    CHECK(made && std::string_view(made->get_info().name) == "persona");
    const slm::prefix persona = *made;
    CHECK(persona.tokens().size() == first.tokens().size());
    CHECK(first.append_text("hello"));
    const std::string text = first.write(tokens(12)).value();

    slm::session other = open(4, 256);
    const slm::sequence second = *other.add_sequence();
    CHECK(second.append_prefix(persona) && second.append_text("hello"));
    const std::size_t n_tokens = second.tokens().size();
    const auto saved = second.save();
    CHECK(second.write(tokens(12)).value() == text);
    CHECK(std::string(slm::get_saved_info(*saved)->prefix) == "persona");
    CHECK(other.restore_sequence(*saved).code() == SLM_ERR_MISMATCH);
    const auto restored = other.restore_sequence(*saved, persona);
    CHECK(restored && restored->tokens().size() == n_tokens);
    CHECK(first.remove());
    made->reset();
    session.reset();
    CHECK(restored->write(tokens(12)).value() == text);
}

static void test_room()
{
    slm::session session = open(2, 64);
    const slm::sequence shifting = begin(session);
    CHECK(shifting.set(slm::sequence_u32::full, SLM_FULL_SHIFT));
    CHECK(shifting.set(slm::sequence_u32::drop, 16) && shifting.generate(tokens(100)));
    std::uint32_t n_shifts = 0;
    CHECK(session.run([&](const slm::event &told) {
        n_shifts += told.type() == slm::event_type::shift && told.n_removed() == 16;
    }));
    CHECK(n_shifts >= 3 && shifting.remove());

    const slm::sequence waiting = begin(session);
    CHECK(waiting.set(slm::sequence_u32::full, SLM_FULL_WAIT) && waiting.generate(tokens(100)));
    int n_full = 0;
    std::uint32_t n_generated = 0;
    do {
        CHECK(session.run([&](const slm::event &told) {
            n_full += told.type() == slm::event_type::full;
            if (told.type() == slm::event_type::done)
                n_generated = told.n_generated();
        }));
    } while (n_generated == 0 && waiting.replace(4, 30, { 260, 261 }));
    CHECK(n_full >= 2 && n_generated == 100);
}

// The C++ side adds no allocation to a step, its events, or what is done with sequences.
static void test_allocations()
{
    slm::session session = open();
    const slm::sequence sequence = begin(session);
    static std::byte blob[200000];
    static std::int32_t ids[64];
    const slm::tokenizer tokenizer = session.get_model().get_tokenizer();
    const std::size_t before = n_allocations;
    CHECK(sequence.append_text("more words") && sequence.generate(tokens(8), { "never this" }));
    std::size_t length = 0;
    CHECK(session.run([&](const slm::event &told) { length += told.text().size(); }));
    CHECK(sequence.save_into(blob) && tokenizer.encode_into(ids, "words"));
    CHECK(session.step(std::chrono::microseconds(50)) && sequence.get_info() && length > 0);
    CHECK(n_allocations == before);
}

void test_talk()
{
    test_events();
    test_logits();
    test_writing();
    test_parameters();
    test_budgets();
    test_cancelling();
    test_saving();
    test_prefixes();
    test_room();
    test_allocations();
}
