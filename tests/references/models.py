# SPDX-License-Identifier: MIT
"""Random-weight models of real shapes, and the logits that each program gives them.

The weights are scaled so that activations and logits are as large as a trained model's: embeddings have
a standard deviation of 1, a matrix of K inputs one of 1 / sqrt(K), what each layer adds is smaller the
more layers there are, norms lie near 1, logits have a deviation of about 3. (Were the embeddings small
beside what the layers add, each layer would amplify the rounding of the ones before it, and any two
correct programs would differ by more than they do on a trained model.)
Tensors are made in the order and form of transformers; writing a GGUF file renames them and, for the
llama family, permutes the rows of q and k, as llama.cpp's converter does.
"""

import ctypes
import dataclasses
import os
import sys
import zlib
from pathlib import Path

import gguf
import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a model looks like."""

    name: str
    family: str  # llama, qwen2 or qwen3
    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_width: int
    ffn_width: int
    n_vocab: int
    context_length: int = 2048
    rope_base: float = 10000.0
    rope_scaling: tuple = ()  # ("linear", factor) or ("llama3", factor, low, high, original)
    tied: bool = True
    epsilon: float = 1e-5
    pre: str = "smollm"

    @property
    def q_width(self):
        return self.n_heads * self.head_width

    @property
    def kv_width(self):
        return self.n_kv_heads * self.head_width


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("smollm2-135m", "llama", 576, 30, 9, 3, 64, 1536, 49152, 8192, 100000.0),
        Shape(
            "llama-3.2-1b", "llama", 2048, 16, 32, 8, 64, 8192, 128256, 131072, 500000.0,
            ("llama3", 32.0, 1.0, 4.0, 8192), pre="llama-bpe",
        ),
        Shape(
            "qwen3-0.6b", "qwen3", 1024, 28, 16, 8, 128, 3072, 151936, 40960, 1000000.0,
            epsilon=1e-6, pre="qwen2",
        ),
        Shape("narrow-llama", "llama", 256, 4, 4, 2, 64, 768, 4096),
        Shape("tiny-llama", "llama", 32, 2, 4, 2, 8, 64, 320, 128, tied=False),
        Shape("tiny-linear", "llama", 32, 2, 4, 1, 8, 64, 320, 128, rope_scaling=("linear", 4.0)),
        Shape(
            "tiny-llama3", "llama", 32, 2, 2, 2, 16, 64, 320, 256, 500.0,
            ("llama3", 8.0, 1.0, 4.0, 32), pre="llama-bpe",
        ),
        Shape("tiny-qwen2", "qwen2", 32, 2, 4, 2, 8, 96, 320, 128, epsilon=1e-6, pre="qwen2"),
        Shape("tiny-qwen3", "qwen3", 32, 2, 2, 1, 32, 64, 320, 128, epsilon=1e-6, pre="qwen2"),
        Shape("tiny-blocks", "llama", 64, 2, 4, 2, 16, 96, 320, 128),
        Shape("tiny-super-blocks", "llama", 256, 1, 8, 2, 32, 256, 320, 128),
    )
}  # fmt: skip


# ---- tensors -----------------------------------------------------------------------------------


def tensor_shapes(shape):
    """Yields (transformers name, dimensions) of each tensor, embeddings first."""
    width, ffn = shape.width, shape.ffn_width
    yield "model.embed_tokens.weight", (shape.n_vocab, width)
    for layer in range(shape.n_layers):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", (width,)
        for name, rows in (("q", shape.q_width), ("k", shape.kv_width), ("v", shape.kv_width)):
            yield f"{p}self_attn.{name}_proj.weight", (rows, width)
            if shape.family == "qwen2":
                yield f"{p}self_attn.{name}_proj.bias", (rows,)
        if shape.family == "qwen3":
            yield p + "self_attn.q_norm.weight", (shape.head_width,)
            yield p + "self_attn.k_norm.weight", (shape.head_width,)
        yield p + "self_attn.o_proj.weight", (width, shape.q_width)
        yield p + "post_attention_layernorm.weight", (width,)
        yield p + "mlp.gate_proj.weight", (ffn, width)
        yield p + "mlp.up_proj.weight", (ffn, width)
        yield p + "mlp.down_proj.weight", (width, ffn)
    yield "model.norm.weight", (width,)
    if not shape.tied:
        yield "lm_head.weight", (shape.n_vocab, width)


LOGIT_DEVIATION = 3


def random_tensor(shape, name, dims, seed=1):
    """The float32 values of one tensor; the same for the same shape, name and seed."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{shape.name} {name}".encode())])
    values = rng.standard_normal(dims, dtype=np.float32)
    if name.endswith("norm.weight"):
        values = 1 + np.float32(0.1) * values
        last_and_tied = name == "model.norm.weight" and shape.tied
        return values * np.float32(LOGIT_DEVIATION * dims[0] ** -0.5) if last_and_tied else values
    if name.endswith(".bias"):
        return np.float32(0.5) * values
    if name.startswith("model.embed_tokens"):
        return values
    deviation = dims[-1] ** -0.5
    if name == "lm_head.weight":
        deviation *= LOGIT_DEVIATION
    elif ".o_proj." in name or ".down_proj." in name:
        deviation *= (2 * shape.n_layers) ** -0.5
    return np.float32(deviation) * values


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    """model.layers.3.mlp.up_proj.weight -> blk.3.ffn_up.weight"""
    stem, _, kind = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[rest]}.{kind}"
    return f"{GGUF_NAMES[stem]}.{kind}"


