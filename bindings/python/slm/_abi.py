# SPDX-License-Identifier: MIT
"""The C interface as ctypes sees it: structs, functions, and finding the library.

Lifetimes: a C object is held by a Handle, and a call is given the Handle itself. So an object that is
closed on one thread while another is in a call ends with that call, not before.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from ctypes import (
    CFUNCTYPE, POINTER, c_char_p, c_double, c_float, c_int32, c_size_t, c_uint32, c_uint64, c_void_p,
)
from pathlib import Path
from typing import Any, Callable

from .errors import SlmError, error_from_status

VERSION = (0, 1)  # of the headers that this file mirrors
NO_OFFSET = 2**64 - 1

# Statuses that are no errors.
OK, MORE, END, CANCELLED = 0, 1, 2, 3
BUFFER_TOO_SMALL = -5
IO = -30

MODEL_COPY = 1
TEXT_ADD_SPECIAL, TEXT_PARSE_SPECIAL, TEXT_REPLACE_INVALID, TEXT_SHOW_SPECIAL = 1, 2, 4, 8
CHAT_ADD_GENERATION_PROMPT, CHAT_CONTINUE = 1, 2
APPEND_LOGITS = 1
GENERATE_IGNORE_END, GENERATE_SHOW_SPECIAL = 1, 2
EVENT_TOKEN, EVENT_LOGITS, EVENT_DONE, EVENT_FULL, EVENT_SHIFT = 1, 2, 3, 4, 5
REPLACE_SHIFT = 1
KV_TYPES = {"f16": 0, "f32": 1, "q8": 2, "q4": 3}
CPU_LEVELS = {"best": 0, "scalar": 1, "avx2": 10, "avx-vnni": 15, "avx512": 20,
              "neon": 30, "neon-dot": 40, "neon-i8mm": 50}
GUESS_METHODS = {"lookup": 0, "none": 1, "draft": 2}
SPECULATE_ALWAYS = 1
FULL_POLICIES = {"end": 0, "shift": 1, "wait": 2}
SAVE_FORMS = {"cache": 0, "q8": 1, "q4": 2, "tokens": 3}
PREFIX_NAME_BYTES = 63
DONE_REASONS = {1: "length", 2: "end", 3: "stop", 4: "context", 5: "cancelled", 6: "error"}
SAMPLER_PARAMS = {
    "temperature": 1, "top_k": 2, "top_p": 3, "min_p": 4, "seed": 5, "repetition_penalty": 16,
    "frequency_penalty": 17, "presence_penalty": 18, "penalty_last_n": 19,
}
SEQUENCE_PARAMS = {"priority": 1, "full": 2, "keep": 3, "drop": 4, "window": 5, "sinks": 6}
U32_PARAMS = {"top_k", "seed", "penalty_last_n"}

ReadFunction = CFUNCTYPE(c_int32, c_void_p, c_uint64, c_void_p, c_size_t)
ProgressFunction = CFUNCTYPE(c_int32, c_void_p, c_float)


class SizedStruct(ctypes.Structure):
    """A struct whose first member is its size."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**members)
        self.struct_size = ctypes.sizeof(self)


class Error(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("code", c_int32), ("offset", c_uint64),
        ("message", ctypes.c_char * 240),
    ]


class Reader(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("reserved0", c_uint32), ("size", c_uint64), ("ctx", c_void_p),
        ("read", ReadFunction),
    ]


class ModelOptions(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_threads", c_uint32), ("max_tensors", c_uint64),
        ("max_string_bytes", c_uint64), ("max_memory_bytes", c_uint64), ("host", c_void_p),
        ("progress_ctx", c_void_p), ("progress", ProgressFunction), ("reserved0", c_void_p),
        ("flags", c_uint32), ("reserved1", c_uint32),
    ]


class ModelInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_layers", c_uint32), ("width", c_uint32),
        ("n_heads", c_uint32), ("n_kv_heads", c_uint32), ("head_width", c_uint32),
        ("ffn_width", c_uint32), ("n_vocab", c_uint32), ("context_length", c_uint32),
        ("n_tensors", c_uint32), ("n_parameters", c_uint64), ("file_bytes", c_uint64),
        ("weight_bytes", c_uint64), ("memory_bytes", c_uint64), ("architecture", c_char_p),
        ("name", c_char_p), ("mapped_bytes", c_uint64),
    ]


class TensorInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_dims", c_uint32), ("dims", c_uint64 * 4),
        ("bytes", c_uint64), ("name", c_char_p), ("type", c_char_p),
    ]


class TokenizerInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_vocab", c_uint32), ("bos", c_int32), ("eos", c_int32),
        ("eot", c_int32), ("unk", c_int32), ("adds_bos", c_uint32), ("adds_eos", c_uint32),
        ("kind", c_char_p), ("pre", c_char_p),
    ]


