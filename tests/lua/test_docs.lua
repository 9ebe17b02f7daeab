-- SPDX-License-Identifier: MIT
-- Runs the Lua of docs/lua.md, its blocks one after the other as one program, and checks that its tables
-- name all methods.
local check = require("check")
local slm = require("slm")

local page = check.read("docs/lua.md")

-- What the page takes for granted: a model in the folder, a game around it, silence.
local function surroundings()
    local printed = {}
    local own = setmetatable({
        load = function(path) return slm.load(path == "model.gguf" and check.storyteller or path) end,
    }, { __index = slm })
    return setmetatable({
        require = function() return own end,
        print = function(...) printed[#printed + 1] = table.concat({ tostring((...)) }) end,
        io = { write = function(text) printed[#printed + 1] = text end },
        love = {},
    }, { __index = _G }), printed
end

check.test("the blocks of the page", function()
    local environment, printed = surroundings()
    local n_blocks = 0
    for code in page:gmatch("\n```lua\n(.-)\n```") do
        n_blocks = n_blocks + 1
        -- Names live on from block to block.
        code = code:gsub("%f[%w]local function ", "function "):gsub("%f[%w]local (%w[%w_]*,? ?%w*) =", "%1 =")
        local block = assert(loadstring(code, "=block " .. n_blocks))
        local character = { words = "" }
        setfenv(block, environment)()
        if environment.love.update and not environment.story.character then
            environment.story.character = character
            assert(environment.story:append(" "))
            assert(environment.story:generate({ max_tokens = 3 }))
            for _ = 1, 100 do
                environment.love.update()
            end
            check.is_true(character.is_silent and #character.words > 0, "the character spoke")
        end
        environment.model = environment.model or assert(slm.load(check.storyteller))
    end
    check.is_true(n_blocks >= 5, "blocks were found")
    local all = table.concat(printed, "\n")
    check.is_true(all:find("there is no file 'nowhere.gguf'", 1, true) and all:find("village$"), all)
end)

check.test("the tables have all methods", function()
    local model = assert(slm.load(check.storyteller))
    local session = assert(model:session())
    local sequence = assert(session:sequence())
    assert(sequence:append("Hello."))
    while session:step() do end
    local objects = {
        slm = slm, model = model, session = session, sequence = sequence, tokenizer = model:tokenizer(),
        sampler = assert(model:sampler()), prefix = assert(sequence:prefix("hello")),
    }
    for name, object in pairs(objects) do
        local methods = getmetatable(object) and getmetatable(object).__index or object
        for method, value in pairs(methods) do
            if type(value) == "function" and not method:find("^_") then
                local written = name .. (object == slm and "." or ":") .. method .. "("
                check.is_true(page:find(written, 1, true), written .. " in docs/lua.md")
            end
        end
    end
end)

check.finish()
