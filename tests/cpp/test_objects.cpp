// SPDX-License-Identifier: MIT
// Models, tokenizers, samplers: loading, ownership, information, text, parameters.
#include "check.hpp"

#include <string>

static void test_loading()
{
    const auto missing = slm::model::load(std::string("no/such/file"));
    CHECK(!missing && !missing.value() && missing.code() == SLM_ERR_NOT_FOUND);
    CHECK(slm::tokenizer::load("no/such/file").code() == SLM_ERR_NOT_FOUND);

    const slm::bytes file = tiny_file();
    const auto cut = slm::model::load_memory({ file.data(), 20 });
    CHECK(cut.code() == SLM_ERR_TRUNCATED && cut.error().offset() <= 20);
    slm::model_options small;
    small.max_memory_bytes = 1000;
    CHECK(slm::model::load_memory(file, small).code() == SLM_ERR_BUDGET);
}

static void test_sharing()
{
    slm::model first = tiny();
    slm_model *const raw = first.get();
    slm::model second = first;
    CHECK(second.get() == raw);
    slm::model third = std::move(first);
    CHECK(!first && third.get() == raw);
    second = third;
    slm::model &same = second;
    second = same;
    second = std::move(same);
    third.reset();
    CHECK(second && second.get_info().n_layers == 2);
    slm_model *const given_up = second.detach();
    const slm::model adopted(given_up);
    CHECK(!second && adopted.get() == raw);
    const slm::model shared(slm::model::retained(adopted.get()));
    CHECK(shared.get() == raw);
}

// Each object keeps alive what it uses.
static void test_any_order()
{
    slm::model model = tiny();
    slm::tokenizer tokenizer = model.get_tokenizer();
    auto session = slm::session::create(model);
    CHECK(session);
    model.reset();
    CHECK(tokenizer.encode("a b").code() == SLM_OK);
    CHECK(session->get_model().get_info().n_vocab == tokenizer.get_info().n_vocab);
    slm::session moved = std::move(*session);
    CHECK(!*session && moved && moved.add_sequence());
    moved.reset();
    CHECK(tokenizer.decode({ 270, 271 }).code() == SLM_OK);
}

static void test_information()
{
    const slm::model model = tiny();
    CHECK(std::string_view(model.get_info().architecture) == "llama");
    std::uint32_t n_entries = 0;
    bool named = false;
    while (const auto entry = model.get_metadata(n_entries)) {
        named = named || (entry->key == "general.architecture" && entry->value == "llama");
        n_entries++;
    }
    CHECK(named && n_entries > 5);
    std::uint32_t n_tensors = 0;
    while (const auto tensor = model.get_tensor(n_tensors)) {
        CHECK(tensor->n_dims >= 1 && tensor->name != nullptr);
        n_tensors++;
    }
    CHECK(n_tensors == model.get_info().n_tensors && n_tensors > 10);
}

static void test_text()
{
    const slm::tokenizer tokenizer = tiny().get_tokenizer();
    const std::string text = "abc \xc3\xa9 xyz";
    const auto ids = tokenizer.encode(text, SLM_TEXT_ADD_SPECIAL);
    CHECK(ids && ids->size() > 8 && ids->front() == tokenizer.get_info().bos);
    CHECK(tokenizer.decode(*ids).value() == text);

    std::int32_t few[2];
    const auto needed = tokenizer.encode_into(few, text, SLM_TEXT_ADD_SPECIAL);
    CHECK(needed.code() == SLM_ERR_BUFFER_TOO_SMALL && *needed == ids->size());
    char enough[100];
    const auto written = tokenizer.decode_into(enough, *ids);
    CHECK(written && std::string_view(enough, *written) == text);

    const auto wrong = tokenizer.encode("ab\xff");
    CHECK(wrong.code() == SLM_ERR_INVALID_UTF8 && wrong.error().offset() == 2 && wrong->empty());
    CHECK(tokenizer.decode({ 1, 1000000 }).error().offset() == 1);
    CHECK(tokenizer.encode("")->empty() && tokenizer.decode({})->empty());
    CHECK(*tokenizer.get_piece(tokenizer.get_info().bos) == "<s>" && !tokenizer.get_piece(-1));
    CHECK(tokenizer.is_end(tokenizer.get_info().eos) && !tokenizer.is_end(5));
}

static void test_chats()
{
    const slm::model model = tiny();
    const auto format = model.get_chat_format();
    CHECK(format && std::string_view(*format) == "bare");
    const auto text = model.render_chat({ slm::message("user", "hello"), slm::message("user", "you") });
    CHECK(text && text->find("hello") != std::string::npos && text->find("you") != std::string::npos);
    char small[3];
    const slm_chat_message hello = slm::message("user", "hello");
    CHECK(model.render_chat_into(small, { hello }).code() == SLM_ERR_BUFFER_TOO_SMALL);
    const auto ids = model.encode_chat({ hello }, SLM_CHAT_ADD_GENERATION_PROMPT);
    std::int32_t room[64];
    const auto n_ids = model.encode_chat_into(room, { hello }, SLM_CHAT_ADD_GENERATION_PROMPT);
    CHECK(ids && n_ids && ids->size() == *n_ids && ids->back() == room[*n_ids - 1]);
    CHECK(model.render_chat({}).code() == SLM_ERR_INVALID_ARGUMENT);
}

static void test_sampler()
{
    auto made = slm::sampler::create(4);
    CHECK(made);
    slm::sampler sampler = std::move(*made);
    CHECK(sampler.set(slm::sampler_f32::temperature, 0.0f) && sampler.set(slm::sampler_u32::top_k, 2));
    CHECK(*sampler.get(slm::sampler_f32::temperature) == 0.0f);
    CHECK(*sampler.get(slm::sampler_u32::top_k) == 2);
    CHECK(sampler.set(slm::sampler_f32::top_p, 2.0f).code() == SLM_ERR_OUT_OF_RANGE);

    const float logits[] = { 0.0f, 1.0f, 3.0f, 2.0f };
    const auto chosen = sampler.sample(logits);
    CHECK(chosen && chosen->token == 2 && chosen->logprob < 0.0f);
    CHECK(sampler.sample({ logits, 3 }).code() == SLM_ERR_INVALID_ARGUMENT);
    std::int32_t tokens[2];
    float logprobs[2];
    CHECK(sampler.get_top(logits, tokens, logprobs) && tokens[0] == 2 && tokens[1] == 3);
    CHECK(sampler.get_top(logits, tokens, { logprobs, 1 }).code() == SLM_ERR_OUT_OF_RANGE);
    CHECK(sampler.get_top({ logits, 2 }, tokens, logprobs).code() == SLM_ERR_INVALID_ARGUMENT);

    std::uint32_t n_params = 0;
    bool named = false;
    for (; const auto param = slm::sampler::get_param_info(n_params); n_params++)
        named = named || (param->id == SLM_SAMPLER_TOP_K && std::string_view(param->info.name) == "top_k");
    CHECK(named && n_params == 9);
}

void test_objects()
{
    test_loading();
    test_sharing();
    test_any_order();
    test_information();
    test_text();
    test_chats();
    test_sampler();
}
