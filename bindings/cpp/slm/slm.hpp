// SPDX-License-Identifier: MIT
// The C++17 face of libslm: handles that release themselves, results that carry their error.
#ifndef SLM_SLM_HPP
#define SLM_SLM_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slm/host.hpp"
#include "slm/result.hpp"
#include "slm/slm.h"

/*
 * How C becomes C++
 *
 * - slm_<object>_<verb>() is object.verb(): the same meaning, statuses, threads and memory. The C headers are
 *   the reference; comments here say only what differs. Constants and flags are those of C, and so are the
 *   functions without an object, such as slm_version().
 * - `model`, `tokenizer` and `prefix` are shared: a copy is one more reference. `session` and `sampler`
 *   move. A `sequence` is a plain value, the session's handle and an id, and outlives no session.
 * - A call that can fail returns result<T>: a value or an error. Nothing throws but the allocation of a
 *   returned std::string or std::vector, and a check that was
 *   forgotten harms nobody: a failed result's value is empty, and calls on something empty fail with
 *   SLM_ERR_INVALID_ARGUMENT. or_throw() makes exceptions of errors in programs that have them.
 * - Only what returns a std::string or std::vector allocates on the C++ side. Each of these has a twin
 *   `..._into` that writes to the caller's memory; its value is the size of the whole, also when that does
 *   not fit (SLM_ERR_BUFFER_TOO_SMALL).
 * - get() of every class gives the C handle, so both interfaces mix freely.
 */
namespace slm {

// ---- structs of the C interface ------------------------------------------------------------------

using model_options = detail::initialized<slm_model_options>;
using model_info = detail::initialized<slm_model_info>;
using tensor_info = detail::initialized<slm_tensor_info>;
using tokenizer_info = detail::initialized<slm_tokenizer_info>;
using param_info = detail::initialized<slm_param_info>;
using session_options = detail::initialized<slm_session_options>;
using session_memory = detail::initialized<slm_session_memory>;
using generate_options = detail::initialized<slm_generate_options>;
using sequence_info = detail::initialized<slm_sequence_info>;
using prefix_info = detail::initialized<slm_prefix_info>;
using save_options = detail::initialized<slm_save_options>;
using saved_info = detail::initialized<slm_saved_info>;

/** One entry of a model's file; lives as long as the model. */
struct metadata {
    std::string_view key;
    std::string_view value;
};

/** A parameter and what it takes. */
struct param {
    std::uint32_t id = 0;
    param_info info;
};

/** A chosen token. */
struct choice {
    std::int32_t token = 0;
    float logprob = 0.0f;
};

/** A message of a conversation; `content` must outlive it. */
inline slm_chat_message message(const char *role, std::string_view content) noexcept
{
    return { role, content.data(), content.size() };
}

/** What a saved sequence holds. */
inline result<saved_info> get_saved_info(bytes blob) noexcept
{
    return detail::call<saved_info>(slm_saved_get_info, blob.data(), blob.size());
}

// ---- shared objects ------------------------------------------------------------------------------

/** Text to token ids and back. */
class tokenizer
    : public detail::shared_handle<slm_tokenizer, slm_tokenizer_retain, slm_tokenizer_release> {
public:
    using shared_handle::shared_handle;

    static result<tokenizer> load(c_string path,
                                  const slm_model_options &options = model_options()) noexcept
    {
        return detail::call<tokenizer>(slm_tokenizer_load, path.get(), &options);
    }

    result<std::vector<std::int32_t>> encode(std::string_view text, std::uint32_t flags = 0) const
    {
        /* At most one token a byte, a space in front, BOS and EOS: one pass is enough. */
        return detail::fill<std::vector<std::int32_t>>(text.size() + 3, slm_tokenizer_encode, get(),
                                                       text.data(), text.size(), flags);
    }
    result<std::size_t> encode_into(span<std::int32_t> ids, std::string_view text,
                                    std::uint32_t flags = 0) const noexcept
    {
        return detail::call<std::size_t>(slm_tokenizer_encode, get(), text.data(), text.size(), flags,
                                         ids.data(), ids.size());
    }

    result<std::string> decode(span<const std::int32_t> ids, std::uint32_t flags = 0) const
    {
        return detail::fill<std::string>(8 * ids.size(), slm_tokenizer_decode, get(), ids.data(),
                                         ids.size(), flags);
    }
    result<std::size_t> decode_into(span<char> text, span<const std::int32_t> ids,
                                    std::uint32_t flags = 0) const noexcept
    {
        return detail::call<std::size_t>(slm_tokenizer_decode, get(), ids.data(), ids.size(), flags,
                                         text.data(), text.size());
    }

    /** The bytes that one token stands for; they live as long as the tokenizer. */
    result<std::string_view> get_piece(std::int32_t id) const noexcept
    {
        result<std::string_view> made;
        const char *data = nullptr;
        std::size_t length = 0;
        made.settle(slm_tokenizer_get_piece(get(), id, &data, &length, made.err()));
        *made = std::string_view(data, made ? length : 0);
        return made;
    }

    [[nodiscard]] tokenizer_info get_info() const noexcept
    {
        return detail::call<tokenizer_info>(slm_tokenizer_get_info, get()).value();
    }
    [[nodiscard]] bool is_end(std::int32_t id) const noexcept
    {
        return slm_tokenizer_is_end(get(), id) != 0;
    }
};

/** A loaded model. */
class model : public detail::shared_handle<slm_model, slm_model_retain, slm_model_release> {
public:
    using shared_handle::shared_handle;

