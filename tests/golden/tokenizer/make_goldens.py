#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes small vocabularies (*.gguf) and the ids that llama.cpp gives for texts (*.ids).

Needs gguf, llama-cpp-python, sentencepiece and tokenizers (tests/references/requirements.txt).
A line of *.ids is: flags of slm_tokenizer_encode(), the text in hexadecimal, a bar, the ids.
Run: tests/golden/tokenizer/make_goldens.py
"""
import ctypes
import io
import json
import pathlib
import random

import gguf
import llama_cpp
import sentencepiece
import tokenizers

FOLDER = pathlib.Path(__file__).parent

SENTENCES = """
The small boat went out to sea, and the sea was calm. "Where are we going?" asked the girl.
They've said it's 12 o'clock; I'm sure you'll see what we're doing, don't you? HE'S HERE. WE'LL GO.
In 2024 the price was 1,299.50 dollars, and 3000000 people paid it. 0x1F, 42%, e-mail@example.org.
def add(a, b):\n    return a + b  # the sum\n\n\tprint(add(1, 22), end='\\r\\n')
Das kleine Boot fuhr hinaus aufs Meer. Übergröße, Straße, Öl und Äpfel.
Le petit bateau est parti en mer ; « où allons-nous ? » demanda la fille. Ça va être très bien.
El barquito salió al mar y el niño preguntó: ¿adónde vamos? ¡Mañana!
Маленькая лодка вышла в море, и море было спокойно. Куда мы плывём?
小さな船が海に出ました。どこへ行くのですか。カタカナもあります。
小船出海了,海面很平静。我们要去哪里?一二三四五。
작은 배가 바다로 나갔습니다. 어디로 가나요?
छोटी नाव समुद्र में गई। हम कहाँ जा रहे हैं? १२३
خرج القارب الصغير إلى البحر. إلى أين نحن ذاهبون؟ ٤٥٦
Η μικρή βάρκα βγήκε στη θάλασσα. Πού πάμε;
""".strip().split("\n")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = ["<tool", "<tool>", "\n\n\n"]

TEXTS = SENTENCES + [
    "", " ", "  ", "   x", "x   ", "\n", "\n\n", "\r\n", " \n ", "\t\tx", "a\u00a0b", "a\u3000 b",
    "1", "12", "123", "1234", "12345 67 8", "x1y22z333", " 1 22 333", "\u0663\u0664\u0665\u0666", "\u2167\u00bd\u00b2",
    "it's IT'S it'S 'tis 'll 'LL '", "don't", "'", "''s", "it\u2019s", "'\u017f",
    "!?!", " !?\n\n", "...\r\n\r\nx", "a.b", "-- --", "<|im_end|>", "<|im_start|>user\nhi<|im_end|>",
    "<|im_end", "<tool>x</tool><tool", "<tool<tool>>", "a\n\n\nb\n\n\n\nc", "</s><s><unk>", "<0x41>",
    "\u2581", "a\u2581b", "\u2581\u2581 ", "e\u0301\u0302", "\U0001f642\U0001f44d\U0001f3fd", "\u200d", "\x00\x01\x7f", "\U000e0001", "\u0378",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", " " * 33 + "y", "\U0002ebf0\u4e00",
]  # fmt: skip
POOL = "aeT \t\n'sLl0129\u0664.,!<|>\u00e9\u00df\u6f22\u304b\ud55c\u0939\u093f\U0001f642\u00a0\u2581"

PRES = {
    "gpt-2": "gpt2",
    "llama-bpe": "llama3",
    "qwen2": "qwen2",
    "smollm": "smollm",
}


def add_model(writer):
    """What llama.cpp wants to see before it looks at a vocabulary."""
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)


def byte_level_vocabulary():
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=512, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return tokens, merges


def write_bpe(name, pre, tokens, merges):
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", "llama")
    add_model(writer)
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    kinds += [gguf.TokenType.CONTROL] * len(SPECIAL)
    kinds += [gguf.TokenType.USER_DEFINED] * len(USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens + SPECIAL + USER_DEFINED)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens) + 2)
    close(writer)


def write_spm(name):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=640,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["<tool>"],
        minloglevel=2,
    )
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", "llama")
    add_model(writer)
    kinds = []
    for i in range(sp.get_piece_size()):
        kind = gguf.TokenType.NORMAL
        if sp.is_unknown(i):
            kind = gguf.TokenType.UNKNOWN
        elif sp.is_control(i):
            kind = gguf.TokenType.CONTROL
        elif sp.is_byte(i):
            kind = gguf.TokenType.BYTE
        elif sp.id_to_piece(i) == "<tool>":
            kind = gguf.TokenType.USER_DEFINED
        kinds.append(kind)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([sp.id_to_piece(i) for i in range(sp.get_piece_size())])
    writer.add_token_scores([sp.get_score(i) for i in range(sp.get_piece_size())])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    close(writer)


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_ids(name):
    model = llama_cpp.Llama(str(FOLDER / f"{name}.gguf"), vocab_only=True, verbose=False)
    vocabulary = llama_cpp.llama_model_get_vocab(model.model)
    generator = random.Random(7)
    texts = TEXTS + [
        "".join(generator.choices(POOL, k=generator.randrange(1, 24))) for _ in range(60)
    ]
    with open(FOLDER / f"{name}.ids", "w", encoding="ascii") as file:
        for text in texts:
            data = text.encode()
            for flags in (0, 3) if "<" in text or len(text) < 3 else (0,):
                ids = (ctypes.c_int32 * (len(data) + 8))()
                n = llama_cpp.llama_tokenize(
                    vocabulary, data, len(data), ids, len(ids), bool(flags & 1), bool(flags & 2)
                )
                file.write(f"{flags} {data.hex()}|{' '.join(map(str, ids[:n]))}\n")


def main():
    tokens, merges = byte_level_vocabulary()
    for pre, name in PRES.items():
        write_bpe(name, pre, tokens, merges)
        write_ids(name)
    write_spm("spm")
    write_ids("spm")


if __name__ == "__main__":
    main()
