"""What this machine or container really has: cores by quota, memory by limit, throttling.

Owns the reading of /proc and /sys. Every function takes the `root` that those trees
hang under, so that a recorded machine can be read like the real one; where the files
are missing (macOS), psutil answers. It knows nothing of models, metrics or settings.
Sizes are bytes, times are seconds.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

import psutil

ROOT = Path("/")
# What makes a CPU fast at this work: vectors, and products of small integers and bfloat16.
SPEEDING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """This process's resident memory as the kernel splits it; psutil's whole is all `anon`."""

    anon_bytes: int
    file_bytes: int
    shmem_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.anon_bytes + self.file_bytes + self.shmem_bytes


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory under the tightest limit now. The working set leaves out idle page cache."""

    limit_bytes: int
    working_set_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A snapshot by `detect`; what changes while we run has its own function below."""

    cpu_cores: float  # the least of quota, cpuset and affinity; 1.5 is possible
    num_cpus: int  # logical processors that are online
    cpu_model: str
    cpu_flags: frozenset[str]
    memory_total_bytes: int
    memory_limit_bytes: int
    memory_working_set_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    cgroup_version: int | None  # 1, 2, or None where there are no control groups
    process_memory: ProcessMemory
    num_process_threads: int
    throttled_seconds: float | None

    @classmethod
    def detect(cls, root: Path = ROOT) -> Self:
        memory = memory_use(root)
        return cls(
            cpu_cores=cpu_cores(root),
            num_cpus=_num_cpus(root),
            cpu_model=_cpu_field(root, "model name"),
            cpu_flags=frozenset(
                (_cpu_field(root, "flags") or _cpu_field(root, "Features")).split()
            ),
            memory_total_bytes=_memory_total(root),
            memory_limit_bytes=memory.limit_bytes,
            memory_working_set_bytes=memory.working_set_bytes,
            memory_available_bytes=memory.available_bytes,
            swap_total_bytes=_swap_total(root),
            cgroup_version=_cgroup_version(control_groups(root)),
            process_memory=process_memory(root),
            num_process_threads=num_process_threads(root),
            throttled_seconds=throttled_seconds(root),
        )

    @property
    def is_bfloat16_fast(self) -> bool:
        """Whether the CPU multiplies bfloat16 itself, rather than by way of float32."""
        return bool(self.cpu_flags & {"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One level of the hierarchy that holds this process, with the controllers it has."""

    path: Path
    version: int
    controllers: frozenset[str]

    def cpu_quota(self) -> float | None:
        """Cores that the scheduler grants per period; None: no quota."""
        if self.version == 2:
            quota, _, period = _read(self.path / "cpu.max").partition(" ")
        else:
            quota = _read(self.path / "cpu.cfs_quota_us")
            period = _read(self.path / "cpu.cfs_period_us")
        if not quota.isdigit() or not period.isdigit() or int(period) == 0:
            return None  # "max", "-1", or no such file
        return int(quota) / int(period)

    def cpuset_size(self) -> int | None:
        names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
        return next((n for n in (_count_cpus(_read(self.path / x)) for x in names) if n), None)

    def memory_limit(self) -> int | None:
        if self.version == 1:
            return _number(_read(self.path / "memory.limit_in_bytes"))
        # Above memory.high the kernel stalls the group to reclaim: a limit to stay under too.
        limits = (_number(_read(self.path / name)) for name in ("memory.max", "memory.high"))
        return min((limit for limit in limits if limit is not None), default=None)

    def memory_working_set(self) -> int | None:
        """Usage less the page cache that the kernel would drop first, as kubelet counts it."""
        names = ("memory.current", "memory.usage_in_bytes")
        usage = next((n for x in names if (n := _number(_read(self.path / x))) is not None), None)
        if usage is None:
            return None
        stat = _table(_read(self.path / "memory.stat"))
        inactive = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        return max(usage - inactive, 0)

    def throttled_seconds(self) -> float | None:
        stat = _table(_read(self.path / "cpu.stat"))
        if "throttled_usec" in stat:
            return stat["throttled_usec"] / 1e6
        return stat["throttled_time"] / 1e9 if "throttled_time" in stat else None