    static result<model> load(c_string path, const slm_model_options &options = model_options()) noexcept
    {
        return detail::call<model>(slm_model_load, path.get(), &options);
    }
    static result<model> load_memory(bytes file,
                                     const slm_model_options &options = model_options()) noexcept
    {
        return detail::call<model>(slm_model_load_memory, file.data(), file.size(), &options);
    }
    static result<model> load_reader(const slm_reader &file,
                                     const slm_model_options &options = model_options()) noexcept
    {
        return detail::call<model>(slm_model_load_reader, &file, &options);
    }

    [[nodiscard]] model_info get_info() const noexcept
    {
        return detail::call<model_info>(slm_model_get_info, get()).value();
    }
    /** Nothing behind the last entry. */
    [[nodiscard]] std::optional<metadata> get_metadata(std::uint32_t index) const noexcept
    {
        const char *key = nullptr;
        const char *value = nullptr;
        if (slm_model_get_metadata(get(), index, &key, &value, nullptr) != SLM_OK)
            return std::nullopt;
        return metadata{ key, value };
    }
    /** Nothing behind the last tensor. */
    [[nodiscard]] std::optional<tensor_info> get_tensor(std::uint32_t index) const noexcept
    {
        const auto told = detail::call<tensor_info>(slm_model_get_tensor, get(), index);
        return told ? std::optional<tensor_info>(*told) : std::nullopt;
    }
    [[nodiscard]] slm::tokenizer get_tokenizer() const noexcept
    {
        return tokenizer(tokenizer::retained(slm_model_get_tokenizer(get())));
    }

    /** "chatml", "llama3", ...; NULL after an error. */
    result<const char *> get_chat_format() const noexcept
    {
        return detail::call<const char *>(slm_chat_get_format, get());
    }
    result<std::string> render_chat(span<const slm_chat_message> messages, std::uint32_t flags = 0) const
    {
        return detail::fill<std::string>(0, slm_chat_render, get(), messages.data(), messages.size(), flags);
    }
    result<std::size_t> render_chat_into(span<char> text, span<const slm_chat_message> messages,
                                         std::uint32_t flags = 0) const noexcept
    {
        return detail::call<std::size_t>(slm_chat_render, get(), messages.data(), messages.size(), flags,
                                         text.data(), text.size());
    }
    result<std::vector<std::int32_t>> encode_chat(span<const slm_chat_message> messages,
                                                  std::uint32_t flags = 0) const
    {
        return detail::fill<std::vector<std::int32_t>>(0, slm_chat_encode, get(), messages.data(),
                                                       messages.size(), flags);
    }
    result<std::size_t> encode_chat_into(span<std::int32_t> ids, span<const slm_chat_message> messages,
                                         std::uint32_t flags = 0) const noexcept
    {
        return detail::call<std::size_t>(slm_chat_encode, get(), messages.data(), messages.size(), flags,
                                         ids.data(), ids.size());
    }
};

/** Computed tokens that many sequences begin with; sequence::create_prefix() makes one. */
class prefix : public detail::shared_handle<slm_prefix, slm_prefix_retain, slm_prefix_release> {
public:
    using shared_handle::shared_handle;

