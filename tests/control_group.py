"""A control group of our own, of the version that this machine has, to start processes in."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_service.control_groups import control_groups, read

PERIOD_MICROSECONDS = 100_000
_numbers = itertools.count()


@dataclass(frozen=True)
class Group:
    folders: frozenset[Path]

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """A process that is in the group before it is anything else."""
        into = " ".join(f"&& echo 0 > '{folder}/cgroup.procs'" for folder in self.folders)
        shell = ["sh", "-c", f'true {into} && exec "$@"', "sh", *command]
        return subprocess.Popen(shell, text=True, **options)

    @property
    def num_oom_kills(self) -> int:
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                rows = dict(line.split() for line in read(folder / name).splitlines())
                if "oom_kill" in rows:
                    return int(rows["oom_kill"])
        raise AssertionError("the kernel does not count kills")


@contextmanager
def limited_group(*, cores: float, memory_bytes: int) -> Iterator[Group]:
    """Skips the test, with the reason, where no group can be made."""
    quota = int(cores * PERIOD_MICROSECONDS)
    parents = _parents()
    name = f"llm-service-test-{os.getpid()}-{next(_numbers)}"
    folders = {parent / name for parent in parents.values()}
    try:
        try:
            for folder in folders:
                folder.mkdir()
            for controller, parent in parents.items():
                for file, value in _limits(controller, quota, memory_bytes).items():
                    if (parent / name / file).exists():
                        (parent / name / file).write_text(value)
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        yield Group(frozenset(folders))
    finally:
        for folder in folders:
            if folder.is_dir():
                folder.rmdir()


def _parents() -> dict[str, Path]:
    """By controller, the folder in which a group of ours can be."""
    groups = control_groups()
    parents: dict[str, Path] = {}
    for controller in ("cpu", "memory"):
        for group in groups:
            if controller in group.controllers:  # version 1: below our own
                parents[controller] = group.path
                break
            # Version 2: a group has processes or groups with limits, so beside our own.
            beside = group.path.parent
            if group.version == 2 and controller in read(beside / "cgroup.subtree_control").split():
                parents[controller] = beside
                break
        else:
            pytest.skip(f"no control group here can limit {controller}")
    return parents


def _limits(controller: str, quota: int, memory_bytes: int) -> dict[str, str]:
    """By file, of either version; those without swap have no file for it."""
    if controller == "cpu":
        return {
            "cpu.max": f"{quota} {PERIOD_MICROSECONDS}",
            "cpu.cfs_period_us": str(PERIOD_MICROSECONDS),
            "cpu.cfs_quota_us": str(quota),
        }
    return {
        "memory.max": str(memory_bytes),
        "memory.swap.max": "0",
        "memory.limit_in_bytes": str(memory_bytes),
        "memory.memsw.limit_in_bytes": str(memory_bytes),
    }
