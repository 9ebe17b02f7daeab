# SPDX-License-Identifier: MIT
"""Sessions: a model at work on one or more sequences, and the text that they write."""
from __future__ import annotations

import ctypes
import threading
import weakref
from array import array
from collections import deque
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING, Any, Generic, Iterable, Iterator, Literal, TypeVar, Union, overload,
)

from . import _abi
from ._model import Model, count, id_array, raw_bytes, read_bytes, utf8
from ._settings import GenerateSettings, Sampling, SessionMemory, SessionSettings, Token
from .errors import (
    CancelledError, InvalidArgumentError, SlmError, StaleIdError, StateError, error_from_status,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

Prompt = Union[str, bytes, Iterable[int]]
T = TypeVar("T")


def _choice(name: str, value: str | None, choices: dict[str, int]) -> int:
    if value is None:
        return 0
    if value not in choices:
        raise InvalidArgumentError(f"{name} must be one of {', '.join(choices)}")
    return choices[value]


def _session_options(settings: SessionSettings) -> _abi.SessionOptions:
    limits = {"n_threads": 256, "n_sequences": 65535, "batch_tokens": 4096,
              "max_memory_bytes": 2**63}
    unknown = set(settings) - set(SessionSettings.__annotations__)
    if unknown:
        raise TypeError(f"a session has no setting {', '.join(sorted(unknown))}")
    values: dict[str, Any] = dict(settings)
    options = _abi.SessionOptions(
        kv_type=_choice("kv_type", values.pop("kv_type", None), _abi.KV_TYPES),
        cpu_level=_choice("cpu_level", values.pop("cpu_level", None), _abi.CPU_LEVELS),
    )
    top = values.pop("top_logprobs", None) or 0
    if not 0 <= top <= 64:
        raise InvalidArgumentError("top_logprobs must be a whole number from 0 to 64")
    options.top_logprobs = top
    for name, value in values.items():
        setattr(options, name, count(name, value, limits.get(name, 2**32 - 1)))
    return options


def estimate_session(model: Model, **settings: Unpack[SessionSettings]) -> SessionMemory:
    """The memory that a session with these settings would take, without taking it."""
    memory = _abi.SessionMemory()
    _abi.call("slm_session_estimate", model.handle, _session_options(settings), memory)
    return SessionMemory(**{name: int(getattr(memory, name))
                            for name in SessionMemory.__dataclass_fields__})


class Sampler:
    """Chooses tokens from logits; a session makes its own, this one is for logits at hand."""

    def __init__(self, n_vocab: int, **settings: Unpack[Sampling]) -> None:
        self._handle: int | None = None
        handle = ctypes.c_void_p()
        _abi.call("slm_sampler_create", count("n_vocab", n_vocab), None, ctypes.byref(handle))
        self._handle, self._n_vocab = handle.value, n_vocab
        for name, value in settings.items():
            self.set(name, value)  # type: ignore[arg-type]

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            _abi.library.slm_sampler_release(handle)

    def set(self, name: str, value: float) -> None:
        """Sets a parameter by its name in Sampling."""
        param = _abi.SAMPLER_PARAMS.get(name)
        if param is None:
            raise TypeError(f"a sampler has no setting {name}")
        if name not in _abi.U32_PARAMS:
            _abi.call("slm_sampler_set_f32", self._handle, param, value)
        elif isinstance(value, int) and 0 <= value < 2**32:
            _abi.call("slm_sampler_set_u32", self._handle, param, value)
        else:
            raise InvalidArgumentError(f"{name} must be a whole number from 0 to 4294967295")

    def get(self, name: str) -> float:
        """Reads a parameter."""
        param = _abi.SAMPLER_PARAMS.get(name)
        if param is None:
            raise TypeError(f"a sampler has no setting {name}")
        if name in _abi.U32_PARAMS:
            whole = ctypes.c_uint32()
            _abi.call("slm_sampler_get_u32", self._handle, param, ctypes.byref(whole))
            return whole.value
        number = ctypes.c_float()
        _abi.call("slm_sampler_get_f32", self._handle, param, ctypes.byref(number))
        return number.value

    def _logits(self, logits: Iterable[float]) -> ctypes.Array[ctypes.c_float]:
        values = array("f", logits)
        if len(values) != self._n_vocab:
            raise InvalidArgumentError(f"{self._n_vocab} logits are expected, not {len(values)}")
        return (ctypes.c_float * len(values)).from_buffer(values)

    def sample(self, logits: Iterable[float], history: Iterable[int] = (),
               draw: int = 0) -> tuple[int, float]:
        """Chooses a token: (id, log-probability). The same seed and draw give the same token."""
        tokens, token, logprob = id_array(history), ctypes.c_int32(), ctypes.c_float()
        _abi.call("slm_sampler_sample", self._handle, self._logits(logits), tokens, len(tokens),
                  draw, ctypes.byref(token), ctypes.byref(logprob))
        return token.value, logprob.value

    def top(self, logits: Iterable[float], n: int) -> list[tuple[int, float]]:
        """The n most probable tokens with their log-probabilities, best first."""
        n = count("n", n, 256)
        ids, logprobs = (ctypes.c_int32 * n)(), (ctypes.c_float * n)()
        _abi.call("slm_sampler_get_top", self._handle, self._logits(logits), n, ids, logprobs)
        return list(zip(ids, logprobs))


@dataclass
class _Done:
    """The end of a generation, as an event of its sequence."""

    reason: str
    status: int
    n_generated: int
    text: str


@dataclass
class _Rows:
    """The logits that a call waits for: those from the position `first` on."""

    first: int
    rows: list[array[float]]
    error: SlmError | None = None


class Generation(Iterator[T], Generic[T]):
    """A text being written: iterate over it. `finish_reason` and `n_generated` are known at its
    end: "length", "end", "stop", "context" (full) or "cancelled"."""

    def __init__(self, sequence: Sequence, as_tokens: bool, removes_sequence: bool) -> None:
        self.finish_reason: str | None = None
        self.n_generated = 0
        self._sequence = sequence
        self._as_tokens = as_tokens
        self._removes_sequence = removes_sequence
        self._events: deque[Token | _Done] = deque()
        self._serial = sequence._serial
        self._closed = False

    def __iter__(self) -> Generation[T]:
        return self

    def __next__(self) -> T:
        session = self._sequence.session
        try:
            while not self._closed:
                with session._lock:
                    if not self._events:
                        session._step()
                        continue
                    event = self._events.popleft()
                if isinstance(event, _Done):
                    self._finish(event)
                elif self._as_tokens:
                    return event  # type: ignore[return-value]
                elif event.text:
                    return event.text  # type: ignore[return-value]
        except BaseException:
            self.close()
            raise
        raise StopIteration

    def _finish(self, done: _Done) -> None:
        self.finish_reason, self.n_generated = done.reason, done.n_generated
        self.close()
        if done.reason == "error":
            raise error_from_status(done.status)

    def cancel(self) -> None:
        """Stops all generations of the session; from any thread. What is iterated next is their
        end."""
        self._sequence.session.cancel()

    def close(self) -> None:
        """Ends the generation here."""
        if not self._closed:
            self._closed = True
            # This may come from the garbage collector in the middle of anything, so the session
            # does the rest at its next call.
            sequence = self._sequence
            sequence.session._leavings.append(
                _Leaving(sequence._id, None if self._removes_sequence else self._serial, sequence))

    __del__ = close


@dataclass
class _Leaving:
    """A sequence to remove, or only its generation to end where it still has this serial."""

    identifier: int
    serial: int | None
    sequence: Sequence | None = None


class Sequence:
    """A text in a session: tokens and their cache. Made by Session.sequence(). It leaves the session
    with remove(), at the end of a `with` block, or when nobody refers to it any more."""

    def __init__(self, session: Session, identifier: int) -> None:
        self.session = session
        self._id = identifier
        self._serial = 0  # counts the generations, and what ends one
        self._generation: weakref.ref[Generation[Any]] | None = None
        self._removed = False
        session._sequences[identifier] = self

    def __del__(self) -> None:
        if not self._removed:
            self.session._leavings.append(_Leaving(self._id, None))

    def _end_generation(self) -> None:
        self._serial += 1
        self._generation = None

    def append(self, prompt: Prompt, *, add_special: bool = True,
               parse_special: bool = False) -> None:
        """Appends text or token ids, which the next generation computes first.

        `add_special` puts BOS before the first text of a sequence, where the model wants it.
        """
        session = self.session
        with session._lock:
            if isinstance(prompt, (str, bytes)):
                data = utf8(prompt)
                flags = ((_abi.TEXT_ADD_SPECIAL if add_special else 0)
                         | (_abi.TEXT_PARSE_SPECIAL if parse_special else 0))
                session._call("slm_session_append_text", self._id, data, len(data), flags)
            else:
                ids = id_array(prompt)
                session._call("slm_session_append", self._id, ids, len(ids), 0)
            self._end_generation()

    @overload
    def generate(self, *, tokens: Literal[False] = False,
                 **settings: Unpack[GenerateSettings]) -> Generation[str]: ...
    @overload
    def generate(self, *, tokens: Literal[True],
                 **settings: Unpack[GenerateSettings]) -> Generation[Token]: ...

    def generate(self, *, tokens: bool = False, **settings: Any) -> Generation[Any]:
        """Writes on: an iterator over pieces of text, or over Token objects with `tokens`.
        The settings are those of GenerateSettings."""
        return self._generate(tokens, False, settings)

    def _generate(self, tokens: bool, removes: bool, settings: dict[str, Any]) -> Generation[Any]:
        session = self.session
        stop = settings.pop("stop", ())
        if isinstance(stop, (str, bytes)):
            stop = (stop,)
        texts = [utf8(text) for text in stop]
        if any(b"\0" in text for text in texts):
            raise InvalidArgumentError("a stop text cannot hold a NUL character")
        flags = ((_abi.GENERATE_IGNORE_END if settings.pop("ignore_end", False) else 0)
                 | (_abi.GENERATE_SHOW_SPECIAL if settings.pop("show_special", False) else 0))
        n_top = settings.pop("n_top", 0)
        if not isinstance(n_top, int) or not 0 <= n_top <= 64:
            raise InvalidArgumentError("n_top must be a whole number from 0 to 64")
        options = _abi.GenerateOptions(
            max_tokens=count("max_tokens", settings.pop("max_tokens", None)),
            flags=flags, n_top=n_top, n_stop=len(texts),
            stop=(ctypes.c_char_p * len(texts))(*texts),
        )
        sampler = Sampler(session.model.info.n_vocab, **settings)
        with session._lock:
            session._call("slm_session_set_sampler", self._id, sampler._handle)
            session._call("slm_session_generate", self._id, options)
            self._end_generation()
            generation: Generation[Any] = Generation(self, tokens, removes)
            self._generation = weakref.ref(generation)
        return generation

    def logits(self, tokens: Iterable[int]) -> list[array[float]]:
        """Appends tokens and returns the logits after each, not normalised."""
        session, ids = self.session, id_array(tokens)
        with session._lock:
            wanted = session._logits[self._id] = _Rows(int(self._info().n_tokens), [])
            try:
                session._call("slm_session_append", self._id, ids, len(ids), _abi.APPEND_LOGITS)
                self._end_generation()
                while wanted.error is None and len(wanted.rows) < len(ids):
                    session._step()
            finally:
                del session._logits[self._id]
        if wanted.error is not None:
            raise wanted.error
        return wanted.rows

    def _info(self) -> _abi.SequenceInfo:
        info = _abi.SequenceInfo()
        self.session._call("slm_session_get_sequence_info", self._id, info)
        return info

    @property
    def tokens(self) -> list[int]:
        """The ids of all tokens, computed or not."""
        with self.session._lock:
            info = self._info()
            return list(info.tokens[: info.n_tokens]) if info.n_tokens else []

    def __len__(self) -> int:
        with self.session._lock:
            return int(self._info().n_tokens)

    @property
    def n_computed(self) -> int:
        """Tokens whose cache is there."""
        with self.session._lock:
            return int(self._info().n_computed)

    @property
    def is_generating(self) -> bool:
        with self.session._lock:
            return bool(self._info().is_generating)

    def truncate(self, n_tokens: int) -> None:
        """Cuts back to the first n_tokens tokens."""
        if not 0 <= n_tokens < 2**32:
            raise InvalidArgumentError("n_tokens must not be negative")
        with self.session._lock:
            self.session._call("slm_session_truncate_sequence", self._id, n_tokens)
            self._end_generation()

    def fork(self) -> Sequence:
        """A second sequence that begins as a copy: tokens, cache and sampler."""
        with self.session._lock:
            identifier = ctypes.c_uint64()
            self.session._call("slm_session_fork_sequence", self._id, ctypes.byref(identifier))
            return Sequence(self.session, identifier.value)

    def save(self) -> bytes:
        """The sequence as a checksummed blob for Session.restore()."""
        with self.session._lock:
            self.session._collect()
            return read_bytes("slm_session_save_sequence", self.session.handle, self._id, None, guess=0)

    def remove(self) -> None:
        """Removes the sequence from its session."""
        with self.session._lock:
            self.session._call("slm_session_remove_sequence", self._id)
            self._removed = True
            self._end_generation()

    def __enter__(self) -> Sequence:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.remove()
        except (SlmError, StateError):
            pass  # it is gone already, or the session is


class Session:
    """A model at work: its threads, its memory, its sequences. The settings are those of
    SessionSettings.

    The calls of a session take turns, so several threads may share one; they do not run side by
    side. Only cancel() does not wait.
    """

    def __init__(self, model: Model, **settings: Unpack[SessionSettings]) -> None:
        self._handle: int | None = None
        self._lock = threading.RLock()
        self._sequences: weakref.WeakValueDictionary[int, Sequence] = weakref.WeakValueDictionary()
        self._logits: dict[int, _Rows] = {}  # what is waited for, by sequence
        self._leavings: deque[_Leaving] = deque()
        self.model = model
        handle = ctypes.c_void_p()
        _abi.call("slm_session_create", model.handle, _session_options(settings),
                  ctypes.byref(handle))
        self._handle = handle.value

    @property
    def handle(self) -> int:
        """The C object, for code that calls the library by itself."""
        if self._handle is None:
            raise StateError("the session was closed")
        return self._handle

    def close(self) -> None:
        """Frees the session and its sequences. Waits for a call in progress on another thread."""
        lock = getattr(self, "_lock", None)
        if lock is None:
            return
        with lock:
            handle, self._handle = self._handle, None
            if handle:
                _abi.library.slm_session_release(handle)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    __del__ = close

    # ---- under the lock ----

    def _call(self, name: str, *arguments: Any) -> int:
        self._collect()
        return _abi.call(name, self.handle, *arguments)

    def _collect(self) -> None:
        """Ends the generations and removes the sequences that nobody uses any more."""
        while self._leavings:
            leaving = self._leavings.popleft()
            identifier, sequence = leaving.identifier, leaving.sequence
            if self._handle is None or (sequence is not None and sequence._removed):
                continue
            try:
                if leaving.serial is None:
                    _abi.call("slm_session_remove_sequence", self._handle, identifier)
                    if sequence is not None:
                        sequence._removed = True
                elif sequence is not None and sequence._serial == leaving.serial:
                    # Cutting a sequence to its own length ends its generation.
                    info = _abi.SequenceInfo()
                    _abi.call("slm_session_get_sequence_info", self._handle, identifier, info)
                    if info.is_generating:
                        _abi.call("slm_session_truncate_sequence", self._handle, identifier,
                                  info.n_tokens)
                    sequence._end_generation()
            except StaleIdError:
                pass  # it was removed in the meantime

    def _step(self) -> None:
        """Does a step for all sequences. An error that an event tells of is its sequence's affair."""
        with self._lock:
            status = _abi.OK
            error: SlmError | None = None
            try:
                status = self._call("slm_session_step", 0)
            except SlmError as raised:
                error = raised
            finally:
                statuses = self._take_events()
            if error is not None and error.code not in statuses:
                raise error
            if status == _abi.CANCELLED and not statuses:
                raise CancelledError("the session was cancelled")
            if status == _abi.OK and not statuses:
                raise StateError("there is nothing left to compute: the sequence was changed while "
                                 "it generated")

    def _take_events(self) -> set[int]:
        """Gives each event to whom it concerns. Returns the statuses of the events."""
        statuses = set()
        event = _abi.Event()
        while (self._handle is not None
               and _abi.call("slm_session_get_event", self._handle, event) == _abi.OK):
            statuses.add(int(event.status))
            if event.type == _abi.EVENT_LOGITS:
                self._take_logits(event)
            else:
                self._take_text(event)
        return statuses

    def _take_logits(self, event: _abi.Event) -> None:
        wanted = self._logits.get(event.sequence)
        if wanted is None or event.position < wanted.first:
            return  # of a call that ended with an error
        if event.status != _abi.OK:
            wanted.error = wanted.error or error_from_status(
                event.status, f"the logits after token {event.position} are not finite")
            return
        row = array("f")
        row.frombytes(ctypes.string_at(event.logits, 4 * event.n_logits))
        wanted.rows.append(row)

    def _take_text(self, event: _abi.Event) -> None:
        sequence = self._sequences.get(event.sequence)
        reference = sequence._generation if sequence is not None else None
        generation = reference() if reference is not None else None
        if generation is None:
            return
        text = ctypes.string_at(event.text, event.text_length).decode() if event.text_length else ""
        events = generation._events
        if event.type == _abi.EVENT_TOKEN:
            top = tuple((event.top_tokens[i], event.top_logprobs[i]) for i in range(event.n_top))
            events.append(Token(event.token, text, event.position, event.logprob, top))
            return
        last = events[-1] if events else None
        if text and isinstance(last, Token):  # text that the last token held back
            events[-1] = Token(last.id, last.text + text, last.position, last.logprob, last.top)
        elif text:
            events.append(Token(-1, text, event.position, 0.0))
        events.append(_Done(_abi.DONE_REASONS.get(event.reason, "error"), event.status,
                            event.n_generated, text))

    # ---- sequences ----

    def sequence(self) -> Sequence:
        """Adds an empty sequence."""
        with self._lock:
            identifier = ctypes.c_uint64()
            self._call("slm_session_add_sequence", ctypes.byref(identifier))
            return Sequence(self, identifier.value)

    def restore(self, blob: bytes | bytearray | memoryview) -> Sequence:
        """Adds a sequence from what Sequence.save() gave."""
        data = raw_bytes(blob, "a saved sequence")
        with self._lock:
            identifier = ctypes.c_uint64()
            self._call("slm_session_restore_sequence", data, len(data), None, ctypes.byref(identifier))
            return Sequence(self, identifier.value)

    def cancel(self) -> None:
        """Stops the step in progress, or else the next one, also that of a later generation; all
        generations end. From any thread, while the session is open."""
        handle = self._handle
        if handle is not None:
            _abi.library.slm_session_cancel(handle)

    # ---- text ----

    @overload
    def generate(self, prompt: Prompt, *, tokens: Literal[False] = False,
                 **settings: Unpack[GenerateSettings]) -> Generation[str]: ...
    @overload
    def generate(self, prompt: Prompt, *, tokens: Literal[True],
                 **settings: Unpack[GenerateSettings]) -> Generation[Token]: ...

    def generate(self, prompt: Prompt, *, tokens: bool = False,
                 **settings: Any) -> Generation[Any]:
        """Writes on from a prompt (text or token ids) in a sequence of its own: an iterator over
        pieces of text, or over Token objects with `tokens`. The settings are those of
        GenerateSettings."""
        sequence = self.sequence()
        try:
            sequence.append(prompt)
            return sequence._generate(tokens, True, settings)
        except BaseException:
            sequence.remove()
            raise

    def text(self, prompt: Prompt, **settings: Unpack[GenerateSettings]) -> str:
        """The whole text that generate() writes."""
        return "".join(self.generate(prompt, **settings))

    def logits(self, tokens: Prompt) -> list[array[float]]:
        """The logits after each token of a text or of token ids, in a sequence of its own."""
        if isinstance(tokens, (str, bytes)):
            tokens = self.model.tokenizer.encode(tokens, add_special=True)
        with self.sequence() as sequence:
            return sequence.logits(tokens)
