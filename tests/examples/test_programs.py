# SPDX-License-Identifier: MIT
"""The thin examples: complete, short, and alike in what they write."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FOREIGN, ROOT, Outcome, native_only, run, unix
from test_tool import CHATML, CHATML_TOKENS

EXAMPLES = ROOT / "examples"
GOLDEN = Path(__file__).parent / "golden" / "storyteller.txt"
PROMPT = "Once upon a time"
without_luajit = pytest.mark.skipif(not shutil.which("luajit"), reason="luajit is not installed")
KINDS = ["c", "cpp", pytest.param("py", marks=native_only),
         pytest.param("lua", marks=[native_only, without_luajit])]


def run_python(*arguments):
    done = subprocess.run([sys.executable, EXAMPLES / "hello.py", *arguments],
                          capture_output=True, timeout=60)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_lua(*arguments):
    environment = os.environ | {"LUA_PATH": str(ROOT / "bindings" / "lua" / "?.lua") + ";;"}
    done = subprocess.run(["luajit", EXAMPLES / "hello.lua", *arguments], env=environment,
                          capture_output=True, timeout=60)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def hello(kind, *arguments):
    runners = {"py": run_python, "lua": run_lua}
    return runners.get(kind, lambda *given: run(f"SLM_HELLO_{kind.upper()}", *given))(*arguments)


def test_hello_c_is_short():
    assert len((EXAMPLES / "hello.c").read_text().splitlines()) <= 40


@pytest.mark.parametrize("kind", KINDS)
def test_hello_writes_a_story(kind, storyteller):
    done = hello(kind, storyteller)
    assert done.code == 0 and done.err == ""
    assert done.out.startswith(PROMPT) and len(done.out) > 200


def test_hello_is_the_same_in_c_and_cpp(storyteller):
    by_c = hello("c", storyteller, "The cat").out
    by_cpp = hello("cpp", storyteller, "The cat").out
    assert by_c.startswith("The cat")
    assert by_c[:200] == by_cpp[:200]
    if not FOREIGN:
        assert by_c[:200] == hello("py", storyteller, "The cat").out[:200]
    if not FOREIGN and shutil.which("luajit"):
        assert by_c[:200] == hello("lua", storyteller, "The cat").out[:200]


@pytest.mark.parametrize("kind", KINDS)
def test_hello_says_what_is_wrong(kind, tmp_path, storyteller):
    done = hello(kind, tmp_path / "none.gguf")
    assert done.code == 1 and done.out == ""
    assert done.err.startswith("hello: ") and "none.gguf" in done.err
    done = hello(kind, storyteller, "word " * 600)
    assert done.code == 1 and "do not fit" in done.err


def test_chat_c(storyteller, tmp_path):
    done = run("SLM_CHAT_C", storyteller, stdin="Hello.\nGo on.\n")
    assert done.code == 0 and done.err == "" and len(done.out) > 20
    assert run("SLM_CHAT_C", tmp_path / "none.gguf").code == 1


def test_chat_c_does_not_cut_its_answers(slm, tiny):
    path = tiny(chat_template=CHATML, extra_tokens=CHATML_TOKENS, context=2000, seed=6)
    talk = "hello\nagain\n"
    done = run("SLM_CHAT_C", path, stdin=talk)
    assert done.code == 0 and done.out == unix(slm("chat", path, stdin=talk).out)
    assert done.out != unix(slm("chat", path, "-n", 200, stdin=talk).out)  # an answer is longer


def test_chat_c_refuses_an_unknown_template(tiny):
    done = run("SLM_CHAT_C", tiny(chat_template="{{ something_else }}"), stdin="hello\n")
    assert done.code == 1 and "something_else" in done.err


def test_the_default_model_writes_its_known_text(slm):
    """The same bits everywhere: a change of this text needs a new model or a new numerics version."""
    if not GOLDEN.exists():
        pytest.skip("golden/storyteller.txt is not there")
    done = slm("run", "-p", PROMPT, "-n", 60, "--temp", 0)
    assert done.out == GOLDEN.read_text()


def test_all_examples_are_listed():
    page = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.name not in ("README.md", "meson.build", "__pycache__"):
            assert f"`{path.name}" in page, path.name
    assert os.access(EXAMPLES / "quickstart", os.X_OK)
