# SPDX-License-Identifier: MIT
"""Compares the figures of `slm eval` with the definitions of their sources, run by other programs.

Each convention is written down here once more, as its source has it, over the logits of transformers
(float32) or llama.cpp, and with llama.cpp's tokenizer. Weights of block types are dequantised for
transformers; the library also rounds activations there, so those limits are wider. Prints a table and
fails where a figure is off by more than its limit. Needs the shared data: exit status 77 without it.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import models
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SLM_TEST_DATA", ROOT.parent / "shared" / "data"))
STORIES = DATA / "weights" / "stories260K"
TEXT = DATA / "text" / "tinystories" / "minigpt_tinystories.txt"
FLOAT_LIMIT = 1e-6  # relative, both sides in float32
BLOCK_LIMIT = 2e-3  # relative, one or both sides round activations


# ---- programs: each gives natural log-probabilities [T, V] of the next token, in float64 --------


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class Transformers:
    """A GGUF file in transformers, in float32; `rounding` is applied to keys and values."""

    def __init__(self, path, rounding=None):
        self.model = models.transformers_model(path, models.read_shape(path))
        self.rounding = rounding

    def __call__(self, tokens):
        import torch

        with torch.no_grad():
            ids = torch.tensor([list(map(int, tokens))])
            cache = make_cache(self.rounding)
            return log_softmax(self.model(ids, past_key_values=cache).logits[0].numpy())


def make_cache(rounding):
    """A cache of transformers that keeps keys and values rounded, or None."""
    import torch
    import transformers

    if rounding is None:
        return None

    class RoundedCache(transformers.DynamicCache):
        def update(self, keys, values, *arguments, **named):
            keys, values = (torch.from_numpy(rounding(x.numpy())) for x in (keys, values))
            return super().update(keys, values, *arguments, **named)

    return RoundedCache()


# What docs/numerics.md says of the types of cache, for heads of at most 32 numbers: one block each. (In
# wider heads the order of transformers' rotation would put other numbers into a block.)
Q4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
Q4_FACTORS = np.array([-0.92 / 127, -1.08 / 127, 1 / 113, -1 / 127], np.float32)


def divide(x, scale):
    return np.where(scale == 0, 0, x * (1 / np.where(scale == 0, 1, scale)))


def round_f16(x):
    return x.astype(np.float16).astype(np.float32)


def round_q8(x):
    scale = round_f16(np.abs(x).max(axis=-1, keepdims=True) / np.float32(127))
    return (np.clip(np.rint(divide(x, scale)), -127, 127) * scale).astype(np.float32)


def round_q4(x):
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=-1, keepdims=True), axis=-1)
    best, least = np.zeros_like(x), np.full(largest.shape, np.inf, np.float32)
    for factor in Q4_FACTORS:
        scale = round_f16(largest * factor)
        codes = np.searchsorted((Q4_VALUES[1:] + Q4_VALUES[:-1]) / 2, divide(x, scale))
        candidate = Q4_VALUES[codes] * scale
        error = ((x - candidate) ** 2).sum(axis=-1, keepdims=True)
        better = error <= least
        best, least = np.where(better, candidate, best), np.where(better, error, least)
    return best.astype(np.float32)


CACHES = {"f16": (round_f16, 1e-2), "q8": (round_q8, 2e-3), "q4": (round_q4, 2e-3)}


class LlamaCpp:
    """A GGUF file in llama.cpp: its log-probabilities and its token ids."""

    def __init__(self, path, n_context):
        import llama_cpp

        f32 = llama_cpp.GGML_TYPE_F32
        self.llama = llama_cpp.Llama(str(path), n_ctx=n_context, n_batch=n_context, logits_all=True,
                                     type_k=f32, type_v=f32, flash_attn=False, verbose=False)
        vocabulary = llama_cpp.llama_model_get_vocab(self.llama.model)
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(vocabulary))

    def __call__(self, tokens):
        self.llama.reset()
        self.llama.eval(list(map(int, tokens)))
        return log_softmax(self.llama.scores[: len(tokens)])

    def encode(self, text):
        return self.llama.tokenize(text.encode(), add_bos=False, special=False)

    @property
    def bos(self):
        return self.llama.token_bos()


def losses(log_probabilities, tokens, first):
    """-ln p of tokens[first:], each after all before it."""
    rows = np.arange(first - 1, len(tokens) - 1)
    return -log_probabilities[rows, np.asarray(tokens)[first:]]


# ---- conventions: each returns the losses that count, window by window --------------------------


def bits_per_byte(predict, ids, bos, context):
    """Every token once, after BOS; pieces of context - 1 tokens. (With BOS only.)"""
    room = context - 1
    for i in range(0, len(ids), room):
        tokens = [bos, *ids[i : i + room]]
        yield losses(predict(tokens), tokens, 1)


def llamacpp(predict, ids, bos, context):
    """perplexity() of llama.cpp's tools/perplexity/perplexity.cpp."""
    tokens = [bos, *ids]
    for chunk in range(len(tokens) // context):
        window = tokens[chunk * context : (chunk + 1) * context]
        window[0] = bos
        yield losses(predict(window), window, context // 2 + 1)


def gptq(predict, ids, bos, context):
    """The loop of the GPTQ, SparseGPT and Wanda programs."""
    tokens = [bos, *ids]
    for i in range(len(tokens) // context):
        window = tokens[i * context : (i + 1) * context]
        yield losses(predict(window), window, 1)


def hf_stride(predict, ids, bos, context, stride):
    """The loop of "Perplexity of fixed-length models" in the documentation of transformers."""
    tokens = [bos, *ids]
    previous = 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + context, len(tokens))
        window = tokens[begin:end]
        yield losses(predict(window), window, max(len(window) - (end - previous), 1))
        previous = end
        if end == len(tokens):
            break


def page_perplexity(windows):
    """hf-stride with the page's weights: each later window counts one token less than it scores."""
    windows = list(windows)
    weights = [len(windows[0]), *(len(w) - 1 for w in windows[1:])]
    total = sum(weight * w.mean() for weight, w in zip(weights, windows))
    return math.exp(total / sum(weights))


def perplexity(windows):
    return math.exp(np.concatenate(list(windows)).mean())


# ---- the comparison -----------------------------------------------------------------------------


class Comparison:
    def __init__(self, build, folder):
        self.tool = build / "examples" / "slm" / "slm"
        self.text = folder / "perplexity.txt"
        self.failed = 0
        print(f"{'model':<13}{'convention':<15}{'by':<14}{'slm eval':>14}{'reference':>14}{'off by':>9}"
              f"{'limit':>8}")

    def ask(self, model, *options):
        command = [self.tool, "eval", model, "--text", self.text, "--json", *map(str, options)]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def check(self, model, what, by, ours, expected, limit):
        off = abs(ours - expected) / abs(expected)
        good = off <= limit
        self.failed += not good
        print(f"{model:<13}{what:<15}{by:<14}{ours:>14.8g}{expected:>14.8g}{off:>9.1e}{limit:>8.0e}"
              + ("" if good else "  TOO FAR"), flush=True)

    def conventions(self, name, path, limit, text):
        """All conventions on one model."""
        self.text.write_text(text)
        llama, torch = LlamaCpp(path, 512), Transformers(path)
        ids, bos = llama.encode(text), llama.bos
        assert llama.adds_bos
        bits = self.ask(path, "--kv", "f32")
        assert bits["text_tokens"] == bits["scored_tokens"] == len(ids)
        loss = float(np.concatenate(list(bits_per_byte(torch, ids, bos, 512))).sum())
        expected = loss / math.log(2) / len(text.encode())
        self.check(name, "bits-per-byte", "transformers", bits["bits_per_byte"], expected, limit)

        def compare(convention, options, by, predict, windows, limit, figure=perplexity):
            ours = self.ask(path, "--kv", "f32", "--convention", convention, *options)["perplexity"]
            self.check(name, convention, by, ours, figure(windows(predict, ids, bos)), limit)

        def stride(predict, ids, bos):
            return hf_stride(predict, ids, bos, 512, 200)

        compare("llamacpp-512", (), "llama.cpp", llama, lambda *a: llamacpp(*a, 512), limit)
        compare("llamacpp-512", (), "transformers", torch, lambda *a: llamacpp(*a, 512), limit)
        compare("gptq-2048", ("--context", 256), "transformers", torch, lambda *a: gptq(*a, 256), limit)
        compare("hf-stride", ("--stride", 200), "transformers", torch, stride, limit)
        compare("hf-stride", ("--stride", 200), "its page", torch, stride, 2e-3, page_perplexity)

    def divergence(self, path, folder):
        """KL of a model with bfloat16 weights from the one with float32 weights."""
        rounded = folder / "perplexity-bf16.gguf"
        models.quantize_gguf(path, rounded, "BF16")
        ours = self.ask(rounded, "--kv", "f32", "--reference", path)
        p_of, q_of = Transformers(path), Transformers(rounded)
        llama = LlamaCpp(path, 512)
        kl, same, change = [], [], []
        ids = llama.encode(self.text.read_text())
        for i in range(0, len(ids), 511):
            tokens = [llama.bos, *ids[i : i + 511]]
            p, q = p_of(tokens)[:-1], q_of(tokens)[:-1]
            kl.append((np.exp(p) * (p - q)).sum(axis=1))
            same.append(p.argmax(axis=1) == q.argmax(axis=1))
            change.append(losses(q, tokens, 1) - losses(p, tokens, 1))
        kl, same, change = map(np.concatenate, (kl, same, change))
        by = "transformers"
        n = len(kl)
        self.check("stories260K", "KL mean", by, ours["kl_mean"], kl.mean(), 1e-4)
        self.check("stories260K", "KL error", by, ours["kl_standard_error"],
                   kl.std() / math.sqrt(n - 1), 1e-4)
        self.check("stories260K", "KL 99 %", by, ours["kl_percentile_99"],
                   np.sort(kl)[math.ceil(0.99 * n) - 1], 1e-3)
        self.check("stories260K", "KL max", by, ours["kl_max"], kl.max(), 1e-3)
        self.check("stories260K", "same top", by, ours["same_top_share"], same.mean(), 1e-3)
        self.check("stories260K", "loss change", by, ours["loss_change"], change.mean(), 1e-3)
        rounded.unlink()

    def caches(self, path):
        """KL of each type of cache from float32."""
        exact, llama = Transformers(path), LlamaCpp(path, 512)
        ids = llama.encode(self.text.read_text())
        pieces = [[llama.bos, *ids[i : i + 511]] for i in range(0, len(ids), 511)]
        expected = [exact(tokens)[:-1] for tokens in pieces]
        for kind, (rounding, limit) in CACHES.items():
            ours = self.ask(path, "--kv", kind, "--compare-kv", "f32")
            rounded = Transformers(path, rounding)
            kl = [(np.exp(p) * (p - rounded(tokens)[:-1])).sum(axis=1) for p, tokens in zip(expected, pieces)]
            self.check("stories260K", f"KL {kind} cache", "transformers", ours["kl_mean"],
                       np.concatenate(kl).mean(), limit)

    def golden(self, path):
        """A negative log-likelihood that was published for stories260K."""
        golden = json.loads((STORIES / "bennyz-golden.json").read_text())
        self.text.write_text(golden["sentence"])
        ours = self.ask(path, "--kv", "f32")
        assert ours["text_tokens"] + 1 == golden["n_tokens"]  # it counts BOS as a token
        self.check("stories260K", "bits-per-byte", "golden nats", ours["negative_log_likelihood"],
                   golden["nll"], 1e-6)
        self.check("stories260K", "bits-per-byte", "golden ppl", ours["perplexity"],
                   golden["perplexity"], 1e-6)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    arguments = parser.parse_args()
    if not STORIES.is_dir() or not TEXT.is_file():
        print(f"left out: no {STORIES} or {TEXT} (see SLM_TEST_DATA)")
        return 77
    folder = ROOT / ".build" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    models.silence_llama_cpp()
    path = folder / "stories260K.gguf"
    command = [sys.executable, ROOT / "examples" / "llama2c_to_gguf.py", STORIES / "stories260K.bin",
               STORIES / "tok512.bin", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    text = TEXT.read_text(encoding="utf-8")[:20000]
    comparison = Comparison(arguments.build, folder)
    comparison.golden(path)
    comparison.conventions("stories260K", path, FLOAT_LIMIT, text)
    comparison.divergence(path, folder)
    comparison.caches(path)
    storyteller = ROOT / "examples" / "models" / "storyteller.gguf"
    comparison.conventions("storyteller", storyteller, BLOCK_LIMIT, text)
    comparison.text.unlink()
    path.unlink()
    print("all within their limits" if not comparison.failed else f"{comparison.failed} too far")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
