# SPDX-License-Identifier: MIT
"""Where the coroutines of a session have their calls made, so that no event loop ever waits."""
from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from .errors import StateError


class _Ticket:
    """A future of one event loop that another thread settles. A loop that is closed by then, or a
    future that was cancelled, is left alone."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def settle(self, result: Any, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            pass  # the loop was closed

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if isinstance(error, StopIteration):  # which no future can carry
            error = RuntimeError("the function raised StopIteration")
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class Lane:
    """A thread on which calls are made in the order in which they were asked for. However many tasks
    wait for the next step, it is done once."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="slm")
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []  # for the step that is queued or in progress

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Has a function called."""
        ticket = _Ticket()
        self._submit(lambda: self._settle([ticket], function))
        return ticket.future

    def step(self, step: Callable[[], bool]) -> asyncio.Future[Any]:
        """Joins those who wait for the next step, and has it done if nobody did so yet."""
        ticket = _Ticket()
        with self._lock:
            self._waiting.append(ticket)
            is_first = len(self._waiting) == 1
        if is_first:
            self._submit(lambda: self._settle(None, step))
        return ticket.future

    def _settle(self, tickets: list[_Ticket] | None, function: Callable[[], Any]) -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as problem:  # travels to those who wait
            error = problem
        if tickets is None:
            with self._lock:
                tickets, self._waiting = self._waiting, []
        for ticket in tickets:
            ticket.settle(result, error)

    def _submit(self, function: Callable[[], None]) -> None:
        try:
            self._executor.submit(function)
        except RuntimeError as problem:
            raise StateError("the session was closed") from problem

    def close(self) -> None:
        """Lets the thread end after what it was asked to do. Does not wait."""
        self._executor.shutdown(wait=False)