    [[nodiscard]] prefix_info get_info() const noexcept
    {
        return detail::call<prefix_info>(slm_prefix_get_info, get()).value();
    }
    [[nodiscard]] span<const std::int32_t> tokens() const noexcept
    {
        const prefix_info info = get_info();
        return { info.tokens, info.n_tokens };
    }
};

// ---- sampler -------------------------------------------------------------------------------------

/** Parameters of a sampler by type, so that a wrong one does not compile. */
enum class sampler_f32 : std::uint32_t {
    temperature = SLM_SAMPLER_TEMPERATURE,
    top_p = SLM_SAMPLER_TOP_P,
    min_p = SLM_SAMPLER_MIN_P,
    repetition_penalty = SLM_SAMPLER_REPETITION_PENALTY,
    frequency_penalty = SLM_SAMPLER_FREQUENCY_PENALTY,
    presence_penalty = SLM_SAMPLER_PRESENCE_PENALTY
};
enum class sampler_u32 : std::uint32_t {
    top_k = SLM_SAMPLER_TOP_K,
    seed = SLM_SAMPLER_SEED,
    penalty_last_n = SLM_SAMPLER_PENALTY_LAST_N
};

/** Settings for choosing tokens. */
class sampler : public detail::unique_handle<slm_sampler, slm_sampler_release> {
public:
    sampler() noexcept = default;

    static result<sampler> create(std::uint32_t n_vocab, const slm_host &services = host()) noexcept
    {
        auto made = detail::call<sampler>(slm_sampler_create, n_vocab, &services);
        made->n_vocab_ = n_vocab;
        return made;
    }

    result<void> set(sampler_f32 name, float value) noexcept
    {
        return detail::call<void>(slm_sampler_set_f32, get(), std::uint32_t(name), value);
    }
    result<void> set(sampler_u32 name, std::uint32_t value) noexcept
    {
        return detail::call<void>(slm_sampler_set_u32, get(), std::uint32_t(name), value);
    }
    using unique_handle::get;
    result<float> get(sampler_f32 name) const noexcept
    {
        return detail::call<float>(slm_sampler_get_f32, get(), std::uint32_t(name));
    }
    result<std::uint32_t> get(sampler_u32 name) const noexcept
    {
        return detail::call<std::uint32_t>(slm_sampler_get_u32, get(), std::uint32_t(name));
    }
    /** Nothing behind the last parameter. */
    [[nodiscard]] static std::optional<param> get_param_info(std::uint32_t index) noexcept
    {
        param told;
        if (slm_sampler_get_param_info(index, &told.id, &told.info, nullptr) != SLM_OK)
            return std::nullopt;
        return told;
    }

    /** `logits` must be as many as the vocabulary has entries. */
    result<choice> sample(span<const float> logits, span<const std::int32_t> history = {},
                          std::uint64_t draw = 0) noexcept
    {
        result<choice> made = check(logits);
        if (made)
            made.settle(slm_sampler_sample(get(), logits.data(), history.data(), history.size(), draw,
                                           &made->token, &made->logprob, made.err()));
        return made;
    }
    /** Fills both spans, which must be equally long, with the most probable tokens. */
    result<void> get_top(span<const float> logits, span<std::int32_t> tokens,
                         span<float> logprobs) noexcept
    {
        if (tokens.size() != logprobs.size() || tokens.size() > n_vocab_)
            return error(SLM_ERR_OUT_OF_RANGE, "tokens and logprobs must be equally long, at most n_vocab");
        result<void> made = check(logits);
        if (made)
            made = detail::call<void>(slm_sampler_get_top, get(), logits.data(),
                                      static_cast<std::uint32_t>(tokens.size()), tokens.data(),
                                      logprobs.data());
        return made;
    }

private:
    [[nodiscard]] error check(span<const float> logits) const noexcept
    {
        return logits.size() == n_vocab_ ? error()
                                         : error(SLM_ERR_INVALID_ARGUMENT, "there must be n_vocab logits");
    }

