# SPDX-License-Identifier: MIT
"""Counts the cases in a testlog.json of `meson test` and shows the output of tests that failed.

Prints "PASSED FAILED SKIPPED" on standard output and what went wrong on standard error. A test program
counts with the cases that cmocka or pytest reports, any other program as one case.
"""

import json
import re
import sys

SHOWN_LINES = 60
PATTERNS = [
    {  # cmocka
        "passed": re.compile(r"^\[  PASSED  \] (\d+) test\(s\)\.", re.M),
        "failed": re.compile(r"^\[  FAILED  \] (\d+) test\(s\), listed below", re.M),
        "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test\(s\), listed below", re.M),
    },
    {  # pytest
        "passed": re.compile(r"^.*\b(\d+) passed.* in [\d.]+s", re.M),
        "failed": re.compile(r"^.*\b(\d+) failed.* in [\d.]+s", re.M),
        "skipped": re.compile(r"^.*\b(\d+) skipped.* in [\d.]+s", re.M),
    },
]


def count_cases(output, result):
    """Returns (passed, failed, skipped) of one test program."""
    if result == "SKIP":
        return 0, 0, 1
    for pattern in PATTERNS:
        passed, failed, skipped = (
            sum(int(n) for n in pattern[key].findall(output))
            for key in ("passed", "failed", "skipped")
        )
        if passed + failed + skipped:
            break
    else:
        passed, failed, skipped = 1, 0, 0
    if result not in ("OK", "EXPECTEDFAIL") and failed == 0:
        passed, failed = max(passed - 1, 0), 1
    return passed, failed, skipped


def show(test, output):
    """Prints the end of a failed test's output."""
    lines = output.rstrip().splitlines()
    print(f"--- {test['name']}: {test['result']} after {test['duration']:.1f} s", file=sys.stderr)
    if len(lines) > SHOWN_LINES:
        print(f"    ({len(lines) - SHOWN_LINES} lines left out)", file=sys.stderr)
    for line in lines[-SHOWN_LINES:]:
        print("    " + line, file=sys.stderr)


def main():
    status, path = int(sys.argv[1]), sys.argv[2]
    totals = [0, 0, 0]
    try:
        with open(path, encoding="utf-8") as log:
            tests = [json.loads(line) for line in log]
    except OSError:
        tests = []
    for test in tests:
        output = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
        counts = count_cases(output, test["result"])
        totals = [a + b for a, b in zip(totals, counts)]
        if counts[1]:
            show(test, output)
    if status != 0 and totals[1] == 0:
        totals[1] = 1  # the runner itself failed
    print(*totals)
    return 1 if status != 0 and not tests else 0


if __name__ == "__main__":
    sys.exit(main())
