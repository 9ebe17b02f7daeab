-- SPDX-License-Identifier: MIT
-- A game in an archive with the module and the model inside; a thread loads, the main state writes.
function love.errorhandler(message)
    io.stderr:write(tostring(message), "\n")
    return function() return 1 end
end

local slm = require("slm")

local LOAD = [[
local slm = require("slm")
local model = assert(slm.load_memory(love.filesystem.newFileData("model.gguf")))
love.thread.getChannel("model"):push(model:share())
]]

function love.load()
    local thread = love.thread.newThread(LOAD)
    thread:start()
    thread:wait()
    assert(not thread:getError(), thread:getError())
    local model = slm.adopt(love.thread.getChannel("model"):pop())
    local session = assert(model:session({ n_threads = 1 }))
    local sequence = assert(session:sequence({ temperature = 0 }))
    assert(sequence:append("Once upon a time"))
    assert(sequence:generate({ max_tokens = 8 }))
    repeat
        local more = session:step()
        for event in session:events() do
            io.write(event.text)
        end
    until not more
    local _, problem = pcall(function() model:session({ n_threads = 0 }) end)
    io.write("\n", problem, "\n")
    love.event.quit(0)
end
