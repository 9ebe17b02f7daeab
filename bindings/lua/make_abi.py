# SPDX-License-Identifier: MIT
"""Writes slm/abi.lua, the public headers as LuaJIT reads them: make_abi.py [--check] [INCLUDE [FILE]].

With --check it writes nothing and exits with 1 when the file is not what it would write.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

OPENING = """\
-- SPDX-License-Identifier: MIT
-- The C interface for ffi.cdef; made by bindings/lua/make_abi.py from include/slm, not by hand.
"""


def read_headers(include):
    """The headers that slm.h reaches, each after those that it includes; comments left out."""
    texts = {}

    def add(name):
        if name in texts:
            return
        text = re.sub(r"/\*.*?\*/", "", (include / name).read_text(), flags=re.S)
        texts[name] = None  # begun
        for other in re.findall(r'#include "(slm/\w+\.h)"', text):
            add(other)
        del texts[name]
        texts[name] = text

    add("slm/slm.h")
    return list(texts.values())


def statuses(text):
    """The list of X(name, value, meaning) as an enum; ffi.cdef has no preprocessor."""
    found = re.findall(r"X\((\w+), (-?\d+), \"", text)
    lines = [f"    SLM_{name} = {value}," for name, value in found]
    return "enum {\n" + "\n".join(lines) + "\n};"


def declarations(text, constants):
    """Enums, types and functions in their order, without what only a C compiler wants."""
    text = text.replace("\\\n", " ")
    listed = statuses(text)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    text = re.sub(r"enum \{\s*SLM_STATUS_LIST\(.*?\};", lambda _: listed, text, flags=re.S)
    text = re.sub(r'extern "C" \{|^\}\s*$|\bSLM_API ', "", text, flags=re.M)
    for name, value in constants.items():
        text = re.sub(rf"\b{name}\b", value, text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    text = re.sub(r"\n{2,}", "\n", text)
    return re.sub(r"\n {5,}", "\n" + " " * 8, text).strip() + "\n"


def make(include):
    texts = read_headers(include)
    constants = dict(re.findall(r"^#define (SLM_\w+) (\d+)$", "".join(texts), re.M))
    version = constants["SLM_VERSION_MAJOR"], constants["SLM_VERSION_MINOR"]
    body = "\n".join(declarations(text, constants) for text in texts)
    return (OPENING + f"return {{\n    version = {{ {', '.join(version)} }}, -- of the headers\n"
            f"    declarations = [[\n{body}]],\n}}\n")


def main():
    arguments = sys.argv[1:]
    check = arguments[:1] == ["--check"]
    paths = [Path(path) for path in arguments[check:]]
    include = paths[0] if paths else HERE.parents[1] / "include"
    target = paths[1] if len(paths) > 1 else HERE / "slm" / "abi.lua"
    text = make(include)
    if not check:
        target.write_text(text)
    elif not target.is_file() or target.read_text() != text:
        print(f"{target} is out of date: run bindings/lua/make_abi.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
