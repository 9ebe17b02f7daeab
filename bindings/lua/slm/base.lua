-- SPDX-License-Identifier: MIT
-- What the other files of the binding share: the library, errors, checks of arguments, buffers.
local ffi = require("ffi")
local abi = require("slm.abi")

local base = {}

-- The types stay declared when the module is loaded a second time, as games do to reload code.
if not pcall(ffi.typeof, "slm_error") then
    ffi.cdef(abi.declarations)
end

local FILE_NAMES = {
    Windows = { "libslm-0.1.dll", "libslm.dll", "slm.dll" },
    OSX = { "libslm.dylib" },
}

local function exists(path)
    local file = io.open(path, "rb")
    if file then
        file:close()
    end
    return file ~= nil
end

-- The folder of slm.lua, with a slash at its end or empty, as chunks of this binding are named.
local FOLDER = debug.getinfo(1, "S").source:match("^@(.-)slm[/\\]base%.lua$") or ""

-- Folders to look in: beside slm.lua, beside the game or its archive, and those of package.cpath.
local function folders()
    local found = { FOLDER == "" and "./" or FOLDER }
    local filesystem = love and love.filesystem
    if filesystem then
        found[#found + 1] = filesystem.getSource() .. "/"
        found[#found + 1] = filesystem.getSourceBaseDirectory() .. "/"
    end
    for template in package.cpath:gmatch("[^;]+") do
        found[#found + 1] = template:match("^(.-)[^/\\]*%?")
    end
    return found
end

local function find_library()
    local named = os.getenv("SLM_LIBRARY")
    if named and named ~= "" then
        return named
    end
    for _, folder in ipairs(folders()) do
        for _, name in ipairs(FILE_NAMES[ffi.os] or { "libslm.so" }) do
            if exists(folder .. name) then
                return folder .. name
            end
        end
    end
    return "slm" -- one that the system knows
end

local function load_library()
    local path = find_library()
    local loaded, lib = pcall(ffi.load, path)
    if not loaded then
        error("libslm was not found: put it beside slm.lua, or name it in SLM_LIBRARY ("
            .. tostring(lib) .. ")", 0)
    end
    local answers, version = pcall(function() return lib.slm_version() end)
    if not answers then
        error(path .. " is not libslm (" .. tostring(version) .. ")", 0)
    end
    local major, minor = math.floor(version / 1000000), math.floor(version / 1000) % 1000
    local wanted = abi.version
    if major ~= wanted[1] or minor < wanted[2] or (major == 0 and minor ~= wanted[2]) then
        error(("%s is version %d.%d; this binding needs %d.%d"):format(path, major, minor,
            wanted[1], wanted[2]), 0)
    end
    return lib
end

local lib = load_library()
base.lib = lib

-- Compares the declarations with what get_layout(index, name, offset, size) tells of the library that was
-- loaded. Structs may have grown at their end there, and structs may be new.
function base.check_layout(get_layout)
    local name = ffi.new("const char *[1]")
    local offset, size = ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")
    local index = 0
    while get_layout(index, name, offset, size) == lib.SLM_OK do
        local struct, member = ffi.string(name[0]):match("^([%w_]+)%.?([%w_]*)$")
        if pcall(ffi.typeof, struct) then
            local here, there = ffi.sizeof(struct), size[0]
            if member ~= "" then
                here, there = ffi.offsetof(struct, member), offset[0]
            end
            if here and (here > there or (member ~= "" and here ~= there)) then
                error(("%s lies or ends at %d here and at %d in the library"):format(
                    ffi.string(name[0]), here, there), 0)
            end
        end
        index = index + 1
    end
end

base.check_layout(lib.slm_layout_get)

-- ---- what the declarations tell ----

-- Constants of a group by their names in lower case: choices("SLM_KV_") has f16, f32, and so on.
function base.choices(group)
    local found = {}
    for name, value in abi.declarations:gmatch("%f[%w_]" .. group .. "([%w_]+) = (%d+)") do
        found[name:lower()] = tonumber(value)
    end
    return found
end

function base.inverse(choices)
    local names = {}
    for name, value in pairs(choices) do
        names[value] = name
    end
    return names
end

-- Numbers and NUL-terminated texts in a struct, by the names and types of its members.
local readers = {}

local function reader_of(type, name)
    if name == "struct_size" or name:find("^reserved") then
        return nil
    elseif type == "const char *" then
        return function(struct) return ffi.string(struct[name]) end
    elseif name:find("^is_") or name:find("^adds_") then
        return function(struct) return struct[name] ~= 0 end
    elseif type:find("^u?int%d+_t $") or type == "double " then
        return function(struct) return tonumber(struct[name]) end
    end
end

-- The members of a struct that have a value in Lua, as a table.
function base.to_table(struct, struct_name)
    local members = readers[struct_name]
    if not members then
        members = {}
        local body = abi.declarations:match("struct " .. struct_name .. " {\n(.-)\n}")
        for type, name in body:gmatch("    ([%w_ ]+ %*?)([%w_]+);") do
            members[name] = reader_of(type, name)
        end
        readers[struct_name] = members
    end
    local values = {}
    for name, read in pairs(members) do
        values[name] = read(struct)
    end
    return values
end

-- ---- errors ----

local NO_OFFSET = 0xffffffffffffffffULL

-- The one that all calls write to: a Lua state has one thread.
local c_error = ffi.new("slm_error")
c_error.struct_size = ffi.sizeof("slm_error")
base.error = c_error

local Error = {}
Error.__index = Error

function Error:__tostring()
    return self.offset and ("%s (at %d)"):format(self.message, self.offset) or self.message
end

function base.make_error(status, message, offset)
    return setmetatable({
        code = tonumber(status),
        name = ffi.string(lib.slm_status_name(status)),
        message = message or ffi.string(lib.slm_status_text(status)),
        offset = offset,
    }, Error)
end

-- Two results for a call that returned `status`: nil and an error.
function base.failure(status)
    local offset = c_error.offset
    return nil, base.make_error(status, ffi.string(c_error.message),
        offset ~= NO_OFFSET and tonumber(offset) or nil)
end

-- The same for a call whose success has no value to return.
function base.done(status)
    if status < 0 then
        return base.failure(status)
    end
    return true
end

-- ---- arguments: what cannot be meant is a Lua error at the line that calls the binding ----

local function is_own(source)
    return source:sub(1, #FOLDER + 1) == "@" .. FOLDER
        and source:find("^slm[/\\.][%w_]*%.?lua$", #FOLDER + 2) ~= nil
end

function base.misuse(...)
    local level = 2
    local info = debug.getinfo(level, "S")
    while info and is_own(info.source) do
        level = level + 1
        info = debug.getinfo(level, "S")
    end
    error(string.format(...), level)
end

function base.check_type(value, kind, what)
    if type(value) ~= kind then
        base.misuse("%s must be a %s, not a %s", what, kind, type(value))
    end
    return value
end

function base.check_whole(value, minimum, maximum, what)
    if type(value) ~= "number" or value ~= math.floor(value) or value < minimum or value > maximum then
        base.misuse("%s must be a whole number from %.0f to %.0f, not %s", what, minimum, maximum,
            tostring(value))
    end
    return value
end

-- The value of a name in a table of names, for example "f16" of KV_TYPES.
function base.check_choice(value, choices, what)
    local found = choices[value]
    if found == nil then
        local names = {}
        for name in pairs(choices) do
            names[#names + 1] = name
        end
        table.sort(names)
        base.misuse("%s must be one of %s, not %s", what, table.concat(names, ", "), tostring(value))
    end
    return found
end

-- A text for C, which ends at the first NUL.
function base.check_text(value, what)
    if type(value) ~= "string" or value:find("\0", 1, true) then
        base.misuse("%s must be a string without NUL characters", what)
    end
    return value
end

local NOTHING = {}

-- A table of settings, of which each must be among `known`.
function base.check_settings(settings, known)
    if settings == nil then
        return NOTHING
    end
    base.check_type(settings, "table", "settings")
    for name in pairs(settings) do
        if not known[name] then
            base.misuse("there is no setting %s", tostring(name))
        end
    end
    return settings
end

-- An options struct with its struct_size.
function base.new_struct(name)
    local struct = ffi.new(name)
    struct.struct_size = ffi.sizeof(struct)
    return struct
end

-- Fills members of an options struct from settings of the same names; `limits` has their maxima.
-- In Lua nil means the default, so 0 is as wrong as any other number out of range.
function base.fill_counts(struct, settings, limits)
    for name, maximum in pairs(limits) do
        local value = settings[name]
        if value ~= nil then
            struct[name] = base.check_whole(value, 1, maximum, name)
        end
    end
    return struct
end

function base.flags(settings, bits)
    local flags = 0
    for name, bit in pairs(bits) do
        if settings[name] then
            flags = flags + bit
        end
    end
    return flags
end

-- ---- token ids ----

local TokenArray = ffi.typeof("int32_t[?]")
base.TokenArray = TokenArray

function base.to_token_array(ids)
    local count = #base.check_type(ids, "table", "token ids")
    local array = TokenArray(math.max(count, 1))
    for i = 1, count do
        array[i - 1] = base.check_whole(ids[i], -2 ^ 31, 2 ^ 31 - 1, "a token id")
    end
    return array, count
end

function base.to_token_table(array, count)
    local ids = {}
    for i = 1, count do
        ids[i] = array[i - 1]
    end
    return ids
end

-- ---- what a call writes to a buffer of unknown size ----

local size_out = ffi.new("size_t[1]")

-- call(buffer, capacity, size_out) is made again when the buffer was too small. Returns the buffer and
-- how much it holds, or nil and an error.
function base.read_array(array_type, guess, call)
    local capacity = guess
    while true do
        local buffer = array_type(math.max(capacity, 1))
        size_out[0] = 0
        local status = call(buffer, capacity, size_out)
        if status == lib.SLM_OK then
            return buffer, tonumber(size_out[0])
        elseif status ~= lib.SLM_ERR_BUFFER_TOO_SMALL then
            return base.failure(status)
        end
        capacity = tonumber(size_out[0])
    end
end

local ByteArray = ffi.typeof("char[?]")

function base.read_string(guess, call)
    local buffer, length = base.read_array(ByteArray, guess, call)
    if not buffer then
        return nil, length
    end
    return ffi.string(buffer, length)
end

function base.read_ids(guess, call)
    local buffer, count = base.read_array(TokenArray, guess, call)
    if not buffer then
        return nil, count
    end
    return base.to_token_table(buffer, count)
end

-- ---- objects of the library ----

-- Puts `handle` into `object` as _handle. The finalizer is a Lua function, so that it keeps the library
-- loaded until it ran.
function base.own(object, handle, release)
    object._handle = ffi.gc(handle, release)
    return object
end

-- Methods that every such object has.
function base.add_close(class, release)
    function class:close()
        local handle = rawget(self, "_handle")
        if handle then
            self._handle = nil
            release(ffi.gc(handle, nil))
        end
    end
end

function base.handle_of(object, class)
    if getmetatable(object) ~= class then
        base.misuse("this must be a %s (is it called with a colon?)", class.name)
    end
    if not object._handle then
        base.misuse("the %s was closed", class.name)
    end
    return object._handle
end

return base
