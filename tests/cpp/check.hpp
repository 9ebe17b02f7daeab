// SPDX-License-Identifier: MIT
// What the tests of the C++ classes share: checks that count, and a tiny model in memory.
#ifndef SLM_TESTS_CHECK_HPP
#define SLM_TESTS_CHECK_HPP

#include <slm/slm.hpp>

#include <cstdio>
#include <vector>

/** Failed checks so far. */
inline int n_failed = 0;

#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            n_failed++;                                                           \
        }                                                                         \
    } while (0)

/** The bytes of a tiny random model's file. */
const std::vector<std::byte> &tiny_file();

/** Loads it; an empty model, and a failed check, if that does not work. */
slm::model tiny();

// The parts of the test, one a file.
void test_results();
void test_objects();
void test_talk();
void test_host();

#endif
