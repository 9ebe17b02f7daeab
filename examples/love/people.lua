-- SPDX-License-Identifier: MIT
-- The villagers and the player: who they are, how they look, where they walk.
local village = require("village")
local graphics = love.graphics

local people = {}

-- ---- who they are ----

local NAMES = { -- and whether a story says "he"
    { "Tom", true }, { "Lily", false }, { "Ben", true }, { "Anna", false }, { "Max", true },
    { "Mia", false }, { "Sam", true }, { "Sara", false }, { "Tim", true }, { "Lucy", false },
    { "Jack", true }, { "Emma", false }, { "Leo", true }, { "Rosie", false }, { "Bob", true },
    { "Daisy", false }, { "Fred", true }, { "Ella", false }, { "Joe", true }, { "Molly", false },
    { "Pete", true }, { "Nina", false }, { "Finn", true }, { "Ruby", false }, { "Hugo", true },
    { "Clara", false }, { "Otto", true }, { "Ivy", false }, { "Paul", true }, { "Amy", false },
    { "Mark", true }, { "Kate", false }, { "Rob", true }, { "Jane", false }, { "Bill", true },
    { "Sue", false }, { "Dan", true }, { "Zoe", false }, { "Jim", true }, { "May", false },
}

-- What the story says of each, with the colours of dress and hat.
local ROLES = {
    { "was a baker. %s made good bread.", dress = { 0.93, 0.90, 0.84 }, hat = { 0.97, 0.96, 0.93 } },
    { "loved to play with a red ball.", dress = { 0.80, 0.28, 0.26 } },
    { "was a farmer. %s had many cows.", dress = { 0.42, 0.52, 0.30 }, hat = { 0.86, 0.72, 0.40 } },
    { "had a little dog. The dog was very funny.", dress = { 0.30, 0.50, 0.68 } },
    { "worked in the garden. %s had pretty flowers.", dress = { 0.50, 0.64, 0.36 }, hat = { 0.55, 0.40, 0.26 } },
    { "was always happy and liked to sing songs.", dress = { 0.90, 0.66, 0.30 } },
    { "went to the pond to catch fish.", dress = { 0.28, 0.42, 0.56 }, hat = { 0.36, 0.46, 0.50 } },
    { "was a bit shy but very kind.", dress = { 0.62, 0.48, 0.70 } },
    { "was a teacher. %s read many books.", dress = { 0.38, 0.34, 0.46 } },
    { "wanted to find a treasure in the forest.", dress = { 0.34, 0.56, 0.50 } },
    { "was old and knew many stories.", dress = { 0.56, 0.54, 0.52 }, hat = { 0.40, 0.38, 0.42 } },
    { "was looking for a lost cat.", dress = { 0.86, 0.50, 0.56 } },
    { "liked to bake cookies and share them.", dress = { 0.78, 0.58, 0.42 } },
}
local SKIN = { { 0.96, 0.81, 0.68 }, { 0.88, 0.69, 0.53 }, { 0.72, 0.52, 0.38 }, { 0.52, 0.36, 0.26 } }
local HAIR = {
    { 0.25, 0.18, 0.13 }, { 0.45, 0.30, 0.17 }, { 0.80, 0.62, 0.30 }, { 0.62, 0.28, 0.16 }, { 0.72, 0.70, 0.68 },
}

