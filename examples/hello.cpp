// SPDX-License-Identifier: MIT
// hello.c in C++17: handles that release themselves, statuses that become exceptions.
#include <slm/slm.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

template <auto release> struct releaser {
    template <typename T> void operator()(T *object) const { release(object); }
};
using model_ptr = std::unique_ptr<slm_model, releaser<slm_model_release>>;
using session_ptr = std::unique_ptr<slm_session, releaser<slm_session_release>>;

// Hands a status on, or throws what the library says about it.
static slm_status check(slm_status status, const slm_error &error)
{
    if (status < 0)
        throw std::runtime_error(error.message);
    return status;
}

static void write_on(const std::string &path, const std::string &prompt)
{
    slm_error error = SLM_ERROR_INIT;
    slm_model *loaded = nullptr;
    check(slm_model_load(path.c_str(), nullptr, &loaded, &error), error);
    const model_ptr model(loaded);

    slm_session *created = nullptr;
    check(slm_session_create(model.get(), nullptr, &created, &error), error);
    const session_ptr session(created);

    slm_sequence text = 0;
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = 200;
    check(slm_session_add_sequence(session.get(), &text, &error), error);
    check(slm_session_append_text(session.get(), text, prompt.data(), prompt.size(),
                                  SLM_TEXT_ADD_SPECIAL, &error),
          error);
    check(slm_session_generate(session.get(), text, &options, &error), error);

    std::cout << prompt;
    slm_status status = SLM_MORE;
    while (status == SLM_MORE) {
        status = check(slm_session_step(session.get(), 0, &error), error);
        slm_event event = SLM_EVENT_INIT;
        while (slm_session_get_event(session.get(), &event, nullptr) == SLM_OK)
            std::cout.write(event.text, static_cast<std::streamsize>(event.text_length));
        std::cout.flush();
    }
    std::cout << '\n';
}

int main(int argc, char **argv)
{
    try {
        write_on(argc > 1 ? argv[1] : "storyteller.gguf", argc > 2 ? argv[2] : "Once upon a time");
    } catch (const std::exception &problem) {
        std::cerr << "hello: " << problem.what() << '\n';
        return 1;
    }
}
