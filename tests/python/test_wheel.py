# SPDX-License-Identifier: MIT
"""The wheel: it carries the library and the model, and works where nothing else is."""
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest
from conftest import ROOT

PACKAGE = ROOT / "bindings" / "python"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds without the network, from a copy of what is needed, with the library of this build."""
    pytest.importorskip("setuptools")
    pytest.importorskip("wheel")
    root = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, root / "bindings" / "python")
    for name in ("lib", "include", "bindings/cpp"):
        shutil.copytree(ROOT / name, root / name)
    (root / "examples" / "models").mkdir(parents=True)
    for name in ("LICENSE", "meson.build", "meson_options.txt", "examples/models/storyteller.gguf"):
        shutil.copy(ROOT / name, root / name)

    def make(what):
        before = {path.name for path in (root / "bindings" / "python").iterdir()}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from setuptools import build_meta as b; "
             f"print(b.build_{what}(sys.argv[1]))", root],
            cwd=root / "bindings" / "python", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in (root / "bindings" / "python").iterdir()} == before
        return root / done.stdout.splitlines()[-1]
    return make


@pytest.fixture(scope="module")
def wheel(build):
    return build("wheel")


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in ("__init__.py", "py.typed", "storyteller.gguf", "LICENSE"):
        assert f"slm/{name}" in names
    assert any(name.startswith("slm/libslm.") for name in names)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name == f"slm-0.1.0-py3-none-{platform}.whl"


def test_it_works_alone(wheel, tmp_path):
    """Installed by pip, without the network, a compiler or anything else on the path."""
    pytest.importorskip("pip")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
                    "--target", tmp_path, wheel], check=True)
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("SLM_LIBRARY", "PYTHONPATH", "PATH")}
    code = ("import slm; print(slm.__file__); "
            "print(slm.Model().session().text('Once upon a time', max_tokens=4, temperature=0))")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout and len(done.stdout.splitlines()) >= 2


def test_a_source_archive_carries_the_library(build, tmp_path):
    archive = build("sdist")
    with tarfile.open(archive) as packed:
        names = {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}
        packed.extractall(tmp_path)
    for name in ("setup.py", "pyproject.toml", "README.md", "slm/__init__.py", "slm/py.typed",
                 "libslm/LICENSE", "libslm/include/slm/slm.h", "libslm/lib/slm.map"):
        assert name in names
    meson = shutil.which("meson") or pytest.skip("no meson")
    (unpacked,) = tmp_path.iterdir()
    done = subprocess.run([meson, "setup", tmp_path / "build", unpacked / "libslm", "-Dtools=false",
                           "-Dexamples=false"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


USER = """
import asyncio
from typing_extensions import assert_type
import slm

with slm.Model("model.gguf") as model, model.session(n_threads=2, kv_type="q8") as session:
    assert_type(model, slm.Model)
    assert_type(session, slm.Session)
    for piece in session.generate("Once", max_tokens=5, temperature=0.5, full="shift"):
        assert_type(piece, str)
    for token in session.generate([1, 2], tokens=True):
        assert_type(token, slm.Token)
    with session.sequence(priority=3, window=256) as sequence:
        assert_type(sequence.priority, int)
        assert_type(sequence.full, str)
        sequence.full = "wait"
        assert_type(sequence.save(form="q8"), bytes)
        assert_type(sequence.logits([1])[0][0], float)
    with session.prefix("Once", "beginning") as prefix:
        assert_type(session.text("upon", prefix=prefix), str)

    async def main() -> None:
        async for piece in session.agenerate("Once"):
            assert_type(piece, str)
        async for token in session.agenerate("Once", tokens=True):
            assert_type(token, slm.Token)
        assert_type(await session.arun(session.sequence, priority=1), slm.Sequence)
    asyncio.run(main())
"""
MISTAKES = {
    'session.text("a", warmth=1)': "call-arg",
    'session.text("a", max_tokens="5")': "arg-type",
    'model.session(n_threads="two")': "arg-type",
    "sequence.priority = 'high'": "assignment",
    "session.restore('text')": "arg-type",
    "slm.saved_info(5)": "arg-type",
}


def mypy(path, *options):
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *options,
                           path], cwd=PACKAGE, capture_output=True, text=True,
                          env={**os.environ, "MYPYPATH": str(PACKAGE)})


def test_types_of_users(tmp_path):
    """What a program gets is typed, and mistakes are found, where mypy is installed."""
    pytest.importorskip("mypy")
    (tmp_path / "right.py").write_text(USER)
    done = mypy(tmp_path / "right.py")
    assert done.returncode == 0, done.stdout
    head = "import slm\nmodel = slm.Model()\nsession = model.session()\nsequence = session.sequence()\n"
    (tmp_path / "wrong.py").write_text(head + "\n".join(MISTAKES) + "\n")
    found = [line.rsplit("[", 1)[1].rstrip("]") for line in mypy(tmp_path / "wrong.py").stdout.splitlines()
             if ": error:" in line]
    assert found == list(MISTAKES.values())


def test_types():
    """The package's annotations hold, where mypy is installed."""
    pytest.importorskip("mypy")
    done = mypy(PACKAGE / "slm")
    assert done.returncode == 0, done.stdout