    std::uint32_t n_vocab_ = 0; /* C takes the logits without their number */
};

// ---- sequences and events ------------------------------------------------------------------------

/** Parameters of a sequence. */
enum class sequence_u32 : std::uint32_t {
    priority = SLM_SEQUENCE_PRIORITY,
    full = SLM_SEQUENCE_FULL,
    keep = SLM_SEQUENCE_KEEP,
    drop = SLM_SEQUENCE_DROP,
    window = SLM_SEQUENCE_WINDOW,
    sinks = SLM_SEQUENCE_SINKS
};

/** One text of a session: a value to pass around. Removing it is an explicit call. */
class sequence {
public:
    sequence() noexcept = default;
    sequence(slm_session *session, slm_sequence id) noexcept : session_(session), id_(id) {}

    [[nodiscard]] slm_sequence id() const noexcept { return id_; }
    [[nodiscard]] slm_session *get_session() const noexcept { return session_; }
    friend bool operator==(const sequence &a, const sequence &b) noexcept
    {
        return a.id_ == b.id_ && a.session_ == b.session_;
    }
    friend bool operator!=(const sequence &a, const sequence &b) noexcept { return !(a == b); }

    result<sequence> fork() const noexcept
    {
        return make(session_, slm_session_fork_sequence, id_);
    }
    result<void> remove() const noexcept
    {
        return detail::call<void>(slm_session_remove_sequence, session_, id_);
    }

    result<void> append(span<const std::int32_t> tokens, std::uint32_t flags = 0) const noexcept
    {
        return detail::call<void>(slm_session_append, session_, id_, tokens.data(), tokens.size(), flags);
    }
    result<void> append_text(std::string_view text, std::uint32_t flags = 0) const noexcept
    {
        return detail::call<void>(slm_session_append_text, session_, id_, text.data(), text.size(), flags);
    }
    result<void> append_prefix(const prefix &begin) const noexcept
    {
        return detail::call<void>(slm_session_append_prefix, session_, id_, begin.get());
    }
    result<void> truncate(std::uint32_t n_tokens) const noexcept
    {
        return detail::call<void>(slm_session_truncate_sequence, session_, id_, n_tokens);
    }
    result<void> replace(std::uint32_t first, std::uint32_t n_removed,
                         span<const std::int32_t> tokens = {}, std::uint32_t flags = 0) const noexcept
    {
        return detail::call<void>(slm_session_replace, session_, id_, first, n_removed, tokens.data(),
                                  tokens.size(), flags);
    }

    result<void> set_sampler(const sampler &settings) const noexcept
    {
        return detail::call<void>(slm_session_set_sampler, session_, id_, settings.get());
    }
    result<void> set(sequence_u32 name, std::uint32_t value) const noexcept
    {
        return detail::call<void>(slm_session_set_u32, session_, id_, std::uint32_t(name), value);
    }
    result<std::uint32_t> get(sequence_u32 name) const noexcept
    {
        return detail::call<std::uint32_t>(slm_session_get_u32, session_, id_, std::uint32_t(name));
    }
    /** Nothing behind the last parameter. */
    [[nodiscard]] static std::optional<param> get_param_info(std::uint32_t index) noexcept
    {
        param told;
        if (slm_session_get_param_info(index, &told.id, &told.info, nullptr) != SLM_OK)
            return std::nullopt;
        return told;
    }

    result<sequence_info> get_info() const noexcept
    {
        return detail::call<sequence_info>(slm_session_get_sequence_info, session_, id_);
    }
    /** Valid until the next call that changes the session; empty for a stale id. */
    [[nodiscard]] span<const std::int32_t> tokens() const noexcept
    {
        const auto info = get_info();
        return { info->tokens, info->n_tokens };
    }

    /** Asks for text; `stop`, if not empty, takes the place of the options' stop texts. */
    result<void> generate(const slm_generate_options &options = generate_options(),
                          span<const char *const> stop = {}) const noexcept
    {
        slm_generate_options asked = options;
        if (!stop.empty()) {
            asked.stop = stop.data();
            asked.n_stop = static_cast<std::uint32_t>(stop.size());
        }
        return detail::call<void>(slm_session_generate, session_, id_, &asked);
    }
    /**
     * Generates and steps until that has ended, or waits for room (SLM_FULL_WAIT), for programs that wait:
     * other sequences go on meanwhile, but their events are dropped. After an error the value is the text
     * that was written until then.
     */
    result<std::string> write(const slm_generate_options &options = generate_options(),
                              span<const char *const> stop = {}) const;
    /** Stops the generation, from any thread. */
    void cancel() const noexcept { slm_session_cancel_sequence(session_, id_); }

