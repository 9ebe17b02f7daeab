-- SPDX-License-Identifier: MIT
-- The ground, the houses and what else does not move: drawn once to a canvas, walked around by all.
local graphics = love.graphics

local village = { width = 1280, height = 720 }

-- Where people meet, and what a story calls it.
village.places = {
    { x = 640, y = 360, name = "by the fire" },
    { x = 400, y = 470, name = "by the pond" },
    { x = 245, y = 235, name = "in front of the bakery" },
    { x = 470, y = 225, name = "in front of the school" },
    { x = 860, y = 235, name = "in front of the inn" },
    { x = 1075, y = 265, name = "near the mill" },
    { x = 850, y = 500, name = "near the garden" },
    { x = 1090, y = 470, name = "under the big tree" },
    { x = 170, y = 430, name = "on the way to the forest" },
}

local HOUSES = {
    { x = 160, y = 96, w = 170, h = 104, roof = { 0.70, 0.36, 0.27 } },
    { x = 396, y = 84, w = 150, h = 104, roof = { 0.43, 0.47, 0.58 } },
    { x = 772, y = 92, w = 176, h = 108, roof = { 0.60, 0.44, 0.28 } },
    { x = 1006, y = 116, w = 138, h = 110, roof = { 0.66, 0.33, 0.36 } },
    { x = 92, y = 520, w = 156, h = 104, roof = { 0.40, 0.50, 0.42 } },
    { x = 1070, y = 556, w = 150, h = 104, roof = { 0.58, 0.38, 0.44 } },
}
local POND = { x = 400, y = 590, rx = 132, ry = 78 }
local GARDEN = { x = 770, y = 548, w = 200, h = 120 }
local TREES = {
    { 42, 60, 34 }, { 96, 30, 26 }, { 60, 190, 30 }, { 30, 300, 32 }, { 44, 480, 28 }, { 40, 670, 34 },
    { 300, 690, 26 }, { 560, 690, 30 }, { 620, 660, 22 }, { 690, 690, 28 }, { 1010, 690, 26 },
    { 1250, 690, 34 }, { 1246, 520, 30 }, { 1180, 440, 46 }, { 1250, 300, 32 }, { 1230, 60, 38 },
    { 1170, 40, 26 }, { 690, 50, 30 }, { 590, 40, 24 }, { 356, 40, 22 }, { 610, 160, 24 },
    { 336, 300, 22 }, { 950, 330, 24 }, { 480, 300, 20 }, { 270, 500, 20 }, { 990, 470, 20 },
}
local FIRE = { x = 640, y = 356 }

-- ---- walking around things ----

local function out_of_ellipse(x, y, cx, cy, rx, ry)
    local dx, dy = (x - cx) / rx, (y - cy) / ry
    local distance = math.sqrt(dx * dx + dy * dy)
    if distance >= 1 or distance == 0 then
        return x, y
    end
    return cx + dx / distance * rx, cy + dy / distance * ry
end

local function out_of_box(x, y, left, top, right, bottom)
    if x <= left or x >= right or y <= top or y >= bottom then
        return x, y
    end
    local to_left, to_right, to_top, to_bottom = x - left, right - x, y - top, bottom - y
    local nearest = math.min(to_left, to_right, to_top, to_bottom)
    if nearest == to_left then
        return left, y
    elseif nearest == to_right then
        return right, y
    elseif nearest == to_top then
        return x, top
    end
    return x, bottom
end

-- The nearest spot to (x, y) where feet can stand.
function village.stand(x, y)
    for _, house in ipairs(HOUSES) do
        x, y = out_of_box(x, y, house.x - 12, house.y - 4, house.x + house.w + 12, house.y + house.h + 34)
    end
    x, y = out_of_box(x, y, GARDEN.x - 12, GARDEN.y - 8, GARDEN.x + GARDEN.w + 12, GARDEN.y + GARDEN.h + 12)
    x, y = out_of_ellipse(x, y, POND.x, POND.y, POND.rx + 10, POND.ry + 8)
    x, y = out_of_ellipse(x, y, FIRE.x, FIRE.y, 34, 26)
    for _, tree in ipairs(TREES) do
        x, y = out_of_ellipse(x, y, tree[1], tree[2] + tree[3] * 0.6, tree[3] * 0.6, tree[3] * 0.4)
    end
    return math.max(20, math.min(village.width - 20, x)), math.max(44, math.min(village.height - 16, y))
