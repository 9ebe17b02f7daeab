-- SPDX-License-Identifier: MIT
-- Parameters by name, as the library tells them, and samplers.
local ffi = require("ffi")
local base = require("slm.base")

local lib, c_error = base.lib, base.error
local params = {}

-- ---- what parameters there are ----

local FULL = base.choices("SLM_FULL_")

-- All parameters that get_info(index, id, info, error) tells, by name.
local function read_infos(get_info)
    local found = {}
    local id, info = ffi.new("uint32_t[1]"), base.new_struct("slm_param_info")
    local index = 0
    while get_info(index, id, info, c_error) == lib.SLM_OK do
        local name = ffi.string(info.name)
        found[name] = {
            id = id[0],
            is_whole = info.type == lib.SLM_PARAM_U32,
            minimum = info.minimum,
            maximum = info.maximum,
            default = info.default_value,
            choices = name == "full" and FULL or nil,
        }
        index = index + 1
    end
    return found
end

params.of_sampler = read_infos(lib.slm_sampler_get_param_info)
params.of_sequence = read_infos(lib.slm_session_get_param_info)

-- The number that a Lua value means for a parameter. Ranges are the library's affair.
function params.to_number(info, value, name)
    if info.choices then
        return base.check_choice(value, info.choices, name)
    elseif info.is_whole then
        return base.check_whole(value, 0, 2 ^ 32 - 1, name)
    end
    return base.check_type(value, "number", name)
end

function params.to_value(info, number)
    return info.choices and base.inverse(info.choices)[number] or number
end

-- ---- samplers ----

local Sampler = { name = "sampler" }
Sampler.__index = Sampler

local function release(handle)
    lib.slm_sampler_release(handle)
end
base.add_close(Sampler, release)

function params.new_sampler(n_vocab)
    local out = ffi.new("slm_sampler *[1]")
    local status = lib.slm_sampler_create(n_vocab, nil, out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return base.own(setmetatable({ _n_vocab = n_vocab }, Sampler), out[0], release)
end

function params.set(handle, info, number)
    if info.is_whole then
        return lib.slm_sampler_set_u32(handle, info.id, number, c_error)
    end
    return lib.slm_sampler_set_f32(handle, info.id, number, c_error)
end

-- The settings that set(name, value) or set(settings) means.
function params.settings_of(name, value, known)
    if type(name) == "table" then
        return name
    elseif not known[name] then
        base.misuse("there is no setting %s", tostring(name))
    elseif value == nil then
        base.misuse("%s needs a value", name)
    end
    return { [name] = value }
end

function Sampler:set(name, value)
    local handle = base.handle_of(self, Sampler)
    local settings = params.settings_of(name, value, params.of_sampler)
    for key, wanted in pairs(base.check_settings(settings, params.of_sampler)) do
        local info = params.of_sampler[key]
        local status = params.set(handle, info, params.to_number(info, wanted, key))
        if status < 0 then
            return base.failure(status)
        end
    end
    return true
end

local f32_out, u32_out = ffi.new("float[1]"), ffi.new("uint32_t[1]")

function Sampler:get(name)
    local handle = base.handle_of(self, Sampler)
    local info = base.check_choice(name, params.of_sampler, "a sampler's parameter")
    local out, status = u32_out, nil
    if info.is_whole then
        status = lib.slm_sampler_get_u32(handle, info.id, u32_out, c_error)
    else
        out, status = f32_out, lib.slm_sampler_get_f32(handle, info.id, f32_out, c_error)
    end
    if status < 0 then
        return base.failure(status)
    end
    return out[0]
end

-- A float array of the vocabulary's size: an event's logits, or a table of numbers.
local function logits_of(sampler, logits)
    if type(logits) ~= "table" then
        return logits
    elseif #logits ~= sampler._n_vocab then
        base.misuse("there must be %d logits, not %d", sampler._n_vocab, #logits)
    end
    return ffi.new("float[?]", #logits, logits)
end

local token_out = ffi.new("int32_t[1]")

function Sampler:sample(logits, draw, history)
    local handle = base.handle_of(self, Sampler)
    local array, count = base.to_token_array(history or {})
    local status = lib.slm_sampler_sample(handle, logits_of(self, logits), array, count,
        base.check_whole(draw or 0, 0, 2 ^ 53, "draw"), token_out, f32_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return token_out[0], f32_out[0]
end

function Sampler:top(logits, n)
    local handle = base.handle_of(self, Sampler)
    base.check_whole(n, 1, 256, "n")
    local tokens, logprobs = base.TokenArray(n), ffi.new("float[?]", n)
    local status = lib.slm_sampler_get_top(handle, logits_of(self, logits), n, tokens, logprobs, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return params.to_pairs(tokens, logprobs, n)
end

-- { { token = id, logprob = number }, ... }, the most probable first.
function params.to_pairs(tokens, logprobs, n)
    local list = {}
    for i = 1, n do
        list[i] = { token = tokens[i - 1], logprob = logprobs[i - 1] }
    end
    return list
end

return params
