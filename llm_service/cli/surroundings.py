"""Further data for `llm-service doctor`: software, disks, throttling."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from llm_service.control_groups import Throttling
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.form import find_kernels
from llm_service.engine.loading.plan import num_threads
from llm_service.machine import Machine

_COMPILERS = ("c++", "g++", "clang++")


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path
    free_bytes: int
    is_writable: bool

    @classmethod
    def of(cls, path: Path) -> "Disk":
        """Examine the disk of `path`, or of its nearest existing parent."""
        there = next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())
        return cls(path, shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK))


@dataclass(frozen=True, slots=True)
class Window:
    """Throttling before and after the examination, which took `seconds`."""

    before: Throttling | None
    after: Throttling | None
    seconds: float
    cores: float

    @property
    def recent_share(self) -> float:
        """Throttled time as a share of the CPU time that the quota grants."""
        if self.before is None or self.after is None or not self.seconds:
            return 0.0
        return (self.after.seconds - self.before.seconds) / (self.seconds * self.cores)

    @property
    def total_share(self) -> float:
        """The share of throttled periods since the group was created."""
        if self.after is None or not self.after.num_periods:
            return 0.0
        return self.after.num_throttled / self.after.num_periods


@dataclass(frozen=True, slots=True)
class Software:
    python: str
    torch: str
    torch_threads: int
    cpu_capability: str  # instruction set that torch uses
    threads: int  # number that the engine would use
    device: str
    compiler: str  # empty: none
    kernels: str  # instruction set; empty: no kernels
    kernels_reason: str


def software_of(config: EngineConfig, machine: Machine) -> Software:
    """Collect the software's versions. Builds the kernels if necessary, as the service would."""
    kernels, reason = find_kernels(config.kernels)
    return Software(
        python=platform.python_version(),
        torch=torch.__version__,
        torch_threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=num_threads(config, machine),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        compiler=compiler(),
        kernels="" if kernels is None else kernels.instruction_set,
        kernels_reason="" if reason is None or config.kernels == "none" else reason,
    )


def compiler() -> str:
    """Return the first line of the compiler's version; empty if there is none."""
    path = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if path is None:
        return ""
    try:
        said = subprocess.run(  # noqa: S603 (a compiler's path)
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.partition("\n")[0].strip()