    result<prefix> create_prefix(c_string name) const noexcept
    {
        return detail::call<prefix>(slm_prefix_create, session_, id_, name.get());
    }
    result<std::vector<std::byte>> save(const slm_save_options &options = save_options()) const
    {
        return detail::fill<std::vector<std::byte>>(0, slm_session_save_sequence, session_, id_, &options);
    }
    result<std::size_t> save_into(span<std::byte> blob,
                                  const slm_save_options &options = save_options()) const noexcept
    {
        return detail::call<std::size_t>(slm_session_save_sequence, session_, id_, &options,
                                         static_cast<void *>(blob.data()), blob.size());
    }

private:
    friend class session;

    /* Calls function(session, arguments..., &id, err). */
    template <typename Function, typename... Arguments>
    static result<sequence> make(slm_session *session, Function *function,
                                 Arguments... arguments) noexcept
    {
        result<sequence> made(sequence(session, 0));
        made.settle(function(session, arguments..., &made->id_, made.err()));
        return made;
    }

    slm_session *session_ = nullptr;
    slm_sequence id_ = 0;
};

/** Kinds of events. */
enum class event_type : std::uint32_t {
    token = SLM_EVENT_TOKEN,
    logits = SLM_EVENT_LOGITS,
    done = SLM_EVENT_DONE,
    full = SLM_EVENT_FULL,
    shift = SLM_EVENT_SHIFT
};

/** Why a generation ended. */
enum class done_reason : std::uint32_t {
    length = SLM_DONE_LENGTH,
    end = SLM_DONE_END,
    stop = SLM_DONE_STOP,
    context_full = SLM_DONE_CONTEXT_FULL,
    cancelled = SLM_DONE_CANCELLED,
    error = SLM_DONE_ERROR
};

/** Something that a step brought about; what it points to is valid until the session changes. */
class event {
public:
    event() noexcept = default;
    explicit event(slm_session *session) noexcept : session_(session) {}

    [[nodiscard]] event_type type() const noexcept { return event_type(raw_.type); }
    [[nodiscard]] slm::sequence sequence() const noexcept { return { session_, raw_.sequence }; }
    [[nodiscard]] std::uint32_t position() const noexcept { return raw_.position; }
    [[nodiscard]] std::int32_t token() const noexcept { return raw_.token; }
    [[nodiscard]] std::string_view text() const noexcept { return { raw_.text, raw_.text_length }; }
    [[nodiscard]] float logprob() const noexcept { return raw_.logprob; }
    [[nodiscard]] span<const std::int32_t> top_tokens() const noexcept
    {
        return { raw_.top_tokens, raw_.n_top };
    }
    [[nodiscard]] span<const float> top_logprobs() const noexcept
    {
        return { raw_.top_logprobs, raw_.n_top };
    }
    [[nodiscard]] span<const float> logits() const noexcept { return { raw_.logits, raw_.n_logits }; }
    [[nodiscard]] done_reason reason() const noexcept { return done_reason(raw_.reason); }
    [[nodiscard]] slm_status status() const noexcept { return raw_.status; }
    [[nodiscard]] std::uint32_t n_generated() const noexcept { return raw_.n_generated; }
    [[nodiscard]] std::uint32_t n_removed() const noexcept { return raw_.n_removed; }
    [[nodiscard]] const slm_event &get() const noexcept { return raw_; }

    /** Takes the session's next event. @return false if there is none. */
    bool next() noexcept { return slm_session_get_event(session_, &raw_, nullptr) == SLM_OK; }

private:
    slm_session *session_ = nullptr;
    slm_event raw_ = SLM_EVENT_INIT;
};

/** The events of the last step, each to be seen once: for (const slm::event &told : session.events()). */
class event_range {
public:
    struct sentinel {};
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = event;
        using difference_type = std::ptrdiff_t;
        using pointer = const event *;
        using reference = const event &;

