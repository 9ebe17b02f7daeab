# SPDX-License-Identifier: MIT
"""Settings that sessions and generations take, and the plain values that they give back."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterable, TypedDict

if TYPE_CHECKING:
    from ._model import Model
    from ._sequence import Sequence


class SessionSettings(TypedDict, total=False):
    """Settings of a session; each may be left out or None for its default."""

    n_threads: int | None  # the caller included, 1..256; all cores
    context_length: int | None  # tokens a sequence can hold; the model's, at most 4096
    n_sequences: int | None  # that can exist at once; 1
    pool_tokens: int | None  # of cache for all sequences together; n_sequences full contexts
    batch_tokens: int | None  # computed together at most, 1..4096; 256
    logit_rows: int | None  # rows of logits that a step can deliver; n_sequences
    kv_type: str | None  # "f32", "f16", "q8" or "q4"; f16
    cpu_level: str | None  # use at most this, one of _abi.CPU_LEVELS such as "avx2"; "best"
    top_logprobs: int | None  # largest n_top of a generation, 0..64; 0
    max_memory_bytes: int | None  # refuse to be created if more is needed; no limit
    n_guesses: int | None  # that a batch checks at most, 0..64 (Sequence.speculate()); 0
    draft_model: Model | None  # a far smaller one with the same vocabulary, which guesses; none


class Sampling(TypedDict, total=False):
    """How tokens are chosen; what is left out has the library's default."""

    temperature: float  # 0 = always the most probable token
    top_k: int  # draw from the k most probable; 0 = all
    top_p: float  # draw from the most probable that sum to p; 1 = all
    min_p: float  # drop those below p times the most probable; 0 = none
    seed: int
    repetition_penalty: float  # 1 = off
    frequency_penalty: float  # 0 = off
    presence_penalty: float  # 0 = off
    penalty_last_n: int  # tokens that the penalties look back


class SequenceSettings(TypedDict, total=False):
    """Settings of a sequence, which are its attributes too; what is left out has the library's
    default."""

    priority: int  # larger goes first; 0..255
    full: str  # when the context is full: "end" the generation, "shift" old tokens out, or "wait"
    keep: int  # "shift": tokens at the beginning that stay
    drop: int  # "shift": tokens to drop at a time; 0 = half of those that do not stay
    window: int  # attention sees this many tokens back, and the sinks; 0 = all. Set before computing
    sinks: int  # tokens at the beginning that a window never hides. Set before computing


class GenerateSettings(Sampling, total=False):
    """Settings of a generation, the sampler's among them."""

    max_tokens: int | None  # None = until an end token or a full context
    stop: Iterable[str]  # texts that end the generation and are not delivered
    n_top: int  # deliver the n most probable tokens with each, up to the session's top_logprobs
    ignore_end: bool  # go on after end tokens
    show_special: bool  # control tokens appear as their text
    # What is called when the context is full and the sequence's policy is "wait": it makes room, for
    # example with sequence.replace(). May be `async` for agenerate(). Without it ContextFullError is
    # raised, after which the iteration can be taken up again.
    on_full: Callable[[Sequence], object] | None


class TextSettings(GenerateSettings, SequenceSettings, total=False):
    """Settings of a generation in a sequence of its own."""


@dataclass(frozen=True)
class Token:
    """A generated token. `text` is what became certain with it: whole characters only, often
    empty while a character is incomplete. `id` is -1 for text that a cancellation set free."""

    id: int
    text: str
    position: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Speculation:
    """What came of guesses. Experimental: it may change in any release."""

    is_on: bool  # the last batch of the sequence had guesses
    n_tokens: int  # that it wrote since it guesses
    n_batches: int  # that had guesses
    n_guessed: int
    n_accepted: int  # guesses that came true
    row_cost: float  # of a batch with one guess, in batches without; 0 = unknown


@dataclass(frozen=True)
class SessionMemory:
    """Bytes that a session takes, all of them allocated at its creation."""

    n_pages: int
    total_bytes: int
    kv_bytes: int
    scratch_bytes: int
    logit_bytes: int
    page_bytes: int