def interleave(values, n_heads):
    """Reorders rows so that the halves that rope turns together become neighbours."""
    rows = values.shape[0] // n_heads
    split = values.reshape(n_heads, 2, rows // 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def separate(values, n_heads):
    """Undoes interleave()."""
    rows = values.shape[0] // n_heads
    split = values.reshape(n_heads, rows // 2, 2, *values.shape[1:])
    return split.swapaxes(1, 2).reshape(values.shape)


def n_permuted_heads(shape, name):
    """Heads of a q or k matrix whose rows the llama family permutes; 0 for other tensors."""
    if shape.family != "llama":
        return 0
    if ".q_proj." in name:
        return shape.n_heads
    return shape.n_kv_heads if ".k_proj." in name else 0


def llama3_factors(shape):
    """Divisors of the rope frequencies of Llama 3.1 and later."""
    _, factor, low, high, original = shape.rope_scaling
    exponents = np.arange(0, shape.head_width, 2, dtype=np.float64) / shape.head_width
    lengths = 2 * np.pi * shape.rope_base**exponents
    smooth = np.clip((original / lengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


# ---- GGUF files --------------------------------------------------------------------------------


def byte_symbols():
    """The printable character that GPT-2's byte-level BPE writes for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols, n = {}, 0
    for byte in range(256):
        symbols[byte] = chr(byte) if byte in plain else chr(256 + n)
        n += byte not in plain
    return [symbols[byte] for byte in range(256)]


SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def vocabulary(n_vocab):
    """A byte-level vocabulary of a given size: (tokens, token types, merges)."""
    symbols = byte_symbols()
    tokens, merges = list(symbols), []
    n_plain = n_vocab - len(SPECIAL_TOKENS)
    for first in tokens:
        if len(tokens) >= n_plain:
            break
        for second in symbols[: n_plain - len(tokens)]:
            tokens.append(first + second)
            merges.append(f"{first} {second}")
    types = [gguf.TokenType.NORMAL] * len(tokens)
    tokens += SPECIAL_TOKENS
    types += [gguf.TokenType.CONTROL] * len(SPECIAL_TOKENS)
    return tokens, types, merges


def add_metadata(writer, shape):
    writer.add_name(shape.name)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.ffn_width)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.n_vocab)
    if shape.rope_scaling[:1] == ("linear",):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope_scaling[1])
    tokens, types, merges = vocabulary(shape.n_vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(shape.n_vocab - 3)
    writer.add_eos_token_id(shape.n_vocab - 1)
    writer.add_add_bos_token(False)


def encode(values, kind):
    """The bytes of a tensor in a GGUF type, by llama.cpp's own quantizer where it is a block type."""
    if kind == gguf.GGMLQuantizationType.F32:
        return values
    if kind == gguf.GGMLQuantizationType.F16:
        return values.astype(np.float16)
    if kind == gguf.GGMLQuantizationType.BF16:
        return gguf.quants.quantize(values, kind)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = values.shape
    out = np.empty((rows, columns // block * size), dtype=np.uint8)
    ggml().ggml_quantize_chunk(
        int(kind), values.ctypes.data, out.ctypes.data, 0, rows, columns, None
    )
    return out


def ggml():
    """llama.cpp's tensor library, which llama-cpp-python carries."""
    import llama_cpp

    folder = Path(llama_cpp.__file__).parent / "lib"
    library = ctypes.CDLL(str(folder / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = (
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    )
    return library


def write_gguf(path, shape, kind="F32", seed=1):
    """Writes a model. `kind` names one type for all matrices, or is a function of the tensor's
    GGUF name that returns such a name. Norms, biases and rope factors are F32."""
    types = gguf.GGMLQuantizationType
    kind_of = kind if callable(kind) else lambda name: kind
    writer = gguf.GGUFWriter(str(path), shape.family)
    add_metadata(writer, shape)
    if shape.rope_scaling[:1] == ("llama3",):
        writer.add_tensor("rope_freqs.weight", llama3_factors(shape))
    for name, dims in tensor_shapes(shape):
        values = random_tensor(shape, name, dims, seed)
        n_heads = n_permuted_heads(shape, name)
        if n_heads:
            values = np.ascontiguousarray(interleave(values, n_heads))
        file_name = gguf_name(name)
        tensor_type = types.F32 if values.ndim == 1 else types[kind_of(file_name)]
        raw = None if tensor_type in (types.F32, types.F16) else tensor_type
        writer.add_tensor(file_name, encode(values, tensor_type), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize_gguf(source, target, file_type):
    """Quantizes a float file with llama.cpp to one of its mixtures, for example "Q4_K_M"."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{file_type}")
    params.nthread = 0
    status = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if status != 0:
        raise RuntimeError(f"llama.cpp could not write {target}")


def tensor_types(path):
    """How many tensors of a file have which type, most frequent first: "Q4_K 169, Q6_K 29"."""
    counts = {}
    for tensor in gguf.GGUFReader(str(path)).tensors:
        if len(tensor.shape) > 1:
            counts[tensor.tensor_type.name] = counts.get(tensor.tensor_type.name, 0) + 1
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda c: -c[1]))


# ---- transformers ------------------------------------------------------------------------------


def read_shape(path):
    """The shape of a GGUF file."""
    reader = gguf.GGUFReader(str(path))

    def field(key, default=None):
        entry = reader.get_field(key)
        return default if entry is None else entry.contents()

    family = field("general.architecture")
    n_heads = field(f"{family}.attention.head_count")
    width = field(f"{family}.embedding_length")
    head_width = field(f"{family}.attention.key_length", width // n_heads)
    scaling = ()
    if field(f"{family}.rope.scaling.type") == "linear":
        scaling = ("linear", field(f"{family}.rope.scaling.factor"))
    return Shape(
        name=field("general.name", Path(path).stem),
        family=family,
        width=width,
        n_layers=field(f"{family}.block_count"),
        n_heads=n_heads,
        n_kv_heads=field(f"{family}.attention.head_count_kv", n_heads),
        head_width=head_width,
        ffn_width=field(f"{family}.feed_forward_length"),
        n_vocab=len(field("tokenizer.ggml.tokens")),
        context_length=field(f"{family}.context_length"),
        rope_base=field(f"{family}.rope.freq_base", 10000.0),
        rope_scaling=scaling,
        tied="output.weight" not in {t.name for t in reader.tensors},
        epsilon=field(f"{family}.attention.layer_norm_rms_epsilon"),
    )


def transformers_model(path, shape):
    """A transformers model in float32 with the weights of a GGUF file of that shape."""
    import torch
    import transformers

    rope = {"rope_theta": shape.rope_base, "rope_type": "default"}
    if shape.rope_scaling:
        rope |= {"rope_type": shape.rope_scaling[0], "factor": shape.rope_scaling[1]}
    if rope["rope_type"] == "llama3":
        rope["low_freq_factor"], rope["high_freq_factor"] = shape.rope_scaling[2:4]
        rope["original_max_position_embeddings"] = shape.rope_scaling[4]
    name = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[shape.family]
    config = getattr(transformers, name + "Config")(
        vocab_size=shape.n_vocab,
        hidden_size=shape.width,
        intermediate_size=shape.ffn_width,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context_length,
        rms_norm_eps=shape.epsilon,
        tie_word_embeddings=shape.tied,
        rope_parameters=rope,
        attn_implementation="eager",
    )
    model = getattr(transformers, name + "ForCausalLM")(config).to(torch.float32).eval()
    tensors = {t.name: t for t in gguf.GGUFReader(str(path)).tensors}
    state = {}
    for name, dims in tensor_shapes(shape):
        tensor = tensors[gguf_name(name)]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(dims)
        n_heads = n_permuted_heads(shape, name)
        if n_heads:
            values = separate(values, n_heads)
        state[name] = torch.from_numpy(np.array(values, dtype=np.float32))
    if shape.tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


def transformers_logits(path, shape, tokens):
    """float32 [T, V] by transformers."""
    import torch

    with torch.no_grad():
        output = transformers_model(path, shape)(torch.tensor([list(tokens)]))
    return output.logits[0].numpy()


# ---- the library -------------------------------------------------------------------------------


def import_slm(build):
    """The Python package on the shared library of a build folder."""
    os.environ["SLM_LIBRARY"] = str(Path(build).resolve() / "lib" / "libslm.so")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python"))
    import slm

    return slm


def slm_logits(slm, path, tokens, kv_type="f32", n_threads=2):
    """float32 [T, V] by the library."""
    with slm.Model(path) as model:
        session = model.session(n_threads=n_threads, kv_type=kv_type, logit_rows=len(tokens))
        with session:
            rows = session.logits([int(token) for token in tokens])
    return np.array(rows, dtype=np.float32)


# ---- llama.cpp ---------------------------------------------------------------------------------


def silence_llama_cpp():
    """Keeps llama.cpp's log off the terminal from here on."""
    import llama_cpp

    global _log_callback  # called as long as the program runs, so it is kept
    _log_callback = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(_log_callback, ctypes.c_void_p(0))


def llama_cpp_logits(path, tokens, n_threads=2):
    """float32 [T, V] by llama.cpp, with its cache in float32."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(path),
        n_ctx=max(64, len(tokens)),
        n_batch=max(64, len(tokens)),
        n_threads=n_threads,
        n_threads_batch=n_threads,
        logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False,
        verbose=False,
    )
    model.eval(list(tokens))
    logits = np.array(model.scores[: len(tokens)], dtype=np.float32)
    model.close()
    return logits


def error_of(logits, expected):
    """Normalised mean squared error."""
    difference = np.asarray(logits, np.float64) - expected
    return float(np.sum(difference**2) / np.sum(np.asarray(expected, np.float64) ** 2))
