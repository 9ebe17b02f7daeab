# SPDX-License-Identifier: MIT
"""Sessions: a model at work on one or more sequences."""
from __future__ import annotations

import ctypes
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Literal, TypeVar, overload

from . import _abi
from ._convert import TEXT_TYPES, Owner, Prompt, choice, count, raw_bytes, refuse_unknown, whole
from ._generation import AsyncGeneration, Done, Full, Generation, Item, Shift
from ._generation import Request as GenerateRequest
from ._lane import Lane
from ._logits import Logits
from ._logits import Request as LogitsRequest
from ._model import Model
from ._prefix import Prefix
from ._sequence import Sequence
from ._settings import SequenceSettings, SessionMemory, SessionSettings, TextSettings, Token
from .errors import BusyError, CancelledError, SlmError, StaleIdError, error_from_status

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    P = ParamSpec("P")
R = TypeVar("R")


def _session_options(settings: SessionSettings) -> _abi.SessionOptions:
    limits = {"n_threads": 256, "n_sequences": 65535, "batch_tokens": 4096,
              "max_memory_bytes": 2**63, "n_guesses": 64}
    refuse_unknown("a session", settings, SessionSettings.__annotations__)
    values: dict[str, Any] = dict(settings)
    draft_model = values.pop("draft_model", None)
    if draft_model is not None and not isinstance(draft_model, Model):
        raise TypeError(f"draft_model must be a slm.Model, not {type(draft_model).__name__}")
    options = _abi.SessionOptions(
        kv_type=choice("kv_type", values.pop("kv_type", None), _abi.KV_TYPES),
        cpu_level=choice("cpu_level", values.pop("cpu_level", None), _abi.CPU_LEVELS),
        top_logprobs=whole("top_logprobs", values.pop("top_logprobs", None) or 0, 0, 64),
        draft_model=draft_model._use()._as_parameter_ if draft_model is not None else None,
    )
    for name, value in values.items():
        setattr(options, name, count(name, value, limits.get(name, 2**32 - 1)))
    return options


def estimate_session(model: Model, **settings: Unpack[SessionSettings]) -> SessionMemory:
    """The memory that a session with these settings would take, without taking it."""
    memory = _abi.SessionMemory()
    _abi.call("slm_session_estimate", model._use(), _session_options(settings), memory)
    return SessionMemory(**{name: int(getattr(memory, name))
                            for name in SessionMemory.__dataclass_fields__})


