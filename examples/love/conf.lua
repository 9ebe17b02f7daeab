-- SPDX-License-Identifier: MIT
-- Window and modules, before anything else runs.
function love.conf(config)
    config.identity = "slm-village"
    config.version = "11.4"
    config.window.title = "A village that talks"
    config.window.width = 1280
    config.window.height = 720
    config.window.msaa = 0
    config.window.vsync = 0 -- main.lua keeps the pace
    config.modules.audio = false
    config.modules.sound = false
    config.modules.video = false
    config.modules.physics = false
    config.modules.joystick = false
end