        iterator() noexcept = default;
        explicit iterator(slm_session *session) noexcept : event_(session), live_(event_.next()) {}
        reference operator*() const noexcept { return event_; }
        pointer operator->() const noexcept { return &event_; }
        iterator &operator++() noexcept
        {
            live_ = event_.next();
            return *this;
        }
        void operator++(int) noexcept { ++*this; }
        friend bool operator==(const iterator &at, sentinel) noexcept { return !at.live_; }
        friend bool operator!=(const iterator &at, sentinel) noexcept { return at.live_; }

    private:
        event event_;
        bool live_ = false;
    };

    explicit event_range(slm_session *session) noexcept : session_(session) {}
    [[nodiscard]] iterator begin() const noexcept { return iterator(session_); }
    [[nodiscard]] sentinel end() const noexcept { return {}; }

private:
    slm_session *session_;
};

inline result<std::string> sequence::write(const slm_generate_options &options,
                                           span<const char *const> stop) const
{
    result<std::string> written(generate(options, stop).error());
    if (!written)
        return written;
    for (;;) {
        const slm_status stepped = slm_session_step(session_, 0, written.err());
        for (const event &told : event_range(session_)) {
            if (told.sequence() != *this)
                continue;
            written->append(told.text());
            if (told.type() == event_type::done) {
                written.settle(told.status());
                return written;
            }
        }
        /* These errors are of one sequence, whose event tells; any other end is everybody's. */
        if (stepped != SLM_MORE && stepped != SLM_ERR_NOT_FINITE && stepped != SLM_ERR_BUDGET) {
            written.settle(stepped);
            return written;
        }
    }
}

// ---- session -------------------------------------------------------------------------------------

/** A model at work on any number of sequences. */
class session : public detail::unique_handle<slm_session, slm_session_release> {
public:
    using unique_handle::unique_handle;

    static result<session_memory> estimate(const model &of,
                                           const slm_session_options &options = session_options()) noexcept
    {
        return detail::call<session_memory>(slm_session_estimate, of.get(), &options);
    }
    static result<session> create(const model &of,
                                  const slm_session_options &options = session_options()) noexcept
    {
        return detail::call<session>(slm_session_create, of.get(), &options);
    }
    [[nodiscard]] model get_model() const noexcept
    {
        return model(model::retained(slm_session_get_model(get())));
    }

    result<sequence> add_sequence() noexcept
    {
        return sequence::make(get(), slm_session_add_sequence);
    }
    /** `begin` is the prefix that the blob was saved relative to, if it was. */
    result<sequence> restore_sequence(bytes blob, const prefix &begin = prefix()) noexcept
    {
        const void *data = blob.data();
        return sequence::make(get(), slm_session_restore_sequence, data, blob.size(), begin.get());
    }

    /** Computes one batch. */
    result<void> step() noexcept { return detail::call<void>(slm_session_step, get(), std::uint64_t(0)); }
    /** Computes until the time is used up; no time, or less than none, counts as a microsecond. */
    template <typename Count, typename Period>
    result<void> step(std::chrono::duration<Count, Period> budget) noexcept
    {
        const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(budget).count();
        return detail::call<void>(slm_session_step, get(), std::uint64_t(whole > 1 ? whole : 1));
    }
    /** The events of the last step that nobody has taken yet. */
    [[nodiscard]] event_range events() noexcept { return event_range(get()); }
    /**
     * Steps while work remains and shows each event to visit(const event &). Ends at the first error; if that
     * concerns one sequence alone, call again to go on with the others.
     */
    template <typename Visit> result<void> run(Visit &&visit)
    {
        for (;;) {
            result<void> stepped = step();
            for (const event &told : events())
                visit(told);
            if (!stepped.more())
                return stepped;
        }
    }
    /** Writes on from a prompt in a sequence of its own; see sequence::write(). */
    result<std::string> write(std::string_view prompt,
                              const slm_generate_options &options = generate_options(),
                              span<const char *const> stop = {})
    {
        const result<sequence> added = add_sequence();
        if (!added)
            return added.error();
        const result<void> appended = added->append_text(prompt, SLM_TEXT_ADD_SPECIAL);
        result<std::string> written = appended ? added->write(options, stop) : appended.error();
        (void)added->remove();
        return written;
    }
    /** Stops all work, from any thread. */
    void cancel() noexcept
    {
        slm_session_cancel(get());
    }
};

} // namespace slm

#endif
