# SPDX-License-Identifier: MIT
"""Samplers: from logits to tokens."""
from __future__ import annotations

import ctypes
import threading
from array import array
from typing import TYPE_CHECKING, Any, Iterable

from . import _abi
from ._convert import Owner, id_array, real, whole
from ._settings import Sampling
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Unpack


def _param(name: str) -> int:
    param = _abi.SAMPLER_PARAMS.get(name)
    if param is None:
        raise TypeError(f"a sampler has no setting {name}")
    return param


def _float_array(values: Iterable[float]) -> ctypes.Array[ctypes.c_float]:
    """Floats for C: the caller's own memory if it is a buffer of them, such as a NumPy array."""
    try:
        view = memoryview(values)  # type: ignore[arg-type]
    except TypeError:
        numbers = array("f", values)
        return (ctypes.c_float * len(numbers)).from_buffer(numbers)
    if view.format == "f" and view.contiguous and view.ndim == 1:
        kind = ctypes.c_float * len(view)
        return kind.from_buffer_copy(view) if view.readonly else kind.from_buffer(view)
    return _float_array(view.tolist())


class Sampler(Owner):
    """Chooses tokens from logits; a session makes its own, this one is for logits at hand."""

    def __init__(self, n_vocab: int, **settings: Unpack[Sampling]) -> None:
        self._lock = threading.Lock()
        self._n_vocab = whole("n_vocab", n_vocab, 1)
        self._handle = _abi.create("slm_sampler_create", self._n_vocab, None,
                                   release="slm_sampler_release")
        for name, value in settings.items():
            self.set(name, value)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        if self._handle is None:
            return "<slm.Sampler, closed>"
        settings = "".join(f", {name}={self.get(name):g}" for name in _abi.SAMPLER_PARAMS)
        return f"slm.Sampler({self._n_vocab}{settings})"

    def set(self, name: str, value: float) -> None:
        """Sets a parameter by its name in Sampling."""
        param = _param(name)
        with self._lock:
            if name in _abi.U32_PARAMS:
                _abi.call("slm_sampler_set_u32", self._use(), param, whole(name, value))
            else:
                _abi.call("slm_sampler_set_f32", self._use(), param, real(name, value))

    def get(self, name: str) -> float:
        """Reads a parameter."""
        param, is_whole = _param(name), name in _abi.U32_PARAMS
        value: Any = ctypes.c_uint32() if is_whole else ctypes.c_float()
        with self._lock:
            _abi.call("slm_sampler_get_u32" if is_whole else "slm_sampler_get_f32", self._use(),
                      param, ctypes.byref(value))
        result: float = value.value
        return result

    def _logits(self, logits: Iterable[float]) -> ctypes.Array[ctypes.c_float]:
        values = _float_array(logits)
        if len(values) != self._n_vocab:
            raise InvalidArgumentError(f"{self._n_vocab} logits are expected, not {len(values)}")
        return values

    def sample(self, logits: Iterable[float], history: Iterable[int] = (),
               draw: int = 0) -> tuple[int, float]:
        """Chooses a token: (id, log-probability). The same seed and draw give the same token."""
        tokens, token, logprob = id_array(history), ctypes.c_int32(), ctypes.c_float()
        values, draw = self._logits(logits), whole("draw", draw, 0, 2**64 - 1)
        with self._lock:
            _abi.call("slm_sampler_sample", self._use(), values, tokens, len(tokens), draw,
                      ctypes.byref(token), ctypes.byref(logprob))
        return token.value, logprob.value

    def top(self, logits: Iterable[float], n: int) -> list[tuple[int, float]]:
        """The n most probable tokens with their log-probabilities, best first."""
        n = whole("n", n, 1, 256)
        ids, logprobs = (ctypes.c_int32 * n)(), (ctypes.c_float * n)()
        values = self._logits(logits)
        with self._lock:
            _abi.call("slm_sampler_get_top", self._use(), values, n, ids, logprobs)
        return list(zip(ids, logprobs))
