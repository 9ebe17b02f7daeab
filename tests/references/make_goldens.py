# SPDX-License-Identifier: MIT
"""Writes tests/golden/logits/: tiny random models and the logits that independent programs give them.

NAME.gguf is the model, NAME.logits what tests/golden/test_logits.c reads (little-endian): the magic
"SLMGOLD1", uint32 T, uint32 V, float32 largest normalised mean squared error, uint32 0, int32 tokens
[T], float32 logits [T, V]. Float types come from transformers in float32, block types from llama.cpp.
"""

import struct
from pathlib import Path

import models
import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "logits"
N_TOKENS = 24

FLOAT_LIMIT = 1e-6
BLOCK_LIMIT = 1e-3

FLOAT_MODELS = [
    ("tiny-llama", "F32"),
    ("tiny-linear", "F16"),
    ("tiny-llama3", "F16"),
    ("tiny-qwen2", "BF16"),
    ("tiny-qwen3", "F16"),
]

# One model shows all types of a block size: the matrices take turns.
BLOCK_MODELS = [
    ("tiny-blocks", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"]),
    ("tiny-super-blocks", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]),
]


def in_turns(kinds):
    """A function from tensor names to types that goes round."""
    count = 0

    def kind_of(_):
        nonlocal count
        count += 1
        return kinds[(count - 1) % len(kinds)]

    return kind_of


def write_logits(path, tokens, logits, limit):
    with open(path, "wb") as file:
        file.write(b"SLMGOLD1" + struct.pack("<IIfI", len(tokens), logits.shape[1], limit, 0))
        file.write(np.asarray(tokens, "<i4").tobytes())
        file.write(np.asarray(logits, "<f4").tobytes())


def main():
    models.silence_llama_cpp()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, kind in FLOAT_MODELS + BLOCK_MODELS:
        shape = models.SHAPES[name]
        path = FOLDER / f"{name}.gguf"
        tokens = np.random.default_rng(7).integers(0, shape.n_vocab, N_TOKENS)
        if isinstance(kind, str):
            models.write_gguf(path, shape, kind)
            logits, limit = models.transformers_logits(path, shape, tokens), FLOAT_LIMIT
        else:
            models.write_gguf(path, shape, in_turns(kind))
            logits, limit = models.llama_cpp_logits(path, tokens), BLOCK_LIMIT
            exact = models.transformers_logits(path, shape, tokens)
            print(f"{name}: llama.cpp against float32: {models.error_of(logits, exact):.1e}")
        write_logits(path.with_suffix(".logits"), tokens, logits, limit)
        print(f"{path.name}: {path.stat().st_size} bytes, {models.tensor_types(path)}")


if __name__ == "__main__":
    main()
