# SPDX-License-Identifier: MIT
"""Makes a wheel that carries libslm and the default model, or a source archive that carries what they
are made of.

The library is built with Meson from the sources around this folder (in a source archive: from those in
it), or taken from the file that SLM_LIBRARY names. Nothing is written into the checkout.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70
    from wheel.bdist_wheel import bdist_wheel

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "libslm"  # in a source archive
SOURCES = CARRIED if CARRIED.is_dir() else HERE.parents[1]
NEEDED = ("LICENSE", "meson.build", "meson_options.txt", "include", "lib",
          "bindings/cpp", "examples/models/storyteller.gguf")
SUFFIX = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
WORK = Path(tempfile.mkdtemp(prefix="slm-wheel-"))


def build_library() -> Path:
    """Runs Meson and returns the shared library."""
    build = WORK / "meson"
    subprocess.run(
        ["meson", "setup", str(build), str(SOURCES), "--buildtype=release", "-Dtools=false",
         "-Dexamples=false", "-Dtests=false"], check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", str(build)], check=True, stdout=sys.stderr)
    return next((build / "lib").glob(f"libslm*.{SUFFIX}")).resolve()


class BuildWithLibrary(build_py):
    """Adds the library, the model and the licence to the package."""

    def run(self) -> None:
        super().run()
        package = Path(self.build_lib) / "slm"
        named = os.environ.get("SLM_LIBRARY")
        library = Path(named) if named else build_library()
        shutil.copyfile(library, package / f"libslm.{SUFFIX}")
        shutil.copyfile(SOURCES / "examples" / "models" / "storyteller.gguf",
                        package / "storyteller.gguf")
        shutil.copyfile(SOURCES / "LICENSE", package / "LICENSE")


class SourcesWithLibrary(sdist):
    """Adds what the library is made of."""

    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        for name in NEEDED:
            source, target = SOURCES / name, Path(base_dir) / "libslm" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 on this kind of machine."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple:
        return ("py3", "none", super().get_tag()[2])


class BinaryDistribution(Distribution):
    """Tells setuptools that the package holds a library."""

    def has_ext_modules(self) -> bool:
        return True


try:
    (WORK / "egg").mkdir()
    setup(
        cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel,
                  "sdist": SourcesWithLibrary},
        distclass=BinaryDistribution,
        options={"build": {"build_base": str(WORK / "build")},
                 "egg_info": {"egg_base": str(WORK / "egg")}},
    )
finally:
    shutil.rmtree(WORK, ignore_errors=True)
