-- SPDX-License-Identifier: MIT
-- Speech bubbles: words of those near the player, dots for the others.
local people = require("people")
local talk = require("talk")
local graphics = love.graphics

local bubbles = {}

local WIDTH, PADDING = 176, 8

function bubbles.load()
    bubbles.font = graphics.newFont(13)
    bubbles.small = graphics.newFont(11)
end

local function overlaps(a, b)
    return a.x < b.x + b.w + 4 and b.x < a.x + a.w + 4 and a.y < b.y + b.h + 4 and b.y < a.y + a.h + 4
end

local CANDIDATES = {} -- places of a bubble beside the usual one, the nearest first
for _, up in ipairs({ 0, 20, 40, 60, 84, 110, 140 }) do
    for _, aside in ipairs({ 0, 40, -40, 80, -80, 120, -120 }) do
        CANDIDATES[#CANDIDATES + 1] = { dx = aside, dy = -up, cost = math.abs(aside) + up }
    end
end
table.sort(CANDIDATES, function(a, b)
    return a.cost < b.cost or (a.cost == b.cost and a.dx > b.dx)
end)

local function is_taken(box, boxes, count)
    for index = 1, count do
        if overlaps(box, boxes[index]) then
            return true
        end
    end
    return false
end

-- Above the head, or as near to there as there is room.
local function place(box, person, boxes, count)
    for _, candidate in ipairs(CANDIDATES) do
        box.x = math.max(6, math.min(1274 - box.w, person.x - box.w / 2 + candidate.dx))
        box.y = math.max(6, person.y - 54 - box.h + candidate.dy)
        if not is_taken(box, boxes, count) then
            return
        end
    end
end

-- The bubble of what a person says, cut into lines, with the size of the whole text: it keeps its place
-- while letters are missing.
local function bubble_of(person)
    local said = person.said
    if said.measured ~= said.text then
        local width, lines = bubbles.font:getWrap(said.text, WIDTH)
        said.measured = said.text
        said.box = {
            lines = lines,
            w = math.max(30, width + 2 * PADDING),
            h = #lines * bubbles.font:getHeight() + 2 * PADDING,
        }
    end
    return said.box
end

-- How many lines have begun to show.
local function lines_shown(said, lines)
    local letters = 0
    for index, line in ipairs(lines) do
        letters = letters + #line
        if letters >= said.shown then
            return index
        end
    end
    return #lines
end

-- The first `length` bytes, cut between characters.
local function first_letters(text, length)
    local last = math.floor(length)
    while last < #text and text:byte(last + 1) >= 0x80 and text:byte(last + 1) < 0xC0 do
        last = last + 1
    end
    return text:sub(1, last)
end

local function draw_tail(person, box, alpha)
    local x = math.max(box.x + 12, math.min(box.x + box.w - 12, person.x))
    graphics.setColor(1, 0.99, 0.96, alpha)
    graphics.polygon("fill", x - 6, box.y + box.h - 1, x + 6, box.y + box.h - 1, person.x, person.y - 45)
end

local function draw_words(person, box, alpha)
    local said, height = person.said, bubbles.font:getHeight()
    local count = lines_shown(said, box.lines)
    local y = box.y + (#box.lines - count) * height
    graphics.setColor(0, 0, 0, 0.18 * alpha)
    graphics.rectangle("fill", box.x + 2, y + 3, box.w, box.y + box.h - y, 9)
    graphics.setColor(1, person.is_player and 0.94 or 0.99, person.is_player and 0.72 or 0.96, alpha)
    graphics.rectangle("fill", box.x, y, box.w, box.y + box.h - y, 9)
    graphics.setColor(0.16, 0.13, 0.12, alpha)
    graphics.setFont(bubbles.font)
    local left = said.shown
    for index = 1, count do
        local line = box.lines[index]
        local text = left >= #line and line or first_letters(line, left)
        graphics.print(text, box.x + PADDING, y + PADDING + (index - 1) * height)
        left = left - #line
    end
end

local function draw_dots(person, time)
    graphics.setColor(1, 0.99, 0.96, 0.85)
    graphics.rectangle("fill", person.x - 15, person.y - 60, 30, 15, 7)
    for dot = -1, 1 do
        graphics.setColor(0.25, 0.22, 0.2, 0.4 + 0.5 * math.max(0, math.sin(time * 6 - dot)))
        graphics.circle("fill", person.x + dot * 8, person.y - 52.5, 2.3)
    end
end

local function draw_name(person)
    graphics.setFont(bubbles.small)
    graphics.setColor(0.10, 0.12, 0.08, 0.6)
    graphics.printf(person.name, person.x - 59, person.y + 6, 120, "center")
    graphics.setColor(1, 1, 0.94, math.max(0.5, 1.2 - person.distance / talk.HEARING))
    graphics.printf(person.name, person.x - 60, person.y + 5, 120, "center")
end

local MOST = 8             -- bubbles with words at a time
local near, boxes = {}, {} -- whose words are shown, the nearest first, and where

local function is_nearer(a, b)
    return a.distance < b.distance
end

-- Collects whose words are shown; the others get their dots.
local function find_near(time)
    local count = 0
    local player = people.player
    if player.said and not player.said.gone then
        player.distance = 0
        count = 1
        near[1] = player
    end
    for _, person in ipairs(people) do
        person.distance = people.distance(person, player)
        local said = person.said
        if person.distance < talk.HEARING then
            draw_name(person)
        end
        if said and not said.gone then
            if person.distance < talk.HEARING and #said.text > 0 then
                count = count + 1
                near[count] = person
            else
                draw_dots(person, time)
            end
        end
    end
    for index = #near, count + 1, -1 do
        near[index] = nil
    end
    table.sort(near, is_nearer)
    for index = #near, MOST + 1, -1 do
        draw_dots(near[index], time)
        near[index] = nil
    end
end

local function alpha_of(person)
    return math.min(1, (3.5 - person.said.age) * 2)
end

function bubbles.draw(time)
    find_near(time)
    for index, person in ipairs(near) do
        boxes[index] = bubble_of(person)
        place(boxes[index], person, boxes, index - 1)
    end
    for index, person in ipairs(near) do
        draw_tail(person, boxes[index], alpha_of(person))
    end
    for index, person in ipairs(near) do
        draw_words(person, boxes[index], alpha_of(person))
    end
end

return bubbles
