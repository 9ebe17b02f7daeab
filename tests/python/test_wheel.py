# SPDX-License-Identifier: MIT
"""The wheel: it carries the library and the model, and works where nothing else is."""
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from conftest import ROOT

PACKAGE = ROOT / "bindings" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without the network, from a copy of what it needs, with the library of this build."""
    pytest.importorskip("setuptools")
    pytest.importorskip("wheel")
    root = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, root / "bindings" / "python")
    (root / "examples" / "models").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "models" / "storyteller.gguf", root / "examples" / "models")
    before = {path.name for path in (root / "bindings" / "python").iterdir()}
    done = subprocess.run(
        [sys.executable, "-c",
         "import sys; from setuptools import build_meta as b; print(b.build_wheel(sys.argv[1]))",
         root], cwd=root / "bindings" / "python", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (root / "bindings" / "python").iterdir()} == before
    (made,) = root.glob("*.whl")
    return made


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in ("__init__.py", "py.typed", "storyteller.gguf"):
        assert f"slm/{name}" in names
    assert any(name.startswith("slm/libslm.") for name in names)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"slm-0.1.0-py3-none-{platform}.whl"


def test_it_works_alone(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("SLM_LIBRARY", "PYTHONPATH")}
    code = ("import slm; print(slm.__file__); "
            "print(slm.Model().session().text('Once upon a time', max_tokens=4, temperature=0))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout and len(done.stdout.splitlines()) >= 2


def test_types():
    """The package's annotations hold, where mypy is installed."""
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull,
                           PACKAGE / "slm"], cwd=PACKAGE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
