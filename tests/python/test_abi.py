# SPDX-License-Identifier: MIT
"""The ctypes mirror against the C headers: layouts, functions, statuses, constants."""
import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import slm
from slm import _abi, errors

HEADERS = {path.name: path.read_text() for path in (ROOT / "include" / "slm").glob("*.h")}
ALL_HEADERS = "\n".join(HEADERS.values())
STATUSES = re.findall(r"^    X\((\w+), (-?\d+), \"(.*?)\"\)", HEADERS["base.h"], re.M)
EXPERIMENTAL = "\n".join(path.read_text() for path in
                         (ROOT / "include" / "slm" / "experimental").glob("*.h"))


def golden_layouts():
    """tests/abi/layout.txt: "NAME SIZE" and below it "    MEMBER OFFSET SIZE"."""
    layouts, members = {}, None
    for line in (ROOT / "tests" / "abi" / "layout.txt").read_text().splitlines():
        words = line.split()
        if line.startswith(" ") and members is not None and len(words) == 3:
            members.append((words[0], int(words[1]), int(words[2])))
        elif len(words) == 2 and words[0].startswith("slm_") and words[1].isdigit():
            members = []
            layouts[words[0]] = (int(words[1]), members)
        else:
            members = None
    return layouts


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="the golden layout is 64-bit")
@pytest.mark.parametrize("name", _abi.STRUCTS)
def test_layout(name):
    size, members = golden_layouts()[name]
    struct = _abi.STRUCTS[name]
    assert ctypes.sizeof(struct) == size
    assert [(field, getattr(struct, field).offset, getattr(struct, field).size)
            for field, *_ in struct._fields_] == members


def test_functions():
    declared = set(re.findall(r"^SLM_API [^;(]*?\b(slm_\w+)\(", ALL_HEADERS, re.M))
    # Python keeps its own references; the version is asked for before all else.
    unused = {"slm_model_retain", "slm_prefix_retain", "slm_session_get_model", "slm_version"}
    known = set(_abi.PLAIN) | set(_abi.CHECKED)
    experimental = {name for name in known if name.startswith("slm_x_")}
    assert declared - unused == known - experimental
    # Python has no evaluators, no profiles, and files alone to convert.
    declared = set(re.findall(r"^SLM_API [^;(]*?\b(slm_x_\w+)\(", EXPERIMENTAL, re.M))
    left_out = {name for name in declared if re.search("evaluator|profil|convert$", name)}
    assert declared - left_out == experimental


@pytest.mark.parametrize(("name", "struct"), [("slm_x_speculate_options", _abi.SpeculateOptions),
                                              ("slm_x_speculation", _abi.Speculation)])
