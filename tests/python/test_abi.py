# SPDX-License-Identifier: MIT
"""The ctypes mirror against the C headers: layouts, functions, statuses, constants."""
import ctypes
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import slm
from slm import _abi, errors

HEADERS = {path.name: path.read_text() for path in (ROOT / "include" / "slm").glob("*.h")}
ALL_HEADERS = "\n".join(HEADERS.values())
STATUSES = re.findall(r"^    X\((\w+), (-?\d+), \"(.*?)\"\)", HEADERS["base.h"], re.M)
STRUCTS = {
    "slm_error": _abi.Error, "slm_reader": _abi.Reader, "slm_model_options": _abi.ModelOptions,
    "slm_model_info": _abi.ModelInfo, "slm_tensor_info": _abi.TensorInfo,
    "slm_tokenizer_info": _abi.TokenizerInfo, "slm_chat_message": _abi.ChatMessage,
    "slm_param_info": _abi.ParamInfo, "slm_session_options": _abi.SessionOptions,
    "slm_session_memory": _abi.SessionMemory, "slm_generate_options": _abi.GenerateOptions,
    "slm_event": _abi.Event, "slm_sequence_info": _abi.SequenceInfo,
}


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
@pytest.mark.parametrize("name", STRUCTS)
def test_layout(name):
    size, members = golden_layouts()[name]
    struct = STRUCTS[name]
    assert ctypes.sizeof(struct) == size
    assert [(field, getattr(struct, field).offset, getattr(struct, field).size)
            for field, *_ in struct._fields_] == members


def test_functions():
    declared = set(re.findall(r"^SLM_API [^;(]*?\b(slm_\w+)\(", ALL_HEADERS, re.M))
    unused = {"slm_model_retain", "slm_session_get_model",  # Python keeps its own references
              "slm_prefix_create", "slm_prefix_retain", "slm_prefix_get_info", "slm_saved_get_info"}
    assert declared - unused == set(_abi.PLAIN) | set(_abi.CHECKED)


def test_statuses_and_exceptions():
    assert len(STATUSES) > 20
    kinds = {kind.code: kind for kind in slm.SlmError.__subclasses__()}
    for name, value, meaning in STATUSES:
        code = int(value)
        assert _abi.library.slm_status_name(code).decode() == f"SLM_{name}"
        assert _abi.library.slm_status_text(code).decode() == meaning
        if code < 0 or name == "CANCELLED":
            assert kinds.pop(code).status == f"SLM_{name}"
    assert not kinds


def test_constants():
    def constant(name):
        return int(re.search(rf"\bSLM_{name} = (\d+)", ALL_HEADERS)[1])
    for name, value in _abi.SAMPLER_PARAMS.items():
        assert constant(f"SAMPLER_{name.upper()}") == value
    for name, value in _abi.KV_TYPES.items():
        assert constant(f"KV_{name.upper()}") == value
    for name in ("TEXT_ADD_SPECIAL", "TEXT_PARSE_SPECIAL", "TEXT_REPLACE_INVALID",
                 "TEXT_SHOW_SPECIAL", "CHAT_ADD_GENERATION_PROMPT", "CHAT_CONTINUE",
                 "APPEND_LOGITS", "GENERATE_IGNORE_END", "GENERATE_SHOW_SPECIAL", "EVENT_TOKEN",
                 "EVENT_LOGITS", "EVENT_DONE"):
        assert constant(name) == getattr(_abi, name)
    for name, c_name in (("best", "BEST"), ("scalar", "SCALAR"), ("avx2", "AVX2"),
                         ("avx512", "AVX512"), ("neon", "NEON_DOT")):
        assert constant(f"CPU_{c_name}") == _abi.CPU_LEVELS[name]


def test_sampler_parameters():
    info, param, index = _abi.ParamInfo(), ctypes.c_uint32(), 0
    found = {}
    while _abi.call("slm_sampler_get_param_info", index, ctypes.byref(param), info) == _abi.OK:
        found[info.name.decode()] = param.value
        assert (info.type == 2) == (info.name.decode() in _abi.U32_PARAMS)
        index += 1
    assert found == _abi.SAMPLER_PARAMS


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
    assert slm.cpu_level() in _abi.CPU_LEVELS or slm.cpu_level() == "neon_dot"


@pytest.mark.parametrize("library", ["/nonexistent/libslm.so", "libm.so.6"])
def test_a_library_that_is_none_is_an_import_error(library):
    done = subprocess.run([sys.executable, "-c", "import slm"], capture_output=True, text=True,
                          env={**os.environ, "SLM_LIBRARY": library})
    assert done.returncode == 1 and "ImportError" in done.stderr and library in done.stderr
