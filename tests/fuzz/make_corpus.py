#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets, shaped like the published vulnerabilities of GGUF readers.

Run: tests/fuzz/make_corpus.py (writes into corpus/ beside this file; found-* there is what fuzzing added)
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


def file(entries=(), tensors=(), data=b"", version=3, n_entries=None, n_tensors=None,
         alignment=32):
    n_entries = len(entries) if n_entries is None else n_entries
    n_tensors = len(tensors) if n_tensors is None else n_tensors
    head = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries)
    head += b"".join(entries) + b"".join(tensors)
    return head + (b"\0" * (-len(head) % alignment) + data if data else b"")


def panels(types, shapes, tensors, size, version=1):
    """A file with stored panels."""
    return file(
        [text("general.architecture", "slm-panels"), u32("general.alignment", 64),
         u32("slm.panels.version", version), text("slm.panels.architecture", "llama"),
         array("slm.panels.types", U32, len(types), struct.pack(f"<{len(types)}I", *types)),
         array("slm.panels.shapes", U64, len(shapes), struct.pack(f"<{len(shapes)}Q", *shapes))],
        tensors, b"\1" * size, alignment=64)


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
    # Counts and lengths of the header that were multiplied or added to without a check (TALOS-2024-1912 to
    # 1916): the product wrapped to a small allocation, and the elements were written behind it.
    "cve-2024-21802-n-dims": file(  # dims of any number were read into an array of four
        [], [string("t") + struct.pack("<I", 0x10000) + struct.pack("<Q", 1) * 64], b"\0" * 32
    ),
    "cve-2024-21825-array-count": file([array("k", STRING, 0x1000000000000001, string("x"))]),
    "cve-2024-21836-n-tensors": file(n_tensors=0x0492492492492493),
    "cve-2024-23496-string-length": file([struct.pack("<Q", HUGE) + b"key" * 9]),  # + 1 gave 0
    "cve-2024-23605-n-kv": file(n_entries=0x0555555555555556),
    # Sizes of tensors whose sum wrapped, so that the file's data was read into a small buffer.
    "cve-2025-53630-sizes": file(
        [], [tensor("a", [1 << 31, 1 << 30], 0, 0), tensor("b", [1 << 31, 1 << 30], 0, 1 << 63)], b"\0"
    ),
    # The same again: the sum just fits, and wraps when the room for the descriptions is added.
    "cve-2026-27940-sizes": file(
        [], [tensor("a", [8, (1 << 58) - 1], 0, 0), tensor("b", [8, (1 << 58) - 1], 0, (1 << 63) - 32)],
        b"\0",
    ),
    # Dimensions whose product wraps to the size of the data that is there.
    "cve-2026-33298-dims": file([], [tensor("t", [1 << 32, 1 << 32, 3], 0, 0)], b"\0" * 32),
    # A tensor that says it is larger than the file: what lay behind in memory was read and written out.
    "cve-2026-7482-beyond-end": file([], [tensor("t", [1 << 20], 0, 0)], b"\0" * 32),
    "tensor-type": file([], [tensor("t", [32], 0x7FFFFFFF, 0)], b"\0" * 32),
    "alignment": file(
        [u32("general.alignment", 1 << 20)], [tensor("a", [(1 << 62) - 1], 24, HUGE - 31)], b"\0" * 8
    ),
    "overlap": file([], [tensor("a", [16], 0, 0), tensor("b", [16], 0, 32)], b"\0" * 128),
    # A Q8_0 matrix of 17 rows in two panels, and a vector; then lists that lie.
    "panels": panels([8, 0], [32, 17, 0, 0, 4, 0, 0, 0],
                     [tensor("m", [544, 2], 24, 0), tensor("v", [4], 0, 1088)],
                     1104),
    "panels-version": panels([8], [32, 17, 0, 0], [tensor("m", [544, 2], 24, 0)], 1088, version=2),
    "panels-type": panels([24], [32, 17, 0, 0], [tensor("m", [544, 2], 24, 0)], 1088),
    "panels-rows": panels([8], [32, HUGE, 0, 0], [tensor("m", [544, 2], 24, 0)], 1088),
    "panels-wrap": panels([0], [1 << 31, (1 << 32) - 1, 0, 0], [tensor("m", [1 << 6], 24, 0)], 64),
    "panels-columns": panels([8], [33, 17, 1, 1], [tensor("m", [544, 2], 24, 0)], 1088),
    "panels-vector": panels([8], [4, 0, 0, 0], [tensor("v", [4], 0, 0)], 16),
    "panels-lists": panels([8, 8], [32, 17], [tensor("m", [544, 2], 24, 0)], 1088),
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
    # A token's text was as long as its length, turned into 32 bits with a sign, said: less than the buffer.
    "cve-2025-49847-piece-length": VOCABULARY + file([
        text("tokenizer.ggml.model", "llama"),
        array("tokenizer.ggml.tokens", STRING, 2, string("a") + struct.pack("<Q", 0x80000000) + b"b"),
    ]),  # fmt: skip
    "no-scores": VOCABULARY + spm(tokens=SPM[:4], types=SPM_KINDS),
    "long-piece": VOCABULARY + spm(tokens=["a" * 600] + SPM[1:]),
    "negative-id": VOCABULARY + spm(
        entry("tokenizer.ggml.eos_token_id", I32, struct.pack("<i", -1))
    ),
    "byte-sign": VOCABULARY + spm(tokens=SPM[:3] + ["<0x-1>"] + SPM[4:]),  # wrote before a table of bytes
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
# More tokens than the caller has room for: their number, compared with a sign, was taken for a small one.
TOKENIZER["cve-2025-52566-many-tokens"] = bytes([4, 0]) + "\u20ac".encode() * 40