def control_groups(root: Path = ROOT) -> list[ControlGroup]:
    """This process's groups and all their ancestors: a limit on any of them binds us."""
    mounts = list(_mounts(root))
    groups = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        version = 2 if hierarchy == "0" else 1
        names = frozenset(controllers.split(",")) - {""}
        for mount in mounts:
            if mount.version == version and names <= mount.controllers:
                groups += [
                    ControlGroup(level, version, names) for level in mount.levels(root, path)
                ]
                break
    return groups


def cpu_cores(root: Path = ROOT) -> float:
    """Cores that this process may use: the least of online, affinity, cpuset and quota."""
    limits: list[float] = [_num_cpus(root)]
    affinity = _count_cpus(_status_field(root, "Cpus_allowed_list"))
    if affinity:
        limits.append(affinity)
    for group in control_groups(root):
        limits += [x for x in (group.cpu_quota(), group.cpuset_size()) if x]
    return min(limits)


def memory_use(root: Path = ROOT) -> MemoryUse:
    """The tightest limit over all groups and the machine, with what is left below each."""
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
    return ProcessMemory(psutil.Process().memory_info().rss, 0, 0)


def num_process_threads(root: Path = ROOT) -> int:
    return _number(_status_field(root, "Threads")) or psutil.Process().num_threads()


def throttled_seconds(root: Path = ROOT) -> float | None:
    """Time that a CPU quota has held us back since the group was made; None: not counted.

    The same stall shows at every level below the quota, so the largest is taken, not the sum.
    """
    counts = (group.throttled_seconds() for group in control_groups(root))
    return max((count for count in counts if count is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Mount:
    point: PurePosixPath
    inner_root: PurePosixPath  # the group that is mounted there: in a container, its own
    version: int
    controllers: frozenset[str]

    def levels(self, root: Path, group: str) -> Iterator[Path]:
        """Folders from `group`'s own up to the mount point; those not visible are left out."""
        inside = PurePosixPath(group)
        if ".." in inside.parts or not inside.is_relative_to(self.inner_root):
            inside = self.inner_root  # seen from another namespace: only the mount is ours
        top = root / self.point.relative_to("/")
        own = top / inside.relative_to(self.inner_root)
        for level in (own, *own.parents):
            if level.is_dir():
                yield level
            if level == top:
                return


def _mounts(root: Path) -> Iterator[_Mount]:
    """Control-group file systems in /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            _, _, _, inner_root, point, *_ = before.split(" ")
            yield _Mount(
                PurePosixPath(point),
                PurePosixPath(inner_root),
                2 if kind == "cgroup2" else 1,
                frozenset(options.split(",")),
            )


def _cgroup_version(groups: list[ControlGroup]) -> int | None:
    """Hybrid machines mount an empty v2 tree beside the v1 controllers that count."""
    is_v1 = any(group.controllers & {"cpu", "memory"} for group in groups)
    return 1 if is_v1 else 2 if any(group.version == 2 for group in groups) else None


def _num_cpus(root: Path) -> int:
    online = _count_cpus(_read(root / "sys/devices/system/cpu/online"))
    return online or os.cpu_count() or 1


def _memory_total(root: Path) -> int:
    return _meminfo(root).get("MemTotal") or psutil.virtual_memory().total


def _psutil_available(root: Path) -> int:
    return 0 if _meminfo(root) else psutil.virtual_memory().available


def _swap_total(root: Path) -> int:
    meminfo = _meminfo(root)
    return meminfo.get("SwapTotal", 0) if meminfo else psutil.swap_memory().total


def _meminfo(root: Path) -> dict[str, int]:
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if len(line) == 3}


def _status_field(root: Path, name: str) -> str:
    return _colon_field(_read(root / "proc/self/status"), name)


def _cpu_field(root: Path, name: str) -> str:
    return _colon_field(_read(root / "proc/cpuinfo"), name)


def _colon_field(text: str, name: str) -> str:
    """The first `name: value` line's value; empty without one."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _count_cpus(text: str) -> int:
    """`0-3,8` is five processors; 0 where there is no list."""
    ranges = (part.partition("-") for part in text.split(",") if part.strip())
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