class ChatMessage(ctypes.Structure):
    _fields_ = [("role", c_char_p), ("content", c_char_p), ("content_length", c_size_t)]


class ParamInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("type", c_uint32), ("minimum", c_double),
        ("maximum", c_double), ("default_value", c_double), ("name", c_char_p),
        ("reserved0", c_void_p),
    ]


class SessionOptions(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_threads", c_uint32), ("context_length", c_uint32),
        ("n_sequences", c_uint32), ("pool_tokens", c_uint32), ("batch_tokens", c_uint32),
        ("logit_rows", c_uint32), ("kv_type", c_uint32), ("cpu_level", c_uint32),
        ("top_logprobs", c_uint32), ("max_memory_bytes", c_uint64), ("host", c_void_p),
        ("reserved0", c_void_p), ("n_guesses", c_uint32), ("reserved1", c_uint32),
        ("draft_model", c_void_p),
    ]


class SessionMemory(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_pages", c_uint32), ("total_bytes", c_uint64),
        ("kv_bytes", c_uint64), ("scratch_bytes", c_uint64), ("logit_bytes", c_uint64),
        ("page_bytes", c_uint64),
    ]


class GenerateOptions(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("max_tokens", c_uint32), ("flags", c_uint32),
        ("n_top", c_uint32), ("stop", POINTER(c_char_p)), ("n_stop", c_uint32),
        ("reserved0", c_uint32),
    ]


class Event(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("type", c_uint32), ("sequence", c_uint64),
        ("position", c_uint32), ("token", c_int32), ("text", c_void_p), ("text_length", c_size_t),
        ("logprob", c_float), ("n_top", c_uint32), ("top_tokens", POINTER(c_int32)),
        ("top_logprobs", POINTER(c_float)), ("logits", c_void_p), ("reserved0", c_void_p),
        ("n_logits", c_uint32), ("reason", c_uint32), ("status", c_int32),
        ("n_generated", c_uint32), ("n_removed", c_uint32), ("reserved1", c_uint32),
    ]


class SequenceInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_tokens", c_uint32), ("n_computed", c_uint32),
        ("is_generating", c_uint32), ("tokens", POINTER(c_int32)), ("n_pages", c_uint32),
        ("n_prefix_tokens", c_uint32),
    ]


class SpeculateOptions(SizedStruct):
    """Of slm/experimental/speculate.h, as Speculation."""

    _fields_ = [
        ("struct_size", c_uint32), ("method", c_uint32), ("flags", c_uint32),
        ("most_tokens", c_uint32), ("least_match", c_uint32), ("most_match", c_uint32),
    ]


class Speculation(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("is_on", c_uint32), ("n_tokens", c_uint64),
        ("n_batches", c_uint64), ("n_guessed", c_uint64), ("n_accepted", c_uint64),
        ("row_cost", c_double),
    ]


class PrefixInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("n_tokens", c_uint32), ("kv_type", c_uint32),
        ("reserved0", c_uint32), ("memory_bytes", c_uint64), ("name", c_char_p),
        ("tokens", POINTER(c_int32)),
    ]


class SaveOptions(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("form", c_uint32), ("whole", c_uint32), ("reserved0", c_uint32),
    ]


class SavedInfo(SizedStruct):
    _fields_ = [
        ("struct_size", c_uint32), ("format", c_uint32), ("kv_type", c_uint32),
        ("n_tokens", c_uint32), ("n_cached", c_uint32), ("n_prefix_tokens", c_uint32),
        ("model", c_uint64), ("prefix", ctypes.c_char * (PREFIX_NAME_BYTES + 1)),
    ]


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "slm_error": Error, "slm_reader": Reader, "slm_model_options": ModelOptions,
    "slm_model_info": ModelInfo, "slm_tensor_info": TensorInfo,
    "slm_tokenizer_info": TokenizerInfo, "slm_chat_message": ChatMessage,
    "slm_param_info": ParamInfo, "slm_session_options": SessionOptions,
    "slm_session_memory": SessionMemory, "slm_generate_options": GenerateOptions,
    "slm_event": Event, "slm_sequence_info": SequenceInfo, "slm_prefix_info": PrefixInfo,
    "slm_save_options": SaveOptions, "slm_saved_info": SavedInfo,
}


