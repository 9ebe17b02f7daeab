-- SPDX-License-Identifier: MIT
-- Sessions, sequences, prefixes and saved memories through the Lua binding.
local ffi = require("ffi")
local check = require("check")
local slm = require("slm")

local model = assert(slm.load(check.storyteller, { n_threads = 1 }))
local tokenizer = model:tokenizer()
local PROMPT = "Once upon a time"
local GREEDY = { temperature = 0 }

local function new_session(settings)
    settings = settings or {}
    settings.n_threads = settings.n_threads or 1
    return assert(model:session(settings))
end

-- Steps until all is done. Returns what each sequence wrote and the last done event's reason, by sequence.
local function finish(session, budget_us)
    local texts, reasons = {}, {}
    repeat
        local more, problem = session:step(budget_us)
        check.is_true(more ~= nil, tostring(problem))
        for event in session:events() do
            texts[event.sequence] = (texts[event.sequence] or "") .. event.text
            if event.type == "done" then
                reasons[event.sequence] = event.reason
            end
        end
    until not more
    return texts, reasons
end

local function write(sequence, settings)
    assert(sequence:generate(settings))
    local texts, reasons = finish(sequence.session)
    return texts[sequence], reasons[sequence]
end

-- ---- writing ----

check.test("a text and why it ended", function()
    local session = new_session({ n_sequences = 2 })
    local sequence = assert(session:sequence(GREEDY))
    check.is_true(sequence:append(PROMPT))
    local text, reason = write(sequence, { max_tokens = 8 })
    check.equal({ text, reason }, { ", there was a little girl named Lily", "length" })
    local n = sequence:count()
    check.equal(n, #tokenizer:encode(PROMPT, { add_special = true }) + 8)
    text, reason = write(sequence, { max_tokens = 50, stop = { "toys", "nothing" } })
    check.equal({ text, reason }, { ". She loved to play with her ", "stop" })
    check.is_true(sequence:truncate(n))
    text, reason = write(sequence, { stop = "love" })
    check.equal({ text, reason }, { ". She ", "stop" })
    check.is_true(sequence:truncate(n))
    check.equal(select(2, write(sequence)), "end")
end)

check.test("the members of events", function()
    local session = new_session({ top_logprobs = 3 })
    local sequence = assert(session:sequence(GREEDY))
    assert(sequence:append(PROMPT))
    assert(sequence:generate({ max_tokens = 2, n_top = 3 }))
    local seen, first = {}, nil
    repeat
        local more = session:step()
        for event in session:events() do
            first = first or event
            check.is_true(event == first, "the table is the same each time")
            check.is_true(event.sequence == sequence)
            seen[#seen + 1] = event.type
            if event.type == "token" then
                check.equal(event.position, sequence:count() - 1)
                check.equal(event.token, sequence:tokens()[sequence:count()])
                check.is_true(#event.top == 3 and event.top[1].token == event.token)
                check.is_true(event.logprob == event.top[1].logprob and event.logprob < 0)
            else
                check.equal({ event.top, event.error, event.n_generated }, { nil, nil, 2 })
            end
        end
    until not more
    check.equal(seen, { "token", "token", "done" })
end)

check.test("logits", function()
    local session = new_session({ n_sequences = 2, logit_rows = 3 })
    local sequence = assert(session:sequence())
    assert(sequence:append({ 1, 300, 301 }, { logits = true }))
    local best = {}
    repeat
        local more = session:step()
        for event in session:events() do
            check.equal({ event.type, event.n_logits }, { "logits", 2048 })
            local largest = 0
            for i = 1, event.n_logits - 1 do
                if event.logits[i] > event.logits[largest] then
                    largest = i
                end
            end
            best[event.position] = largest
        end
    until not more
    local greedy = assert(session:sequence(GREEDY))
    assert(greedy:append({ 1, 300, 301 }))
    write(greedy, { max_tokens = 1, ignore_end = true })
    check.equal(greedy:tokens()[4], best[2])
end)

check.test("many sequences, budgets and threads give what one gives", function()
    local prompts = { PROMPT, "The cat", "Lily and Tom", "A big dog" }
    local alone = {}
    for i, prompt in ipairs(prompts) do
        local sequence = assert(new_session():sequence({ temperature = 0.9, seed = i }))
        assert(sequence:append(prompt))
        alone[i] = write(sequence, { max_tokens = 20 })
    end
    for n_threads = 1, 2 do
        local session = new_session({ n_sequences = 4, n_threads = n_threads })
        local sequences = {}
        for i, prompt in ipairs(prompts) do
            sequences[i] = assert(session:sequence({ temperature = 0.9, seed = i, priority = i }))
            assert(sequences[i]:append(prompt))
            assert(sequences[i]:generate({ max_tokens = 20 }))
        end
        local texts = finish(session, 100)
        for i, sequence in ipairs(sequences) do
            check.equal(texts[sequence], alone[i])
        end
    end
end)

check.test("a budget that is used up is not a whole batch", function()
    local session = new_session()
    local sequence = assert(session:sequence())
    for _, budget in ipairs({ 0, -5, 0.3 }) do
        assert(sequence:truncate(0))
        assert(sequence:append(("a cat "):rep(50)))
        check.equal(session:step(budget), true)
        check.equal(sequence:info().n_computed, 0)
        check.equal(session:step(), false)
    end
end)

check.test("a frame makes no garbage", function()
    local session = new_session()
    local sequence = assert(session:sequence(GREEDY))
    assert(sequence:append({ 1, 300, 301, 302 }))
    finish(session)
    local function frame(i)
        session:step(1000)
        for _ in session:events() do
            error("there is nothing to tell")
        end
        sequence:set("priority", i % 256)
        sequence:count()
    end
    for i = 1, 1000 do -- compiled by then
        frame(i)
    end
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    for i = 1, 10000 do
        frame(i)
    end
    local grown = (collectgarbage("count") - before) * 1024
    collectgarbage("restart")
    check.is_true(grown < 50000, ("%d bytes in 10,000 frames"):format(grown))
end)

-- ---- stopping and failing ----

check.test("cancelling one or all", function()
    local session = new_session({ n_sequences = 2 })
    local one, other = assert(session:sequence(GREEDY)), assert(session:sequence(GREEDY))
    for _, sequence in ipairs({ one, other }) do
        assert(sequence:append(PROMPT))
        assert(sequence:generate({ max_tokens = 12 }))
    end
    session:step()
    one:cancel()
    local _, reasons = finish(session)
    check.equal({ reasons[one], reasons[other] }, { "cancelled", "length" })
    assert(one:generate())
    session:cancel()
    check.equal({ session:step() }, { false, "cancelled" })
    _, reasons = finish(session)
    check.equal(one:info().is_generating, false)
end)

check.test("what cannot be done", function()
    local session = new_session({ context_length = 64 })
    local sequence = assert(session:sequence())
    check.fails("SLM_ERR_BUDGET", session:sequence())
    check.fails("SLM_ERR_STATE", sequence:generate())
    check.fails("SLM_ERR_OUT_OF_RANGE", sequence:append({ 5, 5000 }))
    check.equal(check.fails("SLM_ERR_INVALID_UTF8", sequence:append("a\255")).offset, 1)
    check.fails("SLM_ERR_CONTEXT_FULL", sequence:append(("word "):rep(80)))
    check.fails("SLM_ERR_OUT_OF_RANGE", sequence:truncate(1))
    check.fails("SLM_ERR_INVALID_ARGUMENT", sequence:replace(0, 0, { 5 }, { shift = true }))
    check.fails("SLM_ERR_BUDGET", model:session({ max_memory_bytes = 1000 }))
    check.equal(sequence:count(), 0)
    check.is_true(sequence:remove())
    check.raises("the sequence was closed", sequence.remove, sequence)
    check.raises("the sequence was closed", sequence.append, sequence, "a")
end)

check.test("what cannot be meant", function()
    local session = new_session()
    local sequence = assert(session:sequence())
    check.raises("there is no setting warmth", sequence.set, sequence, "warmth", 1)
    check.raises("there is no setting nil", sequence.set, sequence)
    check.raises("priority needs a value", sequence.set, sequence, "priority")
    check.blames(function() sequence:set("warmth", 1) end)
    check.blames(function() sequence:set({ warmth = 1 }) end)
    check.raises("full must be one of end, shift, wait, not 1", sequence.set, sequence, "full", 1)
    check.raises("priority must be a whole number", sequence.set, sequence, "priority", "high")
    check.raises("a parameter must be one of", sequence.get, sequence, "warmth")
    check.raises("there is no setting max_token", sequence.generate, sequence, { max_token = 1 })
    check.raises("a stop text must be", sequence.generate, sequence, { stop = { 5 } })
    check.blames(function() sequence:generate({ stop = "a\0" }) end)
    check.blames(function() sequence:append("a", { logits = true }) end)
    check.blames(function() sequence:append(5) end)
    check.blames(function() sequence:set({ priority = -1 }) end)
    check.blames(function() sequence:set("priority", 0.5) end)
    check.blames(function() sequence:set({ full = "never" }) end)
    check.blames(function() sequence:set({ temperature = "hot" }) end)
    check.blames(function() sequence:set({ top_k = 0.5 }) end)
    check.blames(function() sequence:set("temperature", "hot") end)
    check.blames(function() sequence:get("warmth") end)
    check.blames(function() sequence:append({ 1, 0.5 }) end)
    check.blames(function() sequence:append("a", 5) end)
    check.blames(function() sequence:generate({ max_tokens = 0 }) end)
    check.blames(function() sequence:generate({ max_token = 1 }) end)
    check.blames(function() sequence:save({ form = "zip" }) end)
    check.blames(function() sequence:save("tokens") end)
    check.blames(function() sequence:truncate(-1) end)
    check.blames(function() sequence:prefix(5) end)
    check.blames(function() session:sequence({ warmth = 1 }) end)
    check.blames(function() session:restore("", {}) end)
    check.blames(function() session:restore(5) end)
    check.blames(function() slm.saved_info(5) end)
    check.blames(function() session.step({}) end)
    check.raises("first must be", sequence.replace, sequence, "a", 0)
    check.raises("form must be one of", sequence.save, sequence, { form = "zip" })
    check.raises("a saved sequence must be a string", session.restore, session, 5)
    check.raises("this must be a prefix", session.restore, session, "", {})
    check.raises("with a colon", session.step)
end)

check.test("the errors of one sequence are its own", function()
    local session = new_session({ n_sequences = 2, pool_tokens = 128 }) -- a page for each
    local poor, other = assert(session:sequence(GREEDY)), assert(session:sequence(GREEDY))
    local ids = { 1 }
    for i = 2, 60 do
        ids[i] = 300 + i
    end
    assert(poor:append(ids))
    assert(other:append(PROMPT))
    assert(poor:generate({ ignore_end = true }))
    assert(other:generate({ max_tokens = 30, ignore_end = true }))
    local problem, told, reason
    repeat
        local more, met = session:step()
        problem = problem or (met ~= nil and met or nil)
        for event in session:events() do
            if event.type == "done" then
                told = told or (event.sequence == poor and event.error or nil)
                reason = event.sequence == other and event.reason or reason
            end
        end
    until not more
    check.equal({ problem.name, told.name, reason }, { "SLM_ERR_BUDGET", "SLM_ERR_BUDGET", "length" })
end)

check.test("closed sessions", function()
    local session = new_session()
    local sequence = assert(session:sequence())
    session:close()
    session:close()
    check.raises("the session was closed", session.step, session)
    check.raises("the session was closed", sequence.append, sequence, "a")
    check.raises("the session was closed", session.events(), session)
end)

check.test("events of a sequence that was removed are dropped", function()
    local session = new_session({ n_sequences = 2 })
    local one, other = assert(session:sequence(GREEDY)), assert(session:sequence(GREEDY))
    for _, sequence in ipairs({ one, other }) do
        assert(sequence:append(PROMPT))
        assert(sequence:generate({ max_tokens = 5 }))
    end
    session:step()
    assert(one:remove())
    for event in session:events() do
        check.is_true(event.sequence == other)
    end
    local texts = finish(session)
    check.equal({ texts[one], #texts[other] > 5 }, { nil, true })
end)

-- ---- parameters ----

check.test("parameters by name", function()
    local session = new_session({ n_sequences = 2 })
    local sequence = assert(session:sequence({ priority = 7, full = "shift", top_k = 5, seed = 3 }))
    check.equal({ sequence:get("priority"), sequence:get("full"), sequence:get("top_k"), sequence:get("seed"),
        sequence:get("keep"), sequence:get("temperature") < 1 }, { 7, "shift", 5, 3, 4, true })
    check.fails("SLM_ERR_OUT_OF_RANGE", sequence:set("priority", 256))
    check.fails("SLM_ERR_OUT_OF_RANGE", sequence:set({ temperature = -1 }))
    check.equal({ sequence:get("priority"), sequence:get("top_k") }, { 7, 5 })
    check.is_true(sequence:set({ full = "wait", top_k = 6 }))
    local copy = assert(sequence:fork())
    check.equal({ copy:get("full"), copy:get("top_k"), copy:get("seed") }, { "wait", 6, 3 })
    check.is_true(copy:remove())
    check.fails("SLM_ERR_OUT_OF_RANGE", session:sequence({ priority = 1000 }))
    check.is_true(session:sequence(), "the one that failed has left no trace")
end)

check.test("settings of the sampler are what the text is written with", function()
    local session = new_session()
    local sequence = assert(session:sequence(GREEDY))
    assert(sequence:append(PROMPT))
    local n = sequence:count()
    local greedy = write(sequence, { max_tokens = 12 })
    local function again(settings)
        assert(sequence:truncate(n))
        assert(sequence:set(settings))
        return write(sequence, { max_tokens = 12 })
    end
    local hot = again({ temperature = 3, top_k = 0, top_p = 1, min_p = 0, seed = 1 })
    check.is_true(hot ~= greedy)
    check.is_true(again({ seed = 2 }) ~= hot)
    check.equal(again({ seed = 1 }), hot)
    check.equal(again({ top_k = 1 }), greedy)
end)

check.test("contexts that are full", function()
    local session = new_session({ context_length = 64, n_sequences = 3 })
    local shown = {}
    for _, full in ipairs({ "end", "shift", "wait" }) do
        local sequence = assert(session:sequence({ temperature = 0, full = full, keep = 8, drop = 16 }))
        sequence.name = full
        assert(sequence:append(("a cat "):rep(20)))
        assert(sequence:generate({ max_tokens = 60, ignore_end = true }))
    end
    repeat
        local more = session:step()
        for event in session:events() do
            if event.type ~= "token" then
                local word = event.type == "done" and event.reason or event.type
                shown[#shown + 1] = event.sequence.name .. ":" .. word
            end
            if event.type == "shift" then
                check.equal({ event.position, event.n_removed }, { 8, 16 })
            elseif event.type == "full" then
                check.equal(event.position, 64)
                assert(event.sequence:replace(8, 56 - 4, tokenizer:encode(" and a dog")))
            end
        end
    until not more
    local all = table.concat(shown, " ")
    for _, word in ipairs({ "end:context_full", "shift:shift", "shift:length", "wait:full", "wait:length" }) do
        check.is_true(all:find(word, 1, true), word .. " in " .. all)
    end
end)

-- ---- keeping ----

check.test("prefixes", function()
    local session = new_session({ n_sequences = 3 })
    local first = assert(session:sequence(GREEDY))
    check.fails("SLM_ERR_STATE", first:prefix("village"))
    assert(first:append("There was a village. "))
    finish(session)
    local prefix = assert(first:prefix("village"))
    local info = prefix:info()
    check.equal({ info.name, info.n_tokens, info.kv_type }, { "village", first:count(), "f16" })
    check.equal(prefix:tokens(), first:tokens())
    assert(first:append("Tom was a baker."))
    local expected = write(first, { max_tokens = 10 })
    local second = assert(session:sequence(GREEDY))
    check.is_true(second:append(prefix))
    check.equal(second:info().n_prefix_tokens, info.n_tokens)
    check.fails("SLM_ERR_STATE", second:append(prefix))
    assert(second:append("Tom was a baker.", { add_special = false }))
    check.equal(write(second, { max_tokens = 10 }), expected)
    check.raises("NUL", first.prefix, first, "a\0b")
    check.fails("SLM_ERR_INVALID_ARGUMENT", first:prefix(("long"):rep(20)))
    prefix:close()
    check.raises("the prefix was closed", prefix.info, prefix)
end)

check.test("saving and restoring", function()
    local session = new_session({ n_sequences = 6 })
    local story = assert(session:sequence())
    assert(story:append("There was a village. "))
    finish(session)
    local prefix = assert(story:prefix("village"))
    local sequence = assert(session:sequence({ temperature = 0, full = "shift" }))
    assert(sequence:append(prefix))
    assert(sequence:append("Tom was a baker."))
    write(sequence, { max_tokens = 4 })
    local blobs = {}
    for _, form in ipairs({ "cache", "q8", "q4", "tokens" }) do
        blobs[form] = assert(sequence:save({ form = form }))
    end
    check.is_true(#blobs.cache > #blobs.q8 and #blobs.q8 > #blobs.q4 and #blobs.q4 > #blobs.tokens)
    local whole = assert(sequence:save({ whole = true }))
    local info = assert(slm.saved_info(blobs.q8))
    check.equal({ info.prefix, info.n_prefix_tokens, info.n_tokens, info.kv_type, #info.model },
        { "village", prefix:info().n_tokens, sequence:count(), "q8", 16 })
    info = assert(slm.saved_info(whole))
    check.equal({ info.prefix, info.n_prefix_tokens }, { nil, 0 })
    local expected = write(sequence, { max_tokens = 10 })
    for name, blob in pairs({ cache = blobs.cache, tokens = blobs.tokens, whole = whole }) do
        local restored = assert(session:restore(blob, name ~= "whole" and prefix or nil))
        check.equal(restored:get("full"), "shift")
        assert(restored:set(GREEDY))
        check.equal({ name, write(restored, { max_tokens = 10 }) }, { name, expected, "length" })
        assert(restored:remove())
    end
    check.fails("SLM_ERR_MISMATCH", session:restore(blobs.cache))
    check.fails("SLM_ERR_CHECKSUM", session:restore(blobs.cache:sub(1, -2) .. "?", prefix))
    check.fails("SLM_ERR_TRUNCATED", slm.saved_info(""))
end)

check.test("memory beforehand", function()
    local estimate = assert(model:estimate({ n_threads = 1, context_length = 128, n_sequences = 2 }))
    check.equal(estimate.n_pages, 4)
    check.is_true(estimate.total_bytes > estimate.kv_bytes)
    local session = new_session({ context_length = 128, n_sequences = 2, max_memory_bytes = estimate.total_bytes })
    session:close()
    check.raises("must be a whole number", model.estimate, model, { n_sequences = 0 })
end)

check.test("garbage while sequences write", function()
    local session = new_session({ n_sequences = 8 })
    for i = 1, 8 do
        local sequence = assert(session:sequence({ seed = i }))
        assert(sequence:append(PROMPT))
        assert(sequence:generate({ max_tokens = 20, stop = { ("x"):rep(i), "y" .. i } }))
    end
    collectgarbage()
    local count = 0
    repeat
        local more = session:step(200)
        collectgarbage("step")
        for event in session:events() do
            count = count + (event.type == "token" and 1 or 0)
        end
    until not more
    check.is_true(count > 8)
    check.equal(ffi.istype("slm_session *", session._handle), true)
end)

check.finish()
