-- SPDX-License-Identifier: MIT
-- Sequences of a session, the prefixes that they share, and what is saved of them.
local ffi = require("ffi")
local bit = require("bit")
local base = require("slm.base")
local params = require("slm.params")

local lib, c_error = base.lib, base.error
local module = {}

local KV_NAMES = base.inverse(base.choices("SLM_KV_"))

-- ---- prefixes ----

local Prefix = { name = "prefix" }
Prefix.__index = Prefix

local function release_prefix(handle)
    lib.slm_prefix_release(handle)
end
base.add_close(Prefix, release_prefix)

function module.handle_of_prefix(prefix)
    return base.handle_of(prefix, Prefix)
end

local function prefix_info(prefix)
    local info = base.new_struct("slm_prefix_info")
    local status = lib.slm_prefix_get_info(base.handle_of(prefix, Prefix), info, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return info
end

function Prefix:info()
    local info, problem = prefix_info(self)
    if not info then
        return nil, problem
    end
    local values = base.to_table(info, "slm_prefix_info")
    values.kv_type = KV_NAMES[values.kv_type]
    return values
end

function Prefix:tokens()
    local info, problem = prefix_info(self)
    if not info then
        return nil, problem
    end
    return base.to_token_table(info.tokens, info.n_tokens)
end

-- ---- sequences ----

local Sequence = { name = "sequence" }
Sequence.__index = Sequence

-- The object for an id of the session; hosts may keep fields of their own in it.
function module.new(session, id)
    return setmetatable({
        session = session,
        _handle = id, -- an id, where other objects have a pointer
        _low = tonumber(bit.band(id, 0xffffffffULL)),
        _high = tonumber(bit.rshift(id, 32)),
        _sampling = {}, -- settings that differ from the sampler's defaults
    }, Sequence)
end

-- The session's handle and the id, for a call.
local function target(sequence)
    local id = base.handle_of(sequence, Sequence)
    local session = sequence.session
    if not session._handle then
        base.misuse("the session was closed")
    end
    return session._handle, id
end

function Sequence:remove()
    local session, id = target(self)
    local status = lib.slm_session_remove_sequence(session, id, c_error)
    if status < 0 then
        return base.failure(status)
    end
    self.session:_forget(self)
    self._handle = nil
    return true
end

local id_out = ffi.new("slm_sequence[1]")

function Sequence:fork()
    local session, id = target(self)
    local status = lib.slm_session_fork_sequence(session, id, id_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    local copy = self.session:_add(id_out[0])
    for name, number in pairs(self._sampling) do
        copy._sampling[name] = number
    end
    return copy
end

-- ---- parameters ----

local KNOWN = {}
for name in pairs(params.of_sequence) do
    KNOWN[name] = true
end
for name in pairs(params.of_sampler) do
    KNOWN[name] = true
end

-- Replaces the sampler's settings by defaults and `sampling`.
local function set_sampling(sequence, session, id, sampling)
    local sampler, problem = sequence.session:_scratch_sampler()
    if not sampler then
        return nil, problem
    end
    for name, info in pairs(params.of_sampler) do
        local status = params.set(sampler, info, sampling[name] or info.default)
        if status < 0 then
            return base.failure(status)
        end
    end
    local status = lib.slm_session_set_sampler(session, id, sampler, c_error)
    if status < 0 then
        return base.failure(status)
    end
    sequence._sampling = sampling
    return true
end

-- Numbers by the names of parameters; raises what cannot be meant, before anything is done.
function module.to_numbers(settings)
    local numbers = {}
    for name, value in pairs(base.check_settings(settings, KNOWN)) do
        numbers[name] = params.to_number(params.of_sequence[name] or params.of_sampler[name], value, name)
    end
    return numbers
end

function module.set_numbers(sequence, numbers)
    local session, id = target(sequence)
    local sampling
    for name, number in pairs(numbers) do
        local info = params.of_sequence[name]
        if info then
            local status = lib.slm_session_set_u32(session, id, info.id, number, c_error)
            if status < 0 then
                return base.failure(status)
            end
        else
            sampling = sampling or setmetatable({}, { __index = sequence._sampling })
            sampling[name] = number
        end
    end
    if not sampling then
        return true
    end
    local merged = {}
    for name in pairs(params.of_sampler) do
        merged[name] = sampling[name]
    end
    return set_sampling(sequence, session, id, merged)
end

function Sequence:set(name, value)
    local session, id = target(self)
    local info = value ~= nil and params.of_sequence[name]
    if info then -- the usual case in a frame, without a table
        local number = params.to_number(info, value, name)
        return base.done(lib.slm_session_set_u32(session, id, info.id, number, c_error))
    end
    return module.set_numbers(self, module.to_numbers(params.settings_of(name, value, KNOWN)))
end

local value_out = ffi.new("uint32_t[1]")

function Sequence:get(name)
    local session, id = target(self)
    base.check_choice(name, KNOWN, "a parameter")
    local info = params.of_sequence[name]
    if not info then
        return self._sampling[name] or params.of_sampler[name].default
    end
    local status = lib.slm_session_get_u32(session, id, info.id, value_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return params.to_value(info, value_out[0])
end

-- ---- tokens ----

local TEXT_FLAGS = {
    add_special = lib.SLM_TEXT_ADD_SPECIAL,
    parse_special = lib.SLM_TEXT_PARSE_SPECIAL,
    replace_invalid = lib.SLM_TEXT_REPLACE_INVALID,
}
local TOKEN_FLAGS = { logits = lib.SLM_APPEND_LOGITS }

-- Text begins an empty sequence as the model wants it, with BOS, unless add_special is false.
local function append_text(session, id, text, settings)
    settings = base.check_settings(settings, TEXT_FLAGS)
    local flags = base.flags(settings, TEXT_FLAGS)
    if settings.add_special == nil then
        flags = flags + lib.SLM_TEXT_ADD_SPECIAL
    end
    return lib.slm_session_append_text(session, id, text, #text, flags, c_error)
end

function Sequence:append(tokens, settings)
    local session, id = target(self)
    local status
    if type(tokens) == "string" then
        status = append_text(session, id, tokens, settings)
    elseif getmetatable(tokens) == Prefix then
        base.check_settings(settings, {})
        status = lib.slm_session_append_prefix(session, id, module.handle_of_prefix(tokens), c_error)
    else
        local array, count = base.to_token_array(tokens)
        local flags = base.flags(base.check_settings(settings, TOKEN_FLAGS), TOKEN_FLAGS)
        status = lib.slm_session_append(session, id, array, count, flags, c_error)
    end
    return base.done(status)
end

function Sequence:truncate(n_tokens)
    local session, id = target(self)
    base.check_whole(n_tokens, 0, 2 ^ 32 - 1, "n_tokens")
    return base.done(lib.slm_session_truncate_sequence(session, id, n_tokens, c_error))
end

local REPLACE_FLAGS = { shift = lib.SLM_REPLACE_SHIFT }

function Sequence:replace(first, n_removed, tokens, settings)
    local session, id = target(self)
    base.check_whole(first, 0, 2 ^ 32 - 1, "first")
    base.check_whole(n_removed, 0, 2 ^ 32 - 1, "n_removed")
    local array, count = base.to_token_array(tokens or {})
    local flags = base.flags(base.check_settings(settings, REPLACE_FLAGS), REPLACE_FLAGS)
    return base.done(lib.slm_session_replace(session, id, first, n_removed, array, count, flags, c_error))
end

local sequence_info = base.new_struct("slm_sequence_info")

local function read_info(sequence)
    local session, id = target(sequence)
    return lib.slm_session_get_sequence_info(session, id, sequence_info, c_error)
end

function Sequence:info()
    local status = read_info(self)
    if status < 0 then
        return base.failure(status)
    end
    return base.to_table(sequence_info, "slm_sequence_info")
end

function Sequence:tokens()
    local status = read_info(self)
    if status < 0 then
        return base.failure(status)
    end
    return base.to_token_table(sequence_info.tokens, sequence_info.n_tokens)
end

-- One number of info() without a table, for use in frames.
function Sequence:count()
    local status = read_info(self)
    if status < 0 then
        return base.failure(status)
    end
    return sequence_info.n_tokens
end

-- ---- writing ----

local GENERATE_FLAGS = {
    ignore_end = lib.SLM_GENERATE_IGNORE_END,
    show_special = lib.SLM_GENERATE_SHOW_SPECIAL,
}
local GENERATE_LIMITS = { max_tokens = 2 ^ 32 - 1, n_top = 64 }
local GENERATE_KNOWN = { ignore_end = true, show_special = true, max_tokens = true, n_top = true, stop = true }

-- The C array points into the strings of `texts`, which must live as long.
local function stop_array(texts)
    local array = ffi.new("const char *[?]", math.max(#texts, 1))
    for i, text in ipairs(texts) do
        array[i - 1] = base.check_text(text, "a stop text")
    end
    return array
end

local in_use -- keeps the stop texts from being collected during the call

local function generate_options(settings)
    settings = base.check_settings(settings, GENERATE_KNOWN)
    local options = base.new_struct("slm_generate_options")
    base.fill_counts(options, settings, GENERATE_LIMITS)
    options.flags = base.flags(settings, GENERATE_FLAGS)
    local stop = settings.stop
    if stop ~= nil then
        local texts = type(stop) == "table" and stop or { stop }
        local array = stop_array(texts)
        in_use = { texts, array }
        options.stop, options.n_stop = array, #texts
    end
    return options
end

function Sequence:generate(settings)
    local session, id = target(self)
    local options = generate_options(settings)
    return base.done(lib.slm_session_generate(session, id, options, c_error))
end

function Sequence:cancel()
    local session, id = target(self)
    lib.slm_session_cancel_sequence(session, id)
end

-- ---- keeping ----

function Sequence:prefix(name)
    local session, id = target(self)
    base.check_text(name, "a prefix's name")
    local out = ffi.new("slm_prefix *[1]")
    local status = lib.slm_prefix_create(session, id, name, out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return base.own(setmetatable({}, Prefix), out[0], release_prefix)
end

local FORMS = base.choices("SLM_SAVE_")
local SAVE_KNOWN = { form = true, whole = true }

function Sequence:save(settings)
    local session, id = target(self)
    settings = base.check_settings(settings, SAVE_KNOWN)
    local options = base.new_struct("slm_save_options")
    options.form = settings.form == nil and 0 or base.check_choice(settings.form, FORMS, "form")
    options.whole = settings.whole and 1 or 0
    return base.read_string(0, function(blob, capacity, length)
        return lib.slm_session_save_sequence(session, id, options, blob, capacity, length, c_error)
    end)
end

function module.saved_info(blob)
    base.check_type(blob, "string", "a saved sequence")
    local info = base.new_struct("slm_saved_info")
    local status = lib.slm_saved_get_info(blob, #blob, info, c_error)
    if status < 0 then
        return base.failure(status)
    end
    local values = base.to_table(info, "slm_saved_info")
    values.kv_type = info.n_cached > 0 and KV_NAMES[info.kv_type] or nil
    values.model = bit.tohex(info.model, 16) -- 64 bits, which no number of Lua's holds
    values.prefix = info.n_prefix_tokens > 0 and ffi.string(info.prefix) or nil
    return values
end

return module
