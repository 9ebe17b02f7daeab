# SPDX-License-Identifier: MIT
"""Makes a wheel that carries libslm and the default model.

The library is built with Meson from the checkout around this folder, or taken from the file that
SLM_LIBRARY names. Nothing is written into the checkout.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70
    from wheel.bdist_wheel import bdist_wheel

CHECKOUT = Path(__file__).resolve().parents[2]
WORK = Path(tempfile.mkdtemp(prefix="slm-wheel-"))


def build_library() -> Path:
    """Runs Meson and returns the shared library."""
    build = WORK / "meson"
    subprocess.run(
        ["meson", "setup", str(build), str(CHECKOUT), "--buildtype=release", "-Dtools=false",
         "-Dexamples=false", "-Dtests=false"], check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", str(build)], check=True, stdout=sys.stderr)
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    return next((build / "lib").glob(f"libslm*.{suffix}")).resolve()


class BuildWithLibrary(build_py):
    """Adds the library and the model to the package."""

    def run(self) -> None:
        super().run()
        package = Path(self.build_lib) / "slm"
        named = os.environ.get("SLM_LIBRARY")
        library = Path(named) if named else build_library()
        suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
        shutil.copyfile(library, package / f"libslm.{suffix}")
        shutil.copyfile(CHECKOUT / "examples" / "models" / "storyteller.gguf",
                        package / "storyteller.gguf")


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
        cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
        distclass=BinaryDistribution,
        options={"build": {"build_base": str(WORK / "build")},
                 "egg_info": {"egg_base": str(WORK / "egg")}},
    )
finally:
    shutil.rmtree(WORK, ignore_errors=True)
