-- SPDX-License-Identifier: MIT
-- What the Lua tests are written with: named tests, comparisons, and the exit status at the end.
local check = { failed = 0, passed = 0 }

-- The folder of the checkout, as meson.build gives it.
check.root = assert(os.getenv("SLM_ROOT"), "SLM_ROOT must name the checkout") .. "/"
check.storyteller = check.root .. "examples/models/storyteller.gguf"

function check.test(name, run)
    local passed, problem = xpcall(run, function(message)
        return debug.traceback(tostring(message), 2)
    end)
    if passed then
        check.passed = check.passed + 1
    else
        check.failed = check.failed + 1
        print("FAILED " .. name .. ": " .. problem)
    end
end

local function show(value)
    if type(value) ~= "table" then
        return type(value) == "string" and ("%q"):format(value) or tostring(value)
    end
    local parts = {}
    for key, item in pairs(value) do
        parts[#parts + 1] = tostring(key) .. "=" .. show(item)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ", ") .. "}"
end

-- Tables are equal when what is in them is.
function check.equal(found, expected)
    found, expected = show(found), show(expected)
    if found ~= expected then
        error(("found %s, expected %s"):format(found, expected), 2)
    end
end

function check.is_true(value, what)
    if not value then
        error((what or "this") .. " is not so", 2)
    end
end

-- The two results of a call that must fail with a status.
function check.fails(name, value, problem)
    if value ~= nil or type(problem) ~= "table" or problem.name ~= name then
        error(("found %s and %s, expected %s"):format(show(value), show(problem), name), 2)
    end
    return problem
end

-- A call that must raise an error with these words.
function check.raises(words, call, ...)
    local returned, problem = pcall(call, ...)
    if returned or not tostring(problem):find(words, 1, true) then
        error(("found %s, expected an error with '%s'"):format(show(problem), words), 2)
    end
end

-- A function of one line that must raise an error which points to that line.
function check.blames(call)
    local info = debug.getinfo(call, "S")
    local _, problem = pcall(call)
    local place = ("%s:%d: "):format(info.short_src, info.linedefined)
    if not tostring(problem):find(place, 1, true) then
        error(("found %s, expected an error at %s"):format(show(problem), place), 2)
    end
end

function check.read(path)
    local file = assert(io.open(check.root .. path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

function check.finish()
    print(("%d passed, %d failed"):format(check.passed, check.failed))
    os.exit(check.failed == 0 and check.passed > 0 and 0 or 1)
end

return check
