-- SPDX-License-Identifier: MIT
-- Models and tokenizers: what is loaded once and never changes, and conversations in a model's form.
local ffi = require("ffi")
local base = require("slm.base")
local params = require("slm.params")
local session = require("slm.session")

local lib, c_error = base.lib, base.error
local module = {}

local LIMITS = {
    n_threads = 256, max_tensors = 2 ^ 53, max_string_bytes = 2 ^ 53, max_memory_bytes = 2 ^ 53,
}

local FLAGS = { copy = lib.SLM_MODEL_COPY }
local SETTINGS = { copy = true }
for name in pairs(LIMITS) do
    SETTINGS[name] = true
end

local function load_options(settings)
    settings = base.check_settings(settings, SETTINGS)
    local options = base.fill_counts(base.new_struct("slm_model_options"), settings, LIMITS)
    options.flags = base.flags(settings, FLAGS)
    return options
end

-- ---- tokenizers ----

local Tokenizer = { name = "tokenizer" }
Tokenizer.__index = Tokenizer

local function release_tokenizer(handle)
    lib.slm_tokenizer_release(handle)
end
base.add_close(Tokenizer, release_tokenizer)

local function new_tokenizer(handle)
    return base.own(setmetatable({}, Tokenizer), handle, release_tokenizer)
end

