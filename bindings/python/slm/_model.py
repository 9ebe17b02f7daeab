# SPDX-License-Identifier: MIT
"""Models and tokenizers: what is loaded once and shared by any number of threads."""
from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Mapping, Sequence, Union

from . import _abi
from .errors import CancelledError, InvalidArgumentError, StateError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._session import Session
    from ._settings import GenerateSettings, SessionMemory, SessionSettings

PathName = Union[str, "os.PathLike[str]"]
Source = Union[PathName, bytes, bytearray, memoryview, BinaryIO, None]


def default_model_path() -> Path:
    """The model that the package carries, or the one of the checkout around it."""
    package = Path(__file__).parent
    inside = package / "storyteller.gguf"
    if inside.exists():
        return inside
    return package.parents[2] / "examples" / "models" / "storyteller.gguf"


def count(name: str, value: int | None, maximum: int = 2**32 - 1) -> int:
    """A C option whose 0 means the default: here that is None, and 0 is a mistake."""
    if value is None:
        return 0
    if not isinstance(value, int) or not 1 <= value <= maximum:
        raise InvalidArgumentError(f"{name} must be a whole number from 1 to {maximum}, or None")
    return value


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


def utf8(text: str | bytes) -> bytes:
    """Lone surrogates become bytes that are not UTF-8, which the library then refuses."""
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    return raw_bytes(text, "text")


def id_array(ids: Iterable[int]) -> ctypes.Array[ctypes.c_int32]:
    values = list(ids)
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


