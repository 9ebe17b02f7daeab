# SPDX-License-Identifier: MIT
"""Writes tasks for bench_speculate: speculation_tasks.py DATA FILE.

A task is a kind, a prompt and the answer that is wanted, each ended by a NUL byte. DATA is the folder with
text/aci-bench, text/mts-dialog and text/gutenberg. Answers are cut to some 150 tokens.
"""

import csv
import random
import re
import sys
from pathlib import Path

N_TASKS = 2  # of each kind
N_WORDS = 120  # of an answer, about


def read_csv(path, dialogue, note):
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[dialogue], row[note]) for row in csv.DictReader(file)]


def first_words(text, n):
    """The beginning of a text with its line breaks, n words long."""
    return "".join(re.findall(r"\S+\s*", text)[:n])


def quote(dialogue, rng):
    """What somebody said, word for word, a line each."""
    lines = [line.split("] ", 1)[-1] for line in dialogue.splitlines() if len(line) > 60]
    return "".join(f'- "{line.strip()}"\n' for line in rng.sample(lines, min(len(lines), 9)))


def edit(text, rng):
    """The text with every 30th word or so another, or gone."""
    others = text.split()
    return re.sub(r"\S+", lambda m: rng.choice([*others, ""]) if rng.random() < 1 / 30 else m[0], text)


def make_tasks(data, rng):
    long = read_csv(data / "text/aci-bench/valid.csv", "dialogue", "note")
    short = read_csv(data / "text/mts-dialog/MTS-Dialog-ValidationSet.csv", "dialogue", "section_text")
    short = [pair for pair in short if len(pair[1].split()) > 60]
    book = (data / "text/gutenberg/sherlock_1661.txt").read_text(encoding="utf-8")[20000:]
    for dialogue, note in rng.sample(long, N_TASKS):
        talk = first_words(dialogue, 400)
        yield "spans", f"{talk}\nQuote what matters:\n", first_words(quote(talk, rng), N_WORDS)
        yield "notes", f"{first_words(dialogue, 400)}\nWrite the note:\n", first_words(note, N_WORDS)
    for dialogue, note in rng.sample(short, N_TASKS):
        yield "short notes", f"{dialogue}\nWrite the note:\n", first_words(note, N_WORDS)
    for i in range(N_TASKS):
        passage = first_words(book[i * 9000 :], N_WORDS)
        yield "edits", f"{passage}\nCorrect the text:\n", edit(passage, rng)
        yield "prose", passage, first_words(book[i * 9000 + len(passage) :], N_WORDS)
        yield "digits", "0123456789 " * 3, "".join(rng.choice("0123456789") for _ in range(150))
        yield "new words", passage, " ".join(rng.sample(passage.split(), k=40)) + " " + " ".join(
            "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(30)
        )


def main():
    data, out = map(Path, sys.argv[1:])
    tasks = sorted(make_tasks(data, random.Random(4)))
    out.write_bytes(b"".join(part.encode() + b"\0" for task in tasks for part in task))
    print(f"{len(tasks)} tasks")


main()
