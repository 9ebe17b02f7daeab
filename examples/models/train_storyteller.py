# SPDX-License-Identifier: MIT
"""Train the storyteller model from story text, export it as GGUF, and measure it.

Steps, in order (each is a subcommand, `--work DIR` holds everything in between):

    prepare    read the stories, hold 1 % out, train the tokenizer, write token ids
    train      train the network; run again to resume; the time budget ends the run
    export     write the GGUF file (Q8_0 matrices, F32 norms)
    evaluate   bits per byte of the float checkpoint and of the GGUF's own weights
    sample     write a story with the weights of a GGUF file
    verify     check a GGUF file against the checkpoint it was made from
    curve      draw the loss curve (SVG) and write its numbers (CSV)
    hf         write the float32 weights as a Hugging Face Llama checkpoint

Needs: torch, numpy, sentencepiece, gguf (and safetensors for `hf`).
"""

import argparse
import csv
import hashlib
import json
import math
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import gguf
import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F
from torch import nn

UNK, BOS, EOS = 0, 1, 2
SEPARATOR = "<|endoftext|>"
Q8_0 = gguf.GGMLQuantizationType.Q8_0


@dataclass
class Config:
    vocab: int = 2048
    width: int = 256
    hidden: int = 768
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    context: int = 512
    theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_width(self):
        return self.width // self.heads


# ---------------------------------------------------------------- stories

def distinct_trigrams(story):
    """Share of a story's word trigrams that occur for the first time (1.0: no repetition)."""
    words = story.split()
    trigrams = list(zip(words, words[1:], words[2:]))
    return len(set(trigrams)) / len(trigrams) if trigrams else 1.0


def is_held_out(story):
    """A fixed 1 %: decided by the hash of the text alone, so it never depends on order."""
    return int.from_bytes(hashlib.sha256(story.encode()).digest()[:8], "big") % 100 == 0


def read_stories(folder, min_chars, min_distinct):
    """Return (training stories, held-out stories, counts) of the stories-*.txt below folder."""
    counts = dict(read=0, duplicate=0, short=0, bad_characters=0, repetitive=0)
    seen, train, held_out = set(), [], []
    for path in sorted(Path(folder).glob("stories-*.txt")):
        for story in path.read_text(encoding="utf-8").split(SEPARATOR):
            story = re.sub(r"[ \t]+\n", "\n", story.strip())
            if not story:
                continue
            counts["read"] += 1
            if story in seen:
                counts["duplicate"] += 1
            elif len(story) < min_chars:
                counts["short"] += 1
            elif re.search(r"[\x00-\x09\x0b-\x1f\x7f\ufffd]", story):
                counts["bad_characters"] += 1
            elif distinct_trigrams(story) < min_distinct:
                counts["repetitive"] += 1
            else:
                (held_out if is_held_out(story) else train).append(story)
            seen.add(story)
    counts.update(train=len(train), held_out=len(held_out),
                  train_bytes=sum(len(s.encode()) for s in train),
                  held_out_bytes=sum(len(s.encode()) for s in held_out))
    return train, held_out, counts