-- Person number `index` of the village.
local function new_villager(index, random)
    local name = NAMES[(index - 1) % #NAMES + 1]
    local generation = math.floor((index - 1) / #NAMES) -- of a name that comes again
    local role = ROLES[(index - 1) % #ROLES + 1]
    local called = generation == 0 and name[1] or ("%s %d"):format(name[1], generation + 1)
    local x, y = village.stand(random:random(60, village.width - 60), random:random(80, village.height - 40))
    return {
        name = called,
        persona = called .. " " .. role[1]:format(name[2] and "He" or "She"),
        dress = role.dress, hat = role.hat, is_man = name[2],
        skin = SKIN[random:random(#SKIN)], hair = HAIR[random:random(#HAIR)],
        x = x, y = y, facing = 1, speed = random:random(34, 56),
        rest = random:random() * 3, stride = random:random() * 6, patience = 0,
    }
end

function people.load(count, random)
    for index = 1, count do
        people[index] = new_villager(index, random)
    end
    people.player = {
        name = "You", x = 640, y = 430, facing = 1, speed = 150, stride = 0,
        dress = { 0.85, 0.68, 0.22 }, skin = SKIN[1], hair = HAIR[2], is_man = true, is_player = true,
    }
end

function people.distance(a, b)
    return math.sqrt((a.x - b.x) ^ 2 + (a.y - b.y) ^ 2)
end

-- The villager nearest to `person`, and how far away.
function people.nearest(person)
    local best, least = nil, math.huge
    for _, other in ipairs(people) do
        local distance = people.distance(person, other)
        if other ~= person and distance < least then
            best, least = other, distance
        end
    end
    return best, least
end

-- ---- walking ----

local function walk(person, dx, dy, dt)
    local length = math.sqrt(dx * dx + dy * dy)
    if length == 0 then
        return
    end
    local step = person.speed * dt / length
    person.x, person.y = village.stand(person.x + dx * step, person.y + dy * step)
    person.stride = person.stride + dt * person.speed / 7
    if math.abs(dx) > 0.2 * length then
        person.facing = dx > 0 and 1 or -1
    end
end

function people.walk_player(dx, dy, dt)
    people.player.walks = dx ~= 0 or dy ~= 0
    walk(people.player, dx, dy, dt)
end

-- Goes to where it wants to be, rests, and then wants to be somewhere else.
local function stroll(person, random, dt)
    if not person.goal then
        person.rest = person.rest - dt
        if person.rest <= 0 then
            local x, y = village.stand(random:random(40, village.width - 40),
                random:random(60, village.height - 30))
            person.goal = { x = x, y = y }
            person.patience = 14
        end
        return
    end
    local dx, dy = person.goal.x - person.x, person.goal.y - person.y
    person.patience = person.patience - dt
    if dx * dx + dy * dy < 100 or person.patience < 0 then
        person.goal, person.rest = nil, 1 + random:random() * 3
        return
    end
    person.walks = true
    walk(person, dx, dy, dt)
end

-- Nobody stands on anybody's feet.
local function keep_apart(person, dt)
    for _, other in ipairs(people) do
        local dx, dy = person.x - other.x, (person.y - other.y) * 1.4
        local distance = math.sqrt(dx * dx + dy * dy)
        if other ~= person and distance < 30 and distance > 0 then
            local push = (30 - distance) * 3 * dt / distance
            person.x, person.y = village.stand(person.x + dx * push, person.y + dy * push)
        end
    end
end

function people.update(random, dt)
    for _, person in ipairs(people) do
        person.walks = false
        if person.partner then
            person.facing = person.partner.x > person.x and 1 or -1
        else
            stroll(person, random, dt)
        end
        keep_apart(person, dt)
    end
end

-- ---- drawing ----

local function draw_head(person, x, y)
    graphics.setColor(person.hair)
    graphics.circle("fill", x, y - 1, 9.2)
    if not person.is_man then
        graphics.ellipse("fill", x - person.facing * 3, y + 4, 8, 8)
    end
    graphics.setColor(person.skin)
    graphics.ellipse("fill", x + person.facing * 1.6, y + 1.5, 7, 7.4)
    graphics.setColor(0.15, 0.12, 0.12)
    graphics.circle("fill", x + person.facing * 1.4, y + 1, 1.1)
    graphics.circle("fill", x + person.facing * 5.4, y + 1, 1.1)
    if person.hat then
        graphics.setColor(person.hat)
        graphics.ellipse("fill", x, y - 5, 12, 3.6)
        graphics.rectangle("fill", x - 7, y - 13, 14, 9, 4)
    elseif person.is_player then
        graphics.setColor(0.80, 0.22, 0.20)
        graphics.polygon("fill", x - 9, y - 5, x - person.facing * 3, y - 19, x + 9, y - 5)
        graphics.rectangle("fill", x - 10, y - 6, 20, 3, 1.5)
    end
end

local function draw_person(person)
    local swing = person.walks and math.sin(person.stride) or 0
    local bob = math.abs(swing) * 2
    local x, y = person.x, person.y
    if person.is_player then
        graphics.setColor(1, 0.92, 0.55, 0.55)
        graphics.ellipse("fill", x, y, 19, 9)
    end
    graphics.setColor(0, 0, 0, 0.22)
    graphics.ellipse("fill", x, y, 12, 5)
    graphics.setColor(0.24, 0.19, 0.17)
    graphics.ellipse("fill", x - 4 + swing * 3, y - 2, 3.6, 3)
    graphics.ellipse("fill", x + 4 - swing * 3, y - 2, 3.6, 3)
    local dress = person.dress
    y = y - bob
    graphics.setColor(dress[1] * 0.78, dress[2] * 0.78, dress[3] * 0.78)
    if person.is_man then
        graphics.rectangle("fill", x - 9, y - 21, 18, 20, 6)
    else
        graphics.polygon("fill", x - 6, y - 20, x + 6, y - 20, x + 11, y - 2, x - 11, y - 2)
    end
    graphics.setColor(dress)
    graphics.rectangle("fill", x - 8, y - 22, 16, 14, 6)
    graphics.setColor(dress[1] * 0.88, dress[2] * 0.88, dress[3] * 0.88)
    graphics.ellipse("fill", x - 9, y - 13 + swing * 2, 3, 5.5)
    graphics.ellipse("fill", x + 9, y - 13 - swing * 2, 3, 5.5)
    draw_head(person, x, y - 28)
end

local function is_behind(a, b)
    return a.y < b.y
end

local in_order = {}

function people.draw()
    for index, person in ipairs(people) do
        in_order[index] = person
    end
    in_order[#people + 1] = people.player
    table.sort(in_order, is_behind)
    for _, person in ipairs(in_order) do
        draw_person(person)
    end
end

return people
