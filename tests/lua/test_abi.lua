-- SPDX-License-Identifier: MIT
-- What LuaJIT made of the declarations, against the headers, the golden layout and the library.
local ffi = require("ffi")
local check = require("check")
local base = require("slm.base")
local slm = require("slm")

local lib = base.lib

local function headers()
    local texts = {}
    for name in check.read("include/slm/slm.h"):gmatch('#include "(slm/%w+%.h)"') do
        texts[#texts + 1] = check.read("include/" .. name):gsub("/%*.-%*/", "")
    end
    return table.concat(texts)
end

check.test("structs have the golden layout", function()
    local struct, last, n_structs, n_members = nil, nil, 0, 0
    for line in check.read("tests/abi/layout.txt"):gmatch("[^\n]+") do
        local member, offset, size = line:match("^    ([%w_]+) (%d+) (%d+)$")
        if member then
            n_members = n_members + 1
            check.equal({ struct, member, ffi.offsetof(struct, member) }, { struct, member, tonumber(offset) })
            last = tonumber(offset) + tonumber(size)
        else
            check.is_true(not struct or last == ffi.sizeof(struct), "the end of " .. tostring(struct))
            struct, size = line:match("^(slm_[%w_]+) (%d+)$")
            n_structs = n_structs + 1
            check.equal({ struct, ffi.sizeof(struct) }, { struct, tonumber(size) })
        end
    end
    check.is_true(n_structs > 10 and n_members > 80, "the layout was read")
end)

-- What slm_layout_get() would be in a library of { name, offset, size }.
local function layout_of(entries)
    return function(index, name, offset, size)
        local entry = entries[index + 1]
        if not entry then
            return lib.SLM_END
        end
        name[0], offset[0], size[0] = entry[1], entry[2], entry[3]
        return lib.SLM_OK
    end
end

check.test("a library with another layout is refused", function()
    local own = ffi.sizeof("slm_event")
    base.check_layout(layout_of({ { "slm_event", 0, own }, { "slm_event.type", 4, 4 } }))
    base.check_layout(layout_of({ { "slm_event", 0, own + 8 }, { "slm_event.new", own, 8 } }))
    base.check_layout(layout_of({ { "slm_new", 0, 8 }, { "slm_new.struct_size", 0, 4 } }))
    check.raises("slm_event", base.check_layout, layout_of({ { "slm_event", 0, own - 8 } }))
    check.raises("slm_event.type", base.check_layout, layout_of({ { "slm_event.type", 8, 4 } }))
    check.raises("slm_event.type", base.check_layout, layout_of({ { "slm_event.type", 0, 4 } }))
end)

check.test("all constants of the headers are there", function()
    local count = 0
    for name, value in headers():gmatch("%f[%w_](SLM_[%w_]*%w) = (%-?%d+)") do
        count = count + 1
        check.equal({ name, lib[name] }, { name, tonumber(value) })
    end
    check.is_true(count > 40, "constants were found")
end)

check.test("all statuses are there", function()
    local count = 0
    for name, value in headers():gmatch('X%((%u[%w_]+), (%-?%d+), "') do
        count = count + 1
        check.equal({ name, lib["SLM_" .. name] }, { name, tonumber(value) })
        check.equal(ffi.string(lib.slm_status_name(tonumber(value))), "SLM_" .. name)
    end
    check.is_true(count > 20, "statuses were found")
end)

check.test("all functions of the library are declared", function()
    local count = 0
    for name in check.read("lib/slm.map"):gmatch("%f[%w_](slm_[%w_]+);") do
        if not name:find("^slm_x_") then -- experimental ones are not in slm.h
            count = count + 1
            check.is_true(type(lib[name]) == "cdata", name)
        end
    end
    check.is_true(count > 40, "functions were found")
end)

check.test("groups of constants by name", function()
    check.equal(base.choices("SLM_EVENT_").token, 1)
    check.equal(base.choices("SLM_KV_").f32, 1)
    check.equal(base.inverse(base.choices("SLM_DONE_"))[4], "context_full")
end)

check.test("numbers and texts of structs", function()
    local info = base.new_struct("slm_param_info")
    info.name, info.minimum, info.type = "warmth", 0.5, 2
    check.equal(base.to_table(info, "slm_param_info"),
        { name = "warmth", minimum = 0.5, maximum = 0, default_value = 0, type = 2 })
end)

check.test("versions", function()
    local header = headers()
    check.equal(slm.version(), ("%s.%s.%s"):format(header:match("VERSION_MAJOR (%d+)"),
        header:match("VERSION_MINOR (%d+)"), header:match("VERSION_PATCH (%d+)")))
    check.is_true(slm.numerics_version() >= 1)
    check.is_true(#slm.cpu_level() > 3 and slm.cpu_level() ~= "unknown", "the processor level has a name")
end)

-- The module in a new state, with another library: what it printed.
local function start(library)
    local command = ("SLM_LIBRARY='%s' '%s' -e 'require(\"slm\")' 2>&1; echo $?"):format(library, arg[-1])
    local pipe = assert(io.popen(command))
    local printed = pipe:read("*a")
    pipe:close()
    return printed
end

check.test("a library that is none is an error with its name", function()
    check.is_true(start("/nonexistent.so"):find("libslm was not found.*/nonexistent.so.*\n1\n$"))
    check.is_true(start("libm.so.6"):find("libm.so.6 is not libslm.*\n1\n$"))
    check.equal(start(os.getenv("SLM_LIBRARY")), "0\n")
end)

check.test("loading the module a second time", function()
    for name in pairs(package.loaded) do
        if name:find("^slm") then
            package.loaded[name] = nil
        end
    end
    local again = require("slm")
    check.is_true(again ~= slm and again.version() == slm.version())
end)

check.finish()