class Tokenizer:
    """Text to token ids and back. Any number of threads may use it."""

    def __init__(self, path: PathName) -> None:
        """Loads only the tokenizer of a GGUF file, which need not hold weights."""
        self._handle: int | None = None
        handle = ctypes.c_void_p()
        options = _abi.ModelOptions()
        _abi.call("slm_tokenizer_load", encode_path(path), options, ctypes.byref(handle))
        self._handle = handle.value

    @classmethod
    def _borrow(cls, handle: int) -> Tokenizer:
        tokenizer = cls.__new__(cls)
        tokenizer._handle = _abi.library.slm_tokenizer_retain(handle)
        return tokenizer

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            _abi.library.slm_tokenizer_release(handle)

    def encode(self, text: str | bytes, *, add_special: bool = False, parse_special: bool = False,
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
        return read_ids("slm_tokenizer_encode", self._handle, data, len(data), flags,
                        guess=len(data) + 8)

    def decode(self, ids: Iterable[int], *, show_special: bool = False) -> str:
        """Joins token ids to text. Control tokens give nothing unless `show_special`."""
        array = id_array(ids)
        flags = _abi.TEXT_SHOW_SPECIAL if show_special else 0
        data = read_bytes("slm_tokenizer_decode", self._handle, array, len(array), flags,
                          guess=16 * len(array) + 16)
        return data.decode("utf-8")

    def piece(self, token: int) -> bytes:
        """The bytes that one token stands for; they need not be valid UTF-8 alone."""
        text, length = ctypes.c_void_p(), ctypes.c_size_t()
        _abi.call("slm_tokenizer_get_piece", self._handle, token, ctypes.byref(text),
                  ctypes.byref(length))
        return ctypes.string_at(text.value, length.value) if text.value else b""

    def is_end(self, token: int) -> bool:
        """Whether a token ends a text."""
        return bool(_abi.library.slm_tokenizer_is_end(self._handle, token))

    @property
    def info(self) -> TokenizerInfo:
        info = _abi.TokenizerInfo()
        _abi.call("slm_tokenizer_get_info", self._handle, info)
        special = {name: None if getattr(info, name) < 0 else int(getattr(info, name))
                   for name in ("bos", "eos", "eot", "unk")}
        return TokenizerInfo(n_vocab=info.n_vocab, adds_bos=bool(info.adds_bos),
                             adds_eos=bool(info.adds_eos), kind=info.kind.decode(),
                             pre=info.pre.decode(), **special)


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


class Model:
    """A loaded model: immutable, shared by any number of threads and sessions.

    `source` is the path of a GGUF file, its bytes, a binary file object, or None for the model that
    the package carries. `progress` is called with the share done, 0 to 1, and ends the load with
    CancelledError when it returns something true.
    """

    def __init__(self, source: Source = None, *, n_threads: int | None = None,
                 max_tensors: int | None = None, max_string_bytes: int | None = None,
                 max_memory_bytes: int | None = None,
                 progress: Callable[[float], object] | None = None) -> None:
        self._handle: int | None = None
        callbacks = _Callbacks()
        options = _abi.ModelOptions(
            n_threads=count("n_threads", n_threads, 256),
            max_tensors=count("max_tensors", max_tensors, 2**63),
            max_string_bytes=count("max_string_bytes", max_string_bytes, 2**63),
            max_memory_bytes=count("max_memory_bytes", max_memory_bytes, 2**63),
        )
        if progress is not None:
            options.progress = callbacks.progress(progress)
        try:
            status = self._load(default_model_path() if source is None else source, options,
                                callbacks)
        except Exception:
            if callbacks.problem is not None:
                raise callbacks.problem from None
            raise
        if callbacks.problem is not None:
            raise callbacks.problem
        if status == _abi.CANCELLED:
            raise CancelledError("loading was cancelled by its progress function")

    def _load(self, source: Any, options: _abi.ModelOptions, callbacks: _Callbacks) -> int:
        handle = ctypes.c_void_p()
        out = ctypes.byref(handle)
        if isinstance(source, (str, os.PathLike)):
            status = _abi.call("slm_model_load", encode_path(source), options, out)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
            pointer = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
            status = _abi.call("slm_model_load_memory", pointer, len(data), options, out)
        elif hasattr(source, "read") and hasattr(source, "seek"):
            reader = callbacks.reader(source)
            status = _abi.call("slm_model_load_reader", reader, options, out)
        else:
            raise InvalidArgumentError("source must be a path, bytes, a binary file or None")
        self._handle = handle.value
        return status

    @property
    def handle(self) -> int:
        """The C object, for code that calls the library by itself."""
        if self._handle is None:
            raise StateError("the model was closed")
        return self._handle

    def close(self) -> None:
        """Gives the model back. Sessions of it go on working until they are closed."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            _abi.library.slm_model_release(handle)

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    __del__ = close

    @property
    def info(self) -> ModelInfo:
        info = _abi.ModelInfo()
        _abi.call("slm_model_get_info", self.handle, info)
        numbers = {name: int(getattr(info, name)) for name, *_ in info._fields_
                   if name not in ("struct_size", "architecture", "name")}
        return ModelInfo(architecture=info.architecture.decode("utf-8", "replace"),
                         name=info.name.decode("utf-8", "replace"), **numbers)

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata as text; arrays as their type and length."""
        entries: dict[str, str] = {}
        key, value = ctypes.c_char_p(), ctypes.c_char_p()
        index = 0
        while _abi.call("slm_model_get_metadata", self.handle, index, ctypes.byref(key),
                        ctypes.byref(value)) == _abi.OK:
            entries[(key.value or b"").decode("utf-8", "replace")] = (
                (value.value or b"").decode("utf-8", "replace"))
            index += 1
        return entries

    @property
    def tensors(self) -> list[TensorInfo]:
        """The tensors of the file, in its order."""
        tensors: list[TensorInfo] = []
        info = _abi.TensorInfo()
        while _abi.call("slm_model_get_tensor", self.handle, len(tensors), info) == _abi.OK:
            tensors.append(TensorInfo(info.name.decode("utf-8", "replace"), info.type.decode(),
                                      tuple(info.dims[: info.n_dims]), int(info.bytes)))
        return tensors

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer._borrow(_abi.library.slm_model_get_tokenizer(self.handle))

    # ---- conversations ----

    @property
    def chat_format(self) -> str:
        """"chatml", "llama3", "llama2" or "bare"; UnsupportedError for another template."""
        name = ctypes.c_char_p()
        _abi.call("slm_chat_get_format", self.handle, ctypes.byref(name))
        return (name.value or b"").decode()

    def render_chat(self, messages: Sequence[Mapping[str, str]], *,
                    add_generation_prompt: bool = True, is_continuation: bool = False) -> str:
        """The conversation as the text that the model was trained to see, BOS excluded.

        A message is a mapping with "role" ("system", "user", "assistant") and "content". With
        `is_continuation` the text follows a conversation that ended with the end of a turn, and begins
        with what stands between two messages.
        """
        array, flags = _messages(messages, add_generation_prompt, is_continuation)
        return read_bytes("slm_chat_render", self.handle, array, len(array), flags,
                          guess=1024).decode("utf-8")

    def encode_chat(self, messages: Sequence[Mapping[str, str]], *,
                    add_generation_prompt: bool = True, is_continuation: bool = False) -> list[int]:
        """The conversation as token ids. Text in a message never becomes a control token.

        `is_continuation` is for a sequence that ends with the token `tokenizer.info.eot`. An answer
        that was cut, say by max_tokens, has no such token yet: append it first.
        """
        array, flags = _messages(messages, add_generation_prompt, is_continuation)
        return read_ids("slm_chat_encode", self.handle, array, len(array), flags, guess=1024)

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


def _messages(messages: Sequence[Mapping[str, str]], add_generation_prompt: bool,
              is_continuation: bool) -> tuple[Any, int]:
    array = (_abi.ChatMessage * len(messages))()
    for entry, message in zip(array, messages):
        try:
            role, content = message["role"], utf8(message["content"])
        except KeyError as missing:
            raise InvalidArgumentError(f"a message has no {missing}") from None
        if "\0" in role:
            raise InvalidArgumentError("a role cannot hold a NUL character")
        entry.role, entry.content, entry.content_length = role.encode(), content, len(content)
    flags = ((_abi.CHAT_ADD_GENERATION_PROMPT if add_generation_prompt else 0)
             | (_abi.CHAT_CONTINUE if is_continuation else 0))
    return array, flags
