# SPDX-License-Identifier: MIT
"""Every function, parameter and kind of event of C has its place in C++: check_complete.py ROOT"""

import re
import sys
from pathlib import Path

# Functions without an object, which C++ calls as they are.
PLAIN = {"slm_version", "slm_numerics_version", "slm_cpu_level", "slm_cpu_level_name", "slm_layout_get"}
# What the enumerations of C++ stand for.
ENUMERATED = r"\b(SLM_(?:SAMPLER|SEQUENCE|EVENT|DONE)_(?!\w*INIT\b|\w*INFO_)\w+) ="


def code_of(folder, pattern):
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob(pattern))]
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", "\n".join(texts), flags=re.S)


def main():
    root = Path(sys.argv[1])
    c, cpp = code_of(root / "include/slm", "*.h"), code_of(root / "bindings/cpp/slm", "*.hpp")
    wanted = set(re.findall(r"SLM_API\b[^;]*?\b(slm_\w+)\s*\(", c)) - PLAIN
    wanted |= set(re.findall(ENUMERATED, c))
    missing = sorted(name for name in wanted if not re.search(rf"\b{name}\b", cpp))
    for name in missing:
        print(f"{name} has no place in bindings/cpp/slm")
    print(f"{len(wanted)} names, {len(missing)} missing")
    return 1 if missing or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
