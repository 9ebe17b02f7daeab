-- SPDX-License-Identifier: MIT
-- Sessions: a model at work. What a game calls in each frame, step() and events(), makes no garbage but
-- the strings of new text.
local ffi = require("ffi")
local base = require("slm.base")
local params = require("slm.params")
local sequences = require("slm.sequence")

local lib, c_error = base.lib, base.error
local module = {}

local KV_TYPES = base.choices("SLM_KV_")

-- Processor levels by the names that slm.cpu_level() tells.
local CPU_LEVELS = {}
for _, level in pairs(base.choices("SLM_CPU_")) do
    CPU_LEVELS[ffi.string(lib.slm_cpu_level_name(level))] = level
end
local LIMITS = {
    n_threads = 256, context_length = 2 ^ 32 - 1, n_sequences = 65535, pool_tokens = 2 ^ 32 - 1,
    batch_tokens = 4096, logit_rows = 2 ^ 32 - 1, top_logprobs = 64, max_memory_bytes = 2 ^ 53,
}
local KNOWN = { kv_type = true, cpu_level = true }
for name in pairs(LIMITS) do
    KNOWN[name] = true
end

local function session_options(settings)
    settings = base.check_settings(settings, KNOWN)
    local options = base.new_struct("slm_session_options")
    base.fill_counts(options, settings, LIMITS)
    if settings.kv_type ~= nil then
        options.kv_type = base.check_choice(settings.kv_type, KV_TYPES, "kv_type")
    end
    if settings.cpu_level ~= nil then
        options.cpu_level = base.check_choice(settings.cpu_level, CPU_LEVELS, "cpu_level")
    end
    return options
end

function module.estimate(model_handle, settings)
    local options, memory = session_options(settings), base.new_struct("slm_session_memory")
    local status = lib.slm_session_estimate(model_handle, options, memory, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return base.to_table(memory, "slm_session_memory")
end

-- ---- sessions ----

local Session = { name = "session" }
Session.__index = Session

local function release(handle)
    lib.slm_session_release(handle)
end
base.add_close(Session, release)

function module.create(model_handle, settings)
    local options, out = session_options(settings), ffi.new("slm_session *[1]")
    local status = lib.slm_session_create(model_handle, options, out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    local event = base.new_struct("slm_event")
    return base.own(setmetatable({
        _sequences = {},  -- [low word of the id][high word] = sequence
        _event = event,
        _words = ffi.cast("const uint32_t *", event),
        _current = {},    -- what events() hands out, the same table for each event
    }, Session), out[0], release)
end

-- A sequence that a call wrote the id of, in the session's list.
function Session:_add(id)
    local sequence = sequences.new(self, id)
    local low = sequence._low
    self._sequences[low] = self._sequences[low] or {}
    self._sequences[low][sequence._high] = sequence
    return sequence
end

function Session:_forget(sequence)
    self._sequences[sequence._low][sequence._high] = nil
end

-- A sampler to hand settings over with, made when the first sequence wants one.
function Session:_scratch_sampler()
    if not self._sampler then
        local info = base.new_struct("slm_model_info")
        local model = lib.slm_session_get_model(base.handle_of(self, Session))
        local status = lib.slm_model_get_info(model, info, c_error)
        if status < 0 then
            return base.failure(status)
        end
        local problem
        self._sampler, problem = params.new_sampler(info.n_vocab)
        if not self._sampler then
            return nil, problem
        end
    end
    return self._sampler._handle
end

local id_out = ffi.new("slm_sequence[1]")

function Session:sequence(settings)
    local handle = base.handle_of(self, Session)
    local numbers = sequences.to_numbers(settings)
    local status = lib.slm_session_add_sequence(handle, id_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    local sequence = self:_add(id_out[0])
    local done, problem = sequences.set_numbers(sequence, numbers)
    if not done then
        sequence:remove()
        return nil, problem
    end
    return sequence
end

function Session:restore(blob, prefix)
    local handle = base.handle_of(self, Session)
    base.check_type(blob, "string", "a saved sequence")
    local prefix_handle = prefix and sequences.handle_of_prefix(prefix) or nil
    local status = lib.slm_session_restore_sequence(handle, blob, #blob, prefix_handle, id_out, c_error)
    if status < 0 then
        return base.failure(status)
    end
    return self:_add(id_out[0])
end

-- ---- steps ----

-- What one sequence met comes with its event, and the others went on: not a failure of the step.
local OF_ONE_SEQUENCE = { [lib.SLM_ERR_NOT_FINITE] = true, [lib.SLM_ERR_BUDGET] = true }

-- Without a budget a whole batch. What is left of a frame may be nothing, which must not mean that.
function Session:step(budget_us)
    local budget = budget_us and math.max(1, budget_us) or 0
    local status = lib.slm_session_step(base.handle_of(self, Session), budget, c_error)
    if status == lib.SLM_MORE then
        return true
    elseif status == lib.SLM_OK then
        return false
    elseif status == lib.SLM_CANCELLED then
        return false, "cancelled"
    end
    local _, problem = base.failure(status)
    if OF_ONE_SEQUENCE[status] then
        return true, problem
    end
    return nil, problem
end

function Session:cancel()
    lib.slm_session_cancel(base.handle_of(self, Session))
end

-- ---- events ----

local TYPES = base.inverse(base.choices("SLM_EVENT_"))
local REASONS = base.inverse(base.choices("SLM_DONE_"))

-- The id's two words, which are numbers where the id itself would be a new object each time.
local LOW = ffi.offsetof("slm_event", "sequence") / 4
local HIGH = LOW + 1

local function fill(current, event, sequence)
    local length = tonumber(event.text_length)
    local status = event.status
    current.type = TYPES[event.type]
    current.sequence = sequence
    current.position = event.position
    current.token = event.token
    current.text = length > 0 and ffi.string(event.text, length) or ""
    current.logprob = event.logprob
    current.top = event.n_top > 0
        and params.to_pairs(event.top_tokens, event.top_logprobs, event.n_top) or nil
    current.logits = event.n_logits > 0 and event.logits or nil
    current.n_logits = event.n_logits
    current.reason = REASONS[event.reason]
    current.error = status < 0 and base.make_error(status) or nil
    current.n_generated = event.n_generated
    current.n_removed = event.n_removed
    return current
end

local function next_event(session)
    local handle = base.handle_of(session, Session)
    local event, words = session._event, session._words
    while lib.slm_session_get_event(handle, event, c_error) == lib.SLM_OK do
        local by_high = session._sequences[words[LOW]]
        local sequence = by_high and by_high[words[HIGH]]
        if sequence then -- else it was removed since the step
            return fill(session._current, event, sequence)
        end
    end
    return nil
end

function Session:events()
    return next_event, self
end

return module
