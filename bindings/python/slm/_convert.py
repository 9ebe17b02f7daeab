# SPDX-License-Identifier: MIT
"""Python values to C and back, with errors that name the value."""
from __future__ import annotations

import ctypes
import operator
import os
from typing import Any, Iterable, Mapping, TypeVar, Union

from . import _abi
from .errors import InvalidArgumentError, StateError

PathName = Union[str, "os.PathLike[str]"]
Text = Union[str, bytes, bytearray]
TEXT_TYPES = (str, bytes, bytearray)  # other prompts are token ids
Prompt = Union[Text, Iterable[int]]
Self = TypeVar("Self", bound="Owner")

U32_MAX = 2**32 - 1


# ---- numbers and names ----


def whole(name: str, value: Any, minimum: int = 0, maximum: int = U32_MAX) -> int:
    """A whole number of any type that is one, NumPy's among them."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None
    if not minimum <= number <= maximum:
        raise InvalidArgumentError(f"{name} must be from {minimum} to {maximum}, not {number}")
    return number


def count(name: str, value: Any, maximum: int = U32_MAX) -> int:
    """A C option whose 0 means the default: here that is None, and 0 is a mistake."""
    return 0 if value is None else whole(name, value, 1, maximum)


def real(name: str, value: Any) -> float:
    if isinstance(value, (str, bytes)):  # float() would read them
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
    except OverflowError:
        raise InvalidArgumentError(f"{name} is too large") from None


def choice(name: str, value: Any, choices: Mapping[str, int]) -> int:
    """A constant by its name; None is the one whose value is 0."""
    if value is None:
        return 0
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, not {type(value).__name__}")
    if value not in choices:
        raise InvalidArgumentError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return choices[value]


def name_of(value: int, choices: Mapping[str, int]) -> str:
    """The other way round; the number of one that this package does not know."""
    return next((name for name, known in choices.items() if known == value), str(value))


def refuse_unknown(what: str, settings: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TypeError(f"{what} has no setting {', '.join(unknown)}")


# ---- text, bytes, ids ----


def encode_path(path: PathName) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise InvalidArgumentError("a path cannot hold a NUL character")
    return encoded


def raw_bytes(data: bytes | bytearray | memoryview, what: str) -> bytes:
    """bytes() alone would make 5 bytes of the number 5."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} cannot be of type {type(data).__name__}")
    return bytes(data)


def utf8(text: Text, what: str = "text") -> bytes:
    """Lone surrogates become bytes that are not UTF-8, which the library then refuses."""
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    return raw_bytes(text, what)


def c_text(text: Text, what: str) -> bytes:
    """Text that C takes up to its NUL character."""
    data = utf8(text, what)
    if b"\0" in data:
        raise InvalidArgumentError(f"{what} cannot hold a NUL character")
    return data


def id_array(ids: Iterable[int]) -> ctypes.Array[ctypes.c_int32]:
    """Token ids for C, from anything that gives whole numbers, NumPy arrays among them."""
    try:
        values = [operator.index(value) for value in ids]
    except TypeError as problem:
        raise TypeError(f"token ids must be whole numbers: {problem}") from None
    for value in values:
        if not -(2**31) <= value < 2**31:
            raise InvalidArgumentError(f"{value} is no token id")
    return (ctypes.c_int32 * len(values))(*values)


def read_ids(function: str, *arguments: Any, guess: int) -> list[int]:
    """Calls a function that writes ids to a buffer; a second time if they are more than guessed."""
    n_ids = ctypes.c_size_t(guess)
    while True:
        capacity = n_ids.value
        ids = (ctypes.c_int32 * capacity)()
        status = _abi.call(function, *arguments, ids, capacity, ctypes.byref(n_ids),
                           allowed=(_abi.BUFFER_TOO_SMALL,))
        if status == _abi.OK:
            return list(ids[: n_ids.value])


def read_bytes(function: str, *arguments: Any, guess: int) -> bytes:
    """The same for bytes."""
    length = ctypes.c_size_t(guess)
    while True:
        capacity = length.value
        text = ctypes.create_string_buffer(max(capacity, 1))
        status = _abi.call(function, *arguments, text, capacity, ctypes.byref(length),
                           allowed=(_abi.BUFFER_TOO_SMALL,))
        if status == _abi.OK:
            return text.raw[: length.value]


# ---- C objects ----


class Owner:
    """What owns a C object: closed by close(), by the end of a `with` block, or with its last
    reference."""

    _handle: _abi.Handle | None = None

    def _use(self) -> _abi.Handle:
        """The handle for a call, which keeps the C object until the call is over."""
        handle = self._handle
        if handle is None:
            raise StateError(f"the {type(self).__name__.lower()} was closed")
        return handle

    @property
    def handle(self) -> int:
        """The C object, for code that calls the library by itself."""
        return self._use()._as_parameter_

    def close(self) -> None:
        """Gives the C object back. What was made of it goes on working."""
        self._handle = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