def prepare(args):
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    train, held_out, counts = read_stories(args.stories, args.min_chars, args.min_distinct)
    np.random.default_rng(args.seed).shuffle(train)

    # The trainer takes lines. A newline is no piece of its own: it is written with the byte
    # piece <0x0A>, so that text with newlines comes back unchanged from encode and decode.
    lines = (line for story in train for line in story.split("\n") if line)
    spm.set_random_generator_seed(args.seed)
    spm.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(work / "tokenizer"), model_type="bpe",
        vocab_size=Config.vocab, byte_fallback=True, split_digits=True, add_dummy_prefix=True,
        remove_extra_whitespaces=False, normalization_rule_name="identity",
        character_coverage=0.9999, required_chars="".join(map(chr, range(33, 127))),
        input_sentence_size=args.tokenizer_lines, shuffle_input_sentence=True,
        max_sentence_length=16384, num_threads=args.threads,
        unk_id=UNK, bos_id=BOS, eos_id=EOS, pad_id=-1, minloglevel=1)

    sp = load_tokenizer(work)
    for story in held_out:
        if sp.decode(sp.encode(story)) != story:
            raise SystemExit("the tokenizer does not give this story back: %r" % story)
    ids = []
    for encoded in sp.encode(train, add_bos=True, add_eos=True, num_threads=args.threads):
        ids.append(np.array(encoded, dtype=np.uint16))
    ids = np.concatenate(ids)
    ids.tofile(work / "train.bin")
    counts["train_tokens"] = len(ids)
    (work / "heldout.json").write_text(json.dumps(held_out))
    (work / "data.json").write_text(json.dumps(counts, indent=1))
    print(json.dumps(counts, indent=1))


def load_tokenizer(work):
    return spm.SentencePieceProcessor(model_file=str(Path(work) / "tokenizer.model"))


# ---------------------------------------------------------------- network

