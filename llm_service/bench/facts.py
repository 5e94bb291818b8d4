"""What a figure must be read with: the machine, how busy it was, how fast it reads memory.

Decoding one stream is bound by how fast the weights can be read, and on a shared machine that
wanders with the neighbours, so each result carries the bandwidth that was seen beside it.
"""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from llm_service import __version__
from llm_service.machine import Machine

# The CPU features that the speed of this work depends on (x86 and Arm).
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
    """Processes that wanted to run, averaged over the last minute."""
    return os.getloadavg()[0]


def read_bandwidths() -> dict[str, float]:
    """Bytes per second read from memory by one thread and by one for each core."""
    buffer = np.zeros(BANDWIDTH_BYTES // 4, np.float32)
    buffer += 1  # untouched pages would all be the same page of zeros
    cores = max(1, int(Machine.detect().cpu_cores))
    return {str(n): _read_bandwidth(buffer, n) for n in sorted({1, cores})}


def _read_bandwidth(buffer: "np.ndarray[Any, np.dtype[np.float32]]", num_threads: int) -> float:
    """The best of a few tries: what the memory can do, not what disturbed it."""
    parts = np.array_split(buffer, num_threads)
    seconds = []
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in range(_BANDWIDTH_TRIES):
            started = time.perf_counter()
            list(pool.map(np.max, parts))  # numpy works outside the interpreter's lock here
            seconds.append(time.perf_counter() - started)
    return buffer.nbytes / min(seconds)
