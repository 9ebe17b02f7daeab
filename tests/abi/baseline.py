#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the library to the binary interface of its release: baseline.py make|compare

make      writes constants.txt, libslm-VERSION.abi, client-VERSION-x86_64 and client-VERSION.txt anew
compare   compares this tree with libslm-VERSION.abi; additions are allowed. Exit status 1 on a finding

VERSION is the soname's. Both build the library in .build/abi, unoptimised and with debug information, and
need abigail-tools.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

import check

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / ".build" / "abi"
MODEL = ROOT / "tests" / "golden" / "logits" / "tiny-llama.gguf"

# What no public header declares is opaque. abidw knows such types by this label only, and compares headers by
# their last name, which a private header may have as well, so --headers-dir is of no use.
PRIVATE = """
[suppress_type]
  label = Artificial private types suppression specification
  source_location_not_regexp = include/slm/
  drop = yes
[suppress_type]
  label = Artificial private types suppression specification
  name_regexp = ^slm_x_
  drop = yes
[suppress_function]
  symbol_name_regexp = ^slm_x_
  drop = yes
"""


def version():
    return re.search(r"soversion: '([^']+)'", (ROOT / "lib" / "meson.build").read_text()).group(1)


def build():
    """Builds the library and returns its path."""
    library = f"lib/libslm.so.{version()}"
    log = BUILD.with_suffix(".log")
    BUILD.parent.mkdir(exist_ok=True)
    with open(log, "w") as out:
        commands = [["ninja", "-C", BUILD, os.path.realpath(BUILD / library).removeprefix(f"{BUILD}/")]]
        if not (BUILD / "build.ninja").exists():
            setup = ["meson", "setup", BUILD, ROOT, "-Dtools=false", "-Dexamples=false"]
            subprocess.run([*setup, "-Doptimization=0", "-Ddebug=true"], stdout=out, stderr=out, check=True)
            commands = [["ninja", "-C", BUILD]]
        for command in commands:
            subprocess.run(command, stdout=out, stderr=out, check=True)
    return BUILD / library


def describe(library):
    """The interface as abidw's XML, without indentation."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as private:
        private.write(PRIVATE)
        private.flush()
        leave_out = ["architecture", "comp-dir-path", "corpus-path", "elf-needed", "parameter-names",
                     "show-locs", "write-default-sizes"]  # fmt: skip
        printed = subprocess.run(
            ["abidw", *(f"--no-{what}" for what in leave_out), "--exported-interfaces-only",
             "--suppressions", private.name, library],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    return re.sub(r"^ +", "", printed, flags=re.M)


def name_of(types, type_id):
    """A type in words, so that equal types of two descriptions have equal names."""
    node = types.get(type_id)
    if node is None:
        return "void"
    if node.tag in ("pointer-type-def", "qualified-type-def"):
        const = node.get("const", "")
        return f"{node.tag} {const} {name_of(types, node.get('type-id'))}"
    return f"{node.tag} {node.get('name', '')} {node.get('size-in-bits', '')}".strip()


def structs(description):
    """Name -> (size, members) of each struct that is known in full."""
    root = xml.fromstring(description)
    types = {node.get("id"): node for node in root.iter() if node.get("id")}
    found = {}
    for node in root.iter("class-decl"):
        if node.get("size-in-bits"):
            members = [
                (m.get("layout-offset-in-bits"), v.get("name"), name_of(types, v.get("type-id")))
                for m in node.iter("data-member") for v in m.iter("var-decl")
            ]  # fmt: skip
            found[node.get("name")] = (int(node.get("size-in-bits")), members)
    return found


def grown(old, new):
    """Structs that begin with struct_size and got more members at their end, which is allowed."""
    for name, (old_size, old_members) in old.items():
        new_size, new_members = new.get(name, (0, []))
        if (new_size > old_size and new_members[: len(old_members)] == old_members
                and old_members[0][1] == "struct_size"):  # fmt: skip
            yield name


def compare(stored, library):
    description = describe(library)
    allowed = grown(structs(stored.read_text()), structs(description))
    with tempfile.TemporaryDirectory() as folder:
        now = pathlib.Path(folder, "now.abi")
        now.write_text(description)
        suppressed = pathlib.Path(folder, "allowed.txt")
        suppressed.write_text("".join(f"[suppress_type]\n  name = {name}\n" for name in allowed))
        done = subprocess.run(
            ["abidiff", "--no-added-syms", "--suppressions", suppressed, stored, now],
            capture_output=True, text=True,
        )  # fmt: skip
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        print(f"the binary interface is not that of {stored.name} (docs/api-stability.md)")
    return done.returncode != 0


def run_client(client, library):
    environment = dict(os.environ, LD_LIBRARY_PATH=str(library.parent))
    return subprocess.run([client, MODEL], env=environment, capture_output=True, text=True, check=True).stdout


def make(library):
    names = version()
    stored = HERE / f"libslm-{names}.abi"
    client = HERE / f"client-{names}-x86_64"
    (HERE / "constants.txt").write_text(check.print_constants(ROOT / "include", ["gcc"]))
    stored.write_text(describe(library))
    subprocess.run(
        ["gcc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-s", f"-I{ROOT / 'include'}", HERE / "client.c",
         "-o", client, f"-L{library.parent}", f"-l:{library.name}"],
        check=True,
    )  # fmt: skip
    (HERE / f"client-{names}.txt").write_text(run_client(client, library))


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in ("make", "compare"):
        sys.exit(__doc__)
    library = build()
    if sys.argv[1] == "make":
        make(library)
        return 0
    return compare(HERE / f"libslm-{version()}.abi", library)


if __name__ == "__main__":
    sys.exit(main())