def rotate(x, cos, sin):
    """Rotary position embedding over adjacent pairs (2i, 2i+1), as GGUF's `llama` stores them."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def blocked_attention(q, k, v, block=128):
    """Causal attention, a block of queries at a time; on CPU in bfloat16 the fastest way to train."""
    future = torch.full((block, block), -torch.inf, dtype=q.dtype).triu(1)
    parts = []
    for start in range(0, q.shape[2], block):
        end = min(start + block, q.shape[2])
        scores = (q[:, :, start:end] @ k[:, :, :end].transpose(-1, -2)) * q.shape[-1] ** -0.5
        scores[..., start:].add_(future[: end - start, : end - start])
        parts.append(torch.softmax(scores, -1) @ v[:, :, :end])
    return torch.cat(parts, 2)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        kv = c.kv_heads * c.head_width
        self.attn_norm = nn.RMSNorm(c.width, eps=c.eps)
        self.qkv = nn.Linear(c.width, c.width + 2 * kv, bias=False)
        self.out = nn.Linear(c.width, c.width, bias=False)
        self.ffn_norm = nn.RMSNorm(c.width, eps=c.eps)
        self.gate_up = nn.Linear(c.width, 2 * c.hidden, bias=False)
        self.down = nn.Linear(c.hidden, c.width, bias=False)

    def forward(self, x, cos, sin):
        c, (batch, length, _) = self.c, x.shape
        kv = c.kv_heads * c.head_width
        q, k, v = self.qkv(self.attn_norm(x)).split((c.width, kv, kv), dim=-1)
        q = rotate(q.view(batch, length, c.heads, c.head_width), cos, sin)
        k = rotate(k.view(batch, length, c.kv_heads, c.head_width), cos, sin)
        v = v.view(batch, length, c.kv_heads, c.head_width)
        k, v = (t.repeat_interleave(c.heads // c.kv_heads, dim=2) for t in (k, v))
        q, k, v = (t.transpose(1, 2) for t in (q.to(v.dtype), k.to(v.dtype), v))
        if x.requires_grad and q.dtype == torch.bfloat16:
            y = blocked_attention(q, k, v)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, c.width))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Storyteller(nn.Module):
    """A Llama-style network; the output matrix is the embedding matrix."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed = nn.Embedding(c.vocab, c.width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.width, eps=c.eps)
        half = torch.arange(0, c.head_width, 2).float() / c.head_width
        angle = torch.outer(torch.arange(c.context).float(), c.theta ** -half)
        self.register_buffer("cos", angle.cos()[:, None, :], persistent=False)
        self.register_buffer("sin", angle.sin()[:, None, :], persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * c.layers) if residual else 0.02)

    def forward(self, ids):
        x = self.embed(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        return F.linear(self.norm(x), self.embed.weight)

    def loss(self, ids, targets):
        return F.cross_entropy(self(ids).float().flatten(0, 1), targets.flatten())


# ---------------------------------------------------------------- training

class Windows:
    """Windows of context+1 token ids; each epoch visits every window once, in its own order."""

    def __init__(self, path, context, seed):
        self.ids = np.fromfile(path, dtype=np.uint16).astype(np.int64)
        self.context, self.seed = context, seed
        self.count = (len(self.ids) - 1) // context
        self.epoch, self.order = -1, None

    def batch(self, step, size):
        rows = []
        for n in range(step * size, (step + 1) * size):
            if n // self.count != self.epoch:
                self.epoch = n // self.count
                self.order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
            start = self.order[n % self.count] * self.context
            rows.append(self.ids[start: start + self.context + 1])
        rows = torch.from_numpy(np.stack(rows))
        return rows[:, :-1], rows[:, 1:]


def held_out_windows(work, context, count):
    """The first held-out windows, packed like the training data, to watch the loss."""
    stories = json.loads((Path(work) / "heldout.json").read_text())
    ids = sum(load_tokenizer(work).encode(stories[:1000], add_bos=True, add_eos=True), [])
    ids = torch.tensor(ids[: count * context + 1])
    return ids[:-1].view(count, context), ids[1:].view(count, context)


def save_atomically(state, path):
    torch.save(state, str(path) + ".tmp")
    os.replace(str(path) + ".tmp", path)


def train(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    work = Path(args.work)
    c = Config()
    model = Storyteller(c)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=args.weight_decay), dict(params=others, weight_decay=0.0)],
        lr=args.lr, betas=(0.9, 0.95), fused=True)
    data = Windows(work / "train.bin", c.context, args.seed)
    watch = held_out_windows(work, c.context, args.watch_windows)
    step, spent, log = 0, 0.0, []
    checkpoint = work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, log = state["step"], state["seconds"], state["log"]
        print(f"resumed at step {step}, {spent / 60:.1f} min spent")

    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16)
    compute_loss = torch.compile(model.loss) if args.compile else model.loss
    budget, decay = args.minutes * 60, args.decay_minutes * 60
    per_step = args.batch * c.context

    def save():
        save_atomically(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), step=step,
                             seconds=spent, log=log, config=asdict(c), tokens=step * per_step), checkpoint)

    last_save, last_step, last_spent, running = spent, step, spent, []
    while spent < budget and step < args.max_steps:
        began = time.perf_counter()
        # Warm-up by step, then constant, then down to zero over the last minutes of the budget.
        scale = min((step + 1) / args.warmup, 1.0, (budget - spent) / decay)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * scale
        ids, targets = data.batch(step, args.batch)
        with autocast:
            loss = compute_loss(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running.append(loss.item())
        step += 1
        watched = None
        if step % args.watch_every == 0:
            with torch.no_grad(), autocast:
                watched = float(np.mean([model.loss(a[None], b[None]).item() for a, b in zip(*watch)]))
        spent += time.perf_counter() - began
        if step % args.log_every == 0:
            mean = float(np.mean(running))
            speed = (step - last_step) * per_step / (spent - last_spent)
            log.append([step * per_step, spent, args.lr * scale, mean, watched])
            print(f"step {step} tokens {step * per_step / 1e6:.2f}M loss {mean:.4f}"
                  + (f" held-out {watched:.4f}" if watched is not None else "")
                  + f" lr {args.lr * scale:.2e} {speed:.0f} tokens/s, {(budget - spent) / 60:.1f} min left",
                  flush=True)
            last_step, last_spent, running = step, spent, []
        if spent - last_save > args.save_minutes * 60:
            save()
            last_save = spent
    save()
    print(f"stopped at step {step}, {step * per_step} tokens, {spent / 60:.1f} min")


def load_checkpoint(work):
    state = torch.load(Path(work) / "checkpoint.pt", weights_only=True, map_location="cpu")
    model = Storyteller(Config(**state["config"]))
    model.load_state_dict(state["model"])
    return model.eval(), state


# ---------------------------------------------------------------- GGUF

def named_tensors(model):
    """Yield (GGUF tensor name, float32 array). No row is reordered: see rotate()."""
    c = model.c
    kv = c.kv_heads * c.head_width

    def array(t):
        return t.detach().float().contiguous().numpy()

    yield "token_embd.weight", array(model.embed.weight)
    for i, b in enumerate(model.blocks):
        q, k, v = b.qkv.weight.split((c.width, kv, kv))
        gate, up = b.gate_up.weight.chunk(2)
        for name, t in (("attn_norm", b.attn_norm.weight), ("attn_q", q), ("attn_k", k),
                        ("attn_v", v), ("attn_output", b.out.weight), ("ffn_norm", b.ffn_norm.weight),
                        ("ffn_gate", gate), ("ffn_up", up), ("ffn_down", b.down.weight)):
            yield f"blk.{i}.{name}.weight", array(t)
    yield "output_norm.weight", array(model.norm.weight)


def token_table(sp):
    tokens, scores, types = [], [], []
    for i in range(sp.vocab_size()):
        tokens.append(sp.id_to_piece(i).encode())
        scores.append(sp.get_score(i))
        types.append(gguf.TokenType.UNKNOWN if sp.is_unknown(i)
                     else gguf.TokenType.CONTROL if sp.is_control(i)
                     else gguf.TokenType.BYTE if sp.is_byte(i) else gguf.TokenType.NORMAL)
    return tokens, scores, types


def export(args):
    model, state = load_checkpoint(args.work)
    c = model.c
    w = gguf.GGUFWriter(args.out + ".tmp", "llama")
    w.add_name("storyteller")
    w.add_description("Writes very short children's stories in English; 3.7 million parameters, "
                      "trained on generated stories for libslm.")
    w.add_author("libslm")
    w.add_license("MIT")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_vocab_size(c.vocab)
    w.add_context_length(c.context)
    w.add_embedding_length(c.width)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_rope_dimension_count(c.head_width)
    w.add_rope_freq_base(c.theta)
    w.add_layer_norm_rms_eps(c.eps)
    tokens, scores, types = token_table(load_tokenizer(args.work))
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_scores(scores)
    w.add_token_types(types)
    w.add_unk_token_id(UNK)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(EOS)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(True)
    for name, array in named_tensors(model):
        if array.ndim == 2:
            w.add_tensor(name, gguf.quants.quantize(array, Q8_0), raw_dtype=Q8_0)
        else:
            w.add_tensor(name, array)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    size = os.path.getsize(args.out + ".tmp")
    if size > 4_000_000:
        raise SystemExit(f"{args.out} would have {size} bytes, more than 4,000,000")
    os.replace(args.out + ".tmp", args.out)
    print(f"{args.out}: {size} bytes, step {state['step']}, {state['tokens']} tokens")


def load_gguf(path):
    """Build the network from a GGUF file alone, with its matrices dequantised to float32."""
    reader = gguf.GGUFReader(path)

    def field(key):
        return reader.fields["llama." + key].contents()

    c = Config(vocab=field("vocab_size"), width=field("embedding_length"),
               hidden=field("feed_forward_length"), layers=field("block_count"),
               heads=field("attention.head_count"), kv_heads=field("attention.head_count_kv"),
               context=field("context_length"), theta=field("rope.freq_base"),
               eps=field("attention.layer_norm_rms_epsilon"))
    t = {x.name: torch.from_numpy(np.array(gguf.quants.dequantize(x.data, x.tensor_type), np.float32))
         for x in reader.tensors}
    model = Storyteller(c)
    with torch.no_grad():
        model.embed.weight.copy_(t["token_embd.weight"])
        model.norm.weight.copy_(t["output_norm.weight"])
        for i, b in enumerate(model.blocks):
            part = {name.split(".")[2]: x for name, x in t.items() if name.startswith(f"blk.{i}.")}
            b.attn_norm.weight.copy_(part["attn_norm"])
            b.qkv.weight.copy_(torch.cat([part["attn_q"], part["attn_k"], part["attn_v"]]))
            b.out.weight.copy_(part["attn_output"])
            b.ffn_norm.weight.copy_(part["ffn_norm"])
            b.gate_up.weight.copy_(torch.cat([part["ffn_gate"], part["ffn_up"]]))
            b.down.weight.copy_(part["ffn_down"])
    return model.eval(), reader


# ---------------------------------------------------------------- measuring

@torch.no_grad()
def bits_per_byte(model, sp, texts, batch=16):
    """Return (bits per byte, tokens, bytes) over texts.

    Each text is cut into pieces of context-1 tokens (nearly every story is one piece); each piece
    is scored alone after BOS. Every token of the text counts once, BOS and EOS do not.
    """
    room = model.c.context - 1
    pieces = [ids[i: i + room] for ids in sp.encode(texts) for i in range(0, len(ids), room)]
    pieces.sort(key=len)
    nats, count = 0.0, 0
    for start in range(0, len(pieces), batch):
        group = pieces[start: start + batch]
        length = max(map(len, group))
        ids = torch.zeros(len(group), length, dtype=torch.long)
        targets = torch.full((len(group), length), -100)
        for row, piece in enumerate(group):
            ids[row, : len(piece)] = torch.tensor([BOS] + piece[:-1])
            targets[row, : len(piece)] = torch.tensor(piece)
        nats += F.cross_entropy(model(ids).double().flatten(0, 1), targets.flatten(),
                                ignore_index=-100, reduction="sum").item()
        count += sum(map(len, group))
    size = sum(len(text.encode()) for text in texts)
    return nats / math.log(2) / size, count, size


def evaluate(args):
    torch.set_num_threads(args.threads)
    sp = load_tokenizer(args.work)
    sets = {"held-out generated stories": json.loads((Path(args.work) / "heldout.json").read_text())}
    for path in args.text:
        text = Path(path).read_text(encoding="utf-8")
        sets[Path(path).name] = [s.strip() for s in text.split(SEPARATOR) if s.strip()]
    models = {"float32": load_checkpoint(args.work)[0]}
    if args.gguf:
        models["Q8_0"] = load_gguf(args.gguf)[0]
    for label, texts in sets.items():
        for kind, model in models.items():
            bpb, tokens, size = bits_per_byte(model, sp, texts)
            print(f"{label}: {kind} {bpb:.4f} bits per byte, {bpb * size / tokens * math.log(2):.4f} nats "
                  f"per token; {len(texts)} text(s), {tokens} tokens, {size} bytes", flush=True)


@torch.no_grad()
def generate(model, ids, count, temperature, seed):
    """Continue ids until EOS, count new tokens or a full context; temperature 0 is greedy."""
    random = torch.Generator().manual_seed(seed)
    ids = list(ids)
    for _ in range(min(count, model.c.context - len(ids))):
        logits = model(torch.tensor([ids]))[0, -1]
        if temperature > 0:
            token = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=random).item()
        else:
            token = logits.argmax().item()
        if token == EOS:
            break
        ids.append(token)
    return ids