end

function village.place_near(x, y)
    local best, least = village.places[1], math.huge
    for _, place in ipairs(village.places) do
        local distance = (place.x - x) ^ 2 + (place.y - y) ^ 2
        if distance < least then
            best, least = place, distance
        end
    end
    return best
end

-- ---- drawing ----

local function shade(color, factor)
    graphics.setColor(color[1] * factor, color[2] * factor, color[3] * factor)
end

local function draw_grass(random)
    graphics.clear(0.47, 0.61, 0.35)
    for _ = 1, 170 do
        local light = random:random() < 0.5
        graphics.setColor(light and 0.53 or 0.41, light and 0.67 or 0.56, light and 0.38 or 0.31, 0.35)
        graphics.ellipse("fill", random:random(0, 1280), random:random(0, 720), random:random(30, 110),
            random:random(16, 50))
    end
    for _ = 1, 260 do
        local x, y = random:random(0, 1280), random:random(0, 720)
        graphics.setColor(0.36, 0.52, 0.28, 0.8)
        graphics.line(x, y, x - 2, y - 5)
        graphics.line(x, y, x + 2, y - 6)
    end
end

local PATHS = {
    { -20, 402, 160, 412, 330, 385, 480, 372, 640, 362, 800, 366, 960, 398, 1120, 392, 1300, 372 },
    { 652, -20, 646, 120, 652, 240, 640, 362, 590, 470, 596, 580, 580, 740 },
    { 245, 210, 262, 300, 330, 385 }, { 470, 200, 500, 300, 640, 362 },
    { 860, 210, 800, 290, 640, 362 }, { 1075, 240, 1050, 320, 960, 398 },
    { 170, 650, 290, 650, 262, 520, 200, 410 }, { 1145, 690, 1020, 620, 990, 480, 960, 398 },
}

local function draw_path(points, width)
    graphics.setLineWidth(width)
    graphics.setLineJoin("bevel")
    graphics.line(points)
    for i = 1, #points, 2 do
        graphics.circle("fill", points[i], points[i + 1], width / 2)
    end
end

local function draw_paths(random)
    graphics.setColor(0.58, 0.56, 0.36)
    for _, points in ipairs(PATHS) do
        draw_path(points, 46)
    end
    graphics.circle("fill", 640, 360, 108)
    graphics.setColor(0.80, 0.71, 0.52)
    for _, points in ipairs(PATHS) do
        draw_path(points, 38)
    end
    graphics.circle("fill", 640, 360, 103)
    graphics.setColor(0.72, 0.63, 0.46)
    for _ = 1, 46 do
        local angle, distance = random:random() * 2 * math.pi, 50 + random:random() * 46
        graphics.ellipse("fill", 640 + math.cos(angle) * distance, 360 + math.sin(angle) * distance,
            random:random(3, 7), random:random(2, 4))
    end
    graphics.setLineWidth(1)
end

local function draw_pond(random)
    graphics.setColor(0.66, 0.62, 0.42)
    graphics.ellipse("fill", POND.x, POND.y, POND.rx + 8, POND.ry + 7)
    graphics.setColor(0.27, 0.47, 0.62)
    graphics.ellipse("fill", POND.x, POND.y, POND.rx, POND.ry)
    graphics.setColor(0.34, 0.56, 0.70)
    graphics.ellipse("fill", POND.x - 6, POND.y - 6, POND.rx - 22, POND.ry - 18)
    graphics.setColor(0.62, 0.80, 0.88, 0.7)
    for _ = 1, 9 do
        local x, y = POND.x + random:random(-80, 60), POND.y + random:random(-40, 36)
        graphics.line(x, y, x + random:random(10, 26), y)
    end
    for i, at in ipairs({ { -70, 28 }, { -48, 40 }, { 64, -30 }, { 82, 10 } }) do
        graphics.setColor(0.36, 0.58, 0.34)
        graphics.ellipse("fill", POND.x + at[1], POND.y + at[2], 11, 7)
        if i % 2 == 1 then
            graphics.setColor(0.95, 0.72, 0.80)
            graphics.circle("fill", POND.x + at[1], POND.y + at[2] - 2, 3.5)
        end
    end
