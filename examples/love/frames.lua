-- SPDX-License-Identifier: MIT
-- What each frame took: the graph on the screen, and the figures of a run.
local graphics = love.graphics

local frames = { count = 0, interval = {}, work = {}, model = {} }

local KEPT = 36000 -- the last ten minutes
local SHOWN = 200
local TARGET = 1 / 60

-- Seconds from the last frame's begin to this one's, of work in it, and of the model's part of that.
function frames.add(interval, work, model)
    local slot = frames.count % KEPT + 1
    frames.count = frames.count + 1
    frames.interval[slot], frames.work[slot], frames.model[slot] = interval, work, model
end

-- The value of frame number `index`, one of those that are kept.
local function at(values, index)
    return values[(index - 1) % KEPT + 1]
end

-- Milliseconds that all but the given share of frames stay below.
local function percentile(sorted, share)
    return sorted[math.max(1, math.ceil(#sorted * share))] * 1000
end

local function summary(values)
    local sorted = {}
    for index, value in ipairs(values) do
        sorted[index] = value
    end
    table.sort(sorted)
    return ('{"p50": %.3f, "p99": %.3f, "p999": %.3f, "max": %.3f}'):format(percentile(sorted, 0.5),
        percentile(sorted, 0.99), percentile(sorted, 0.999), percentile(sorted, 1))
end

-- The times as members of a JSON object.
function frames.json()
    local late = 0
    for _, interval in ipairs(frames.interval) do
        late = late + (interval > 1.5 * TARGET and 1 or 0)
    end
    return ('"frames": %d,\n "late_frames": %d,\n "frame_milliseconds": %s,\n "work_milliseconds": %s,\n '
        .. '"model_milliseconds": %s'):format(frames.count, late, summary(frames.interval),
        summary(frames.work), summary(frames.model))
end

local function mean(values, n)
    local sum, first = 0, math.max(1, frames.count - n + 1)
    for index = first, frames.count do
        sum = sum + at(values, index)
    end
    return frames.count > 0 and sum / (frames.count - first + 1) or 0
end

local HEIGHT, SCALE = 64, 64 / 25 -- pixels, for 25 ms

local function draw_bars(values, x, bottom, r, g, b)
    graphics.setColor(r, g, b)
    local first = math.max(1, frames.count - SHOWN + 1)
    for index = first, frames.count do
        local height = math.min(HEIGHT, at(values, index) * 1000 * SCALE)
        graphics.rectangle("fill", x + (index - first) * 1.5, bottom - height, 1.5, height)
    end
end

-- The panel with its left top corner at (x, y); `lines` stand above the graph.
function frames.draw(x, y, budget_us, lines)
    local width, bottom = SHOWN * 1.5 + 20, y + 62 + HEIGHT
    graphics.setColor(0.09, 0.10, 0.13, 0.82)
    graphics.rectangle("fill", x, y, width, bottom - y + 10, 8)
    graphics.setColor(0.93, 0.93, 0.90)
    graphics.print(lines[1], x + 10, y + 6)
    graphics.setColor(0.72, 0.74, 0.76)
    graphics.print(lines[2], x + 10, y + 22)
    graphics.setColor(0.98, 0.72, 0.30)
    graphics.print(("model %.2f ms of %.1f"):format(mean(frames.model, 60) * 1000, budget_us / 1000),
        x + 10, y + 38)
    graphics.setColor(0.55, 0.75, 0.95)
    graphics.print(("frame %.1f ms of %.1f"):format(mean(frames.work, 60) * 1000,
        mean(frames.interval, 60) * 1000), x + 170, y + 38)
    draw_bars(frames.work, x + 10, bottom, 0.36, 0.52, 0.70)
    draw_bars(frames.model, x + 10, bottom, 0.98, 0.72, 0.30)
    graphics.setColor(1, 1, 1, 0.45)
    graphics.line(x + 10, bottom - 1000 * TARGET * SCALE, x + width - 10, bottom - 1000 * TARGET * SCALE)
    graphics.setColor(0.98, 0.72, 0.30, 0.6)
    local budget = bottom - budget_us / 1000 * SCALE
    graphics.line(x + 10, budget, x + width - 10, budget)
end

return frames
