# SPDX-License-Identifier: MIT
"""Programs and models for the tests of the examples."""
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_model

ROOT = Path(__file__).resolve().parents[2]
# The programs are for another system: then its rules hold, and Python cannot load the library.
FOREIGN = "SLM_TEST_WRAPPER" in os.environ
native_only = pytest.mark.skipif(FOREIGN, reason="the programs are for another system")
STORYTELLER = ROOT / "examples" / "models" / "storyteller.gguf"


@dataclass
class Outcome:
    code: int
    out: str
    err: str


def program(variable):
    """The beginning of a command: the program that an environment variable names, and what runs it."""
    return [*os.environ.get("SLM_TEST_WRAPPER", "").split(), os.environ[variable]]


def unix(text):
    """The text as it was written: an ordinary program, not the tool, writes \\r\\n for \\n on Windows."""
    return text.replace("\r\n", "\n") if FOREIGN else text


def run(variable, *arguments, stdin="", cwd=None):
    command = [*program(variable), *map(str, arguments)]
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, cwd=cwd)
    out, err = done.stdout.decode(), done.stderr.decode()
    if variable != "SLM_TOOL":
        out, err = unix(out), unix(err)
    return Outcome(done.returncode, out, err)


@pytest.fixture(scope="session")
def slm():
    """The command line tool as a function."""
    return lambda *arguments, **settings: run("SLM_TOOL", *arguments, **settings)


@pytest.fixture(scope="session")
def storyteller():
    return STORYTELLER


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Makes tiny random models: tiny(chat_template=...)."""
    folder = tmp_path_factory.mktemp("models")

    def make(**settings):
        path = folder / f"tiny-{len(list(folder.iterdir()))}.gguf"
        path.write_bytes(tiny_model.make(**settings))
        return path

    return make
