# SPDX-License-Identifier: MIT
"""Texts being written, for `for` and for `async for`."""
from __future__ import annotations

import ctypes
import inspect
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar, Union

from . import _abi
from ._convert import c_text, count, whole
from ._sampler import Sampler
from ._settings import Token
from .errors import (
    BudgetError, BusyError, ContextFullError, StateError, error_from_status,
)

if TYPE_CHECKING:
    from ._sequence import Sequence
    from ._session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """The end of a generation."""

    reason: str
    status: int
    n_generated: int


@dataclass(frozen=True)
class Full:
    """The context is full, and the generation waits for room."""


@dataclass(frozen=True)
class Shift:
    """Old tokens were dropped."""

    n_removed: int


Item = Union[Token, Done, Full, Shift]


class Request:
    """What to generate, checked and in C's form."""

    def __init__(self, n_vocab: int, as_tokens: bool, settings: dict[str, Any]) -> None:
        rest = dict(settings)
        stop = rest.pop("stop", None)
        if stop is None:
            stop = ()
        elif isinstance(stop, (str, bytes)):
            stop = (stop,)
        texts = [c_text(text, "a stop text") for text in stop]
        flags = ((_abi.GENERATE_IGNORE_END if rest.pop("ignore_end", False) else 0)
                 | (_abi.GENERATE_SHOW_SPECIAL if rest.pop("show_special", False) else 0))
        self.as_tokens = as_tokens
        self.on_full: Callable[[Sequence], object] | None = rest.pop("on_full", None)
        if self.on_full is not None and not callable(self.on_full):
            raise TypeError(f"on_full must be a function, not {type(self.on_full).__name__}")
        self.options = _abi.GenerateOptions(
            max_tokens=count("max_tokens", rest.pop("max_tokens", None)), flags=flags,
            n_top=whole("n_top", rest.pop("n_top", 0), 0, 64), n_stop=len(texts),
            stop=(ctypes.c_char_p * len(texts))(*texts),
        )
        unknown = sorted(set(rest) - set(_abi.SAMPLER_PARAMS))
        if unknown:
            raise TypeError(f"a generation has no setting {', '.join(unknown)}")
        self.sampler = Sampler(n_vocab, **rest)


class Generation(Iterator[T], Generic[T]):
    """A text being written: iterate over it, or leave it at any time.

    `finish_reason` and `n_generated` are known at its end: "length", "end", "stop", "context" (full)
    or "cancelled". `n_dropped` counts the old tokens that made room for new ones.
    """

    def __init__(self, sequence: Sequence, request: Request, removes_sequence: bool) -> None:
        self.finish_reason: str | None = None
        self.n_generated = 0
        self.n_dropped = 0
        self._sequence = sequence
        self._as_tokens = request.as_tokens
        self._on_full = request.on_full
        self._removes_sequence = removes_sequence
        self._items: deque[Item] = deque()  # appended to by whoever steps, taken here
        self._serial = sequence._serial
        self._is_waiting = False  # for room
        self._closed = False

    def __repr__(self) -> str:
        return f"<slm.Generation, {self.finish_reason or ('closed' if self._closed else 'going on')}>"

    def __iter__(self) -> Generation[T]:
        return self

    def __next__(self) -> T:
        try:
            while not self._closed:
                item = self._take()
                if item is None:
                    self._advance()
                elif isinstance(item, Full):
                    self._is_waiting = True
                    if self._on_full is None:
                        raise ContextFullError("the context is full, and nobody made room")
                    self._on_full(self._sequence)
                else:
                    values = self._digest(item)
                    if values:
                        return values[0]
        except BaseException as problem:
            if not (self._is_waiting and isinstance(problem, ContextFullError)):
                self.close()
            raise
        raise StopIteration

    def _take(self) -> Item | None:
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def _advance(self) -> None:
        """Does a step, unless another thread's brought something meanwhile."""
        session = self._sequence.session
        with session._lock:
            if not self._items:
                self._check_current()
                if not session._step():
                    self._raise_stuck()

    def _check_current(self) -> None:
        if self._serial != self._sequence._serial:
            raise StateError("the sequence was changed while it generated")

    def _raise_stuck(self) -> None:
        if self._is_waiting:
            raise ContextFullError("the context is full, and nobody made room")
        raise StateError("there is nothing left to compute")

    def _digest(self, item: Item) -> list[T]:
        """What an item gives to the caller: one value or none."""
        value: Any = None
        if isinstance(item, Token):
            self._is_waiting = False
            value = item if self._as_tokens else item.text or None
        elif isinstance(item, Shift):
            self.n_dropped += item.n_removed
        elif isinstance(item, Done):
            self.finish_reason, self.n_generated = item.reason, item.n_generated
            self.close()
            if item.reason == "error":
                raise error_from_status(item.status)
        return [] if value is None else [value]

    def cancel(self) -> None:
        """Stops this generation; from any thread. What is iterated next is its end."""
        if not self._closed and self._serial == self._sequence._serial:
            self._sequence.cancel()

    def close(self) -> None:
        """Ends the generation here, and gives a sequence of its own back."""
        if not self._closed:
            self._closed = True
            self._sequence._leave(None if self._removes_sequence else self._serial)

    def __enter__(self) -> Generation[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) is False:
            self.close()