def sample(args):
    torch.set_num_threads(args.threads)
    sp = load_tokenizer(args.work)
    model, _ = load_gguf(args.gguf)
    print(sp.decode(generate(model, sp.encode(args.prompt, add_bos=True), args.tokens,
                             args.temperature, args.seed)))


def verify(args):
    """Compare a GGUF file with its checkpoint: tokens, quantisation error, greedy text."""
    torch.set_num_threads(args.threads)
    sp = load_tokenizer(args.work)
    exact, _ = load_checkpoint(args.work)
    model, reader = load_gguf(args.gguf)
    tokens, scores, types = token_table(sp)

    def field(key):
        return reader.fields["tokenizer.ggml." + key].contents()

    assert [t.encode() for t in field("tokens")] == tokens
    assert np.allclose(field("scores"), scores) and list(field("token_type")) == [int(t) for t in types]
    assert (field("unknown_token_id"), field("bos_token_id"), field("eos_token_id")) == (UNK, BOS, EOS)
    assert "output.weight" not in {t.name for t in reader.tensors}
    stored = dict(named_tensors(model))
    for name, array in named_tensors(exact):
        rounded = array
        if array.ndim == 2:
            rounded = gguf.quants.dequantize(gguf.quants.quantize(array, Q8_0), Q8_0)
        assert np.array_equal(stored[name], rounded), name
    prompt = sp.encode("Once upon a time", add_bos=True)
    ours = generate(model, prompt, 150, 0.0, 0)
    full = generate(exact, prompt, 150, 0.0, 0)
    same = next((i for i, (a, b) in enumerate(zip(ours, full)) if a != b), min(len(ours), len(full)))
    print(f"tokenizer and {len(stored)} tensors agree; greedy: {same - len(prompt)} of "
          f"{len(full) - len(prompt)} tokens equal before the first difference")
    print("Q8_0:   ", sp.decode(ours))
    print("float32:", sp.decode(full))


