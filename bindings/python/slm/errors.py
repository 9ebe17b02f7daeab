# SPDX-License-Identifier: MIT
"""One exception for each error status of the C library (SLM_STATUS_LIST in slm/base.h)."""
from __future__ import annotations

from typing import ClassVar


class SlmError(Exception):
    """Base of all errors of this package.

    ``code`` is the status as a number, ``name`` its name in C, ``message`` one sentence, and ``offset``
    the position in the file, text, blob or list of ids that the error is about, or None.
    """

    code: int = 0
    name: str = "SLM_ERR_UNKNOWN"
    meaning: ClassVar[str] = "an error"

    def __init__(self, message: str = "", offset: int | None = None) -> None:
        super().__init__(message or self.meaning)
        self.message = message or self.meaning
        self.offset = offset

    def __str__(self) -> str:
        if self.offset is None or str(self.offset) in self.message:
            return self.message
        return f"{self.message} (at {self.offset})"


class CancelledError(SlmError):
    """Stopped because it was asked to; the object is consistent."""

    code, name = 3, "SLM_CANCELLED"


class InvalidArgumentError(SlmError, ValueError):
    """An argument is missing, out of range or contradictory."""

    code, name = -1, "SLM_ERR_INVALID_ARGUMENT"


class InvalidUtf8Error(SlmError, ValueError):
    """The text is not valid UTF-8; the offset says where."""

    code, name = -2, "SLM_ERR_INVALID_UTF8"


class OutOfRangeError(SlmError, IndexError):
    """An index, position or token id lies outside what exists."""

    code, name = -3, "SLM_ERR_OUT_OF_RANGE"


class StaleIdError(SlmError, LookupError):
    """The sequence is unknown or was removed."""

    code, name = -4, "SLM_ERR_STALE_ID"


class BufferTooSmallError(SlmError):
    """A buffer is too small."""

    code, name = -5, "SLM_ERR_BUFFER_TOO_SMALL"


class OutOfMemoryError(SlmError, MemoryError):
    """The allocator had no memory."""

    code, name = -20, "SLM_ERR_OUT_OF_MEMORY"


class BudgetError(SlmError, MemoryError):
    """The memory budget or the sequence pool given at creation is used up."""

    code, name = -21, "SLM_ERR_BUDGET"


class IoError(SlmError, OSError):
    """Reading failed."""

    code, name = -30, "SLM_ERR_IO"


class NotFoundError(SlmError, FileNotFoundError):
    """There is no such file or entry."""

    code, name = -31, "SLM_ERR_NOT_FOUND"


class FormatError(SlmError, ValueError):
    """The data is malformed; the offset says where."""

    code, name = -40, "SLM_ERR_FORMAT"


class TruncatedError(SlmError, ValueError):
    """The data ends too early; the offset says where."""

    code, name = -41, "SLM_ERR_TRUNCATED"


class LimitError(SlmError, ValueError):
    """The data exceeds a limit set by the host or by the library."""

    code, name = -42, "SLM_ERR_LIMIT"


class ChecksumError(SlmError, ValueError):
    """The data was altered: its checksum does not match."""

    code, name = -43, "SLM_ERR_CHECKSUM"


class MismatchError(SlmError, ValueError):
    """The data belongs to another model or another configuration."""

    code, name = -44, "SLM_ERR_MISMATCH"


class UnsupportedError(SlmError):
    """Valid, but this library cannot do it; the message names it."""

    code, name = -60, "SLM_ERR_UNSUPPORTED"


class ContextFullError(SlmError):
    """The context has no room for this many tokens."""

    code, name = -80, "SLM_ERR_CONTEXT_FULL"


class BusyError(SlmError):
    """Called from inside a callback or while another call is in progress."""

    code, name = -81, "SLM_ERR_BUSY"


class StateError(SlmError):
    """The call does not fit the object's present state, for example because it was closed."""

    code, name = -82, "SLM_ERR_STATE"


class NotFiniteError(SlmError, ArithmeticError):
    """The computation gave a value that is infinite or not a number."""

    code, name = -83, "SLM_ERR_NOT_FINITE"


class OperatingSystemError(SlmError, OSError):
    """The operating system refused a resource such as a thread."""

    code, name = -90, "SLM_ERR_SYSTEM"


class InternalError(SlmError):
    """A defect of the library itself; please report it."""

    code, name = -99, "SLM_ERR_INTERNAL"


def _all_errors() -> dict[int, type[SlmError]]:
    return {kind.code: kind for kind in SlmError.__subclasses__()}


for _kind in _all_errors().values():
    _kind.meaning = (_kind.__doc__ or "").rstrip(".")


def error_from_status(code: int, message: str = "", offset: int | None = None) -> SlmError:
    """Makes the exception that belongs to a status."""
    kind = _all_errors().get(code)
    if kind is not None:
        return kind(message, offset)
    error = SlmError(message, offset)
    error.code = code
    return error
