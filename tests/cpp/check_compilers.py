# SPDX-License-Identifier: MIT
"""Compiles C++ files in every dialect with every compiler that is there: check_compilers.py ROOT FILE..."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WARNINGS = ("-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast "
            "-Wnon-virtual-dtor -Werror").split()
STANDARDS = ("-std=c++17", "-std=c++20")
RESTRICTIONS = ((), ("-fno-exceptions", "-fno-rtti"))


def compilers():
    """The commands that name different compilers: the usual two and the one that CXX names."""
    commands = [["g++"], ["clang++"], os.environ.get("CXX", "c++").split()]
    found = {}
    for command in commands:
        path = shutil.which(command[-1])
        if path:
            found.setdefault(Path(path).resolve(), command)
    return found.values()


def tests_as_one(files, folder):
    """All files of the test as one and the others as they are, for speed."""
    together = Path(folder, "tests.cpp")
    tests = [file for file in files if Path(file).parent.name == "cpp"]
    together.write_text("".join(f'#include "{file}"\n' for file in tests))
    return [together, *(file for file in files if file not in tests)]


def headers_alone(root, folder):
    """Each header in a file of its own, included twice."""
    for header in sorted(Path(root, "bindings/cpp/slm").glob("*.hpp")):
        alone = Path(folder, header.stem + "_alone.cpp")
        alone.write_text(f"#include <slm/{header.name}>\n" * 2)
        yield alone


def main():
    root, files = Path(sys.argv[1]), sys.argv[2:]
    includes = [f"-I{root / folder}" for folder in ("include", "bindings/cpp", "tests", "tests/cpp")]
    n_compiled = n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        sources, headers = tests_as_one(files, folder), list(headers_alone(root, folder))
        for compiler, standard, restriction in itertools.product(compilers(), STANDARDS, RESTRICTIONS):
            command = [*compiler, standard, *restriction, *WARNINGS, *includes, "-fsyntax-only", *sources]
            if standard == STANDARDS[0] and not restriction:
                command += headers
            done = subprocess.run(command, capture_output=True, text=True)
            n_compiled += 1
            if done.returncode != 0:
                n_failed += 1
                print(" ".join(map(str, command)), done.stderr, sep="\n")
    print(f"{n_compiled} combinations, {n_failed} failed")
    return 1 if n_failed or not n_compiled else 0


if __name__ == "__main__":
    sys.exit(main())