# ---------------------------------------------------------------- curve and Hugging Face

def curve(args):
    _, state = load_checkpoint(args.work)
    log = state["log"]
    with open(args.out + ".csv", "w", newline="") as f:
        rows = csv.writer(f, lineterminator="\n")
        rows.writerow(["tokens", "train_loss", "heldout_loss", "learning_rate"])
        for tokens, _, lr, loss, watched in log:
            rows.writerow([tokens, f"{loss:.4f}", "" if watched is None else f"{watched:.4f}", f"{lr:.3e}"])

    width, height, left, right, top, bottom = 720, 360, 56, 16, 34, 44
    last = log[-1][0]
    low = math.floor(min(x for r in log for x in r[3:5] if x is not None) * 5) / 5
    high = min(4.0, math.ceil(max(r[3] for r in log) * 5) / 5)

    def px(tokens):
        return left + (width - left - right) * tokens / last

    def py(loss):
        return top + (height - top - bottom) * (high - min(loss, high)) / (high - low)

    def points(column):
        return " ".join(f"{px(row[0]):.1f},{py(row[column]):.1f}" for row in log if row[column] is not None)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           "<title>storyteller: loss over tokens seen</title>",
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    for i in range(round((high - low) / 0.2) + 1):
        loss = low + 0.2 * i
        svg.append(f'<path d="M{left} {py(loss):.1f}H{width - right}" stroke="#e0e0e0"/>'
                   f'<text x="{left - 6}" y="{py(loss) + 4:.1f}" text-anchor="end">{loss:.1f}</text>')
    tick = next(t for t in (1, 2, 5, 10, 20, 50, 100) if last / 1e6 / t <= 12) * 1_000_000
    for tokens in range(0, last + 1, tick):
        svg.append(f'<text x="{px(tokens):.1f}" y="{height - bottom + 18}" text-anchor="middle">'
                   f"{tokens // 1_000_000}</text>")
    svg += [f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">'
            "million tokens seen</text>",
            f'<text x="{left}" y="20">loss (nats per token)</text>',
            f'<text x="{width - 250}" y="20" fill="#4878b0">training</text>',
            f'<text x="{width - 180}" y="20" fill="#c04020">held-out stories</text>',
            f'<polyline points="{points(3)}" fill="none" stroke="#4878b0" stroke-width="1.2"/>',
            f'<polyline points="{points(4)}" fill="none" stroke="#c04020" stroke-width="2"/>', "</svg>"]
    Path(args.out + ".svg").write_text("\n".join(svg) + "\n")
    print(f"{args.out}.csv, {args.out}.svg: {last} tokens, {log[-1][1] / 60:.1f} min")


