# SPDX-License-Identifier: MIT
"""Speed beside llama.cpp (llama-cpp-python) on the same GGUF file, interleaved.

Usage: compare_llama.py [--build DIR] [--shapes NAME...] [--types Q8_0 Q4_0...] [--rounds 5]
[--prefill 512] [--decode 128] [--phases prefill decode together] [--level avx2] [--json FILE].

Phases: `prefill` computes a prompt, `decode` given tokens one by one, `together` tokens of 16 sequences, one
of each at a time; always with logits. Each round times ours, then theirs, so that slow spells of the
machine meet both; the ratio of a round is ours over theirs, and the table shows medians. Both sides use
the same tokens, threads and a KV cache in float16. It is a figure, not a test: run it on a quiet machine.
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

N_TOGETHER = 16
PHASES = ("prefill", "decode", "together")


class Ours:
    """libslm by the functions of its C interface, so that the Python layer costs nothing."""

    def __init__(self, slm, path, arguments, n_context, n_sequences):
        self.abi = slm._abi
        self.session = slm.Model(path).session(
            n_threads=arguments.threads, context_length=n_context, batch_tokens=512,
            n_sequences=n_sequences, cpu_level=arguments.level,
        )  # fmt: skip
        self.handle = self.session._use()
        self.sequences = []

    def begin(self, n_sequences):
        """Empty sequences instead of what there was."""
        for sequence in self.sequences:
            sequence.remove()
        self.sequences = [self.session.sequence() for _ in range(n_sequences)]

    def decode(self, tokens, sequence):
        """Appends tokens to a sequence; its last one gives logits."""
        ids = (self.abi.c_int32 * len(tokens))(*tokens)
        if len(tokens) > 1:
            self.abi.call("slm_session_append", self.handle, sequence._id, ids, len(tokens) - 1, 0)
        last = (self.abi.c_int32 * 1)(tokens[-1])
        flags = self.abi.APPEND_LOGITS
        self.abi.call("slm_session_append", self.handle, sequence._id, last, 1, flags)

    def finish(self):
        while self.abi.call("slm_session_step", self.handle, 0) == self.abi.MORE:
            pass

    def prefill(self, prompt):
        self.begin(1)
        self.decode(prompt, self.sequences[0])
        self.finish()

    def step(self, token):
        for sequence in self.sequences:
            self.decode([token], sequence)
        self.finish()


class Theirs:
    """llama.cpp by its low-level interface, so that its Python layer costs nothing."""

    def __init__(self, path, arguments, n_context, n_sequences):
        import llama_cpp

        self.c = llama_cpp
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        context = llama_cpp.llama_context_default_params()
        context.n_ctx = n_context * n_sequences
        context.n_seq_max = n_sequences
        context.n_batch = context.n_ubatch = 512
        context.n_threads = context.n_threads_batch = arguments.threads
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        self.batch = llama_cpp.llama_batch_init(n_sequences, 0, 1)

    def decode(self, batch):
        if self.c.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        self.c.llama_get_logits(self.context)

    def begin(self, n_sequences):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        self.position, self.batch.n_tokens = 0, n_sequences

    def prefill(self, prompt):
        self.begin(1)
        for i in range(0, len(prompt), 512):
            part = prompt[i : i + 512]
            ids = (self.c.llama_token * len(part))(*part)
            self.decode(self.c.llama_batch_get_one(ids, len(part)))
        self.position = len(prompt)

    def step(self, token):
        for i in range(self.batch.n_tokens):
            self.batch.token[i], self.batch.pos[i] = token, self.position
            self.batch.n_seq_id[i], self.batch.seq_id[i][0], self.batch.logits[i] = 1, i, True
        self.decode(self.batch)
        self.position += 1


def time_phase(side, phase, prompt, n_decode):
    """Tokens per second."""
    if phase == "prefill":
        begin = time.perf_counter()
        side.prefill(prompt)
        return len(prompt) / (time.perf_counter() - begin)
    n_sequences = N_TOGETHER if phase == "together" else 1
    side.begin(n_sequences)
    side.step(prompt[0])
    begin = time.perf_counter()
    for token in prompt[1 : n_decode + 1]:
        side.step(token)
    return n_sequences * n_decode / (time.perf_counter() - begin)


def measure(slm, arguments, path, n_vocab):
    """Yields for each phase the medians of both sides' tokens per second and of the rounds' ratios."""
    n_prompt = max(arguments.prefill, arguments.decode + 1)
    prompt = np.random.default_rng(3).integers(0, n_vocab, n_prompt).tolist()
    for phase in arguments.phases:
        n_sequences = N_TOGETHER if phase == "together" else 1
        n_decode = arguments.decode // 4 if phase == "together" else arguments.decode
        n_context = (arguments.prefill if phase == "prefill" else n_decode + 1) + 63 & ~63
        sides = [kind(*rest, path, arguments, n_context, n_sequences)
                 for kind, *rest in ((Ours, slm), (Theirs,))]  # fmt: skip
        for side in sides:  # warm up
            time_phase(side, phase, prompt[:33], 4)
        text = prompt[: arguments.prefill] if phase == "prefill" else prompt
        rounds = [[time_phase(side, phase, text, n_decode) for side in sides]
                  for _ in range(arguments.rounds)]  # fmt: skip
        ours, theirs = zip(*rounds)
        yield {
            "phase": phase,
            "tokens_per_second": statistics.median(ours),
            "tokens_per_second_llama_cpp": statistics.median(theirs),
            "ratio": statistics.median(a / b for a, b in rounds),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    parser.add_argument("--shapes", nargs="+", default=["smollm2-135m"], choices=models.SHAPES)
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0"])
    parser.add_argument("--phases", nargs="+", default=["prefill", "decode"], choices=PHASES)
    parser.add_argument("--level", help="processor level of ours; the best one if left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    slm = models.import_slm(arguments.build)
    models.silence_llama_cpp()
    folder = ROOT / ".build" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    print(f"{arguments.threads} threads, tokens per second\n\n"
          "| shape | type | phase | libslm | llama.cpp | ratio |\n|---|---|---|---|---|---|")  # fmt: skip
    for shape in arguments.shapes:
        for kind in arguments.types:
            path = folder / f"{shape}-{kind}.gguf"
            if not path.exists():
                make_models.make(shape, kind, path)
            tensors = models.tensor_types(path)
            for row in measure(slm, arguments, path, models.SHAPES[shape].n_vocab):
                results.append({"shape": shape, "type": kind, "tensors": tensors} | row)
                print(f"| {shape} | {kind} | {row['phase']} | {row['tokens_per_second']:.1f} | "
                      f"{row['tokens_per_second_llama_cpp']:.1f} | {row['ratio']:.2f} |",
                      flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
