# SPDX-License-Identifier: MIT
"""Looks into programs built for Windows: check.py imports|moves ARGUMENT...; exit status 1 on a finding.

imports FILE LIBRARY...   FILE is linked to these libraries alone
moves FILE...             no vector wider than 16 bytes is moved in a way that needs an aligned address
"""

import re
import subprocess
import sys


def check_imports(file, *allowed):
    printed = subprocess.run(["objdump", "-p", file], capture_output=True, text=True, check=True)
    imported = re.findall(r"^\s*DLL Name: (\S+)", printed.stdout, re.M)
    if not imported:
        yield f"{file} imports nothing, which cannot be"
    for name in imported:
        if name.lower() not in {word.lower() for word in allowed}:
            yield f"{file} imports {name}"


def check_moves(*files):
    """GCC takes the stack to be aligned for such vectors, and Windows does not align it so."""
    move = re.compile(r"\t(vmov\w+)\s+(.*%[yz]mm\d.*)$")
    aligned = re.compile(r"vmov(aps|apd|dqa|dqa32|dqa64|ntdq|ntdqa|ntps|ntpd)$")
    for file in files:
        command = ["objdump", "-d", "--no-show-raw-insn", file]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        n_moves = 0
        for line in printed.splitlines():
            match = move.search(line)
            if match and "(" in match.group(2):
                n_moves += 1
                if aligned.match(match.group(1)):
                    yield f"{file}: {line.strip()}"
        if n_moves == 0:
            yield f"{file} moves no such vectors: there is nothing to check"


def main():
    checks = {"imports": check_imports, "moves": check_moves}
    if len(sys.argv) < 3 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    findings = list(checks[sys.argv[1]](*sys.argv[2:]))
    print("\n".join(findings) or "nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