# Result and parameters of each function. All but those in PLAIN end with a slm_error pointer, which
# `call` adds.
_handle, _out, _ids = c_void_p, POINTER(c_void_p), POINTER(c_int32)
_sizes, _texts = POINTER(c_size_t), POINTER(c_void_p)
_u32 = POINTER(c_uint32)
PLAIN: dict[str, tuple[Any, list[Any]]] = {
    "slm_layout_get": (c_int32, [c_uint32, POINTER(c_char_p), _u32, _u32]),
    "slm_numerics_version": (c_uint32, []),
    "slm_cpu_level": (c_uint32, []),
    "slm_cpu_level_name": (c_char_p, [c_uint32]),
    "slm_status_name": (c_char_p, [c_int32]),
    "slm_status_text": (c_char_p, [c_int32]),
    "slm_model_release": (None, [_handle]),
    "slm_model_get_tokenizer": (_handle, [_handle]),
    "slm_tokenizer_retain": (_handle, [_handle]),
    "slm_tokenizer_release": (None, [_handle]),
    "slm_tokenizer_is_end": (c_int32, [_handle, c_int32]),
    "slm_sampler_release": (None, [_handle]),
    "slm_session_release": (None, [_handle]),
    "slm_session_cancel": (None, [_handle]),
    "slm_session_cancel_sequence": (None, [_handle, c_uint64]),
    "slm_prefix_release": (None, [_handle]),
}
CHECKED: dict[str, list[Any]] = {
    "slm_model_load": [c_char_p, POINTER(ModelOptions), _out],
    "slm_model_load_memory": [c_void_p, c_size_t, POINTER(ModelOptions), _out],
    "slm_model_load_reader": [POINTER(Reader), POINTER(ModelOptions), _out],
    "slm_model_get_info": [_handle, POINTER(ModelInfo)],
    "slm_model_get_metadata": [_handle, c_uint32, POINTER(c_char_p), POINTER(c_char_p)],
    "slm_model_get_tensor": [_handle, c_uint32, POINTER(TensorInfo)],
    "slm_tokenizer_load": [c_char_p, POINTER(ModelOptions), _out],
    "slm_tokenizer_encode": [_handle, c_char_p, c_size_t, c_uint32, _ids, c_size_t, _sizes],
    "slm_tokenizer_decode": [_handle, _ids, c_size_t, c_uint32, c_void_p, c_size_t, _sizes],
    "slm_tokenizer_get_piece": [_handle, c_int32, _texts, _sizes],
    "slm_tokenizer_get_info": [_handle, POINTER(TokenizerInfo)],
    "slm_chat_get_format": [_handle, POINTER(c_char_p)],
    "slm_chat_render": [_handle, POINTER(ChatMessage), c_size_t, c_uint32, c_void_p, c_size_t,
                        _sizes],
    "slm_chat_encode": [_handle, POINTER(ChatMessage), c_size_t, c_uint32, _ids, c_size_t, _sizes],
    "slm_sampler_create": [c_uint32, c_void_p, _out],
    "slm_sampler_set_f32": [_handle, c_uint32, c_float],
    "slm_sampler_set_u32": [_handle, c_uint32, c_uint32],
    "slm_sampler_get_f32": [_handle, c_uint32, POINTER(c_float)],
    "slm_sampler_get_u32": [_handle, c_uint32, POINTER(c_uint32)],
    "slm_sampler_get_param_info": [c_uint32, POINTER(c_uint32), POINTER(ParamInfo)],
    "slm_sampler_sample": [_handle, c_void_p, _ids, c_size_t, c_uint64, _ids, POINTER(c_float)],
    "slm_sampler_get_top": [_handle, c_void_p, c_uint32, _ids, POINTER(c_float)],
    "slm_session_estimate": [_handle, POINTER(SessionOptions), POINTER(SessionMemory)],
    "slm_session_create": [_handle, POINTER(SessionOptions), _out],
    "slm_session_add_sequence": [_handle, POINTER(c_uint64)],
    "slm_session_fork_sequence": [_handle, c_uint64, POINTER(c_uint64)],
    "slm_session_remove_sequence": [_handle, c_uint64],
    "slm_session_append": [_handle, c_uint64, _ids, c_size_t, c_uint32],
    "slm_session_append_text": [_handle, c_uint64, c_char_p, c_size_t, c_uint32],
    "slm_session_set_sampler": [_handle, c_uint64, _handle],
    "slm_session_generate": [_handle, c_uint64, POINTER(GenerateOptions)],
    "slm_session_step": [_handle, c_uint64],
    "slm_session_get_event": [_handle, POINTER(Event)],
    "slm_session_get_sequence_info": [_handle, c_uint64, POINTER(SequenceInfo)],
    "slm_session_truncate_sequence": [_handle, c_uint64, c_uint32],
    "slm_session_set_u32": [_handle, c_uint64, c_uint32, c_uint32],
    "slm_session_get_u32": [_handle, c_uint64, c_uint32, _u32],
    "slm_session_get_param_info": [c_uint32, _u32, POINTER(ParamInfo)],
    "slm_session_replace": [_handle, c_uint64, c_uint32, c_uint32, _ids, c_size_t, c_uint32],
    "slm_prefix_create": [_handle, c_uint64, c_char_p, _out],
    "slm_prefix_get_info": [_handle, POINTER(PrefixInfo)],
    "slm_session_append_prefix": [_handle, c_uint64, _handle],
    "slm_session_save_sequence": [_handle, c_uint64, POINTER(SaveOptions), c_void_p, c_size_t,
                                  _sizes],
    "slm_session_restore_sequence": [_handle, c_void_p, c_size_t, _handle, POINTER(c_uint64)],
    "slm_saved_get_info": [c_void_p, c_size_t, POINTER(SavedInfo)],
    "slm_x_convert_file": [c_char_p, c_char_p, POINTER(ModelOptions)],
    "slm_x_session_speculate": [_handle, c_uint64, POINTER(SpeculateOptions)],
    "slm_x_session_get_speculation": [_handle, c_uint64, POINTER(Speculation)],
}


