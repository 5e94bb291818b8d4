"""A file beside the other state that says which run of the service is on, and how many requests
are open: after a crash, the next start reads in it what was lost.

Each process holds a lock on its own file. A file that nobody holds is of a run that has ended;
without the word how, it was killed or it crashed. Nothing here may hurt serving: if the folder
cannot be written, `problem` says so, and that is all.
"""

import contextlib
import errno
import faulthandler
import fcntl
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import structlog

from llm_service.control_groups import ROOT, read

log = structlog.get_logger()

# Written in place and always as long, so that a disk that fills up later does not matter.
FILE_BYTES = 16_384
MAX_GROUPS = 32
MAX_CRASHES = 20
KEPT_SECONDS = 7 * 86_400
CHECK_SECONDS = 0.25  # how soon a change is written, and so how often at most
HEARTBEAT_SECONDS = 10.0  # how well the end of a killed run is known
NAMES = "run-*.json"
FATAL = "Fatal Python error: "

Reason = Literal["stopped", "killed", "crashed", "out_of_memory", "machine_restarted"]


@dataclass(frozen=True, slots=True)
class OpenRequests:
    """How many requests of one kind were open."""

    model: str
    operation: str
    phase: str
    count: int


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run before this one. Times are unix seconds.

    `ended_at` of a run that was killed is when its file was last written, at most
    `HEARTBEAT_SECONDS` before. `num_cut` requests were open then, or were failed by a stop.
    """

    started_at: float
    ended_at: float
    reason: Reason
    detail: str
    num_cut: int

    @property
    def is_crash(self) -> bool:
        return self.reason != "stopped"


@dataclass(slots=True)
class _Content:
    """What is in the file. `ended` is empty until a clean stop."""

    started_at: float
    written_at: float
    boot_id: str
    num_oom_kills: int
    open_requests: list[OpenRequests] = field(default_factory=list)
    ended: str = ""
    num_cut: int = 0
    crashes: list[EndedRun] = field(default_factory=list)


Open = Iterable[tuple[str, str, str]]  # model, operation and phase of each open request


class RunFile:
    """One per service: `begin`, then `renew` now and then, then `end`. All of them may block.

    `previous` is the run that ended last; `crashes` are those of the last days, the newest first.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        root: Path = ROOT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = state_dir
        self._root = root
        self._clock = clock
        self._file: int | None = None
        self._faults: Any = None
        self._path = state_dir / f"run-{secrets.token_hex(8)}.json"
        now = clock()
        self._content = _Content(now, now, _boot_id(root), _num_oom_kills(root))
        self._is_begun = False
        self.previous: EndedRun | None = None
        self.crashes: list[EndedRun] = []
        self._cut: list[OpenRequests] = []
        self.problem = ""

    def begin(self) -> None:
        """Read what earlier runs have left, and say that this one is on."""
        with self._harmless():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_over()
            self._is_begun = True
            self._open()

    def take_cut(self) -> list[OpenRequests]:
        """The requests that were open in crashed runs that this start has found; once."""
        cut, self._cut = self._cut, []
        return cut

    def needs_renewal(self, requests: Open) -> bool:
        """Whether other requests are open than the file says, or it was written long ago."""
        is_due = self._clock() - self._content.written_at >= HEARTBEAT_SECONDS
        return is_due or _grouped(requests) != self._content.open_requests

    def renew(self, requests: Open) -> None:
        """Write which requests are open."""
        self._content.open_requests = _grouped(requests)
        self._content.num_oom_kills = _num_oom_kills(self._root)
        self._content.written_at = self._clock()
        if not self._is_begun:
            self.begin()
            return
        with self._harmless():
            self._open()
            self._write()

    def end(self, how: str, num_cut: int) -> None:
        """The run has ended as it should: `how` is the word for it, such as SIGTERM."""
        self._content.ended, self._content.num_cut = how, num_cut
        self._content.open_requests = []
        self._content.written_at = self._clock()
        with self._harmless():
            self._open()
            self._write()
        self._close()

    def _open(self) -> None:
        """Make the file, lock it and keep it open; nothing if that is done."""
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = file
            self._write()
        except OSError:
            self._file = None
            os.close(file)
            with contextlib.suppress(OSError):
                self._path.unlink()
            raise
        self._watch_faults()

    def _write(self) -> None:
        assert self._file is not None
        data = json.dumps(asdict(self._content)).encode()
        if os.pwrite(self._file, data.ljust(FILE_BYTES)[:FILE_BYTES], 0) < FILE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _watch_faults(self) -> None:
        """Let a fatal signal, such as a segmentation fault, write its name beside the file."""
        if faulthandler.is_enabled():
            return  # somebody else listens, such as pytest
        with contextlib.suppress(OSError):
            self._faults = _fault_path(self._path).open("w", encoding="utf-8")
            faulthandler.enable(self._faults)

    def _close(self) -> None:
        if self._faults is not None:
            faulthandler.disable()
            self._faults.close()
            with contextlib.suppress(OSError):
                _fault_path(self._path).unlink()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take_over(self) -> None:
        """Read and remove the files of runs that have ended."""
        ended, crashes = [], list[EndedRun]()
        for path in self._folder.glob(NAMES):
            found = _read_ended(path) if path != self._path else None
            if found is None:
                continue
            run = self._judge(found, path)
            ended.append(run)
            crashes += [*found.crashes, *([run] if run.is_crash else [])]
            if run.is_crash:
                self._cut += found.open_requests
                log.warning(
                    "an earlier run did not end as it should",
                    reason=run.reason,
                    detail=run.detail,
                    cut_requests=run.num_cut,
                )
            with contextlib.suppress(OSError):
                _fault_path(path).unlink()
            path.unlink()
        since = self._clock() - KEPT_SECONDS
        recent = sorted(
            {crash.ended_at: crash for crash in crashes if crash.ended_at >= since}.values(),
            key=lambda crash: crash.ended_at,
            reverse=True,
        )
        self.crashes = self._content.crashes = recent[:MAX_CRASHES]
        self.previous = max(ended, key=lambda run: run.ended_at, default=None)

    def _judge(self, content: _Content, path: Path) -> EndedRun:
        num_open = sum(group.count for group in content.open_requests)
        reason, detail, num_cut = self._reason(content, path)
        return EndedRun(
            content.started_at,
            content.written_at,
            reason,
            detail,
            num_cut if reason == "stopped" else num_open,
        )

    def _reason(self, content: _Content, path: Path) -> tuple[Reason, str, int]:
        if content.ended:
            return "stopped", content.ended, content.num_cut
        fault = read(_fault_path(path)).partition("\n")[0]
        if fault.startswith(FATAL):
            return "crashed", fault.removeprefix(FATAL)[:100], 0
        if content.boot_id != _boot_id(self._root):
            return "machine_restarted", "", 0
        # Counted for the whole machine: it may have been another process.
        if _num_oom_kills(self._root) > content.num_oom_kills:
            return "out_of_memory", "", 0
        return "killed", "", 0

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """Keep the reason of a failure in `problem`, and log it once."""
        try:
            yield
        except OSError as error:
            words = f"The file of this run cannot be written: {error.strerror or error}."
            if words != self.problem:
                log.warning("the file of this run cannot be written", error=str(error))
            self.problem = words
        else:
            self.problem = ""


def _read_ended(path: Path) -> _Content | None:
    """The content of a file that no living process holds; None if one does, or it is not ours."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _content(json.loads(file.read(FILE_BYTES)))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _content(data: dict[str, Any]) -> _Content:
    data["open_requests"] = [OpenRequests(**group) for group in data["open_requests"]]
    data["crashes"] = [EndedRun(**crash) for crash in data["crashes"]]
    return _Content(**data)


def _grouped(requests: Open) -> list[OpenRequests]:
    counted = sorted(Counter(requests).items())
    return [OpenRequests(*group, count) for group, count in counted[:MAX_GROUPS]]


def _fault_path(path: Path) -> Path:
    return path.with_suffix(".fault")


def _boot_id(root: Path) -> str:
    return read(root / "proc/sys/kernel/random/boot_id")


def _num_oom_kills(root: Path) -> int:
    """How many processes of this machine the kernel has killed for memory since it started."""
    for line in read(root / "proc/vmstat").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0
