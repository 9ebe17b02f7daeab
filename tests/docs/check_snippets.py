# SPDX-License-Identifier: MIT
"""Compiles the C and C++ in the project's pages: check_snippets.py c|cpp ROOT COMPILER...

A snippet with main() is a program. One that begins functions in column 1 stands behind preamble.h (or .hpp),
which declares what pages take for granted. Any other is the body of a function there.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)


def pages(root):
    listed = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("bindings/*/*.md"),
              *root.glob("examples/**/*.md")]
    return sorted(listed)


def snippets(page, language):
    """Yields (line, code) of each block of the language."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if match.group(1) == language:
            yield text.count("\n", 0, match.start()) + 2, match.group(2)


def program_of(code, name, line, suffix):
    """What to compile; errors name the page and its line."""
    begin = f'#line {line} "{name}"\n'
    if "int main(" in code:
        return begin + code
    preamble = f'#include "preamble.{suffix}"\n'
    if re.search(r"^\w[^;]*\)\n\{$", code, re.M):
        return preamble + begin + code
    return f"{preamble}void snippet(void);\nvoid snippet(void)\n{{\n{begin}{code}}}\n"


def main():
    language, root, compiler = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    suffix, standard = {"c": ("h", "-std=c11"), "cpp": ("hpp", "-std=c++17")}[language]
    options = [standard, "-Wall", "-Wextra", "-Werror", "-Wno-unused", "-fsyntax-only",
               *(f"-I{folder}" for folder in (FOLDER, root / "include", root / "bindings/cpp"))]
    n_snippets = n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"snippet.{language}")
        for page in pages(root):
            for line, code in snippets(page, language):
                source.write_text(program_of(code, page.relative_to(root), line, suffix), encoding="utf-8")
                done = subprocess.run([*compiler, *options, source], capture_output=True, text=True)
                n_snippets += 1
                if done.returncode != 0:
                    n_failed += 1
                    print(done.stderr)
    print(f"{n_snippets} snippets, {n_failed} failed")
    return 1 if n_failed or not n_snippets else 0


if __name__ == "__main__":
    sys.exit(main())
