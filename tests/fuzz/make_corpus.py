#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets, shaped like the published vulnerabilities of GGUF readers.

Run: tests/fuzz/make_corpus.py (writes corpus/gguf/ and corpus/tokenizer/ beside this file)
"""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent / "corpus"
U8, I32, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 5, 4, 6, 7, 8, 9, 10


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


def u32(key, value):
    return entry(key, U32, struct.pack("<I", value))


def text(key, value):
    return entry(key, STRING, string(value))


def array(key, kind, count, body):
    return entry(key, ARRAY, struct.pack("<IQ", kind, count) + body)


def strings(key, values):
    return array(key, STRING, len(values), b"".join(map(string, values)))


def tensor(name, dims, kind, offset):
    head = string(name) + struct.pack("<I", len(dims))
    return head + b"".join(struct.pack("<Q", d) for d in dims) + struct.pack("<IQ", kind, offset)


def file(entries=(), tensors=(), data=b"", version=3, n_entries=None, n_tensors=None):
    n_entries = len(entries) if n_entries is None else n_entries
    n_tensors = len(tensors) if n_tensors is None else n_tensors
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries)
    head += b"".join(entries) + b"".join(tensors)
    return head + (b"\0" * (-len(head) % 32) + data if data else b"")


HUGE = (1 << 64) - 1

GGUF = {
    "plain": file(
        [text("general.name", "tiny"), u32("number", 7), strings("words", ["a", "", "c"])],
        [tensor("a", [8], 0, 0), tensor("b", [32, 2], 8, 32)],
        b"\1" * 100,
    ),
    "version-2-aligned": file(
        [u32("general.alignment", 64)], [tensor("a", [4, 2], 1, 0)], b"\0" * 16, version=2
    ),
    "all-values": file(
        [entry(f"k{kind}", kind, b"\1" * size) for kind, size in
         enumerate([1, 1, 2, 2, 4, 4, 4, 1]) if size] +
        [entry("f64", 12, b"\0" * 8), entry("i64", 11, b"\xff" * 8), entry("u64", U64, b"\xff" * 8)] +
        [array("flags", BOOL, 3, b"\0\1\0"), array("f", F32, 2, b"\0\0\xc0\x7f\0\0\x80\x7f")]
    ),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "cve-2024-21802-tensor-type": file([], [tensor("t", [32], 0x7FFFFFFF, 0)], b"\0" * 32),
    "cve-2024-21825-array-count": file([array("k", STRING, 0x2000000000000001, string("x"))]),
    "cve-2024-21836-n-tensors": file(n_tensors=0x0492492492492493),
    "cve-2024-23496-n-kv": file(n_entries=0x0555555555555556),
    "cve-2024-23605-string": file([string(b"")[:0] + struct.pack("<Q", HUGE) + b"key"], n_entries=1),
    "cve-2025-53630-sizes": file(
        [], [tensor("a", [1 << 31, 1 << 30], 0, 0), tensor("b", [1 << 31, 1 << 30], 0, 1 << 63)], b"\0"
    ),
    "cve-2026-27940-padding": file(
        [u32("general.alignment", 1 << 20)], [tensor("a", [(1 << 62) - 1], 24, HUGE - 31)], b"\0" * 8
    ),
    "dims-wrap": file([], [tensor("t", [1 << 32, 1 << 32, 3], 0, 0)], b"\0" * 32),
    "overlap": file([], [tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], b"\0" * 128),
    "twice": file([u32("k", 1), u32("k", 2)]),
    "array-of-arrays": file([array("k", ARRAY, 1, struct.pack("<IQ", U8, 0))]),
}

SPM = ["<unk>", "<s>", "</s>", "<0x0A>", "\u2581", "a", "b", "\u2581a", "ab", "\u2581ab"]
SPM_KINDS = [2, 3, 3, 6, 1, 1, 1, 1, 1, 4]
BPE = ["a", "b", "\u0120", "ab", "\u0120ab", "<|im_end|>", "<t>"]
BPE_KINDS = [1, 1, 1, 1, 1, 3, 4]


def kinds(values):
    return array("tokenizer.ggml.token_type", I32, len(values), struct.pack(f"<{len(values)}i", *values))


def scores(n):
    body = struct.pack(f"<{n}f", *[-float(i) for i in range(n)])
    return array("tokenizer.ggml.scores", F32, n, body)


def spm(*more, tokens=SPM, types=SPM_KINDS):
    return file([
        text("tokenizer.ggml.model", "llama"), strings("tokenizer.ggml.tokens", tokens),
        scores(len(tokens)), kinds(types), *more,
    ])  # fmt: skip


def bpe(pre, *more, tokens=BPE, types=BPE_KINDS, merges=("a b", "\u0120 ab")):
    return file([
        text("tokenizer.ggml.model", "gpt2"), text("tokenizer.ggml.pre", pre),
        strings("tokenizer.ggml.tokens", tokens), kinds(types),
        strings("tokenizer.ggml.merges", list(merges)), *more,
    ])  # fmt: skip


VOCABULARY = b"\5\3"  # the rest is a GGUF file; flags: add and parse special tokens

TOKENIZER = {
    "spm": VOCABULARY + spm(),
    "bpe": VOCABULARY + bpe("llama-bpe"),
    "phi-3": VOCABULARY + spm(text("general.name", "phi-3")),
    "cve-2025-49847-vocabulary": VOCABULARY + spm(tokens=SPM[:4], types=SPM_KINDS),
    "cve-2025-52566-long-piece": VOCABULARY + spm(tokens=["a" * 600] + SPM[1:]),
    "cve-2026-21869-negative-id": VOCABULARY + spm(
        entry("tokenizer.ggml.eos_token_id", I32, struct.pack("<i", -1))
    ),
    "id-outside": VOCABULARY + bpe("qwen2", u32("tokenizer.ggml.eos_token_id", 7)),
    "odd-pieces": VOCABULARY + bpe(
        "gpt-2", tokens=["", b"\xff", "a", "a", " ", "\u2581", "\u0120"],
        types=[1, 4, 1, 1, 3, 6, -9], merges=["", " ", "a", "a ", " a", "a a", "\u0120 \u0120"],
    ),
}
WORDS = "it's ab  abab\n\n 'LL 1112 <|im_end|><t><t \u20ac\u6f22\u00a0\u2581 \U0001f642'\u017f\t\r\n x"
for number, name in enumerate(["gpt-2", "llama-bpe", "qwen2", "smollm", "spm"]):
    TOKENIZER[f"text-{name}"] = bytes([number, 2]) + WORDS.encode()
    TOKENIZER[f"text-{name}-invalid"] = bytes([number, 4]) + WORDS.encode()[::-1]
TOKENIZER["text-spans"] = bytes([2, 2 | 16]) + ("<|im_end|>" * 9).encode()

for target, seeds in (("gguf", GGUF), ("tokenizer", TOKENIZER)):
    (FOLDER / target).mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (FOLDER / target / f"{name}.bin").write_bytes(data)
