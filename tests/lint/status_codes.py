# SPDX-License-Identifier: MIT
"""Writes docs/status-codes.md from SLM_STATUS_LIST in include/slm/base.h."""

import re
from pathlib import Path

HEADER = """<!-- Made by tests/lint/status_codes.py from include/slm/base.h; do not edit. -->
# Status codes

Every call that can fail returns a `slm_status`. Zero is success, a positive value is success with a
note, a negative value is an error. `slm_status_name()` and `slm_status_text()` give the first and the
last column; the comment of each call lists the codes that it returns and the state that each leaves.
Values are never reused.

| name | value | meaning |
|---|---|---|
"""


def page(root):
    """The text of the page."""
    base = (Path(root) / "include/slm/base.h").read_text(encoding="utf-8")
    rows = re.findall(r'X\((\w+), (-?\d+), "([^"]*)"\)', base)
    return HEADER + "".join(f"| `SLM_{name}` | {value} | {text} |\n" for name, value, text in rows)


if __name__ == "__main__":
    top = Path(__file__).resolve().parents[2]
    (top / "docs/status-codes.md").write_text(page(top), encoding="utf-8")
