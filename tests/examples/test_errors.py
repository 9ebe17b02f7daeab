# SPDX-License-Identifier: MIT
"""The command line tool: one clear line and the right exit code for bad input."""
import os
import subprocess

import pytest

MODEL_COMMANDS = [("run", "-p", "abc"), ("chat",), ("info",), ("tokenize",), ("bench",)]


def assert_one_line(done, code, *words):
    assert done.code == code, done.err
    assert done.out == ""
    assert done.err.startswith("slm") and done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err, done.err


@pytest.mark.parametrize("command", MODEL_COMMANDS, ids=lambda c: c[0])
def test_files_that_are_no_models(slm, storyteller, tmp_path, command):
    good = storyteller.read_bytes()
    files = {
        "empty.gguf": (b"", "empty"),
        "magic.gguf": (b"FUGG" + good[4:200], "GGUF"),
        "version.gguf": (good[:4] + b"\x63\0\0\0" + good[8:], "version"),
        "half.gguf": (good[:1000], "byte"),
    }
    for name, (data, word) in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert_one_line(slm(command[0], path, *command[1:]), 1, name, word)
    assert_one_line(slm(command[0], tmp_path / "none.gguf", *command[1:]), 1, "none.gguf")
    assert_one_line(slm(command[0], tmp_path, *command[1:]), 1, "directory")


def test_cut_weights_tell_the_position(slm, storyteller, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(storyteller.read_bytes()[:-100])
    assert_one_line(slm("info", path), 1, "cut.gguf", "(byte ")


def test_prompt_longer_than_the_context(slm):
    assert_one_line(slm("run", "-p", "word " * 50, "-c", 16), 1, "the prompt", "16")


@pytest.mark.parametrize("options", [
    (), ("--json",), ("--logprobs", "2"), ("--json", "--logprobs", "2"),
], ids=" ".join)
def test_an_error_of_the_text_is_one_line_in_every_form(slm, tiny, options):
    def assert_error(word, *arguments):
        done = slm("run", *arguments, "--temp", 0, *options)
        assert done.code == 1 and done.err.startswith("slm: "), done.err
        assert done.err.count("\n") == 1 and word in done.err, done.err
    assert_error("full", tiny(), "-p", "a" * 14, "-c", 16)  # BOS, a space and the letters
    assert_error("infinite or not a number", tiny(broken=284), "-p", "abcz")


def test_prompt_that_is_not_utf8(slm, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"abc\xff")
    assert_one_line(slm("run", "--file", path), 1, "UTF-8", "3")
    assert_one_line(slm("tokenize", stdin=b"abc\xff"), 1, "UTF-8", "3")


def test_chat_message_that_is_not_utf8(slm):
    assert_one_line(slm("chat", stdin=b"abc\xff\n"), 1, "UTF-8")


def test_prompt_file_that_is_not_there(slm, tmp_path):
    assert_one_line(slm("run", "--file", tmp_path / "none.txt"), 1, "none.txt")
    assert_one_line(slm("run", "--file", tmp_path), 1, "cannot read")


def test_context_longer_than_the_model(slm):
    assert_one_line(slm("run", "-p", "abc", "-c", 100000), 1, "context")


@pytest.mark.parametrize("arguments", [
    ("run",),
    ("run", "-p", "abc", "--file", "x"),
    ("run", "-p"),
    ("run", "-p", "abc", "-t", "0"),
    ("run", "-p", "abc", "-t", "-1"),
    ("run", "-p", "abc", "-t", "two"),
    ("run", "-p", "abc", "-t", "1.5"),
    ("run", "-p", "abc", "-t", "257"),
    ("run", "-p", "abc", "-t", ""),
    ("run", "-p", "abc", "-n", "-1"),
    ("run", "-p", "abc", "-c", "0"),
    ("run", "-p", "abc", "--seed", "-1"),
    ("run", "-p", "abc", "--temp", "-1"),
    ("run", "-p", "abc", "--temp", "nan"),
    ("run", "-p", "abc", "--top-k", "1.5"),
    ("run", "-p", "abc", "--top-p", "2"),
    ("run", "-p", "abc", "--kv", "f64"),
    ("run", "-p", "abc", "--cpu", "abacus"),
    ("run", "-p", "abc", "--logprobs", "65"),
    ("run", "-p", "abc", "--json=1"),
    ("run", "-p", "abc", "--unknown"),
    ("run", "a.gguf", "b.gguf", "-p", "abc"),
    ("run", "-p", "abc", *["--stop", "x"] * 17),
    ("chat", "--prompt", "abc"),
    ("info", "-x"),
    ("tokenize", "--idz"),
    ("bench", "-r", "0"),
    ("bench", "-p", "0"),
    ("bench", "-b", "5000"),
    ("nonsense",),
    ("--nonsense",),
], ids=" ".join)  # fmt: skip
def test_usage(slm, arguments):
    assert_one_line(slm(*arguments), 2, "--help")


def test_no_command(slm):
    done = slm()
    assert done.code == 2 and done.out == "" and done.err.startswith("usage: slm")


def test_a_full_disk_is_noticed(slm):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([os.environ["SLM_TOOL"], "run", "-p", "abc", "-n", "4"], stdout=full,
                              stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"cannot write" in done.stderr
