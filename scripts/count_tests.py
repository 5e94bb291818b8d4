"""Sums the summary lines of test runners on standard input, and prints `N passed, N failed`."""

import re
import sys


def main() -> None:
    output = re.sub(r"\x1b\[[0-9;]*m", "", sys.stdin.read())
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for line in output.splitlines():
        # pytest: `12 passed, 1 skipped in 3.4s`; Vitest: `Tests  12 passed (12)`
        if re.search(r" in [\d.]+s( |$|\()", line) or re.match(r"\s*Tests  ", line):
            for number, word in re.findall(r"(\d+) (passed|failed|skipped)", line):
                counts[word] += int(number)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    sys.exit(counts["failed"] > 0 or counts["passed"] == 0)


if __name__ == "__main__":
    main()