end

local function draw_garden()
    graphics.setColor(0.45, 0.33, 0.22)
    graphics.rectangle("fill", GARDEN.x, GARDEN.y, GARDEN.w, GARDEN.h, 6)
    for row = 0, 3 do
        graphics.setColor(0.37, 0.27, 0.18)
        graphics.rectangle("fill", GARDEN.x + 10, GARDEN.y + 14 + row * 28, GARDEN.w - 20, 10, 4)
        for column = 0, 8 do
            local x, y = GARDEN.x + 20 + column * 20, GARDEN.y + 17 + row * 28
            graphics.setColor(0.42, 0.66, 0.30)
            graphics.circle("fill", x, y, 6)
            local crops = { { 0.90, 0.45, 0.25 }, { 0.55, 0.75, 0.35 }, { 0.88, 0.82, 0.36 }, { 0.80, 0.30, 0.38 } }
            graphics.setColor(crops[row + 1])
            graphics.circle("fill", x, y - 1, 3.4)
        end
    end
    graphics.setColor(0.66, 0.52, 0.36)
    graphics.setLineWidth(3)
    graphics.rectangle("line", GARDEN.x - 6, GARDEN.y - 6, GARDEN.w + 12, GARDEN.h + 12)
    for x = GARDEN.x - 6, GARDEN.x + GARDEN.w + 6, 24 do
        graphics.rectangle("fill", x - 2, GARDEN.y - 12, 4, 12)
        graphics.rectangle("fill", x - 2, GARDEN.y + GARDEN.h, 4, 12)
    end
    graphics.setLineWidth(1)
end

local function draw_house(house)
    local x, y, w, h, roof = house.x, house.y, house.w, house.h, house.roof
    graphics.setColor(0, 0, 0, 0.18)
    graphics.rectangle("fill", x + 6, y + 14, w + 8, h + 24, 6)
    graphics.setColor(0.89, 0.82, 0.68) -- the wall under the eaves
    graphics.rectangle("fill", x + 6, y + h - 12, w - 12, 38)
    graphics.setColor(0.55, 0.42, 0.30)
    graphics.rectangle("fill", x + 6, y + h + 22, w - 12, 4)
    graphics.rectangle("fill", x + w / 2 - 11, y + h - 4, 22, 30, 2)
    graphics.setColor(0.93, 0.78, 0.35)
    graphics.circle("fill", x + w / 2 + 6, y + h + 12, 1.8)
    for _, dx in ipairs({ 0.22, 0.78 }) do
        graphics.setColor(0.45, 0.33, 0.24)
        graphics.rectangle("fill", x + w * dx - 10, y + h - 1, 20, 16)
        graphics.setColor(1, 0.86, 0.50)
        graphics.rectangle("fill", x + w * dx - 8, y + h + 1, 16, 12)
        graphics.setColor(0.45, 0.33, 0.24)
        graphics.line(x + w * dx, y + h + 1, x + w * dx, y + h + 13)
    end
    shade(roof, 1.08)
    graphics.polygon("fill", x + 14, y, x + w - 14, y, x + w, y + h / 2, x, y + h / 2)
    shade(roof, 0.84)
    graphics.polygon("fill", x, y + h / 2, x + w, y + h / 2, x + w + 4, y + h + 2, x - 4, y + h + 2)
    for row = 1, 7 do -- courses of tiles
        shade(roof, row < 4 and 0.98 or 0.75)
        local inset = row < 4 and 14 * (1 - row / 4) or -(row - 4)
        graphics.line(x + inset, y + h * row / 8, x + w - inset, y + h * row / 8)
    end
    shade(roof, 1.25)
    graphics.setLineWidth(3)
    graphics.line(x, y + h / 2, x + w, y + h / 2)
    graphics.setLineWidth(1)
    graphics.setColor(0.48, 0.40, 0.37)
    graphics.rectangle("fill", x + w * 0.72, y + 8, 18, 20)
    graphics.setColor(0.25, 0.21, 0.20)
    graphics.rectangle("fill", x + w * 0.72 + 4, y + 10, 10, 6)
end

