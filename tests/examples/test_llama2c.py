# SPDX-License-Identifier: MIT
"""The converter for llama2.c files, on the real models that it was made for."""
import json
import os
import subprocess
import sys
from math import exp, log
from pathlib import Path

import pytest
from conftest import ROOT, native_only

DATA = Path(os.environ.get("SLM_TEST_DATA", ROOT.parent / "shared" / "data")) / "weights"
CONVERTER = ROOT / "examples" / "llama2c_to_gguf.py"
KNOWN = ("Once upon a time, there was a little girl named Lily. She loved to play outside in the "
         "park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.")


def convert(*arguments):
    return subprocess.run([sys.executable, CONVERTER, *arguments], capture_output=True, text=True,
                          timeout=60)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Paths of the converted models by name."""
    if not DATA.is_dir():
        pytest.skip(f"the shared models are not there: {DATA}")
    folder = tmp_path_factory.mktemp("converted")
    paths = {}
    for name, model, tokenizer in (("stories260K", "stories260K.bin", "tok512.bin"),
                                   ("babyllama", "model5000.bin", "tok361.bin")):
        paths[name] = folder / f"{name}.gguf"
        done = convert(DATA / name / model, DATA / name / tokenizer, paths[name])
        assert done.returncode == 0, done.stderr
    return paths


def test_stories260k_writes_its_known_text(slm, converted):
    for prompt in ("", "Once upon a time"):
        done = slm("run", converted["stories260K"], "-p", prompt, "-n", 100, "--temp", 0)
        assert done.code == 0 and done.out.startswith(KNOWN)


def test_babyllama_writes_a_story(slm, converted):
    done = slm("run", converted["babyllama"], "-p", "Once upon a time", "-n", 60, "--temp", 0)
    assert done.out.startswith("Once upon a time, there was a little girl named Lily.")


def test_shapes(slm, converted):
    facts = json.loads(slm("info", converted["stories260K"], "--json").out)
    assert facts["parameters"] == 260032
    assert (facts["layers"], facts["width"], facts["heads"], facts["key_value_heads"]) == (5, 64, 8, 4)
    assert (facts["vocabulary_tokens"], facts["context_tokens"]) == (512, 512)
    facts = json.loads(slm("info", converted["babyllama"], "--json").out)
    assert facts["parameters"] == 969216 and facts["vocabulary_tokens"] == 361


@native_only
def test_golden_negative_log_likelihood(converted):
    import slm as slm_package
    golden = json.loads((DATA / "stories260K" / "bennyz-golden.json").read_text())
    with slm_package.Model(converted["stories260K"]) as model, \
            model.session(kv_type="f32") as session:
        ids = model.tokenizer.encode(golden["sentence"], add_special=True)
        nll = 0.0
        for row, target in zip(session.logits(ids), ids[1:]):
            largest = max(row)
            nll += log(sum(exp(x - largest) for x in row)) + largest - row[target]
    assert len(ids) == golden["n_tokens"]
    assert abs(nll - golden["nll"]) < golden["tolerance"]


def test_eval_gives_the_golden_negative_log_likelihood(slm, converted, tmp_path):
    golden = json.loads((DATA / "stories260K" / "bennyz-golden.json").read_text())
    text = tmp_path / "sentence.txt"
    text.write_text(golden["sentence"])
    facts = json.loads(slm("eval", converted["stories260K"], "--text", text, "--kv", "f32", "--json").out)
    assert facts["scored_tokens"] == golden["n_tokens"] - 1  # BOS is among its tokens
    assert abs(facts["negative_log_likelihood"] - golden["nll"]) < 1e-4
    assert abs(facts["perplexity"] - golden["perplexity"]) < 1e-5


def test_bad_files(tmp_path):
    bad = tmp_path / "bad.bin"
    bad.write_bytes(b"\x01\0\0\0" * 7)
    done = convert(bad, bad, tmp_path / "out.gguf")
    assert done.returncode == 1 and "ends at byte" in done.stderr
    done = convert(tmp_path / "none.bin", bad, tmp_path / "out.gguf")
    assert done.returncode == 1 and "none.bin" in done.stderr
    assert not (tmp_path / "out.gguf").exists()
