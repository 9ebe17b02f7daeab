# SPDX-License-Identifier: MIT
"""The command line tool: one clear line and the right exit code for bad input."""
import os
import platform
import subprocess

import pytest
from conftest import native_only, program

MODEL_COMMANDS = [("run", "-p", "abc"), ("chat",), ("info",), ("tokenize",), ("bench",),
                  ("eval", "--text", __file__)]


NEON_MACHINES = ("aarch64", "arm64")


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


@pytest.mark.parametrize("problem", ["architecture", "weights", "empty", "missing"])
def test_errors_of_loading_name_the_file_once(slm, tiny, tmp_path, problem):
    path = tmp_path / "model.gguf"
    if problem == "architecture":
        length = (5).to_bytes(8, "little")
        path.write_bytes(tiny().read_bytes().replace(length + b"llama", length + b"other", 1))
    elif problem == "weights":
        path.write_bytes(tiny(with_weights=False).read_bytes())
    elif problem == "empty":
        path.touch()
    done = slm("run", path, "-p", "abc")
    assert_one_line(done, 1)
    assert done.err.count("model.gguf") == 1, done.err


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


@pytest.mark.parametrize("bad, word", [(b"abc\xff", "UTF-8"), (b"x" * 100, "do not fit")],
                         ids=["utf8", "long"])
def test_chat_leaves_out_a_bad_message_and_goes_on(slm, tiny, bad, word):
    def chat(*lines):
        return slm("chat", tiny(context=64), "-n", 2, "--temp", 0, stdin=b"\n".join(lines))
    expected = chat(b"one", b"two")
    assert expected.code == 0 and expected.err == ""
    for lines in ((bad, b"one", b"two"), (b"one", bad, b"two"), (b"one", b"two", bad)):
        done = chat(*lines)
        assert done.code == 0 and done.out == expected.out
        assert done.err.startswith("slm: this message is left out: "), done.err
        assert done.err.count("\n") == 1 and word in done.err, done.err
    assert_one_line(chat(bad), 1, "this message", word)


def test_a_prompt_that_leaves_no_room_is_not_printed(slm):
    assert_one_line(slm("run", "-p", "Hi", "-n", 5, "-c", 3), 1, "context of 3 tokens is full")


@pytest.mark.parametrize("text", [
    "", "x" * 256, pytest.param(b"\xff", marks=native_only),  # Windows has no such arguments
], ids=["empty", "long", "utf8"])
def test_stop_texts_that_are_none(slm, text):
    assert_one_line(slm("run", "-p", "abc", "--stop", os.fsdecode(text)), 2, "--stop", "--help")


def test_a_prompt_without_its_option(slm):
    assert_one_line(slm("run", "-n", 2, "Hi"), 2, "'Hi' was taken as the model file", "-p")


def test_instructions_of_another_processor(slm):
    other = "avx2" if platform.machine() in NEON_MACHINES else "neon"
    assert_one_line(slm("run", "-p", "abc", "--cpu", other), 1, f"--cpu {other}")


def test_prompt_file_that_is_not_there(slm, tmp_path):
    assert_one_line(slm("run", "--file", tmp_path / "none.txt"), 1, "none.txt")
    assert_one_line(slm("run", "--file", tmp_path), 1, "cannot read")


def test_context_longer_than_the_model(slm):
    assert_one_line(slm("run", "-p", "abc", "-c", 100000), 1, "context")


def test_texts_that_cannot_be_evaluated(slm, tmp_path):
    path = tmp_path / "text.txt"
    assert_one_line(slm("eval", "--text", path), 1, "text.txt", "cannot read")
    path.write_bytes(b"abc\xff")
    assert_one_line(slm("eval", "--text", path), 1, "text.txt", "UTF-8", "byte 3")
    path.write_bytes(b"")
    assert_one_line(slm("eval", "--text", path), 1, "text.txt", "1 tokens with BOS, too few")
    assert_one_line(slm("eval", "--text", path, "--separator", "x"), 1, "no text")
    path.write_bytes(b"a few words")
    assert_one_line(slm("eval", "--text", path, "--convention", "llamacpp-512"), 1, "at least 512")


def test_evaluations_that_are_not_possible(slm, tiny, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a few words")
    assert_one_line(slm("eval", "--text", path, "--convention", "gptq-2048"), 1, "2048", "512")
    assert_one_line(slm("eval", tiny(), "--text", path, "--convention", "hf-stride"), 1, "stride of 512")
    assert_one_line(slm("eval", "--text", path, "-c", 513), 1, "at most 512")
    assert_one_line(slm("eval", "--text", path, "--reference", tiny()), 1, "vocabulary")
    assert_one_line(slm("eval", "--text", path, "--reference", "none.gguf"), 1, "none.gguf")


@pytest.mark.parametrize("arguments", [
    ("run",),
    ("run", "-p", "abc", "--file", "x"),
    ("run", "-p", "abc", "-p", "abc"),
    ("run", "--file", "x", "--file", "x"),
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
    ("eval",),
    ("eval", "--text", "x", "--convention", "gpt-2"),
    ("eval", "--text", "x", "--stride", "8"),
    ("eval", "--text", "x", "--convention", "hf-stride", "--stride", "0"),
    ("eval", "--text", "x", "--separator", ""),
    ("eval", "--text", "x", "--compare-kv", "f64"),
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
        done = subprocess.run([*program("SLM_TOOL"), "run", "-p", "abc", "-n", "4"], stdout=full,
                              stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"cannot write" in done.stderr