def hf(args):
    from safetensors.numpy import save_file

    model, _ = load_checkpoint(args.work)
    c = model.c
    names = dict(attn_norm="input_layernorm", attn_q="self_attn.q_proj", attn_k="self_attn.k_proj",
                 attn_v="self_attn.v_proj", attn_output="self_attn.o_proj",
                 ffn_norm="post_attention_layernorm", ffn_gate="mlp.gate_proj",
                 ffn_up="mlp.up_proj", ffn_down="mlp.down_proj")
    out = {}
    for name, array in named_tensors(model):
        parts = name.split(".")
        if parts[0] != "blk":
            out["model.embed_tokens.weight" if parts[0] == "token_embd" else "model.norm.weight"] = array
            continue
        if parts[2] in ("attn_q", "attn_k"):  # adjacent pairs to the two halves of a head
            array = array.reshape(-1, c.head_width // 2, 2, c.width).swapaxes(1, 2).reshape(-1, c.width)
        out[f"model.layers.{parts[1]}.{names[parts[2]]}.weight"] = np.ascontiguousarray(array)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(out, folder / "model.safetensors", metadata=dict(format="pt"))
    (folder / "config.json").write_text(json.dumps(dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=c.vocab,
        hidden_size=c.width, intermediate_size=c.hidden, num_hidden_layers=c.layers,
        num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, head_dim=c.head_width,
        max_position_embeddings=c.context, rms_norm_eps=c.eps, rope_theta=c.theta,
        hidden_act="silu", tie_word_embeddings=True, bos_token_id=BOS, eos_token_id=EOS,
        torch_dtype="float32"), indent=1))
    (folder / "tokenizer.model").write_bytes((Path(args.work) / "tokenizer.model").read_bytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(function, **defaults):
        p = commands.add_parser(function.__name__)
        p.set_defaults(function=function, **defaults)
        p.add_argument("--work", required=True, help="folder for tokenizer, token ids and checkpoint")
        p.add_argument("--threads", type=int, default=os.cpu_count())
        p.add_argument("--seed", type=int, default=1)
        return p

    p = command(prepare)
    p.add_argument("--stories", required=True, help="folder with stories-*.txt")
    p.add_argument("--min-chars", type=int, default=40)
    p.add_argument("--min-distinct", type=float, default=0.85, help="least share of distinct word trigrams")
    p.add_argument("--tokenizer-lines", type=int, default=200_000)
    p = command(train)
    p.add_argument("--minutes", type=float, required=True, help="training time, earlier runs included")
    p.add_argument("--decay-minutes", type=float, default=15, help="the last part, rate falling to 0")
    p.add_argument("--max-steps", type=int, default=10**9)
    p.add_argument("--batch", type=int, default=8, help="windows per step")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--warmup", type=int, default=200, help="steps")
    p.add_argument("--weight-decay", type=float, default=0.1)
    p.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    p.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    p.add_argument("--log-every", type=int, default=20)
    p.add_argument("--watch-every", type=int, default=200, help="a multiple of --log-every")
    p.add_argument("--watch-windows", type=int, default=24)
    p.add_argument("--save-minutes", type=float, default=2)
    p = command(export)
    p.add_argument("--out", required=True, help="GGUF file to write")
    p = command(evaluate)
    p.add_argument("--gguf")
    p.add_argument("--text", nargs="*", default=[], help="further text files to measure")
    p = command(sample)
    p.add_argument("--gguf", required=True)
    p.add_argument("--prompt", default="Once upon a time")
    p.add_argument("--temperature", type=float, default=0.8)
    p.add_argument("--tokens", type=int, default=300)
    p = command(verify)
    p.add_argument("--gguf", required=True)
    p = command(curve)
    p.add_argument("--out", required=True, help="path of the CSV and SVG, without the ending")
    p = command(hf)
    p.add_argument("--out", required=True, help="folder to write")
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
