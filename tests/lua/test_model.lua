-- SPDX-License-Identifier: MIT
-- Models, tokenizers, samplers and chats through the Lua binding.
local check = require("check")
local slm = require("slm")

local model = assert(slm.load(check.storyteller, { n_threads = 1 }))

check.test("what a model is", function()
    local info = model:info()
    check.equal({ info.architecture, info.n_layers, info.n_vocab, info.context_length },
        { "llama", 4, 2048, 512 })
    check.is_true(info.n_parameters > 3e6 and info.memory_bytes > info.weight_bytes)
    check.equal(model:metadata()["general.architecture"], "llama")
    local tensors = model:tensors()
    check.equal(#tensors, info.n_tensors)
    check.equal({ tensors[1].name, tensors[1].dims }, { "token_embd.weight", { 256, 2048 } })
end)

check.test("loading from memory", function()
    local copy = assert(slm.load_memory(check.read("examples/models/storyteller.gguf")))
    check.equal(copy:info().n_parameters, model:info().n_parameters)
    check.fails("SLM_ERR_TRUNCATED", slm.load_memory("GGUF"))
    check.raises("must be a string or a Data object", slm.load_memory, 5)
end)

check.test("what cannot be loaded", function()
    local problem = check.fails("SLM_ERR_NOT_FOUND", slm.load("nowhere.gguf"))
    check.equal(problem.code, -31)
    check.equal(problem.offset, nil)
    check.is_true(tostring(problem):find("nowhere.gguf", 1, true))
    check.fails("SLM_ERR_LIMIT", slm.load(check.storyteller, { max_tensors = 1 }))
    check.fails("SLM_ERR_NOT_FOUND", slm.load_tokenizer("nowhere.gguf"))
    check.fails("SLM_ERR_FORMAT", slm.load(check.root .. "README.md"))
end)

check.test("what cannot be meant", function()
    check.raises("a path must be a string", slm.load, nil)
    check.raises("a path must be a string", slm.load, "a\0b")
    check.raises("there is no setting threads", slm.load, check.storyteller, { threads = 1 })
    check.raises("n_threads must be a whole number from 1 to 256, not 0", slm.load,
        check.storyteller, { n_threads = 0 })
    check.raises("settings must be a table", slm.load, check.storyteller, 5)
    check.raises("with a colon", model.info)
    check.blames(function() model:session({ n_threads = 0.5 }) end)
    check.blames(function() model:session({ n_thread = 1 }) end)
    check.blames(function() model:session({ kv_type = "f64" }) end)
    check.blames(function() model:estimate({ cpu_level = "fast" }) end)
    check.blames(function() model:sampler({ warmth = 1 }) end)
    check.blames(function() model:sampler({ top_k = 0.5 }) end)
    check.blames(function() model:sampler():set("top_k", 0.5) end)
    check.blames(function() model:sampler():get("warmth") end)
    check.blames(function() model:sampler():sample({}) end)
    check.blames(function() slm.load(5) end)
    check.blames(function() slm.load("a", { n_threads = 0 }) end)
    check.blames(function() slm.load_memory("a", { threads = 0 }) end)
    check.blames(function() slm.load_tokenizer("a", 5) end)
    check.blames(function() model:tokenizer():encode(5) end)
    check.blames(function() model:tokenizer():decode(5) end)
    check.blames(function() model:tokenizer():decode({ "a" }) end)
    check.blames(function() model:tokenizer():piece("a") end)
    check.blames(function() model:render_chat(5) end)
    check.blames(function() model:encode_chat({}, { to = 1 }) end)
end)

check.test("an error is an error when nobody takes it", function()
    local _, problem = pcall(function() return assert(slm.load("nowhere.gguf")) end)
    check.equal(problem.name, "SLM_ERR_NOT_FOUND")
end)

check.test("closing, and objects that outlive what they came from", function()
    local other = assert(slm.load(check.storyteller))
    local tokenizer = other:tokenizer()
    other:close()
    other:close()
    check.raises("the model was closed", other.info, other)
    check.equal(tokenizer:decode(tokenizer:encode("Hello.")), "Hello.")
    tokenizer:close()
    check.raises("the tokenizer was closed", tokenizer.encode, tokenizer, "a")
end)

check.test("a model for another state", function()
    local other = assert(slm.load(check.storyteller))
    local number = other:share()
    other:close()
    local adopted = slm.adopt(number)
    check.equal(adopted:info().n_vocab, 2048)
    adopted:close()
    check.raises("a shared model must be a whole number", slm.adopt, 0)
end)

check.test("garbage is released", function()
    for _ = 1, 20 do
        assert(slm.load_tokenizer(check.storyteller)):encode("Hello")
        assert(model:session()):sequence():append("Hello")
    end
    collectgarbage()
    collectgarbage()
end)

-- ---- text to ids ----

local tokenizer = model:tokenizer()

check.test("text to ids and back", function()
    local text = "Once upon a time, there was a caf\195\169.\n"
    local ids = tokenizer:encode(text, { add_special = true })
    check.equal(ids[1], 1)
    check.equal(tokenizer:decode(ids), text)
    check.equal(tokenizer:decode(ids, { show_special = true }):sub(1, 3), "<s>")
    check.equal(tokenizer:encode(""), {})
    check.equal(tokenizer:decode({}), "")
    check.equal(tokenizer:encode("<s>", { parse_special = true }), { 1 })
    check.equal(tokenizer:piece(1), "<s>")
    check.equal({ tokenizer:is_end(2), tokenizer:is_end(300) }, { true, false })
    local alone = assert(slm.load_tokenizer(check.storyteller))
    check.equal(alone:encode(text), tokenizer:encode(text))
end)

check.test("long texts", function()
    local text = ("a cat and a dog "):rep(5000)
    check.equal(tokenizer:decode(tokenizer:encode(text)), text)
    local many = {}
    for i = 1, 2000 do
        many[i] = 300
    end
    check.equal(#tokenizer:decode(many, { show_special = true }) % 1, 0)
end)

check.test("text and ids that are none", function()
    local problem = check.fails("SLM_ERR_INVALID_UTF8", tokenizer:encode("ab\255"))
    check.equal({ problem.offset, tostring(problem):match("%(at 2%)$") }, { 2, "(at 2)" })
    check.equal(tokenizer:decode(tokenizer:encode("ab\255", { replace_invalid = true })), "ab\239\191\189")
    problem = check.fails("SLM_ERR_OUT_OF_RANGE", tokenizer:decode({ 300, 5000 }))
    check.equal(problem.offset, 1)
    check.fails("SLM_ERR_OUT_OF_RANGE", tokenizer:piece(-1))
    check.raises("a token id must be a whole number", tokenizer.decode, tokenizer, { 1.5 })
    check.raises("a token id must be a whole number", tokenizer.decode, tokenizer, { "1" })
    check.raises("token ids must be a table", tokenizer.decode, tokenizer, 7)
    check.raises("text must be a string", tokenizer.encode, tokenizer, 7)
end)

check.test("what a tokenizer is", function()
    local info = tokenizer:info()
    check.equal({ info.kind, info.bos, info.eos, info.eot, info.adds_bos, info.adds_eos },
        { "spm", 1, 2, nil, true, false })
end)

-- ---- samplers ----

check.test("settings by name", function()
    local sampler = assert(model:sampler({ temperature = 0.5, top_k = 10 }))
    check.equal({ sampler:get("temperature"), sampler:get("top_k"), sampler:get("seed") }, { 0.5, 10, 0 })
    check.is_true(sampler:set("min_p", 0.25))
    check.is_true(sampler:set({ seed = 2 ^ 32 - 1, top_p = 1 }))
    check.equal({ sampler:get("min_p"), sampler:get("seed") }, { 0.25, 2 ^ 32 - 1 })
    check.fails("SLM_ERR_OUT_OF_RANGE", sampler:set("temperature", -1))
    check.fails("SLM_ERR_OUT_OF_RANGE", model:sampler({ top_p = 7 }))
    check.raises("there is no setting warmth", sampler.set, sampler, "warmth", 1)
    check.raises("a sampler's parameter must be one of", sampler.get, sampler, "warmth")
    check.raises("top_k must be a whole number", sampler.set, sampler, "top_k", 1.5)
    check.raises("temperature must be a number", sampler.set, sampler, "temperature", "hot")
end)

check.test("choosing from logits", function()
    local logits = {}
    for i = 1, 2048 do
        logits[i] = 0
    end
    logits[301], logits[501] = 9, 8
    local sampler = assert(model:sampler({ temperature = 0 }))
    local token, logprob = sampler:sample(logits)
    check.is_true(token == 300 and logprob < 0 and logprob > -1)
    local top = sampler:top(logits, 2)
    check.equal({ top[1].token, top[2].token, top[1].logprob == logprob }, { 300, 500, true })
    check.is_true(sampler:set({ presence_penalty = 2 }))
    check.equal((sampler:sample(logits, 0, { 300 })), 500)
    check.raises("there must be 2048 logits", sampler.sample, sampler, { 1, 2 })
    logits[7] = 0 / 0
    check.fails("SLM_ERR_NOT_FINITE", sampler:sample(logits))
    check.fails("SLM_ERR_NOT_FINITE", sampler:top(logits, 3))
end)

-- ---- conversations ----

check.test("conversations", function()
    check.equal(model:chat_format(), "bare")
    local messages = { { role = "user", content = "Hello." }, { role = "assistant", content = "Hi." } }
    local text = model:render_chat(messages)
    check.is_true(text:find("Hello%..*Hi%."))
    check.equal(tokenizer:decode(model:encode_chat(messages)), text)
    check.fails("SLM_ERR_UNSUPPORTED", model:render_chat({ { role = "cook", content = "Hello." } }))
    check.raises("message 1 needs a role and a content", model.render_chat, model, { { role = "user" } })
    check.raises("messages must be a table", model.render_chat, model, "Hello.")
    local long = { { role = "user", content = ("word "):rep(2000) } }
    check.is_true(#model:render_chat(long) >= 10000)
    check.is_true(#model:encode_chat(long) >= 2000)
end)

check.finish()