# Saved sequences. The first byte has the target put right what a header alone cannot know; see fuzz_state.c.
RIGHT, PREFIX, RESIZE, F32_CACHE = 1, 2, 4, 1 << 3


def saved(n, requested, cached, prefix=0, kv=0, hidden=(0, 0), window=0, sinks=64, full=0, token_size=2,
          tail=b"", name=b"", tokens=(), more=RIGHT | RESIZE):  # fmt: skip
    head = b"SLMSEQ\0\0" + struct.pack("<IIQIIIIQII", 2, kv, 0, n, requested, cached, prefix, 0, *hidden)
    head += struct.pack("<6I", 0, full, 4, 0, window, sinks) + struct.pack("<I", token_size)
    head += bytes([len(tail)]) + tail.ljust(3, b"\0") + struct.pack("<Q", 0) + name.ljust(64, b"\0")
    return bytes([more]) + head + struct.pack(f"<{len(tokens)}H", *tokens)


LETTERS = [260 + i % 26 for i in range(300)]
STATE = {
    "empty-2": saved(0, 0, 0),
    "tokens-2": saved(5, 5, 0, tokens=LETTERS[:5]),
    "cache-2": saved(70, 70, 69, tokens=LETTERS[:70]),
    "cache-2-q8": saved(70, 70, 70, kv=2, tokens=LETTERS[:70]),
    "cache-2-q4-to-f32": saved(70, 70, 70, kv=3, tokens=LETTERS[:70], more=RIGHT | RESIZE | F32_CACHE),
    "relative-2": saved(75, 75, 75, 70, name=b"persona", tokens=LETTERS[:5], more=RIGHT | RESIZE | PREFIX),
    "no-prefix-2": saved(75, 75, 75, 70, name=b"persona", tokens=LETTERS[:5]),
    "window-2": saved(300, 300, 300, hidden=(64, 192), window=70, tokens=LETTERS),
    "window-2-only": saved(10, 10, 0, window=1, sinks=0, full=1, tokens=LETTERS[:10]),
    "full-2": saved(320, 320, 320, full=2, tokens=LETTERS + LETTERS[:20]),
    "too-long-2": saved(321, 321, 320, tokens=LETTERS + LETTERS[:21]),
    "tail-2": saved(3, 3, 2, tail=b"\xe2\x82", tokens=LETTERS[:3]),
    "huge-2": saved(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, token_size=4, more=RIGHT),
    "hidden-wrap-2": saved(70, 70, 70, hidden=(64, 0xFFFFFFC0), window=1, tokens=LETTERS[:70], more=RIGHT),
}

# Calls; see fuzz_api.c for what each byte means.
CREATE = [2, 0, 0, 0, 4, 200, 0, 9, 64, 4, 3, 0, 1, 9, 1, 9]  # choice, session, model, options, manner, size
STEP = [3, 0, 0, 9]


def sequence_call(choice, *arguments, name=0):
    return [8, 0, choice, name, *arguments]


def step(n):
    return STEP * n


BEGIN = CREATE + sequence_call(0, 0)
API = {
    # A number of tokens to drop that is negative, or more than there are: tokens outside the context were
    # shifted and written.
    "cve-2026-21869-drop": BEGIN + sequence_call(10, 2, 1) + sequence_call(10, 4, 11) +
    sequence_call(10, 4, 9) + sequence_call(10, 3, 9) + sequence_call(10, 4, 255, 255) +
    sequence_call(4, 199, 3, 0) + sequence_call(13, 4, 11, 1, 9) + sequence_call(13, 11, 11, 1, 9) +
    sequence_call(8, 40, 1, 0, 0, 9) + step(60),
    "shift": BEGIN + sequence_call(4, 199, 3, 0) + step(3) + sequence_call(13, 4, 3, 1, 9) + step(2),
    "window": BEGIN + sequence_call(10, 5, 20) + sequence_call(10, 6, 0) + sequence_call(4, 199, 3, 0) +
    step(3) + [24, 0, 3, 0, 0, 0, 0, 9] + [24, 0, 6, 0, 0, 0, 0, 1, 99] + step(2),
    "prefix": BEGIN + sequence_call(4, 70, 3, 0) + step(2) + [24, 0, 0, 0, 0, 0] +
    sequence_call(0, 1) + sequence_call(7, 0, name=1) + sequence_call(4, 9, 3, 0, name=1) + step(2) +
    [24, 0, 3, 1, 0, 1, 0, 9] + [24, 0, 6, 0, 0, 0, 1, 2, 99] + step(2),
}

corpora = (("gguf", GGUF), ("tokenizer", TOKENIZER), ("state", STATE), ("api", API))
for target, seeds in corpora:
    (FOLDER / target).mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (FOLDER / target / f"{name}.bin").write_bytes(bytes(data))