def _find_library() -> str:
    """SLM_LIBRARY, else the library in this package, else one that the system knows."""
    named = os.environ.get("SLM_LIBRARY")
    if named:
        return named
    suffix = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
    for found in sorted(Path(__file__).parent.glob(f"*slm*.{suffix}*")):
        return str(found)
    system = ctypes.util.find_library("slm")
    if system:
        return system
    raise ImportError("libslm was not found: install the package, or name the library in SLM_LIBRARY")


def check_version(library: ctypes.CDLL) -> None:
    library.slm_version.restype, library.slm_version.argtypes = c_uint32, []
    version = library.slm_version()
    major, minor = version // 1_000_000, version // 1000 % 1000
    if major != VERSION[0] or minor < VERSION[1] or (major == 0 and minor != VERSION[1]):
        raise ImportError(f"it is version {major}.{minor}, and this package needs "
                          f"{VERSION[0]}.{VERSION[1]}")


def check_layouts(library: ctypes.CDLL, structs: dict[str, type[ctypes.Structure]]) -> None:
    """Every struct lies in memory as the library has it. Later versions may append members to those
    that begin with their size."""
    theirs: dict[str, tuple[int, int]] = {}
    name, offset, size = c_char_p(), c_uint32(), c_uint32()
    while library.slm_layout_get(len(theirs), ctypes.byref(name), ctypes.byref(offset),
                                 ctypes.byref(size)) == OK:
        theirs[(name.value or b"").decode()] = (offset.value, size.value)
    for struct_name, struct in structs.items():
        _, their_size = theirs.get(struct_name, (0, 0))
        my_size = ctypes.sizeof(struct)
        may_grow = issubclass(struct, SizedStruct)
        if their_size < my_size or (their_size > my_size and not may_grow):
            raise ImportError(f"{struct_name} takes {their_size} bytes there and {my_size} here")
        for field, *_ in struct._fields_:
            member = getattr(struct, field)
            their_place = theirs.get(f"{struct_name}.{field}")
            if their_place != (member.offset, member.size):
                raise ImportError(f"{struct_name}.{field} lies at {their_place} (offset, size) there "
                                  f"and at {(member.offset, member.size)} here")


def _load() -> ctypes.CDLL:
    path = _find_library()
    try:
        library = ctypes.CDLL(path)
        check_version(library)
        for name, (result, parameters) in PLAIN.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
        for name, parameters in CHECKED.items():
            function = getattr(library, name)
            function.restype, function.argtypes = c_int32, [*parameters, POINTER(Error)]
        check_layouts(library, STRUCTS)
    except (OSError, AttributeError, ImportError) as problem:
        raise ImportError(f"{path} cannot be used as libslm: {problem}") from problem
    return library


library = _load()


class Handle:
    """One reference to a C object, given back when nobody holds this any more, calls included."""

    __slots__ = ("_as_parameter_", "_release", "__weakref__")

    def __init__(self, value: int, release: Callable[[int], object]) -> None:
        self._as_parameter_ = value
        self._release = release

    def __del__(self) -> None:
        self._release(self._as_parameter_)


def make_error(code: int, error: Error) -> SlmError:
    offset = None if error.offset == NO_OFFSET else int(error.offset)
    return error_from_status(code, error.message.decode("utf-8", "replace"), offset)


def call(name: str, *arguments: Any, allowed: tuple[int, ...] = ()) -> int:
    """Calls a function and returns its status; an error that is not `allowed` is raised."""
    error = Error(offset=NO_OFFSET)
    status: int = getattr(library, name)(*arguments, ctypes.byref(error))
    if status < 0 and status not in allowed:
        raise make_error(status, error)
    return status


def create(name: str, *arguments: Any, release: str) -> Handle | None:
    """Calls a function whose last result is a new object; None if it was cancelled."""
    out = c_void_p()
    call(name, *arguments, ctypes.byref(out))
    return Handle(out.value, getattr(library, release)) if out.value else None
