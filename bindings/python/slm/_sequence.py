# SPDX-License-Identifier: MIT
"""Sequences: the texts of a session."""
from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING, Any, Iterable, Literal, overload

from . import _abi
from ._convert import TEXT_TYPES, Prompt, c_text, choice, id_array, name_of, read_bytes, utf8, whole
from ._generation import AsyncGeneration, Generation, Request
from ._logits import Logits, Row, Visit
from ._logits import Request as LogitsRequest
from ._prefix import Prefix
from ._settings import GenerateSettings, Speculation, Token
from .errors import SlmError, StateError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._session import Session


class _Parameter:
    """A u32 parameter of a sequence as its attribute."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, _owner: type[Sequence], name: str) -> None:
        self._name, self._param = name, _abi.SEQUENCE_PARAMS[name]

    def _read(self, sequence: Sequence) -> int:
        value = ctypes.c_uint32()
        with sequence.session._lock:
            sequence.session._call("slm_session_get_u32", sequence._id, self._param,
                                   ctypes.byref(value))
        return value.value

    def _write(self, sequence: Sequence, value: int) -> None:
        with sequence.session._lock:
            sequence.session._call("slm_session_set_u32", sequence._id, self._param, value)


class _Number(_Parameter):
    @overload
    def __get__(self, sequence: None, owner: type[Sequence]) -> _Number: ...
    @overload
    def __get__(self, sequence: Sequence, owner: type[Sequence]) -> int: ...

    def __get__(self, sequence: Sequence | None, owner: type[Sequence]) -> int | _Number:
        return self if sequence is None else self._read(sequence)

    def __set__(self, sequence: Sequence, value: int) -> None:
        self._write(sequence, whole(self._name, value))


class _Policy(_Parameter):
    @overload
    def __get__(self, sequence: None, owner: type[Sequence]) -> _Policy: ...
    @overload
    def __get__(self, sequence: Sequence, owner: type[Sequence]) -> str: ...

    def __get__(self, sequence: Sequence | None, owner: type[Sequence]) -> str | _Policy:
        return self if sequence is None else name_of(self._read(sequence), _abi.FULL_POLICIES)

    def __set__(self, sequence: Sequence, value: str) -> None:
        self._write(sequence, choice(self._name, value, _abi.FULL_POLICIES))


class Sequence:
    """A text in a session: tokens and their cache. Made by Session.sequence(). It leaves the session
    with remove(), at the end of a `with` block, or when nobody refers to it any more.

    Its settings are attributes: priority, full, keep, drop, window, sinks (see SequenceSettings).
    """

    def __init__(self, session: Session, identifier: int) -> None:
        self.session = session
        self._id = identifier
        self._serial = 0  # counts the generations, and what ends one
        self._generation: weakref.ref[Generation[Any]] | None = None
        self._removed = False
        session._sequences[identifier] = self

    def __repr__(self) -> str:
        state = " removed" if self._removed else ""
        return f"<slm.Sequence {self._id:#x}{state}>"

    def __del__(self) -> None:
        if not self._removed:
            self._leave(None)

    def _leave(self, serial: int | None) -> None:
        """Asks for the removal of the sequence, or only for the end of the generation of this serial.
        May come from the garbage collector in the middle of anything, so the session does it at its
        next call."""
        self.session._leavings.append((self._id, serial))

    def _end_generation(self) -> None:
        self._serial += 1
        self._generation = None

    # ---- writing ----

    def append(self, prompt: Prompt, *, add_special: bool = True,
               parse_special: bool = False) -> None:
        """Appends text or token ids, which the next generation computes first.

        `add_special` puts BOS before the first text of a sequence, where the model wants it.
        """
        session, function = self.session, "slm_session_append"
        if isinstance(prompt, TEXT_TYPES):
            function = "slm_session_append_text"
            data = utf8(prompt)
            flags = ((_abi.TEXT_ADD_SPECIAL if add_special else 0)
                     | (_abi.TEXT_PARSE_SPECIAL if parse_special else 0))
            arguments: tuple[Any, ...] = (data, len(data), flags)
        else:
            ids = id_array(prompt)
            arguments = (ids, len(ids), 0)
        with session._lock:
            session._call(function, self._id, *arguments)
            self._end_generation()

    def append_prefix(self, prefix: Prefix) -> None:
        """Begins the sequence, which must be empty, with the computed tokens of a prefix."""
        if not isinstance(prefix, Prefix):
            raise TypeError(f"prefix must be a slm.Prefix, not {type(prefix).__name__}")
        with self.session._lock:
            self.session._call("slm_session_append_prefix", self._id, prefix._use())

    @overload
    def generate(self, *, tokens: Literal[False] = False,
                 **settings: Unpack[GenerateSettings]) -> Generation[str]: ...
    @overload
    def generate(self, *, tokens: Literal[True],
                 **settings: Unpack[GenerateSettings]) -> Generation[Token]: ...

    def generate(self, *, tokens: bool = False, **settings: Any) -> Generation[Any]:
        """Writes on: an iterator over pieces of text, or over Token objects with `tokens`.
        The settings are those of GenerateSettings."""
        return self._generate(Request(self.session._n_vocab, tokens, settings), False)

    @overload
    def agenerate(self, *, tokens: Literal[False] = False,
                  **settings: Unpack[GenerateSettings]) -> AsyncGeneration[str]: ...
    @overload
    def agenerate(self, *, tokens: Literal[True],
                  **settings: Unpack[GenerateSettings]) -> AsyncGeneration[Token]: ...

    def agenerate(self, *, tokens: bool = False, **settings: Any) -> AsyncGeneration[Any]:
        """The same for `async for`."""
        request = Request(self.session._n_vocab, tokens, settings)
        return AsyncGeneration(self.session, lambda: self._generate(request, False))

    def _generate(self, request: Request, removes_sequence: bool) -> Generation[Any]:
        session = self.session
        with session._lock:
            session._call("slm_session_set_sampler", self._id, request.sampler._use())
            session._call("slm_session_generate", self._id, request.options)
            self._end_generation()
            generation: Generation[Any] = Generation(self, request, removes_sequence)
            self._generation = weakref.ref(generation)
        return generation

    def cancel(self) -> None:
        """Stops the generation of this sequence; from any thread."""
        handle = self.session._handle
        if handle is not None:
            _abi.library.slm_session_cancel_sequence(handle, self._id)

    def compute(self) -> None:
        """Computes all tokens that are there, the last one that was written too, without writing on.
        """
        session = self.session
        with session._lock:
            n_tokens, info = len(self), self._info()
            while info.n_computed < n_tokens:
                n_computed, goes_on = info.n_computed, session._step()
                info = self._info()
                if not goes_on and n_computed == info.n_computed < n_tokens:
                    # The last written token is computed once somebody needs what follows it.
                    ids = id_array(self.tokens[n_computed:])
                    self.truncate(n_computed)
                    session._call("slm_session_append", self._id, ids, len(ids), 0)

    # ---- logits ----

    def logits(self, tokens: Iterable[int]) -> Logits:
        """Appends tokens and returns the logits after each."""
        ids = id_array(tokens)
        result = Logits(len(ids), self.session._n_vocab)

        def keep(row: int, view: Row) -> None:
            result[row][:] = view
        self._request_logits(ids, keep)
        return result

    def visit_logits(self, tokens: Iterable[int], visit: Visit) -> None:
        """Appends tokens and calls visit(i, row) with the logits after the i-th, without a copy.

        `row` is a read-only memoryview of format "f" on the library's own memory, and so is
        numpy.asarray(row). It may not be kept: if a view of it outlives the call, BufferError is
        raised. `visit` may not use the session.
        """
        self._request_logits(id_array(tokens), visit)

    def _request_logits(self, ids: ctypes.Array[ctypes.c_int32], visit: Visit) -> None:
        session = self.session
        with session._lock:
            request = LogitsRequest(int(self._info().n_tokens), len(ids), visit)
            session._logits[self._id] = request
            try:
                session._call("slm_session_append", self._id, ids, len(ids), _abi.APPEND_LOGITS)
                self._end_generation()
                while request.error is None and request.n_missing > 0:
                    if not session._step():
                        raise StateError("there is nothing left to compute")
            finally:
                session._logits.pop(self._id, None)
        if request.error is not None:
            raise request.error

    # ---- state ----

    def _info(self) -> _abi.SequenceInfo:
        """All but the tokens, which need session._lend()."""
        info = _abi.SequenceInfo()
        self.session._call("slm_session_get_sequence_info", self._id, info)
        return info

    @property
    def tokens(self) -> list[int]:
        """The ids of all tokens, computed or not."""
        with self.session._lock, self.session._lend() as handle:
            info = _abi.SequenceInfo()
            _abi.call("slm_session_get_sequence_info", handle, self._id, info)
            return list(info.tokens[: info.n_tokens]) if info.n_tokens else []

    def __len__(self) -> int:
        with self.session._lock:
            return int(self._info().n_tokens)

    def __bool__(self) -> bool:
        return True  # also when it has no token yet

    @property
    def n_computed(self) -> int:
        """Tokens whose cache is there."""
        with self.session._lock:
            return int(self._info().n_computed)

    @property
    def n_pages(self) -> int:
        """Pages of 64 tokens of the session's cache that it holds, shared ones too."""
        with self.session._lock:
            return int(self._info().n_pages)

    @property
    def n_prefix_tokens(self) -> int:
        """Tokens at the beginning that lie in a Prefix."""
        with self.session._lock:
            return int(self._info().n_prefix_tokens)

    @property
    def is_generating(self) -> bool:
        with self.session._lock:
            return bool(self._info().is_generating)

    priority = _Number("Larger goes first; 0 to 255.")
    full = _Policy('What happens when the context is full: "end", "shift" or "wait".')
    keep = _Number('Policy "shift": tokens at the beginning that stay.')
    drop = _Number('Policy "shift": tokens to drop at a time; 0 = half of those that do not stay.')
    window = _Number("Attention sees this many tokens back, and the sinks; 0 = all.")
    sinks = _Number("Tokens at the beginning that a window never hides.")

    # ---- changes ----

    def truncate(self, n_tokens: int) -> None:
        """Cuts back to the first n_tokens tokens."""
        n_tokens = whole("n_tokens", n_tokens)
        with self.session._lock:
            self.session._call("slm_session_truncate_sequence", self._id, n_tokens)
            self._end_generation()

    def replace(self, first: int, n_removed: int, tokens: Prompt = (), *,
                shift: bool = False) -> None:
        """Puts other tokens, or a text, in the place of n_removed tokens from `first` on: drops old
        talk, or puts a summary there. A generation in progress goes on.

        What stands behind is computed again, unless `shift`: then its cache is moved, which is far
        cheaper, but it remembers what it was written in sight of.
        """
        if isinstance(tokens, TEXT_TYPES):
            tokens = self.session._tokenizer.encode(tokens)
        ids = id_array(tokens)
        with self.session._lock:
            self.session._call("slm_session_replace", self._id, whole("first", first),
                               whole("n_removed", n_removed), ids, len(ids),
                               _abi.REPLACE_SHIFT if shift else 0)

    def speculate(self, method: str = "lookup", *, most_tokens: int | None = None,
                  least_match: int | None = None, most_match: int | None = None,
                  always: bool = False) -> None:
        """Has generations guess the next tokens, by "lookup" in what was written or with the session's
        "draft" model, or not at all ("none"): the same output in less time. The session needs
        `n_guesses`. A step may then write several tokens, also ahead of an iteration that is left.
        Experimental: it may change in any release."""
        options = _abi.SpeculateOptions(
            method=choice("method", method, _abi.GUESS_METHODS),
            flags=_abi.SPECULATE_ALWAYS if always else 0,
            most_tokens=whole("most_tokens", most_tokens or 0, 0, 64),
            least_match=whole("least_match", least_match or 0, 0, 16),
            most_match=whole("most_match", most_match or 0, 0, 64),
        )
        with self.session._lock:
            self.session._call("slm_x_session_speculate", self._id, options)

    @property
    def speculation(self) -> Speculation:
        """What came of guesses so far. Experimental."""
        told = _abi.Speculation()
        with self.session._lock:
            self.session._call("slm_x_session_get_speculation", self._id, told)
        return Speculation(bool(told.is_on), told.n_tokens, told.n_batches, told.n_guessed,
                           told.n_accepted, told.row_cost)

    def fork(self) -> Sequence:
        """A second sequence that begins as a copy: tokens, cache, sampler and settings."""
        with self.session._lock:
            identifier = ctypes.c_uint64()
            self.session._call("slm_session_fork_sequence", self._id, ctypes.byref(identifier))
            return Sequence(self.session, identifier.value)

    def prefix(self, name: str) -> Prefix:
        """All tokens of the sequence as a prefix that others can begin with. The sequence stays."""
        data = c_text(name, "the name of a prefix")
        with self.session._lock:
            self.compute()
            return Prefix(_abi.create("slm_prefix_create", self.session._ready(), self._id, data,
                                      release="slm_prefix_release"))

    def save(self, *, form: str = "cache", whole: bool = False) -> bytes:
        """The sequence as a checksummed blob for Session.restore().

        `form` says what is kept of the cache: "cache" all of it, "q8" and "q4" rounded to 8 and 4
        bits, "tokens" nothing, so that it is computed again. A sequence that began with a prefix is
        saved relative to it, unless `whole`.
        """
        options = _abi.SaveOptions(form=choice("form", form, _abi.SAVE_FORMS), whole=bool(whole))
        with self.session._lock:
            return read_bytes("slm_session_save_sequence", self.session._ready(), self._id, options,
                              guess=0)

    def remove(self) -> None:
        """Removes the sequence from its session."""
        with self.session._lock:
            self.session._call("slm_session_remove_sequence", self._id)
            self.session._n_removed += 1
            self._removed = True
            self._end_generation()

    def __enter__(self) -> Sequence:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.remove()
        except SlmError:
            pass  # it is gone already, or the session is
