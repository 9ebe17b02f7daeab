# SPDX-License-Identifier: MIT
"""Links a program with libslm.a and llama.cpp's shared library, which share no global name, and runs both.

Usage: link_both.py --build FOLDER
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests" / "golden" / "logits" / "tiny-llama.gguf"


def defined_in(library, *options):
    """The global names that a library defines."""
    printed = subprocess.run(["nm", "--defined-only", *options, library], capture_output=True, text=True, check=True)
    symbols = (line.split() for line in printed.stdout.splitlines())
    return {words[2].split("@")[0] for words in symbols if len(words) == 3 and words[1] not in "Aa"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    build = parser.parse_args().build
    package = Path(llama_cpp.__file__).parent
    libraries = [package / "lib" / f"lib{name}.so" for name in ("llama", "ggml", "ggml-base", "ggml-cpu")]
    ours = defined_in(build / "lib" / "libslm.a", "-g")
    shared = {name for library in libraries for name in ours & defined_in(library, "-D")}
    if shared:
        sys.exit(f"both libraries define {', '.join(sorted(shared))}")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "link_both")
        subprocess.run(
            ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}",
             "-isystem", package.parent / "include", ROOT / "tests" / "references" / "link_both.c",
             build / "lib" / "libslm.a", *libraries, "-lm", "-lpthread", "-o", program,
             f"-Wl,-rpath,{package / 'lib'}"],
            check=True,
        )  # fmt: skip
        return subprocess.run([program, MODEL]).returncode


if __name__ == "__main__":
    sys.exit(main())
