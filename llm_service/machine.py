"""The resources of this machine or container: cores by quota, memory by limit, throttling.

Owns the reading of /proc and /sys, except control groups (`control_groups`). Every function takes
the `root` folder of these trees, so that a recorded machine can be read like the real one. If the
files are missing (macOS), psutil is used. It knows nothing about models, metrics or settings.
Sizes are bytes, times are seconds.
"""

import ctypes
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from llm_service.control_groups import (
    ROOT,
    Throttling,
    cgroup_version,
    control_groups,
    count_cpus,
    number,
    read,
)

# CPU flags that matter for speed: vectors, and products of small integers and of bfloat16.
SPEEDING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """This process's resident memory by kind. With psutil, all of it counts as `anon`."""

    anon_bytes: int
    file_bytes: int
    shmem_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.anon_bytes + self.file_bytes + self.shmem_bytes


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory use under the tightest limit. The working set excludes inactive page cache."""

    limit_bytes: int
    working_set_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A snapshot of the machine (`detect`). Functions below return values that change later."""

    cpu_cores: float  # the lowest of `cpu_limits`; may be a fraction such as 1.5
    cpu_limits: Mapping[str, float]  # those of online, affinity, cpuset and quota that exist
    num_cpus: int  # logical processors that are online
    cpu_model: str
    cpu_flags: frozenset[str]
    memory_total_bytes: int
    memory_limit_bytes: int
    memory_working_set_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    huge_pages: str  # always, madvise or never; empty: no transparent huge pages
    kernel: str
    cgroup_version: int | None  # 1, 2, or None if there are no control groups
    process_memory: ProcessMemory
    num_process_threads: int
    throttled_seconds: float | None

    @classmethod
    def detect(cls, root: Path = ROOT) -> Self:
        memory = memory_use(root)
        swap_total, swap_used = _swap(root)
        limits = cpu_limits(root)
        return cls(
            cpu_cores=min(limits.values()),
            cpu_limits=limits,
            num_cpus=_num_cpus(root),
            cpu_model=_cpu_field(root, "model name"),
            cpu_flags=frozenset(
                (_cpu_field(root, "flags") or _cpu_field(root, "Features")).split()
            ),
            memory_total_bytes=_memory_total(root),
            memory_limit_bytes=memory.limit_bytes,
            memory_working_set_bytes=memory.working_set_bytes,
            memory_available_bytes=memory.available_bytes,
            swap_total_bytes=swap_total,
            swap_used_bytes=swap_used,
            huge_pages=_huge_pages(root),
            kernel=_kernel(root),
            cgroup_version=cgroup_version(control_groups(root)),
            process_memory=process_memory(root),
            num_process_threads=num_process_threads(root),
            throttled_seconds=throttled_seconds(root),
        )

    @property
    def is_bfloat16_fast(self) -> bool:
        """Whether the CPU has instructions for products of bfloat16."""
        return bool(self.cpu_flags & {"avx512_bf16", "amx_bf16"})


def cpu_cores(root: Path = ROOT) -> float:
    """Cores that this process may use: the lowest of online, affinity, cpuset and quota."""
    return min(cpu_limits(root).values())


def cpu_limits(root: Path = ROOT) -> dict[str, float]:
    """Cores by each limit that exists; `online` always exists."""
    groups = control_groups(root)
    limits: dict[str, float | None] = {
        "online": _num_cpus(root),
        "affinity": count_cpus(_status_field(root, "Cpus_allowed_list")),
        "cpuset": min((n for group in groups if (n := group.cpuset_size())), default=None),
        "quota": min((q for group in groups if (q := group.cpu_quota())), default=None),
    }
    return {name: limit for name, limit in limits.items() if limit}


def memory_use(root: Path = ROOT) -> MemoryUse:
    """The tightest limit of all groups and the machine, and the least available memory."""
    total = _memory_total(root)
    free = _meminfo(root).get("MemAvailable", 0) or _psutil_available(root)
    uses = [MemoryUse(total, total - free, free)]
    for group in control_groups(root):
        limit, working_set = group.memory_limit(), group.memory_working_set()
        if limit is not None and working_set is not None and limit < total:
            uses.append(MemoryUse(limit, working_set, max(limit - working_set, 0)))
    tightest = min(uses, key=lambda use: use.limit_bytes)
    available = min(use.available_bytes for use in uses)
    return MemoryUse(tightest.limit_bytes, tightest.working_set_bytes, available)


def process_memory(root: Path = ROOT) -> ProcessMemory:
    kinds = [_status_field(root, name).split() for name in ("RssAnon", "RssFile", "RssShmem")]
    if all(kinds):
        anon, file, shmem = (int(kind[0]) * 1024 for kind in kinds)
        return ProcessMemory(anon, file, shmem)
    return ProcessMemory(_psutil().Process().memory_info().rss, 0, 0)


def num_process_threads(root: Path = ROOT) -> int:
    return number(_status_field(root, "Threads")) or _psutil().Process().num_threads()


def throttled_seconds(root: Path = ROOT) -> float | None:
    """Seconds that a CPU quota has throttled this process; None if they are not counted."""
    found = throttling(root)
    return None if found is None else found.seconds


def throttling(root: Path = ROOT) -> Throttling | None:
    """The throttling of the control group that was throttled for the longest time.

    Each level below the quota counts the same time, so the levels are not added up.
    """
    found = (group.throttling() for group in control_groups(root))
    return max((t for t in found if t is not None), key=lambda t: t.seconds, default=None)


def return_free_memory() -> None:
    """Make glibc return freed memory to the system instead of keeping it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def readable(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def _psutil() -> ModuleType:
    """Import psutil only if it is needed; systems with /proc do not need it."""
    import psutil

    return psutil


def _num_cpus(root: Path) -> int:
    online = count_cpus(read(root / "sys/devices/system/cpu/online"))
    return online or os.cpu_count() or 1


def _memory_total(root: Path) -> int:
    return _meminfo(root).get("MemTotal") or _psutil().virtual_memory().total


def _psutil_available(root: Path) -> int:
    return 0 if _meminfo(root) else _psutil().virtual_memory().available


def _swap(root: Path) -> tuple[int, int]:
    """Total and used swap of the machine, in bytes."""
    meminfo = _meminfo(root)
    if meminfo:
        total = meminfo.get("SwapTotal", 0)
        return total, total - meminfo.get("SwapFree", 0)
    swap = _psutil().swap_memory()
    return swap.total, swap.used


def _huge_pages(root: Path) -> str:
    """The value in brackets of `always [madvise] never`."""
    modes = read(root / "sys/kernel/mm/transparent_hugepage/enabled")
    return modes.partition("[")[2].partition("]")[0]


def _kernel(root: Path) -> str:
    return read(root / "proc/sys/kernel/osrelease") or platform.release()


def _meminfo(root: Path) -> dict[str, int]:
    lines = (line.split() for line in read(root / "proc/meminfo").splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if len(line) == 3}


def _status_field(root: Path, name: str) -> str:
    return _colon_field(read(root / "proc/self/status"), name)


def _cpu_field(root: Path, name: str) -> str:
    return _colon_field(read(root / "proc/cpuinfo"), name)


def _colon_field(text: str, name: str) -> str:
    """The first `name: value` line's value; empty without one."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
