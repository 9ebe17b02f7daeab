# SPDX-License-Identifier: MIT
"""Compares logits with transformers (float types) and llama.cpp (block types) on the same GGUF files.

Prints a table of normalised mean squared errors, with the cache in float32 and in float16, and fails
where the float32 figure is over the limit. Each model is made when its turn comes, in the build folder,
and removed afterwards unless --keep is given.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import make_models
import models
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FLOAT_LIMIT = 1e-6
BLOCK_LIMIT = 1e-3

FLOAT_TYPES = ["F32", "F16", "BF16"]
FLOAT_SHAPES = ["tiny-llama", "tiny-linear", "tiny-llama3", "tiny-qwen2", "tiny-qwen3"]
BLOCK_CASES = [
    ("smollm2-135m", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q4_K_M"]),
    ("qwen3-0.6b", ["Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K"]),
    ("narrow-llama", ["Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL"]),
]
TRAINED = [
    ("stories260K", "stories260K/stories260K.bin", "stories260K/tok512.bin"),
    ("babyllama", "babyllama/model5000.bin", "babyllama/tok361.bin"),
]


class Comparison:
    """Runs cases and remembers whether all of them were within their limits."""

    def __init__(self, build, folder, keep):
        self.slm = models.import_slm(build)
        self.folder = folder
        self.keep = keep
        self.failed = 0
        print(f"{'model':<16}{'asked for':<10}{'KV f32':>9}{'KV f16':>9}{'limit':>8}  holds")

    def compare(self, name, kind, path, reference, n_vocab, limit, n_tokens=32):
        """Compares one file and prints a row."""
        begin = time.monotonic()
        tokens = np.random.default_rng(11).integers(0, n_vocab, n_tokens)
        expected = reference(path, tokens)
        exact, half = (
            models.error_of(models.slm_logits(self.slm, path, tokens, kv_type), expected)
            for kv_type in ("f32", "f16")
        )
        good = exact <= limit
        self.failed += not good
        print(
            f"{name:<16}{kind:<10}{exact:>9.1e}{half:>9.1e}{limit:>8.0e}"
            f"  {models.tensor_types(path)} ({time.monotonic() - begin:.0f} s)"
            + ("" if good else "  TOO FAR"),
            flush=True,
        )

    def trained(self, data):
        """Really trained models in float32."""
        for name, weights, tokenizer in TRAINED:
            if not (data / weights).is_file():
                print(f"{name:<16}left out: no {weights} (see SLM_TEST_DATA)")
                continue
            path = self.folder / f"{name}.gguf"
            converter = ROOT / "examples" / "llama2c_to_gguf.py"
            command = [sys.executable, converter, data / weights, data / tokenizer, path]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            shape = models.read_shape(path)
            self.compare(
                name, "F32", path, lambda p, t, s=shape: models.transformers_logits(p, s, t),
                shape.n_vocab, FLOAT_LIMIT, 64,
            )  # fmt: skip
            self.remove(path)

    def floats(self):
        for name in FLOAT_SHAPES:
            shape = models.SHAPES[name]
            for kind in FLOAT_TYPES:
                path = self.folder / f"{name}-{kind}.gguf"
                make_models.make(name, kind, path)
                self.compare(
                    name, kind, path, lambda p, t, s=shape: models.transformers_logits(p, s, t),
                    shape.n_vocab, FLOAT_LIMIT, 64,
                )  # fmt: skip
                self.remove(path)

    def blocks(self):
        for name, kinds in BLOCK_CASES:
            shape = models.SHAPES[name]
            source = self.folder / f"{name}-F16.gguf"
            if not source.exists():
                models.write_gguf(source, shape, "F16")
            for kind in kinds:
                path = self.folder / f"{name}-{kind}.gguf"
                if not path.exists():
                    models.quantize_gguf(source, path, kind)
                self.compare(name, kind, path, models.llama_cpp_logits, shape.n_vocab, BLOCK_LIMIT)
                self.remove(path)
            self.remove(source)

    def remove(self, path):
        if not self.keep:
            path.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    parser.add_argument("--keep", action="store_true", help="keep the models")
    parser.add_argument("--only", choices=["trained", "floats", "blocks"])
    arguments = parser.parse_args()
    data = Path(os.environ.get("SLM_TEST_DATA", ROOT.parent / "shared" / "data")) / "weights"
    folder = ROOT / ".build" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    models.silence_llama_cpp()
    comparison = Comparison(arguments.build, folder, arguments.keep)
    parts = {
        "trained": lambda: comparison.trained(data),
        "floats": comparison.floats,
        "blocks": comparison.blocks,
    }
    for name, part in parts.items():
        if arguments.only in (None, name):
            part()
    print("all within their limits" if not comparison.failed else f"{comparison.failed} too far")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
