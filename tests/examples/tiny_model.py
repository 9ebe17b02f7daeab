# SPDX-License-Identifier: MIT
"""Makes the bytes of a tiny random llama model in GGUF, with a byte-wise vocabulary."""
import math
import random
import struct

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
WIDTH, HEADS, FFN, LAYERS = 32, 2, 64, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def array(kind, layout, values):
    if kind == STRING:
        body = b"".join(map(text, values))
    else:
        body = struct.pack(f"<{len(values)}{layout}", *values)
    return struct.pack("<IQ", kind, len(values)) + body


def vocabulary(extra_tokens):
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    for byte in range(97, 123):
        pieces.append(chr(byte))
        types.append(NORMAL)
    pieces += ["\u2581"] + list(extra_tokens)
    types += [NORMAL] + [CONTROL] * len(extra_tokens)
    return pieces, types


def make(chat_template=None, context=128, extra_tokens=(), with_weights=True, seed=1, broken=None):
    """`extra_tokens` become control tokens, as a chat template needs them. The embedding of the token
    `broken` is not a number, so neither are the logits after it."""
    pieces, types = vocabulary(extra_tokens)
    entries = [
        ("general.architecture", STRING, text("llama")),
        ("general.name", STRING, text("tiny")),
        ("llama.context_length", U32, struct.pack("<I", context)),
        ("llama.embedding_length", U32, struct.pack("<I", WIDTH)),
        ("llama.block_count", U32, struct.pack("<I", LAYERS)),
        ("llama.feed_forward_length", U32, struct.pack("<I", FFN)),
        ("llama.attention.head_count", U32, struct.pack("<I", HEADS)),
        ("llama.attention.head_count_kv", U32, struct.pack("<I", HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        ("llama.rope.dimension_count", U32, struct.pack("<I", WIDTH // HEADS)),
        ("tokenizer.ggml.model", STRING, text("llama")),
        ("tokenizer.ggml.tokens", ARRAY, array(STRING, "", pieces)),
        ("tokenizer.ggml.scores", ARRAY, array(F32, "f", [-i for i in range(len(pieces))])),
        ("tokenizer.ggml.token_type", ARRAY, array(I32, "i", types)),
        ("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", 1)),
        ("tokenizer.ggml.eos_token_id", U32, struct.pack("<I", 2)),
        ("tokenizer.ggml.unknown_token_id", U32, struct.pack("<I", 0)),
        ("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
    ]
    if chat_template is not None:
        entries.append(("tokenizer.chat_template", STRING, text(chat_template)))

    shapes = [("token_embd.weight", (len(pieces), WIDTH)), ("output_norm.weight", (WIDTH,))]
    for i in range(LAYERS):
        shapes += [(f"blk.{i}.{name}.weight", shape) for name, shape in (
            ("attn_norm", (WIDTH,)), ("attn_q", (WIDTH, WIDTH)), ("attn_k", (WIDTH, WIDTH)),
            ("attn_v", (WIDTH, WIDTH)), ("attn_output", (WIDTH, WIDTH)), ("ffn_norm", (WIDTH,)),
            ("ffn_gate", (FFN, WIDTH)), ("ffn_up", (FFN, WIDTH)), ("ffn_down", (WIDTH, FFN)),
        )]  # fmt: skip
    if broken is not None:
        shapes.append(("output.weight", (len(pieces), WIDTH)))  # or else all logits were broken
    if not with_weights:
        shapes = []

    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries)))
    for key, kind, value in entries:
        out += text(key) + struct.pack("<I", kind) + value
    draw, data = random.Random(seed), bytearray()
    for name, shape in shapes:
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], 0, len(data))
        center = 1.0 if len(shape) == 1 else 0.0
        values = [center + draw.gauss(0, 0.3) for _ in range(n)]
        if name == "token_embd.weight" and broken is not None:
            values[broken * WIDTH:(broken + 1) * WIDTH] = [math.nan] * WIDTH
        data += struct.pack(f"<{n}f", *values)
    out += bytes(-len(out) % 32)
    return bytes(out + data)
