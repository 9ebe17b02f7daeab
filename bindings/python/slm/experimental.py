# SPDX-License-Identifier: MIT
"""What may change in any release: the library's experimental headers, as far as Python has them."""
from __future__ import annotations

from typing import Callable

from . import _abi
from ._convert import PathName, count, encode_path
from ._model import _Callbacks
from .errors import CancelledError


def convert(path: PathName, out_path: PathName, *, n_threads: int | None = None,
            progress: Callable[[float], object] | None = None) -> None:
    """Writes the model of a GGUF file to another file, which opens many times faster.

    `progress` is called with the share done, 0 to 1, and ends the work with CancelledError when it
    returns something true; then, and after any other error, what was at `out_path` is still there.
    """
    callbacks = _Callbacks()
    options = _abi.ModelOptions(n_threads=count("n_threads", n_threads, 256))
    if progress is not None:
        options.progress = callbacks.progress(progress)
    status = _abi.call("slm_x_convert_file", encode_path(path), encode_path(out_path), options)
    if callbacks.problem is not None:
        raise callbacks.problem
    if status == _abi.CANCELLED:
        raise CancelledError("converting was cancelled by its progress function")
