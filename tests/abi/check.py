# SPDX-License-Identifier: MIT
"""Holds the binary interface: check.py CHECK ARGUMENT...; exit status 1 on a finding.

headers INCLUDE COMMAND...           every public header compiles alone, experimental ones only when asked for;
                                     COMMAND is the compiler's
layout INCLUDE FILE PROGRAM...       PROGRAM prints FILE, and FILE has every public struct that is stable
constants INCLUDE FILE COMMAND...    FILE has every public constant with its value; COMMAND as for headers
symbols INCLUDE MAP SHARED STATIC    prototypes, symbol map and exports name the same functions
client PROGRAM FILE SHARED MODEL     an old client, PROGRAM, prints FILE when it runs on SHARED
size BYTES SHARED STRIP...           SHARED has at most BYTES without its symbols; STRIP is the command
"""

import difflib
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile


def public_headers(include):
    return sorted(pathlib.Path(include, "slm").glob("*.h"))


def experimental_headers(include):
    return sorted(pathlib.Path(include, "slm", "experimental").glob("*.h"))


def code_of(header):
    return re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)


def compile_alone(include, name, *command):
    """What the compiler says of a file that includes a header; None if it is content."""
    is_cpp = any(word.startswith("-std=c++") for word in command)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "alone.cpp" if is_cpp else "alone.c")
        # Twice, so that the guards are seen to work; the declaration keeps the file from being empty.
        source.write_text(f'#include "{name}"\n' * 2 + "extern int alone;\n")
        done = subprocess.run(
            [*command, "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", f"-I{include}", source],
            capture_output=True, text=True)
    return done.stderr if done.returncode != 0 else None


def check_headers(include, *command):
    asked = (*command, "-DSLM_EXPERIMENTAL")
    for headers, allowed in ((public_headers(include), command), (experimental_headers(include), asked)):
        for header in headers:
            name = header.relative_to(include)
            complaint = compile_alone(include, name, *allowed)
            if complaint is not None:
                yield f"{name} does not compile alone ({' '.join(allowed)}):\n{complaint}"
            if "experimental" not in name.parts and "experimental/" in code_of(header):
                yield f"{name} reaches an experimental header"
    for header in experimental_headers(include):
        name = header.relative_to(include)
        if "SLM_EXPERIMENTAL" not in (compile_alone(include, name, *command) or ""):
            yield f"{name} compiles without SLM_EXPERIMENTAL"


def members_of(body):
    for declaration in body.split(";")[:-1]:
        match = re.search(r"\(\*(\w+)\)\(|(\w+)(?:\[[^\]]*\])*$", declaration)
        yield match[1] or match[2]


def check_layout(include, expected, *program):
    if sys.maxsize < 2**32:
        return
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    wanted = pathlib.Path(expected).read_text()
    for line in sorted(set(printed.splitlines()) ^ set(wanted.splitlines())):
        yield f"printed or stored, not both: {line.strip()}"
    if printed != wanted:
        yield "the layout of the public structs has changed; members may only be appended (docs/api-stability.md)"
    for header in public_headers(include):
        for name, body in re.findall(r"typedef struct (slm_\w+) \{(.*?)\n\} ", code_of(header), re.S):
            members = list(members_of(body))
            told = re.search(rf"^{name} \d+\n((?:    .*\n)*)", wanted, re.M)
            if told is None:
                yield f"{name} of slm/{header.name} is missing in lib/api/layout.c"
            elif members != [line.split()[0] for line in told[1].splitlines()]:
                yield f"lib/api/layout.c does not list the members of {name} as slm/{header.name} does"


def constants_of(include):
    """Enumerators, statuses and numeric macros; not versions, which change, and initialisers."""
    for header in public_headers(include):
        code = code_of(header)
        for body in re.findall(r"\benum \{(.*?)\}", code, re.S):
            yield from re.findall(r"\b(SLM_[A-Z0-9_]+)\s*=", body)
        yield from (f"SLM_{name}" for name in re.findall(r"\bX\((\w+), -?\d+,", code))
        yield from re.findall(r"#define (SLM_(?!VERSION)\w+) (?:U?INT\w+|-?\d+)$", code, re.M)


