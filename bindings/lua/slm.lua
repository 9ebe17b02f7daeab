-- SPDX-License-Identifier: MIT
-- libslm for LuaJIT and LÖVE: small language models. docs/lua.md is the guide.
local ffi = require("ffi")
local base = require("slm.base")
local model = require("slm.model")
local sequence = require("slm.sequence")

local lib = base.lib

local slm = {
    load = model.load,
    load_memory = model.load_memory,
    load_tokenizer = model.load_tokenizer,
    adopt = model.adopt,
    saved_info = sequence.saved_info,
}

function slm.version()
    local version = lib.slm_version()
    return ("%d.%d.%d"):format(math.floor(version / 1000000), math.floor(version / 1000) % 1000,
        version % 1000)
end

function slm.numerics_version()
    return lib.slm_numerics_version()
end

function slm.cpu_level()
    return ffi.string(lib.slm_cpu_level_name(lib.slm_cpu_level()))
end

return slm
