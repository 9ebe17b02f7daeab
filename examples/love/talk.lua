-- SPDX-License-Identifier: MIT
-- What the villagers say: one model, one session, and for each of them a sequence that is its memory.
--
-- A memory begins with the village's story, which all share as a prefix, and goes on with who this is and
-- with what it heard and said, as in a book: Tom said, "...". A villager speaks by writing on after an
-- opening quotation mark. When its memory is full it forgets the oldest talk.
local slm = require("slm")
local village = require("village")
local people = require("people")

local talk = {
    counts = { tokens = 0, utterances = 0, forgotten = 0, failures = 0 },
    conversations = {},
}

-- With the token that begins a text it has STORY_TOKENS: a whole page of the cache, which all share.
local STORY = "Once upon a time, there was a small village near a big forest. Many people lived there. "
    .. "There was a baker, a farmer, and many boys and girls. Every evening they went for a walk. "
    .. "They liked to meet and talk about the day.\n"
local STORY_TOKENS = 64
local MEMORY_TOKENS = 192 -- of each, the story included
local LINE_TOKENS = 32    -- that are said at a time at most
local STYLE = { temperature = 0.8, top_p = 0.9, repetition_penalty = 1.15 }

local LETTERS_PER_SECOND = 36
local HEARING = 280       -- pixels to the player, within which words can be read

talk.HEARING = HEARING

-- ---- memories ----