def print_constants(include, command):
    names = sorted(name for name in set(constants_of(include)) if not name.endswith("_"))
    lines = "\n".join(f'    printf("{name} %lld\\n", (long long){name});' for name in names)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "constants.c")
        source.write_text(f'#include <slm/slm.h>\n#include <stdio.h>\nint main(void)\n{{\n{lines}\n}}\n')
        program = pathlib.Path(folder, "constants")
        subprocess.run([*command, f"-I{include}", source, "-o", program], check=True)
        return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def check_constants(include, stored, *command):
    printed = print_constants(include, command)
    wanted = pathlib.Path(stored).read_text()
    for line in sorted(set(printed.splitlines()) - set(wanted.splitlines())):
        yield f"'{line}' is new, or has another value than in {stored}; values never change (docs/api-stability.md)"
    for line in sorted(set(wanted.splitlines()) - set(printed.splitlines())):
        yield f"'{line}' of {stored} is gone or has another value (docs/api-stability.md)"


def check_client(program, expected, library, model):
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        print("the client was built for Linux on x86-64")
        sys.exit(77)
    environment = dict(os.environ, LD_LIBRARY_PATH=str(pathlib.Path(library).parent))
    done = subprocess.run([program, model], env=environment, capture_output=True, text=True)
    wanted, printed = pathlib.Path(expected).read_text().splitlines(), done.stdout.splitlines()
    if wanted[:1] != printed[:1]:  # other numerics: all but the numbers stay the same
        wanted, printed = ([line for line in lines[1:] if not line.startswith("numbers")]
                           for lines in (wanted, printed))  # fmt: skip
    yield from difflib.unified_diff(wanted, printed, "stored", "printed", lineterm="")
    if done.returncode != 0:
        yield f"exit status {done.returncode}: {done.stderr}"


def exported_by(library, *options):
    if library.endswith(".dll"):
        printed = subprocess.run(["objdump", "-p", library], capture_output=True, text=True, check=True)
        table = printed.stdout.partition("[Ordinal/Name Pointer] Table")[2].partition("\n\n")[0]
        return set(re.findall(r"^\s*\[[ \d]+\] (\w+)$", table, re.M))
    printed = subprocess.run(["nm", *options, "--defined-only", library], capture_output=True, text=True, check=True)
    symbols = (line.split() for line in printed.stdout.splitlines())
    return {words[2].split("@")[0] for words in symbols if len(words) == 3 and words[1] not in "Aa"}


def check_symbols(include, symbol_map, shared, static):
    prototypes = set()
    for header in public_headers(include) + experimental_headers(include):
        declared = set(re.findall(r"SLM_API\b[^;]*?\b(slm_\w+)\s*\(", code_of(header)))
        for name in sorted(declared):
            if name.startswith("slm_x_") != (header.parent.name == "experimental"):
                yield f"{header.name}: {name} has a name of the other kind of header"
        prototypes |= declared
    listed = re.findall(r"^\s+(slm_\w+);", pathlib.Path(symbol_map).read_text(), re.M)
    if listed != sorted(set(listed)):
        yield f"{symbol_map} is not sorted, or names a function twice"
    exported = exported_by(shared, "-D")
    for what, names in (("the symbol map", set(listed)), ("the shared library", exported)):
        for name in sorted(prototypes ^ names):
            yield f"{name} is in {'the headers' if name in prototypes else what} only, not in both it and {what}"
    for name in sorted(exported_by(static, "-g")):
        if not name.removeprefix(".refptr.").startswith("slm"):  # as MinGW calls addresses
            yield f"{name} of the static library could collide with a host's name: it does not begin with slm"


def check_size(most, shared, *strip):
    with tempfile.TemporaryDirectory() as folder:
        bare = pathlib.Path(folder, "bare")
        subprocess.run([*strip, "-o", str(bare), shared], check=True)
        size = bare.stat().st_size
    print(f"{size} bytes, at most {most}")
    if size > int(most):
        yield f"{shared}: {size} bytes without symbols, at most {most}"


def main():
    checks = {"headers": check_headers, "layout": check_layout, "constants": check_constants,
              "symbols": check_symbols, "client": check_client,
              "size": check_size}  # fmt: skip
    if len(sys.argv) < 2 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    findings = list(checks[sys.argv[1]](*sys.argv[2:]))
    print("\n".join(findings) or "nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
