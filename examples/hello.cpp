// SPDX-License-Identifier: MIT
// hello.c in C++17: handles release themselves, and each result is a value or an error.
#include <slm/slm.hpp>

#include <iostream>

static int fail(const slm::error &error)
{
    std::cerr << "hello: " << error.message() << '\n';
    return 1;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "storyteller.gguf";
    const char *prompt = argc > 2 ? argv[2] : "Once upon a time";

    const auto model = slm::model::load(path);
    if (!model)
        return fail(model.error());
    auto session = slm::session::create(*model);
    if (!session)
        return fail(session.error());
    const auto text = session->add_sequence();
    if (!text)
        return fail(text.error());

    slm::generate_options options;
    options.max_tokens = 200;
    if (const auto appended = text->append_text(prompt, SLM_TEXT_ADD_SPECIAL); !appended)
        return fail(appended.error());
    if (const auto asked = text->generate(options); !asked)
        return fail(asked.error());

    std::cout << prompt;
    const auto done = session->run([](const slm::event &told) { std::cout << told.text() << std::flush; });
    std::cout << '\n';
    return done ? 0 : fail(done.error());
}
