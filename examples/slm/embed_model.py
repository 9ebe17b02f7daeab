# SPDX-License-Identifier: MIT
"""Writes an assembler file that puts a model's bytes into the program: embed_model.py MODEL OUT.S"""
import pathlib
import sys

TEMPLATE = """\
/* Made by embed_model.py: the embedded default model. */
#if defined(__APPLE__)
#define NAME(symbol) _##symbol
    .section __TEXT,__const
#elif defined(_WIN32)
#define NAME(symbol) symbol
    .section .rdata, "dr"
#else
#define NAME(symbol) symbol
    .section .rodata
#endif
    .globl NAME(slm_default_model)
    .globl NAME(slm_default_model_end)
    .balign 64
NAME(slm_default_model):
    .incbin "{path}"
NAME(slm_default_model_end):
    .byte 0
#if defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
"""

model, out = (pathlib.Path(argument) for argument in sys.argv[1:])
path = str(model.resolve()).replace("\\", "\\\\").replace('"', '\\"')
out.write_text(TEMPLATE.format(path=path), encoding="utf-8")
