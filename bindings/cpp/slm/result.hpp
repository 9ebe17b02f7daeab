// SPDX-License-Identifier: MIT
// What the C++ classes are made of: views of memory, results with their error, owners of handles.
#ifndef SLM_RESULT_HPP
#define SLM_RESULT_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "slm/slm.h"

namespace slm {

// ---- views ---------------------------------------------------------------------------------------

/**
 * Elements that lie side by side and belong to somebody else. It converts from and to std::span; it is not
 * that type, so that a program may mix translation units of C++17 and C++20.
 */
template <typename T> class span {
    template <typename Range>
    using element_of = std::remove_pointer_t<decltype(std::data(std::declval<Range &>()))>;

public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /** An array, std::vector, std::array, std::span, ... that outlives the span. */
    template <typename Range,
              typename = std::enable_if_t<std::is_convertible_v<element_of<Range> (*)[], T (*)[]>>>
    constexpr span(Range &&range) noexcept : data_(std::data(range)), size_(std::size(range)) {}
    /** A list in braces, as an argument: it lives until the call returns. */
    template <typename U = T, typename = std::enable_if_t<std::is_const_v<U>>>
    constexpr span(std::initializer_list<value_type> list) noexcept
        : data_(std::data(list)), size_(list.size()) {}

    [[nodiscard]] constexpr T *data() const noexcept { return data_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] constexpr T *begin() const noexcept { return data_; }
    [[nodiscard]] constexpr T *end() const noexcept { return data_ + size_; }
    [[nodiscard]] constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Bytes to read: a view of anything that lies in one piece and has elements of one byte. */
class bytes : public span<const std::byte> {
public:
    constexpr bytes() noexcept = default;
    bytes(const void *data, std::size_t size) noexcept
        : span(static_cast<const std::byte *>(data), size) {}
    template <typename Range, typename = std::enable_if_t<
                                  sizeof(*std::data(std::declval<const Range &>())) == 1>>
    bytes(const Range &range) noexcept : bytes(std::data(range), std::size(range)) {}
};

/** A NUL-terminated text as an argument, from a literal or a std::string. */
class c_string {
public:
    c_string(const char *text) noexcept : text_(text) {}
    c_string(const std::string &text) noexcept : text_(text.c_str()) {}
    [[nodiscard]] const char *get() const noexcept { return text_; }

private:
    const char *text_;
};

// ---- results -------------------------------------------------------------------------------------

/** What went wrong. */
class error {
public:
    error() noexcept = default;
    error(slm_status code, std::string_view message) noexcept
    {
        raw_.code = code;
        std::memcpy(raw_.message, message.data(), std::min(message.size(), sizeof(raw_.message) - 1));
    }

    [[nodiscard]] slm_status code() const noexcept { return raw_.code; }
    /** The code's name, for example "SLM_ERR_STALE_ID". */
    [[nodiscard]] const char *name() const noexcept { return slm_status_name(raw_.code); }
    /** One sentence, NUL-terminated. */
    [[nodiscard]] const char *message() const noexcept
    {
        return raw_.code < 0 && raw_.message[0] != '\0' ? raw_.message : slm_status_text(raw_.code);
    }
    /** Byte position in the file, text or blob; SLM_NO_OFFSET = none. */
    [[nodiscard]] std::uint64_t offset() const noexcept { return raw_.offset; }
    [[nodiscard]] const slm_error &get() const noexcept { return raw_; }

    /** The last argument of a C call; settle() then takes the status that it returned. */
    [[nodiscard]] slm_error *err() noexcept { return &raw_; }
    void settle(slm_status status) noexcept { raw_.code = status; }

private:
    slm_error raw_ = SLM_ERROR_INIT;
};

/** A value, or an error. After an error the value is an empty T, or what the function's comment says. */
template <typename T> class [[nodiscard]] result {
public:
    result() = default;
    result(T value) noexcept : value_(std::move(value)) {}
    result(const slm::error &error) noexcept : error_(error) {}

    /** Whether the value is there: the code is SLM_OK. */
    explicit operator bool() const noexcept { return code() == SLM_OK; }
    [[nodiscard]] slm_status code() const noexcept { return error_.code(); }
    [[nodiscard]] const slm::error &error() const noexcept { return error_; }

    [[nodiscard]] T &value() & noexcept { return value_; }
    [[nodiscard]] const T &value() const & noexcept { return value_; }
    [[nodiscard]] T &&value() && noexcept { return std::move(value_); }
    [[nodiscard]] T value_or(T other) && { return *this ? std::move(value_) : std::move(other); }
    T &operator*() & noexcept { return value_; }
    const T &operator*() const & noexcept { return value_; }
    T &&operator*() && noexcept { return std::move(value_); }
    T *operator->() noexcept { return std::addressof(value_); }
    const T *operator->() const noexcept { return std::addressof(value_); }

    /** The last argument of a C call; settle() then takes the status that it returned. */
    [[nodiscard]] slm_error *err() noexcept { return error_.err(); }
    void settle(slm_status status) noexcept { error_.settle(status); }

private:
    T value_{};
    slm::error error_;
};

/** Success, perhaps with a note (SLM_MORE, SLM_CANCELLED), or an error. */
template <> class [[nodiscard]] result<void> {
public:
    result() = default;
    result(const slm::error &error) noexcept : error_(error) {}

    /** Whether there is no error: the code is not negative. */
    explicit operator bool() const noexcept { return code() >= 0; }
    [[nodiscard]] slm_status code() const noexcept { return error_.code(); }
    [[nodiscard]] const slm::error &error() const noexcept { return error_; }
    /** Whether work remains: call again. */
    [[nodiscard]] bool more() const noexcept { return code() == SLM_MORE; }

    [[nodiscard]] slm_error *err() noexcept { return error_.err(); }
    void settle(slm_status status) noexcept { error_.settle(status); }

private:
    slm::error error_;
};

#if defined(__cpp_exceptions)
/** An error as an exception; the library itself never throws one. */
class failure : public std::exception {
public:
    explicit failure(const slm::error &error) noexcept : error_(error) {}
    [[nodiscard]] const char *what() const noexcept override { return error_.message(); }
    [[nodiscard]] const slm::error &error() const noexcept { return error_; }

private:
    slm::error error_;
};

/** The value, or a `failure` thrown: const slm::model model = slm::or_throw(slm::model::load(path)). */
template <typename T> T or_throw(result<T> attempt)
{
    if (!attempt)
        throw failure(attempt.error());
    if constexpr (!std::is_void_v<T>)
        return std::move(attempt).value();
}
#endif

namespace detail {

/* An object of the library with one owner. */
template <typename Raw, void (*Release)(Raw *)> class unique_handle {
public:
    unique_handle() noexcept = default;
    /** Takes over a reference. */
    explicit unique_handle(Raw *owned) noexcept : raw_(owned) {}
    unique_handle(unique_handle &&other) noexcept : raw_(other.detach()) {}
    unique_handle &operator=(unique_handle &&other) noexcept
    {
        reset(other.detach());
        return *this;
    }
    ~unique_handle() { Release(raw_); }

    [[nodiscard]] Raw *get() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /** Releases the object and takes over another one. */
    void reset(Raw *owned = nullptr) noexcept { Release(std::exchange(raw_, owned)); }
    /** Gives the object up without releasing it. */
    [[nodiscard]] Raw *detach() noexcept { return std::exchange(raw_, nullptr); }
    /** Releases the object and takes the next one as the [out] argument of a C function. */
    [[nodiscard]] Raw **receive() noexcept
    {
        reset();
        return &raw_;
    }

private:
    Raw *raw_ = nullptr;
};

/* An object that counts its references; a copy holds one more. */
template <typename Raw, Raw *(*Retain)(Raw *), void (*Release)(Raw *)>
class shared_handle : public unique_handle<Raw, Release> {
    using base = unique_handle<Raw, Release>;

public:
    using base::base;
    shared_handle() noexcept = default;
    shared_handle(shared_handle &&) noexcept = default;
    shared_handle &operator=(shared_handle &&) noexcept = default;
    shared_handle(const shared_handle &other) noexcept : base(retained(other.get())) {}
    shared_handle &operator=(const shared_handle &other) noexcept
    {
        base::reset(retained(other.get()));
        return *this;
    }
    /* The reference that an owner of its own takes over, of an object that somebody else has. */
    [[nodiscard]] static Raw *retained(Raw *borrowed) noexcept
    {
        return borrowed ? Retain(borrowed) : nullptr;
    }
};

/* A struct of the C interface with its size set and all else at its default, 0. */
template <typename Struct> struct initialized : Struct {
    initialized() noexcept : Struct() { this->struct_size = sizeof(Struct); }
};

template <typename T, typename = void> struct is_handle : std::false_type {};
template <typename T>
struct is_handle<T, std::void_t<decltype(std::declval<T &>().receive())>> : std::true_type {};

/* Calls function(arguments..., [&value,] err): every C function ends with its result and its error. */
template <typename T, typename Function, typename... Arguments>
result<T> call(Function *function, Arguments... arguments) noexcept
{
    result<T> made;
    if constexpr (std::is_void_v<T>)
        made.settle(function(arguments..., made.err()));
    else if constexpr (is_handle<T>::value)
        made.settle(function(arguments..., made->receive(), made.err()));
    else
        made.settle(function(arguments..., &made.value(), made.err()));
    return made;
}

/* Calls function(arguments..., data, size, &needed, err), with room for `guess` elements at first. */
template <typename Container, typename Function, typename... Arguments>
result<Container> fill(std::size_t guess, Function *function, Arguments... arguments)
{
    result<Container> made;
    Container &data = made.value();
    std::size_t needed = guess;
    do {
        data.resize(needed);
        made.settle(function(arguments..., data.data(), data.size(), &needed, made.err()));
    } while (made.code() == SLM_ERR_BUFFER_TOO_SMALL);
    data.resize(made ? needed : 0);
    return made;
}

} // namespace detail

} // namespace slm

#endif
