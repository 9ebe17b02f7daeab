-- SPDX-License-Identifier: MIT
-- A village whose people talk: the loop of frames, the keys, and the figures at the end. See README.md.
local root = love.filesystem.getSource() .. "/../../"
package.path = root .. "bindings/lua/?.lua;" .. package.path
package.cpath = root .. "build/lib/?.so;" .. package.cpath

local parsed, options = pcall(require("options").parse, love.arg.parseGameArguments(arg))
if not parsed then
    io.stderr:write("village: ", tostring(options), "\n")
    os.exit(2)
end

-- Nobody looks at LÖVE's blue screen in a run of a given length.
if options.frames then
    function love.errorhandler(message)
        io.stderr:write("village: ", tostring(message), "\n", debug.traceback("", 2), "\n")
        return function() return 1 end
    end
end

local village = require("village")
local people = require("people")
local talk = require("talk")
local bubbles = require("bubbles")
local frames = require("frames")

local graphics, timer = love.graphics, love.timer
local FRAME = 1 / 60
local MEMORIES = "memories.bin" -- in the folder that LÖVE keeps for the game
local HELP = "arrows or WASD: walk    E: talk    P: pause    F5: save    F9: load    H: hide    Esc: leave"

local game = { time = 0, model_time = 0, shows_help = true }

function love.load()
    options.model = options.model or root .. "examples/models/storyteller.gguf"
    game.random = love.math.newRandomGenerator(options.seed)
    game.font = graphics.newFont(12)
    village.load()
    bubbles.load()
    people.load(options.characters, game.random)
    talk.load(options)
    game.begin = timer.getTime()
end

-- ---- keys ----

local function notice(text)
    game.notice, game.notice_until = text, game.time + 4
end

local function save()
    local count, bytes = talk.save(MEMORIES)
    notice(("Saved %d memories in %.1f KB."):format(count, bytes / 1000))
end

local function restore()
    local count, problem = talk.restore(MEMORIES)
    notice(count and ("Loaded %d memories."):format(count) or problem)
end

local KEYS = {
    escape = function() love.event.quit(0) end,
    p = function() game.is_paused = not game.is_paused end,
    h = function() game.shows_help = not game.shows_help end,
    e = function() talk.address_nearest(game.random) end,
    space = function() talk.address_nearest(game.random) end,
    f5 = save,
    f9 = restore,
}

function love.keypressed(key)
    if KEYS[key] then
        KEYS[key]()
    end
end

local function held(...)
    return love.keyboard.isDown(...) and 1 or 0
end

-- Where the player wants to go; in a run of a given length, from place to place, with a word for all.
local function steer()
    if not options.frames then
        return held("right", "d") - held("left", "a"), held("down", "s") - held("up", "w")
    end
    local place = village.places[math.floor(game.time / 9) % 3 * 3 + 1]
    local dx, dy = place.x - people.player.x, place.y + 60 - people.player.y
    if dx * dx + dy * dy < 40 ^ 2 then
        if game.time > (game.next_word or 0) then
            game.next_word = game.time + (talk.address_nearest(game.random) and 6 or 0.5)
        end
        return 0, 0
    end
    return dx, dy
end

-- ---- a frame ----

local function update(dt)
    if game.is_paused then
        game.model_time = 0
        return
    end
    game.time = game.time + dt
    local dx, dy = steer()
    people.walk_player(dx, dy, dt)
    people.update(game.random, dt)
    talk.update(game.random, dt)
    game.model_time = talk.step()
end

local function panel_lines()
    local talking = 0
    for _, person in ipairs(people) do
        talking = talking + (person.said and not person.said.gone and 1 or 0)
    end
    return {
        ("%d villagers, %d talking"):format(#people, talking),
        ("%d tokens written, %d lines said"):format(talk.counts.tokens, talk.counts.utterances),
    }
end

local function draw_texts()
    graphics.setFont(game.font)
    if game.shows_help then
        frames.draw(village.width - 332, village.height - 148, talk.budget_us, panel_lines())
        graphics.setFont(game.font)
        graphics.setColor(0.09, 0.10, 0.13, 0.7)
        graphics.rectangle("fill", 12, village.height - 32, game.font:getWidth(HELP) + 20, 22, 6)
        graphics.setColor(0.93, 0.93, 0.90)
        graphics.print(HELP, 22, village.height - 28)
    end
    local text = game.is_paused and "Paused" or (game.time < (game.notice_until or 0) and game.notice)
    if text then
        graphics.setColor(0.09, 0.10, 0.13, 0.8)
        graphics.rectangle("fill", 440, 20, 400, 30, 8)
        graphics.setColor(1, 0.9, 0.6)
        graphics.printf(text, 440, 27, 400, "center")
    end
end

local function draw()
    graphics.push()
    local scale = math.min(graphics.getWidth() / village.width, graphics.getHeight() / village.height)
    graphics.translate((graphics.getWidth() - village.width * scale) / 2,
        (graphics.getHeight() - village.height * scale) / 2)
    graphics.scale(scale)
    village.draw(game.time)
    people.draw()
    bubbles.draw(game.time)
    draw_texts()
    graphics.pop()
end

-- ---- the end of a run ----

local function write_file(path, bytes)
    local file = assert(io.open(path, "wb"))
    assert(file:write(bytes))
    file:close()
end

local function finish()
    if options.json then
        local counts = talk.counts
        local n_blobs, n_bytes = talk.save("run.bin")
        local n_restored = assert(talk.restore("run.bin"))
        write_file(options.json, ([[
{"characters": %d,
 "seconds": %.3f,
 "budget_microseconds": %d,
 "tokens": %d,
 "utterances": %d,
 "forgotten_tokens": %d,
 "failures": %d,
 "prefix_tokens": %d,
 "session_bytes": %d,
 "saved_memories": %d,
 "saved_bytes": %d,
 "restored_memories": %d,
 %s}
]]):format(#people, timer.getTime() - game.begin, talk.budget_us, counts.tokens, counts.utterances,
            counts.forgotten, counts.failures, talk.story:info().n_tokens, talk.session_bytes, n_blobs,
            n_bytes, n_restored, frames.json()))
    end
    talk.session:close()
    talk.model:close()
    return 0
end

-- ---- the loop ----

-- Sleeps to just before the time and waits for the rest: sleep alone may be a millisecond late.
local function wait_until(time)
    local left = time - timer.getTime()
    if left > 0.002 then
        timer.sleep(left - 0.0015)
    end
    while timer.getTime() < time do
        timer.sleep(0)
    end
end

local function handle_events()
    love.event.pump()
    for name, a, b, c, d, e, f in love.event.poll() do
        if name == "quit" then
            return a or 0
        end
        love.handlers[name](a, b, c, d, e, f)
    end
end

local function show()
    graphics.origin()
    graphics.clear(0.09, 0.10, 0.13)
    draw()
    if options.screenshot and frames.count + 1 == options.frames then
        graphics.captureScreenshot(function(image)
            write_file(options.screenshot, image:encode("png"):getString())
        end)
    end
    graphics.present()
end

function love.run()
    love.load()
    local begin = timer.getTime()
    local next_frame, interval = begin, FRAME
    return function()
        local code = handle_events()
        if code then
            return code
        end
        update(options.frames and FRAME or math.min(interval, 0.05))
        show()
        local work = timer.getTime() - begin
        next_frame = math.max(next_frame + FRAME, timer.getTime() - FRAME)
        wait_until(next_frame)
        local now = timer.getTime()
        interval, begin = now - begin, now
        frames.add(interval, work, game.model_time)
        if frames.count == options.frames then
            return finish()
        end
    end
end