class AsyncGeneration(AsyncIterator[T], Generic[T]):
    """A text being written, for `async for`. All those of a session are computed together.

    It begins with the first `anext`. When that task is cancelled the generation ends, and others do not
    notice. See Generation for the attributes.
    """

    def __init__(self, session: Session, start: Callable[[], Generation[T]]) -> None:
        self._session = session
        self._start = start
        self._generation: Generation[T] | None = None
        self._is_running = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<slm.AsyncGeneration, {self.finish_reason or ('closed' if self._closed else 'open')}>"

    @property
    def finish_reason(self) -> str | None:
        return None if self._generation is None else self._generation.finish_reason

    @property
    def n_generated(self) -> int:
        return 0 if self._generation is None else self._generation.n_generated

    @property
    def n_dropped(self) -> int:
        return 0 if self._generation is None else self._generation.n_dropped

    def __aiter__(self) -> AsyncGeneration[T]:
        return self

    async def __anext__(self) -> T:
        if self._is_running:
            raise BusyError("another task waits for this generation")
        self._is_running = True
        try:
            while not self._closed:
                values = await self._next_values()
                if values:
                    return values[0]
        except BaseException as problem:
            generation = self._generation
            if not (generation is not None and generation._is_waiting
                    and isinstance(problem, ContextFullError)):
                self._end()
            raise
        finally:
            self._is_running = False
        raise StopAsyncIteration

    async def _next_values(self) -> list[T]:
        """One move: a beginning, an item, or a step."""
        if self._generation is None:
            self._generation = await self._begin()
        generation = self._generation
        if generation._closed:
            self._closed = True
            return []
        item = generation._take()
        if item is None:
            generation._check_current()
            if not await self._session._join_step() and not generation._items:
                generation._raise_stuck()
            return []
        if isinstance(item, Full):
            await self._make_room(generation)
            return []
        return generation._digest(item)

    async def _begin(self) -> Generation[T]:
        """Starts; while other generations hold all sequences or pages, waits for one to end."""
        while True:
            n_removed = self._session._n_removed
            try:
                return await self._session.arun(self._start)
            except BudgetError:
                while self._session._n_removed == n_removed:
                    if not await self._session._join_step():
                        if self._session._n_removed == n_removed:
                            raise  # nobody is about to give something back
            if self._closed:
                raise StateError("the generation was closed")

    async def _make_room(self, generation: Generation[T]) -> None:
        generation._is_waiting = True
        function, sequence = generation._on_full, generation._sequence
        if function is None:
            raise ContextFullError("the context is full, and nobody made room")
        if inspect.iscoroutinefunction(function):
            await function(sequence)
        else:
            await self._session.arun(function, sequence)

    def cancel(self) -> None:
        """Stops this generation; from any thread. What is iterated next is its end."""
        if self._generation is None:
            self._closed = True
        else:
            self._generation.cancel()

    def _end(self) -> None:
        self._closed = True
        if self._generation is not None:
            self._generation.close()

    async def aclose(self) -> None:
        """Ends the generation here, and gives a sequence of its own back."""
        self._end()

    async def __aenter__(self) -> AsyncGeneration[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
