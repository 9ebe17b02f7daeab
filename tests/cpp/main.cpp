// SPDX-License-Identifier: MIT
// Runs the tests of the C++ classes; the exit status tells whether a check failed.
#include "check.hpp"

#include <cstdlib>

extern "C" {
#include "support/tiny_model.h"
}

const std::vector<std::byte> &tiny_file()
{
    static const std::vector<std::byte> file = [] {
        const tiny_model shape = {};
        std::size_t size = 0;
        std::uint8_t *made = tiny_model_make(&shape, &size);
        const auto *begin = reinterpret_cast<const std::byte *>(made);
        std::vector<std::byte> copy(begin, begin + size);
        std::free(made);
        return copy;
    }();
    return file;
}

slm::model tiny()
{
    auto loaded = slm::model::load_memory(tiny_file());
    CHECK(loaded);
    return std::move(loaded).value();
}

int main()
{
    test_results();
    test_objects();
    test_talk();
    test_host();
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
