# SPDX-License-Identifier: MIT
"""LÖVE: the scene of examples/love with a screen in memory (people talk, a picture is there), and an archive.

Prints the frame times, which depend on the machine, and asserts nothing about them.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENE = ROOT / "examples" / "love"
SIZE = (1280, 720)
FRAMES = 240
PIXEL = 3  # bytes


@contextmanager
def screen():
    """An X server without a screen; gives the name of its display."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x720x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        if not number:
            sys.exit("the X server did not start")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def play(display, folder, *options):
    """Runs the scene; its files go to the folder."""
    environment = os.environ | {
        "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "LIBGL_ALWAYS_SOFTWARE": "1",
        "XDG_DATA_HOME": str(folder),
    }
    return subprocess.run(["love", SCENE, "--", *options], env=environment, timeout=110,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)


def read_png(data):
    """Width, height and the rows of an 8-bit RGB picture without interlacing."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    packed, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", chunk)
            assert rest == [8, 2, 0, 0, 0], rest
        elif kind == b"IDAT":
            packed += chunk
        at += length + 12
    return width, height, unfilter(zlib.decompress(packed), PIXEL * width)


def unfilter(data, stride):
    """Undoes the filters of PNG."""
    rows, above = [], bytes(stride)
    for begin in range(0, len(data), stride + 1):
        kind, row = data[begin], bytearray(data[begin + 1 : begin + 1 + stride])
        if kind:
            for i in range(stride):
                left, up = (row[i - PIXEL] if i >= PIXEL else 0), above[i]
                corner = above[i - PIXEL] if i >= PIXEL else 0
                guess = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
                row[i] = (row[i] + (left, up, (left + up) // 2, guess)[kind - 1]) & 255
        rows.append(bytes(row))
        above = row
    return rows


def check_picture(path):
    width, height, rows = read_png(path.read_bytes())
    assert (width, height) == SIZE and len(rows) == height
    colours = {row[at : at + PIXEL] for row in rows for at in range(0, len(row), PIXEL)}
    assert len(colours) > 500, f"only {len(colours)} colours"
    print(f"picture: {path.stat().st_size} bytes, {len(colours)} colours")


def test_people_talk(display, folder):
    figures, picture = folder / "figures.json", folder / "picture.png"
    done = play(display, folder, "--frames", str(FRAMES), "--json", str(figures),
                "--screenshot", str(picture), "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())
    print(json.dumps(found, indent=1))
    assert found["frames"] == FRAMES
    assert found["characters"] >= 36
    assert found["tokens"] >= 50 and found["utterances"] >= 5
    assert found["failures"] == 0
    assert found["prefix_tokens"] == 64, "the story is one page of the cache"
    assert found["saved_memories"] == found["restored_memories"] == found["characters"]
    assert 0 < found["saved_bytes"] < 1000 * found["characters"]
    check_picture(picture)


def test_bad_options(display, folder):
    for options, words in ((["--frames", "0"], "--frames takes a whole number"),
                           (["--speed", "9"], "there is no option --speed")):
        done = play(display, folder, *options)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    done = play(display, folder, "--frames", "5", "--model", "nowhere.gguf")
    assert done.returncode == 1 and "nowhere.gguf" in done.stderr, done.stderr


def test_archive(_display, folder):
    """A game as it is handed on: everything in one archive but the library, which lies beside it."""
    game = folder / "game.love"
    binding = ROOT / "bindings" / "lua"
    files = {path.name: path for path in (ROOT / "tests" / "lua" / "archive").glob("*.lua")}
    files |= {str(path.relative_to(binding)): path for path in binding.rglob("*.lua")}
    files["model.gguf"] = ROOT / "examples" / "models" / "storyteller.gguf"
    with zipfile.ZipFile(game, "w") as archive:
        for name, path in files.items():
            archive.write(path, name)
    (folder / "libslm.so").symlink_to(os.environ["SLM_LIBRARY"])
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("SLM_LIBRARY", "LUA_PATH", "DISPLAY")}
    done = subprocess.run(["love", game], env=environment, timeout=60, cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text, misuse = done.stdout.splitlines()
    assert text == ", there was a little girl named Lily", text
    assert misuse.startswith("main.lua:") and "n_threads" in misuse, misuse


def main():
    missing = [program for program in ("love", "Xvfb") if not shutil.which(program)]
    if missing:
        print(f"skipped: {' and '.join(missing)} not installed")
        return 77
    with screen() as display, tempfile.TemporaryDirectory() as folder:
        for test in (test_archive, test_people_talk, test_bad_options):
            test(display, Path(folder))
            print(f"{test.__name__}: passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
