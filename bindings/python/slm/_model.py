# SPDX-License-Identifier: MIT
"""Models and tokenizers: what is loaded once and shared by any number of threads."""
from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Mapping, Sequence, Union

from . import _abi
from ._convert import (
    Owner, PathName, Text, c_text, count, encode_path, id_array, read_bytes, read_ids, utf8, whole,
)
from .errors import CancelledError, InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._session import Session
    from ._settings import GenerateSettings, SessionMemory, SessionSettings

Source = Union[PathName, bytes, bytearray, memoryview, BinaryIO, None]


def default_model_path() -> Path:
    """The model that the package carries, or the one of the checkout around it."""
    package = Path(__file__).parent
    inside = package / "storyteller.gguf"
    if inside.exists():
        return inside
    return package.parents[2] / "examples" / "models" / "storyteller.gguf"


@dataclass(frozen=True)
class TokenizerInfo:
    """What a tokenizer is; ids are None where the file names none."""

    n_vocab: int
    bos: int | None
    eos: int | None
    eot: int | None
    unk: int | None
    adds_bos: bool
    adds_eos: bool
    kind: str
    pre: str


class Tokenizer(Owner):
    """Text to token ids and back. Any number of threads may use it."""

    def __init__(self, path: PathName) -> None:
        """Loads only the tokenizer of a GGUF file, which need not hold weights."""
        self._handle = _abi.create("slm_tokenizer_load", encode_path(path), _abi.ModelOptions(),
                                   release="slm_tokenizer_release")

    @classmethod
    def _borrow(cls, handle: int) -> Tokenizer:
        tokenizer = cls.__new__(cls)
        tokenizer._handle = _abi.Handle(_abi.library.slm_tokenizer_retain(handle),
                                        _abi.library.slm_tokenizer_release)
        return tokenizer

    def __repr__(self) -> str:
        if self._handle is None:
            return "<slm.Tokenizer, closed>"
        info = self.info
        return f"<slm.Tokenizer {info.kind}, {info.n_vocab} tokens>"

    def encode(self, text: Text, *, add_special: bool = False, parse_special: bool = False,
               errors: str = "strict") -> list[int]:
        """Splits text into token ids.

        `add_special` adds BOS and EOS where the model's file asks for them. `parse_special` makes
        text such as "<|im_end|>" its control token: never for text from untrusted people.
        `errors` is "strict" or "replace" (invalid UTF-8 becomes U+FFFD).
        """
        if errors not in ("strict", "replace"):
            raise InvalidArgumentError('errors must be "strict" or "replace"')
        flags = ((_abi.TEXT_ADD_SPECIAL if add_special else 0)
                 | (_abi.TEXT_PARSE_SPECIAL if parse_special else 0)
                 | (_abi.TEXT_REPLACE_INVALID if errors == "replace" else 0))
        data = utf8(text)
        return read_ids("slm_tokenizer_encode", self._use(), data, len(data), flags,
                        guess=len(data) + 8)

    def decode(self, ids: Iterable[int], *, show_special: bool = False) -> str:
        """Joins token ids to text. Control tokens give nothing unless `show_special`."""
        array = id_array(ids)
        flags = _abi.TEXT_SHOW_SPECIAL if show_special else 0
        data = read_bytes("slm_tokenizer_decode", self._use(), array, len(array), flags,
                          guess=16 * len(array) + 16)
        return data.decode("utf-8")

    def piece(self, token: int) -> bytes:
        """The bytes that one token stands for; they need not be valid UTF-8 alone."""
        text, length, handle = ctypes.c_void_p(), ctypes.c_size_t(), self._use()
        _abi.call("slm_tokenizer_get_piece", handle, _token_id(token), ctypes.byref(text),
                  ctypes.byref(length))
        return ctypes.string_at(text.value, length.value) if text.value else b""

    def is_end(self, token: int) -> bool:
        """Whether a token ends a text."""
        return bool(_abi.library.slm_tokenizer_is_end(self._use(), _token_id(token)))

    @property
    def info(self) -> TokenizerInfo:
        info, handle = _abi.TokenizerInfo(), self._use()
        _abi.call("slm_tokenizer_get_info", handle, info)
        special = {name: None if getattr(info, name) < 0 else int(getattr(info, name))
                   for name in ("bos", "eos", "eot", "unk")}
        return TokenizerInfo(n_vocab=info.n_vocab, adds_bos=bool(info.adds_bos),
                             adds_eos=bool(info.adds_eos), kind=info.kind.decode(),
                             pre=info.pre.decode(), **special)


