# SPDX-License-Identifier: MIT
"""The library as others take it in: installed and found by pkg-config, and as a Meson subproject.

Usage: test_install.py SOURCE_ROOT BUILD_ROOT NINJA MESON. Each way builds a program and lets it write:
examples/hello.c, examples/hello.cpp and the one in README.md.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE, BUILD = Path(sys.argv[1]), Path(sys.argv[2])
NINJA, MESON = sys.argv[3:5]
HELLO = SOURCE / "examples" / "hello.c"
HELLO_CPP = SOURCE / "examples" / "hello.cpp"
MODEL = SOURCE / "examples" / "models" / "storyteller.gguf"

SUBPROJECT = """
project('guest', 'c', 'cpp', default_options: ['c_std=c11', 'cpp_std=c++17'])
slm = dependency('slm', fallback: 'libslm')
executable('hello', 'hello.c', dependencies: slm)
executable('hello_cpp', 'hello.cpp', dependencies: slm)
"""


def run(*command, **options):
    """Runs a command and returns what it printed; ends the test when it fails."""
    command = [str(part) for part in command]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options
    )
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")
    return result.stdout


def check_writes(command, folder=None, **environment):
    text = run(*command, cwd=folder, env=os.environ | environment)
    assert len(text.split()) > 5, f"{command} wrote {text!r}"


def program_of_readme():
    return re.search(r"```c\n(.*?)```", (SOURCE / "README.md").read_text(), re.S).group(1)


def test_pkg_config(folder):
    """Installs to a folder of its own and links both libraries the way pkg-config tells."""
    run(NINJA, "-C", BUILD, "install", env=os.environ | {"DESTDIR": str(folder)})
    found = next(folder.rglob("slm.pc"))
    libdir = found.parent.parent
    headers = {path.name for path in folder.rglob("include/slm/*.h")}
    assert headers == {path.name for path in (SOURCE / "include/slm").glob("*.h")}, headers
    headers = {path.name for path in folder.rglob("include/slm/*.hpp")}
    assert headers == {path.name for path in (SOURCE / "bindings/cpp/slm").glob("*.hpp")}, headers
    environment = os.environ | {
        "PKG_CONFIG_LIBDIR": str(found.parent),
        "PKG_CONFIG_SYSROOT_DIR": str(folder),
    }
    compiler = shlex.split(os.environ.get("CC", "cc"))

    def flags(*options):
        return shlex.split(run("pkg-config", *options, "slm", env=environment))

    shared = folder / "hello-shared"
    run(*compiler, HELLO, "-o", shared, *flags("--cflags", "--libs"))
    check_writes([shared, MODEL], LD_LIBRARY_PATH=str(libdir))

    cpp = folder / "hello-cpp"
    cpp_compiler = shlex.split(os.environ.get("CXX", "c++"))
    run(*cpp_compiler, "-std=c++17", HELLO_CPP, "-o", cpp, *flags("--cflags", "--libs"))
    check_writes([cpp, MODEL], LD_LIBRARY_PATH=str(libdir))

    (folder / "readme.c").write_text(program_of_readme())
    (folder / "model.gguf").symlink_to(MODEL)
    readme = folder / "readme"
    run(*compiler, folder / "readme.c", "-o", readme, *flags("--cflags", "--libs"))
    check_writes([readme], folder, LD_LIBRARY_PATH=str(libdir))

    static = folder / "hello-static"
    libraries = [
        str(libdir / "libslm.a") if flag == "-lslm" else flag
        for flag in flags("--static", "--cflags", "--libs")
    ]
    run(*compiler, HELLO, "-o", static, *libraries)
    check_writes([static, MODEL])


def test_subproject(folder):
    """Builds the source tree inside another project."""
    (folder / "subprojects").mkdir()
    (folder / "subprojects" / "libslm").symlink_to(SOURCE)
    (folder / "meson.build").write_text(SUBPROJECT)
    (folder / "hello.c").write_text(HELLO.read_text())
    (folder / "hello.cpp").write_text(HELLO_CPP.read_text())
    run(MESON, "setup", folder / "build", folder, "-Doptimization=0")
    run(MESON, "compile", "-C", folder / "build", "hello", "hello_cpp")
    check_writes([folder / "build" / "hello", MODEL])
    check_writes([folder / "build" / "hello_cpp", MODEL])


def main():
    for test in (test_pkg_config, test_subproject):
        with tempfile.TemporaryDirectory() as folder:
            test(Path(folder))
            print(f"{test.__name__}: passed")


if __name__ == "__main__":
    main()