function talk.load(options)
    local model = assert(slm.load(options.model))
    talk.model = model
    local settings = {
        n_threads = options.threads,
        context_length = MEMORY_TOKENS,
        n_sequences = #people + 1, -- one more, for the story and for a memory that takes another's place
        pool_tokens = (#people + 1) * (MEMORY_TOKENS - STORY_TOKENS),
        kv_type = "q8",
    }
    talk.session = assert(model:session(settings))
    talk.session_bytes = assert(model:estimate(settings)).total_bytes
    talk.budget_us = options.budget_us
    talk.seed = options.seed
    talk.storyteller = assert(talk.session:sequence())
    assert(talk.storyteller:append(STORY))
end

-- Once the story is computed, all begin with it at no cost; their own lines are computed by later frames.
local function begin_memories()
    talk.story = assert(talk.storyteller:prefix("village"))
    assert(talk.storyteller:remove())
    talk.storyteller = nil
    for index, person in ipairs(people) do
        local memory = assert(talk.session:sequence(STYLE))
        assert(memory:append(talk.story))
        assert(memory:append(person.persona .. "\n"))
        assert(memory:set({ seed = talk.seed * 1000 + index, full = "shift", keep = memory:count() }))
        person.memory, memory.person = memory, person
    end
end

-- Adds to a memory. When that is too much the older half of its talk goes.
local function remember(person, text)
    local memory = person.memory
    local done, problem = memory:append(text)
    if not done and problem.name == "SLM_ERR_CONTEXT_FULL" then
        local keep = memory:get("keep")
        local n_removed = math.ceil((memory:count() - keep) / 2)
        if memory:replace(keep, n_removed, nil, { shift = true }) then
            talk.counts.forgotten = talk.counts.forgotten + n_removed
            done = memory:append(text)
        end
    end
    if not done then
        talk.counts.failures = talk.counts.failures + 1
    end
    return done
end

-- The nearer to the player the sooner it is this one's turn.
local function update_priority(person)
    local near = 1 - math.min(1, people.distance(person, people.player) / 900)
    local priority = math.floor(near * 255)
    if priority ~= person.priority then
        person.priority = priority
        person.memory:set("priority", priority)
    end
end

-- ---- speaking ----

local function speak(person)
    person.said = { text = "", shown = 0, age = 0 }
    update_priority(person)
    if not remember(person, person.name .. ' said, "')
        or not person.memory:generate({ max_tokens = LINE_TOKENS, stop = { '"', "”", "\n" } }) then
        person.said.done = true
    end
end

-- The closing quotation mark, unless the villager wrote it; a text's end is taken back.
local function close_line(person, reason)
    local memory = person.memory
    if reason == "end" then
        memory:truncate(memory:count() - 1)
    end
    remember(person, reason == "stop" and "\n" or '"\n')
end

local function on_event(event)
    local person = event.sequence.person
    if event.type == "token" then
        talk.counts.tokens = talk.counts.tokens + 1
    elseif event.type == "shift" then
        talk.counts.forgotten = talk.counts.forgotten + event.n_removed
    end
    local said = person and person.said
    if not said then
        return
    end
    if event.text ~= "" then
        said.text = said.text .. event.text
    end
    if event.type == "done" then
        said.done = true
        talk.counts.utterances = talk.counts.utterances + 1
        if event.error then
            talk.counts.failures = talk.counts.failures + 1
        end
        close_line(person, event.reason)
    end
end

-- Lets the model work for one frame's budget. Returns the seconds that it took.
function talk.step()
    local begin = love.timer.getTime()
    local left = talk.budget_us
    repeat
        local more, problem = talk.session:step(left)
        if more == nil then
            error(problem)
        end
        for event in talk.session:events() do
            on_event(event)
        end
        left = talk.budget_us - (love.timer.getTime() - begin) * 1e6
    until not more or left < 100
    if talk.storyteller and talk.storyteller:info().n_computed == talk.storyteller:count() then
        begin_memories()
    end
    return love.timer.getTime() - begin
end

-- ---- conversations ----

local function is_free(person)
    return person.memory and not person.partner and not (person.said and not person.said.gone)
        and (person.silence or 0) <= 0
end

local function meet(a, b, random)
    local place = village.place_near(a.x, a.y).name
    for _, pair in ipairs({ { a, b }, { b, a } }) do
        local one, other = pair[1], pair[2]
        one.partner = other
        remember(one, ("%s met %s %s. "):format(one.name, other.name, place))
    end
    table.insert(talk.conversations, { speaker = a, listener = b, lines = random:random(3, 6), pause = 0.3 })
    speak(a)
end

local function part(conversation, random)
    for _, person in ipairs({ conversation.speaker, conversation.listener }) do
        person.partner = nil
        person.silence = 2 + random:random() * 5
        person.goal, person.rest = nil, random:random()
    end
    conversation.over = true
end

-- What was said is remembered by who heard it, and answered.
local function take_turn(conversation, random)
    local speaker, listener = conversation.speaker, conversation.listener
    conversation.lines = conversation.lines - 1
    remember(listener, ('%s said, "%s"\n'):format(speaker.name, speaker.said.text))
    if conversation.lines == 0 then
        part(conversation, random)
        return
    end
    conversation.speaker, conversation.listener = listener, speaker
    conversation.pause = 0.5
    speak(listener)
end

local PHRASES = {
    "Hello! How are you?", "What did you do today?", "Do you want to play with me?",
    "I have a cookie. Do you want it?", "What is in the forest?", "Can you help me?",
}

-- The player says something to the nearest villager, who leaves any other talk to answer.
function talk.address_nearest(random)
    local person, distance = people.nearest(people.player)
    if not person or distance > 90 or not person.memory or (person.said and not person.said.done) then
        return false
    end
    for _, conversation in ipairs(talk.conversations) do
        if conversation.speaker == person or conversation.listener == person then
            part(conversation, random)
        end
    end
    talk.phrase = (talk.phrase or 0) % #PHRASES + 1
    local text = PHRASES[talk.phrase]
    people.player.said = { text = text, shown = 0, age = 0, done = true }
    remember(person, ('A little girl said, "%s"\n'):format(text))
    person.partner, person.answers = people.player, 6 -- seconds that it stays
    speak(person)
    return true
end

local function begin_conversations(random)
    if #talk.conversations >= math.floor(#people / 3) then
        return
    end
    for _, person in ipairs(people) do
        if is_free(person) then
            local other, distance = people.nearest(person)
            if other and distance < 64 and is_free(other) then
                meet(person, other, random)
                return
            end
        end
    end
end

local function update_words(person, dt)
    person.silence = (person.silence or 0) - dt
    local said = person.said
    if not said then
        return
    end
    said.shown = math.min(said.shown + LETTERS_PER_SECOND * dt, #said.text)
    said.all_shown = said.done and said.shown >= #said.text
    said.age = said.all_shown and said.age + dt or 0
    said.gone = said.age > 3.5
end

local function update_answer(person, dt)
    if person.answers then
        person.answers = person.answers - dt
        if person.answers <= 0 or people.distance(person, people.player) > 160 then
            person.answers, person.partner = nil, nil
        end
    end
end

function talk.update(random, dt)
    for _, person in ipairs(people) do
        update_words(person, dt)
        update_answer(person, dt)
        if person.said and not person.said.done then
            update_priority(person)
        end
    end
    update_words(people.player, dt)
    for index = #talk.conversations, 1, -1 do
        local conversation = talk.conversations[index]
        local said = conversation.speaker.said
        if not conversation.over and said.all_shown and said.age > conversation.pause + 0.8 then
            take_turn(conversation, random)
        end
        if conversation.over then
            table.remove(talk.conversations, index)
        end
    end
    begin_conversations(random)
end

-- ---- keeping memories ----

-- All memories as one string: name and blob, one after the other. Token ids are enough: what the
-- villagers remember is computed again by the frames after loading.
function talk.save(file)
    local parts = {}
    for _, person in ipairs(people) do
        if person.memory then
            local blob = assert(person.memory:save({ form = "tokens" }))
            parts[#parts + 1] = love.data.pack("string", "<s2s4", person.name, blob)
        end
    end
    local bytes = table.concat(parts)
    assert(love.filesystem.write(file, bytes))
    return #parts, #bytes
end

local function restore(person, index, blob)
    local memory, problem = talk.session:restore(blob, talk.story)
    if not memory then
        return nil, problem
    end
    assert(memory:set(STYLE))
    assert(memory:set("seed", talk.seed * 1000 + index))
    person.memory.person = nil
    assert(person.memory:remove())
    person.memory, memory.person = memory, person
    person.said, person.partner, person.answers, person.priority = nil, nil, nil, nil
    return true
end

-- Returns how many memories came back, or nil and a sentence.
function talk.restore(file)
    local bytes = love.filesystem.read(file)
    if not bytes or not talk.story then
        return nil, "There is nothing to load."
    end
    talk.conversations = {}
    local saved, position = {}, 1
    while position <= #bytes do
        local name, blob
        name, blob, position = love.data.unpack("<s2s4", bytes, position)
        saved[name] = blob
    end
    local count = 0
    for index, person in ipairs(people) do
        person.partner = nil
        if saved[person.name] then
            local done, problem = restore(person, index, saved[person.name])
            if not done then
                return nil, tostring(problem)
            end
            count = count + 1
        end
    end
    return count
end

return talk