def _token_id(token: int) -> int:
    return whole("a token id", token, -(2**31), 2**31 - 1)


@dataclass(frozen=True)
class ModelInfo:
    """What a model is; sizes in bytes."""

    architecture: str
    name: str
    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_width: int
    ffn_width: int
    n_vocab: int
    context_length: int
    n_tensors: int
    n_parameters: int
    file_bytes: int
    weight_bytes: int
    memory_bytes: int
    mapped_bytes: int


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the file; dimensions fastest first."""

    name: str
    type: str
    dims: tuple[int, ...]
    bytes: int


class _Callbacks:
    """Functions that the library calls while it loads. What they raise is raised by the load."""

    def __init__(self) -> None:
        self.problem: BaseException | None = None

    def progress(self, function: Callable[[float], object]) -> Any:
        def report(_context: Any, done: float) -> int:
            try:
                return 1 if function(done) else 0
            except BaseException as problem:  # must not pass through C; raised again after it
                self.problem = problem
                return 1
        return _abi.ProgressFunction(report)

    def reader(self, file: BinaryIO) -> _abi.Reader:
        def read(_context: Any, offset: int, buffer: int, size: int) -> int:
            try:
                file.seek(offset)
                done = 0
                while done < size:  # a file may give less than it is asked for
                    data = file.read(size - done)
                    if not isinstance(data, bytes):
                        raise TypeError("the file must give bytes: open it in mode 'rb'")
                    if not 0 < len(data) <= size - done:
                        return _abi.IO
                    ctypes.memmove(buffer + done, data, len(data))
                    done += len(data)
                return _abi.OK
            except BaseException as problem:  # as above
                self.problem = problem
                return _abi.IO
        size = file.seek(0, os.SEEK_END)
        return _abi.Reader(size=size, read=_abi.ReadFunction(read))


class Model(Owner):
    """A loaded model: immutable, shared by any number of threads and sessions.

    `source` is the path of a GGUF file, its bytes, a binary file object, or None for the model that
    the package carries. `progress` is called with the share done, 0 to 1, and ends the load with
    CancelledError when it returns something true. A file that `slm convert` wrote stays mapped while
    the model lives, or is read into memory with `copy`.
    """

    def __init__(self, source: Source = None, *, n_threads: int | None = None,
                 max_tensors: int | None = None, max_string_bytes: int | None = None,
                 max_memory_bytes: int | None = None, copy: bool = False,
                 progress: Callable[[float], object] | None = None) -> None:
        callbacks = _Callbacks()
        options = _abi.ModelOptions(
            n_threads=count("n_threads", n_threads, 256),
            max_tensors=count("max_tensors", max_tensors, 2**63),
            max_string_bytes=count("max_string_bytes", max_string_bytes, 2**63),
            max_memory_bytes=count("max_memory_bytes", max_memory_bytes, 2**63),
            flags=_abi.MODEL_COPY if copy else 0,
        )
        if progress is not None:
            options.progress = callbacks.progress(progress)
        try:
            self._handle = _load(default_model_path() if source is None else source, options,
                                 callbacks)
        except Exception:
            if callbacks.problem is not None:
                raise callbacks.problem from None
            raise
        if callbacks.problem is not None:
            raise callbacks.problem
        if self._handle is None:
            raise CancelledError("loading was cancelled by its progress function")

    def __repr__(self) -> str:
        if self._handle is None:
            return "<slm.Model, closed>"
        info = self.info
        return f"<slm.Model {info.name!r}, {info.architecture}, {info.n_parameters:,} parameters>"

    @property
    def info(self) -> ModelInfo:
        info, handle = _abi.ModelInfo(), self._use()
        _abi.call("slm_model_get_info", handle, info)
        numbers = {name: int(getattr(info, name)) for name, *_ in info._fields_
                   if name not in ("struct_size", "architecture", "name")}
        return ModelInfo(architecture=info.architecture.decode("utf-8", "replace"),
                         name=info.name.decode("utf-8", "replace"), **numbers)

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata as text; arrays as their type and length."""
        entries: dict[str, str] = {}
        key, value = ctypes.c_char_p(), ctypes.c_char_p()
        index, handle = 0, self._use()
        while _abi.call("slm_model_get_metadata", handle, index, ctypes.byref(key),
                        ctypes.byref(value)) == _abi.OK:
            entries[(key.value or b"").decode("utf-8", "replace")] = (
                (value.value or b"").decode("utf-8", "replace"))
            index += 1
        return entries

    @property
    def tensors(self) -> list[TensorInfo]:
        """The tensors of the file, in its order."""
        tensors: list[TensorInfo] = []
        info, handle = _abi.TensorInfo(), self._use()
        while _abi.call("slm_model_get_tensor", handle, len(tensors), info) == _abi.OK:
            tensors.append(TensorInfo(info.name.decode("utf-8", "replace"), info.type.decode(),
                                      tuple(info.dims[: info.n_dims]), int(info.bytes)))
        return tensors

    @property
    def tokenizer(self) -> Tokenizer:
        handle = self._use()
        return Tokenizer._borrow(_abi.library.slm_model_get_tokenizer(handle))

    # ---- conversations ----

    @property
    def chat_format(self) -> str:
        """"chatml", "llama3", "llama2" or "bare"; UnsupportedError for another template."""
        name, handle = ctypes.c_char_p(), self._use()
        _abi.call("slm_chat_get_format", handle, ctypes.byref(name))
        return (name.value or b"").decode()

    def render_chat(self, messages: Sequence[Mapping[str, str]], *,
                    add_generation_prompt: bool = True, is_continuation: bool = False) -> str:
        """The conversation as the text that the model was trained to see, BOS excluded.

        A message is a mapping with "role" ("system", "user", "assistant") and "content". With
        `is_continuation` the text follows a conversation that ended with the end of a turn, and begins
        with what stands between two messages.
        """
        array, flags = _messages(messages, add_generation_prompt, is_continuation)
        return read_bytes("slm_chat_render", self._use(), array, len(array), flags,
                          guess=1024).decode("utf-8")

    def encode_chat(self, messages: Sequence[Mapping[str, str]], *,
                    add_generation_prompt: bool = True, is_continuation: bool = False) -> list[int]:
        """The conversation as token ids. Text in a message never becomes a control token.

        `is_continuation` is for a sequence that ends with the token `tokenizer.info.eot`. An answer
        that was cut, say by max_tokens, has no such token yet: append it first.
        """
        array, flags = _messages(messages, add_generation_prompt, is_continuation)
        return read_ids("slm_chat_encode", self._use(), array, len(array), flags, guess=1024)

    def chat(self, messages: Sequence[Mapping[str, str]], *,
             session: SessionSettings | None = None, **settings: Unpack[GenerateSettings]) -> str:
        """Answers a conversation in a session of its own; see Session.generate for the settings.

        To stream, or to go on, use ``session.generate(model.encode_chat(messages))``.
        """
        with self.session(**(session or {})) as own:
            return own.text(self.encode_chat(messages), **settings)

    # ---- sessions ----

    def session(self, **settings: Unpack[SessionSettings]) -> Session:
        """Creates a session; see Session for the settings."""
        from ._session import Session
        return Session(self, **settings)

    def estimate(self, **settings: Unpack[SessionSettings]) -> SessionMemory:
        """The memory that a session with these settings would take, without taking it."""
        from ._session import estimate_session
        return estimate_session(self, **settings)


