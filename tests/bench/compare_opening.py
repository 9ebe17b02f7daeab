# SPDX-License-Identifier: MIT
"""Opening a model beside llama.cpp: process start to first token, and peak resident memory, interleaved.

Usage: compare_opening.py [--build DIR] [--shape NAME] [--types Q8_0 Q4_0 Q4_K_M] [--rounds 7]
[--json FILE]. Each measurement is a fresh process (opening.c, opening_llama.c) that loads a model, makes a
context of 600 tokens and computes the token after one; the clock runs from before the process is made until
it says so. All files are in the page cache. Four sides take turns: llama.cpp, ours with an ordinary file, with a converted one
that is mapped, and with that one copied. After it, decoding 32 tokens gives the speed and the memory its peak.
It is a figure, not a test: run it on a quiet machine. Linux only.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "references"))

import llama_cpp  # noqa: E402
import make_models  # noqa: E402
import models  # noqa: E402


def compile_theirs(folder):
    package = Path(llama_cpp.__file__).parent
    program = folder / "opening_llama"
    libraries = [package / "lib" / f"lib{name}.so" for name in ("llama", "ggml", "ggml-base", "ggml-cpu")]
    subprocess.run(
        ["gcc", "-std=gnu11", "-O2", "-isystem", package.parent / "include",
         ROOT / "tests" / "bench" / "opening_llama.c", *libraries, "-o", program,
         f"-Wl,-rpath,{package / 'lib'}"],
        check=True,
    )  # fmt: skip
    return program


def run(command):
    """Seconds to the first token, tokens per second after it, peak of resident bytes."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "first\n":
        raise RuntimeError(f"{command[0]} failed")
    seconds = time.perf_counter() - begin
    speed, peak = process.stdout.read().split()
    process.wait()
    return seconds, float(speed), int(peak) * 1024


def measure(sides, rounds):
    figures = {name: [] for name in sides}
    for command in sides.values():  # files into the page cache
        run(command)
    for _ in range(rounds):
        for name, command in sides.items():
            figures[name].append(run(command))
    rows = {}
    for name, values in figures.items():
        seconds, speeds, peaks = zip(*values)
        rows[name] = {
            "seconds": statistics.median(seconds), "least_seconds": min(seconds),
            "token_seconds": 1 / statistics.median(speeds), "peak_bytes": max(peaks),
            "decode_ratio_to_ordinary": statistics.median(
                ours[1] / ordinary[1] for ours, ordinary in zip(values, figures["ordinary"])),
        }  # fmt: skip
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / ".build" / "optimised")
    parser.add_argument("--shape", default="llama-3.2-1b", choices=models.SHAPES)
    parser.add_argument("--types", nargs="+", default=["Q8_0", "Q4_0", "Q4_K_M"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="for converted files; they stay there")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        theirs = compile_theirs(Path(temporary))
        ours = arguments.build / "tests" / "bench" / "bench_opening"
        tool = arguments.build / "examples" / "slm" / "slm"
        print(f"{arguments.shape}, {arguments.threads} threads; seconds from start to first token: median (least);"
              " of which a token; peak resident MB; decode beside the ordinary file's")  # fmt: skip
        for kind in arguments.types:
            path = ROOT / ".build" / "models" / f"{arguments.shape}-{kind}.gguf"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                make_models.make(arguments.shape, kind, path)
            converted = (arguments.folder or Path(temporary)) / f"{arguments.shape}-{kind}.slm"
            if not converted.exists():
                subprocess.run([tool, "convert", path, converted], check=True, stdout=subprocess.DEVNULL)
            threads = str(arguments.threads)
            sides = {
                "llama.cpp": [theirs, path, threads],
                "ordinary": [ours, path, threads],
                "mapped": [ours, converted, threads],
                "copied": [ours, converted, threads, "copy"],
            }
            for name, row in measure(sides, arguments.rounds).items():
                size = (converted if name in ("mapped", "copied") else path).stat().st_size
                results.append({"type": kind, "side": name, "file_bytes": size} | row)
                print(f"{kind:<8}{name:<10}{row['seconds']:>7.3f} ({row['least_seconds']:.3f})"
                      f"{row['token_seconds']:>8.3f}{1e-6 * row['peak_bytes']:>9.1f} of {1e-6 * size:.1f}"
                      f"{row['decode_ratio_to_ordinary']:>7.2f}", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