function module.load_tokenizer(path, settings)
    local out = ffi.new("slm_tokenizer *[1]")
    local status = lib.slm_tokenizer_load(base.check_text(path, "a path"), load_options(settings), out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return new_tokenizer(out[0])
end

local ENCODE_FLAGS = {
    add_special = lib.SLM_TEXT_ADD_SPECIAL,
    parse_special = lib.SLM_TEXT_PARSE_SPECIAL,
    replace_invalid = lib.SLM_TEXT_REPLACE_INVALID,
}
local DECODE_FLAGS = { show_special = lib.SLM_TEXT_SHOW_SPECIAL }

function Tokenizer:encode(text, settings)
    local handle = base.handle_of(self, Tokenizer)
    base.check_type(text, "string", "text")
    local flags = base.flags(base.check_settings(settings, ENCODE_FLAGS), ENCODE_FLAGS)
    return base.read_ids(#text + 8, function(ids, capacity, n_ids)
        return lib.slm_tokenizer_encode(handle, text, #text, flags, ids, capacity, n_ids, c_error)
    end)
end

function Tokenizer:decode(ids, settings)
    local handle = base.handle_of(self, Tokenizer)
    local array, count = base.to_token_array(ids)
    local flags = base.flags(base.check_settings(settings, DECODE_FLAGS), DECODE_FLAGS)
    return base.read_string(16 * count + 16, function(text, capacity, length)
        return lib.slm_tokenizer_decode(handle, array, count, flags, text, capacity, length, c_error)
    end)
end

function Tokenizer:piece(id)
    local handle = base.handle_of(self, Tokenizer)
    base.check_whole(id, -2 ^ 31, 2 ^ 31 - 1, "a token id")
    local bytes, length = ffi.new("const char *[1]"), ffi.new("size_t[1]")
    local status = lib.slm_tokenizer_get_piece(handle, id, bytes, length, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return ffi.string(bytes[0], length[0])
end

function Tokenizer:is_end(id)
    local handle = base.handle_of(self, Tokenizer)
    base.check_whole(id, -2 ^ 31, 2 ^ 31 - 1, "a token id")
    return lib.slm_tokenizer_is_end(handle, id) ~= 0
end

function Tokenizer:info()
    local handle = base.handle_of(self, Tokenizer)
    local info = base.new_struct("slm_tokenizer_info")
    local status = lib.slm_tokenizer_get_info(handle, info, c_error)
    if status < 0 then
        return base.failure(status)
    end
    local values = base.to_table(info, "slm_tokenizer_info")
    for _, name in ipairs({ "bos", "eos", "eot", "unk" }) do
        if values[name] < 0 then -- the file names none
            values[name] = nil
        end
    end
    return values
end

-- ---- models ----

local Model = { name = "model" }
Model.__index = Model

local function release_model(handle)
    lib.slm_model_release(handle)
end
base.add_close(Model, release_model)

local function new_model(handle)
    return base.own(setmetatable({}, Model), handle, release_model)
end

local model_out = ffi.new("slm_model *[1]")

function module.load(path, settings)
    local status = lib.slm_model_load(base.check_text(path, "a path"), load_options(settings), model_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return new_model(model_out[0])
end

-- `data` is a string, or a Data object of LÖVE's, which is read where it lies.
function module.load_memory(data, settings)
    local pointer, size
    if type(data) == "string" then
        pointer, size = data, #data
    elseif type(data) == "userdata" and data.getFFIPointer then
        pointer, size = data:getFFIPointer(), data:getSize()
    else
        base.misuse("data must be a string or a Data object, not a %s", type(data))
    end
    local status = lib.slm_model_load_memory(pointer, size, load_options(settings), model_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return new_model(model_out[0])
end

-- A model that share() of another Lua state gave away, for example a thread that loaded it.
function module.adopt(number)
    base.check_whole(number, 1, 2 ^ 53, "a shared model")
    return new_model(ffi.cast("slm_model *", ffi.cast("uintptr_t", number)))
end

-- A number that stands for one more reference to the model, to be taken by one adopt().
function Model:share()
    local handle = lib.slm_model_retain(base.handle_of(self, Model))
    return tonumber(ffi.cast("uintptr_t", handle))
end

function Model:info()
    local handle = base.handle_of(self, Model)
    local info = base.new_struct("slm_model_info")
    local status = lib.slm_model_get_info(handle, info, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return base.to_table(info, "slm_model_info")
end

function Model:metadata()
    local handle = base.handle_of(self, Model)
    local key, value = ffi.new("const char *[1]"), ffi.new("const char *[1]")
    local entries, index = {}, 0
    while lib.slm_model_get_metadata(handle, index, key, value, c_error) == lib.SLM_OK do
        entries[ffi.string(key[0])] = ffi.string(value[0])
        index = index + 1
    end
    return entries
end

function Model:tensors()
    local handle = base.handle_of(self, Model)
    local info = base.new_struct("slm_tensor_info")
    local list = {}
    while lib.slm_model_get_tensor(handle, #list, info, c_error) == lib.SLM_OK do
        local dims = {}
        for i = 1, info.n_dims do
            dims[i] = tonumber(info.dims[i - 1])
        end
        local tensor = base.to_table(info, "slm_tensor_info")
        tensor.n_dims, tensor.dims = nil, dims
        list[#list + 1] = tensor
    end
    return list
end

function Model:tokenizer()
    local borrowed = lib.slm_model_get_tokenizer(base.handle_of(self, Model))
    return new_tokenizer(lib.slm_tokenizer_retain(borrowed))
end

function Model:sampler(settings)
    base.handle_of(self, Model)
    base.check_settings(settings, params.of_sampler)
    local sampler, problem = params.new_sampler(self:info().n_vocab)
    if sampler and settings then
        local done
        done, problem = sampler:set(settings)
        sampler = done and sampler
    end
    return sampler or nil, problem
end

function Model:estimate(settings)
    return session.estimate(base.handle_of(self, Model), settings)
end

function Model:session(settings)
    return session.create(base.handle_of(self, Model), settings)
end

-- ---- conversations ----

function Model:chat_format()
    local name = ffi.new("const char *[1]")
    local status = lib.slm_chat_get_format(base.handle_of(self, Model), name, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return ffi.string(name[0])
end

local CHAT_FLAGS = {
    add_generation_prompt = lib.SLM_CHAT_ADD_GENERATION_PROMPT,
    continue = lib.SLM_CHAT_CONTINUE,
}

local in_use -- keeps the strings that the C array points to from being collected

local function messages_of(messages)
    in_use = base.check_type(messages, "table", "messages")
    local array = ffi.new("slm_chat_message[?]", math.max(#messages, 1))
    for i, message in ipairs(messages) do
        local role, content = message.role, message.content
        if type(role) ~= "string" or type(content) ~= "string" then
            base.misuse("message %d needs a role and a content, both strings", i)
        end
        array[i - 1].role = role
        array[i - 1].content = content
        array[i - 1].content_length = #content
    end
    return array, #messages
end

function Model:render_chat(messages, settings)
    local handle = base.handle_of(self, Model)
    local array, count = messages_of(messages)
    local flags = base.flags(base.check_settings(settings, CHAT_FLAGS), CHAT_FLAGS)
    return base.read_string(1024, function(text, capacity, length)
        return lib.slm_chat_render(handle, array, count, flags, text, capacity, length, c_error)
    end)
end

function Model:encode_chat(messages, settings)
    local handle = base.handle_of(self, Model)
    local array, count = messages_of(messages)
    local flags = base.flags(base.check_settings(settings, CHAT_FLAGS), CHAT_FLAGS)
    return base.read_ids(1024, function(ids, capacity, n_ids)
        return lib.slm_chat_encode(handle, array, count, flags, ids, capacity, n_ids, c_error)
    end)
end

return module