def _load(source: Any, options: _abi.ModelOptions, callbacks: _Callbacks) -> _abi.Handle | None:
    release = "slm_model_release"
    if isinstance(source, (str, os.PathLike)):
        return _abi.create("slm_model_load", encode_path(source), options, release=release)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        pointer = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
        return _abi.create("slm_model_load_memory", pointer, len(data), options, release=release)
    if hasattr(source, "read") and hasattr(source, "seek"):
        return _abi.create("slm_model_load_reader", callbacks.reader(source), options,
                           release=release)
    raise TypeError("source must be a path, bytes, a binary file or None, "
                    f"not {type(source).__name__}")


def _messages(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool,
              is_continuation: bool) -> tuple[Any, int]:
    array = (_abi.ChatMessage * len(messages))()
    for entry, message in zip(array, messages):
        try:
            role, content = message["role"], message["content"]
        except KeyError as missing:
            raise InvalidArgumentError(f"a message has no {missing}") from None
        data = utf8(content, "the content of a message")
        entry.role, entry.content, entry.content_length = c_text(role, "a role"), data, len(data)
    flags = ((_abi.CHAT_ADD_GENERATION_PROMPT if add_generation_prompt else 0)
             | (_abi.CHAT_CONTINUE if is_continuation else 0))
    return array, flags