local function draw_tree(tree)
    local x, y, r = tree[1], tree[2], tree[3]
    graphics.setColor(0, 0, 0, 0.16)
    graphics.ellipse("fill", x + 5, y + r * 0.95, r * 0.95, r * 0.42)
    graphics.setColor(0.42, 0.30, 0.20)
    graphics.rectangle("fill", x - r * 0.14, y + r * 0.3, r * 0.28, r * 0.7)
    graphics.setColor(0.20, 0.39, 0.24)
    graphics.circle("fill", x, y, r)
    graphics.setColor(0.26, 0.47, 0.28)
    graphics.circle("fill", x - r * 0.14, y - r * 0.16, r * 0.80)
    graphics.setColor(0.34, 0.56, 0.32)
    graphics.circle("fill", x - r * 0.28, y - r * 0.32, r * 0.50)
end

local function draw_stall(x, y, color)
    graphics.setColor(0, 0, 0, 0.16)
    graphics.rectangle("fill", x - 28, y + 6, 64, 26, 4)
    graphics.setColor(0.55, 0.42, 0.30)
    graphics.rectangle("fill", x - 30, y + 4, 60, 22)
    for i = 0, 5 do
        graphics.setColor(i % 2 == 0 and color or { 0.95, 0.92, 0.85 })
        graphics.rectangle("fill", x - 33 + i * 11, y - 18, 11, 26)
        graphics.circle("fill", x - 27.5 + i * 11, y + 8, 5.5)
    end
end

local function draw_flowers(random)
    local colors = { { 0.95, 0.85, 0.40 }, { 0.92, 0.55, 0.60 }, { 0.95, 0.95, 0.92 }, { 0.65, 0.55, 0.85 } }
    for _ = 1, 90 do
        local x, y = random:random(10, 1270), random:random(50, 710)
        local sx, sy = village.stand(x, y)
        if sx == x and sy == y and (x - 640) ^ 2 + (y - 360) ^ 2 > 130 ^ 2 then
            graphics.setColor(colors[random:random(#colors)])
            graphics.circle("fill", x, y, 2.2)
        end
    end
end

function village.load()
    local random = love.math.newRandomGenerator(7)
    village.canvas = graphics.newCanvas(village.width, village.height)
    village.canvas:setFilter("linear", "nearest")
    graphics.setCanvas(village.canvas)
    draw_grass(random)
    draw_flowers(random)
    draw_paths(random)
    draw_pond(random)
    draw_garden()
    draw_stall(548, 290, { 0.78, 0.34, 0.30 })
    draw_stall(736, 292, { 0.30, 0.48, 0.66 })
    for _, house in ipairs(HOUSES) do
        draw_house(house)
    end
    for _, tree in ipairs(TREES) do
        draw_tree(tree)
    end
    graphics.setCanvas()
end

function village.draw(time)
    graphics.setColor(1, 1, 1)
    graphics.setBlendMode("replace", "premultiplied")
    graphics.draw(village.canvas)
    graphics.setBlendMode("alpha")
    local flicker = math.sin(time * 9) * 1.5 + math.sin(time * 23)
    graphics.setColor(1, 0.72, 0.30, 0.10)
    for ring = 1, 4 do
        graphics.circle("fill", FIRE.x, FIRE.y, 22 * ring + flicker * 2)
    end
    graphics.setColor(0.36, 0.25, 0.17)
    graphics.setLineWidth(6)
    graphics.line(FIRE.x - 16, FIRE.y + 8, FIRE.x + 16, FIRE.y + 2)
    graphics.line(FIRE.x - 15, FIRE.y + 1, FIRE.x + 15, FIRE.y + 9)
    graphics.setLineWidth(1)
    graphics.setColor(0.93, 0.45, 0.15)
    graphics.polygon("fill", FIRE.x - 12, FIRE.y + 4, FIRE.x - 3, FIRE.y - 20 - flicker, FIRE.x + 3, FIRE.y - 8,
        FIRE.x + 8, FIRE.y - 16 + flicker, FIRE.x + 12, FIRE.y + 4)
    graphics.setColor(1, 0.82, 0.35)
    graphics.polygon("fill", FIRE.x - 6, FIRE.y + 4, FIRE.x, FIRE.y - 10 - flicker, FIRE.x + 6, FIRE.y + 4)
end

return village
