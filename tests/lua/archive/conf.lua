-- SPDX-License-Identifier: MIT
-- A game without a window.
function love.conf(config)
    for _, name in ipairs({ "window", "graphics", "audio", "sound", "joystick", "physics", "video" }) do
        config.modules[name] = false
    end
end
