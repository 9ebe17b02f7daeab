# SPDX-License-Identifier: MIT
"""Small language models in a library of their own: a thin layer over libslm.

>>> import slm
>>> with slm.Model() as model, model.session() as session:
...     for piece in session.generate("Once upon a time", max_tokens=50):
...         print(piece, end="", flush=True)
"""
from ._abi import library as _library
from ._generation import AsyncGeneration, Generation
from ._logits import Logits
from ._model import Model, ModelInfo, TensorInfo, Tokenizer, TokenizerInfo, default_model_path
from ._prefix import Prefix, SavedInfo, saved_info
from ._sampler import Sampler
from ._sequence import Sequence
from ._session import Session
from ._settings import (
    GenerateSettings, Sampling, SequenceSettings, SessionMemory, SessionSettings, Speculation,
    TextSettings, Token,
)
from .errors import (
    BudgetError, BufferTooSmallError, BusyError, CancelledError, ChecksumError, ContextFullError,
    FormatError, InternalError, InvalidArgumentError, InvalidUtf8Error, IoError, LimitError,
    MismatchError, NotFiniteError, NotFoundError, OperatingSystemError, OutOfMemoryError,
    OutOfRangeError, SlmError, StaleIdError, StateError, TruncatedError, UnsupportedError,
)

__version__ = "0.1.0"


def version() -> str:
    """The version of the C library that runs."""
    number = int(_library.slm_version())
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def numerics_version() -> int:
    """Libraries with the same number give the same bits for the same model, input and seed."""
    return int(_library.slm_numerics_version())


def cpu_level() -> str:
    """The best processor level of this machine, for example "avx512"."""
    name: bytes = _library.slm_cpu_level_name(_library.slm_cpu_level())
    return name.decode()


__all__ = [
    "AsyncGeneration", "BudgetError", "BufferTooSmallError", "BusyError", "CancelledError",
    "ChecksumError", "ContextFullError", "FormatError", "GenerateSettings", "Generation",
    "InternalError", "InvalidArgumentError", "InvalidUtf8Error", "IoError", "LimitError", "Logits",
    "MismatchError", "Model", "ModelInfo", "NotFiniteError", "NotFoundError",
    "OperatingSystemError", "OutOfMemoryError", "OutOfRangeError", "Prefix", "Sampler", "Sampling",
    "SavedInfo", "Sequence", "SequenceSettings", "Session", "SessionMemory", "SessionSettings",
    "SlmError", "Speculation", "StaleIdError", "StateError", "TensorInfo", "TextSettings", "Token",
    "Tokenizer", "TokenizerInfo", "TruncatedError", "UnsupportedError", "cpu_level",
    "default_model_path", "numerics_version", "saved_info", "version",
]
