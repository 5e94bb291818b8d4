"""What the kernel says of a process: the other side of its own gauges."""

import os
import threading
import time
from pathlib import Path

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """CPU time of `pid`, read every tenth of a second until `stop`, and its memory now."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._seen: list[tuple[float, float]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            self._seen.append((time.time(), self._cpu_seconds()))

    def _cpu_seconds(self) -> float:
        # The name, in parentheses, may have spaces.
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cores(self, span: tuple[float, float]) -> float:
        """CPU seconds per second between two times."""
        times, seconds = np.array(self._seen).T
        first, last = np.interp(span, times, seconds)
        return float((last - first) / (span[1] - span[0]))

    def own_bytes(self) -> int:
        """Anonymous memory."""
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")