def test_experimental_structs(name, struct):
    body = re.search(rf"typedef struct {name} \{{(.*?)\}}", EXPERIMENTAL, re.S)[1]
    kinds = {"uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "double": ctypes.c_double}
    members = re.findall(r"^    (\w+) (\w+);", body, re.M)
    assert [(member, kinds[kind]) for kind, member in members] == struct._fields_


def test_statuses_and_exceptions():
    assert len(STATUSES) > 20
    kinds = {kind.code: kind for kind in slm.SlmError.__subclasses__()}
    for name, value, meaning in STATUSES:
        code = int(value)
        assert _abi.library.slm_status_name(code).decode() == f"SLM_{name}"
        assert _abi.library.slm_status_text(code).decode() == meaning
        if code < 0 or name == "CANCELLED":
            assert kinds.pop(code).name == f"SLM_{name}"
    assert not kinds


def test_constants():
    def constant(name):
        return int(re.search(rf"\bSLM_{name} = (\d+)", ALL_HEADERS + EXPERIMENTAL)[1])
    for name, value in _abi.SAMPLER_PARAMS.items():
        assert constant(f"SAMPLER_{name.upper()}") == value
    for name, value in _abi.KV_TYPES.items():
        assert constant(f"KV_{name.upper()}") == value
    for name in ("MODEL_COPY", "TEXT_ADD_SPECIAL", "TEXT_PARSE_SPECIAL", "TEXT_REPLACE_INVALID",
                 "TEXT_SHOW_SPECIAL", "CHAT_ADD_GENERATION_PROMPT", "CHAT_CONTINUE",
                 "APPEND_LOGITS", "GENERATE_IGNORE_END", "GENERATE_SHOW_SPECIAL", "EVENT_TOKEN",
                 "EVENT_LOGITS", "EVENT_DONE", "EVENT_FULL", "EVENT_SHIFT", "REPLACE_SHIFT"):
        assert constant(name) == getattr(_abi, name)
    assert constant("X_SPECULATE_ALWAYS") == _abi.SPECULATE_ALWAYS
    for prefix, names in (("X_GUESS", _abi.GUESS_METHODS), ("FULL", _abi.FULL_POLICIES), ("SAVE", _abi.SAVE_FORMS),
                          ("SEQUENCE", _abi.SEQUENCE_PARAMS)):
        for name, value in names.items():
            assert constant(f"{prefix}_{name.upper()}") == value
    assert f"SLM_PREFIX_NAME_BYTES {_abi.PREFIX_NAME_BYTES}\n" in ALL_HEADERS
    done = {"length": "LENGTH", "end": "END", "stop": "STOP", "context": "CONTEXT_FULL",
            "cancelled": "CANCELLED", "error": "ERROR"}
    assert {constant(f"DONE_{done[name]}"): name for name in done} == _abi.DONE_REASONS
    for name, value in _abi.CPU_LEVELS.items():
        assert constant(f"CPU_{name.upper().replace('-', '_')}") == value


@pytest.mark.parametrize("function, names, whole", [
    ("slm_sampler_get_param_info", _abi.SAMPLER_PARAMS, _abi.U32_PARAMS),
    ("slm_session_get_param_info", _abi.SEQUENCE_PARAMS, set(_abi.SEQUENCE_PARAMS)),
])
def test_parameters(function, names, whole):
    info, param, found = _abi.ParamInfo(), ctypes.c_uint32(), {}
    while _abi.call(function, len(found), ctypes.byref(param), info) == _abi.OK:
        found[info.name.decode()] = param.value
        assert (info.type == 2) == (info.name.decode() in whole)
    assert found == names


def test_settings_are_those_of_the_library():
    assert set(slm.Sampling.__annotations__) == set(_abi.SAMPLER_PARAMS)
    assert set(slm.SequenceSettings.__annotations__) == set(_abi.SEQUENCE_PARAMS)
    fields = {name for name, *_ in _abi.SessionOptions._fields_}
    hidden = {"struct_size", "host", "reserved0", "reserved1"}
    assert set(slm.SessionSettings.__annotations__) == fields - hidden


@pytest.mark.parametrize("kind, base", [
    (slm.InvalidArgumentError, ValueError), (slm.InvalidUtf8Error, ValueError),
    (slm.OutOfRangeError, IndexError), (slm.StaleIdError, LookupError),
    (slm.OutOfMemoryError, MemoryError), (slm.BudgetError, MemoryError), (slm.IoError, OSError),
    (slm.NotFoundError, FileNotFoundError), (slm.FormatError, ValueError),
    (slm.NotFiniteError, ArithmeticError), (slm.OperatingSystemError, OSError),
])
def test_exceptions_are_also_builtin_ones(kind, base):
    error = kind("words", 5)
    assert isinstance(error, base) and isinstance(error, slm.SlmError)
    assert str(error) == "words (at 5)" and error.offset == 5 and error.code == kind.code
    assert str(kind()) == kind.meaning


def test_a_status_of_a_later_library():
    error = errors.error_from_status(-1234, "words")
    assert type(error) is slm.SlmError and error.code == -1234


def test_versions():
    assert slm.version() == slm.__version__
    assert slm.numerics_version() >= 1
    assert slm.cpu_level() in _abi.CPU_LEVELS


# ---- a library that does not fit ----


def import_error(library):
    done = subprocess.run([sys.executable, "-c", "import slm"], capture_output=True, text=True,
                          env={**os.environ, "SLM_LIBRARY": str(library)})
    assert done.returncode == 1 and "Traceback" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ") and str(library) in last
    return last


@pytest.mark.parametrize("library", ["/nonexistent/libslm.so", "libm.so.6"])
def test_a_library_that_is_none(library):
    assert "cannot be used as libslm" in import_error(library)


@pytest.fixture()
def make_library(tmp_path):
    """Compiles a library that answers some calls itself, and leaves the rest to the one under test."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler")

    def make(source):
        (tmp_path / "other.c").write_text(source)
        path = tmp_path / "libother.so"
        library = Path(os.environ["SLM_LIBRARY"])
        subprocess.run([compiler, "-shared", "-fPIC", "-I", ROOT / "include", tmp_path / "other.c",
                        "-Wl,--no-as-needed", library, f"-Wl,-rpath,{library.parent}", "-o", path],
                       check=True)
        return path
    return make


@pytest.mark.parametrize("version, fits", [
    ("1000", True), ("1999", True), ("0", False), ("2000", False), ("1000000", False)])
def test_another_version(make_library, version, fits):
    library = make_library(f"unsigned slm_version(void) {{ return {version}; }}")
    if fits:
        code = "import slm; print(slm.numerics_version())"
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "SLM_LIBRARY": str(library)})
    else:
        assert "this package needs 0.1" in import_error(library)


LAYOUT = """
#include <dlfcn.h>
#include <string.h>
#include "slm/slm.h"
slm_status slm_layout_get(uint32_t index, const char **name, uint32_t *offset, uint32_t *size)
{
    slm_status (*real)(uint32_t, const char **, uint32_t *, uint32_t *) = dlsym(RTLD_NEXT, "slm_layout_get");
    slm_status status = real(index, name, offset, size);
    if (status == SLM_OK && strcmp(*name, "%s") == 0)
        %s;
    return status;
}
"""


@pytest.mark.parametrize("name, change, words", [
    ("slm_event.status", "*offset += 8", "slm_event.status lies at"),
    ("slm_event.token", "*size = 8", "slm_event.token lies at"),
    ("slm_event.token", '*name = "slm_event.id"', "slm_event.token lies at None"),
    ("slm_sequence_info", "*size -= 8", "slm_sequence_info takes"),
    ("slm_chat_message", "*size += 8", "slm_chat_message takes"),
    ("slm_event", '*name = "slm_occasion"', "slm_event takes 0 bytes"),
])
def test_another_layout(make_library, name, change, words):
    library = make_library("#define _GNU_SOURCE\n" + LAYOUT % (name, change))
    assert words in import_error(library)


def test_structs_of_a_later_version_may_be_longer(make_library):
    library = make_library("#define _GNU_SOURCE\n" + LAYOUT % ("slm_event", "*size += 8"))
    subprocess.run([sys.executable, "-c", "import slm"], check=True,
                   env={**os.environ, "SLM_LIBRARY": str(library)})
