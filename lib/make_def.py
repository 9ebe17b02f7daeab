# SPDX-License-Identifier: MIT
"""Writes a Windows module definition with the exports of a symbol map: make_def.py slm.map slm.def"""
import pathlib
import re
import sys

symbol_map, out = (pathlib.Path(argument) for argument in sys.argv[1:])
code = re.sub(r"#.*", "", symbol_map.read_text(encoding="utf-8"))
names = re.findall(r"^\s+(slm_\w+);", code, re.M)
if not names:
    sys.exit(f"{symbol_map} exports nothing")
lines = [f"; Made by make_def.py from {symbol_map.name}.", "EXPORTS", *(f"    {n}" for n in names)]
out.write_text("\n".join(lines) + "\n", encoding="utf-8")
