# SPDX-License-Identifier: MIT
"""Logits: rows of float32 as Python and NumPy see them.

The library's own rows are overwritten by the next call that changes its session. So results are
copied once, into memory of Python's that NumPy then shares. What is lent without that copy
(Sequence.visit_logits) is lent for the length of one function call.
"""
from __future__ import annotations

import ctypes
import functools
import gc
import sys
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, overload

from . import _abi

if TYPE_CHECKING:
    import numpy as np  # type: ignore[import-not-found,unused-ignore]

    Row = memoryview[float]
else:
    Row = memoryview


class Logits(Sequence[Row]):
    """Logits after each of some tokens, not normalised: rows of n_vocab float32, each a memoryview
    of format "f". They are the caller's, to keep and to change.

    numpy.asarray(logits), or logits.numpy(), is a float32 array [rows, n_vocab] of the same memory.
    """

    def __init__(self, n_rows: int, n_vocab: int) -> None:
        self._memory = bytearray(4 * n_rows * n_vocab)
        self.shape = (n_rows, n_vocab)

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row, width = range(len(self))[index], 4 * self.shape[1]
        return memoryview(self._memory)[row * width : (row + 1) * width].cast("f")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Logits, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<slm.Logits {self.shape[0]} x {self.shape[1]}>"

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's protocol: the memory itself."""
        order = "<" if sys.byteorder == "little" else ">"
        return {"version": 3, "shape": self.shape, "typestr": f"{order}f4", "data": self._memory}

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A NumPy array [rows, n_vocab] of the same memory. Needs NumPy."""
        import numpy
        return numpy.asarray(self)


Visit = Callable[[int, Row], object]


class Request:
    """Logits that a call waits for: those from the position `first` on, each shown to `visit`."""

    def __init__(self, first: int, n_tokens: int, visit: Visit) -> None:
        self.first = first
        self.n_missing = n_tokens
        self.error: BaseException | None = None
        self._visit = visit

    def take(self, event: _abi.Event, session: _abi.Handle) -> None:
        """Shows the row of an event, which is valid as long as nothing changes the session."""
        self.n_missing -= 1
        if self.error is not None:
            return
        root = _row_type(event.n_logits).from_address(event.logits)
        root.session = session  # a view that is kept by mistake may show other numbers, but not crash
        leak = weakref.ref(root)
        view = memoryview(root).cast("B").cast("f").toreadonly()
        del root
        try:
            self._visit(event.position - self.first, view)
        except BaseException as problem:  # the other events of the step come first
            self.error = problem
            return
        del view
        if leak() is not None:
            gc.collect()  # it may hang in a cycle, or the interpreter may not count references
        if leak() is not None:
            self.error = BufferError("a view of the logits outlives the function that it was lent "
                                     "to: keep a copy instead")


@functools.lru_cache(maxsize=16)
def _row_type(n_logits: int) -> Any:
    """A type of its own, since plain ctypes arrays take no weak references and no attributes."""
    return type("Row", (ctypes.c_float * n_logits,), {})
