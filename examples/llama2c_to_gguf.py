# SPDX-License-Identifier: MIT
"""Converts a llama2.c model and its tokenizer to GGUF (float32): MODEL.bin TOKENIZER.bin OUT.gguf

Needs Python alone. The formats are those of github.com/karpathy/llama2.c, export.py (legacy_export) and
tokenizer.py (export), and of github.com/ggml-org/ggml, docs/gguf.md.
"""
import argparse
import struct
import sys
from math import prod
from pathlib import Path

UNKNOWN, BOS, EOS = 0, 1, 2
FIRST_BYTE, LAST_BYTE = 3, 258
NORMAL_TOKEN, UNKNOWN_TOKEN, CONTROL_TOKEN, BYTE_TOKEN = 1, 2, 3, 6

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of GGUF metadata
ALIGNMENT = 32


class Reader:
    """Takes numbers off the front of a file."""

    def __init__(self, path):
        self.path, self.data, self.offset = path, path.read_bytes(), 0

    def take(self, size):
        part = self.data[self.offset : self.offset + size]
        if len(part) != size:
            sys.exit(f"{self.path}: ends at byte {len(self.data)}, before what its header promises")
        self.offset += size
        return part

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def tensor(self, *shape):
        """A float32 tensor: its shape, slowest first, and its bytes, which GGUF keeps as they are."""
        return shape, self.take(4 * prod(shape))


def read_model(path):
    """Returns the header's numbers and the tensors under their GGUF names."""
    reader = Reader(path)
    names = ("width", "ffn_width", "n_layers", "n_heads", "n_kv_heads", "n_vocab", "context")
    shape = dict(zip(names, reader.unpack("7i")))
    has_head = shape["n_vocab"] < 0  # a negative size says that the output head is stored apart
    shape["n_vocab"] = abs(shape["n_vocab"])
    if min(shape.values()) < 1 or shape["width"] % shape["n_heads"] or max(shape.values()) > 1 << 24:
        sys.exit(f"{path}: not a llama2.c model: its header says {shape}")

    width, ffn, layers = shape["width"], shape["ffn_width"], shape["n_layers"]
    head = width // shape["n_heads"]
    kv = head * shape["n_kv_heads"]
    tensors = {"token_embd.weight": reader.tensor(shape["n_vocab"], width)}
    # All layers of one kind stand together. q and k rows are paired (0, 1), (2, 3), ... for the
    # rotation, as GGUF wants them for this architecture.
    for name, *dims in (
        ("attn_norm", width), ("attn_q", width, width), ("attn_k", kv, width),
        ("attn_v", kv, width), ("attn_output", width, width), ("ffn_norm", width),
        ("ffn_gate", ffn, width), ("ffn_down", width, ffn), ("ffn_up", ffn, width),
    ):  # fmt: skip
        for layer in range(layers):
            tensors[f"blk.{layer}.{name}.weight"] = reader.tensor(*dims)
    tensors["output_norm.weight"] = reader.tensor(width)
    reader.tensor(2, shape["context"], head // 2)  # a table of rotations that nobody needs
    if has_head:
        tensors["output.weight"] = reader.tensor(shape["n_vocab"], width)
    return shape, tensors


def read_tokenizer(path, n_vocab):
    """Returns pieces, scores and types as SentencePiece has them."""
    reader = Reader(path)
    reader.unpack("i")  # length of the longest piece
    pieces, scores = [], []
    for _ in range(n_vocab):
        score, length = reader.unpack("fi")
        scores.append(score)
        pieces.append(reader.take(length).replace(b" ", "\u2581".encode()))
    pieces[UNKNOWN], pieces[BOS], pieces[EOS] = b"<unk>", b"<s>", b"</s>"
    types = [NORMAL_TOKEN] * n_vocab
    types[UNKNOWN] = UNKNOWN_TOKEN
    types[BOS] = types[EOS] = CONTROL_TOKEN
    for i in range(FIRST_BYTE, min(LAST_BYTE + 1, n_vocab)):
        pieces[i], types[i] = b"<0x%02X>" % (i - FIRST_BYTE), BYTE_TOKEN
    return pieces, scores, types


def text(data):
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    """One metadata entry; a list becomes an array of its kind."""
    layout = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}
    values = value if isinstance(value, list) else [value]
    packed = b"".join(text(v) if kind == STRING else struct.pack(layout[kind], v) for v in values)
    if isinstance(value, list):
        packed = struct.pack("<IQ", kind, len(value)) + packed
        kind = ARRAY
    return text(key.encode()) + struct.pack("<I", kind) + packed


def metadata(name, shape, vocabulary):
    pieces, scores, types = vocabulary
    return [
        entry("general.architecture", STRING, b"llama"),
        entry("general.name", STRING, name.encode()),
        entry("llama.context_length", U32, shape["context"]),
        entry("llama.embedding_length", U32, shape["width"]),
        entry("llama.block_count", U32, shape["n_layers"]),
        entry("llama.feed_forward_length", U32, shape["ffn_width"]),
        entry("llama.attention.head_count", U32, shape["n_heads"]),
        entry("llama.attention.head_count_kv", U32, shape["n_kv_heads"]),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, shape["width"] // shape["n_heads"]),
        entry("llama.rope.freq_base", F32, 10000.0),
        entry("llama.vocab_size", U32, shape["n_vocab"]),
        entry("tokenizer.ggml.model", STRING, b"llama"),
        entry("tokenizer.ggml.tokens", STRING, pieces),
        entry("tokenizer.ggml.scores", F32, scores),
        entry("tokenizer.ggml.token_type", I32, types),
        entry("tokenizer.ggml.unknown_token_id", U32, UNKNOWN),
        entry("tokenizer.ggml.bos_token_id", U32, BOS),
        entry("tokenizer.ggml.eos_token_id", U32, EOS),
        # llama2.c ends a text where the next one would begin.
        entry("tokenizer.ggml.eot_token_id", U32, BOS),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
        entry("tokenizer.ggml.add_eos_token", BOOL, False),
    ]


def padding(size):
    return bytes(-size % ALIGNMENT)


def write(out, name, shape, tensors, vocabulary):
    """Header, metadata, directory, then the tensors, each at a multiple of the alignment."""
    entries = metadata(name, shape, vocabulary)
    directory, offset = [], 0
    for tensor_name, (dims, data) in tensors.items():
        directory.append(
            text(tensor_name.encode())
            + struct.pack(f"<I{len(dims)}QIQ", len(dims), *reversed(dims), 0, offset)
        )
        offset += len(data) + len(padding(len(data)))
    header = b"GGUF" + struct.pack("<IQQ", 3, len(directory), len(entries))
    header += b"".join(entries) + b"".join(directory)
    with open(out, "wb") as file:
        file.write(header + padding(len(header)))
        for _, data in tensors.values():
            file.write(data + padding(len(data)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        shape, tensors = read_model(arguments.model)
        vocabulary = read_tokenizer(arguments.tokenizer, shape["n_vocab"])
        write(arguments.out, arguments.model.stem, shape, tensors, vocabulary)
    except OSError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
