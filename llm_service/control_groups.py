"""Control groups as this process sees them: quotas, limits and throttling, versions 1 and 2.

Owns the reading of /proc/self/cgroup, /proc/self/mountinfo and what is mounted there. Sizes are
bytes, times are seconds. What they add up to is `machine`'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One level of the control-group hierarchy of this process, with its controllers."""

    path: Path
    version: int
    controllers: frozenset[str]

    def cpu_quota(self) -> float | None:
        """Cores that the scheduler grants per period; None: no quota."""
        if self.version == 2:
            quota, _, period = read(self.path / "cpu.max").partition(" ")
        else:
            quota = read(self.path / "cpu.cfs_quota_us")
            period = read(self.path / "cpu.cfs_period_us")
        if not quota.isdigit() or not period.isdigit() or int(period) == 0:
            return None  # "max", "-1", or no such file
        return int(quota) / int(period)

    def cpuset_size(self) -> int | None:
        names = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")
        return next((n for n in (count_cpus(read(self.path / x)) for x in names) if n), None)

    def memory_limit(self) -> int | None:
        if self.version == 1:
            return number(read(self.path / "memory.limit_in_bytes"))
        # Above memory.high the kernel slows the group down to reclaim memory, so it is a limit too.
        limits = (number(read(self.path / name)) for name in ("memory.max", "memory.high"))
        return min((limit for limit in limits if limit is not None), default=None)

    def memory_working_set(self) -> int | None:
        """Usage minus inactive page cache, which the kernel drops first; as kubelet counts."""
        names = ("memory.current", "memory.usage_in_bytes")
        usage = next((n for x in names if (n := number(read(self.path / x))) is not None), None)
        if usage is None:
            return None
        stat = _table(read(self.path / "memory.stat"))
        inactive = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        return max(usage - inactive, 0)

    def throttling(self) -> "Throttling | None":
        stat = _table(read(self.path / "cpu.stat"))
        nanoseconds = stat.get("throttled_usec", 0) * 1000 + stat.get("throttled_time", 0)
        if not {"throttled_usec", "throttled_time"} & stat.keys():
            return None
        return Throttling(nanoseconds / 1e9, stat.get("nr_periods", 0), stat.get("nr_throttled", 0))


@dataclass(frozen=True, slots=True)
class Throttling:
    """How much a CPU quota has throttled a group so far. Seconds are summed over cores."""

    seconds: float
    num_periods: int  # periods in which the group ran under a quota
    num_throttled: int  # of these, the periods in which it was throttled


def control_groups(root: Path = ROOT) -> list[ControlGroup]:
    """The groups of this process and all their ancestors, as a limit on any of them applies."""
    mounts = list(_mounts(root))
    groups = []
    for line in read(root / "proc/self/cgroup").splitlines():
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


@dataclass(frozen=True, slots=True)
class _Mount:
    point: PurePosixPath
    inner_root: PurePosixPath  # the group that is mounted there; in a container, the container's
    version: int
    controllers: frozenset[str]

    def levels(self, root: Path, group: str) -> Iterator[Path]:
        """Yield the visible folders from that of `group` up to the mount point."""
        inside = PurePosixPath(group)
        if ".." in inside.parts or not inside.is_relative_to(self.inner_root):
            inside = self.inner_root  # in another namespace: only the mount point is known
        top = root / self.point.relative_to("/")
        own = top / inside.relative_to(self.inner_root)
        for level in (own, *own.parents):
            if level.is_dir():
                yield level
            if level == top:
                return


def _mounts(root: Path) -> Iterator[_Mount]:
    """Control-group file systems in /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in read(root / "proc/self/mountinfo").splitlines():
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


def cgroup_version(groups: list[ControlGroup]) -> int | None:
    """Return the version in use. Hybrid machines have an empty v2 tree besides v1."""
    is_v1 = any(group.controllers & {"cpu", "memory"} for group in groups)
    return 1 if is_v1 else 2 if any(group.version == 2 for group in groups) else None


def _table(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def count_cpus(text: str) -> int:
    """Count the processors of a list such as `0-3,8` (five); 0 for an empty list."""
    ranges = (part.partition("-") for part in text.split(",") if part.strip())
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
