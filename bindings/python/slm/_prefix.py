# SPDX-License-Identifier: MIT
"""Shared prefixes, and what a saved sequence tells about itself."""
from __future__ import annotations

from dataclasses import dataclass

from . import _abi
from ._convert import Owner, name_of, raw_bytes


class Prefix(Owner):
    """Computed tokens that many sequences begin with: stored once, used by any number of sequences in
    any session of the model with the same kv_type. Immutable; any number of threads may use it.

    Made by Session.prefix() or Sequence.prefix(). Sequences that use it keep it alive.
    """

    def __init__(self, handle: _abi.Handle | None) -> None:
        self._handle = handle

    def _info(self) -> tuple[_abi.PrefixInfo, _abi.Handle]:
        """The handle goes with it, as name and tokens live no longer."""
        info, handle = _abi.PrefixInfo(), self._use()
        _abi.call("slm_prefix_get_info", handle, info)
        return info, handle

    def __repr__(self) -> str:
        if self._handle is None:
            return "<slm.Prefix, closed>"
        return f"<slm.Prefix {self.name!r}, {len(self)} tokens, {self.kv_type}>"

    def __len__(self) -> int:
        return int(self._info()[0].n_tokens)

    @property
    def name(self) -> str:
        """The name by which saved sequences tell what they begin with."""
        info, _handle = self._info()
        name: bytes = info.name
        return name.decode()

    @property
    def tokens(self) -> list[int]:
        """The ids of its tokens."""
        info, _handle = self._info()
        return list(info.tokens[: info.n_tokens])

    @property
    def kv_type(self) -> str:
        """The type of its cache: sessions that use it must have the same."""
        return name_of(self._info()[0].kv_type, _abi.KV_TYPES)

    @property
    def memory_bytes(self) -> int:
        """Bytes that it takes."""
        return int(self._info()[0].memory_bytes)


@dataclass(frozen=True)
class SavedInfo:
    """What a saved sequence holds.

    `kv_type` is that of the cache in it, None without one; `prefix` is the name of the prefix that it
    is relative to, or None; `model` is equal for equal models.
    """

    format: int
    kv_type: str | None
    n_tokens: int
    n_cached: int
    n_prefix_tokens: int
    prefix: str | None
    model: int


def saved_info(blob: bytes | bytearray | memoryview) -> SavedInfo:
    """Describes what Sequence.save() gave, after checking it as far as that goes without a model."""
    data, info = raw_bytes(blob, "a saved sequence"), _abi.SavedInfo()
    _abi.call("slm_saved_get_info", data, len(data), info)
    return SavedInfo(
        format=info.format, kv_type=name_of(info.kv_type, _abi.KV_TYPES) if info.n_cached else None,
        n_tokens=info.n_tokens, n_cached=info.n_cached, n_prefix_tokens=info.n_prefix_tokens,
        prefix=info.prefix.decode("utf-8", "replace") if info.n_prefix_tokens else None,
        model=info.model)
