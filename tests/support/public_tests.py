# SPDX-License-Identifier: MIT
"""Prints the tests of a build folder that reach the library through its public functions alone."""
import json
import re
import subprocess
import sys
from pathlib import Path

# Hidden functions that tests use as tools: threads, a clock, what a saved blob says and its checksum, UTF-8.
TOOL = re.compile(r"slmi_(clock_ns|thread_\w+|blob_\w+|utf8_check)")


def calls_hidden(program: Path) -> bool:
    """Tells whether the objects of a test program use a hidden function of the library."""
    objects = sorted(Path(f"{program}.p").glob("*.o"))
    if not objects:
        return False
    undefined = subprocess.run(["nm", "-u", *objects], check=True, capture_output=True, text=True).stdout
    return any(not TOOL.fullmatch(name) for name in re.findall(r"\bslm[ik]_\w+", undefined))


def main() -> None:
    build = sys.argv[1]
    command = ["meson", "introspect", "--tests", build]
    tests = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for test in tests:
        outside = {"libslm:install", "libslm:lint"} & set(test["suite"])
        if not outside and not calls_hidden(Path(test["cmd"][0])):
            print(test["name"])


main()
