# SPDX-License-Identifier: MIT
"""Speed beside llama.cpp (llama-cpp-python) on the same GGUF file: prefill and decode, interleaved.

Usage: compare_llama.py [--build DIR] [--shape NAME] [--types Q8_0 Q4_0] [--level avx2]
                        [--rounds 5] [--json FILE].
Each round times ours, then theirs, so that slow spells of the machine meet both; the ratio of a round is
ours over theirs, and the table shows medians. Both sides use the same tokens, threads and a KV cache
in float16. It is a figure, not a test: run it on a quiet machine.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "references"))

import make_models  # noqa: E402
import models  # noqa: E402
import numpy as np  # noqa: E402


class Ours:
    """libslm by its Python package."""

    def __init__(self, slm, path, n_threads, n_context, level):
        self.model = slm.Model(path)
        self.session = self.model.session(
            n_threads=n_threads, context_length=n_context, batch_tokens=512, cpu_level=level
        )

    def round(self, prompt, n_decode):
        """Seconds of prefill and of decoding n_decode given tokens one by one, with logits."""
        with self.session.sequence() as sequence:
            begin = time.perf_counter()
            sequence.append(prompt[:-1])
            sequence.logits(prompt[-1:])
            middle = time.perf_counter()
            for token in prompt[:n_decode]:
                sequence.logits([token])
            return middle - begin, time.perf_counter() - middle


class Theirs:
    """llama.cpp by its low-level interface, so that its Python layer costs nothing."""

    def __init__(self, path, n_threads, n_context):
        import llama_cpp

        self.c = llama_cpp
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_context
        context.n_batch = context.n_ubatch = 512
        context.n_threads = context.n_threads_batch = n_threads
        self.context = llama_cpp.llama_init_from_model(self.model, context)

    def decode(self, tokens):
        ids = (self.c.llama_token * len(tokens))(*tokens)
        if self.c.llama_decode(self.context, self.c.llama_batch_get_one(ids, len(tokens))) != 0:
            raise RuntimeError("llama_decode failed")
        self.c.llama_get_logits(self.context)

    def round(self, prompt, n_decode):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        begin = time.perf_counter()
        self.decode(prompt)
        middle = time.perf_counter()
        for token in prompt[:n_decode]:
            self.decode([token])
        return middle - begin, time.perf_counter() - middle


def measure(slm, arguments, path, n_vocab):
    """Medians of tokens per second of both sides and of the ratios of the rounds."""
    prompt = np.random.default_rng(3).integers(0, n_vocab, arguments.prefill).tolist()
    n_context = arguments.prefill + arguments.decode + 64
    sides = [
        Ours(slm, path, arguments.threads, n_context, arguments.level),
        Theirs(path, arguments.threads, n_context),
    ]
    for side in sides:  # warm up
        side.round(prompt[:32], 4)
    speeds = {"prefill": ([], []), "decode": ([], [])}
    for _ in range(arguments.rounds):
        for i, side in enumerate(sides):
            prefill_seconds, decode_seconds = side.round(prompt, arguments.decode)
            speeds["prefill"][i].append(arguments.prefill / prefill_seconds)
            speeds["decode"][i].append(arguments.decode / decode_seconds)
    result = {}
    for phase, (ours, theirs) in speeds.items():
        result[f"{phase}_tokens_per_second"] = statistics.median(ours)
        result[f"{phase}_tokens_per_second_llama_cpp"] = statistics.median(theirs)
        result[f"{phase}_ratio"] = statistics.median(a / b for a, b in zip(ours, theirs))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    parser.add_argument("--shape", default="smollm2-135m", choices=models.SHAPES)
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--level", default="best", help="ours uses at most these instructions")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    slm = models.import_slm(arguments.build)
    models.silence_llama_cpp()
    folder = ROOT / ".build" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    print(f"{arguments.shape}, {arguments.threads} threads, ours at level {arguments.level}, tokens per second (ours, llama.cpp, ratio)")
    for kind in arguments.types:
        path = folder / f"{arguments.shape}-{kind}.gguf"
        if not path.exists():
            make_models.make(arguments.shape, kind, path)
        row = measure(slm, arguments, path, models.SHAPES[arguments.shape].n_vocab)
        row |= {"shape": arguments.shape, "level": arguments.level, "type": kind, "tensors": models.tensor_types(path)}
        results.append(row)
        for phase in ("prefill", "decode"):
            ours = row[f"{phase}_tokens_per_second"]
            theirs = row[f"{phase}_tokens_per_second_llama_cpp"]
            print(f"{kind:<8}{phase:<9}{ours:>9.1f}{theirs:>9.1f}{row[phase + '_ratio']:>7.2f}"
                  f"   {row['tensors']}", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