class Session(Owner):
    """A model at work: its threads, its memory, its sequences. The settings are those of
    SessionSettings.

    The calls of a session take turns, so several threads may share one; they do not run side by
    side. Only cancelling does not wait. In a coroutine use the methods that begin with `a`, and
    arun() for the others: they leave the event loop free.
    """

    def __init__(self, model: Model, **settings: Unpack[SessionSettings]) -> None:
        self._lock = threading.RLock()
        self._lane_lock = threading.Lock()
        self._lane: Lane | None = None
        self._lends = False  # pointers into the session are being read
        self._sequences: weakref.WeakValueDictionary[int, Sequence] = weakref.WeakValueDictionary()
        self._n_removed = 0  # sequences that were given back so far
        self._logits: dict[int, LogitsRequest] = {}  # what is waited for, by sequence
        # Sequences to remove, or to end the generation of that has this serial.
        self._leavings: deque[tuple[int, int | None]] = deque()
        self.model = model
        self._n_vocab = model.info.n_vocab
        self._tokenizer = model.tokenizer
        self._handle = _abi.create("slm_session_create", model._use(), _session_options(settings),
                                   release="slm_session_release")

    def __repr__(self) -> str:
        state = "closed" if self._handle is None else f"{len(self._sequences)} sequences"
        return f"<slm.Session of {self.model!r}, {state}>"

    def close(self) -> None:
        """Frees the session and its sequences. Waits for a call in progress on another thread."""
        with self._lock:
            self._handle = None
        with self._lane_lock:
            lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()

    # ---- under the lock ----

    def _ready(self) -> _abi.Handle:
        """The handle for a call that changes the session, after what is due before it."""
        if self._lends:
            raise BusyError("called while what a step brought is being read: by a function that "
                            "logits are shown to, a signal handler or a finalizer")
        handle = self._use()
        while self._leavings:
            identifier, serial = self._leavings.popleft()
            try:
                self._let_go(handle, identifier, serial)
            except StaleIdError:
                pass  # it was removed in the meantime
        return handle

    def _let_go(self, handle: _abi.Handle, identifier: int, serial: int | None) -> None:
        """Removes a sequence that nobody uses any more, or ends its generation."""
        sequence = self._sequences.get(identifier)
        if serial is None:
            _abi.call("slm_session_remove_sequence", handle, identifier)
            self._n_removed += 1
            if sequence is not None:
                sequence._removed = True
        elif sequence is not None and sequence._serial == serial:
            # Cutting a sequence to its own length ends its generation.
            info = _abi.SequenceInfo()
            _abi.call("slm_session_get_sequence_info", handle, identifier, info)
            if info.is_generating:
                _abi.call("slm_session_truncate_sequence", handle, identifier, info.n_tokens)
            sequence._end_generation()

    def _call(self, name: str, *arguments: Any) -> int:
        return _abi.call(name, self._ready(), *arguments)

    @contextmanager
    def _lend(self) -> Iterator[_abi.Handle]:
        """What the library lends is read here: nothing may change the session meanwhile, and the
        handle keeps its memory even if it is closed."""
        handle = self._ready()
        self._lends = True
        try:
            yield handle
        finally:
            self._lends = False

    def _step(self) -> bool:
        """Does a step for all sequences: False if it told nothing and nothing is left to do. An error
        that an event tells of is its sequence's affair."""
        with self._lock:
            status = _abi.OK
            error: SlmError | None = None
            statuses: set[int] = set()
            try:
                status = self._call("slm_session_step", 0)
            except SlmError as problem:
                error = problem
            finally:  # also when a signal handler raised
                if self._handle is not None:
                    statuses = self._take_events()
            if error is not None and error.code not in statuses:
                raise error
            if status == _abi.CANCELLED and not statuses:
                raise CancelledError("the session was cancelled")
            return status != _abi.OK or bool(statuses)

    def _take_events(self) -> set[int]:
        """Gives each event to whom it concerns. Returns the statuses of the events."""
        statuses = set()
        event = _abi.Event()
        written: dict[int, list[Item]] = {}
        try:
            with self._lend() as handle:
                while _abi.call("slm_session_get_event", handle, event) == _abi.OK:
                    statuses.add(int(event.status))
                    if event.type == _abi.EVENT_LOGITS:
                        self._take_logits(event, handle)
                    else:
                        _take_text(event, written.setdefault(event.sequence, []))
        finally:
            for identifier, items in written.items():
                self._hand_out(identifier, items)
        return statuses

    def _hand_out(self, identifier: int, items: list[Item]) -> None:
        """Gives what a sequence wrote in one step to its generation."""
        sequence = self._sequences.get(identifier)
        reference = sequence._generation if sequence is not None else None
        generation = reference() if reference is not None else None
        if generation is not None and items:
            generation._items.extend(items)
            if generation._removes_sequence and isinstance(items[-1], Done):
                self._leavings.append((identifier, None))  # others may need the room

    def _take_logits(self, event: _abi.Event, handle: _abi.Handle) -> None:
        request = self._logits.get(event.sequence)
        if request is None or event.position < request.first:
            return  # of a call that ended with an error
        if event.status == _abi.OK:
            request.take(event, handle)
        elif request.error is None:
            request.error = error_from_status(
                event.status, f"the logits after token {event.position} are not finite")

    # ---- sequences ----

    def sequence(self, *, prefix: Prefix | None = None,
                 **settings: Unpack[SequenceSettings]) -> Sequence:
        """Adds an empty sequence, or one that begins with a prefix. The settings are those of
        SequenceSettings."""
        refuse_unknown("a sequence", settings, SequenceSettings.__annotations__)
        with self._lock:
            identifier = ctypes.c_uint64()
            self._call("slm_session_add_sequence", ctypes.byref(identifier))
            sequence = Sequence(self, identifier.value)
            try:
                for name, value in settings.items():
                    setattr(sequence, name, value)
                if prefix is not None:
                    sequence.append_prefix(prefix)
            except BaseException:
                sequence.remove()
                raise
            return sequence

    def prefix(self, prompt: Prompt, name: str) -> Prefix:
        """Computes a text or token ids that many sequences will begin with, in a sequence of its
        own. Its name tells saved sequences what they begin with."""
        with self._lock, self.sequence() as sequence:
            sequence.append(prompt)
            return sequence.prefix(name)

    def restore(self, blob: bytes | bytearray | memoryview, *,
                prefix: Prefix | None = None) -> Sequence:
        """Adds a sequence from what Sequence.save() gave; `prefix` is the one that it was saved
        relative to (saved_info() tells its name)."""
        data = raw_bytes(blob, "a saved sequence")
        if prefix is not None and not isinstance(prefix, Prefix):
            raise TypeError(f"prefix must be a slm.Prefix, not {type(prefix).__name__}")
        with self._lock:
            identifier = ctypes.c_uint64()
            self._call("slm_session_restore_sequence", data, len(data),
                       None if prefix is None else prefix._use(), ctypes.byref(identifier))
            return Sequence(self, identifier.value)

    def cancel(self) -> None:
        """Stops the step in progress, or else the next one, also that of a later generation; all
        generations end. From any thread."""
        handle = self._handle
        if handle is not None:
            _abi.library.slm_session_cancel(handle)

    # ---- text ----

    @overload
    def generate(self, prompt: Prompt, *, tokens: Literal[False] = False,
                 prefix: Prefix | None = None,
                 **settings: Unpack[TextSettings]) -> Generation[str]: ...
    @overload
    def generate(self, prompt: Prompt, *, tokens: Literal[True], prefix: Prefix | None = None,
                 **settings: Unpack[TextSettings]) -> Generation[Token]: ...

    def generate(self, prompt: Prompt, *, tokens: bool = False, prefix: Prefix | None = None,
                 **settings: Any) -> Generation[Any]:
        """Writes on from a prompt (text or token ids) in a sequence of its own: an iterator over
        pieces of text, or over Token objects with `tokens`. The settings are those of
        GenerateSettings and SequenceSettings."""
        return self._plan(prompt, tokens, prefix, settings)()

    def text(self, prompt: Prompt, *, prefix: Prefix | None = None,
             **settings: Unpack[TextSettings]) -> str:
        """The whole text that generate() writes."""
        return "".join(self.generate(prompt, prefix=prefix, **settings))

    @overload
    def agenerate(self, prompt: Prompt, *, tokens: Literal[False] = False,
                  prefix: Prefix | None = None,
                  **settings: Unpack[TextSettings]) -> AsyncGeneration[str]: ...
    @overload
    def agenerate(self, prompt: Prompt, *, tokens: Literal[True], prefix: Prefix | None = None,
                  **settings: Unpack[TextSettings]) -> AsyncGeneration[Token]: ...

    def agenerate(self, prompt: Prompt, *, tokens: bool = False, prefix: Prefix | None = None,
                  **settings: Any) -> AsyncGeneration[Any]:
        """The same for `async for`. All that are under way are computed together; those that find
        no sequence free wait for one."""
        return AsyncGeneration(self, self._plan(prompt, tokens, prefix, settings))

    async def atext(self, prompt: Prompt, *, prefix: Prefix | None = None,
                    **settings: Unpack[TextSettings]) -> str:
        """The whole text that agenerate() writes."""
        pieces = [piece async for piece in self.agenerate(prompt, prefix=prefix, **settings)]
        return "".join(pieces)

    def _plan(self, prompt: Prompt, as_tokens: bool, prefix: Prefix | None,
              settings: dict[str, Any]) -> Callable[[], Generation[Any]]:
        """Checks the settings, and returns what begins the generation."""
        names = [name for name in settings if name in _abi.SEQUENCE_PARAMS]
        own: Any = {name: settings.pop(name) for name in names}
        request = GenerateRequest(self._n_vocab, as_tokens, settings)
        if not isinstance(prompt, TEXT_TYPES):
            prompt = list(prompt)

        def begin() -> Generation[Any]:
            sequence = self.sequence(prefix=prefix, **own)
            try:
                if prompt or prefix is None:
                    sequence.append(prompt)
                return sequence._generate(request, True)
            except BaseException:
                sequence.remove()
                raise
        return begin

    def logits(self, tokens: Prompt) -> Logits:
        """The logits after each token of a text or of token ids, in a sequence of its own."""
        if isinstance(tokens, TEXT_TYPES):
            tokens = self._tokenizer.encode(tokens, add_special=True)
        with self.sequence() as sequence:
            return sequence.logits(tokens)

    # ---- coroutines ----

    def _get_lane(self) -> Lane:
        with self._lane_lock:
            self._use()
            if self._lane is None:
                self._lane = Lane()
            return self._lane

    async def arun(self, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Calls a function on the session's own thread, in turn with the steps, for example
        ``await session.arun(sequence.append, "text")``. It is called even if the task is cancelled
        while it waits."""
        result: R = await self._get_lane().run(lambda: function(*arguments, **named))
        return result

    async def _join_step(self) -> bool:
        result: bool = await self._get_lane().step(self._step)
        return result

    async def aclose(self) -> None:
        """Ends all generations and frees the session."""
        self.cancel()
        if self._handle is not None:
            await self.arun(self.close)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _take_text(event: _abi.Event, items: list[Item]) -> None:
    """Appends what an event of a sequence says. `items` are those of the same step."""
    text = ctypes.string_at(event.text, event.text_length).decode() if event.text_length else ""
    if event.type == _abi.EVENT_TOKEN:
        top = tuple((event.top_tokens[i], event.top_logprobs[i]) for i in range(event.n_top))
        items.append(Token(event.token, text, event.position, event.logprob, top))
    elif event.type == _abi.EVENT_FULL:
        items.append(Full())
    elif event.type == _abi.EVENT_SHIFT:
        items.append(Shift(event.n_removed))
    elif event.type == _abi.EVENT_DONE:
        last = items[-1] if items else None
        if text and isinstance(last, Token):  # text that the last token held back
            items[-1] = Token(last.id, last.text + text, last.position, last.logprob, last.top)
        elif text:
            items.append(Token(-1, text, event.position, 0.0))
        items.append(Done(_abi.DONE_REASONS.get(event.reason, "error"), event.status,
                          event.n_generated))
