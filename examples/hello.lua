-- SPDX-License-Identifier: MIT
-- hello.c in LuaJIT: luajit hello.lua MODEL.gguf [PROMPT] writes on from the prompt.
local slm = require("slm")

local function check(value, problem)
    if not value then
        io.stderr:write("hello: ", tostring(problem), "\n")
        os.exit(1)
    end
    return value
end

local model = check(slm.load(arg[1] or "model.gguf"))
local session = check(model:session())
local text = check(session:sequence())
local prompt = arg[2] or "Once upon a time"
check(text:append(prompt))
check(text:generate({ max_tokens = 200 }))
io.write(prompt)
while session:step() do
    for event in session:events() do
        io.write(event.text)
    end
end
print()
