"""Describes the machine, its load and its memory bandwidth, which every result depends on.

Decoding one stream is limited by how fast the weights can be read. On a shared machine that
varies with other users, so each result includes the bandwidth measured just before it.
"""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from llm_service import __version__
from llm_service.machine import Machine

# CPU features that affect the speed (x86 and Arm).
_FLAGS = ("avx", "amx", "fma", "f16c", "asimd", "bf16", "i8mm", "sve")
BANDWIDTH_BYTES = 512 * 2**20
_BANDWIDTH_TRIES = 5


def describe_machine() -> dict[str, Any]:
    machine = Machine.detect()
    flags = sorted(flag for flag in machine.cpu_flags if flag.startswith(_FLAGS))
    return {
        "cpu": machine.cpu_model or platform.processor() or platform.machine(),
        "cores": machine.cpu_cores,
        "cpu_flags": flags,
        "memory_bytes": machine.memory_limit_bytes,
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "llm_service": __version__,
    }


def load_average() -> float:
    """The average number of runnable processes over the last minute."""
    return os.getloadavg()[0]


def read_bandwidths() -> dict[str, float]:
    """Bytes per second read from memory by one thread and by one thread per core."""
    buffer = np.zeros(BANDWIDTH_BYTES // 4, np.float32)
    buffer += 1  # untouched pages would all map to one page of zeros
    cores = max(1, int(Machine.detect().cpu_cores))
    return {str(n): _read_bandwidth(buffer, n) for n in sorted({1, cores})}


def _read_bandwidth(buffer: "np.ndarray[Any, np.dtype[np.float32]]", num_threads: int) -> float:
    """The best of several tries, to exclude disturbances."""
    parts = np.array_split(buffer, num_threads)
    seconds = []
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in range(_BANDWIDTH_TRIES):
            started = time.perf_counter()
            list(pool.map(np.max, parts))  # numpy works outside the interpreter's lock here
            seconds.append(time.perf_counter() - started)
    return buffer.nbytes / min(seconds)
