# SPDX-License-Identifier: MIT
"""Writes random-weight GGUF files of real shapes.

Usage: make_models.py SHAPE TYPE FILE, for example `make_models.py smollm2-135m Q4_K_M model.gguf`.
TYPE is F32, F16, BF16, or a mixture that llama.cpp's quantizer knows; as in published files some of
its tensors then have other types, which are printed.
"""

import argparse
import tempfile
from pathlib import Path

import models


def make(shape_name, file_type, path, seed=1):
    """Writes one file, by way of a float file for the block types."""
    shape = models.SHAPES[shape_name]
    if file_type in ("F32", "F16", "BF16"):
        models.write_gguf(path, shape, file_type, seed)
        return
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        source = Path(folder) / "float.gguf"
        models.write_gguf(source, shape, "F16", seed)
        models.quantize_gguf(source, path, file_type)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=models.SHAPES)
    parser.add_argument("type")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    models.silence_llama_cpp()
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    make(arguments.shape, arguments.type, arguments.file, arguments.seed)
    print(f"{arguments.file}: {models.tensor_types(arguments.file)}")


if __name__ == "__main__":
    main()
