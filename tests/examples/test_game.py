# SPDX-License-Identifier: MIT
"""The examples for game engines: a loop with a budget for each frame, long talk, a host's services."""
import json
import re

import pytest
from conftest import run


def test_game_loop_prints_histograms():
    done = run("SLM_GAME_LOOP", "--frames", 90, "--lines", "--budget-us", 5000)
    assert done.code == 0 and done.err == ""
    said, frames, overruns = re.search(
        r"^24 characters said (\d+) lines.*?(^work in a frame.*?)(^steps beyond.*)\Z", done.out,
        re.S | re.M).groups()
    assert int(said) > 0 and done.out.count(' said, "') == int(said)
    for histogram in (frames, overruns):
        rows = re.findall(r"^ +\d+ us[ +] +(\d+)  (#*)$", histogram, re.M)
        assert len(rows) == 10 and sum(int(count) for count, _ in rows) == 90
        assert all((int(count) > 0) == (bar != "") for count, bar in rows)


def test_game_loop_json(storyteller):
    done = run("SLM_GAME_LOOP", "--frames", 60, "--characters", 5, "--budget-us", 3000, "--seed", 7,
               "--turns", "--threads", 1, "--json", storyteller)
    assert done.code == 0 and done.err == ""
    told = json.loads(done.out)
    assert (told["frames"], told["characters"], told["budget_microseconds"]) == (60, 5, 3000)
    assert told["tokens"] > 0 and told["tokens_per_second"] > 0


def test_game_loop_takes_turns():
    """Without turns all begin at once, so more is written."""
    settings = ("--frames", 60, "--budget-us", 1000000, "--json")
    together = json.loads(run("SLM_GAME_LOOP", *settings).out)
    in_turns = json.loads(run("SLM_GAME_LOOP", *settings, "--turns").out)
    assert 0 < in_turns["tokens"] < together["tokens"]


def test_game_loop_says_what_is_wrong(tmp_path):
    for wrong in (["--frames"], ["--frames", "0"], ["--frames", "x"], ["--what"]):
        done = run("SLM_GAME_LOOP", *wrong)
        assert done.code == 2 and done.err.startswith("usage: game_loop")
    done = run("SLM_GAME_LOOP", tmp_path / "none.gguf")
    assert done.code == 1 and done.err.startswith("game_loop: ") and "none.gguf" in done.err


@pytest.mark.parametrize("policy, mark", [
    ("drop", "[dropped 88 tokens from token 16 on]"),
    ("shift", "[dropped 128 tokens from token 16 on]"),
    ("summarise", "[in short:"),
])
def test_long_talk(policy, mark):
    """600 tokens in a context of 192: the story goes on behind every full context."""
    done = run("SLM_LONG_TALK", policy)
    assert done.code == 0 and done.err == ""
    parts = done.out.split(mark)
    assert len(parts) > 3 and all(len(part) > 100 for part in parts[1:])
    assert parts[0] == run("SLM_LONG_TALK", "drop").out.split("[")[0]  # until then all are alike


def test_long_talk_says_what_is_wrong(tmp_path):
    assert run("SLM_LONG_TALK").code == run("SLM_LONG_TALK", "what").code == 2
    done = run("SLM_LONG_TALK", "shift", tmp_path / "none.gguf")
    assert done.code == 1 and "none.gguf" in done.err


SERVICES = {
    "alloc": r"a session needs (\d+)\n.*SLM_ERR_OUT_OF_MEMORY.*SLM_OK, \1 bytes.*: 0 bytes in 0 blocks",
    "tasks": r"offered [1-9]\d* jobs",
    "reader": r"read 'storyteller' \(\d+ bytes\) from byte \d+ .*: SLM_OK",
    "log": r"\[info\] loaded llama .*\n.*\[info\] session.*\n  2 lines",
    "clock": r"  (\d{3,}) steps",
    "limits": r"SLM_ERR_LIMIT at byte 8: .*\n.*SLM_ERR_BUDGET",
    "progress": r"cancelled at 5\d %: SLM_CANCELLED, no model\n.*: SLM_OK",
}


@pytest.mark.parametrize("service", SERVICES)
def test_host_services(service, tmp_path):
    done = run("SLM_HOST", service, cwd=tmp_path)
    assert done.code == 0 and done.err == ""
    assert done.out.startswith(f"{service}:\n") and re.search(SERVICES[service], done.out, re.S)
    if service in ("alloc", "tasks", "clock"):
        assert "Once upon a time, there was" in done.out
    assert not list(tmp_path.iterdir())


def test_host_shows_all(tmp_path):
    done = run("SLM_HOST", cwd=tmp_path)
    assert done.code == 0 and re.findall(r"^(\w+):$", done.out, re.M) == list(SERVICES)
    done = run("SLM_HOST", "what")
    assert done.code == 2 and done.err.startswith("usage: host")
