-- SPDX-License-Identifier: MIT
-- What the command line asks for: love examples/love -- [--frames N] [...].
local options = {
    characters = 36,
    seed = 1,
    budget_us = 3000, -- of a frame's 16,667, for the model
    threads = 1,
}

local TEXTS = { model = true, screenshot = true, json = true }
local NUMBERS = { -- name = { least, most }
    frames = { 1, 1000000 },
    characters = { 2, 200 },
    seed = { 0, 2 ^ 31 },
    budget_us = { 100, 1000000 },
    threads = { 1, 64 },
}

local function read(name, value)
    if TEXTS[name] and value then
        return value
    end
    local range, number = NUMBERS[name], tonumber(value)
    if not range then
        error("there is no option --" .. name:gsub("_", "-"), 0)
    elseif not number or number % 1 ~= 0 or number < range[1] or number > range[2] then
        error(("--%s takes a whole number from %d to %d"):format(name:gsub("_", "-"), range[1], range[2]), 0)
    end
    return number
end

-- `arguments` are those of the program; LÖVE may leave its own "--" among them.
function options.parse(arguments)
    local i = 1
    while i <= #arguments do
        local name = arguments[i]:match("^%-%-(.+)$")
        if name then
            name = name:gsub("-", "_")
            options[name] = read(name, arguments[i + 1])
            i = i + 1
        elseif arguments[i] ~= "--" then
            error("what is '" .. arguments[i] .. "'?", 0)
        end
        i = i + 1
    end
    return options
end

return options
