"""The file of a run: what the next start reads in it, and that a bad disk hurts nobody."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_service.observability.run_file import HEARTBEAT_SECONDS, OpenRequests, RunFile

STREAM = ("pocket", "chat", "decode")
WAITING = ("pocket", "chat", "queue")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A recorded machine: its boot and its OOM kills."""
    root = tmp_path / "root"
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text("first-boot\n")
    (root / "proc/vmstat").write_text("nr_free_pages 1\noom_kill 3\n")
    return root


def killed_run(state: Path, root: Path, *requests: tuple[str, str, str]) -> None:
    """A run that another process began, and that was killed with these requests open."""

    def run(ready: "multiprocessing.synchronize.Event") -> None:
        file = RunFile(state, root=root)
        file.begin()
        file.renew(requests)
        ready.set()
        signal.pause()

    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=run, args=(ready,))
    process.start()
    assert ready.wait(60)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)


def begun(state: Path, root: Path) -> RunFile:
    file = RunFile(state, root=root)
    file.begin()
    assert file.problem == ""
    return file


def test_the_start_after_a_kill_knows_which_requests_were_open(
    tmp_path: Path, machine: Path
) -> None:
    killed_run(tmp_path / "state", machine, STREAM, STREAM, WAITING)
    file = begun(tmp_path / "state", machine)
    assert file.previous is not None
    assert (file.previous.reason, file.previous.num_cut) == ("killed", 3)
    assert file.crashes == [file.previous]
    assert file.take_cut() == [OpenRequests(*STREAM, 2), OpenRequests(*WAITING, 1)]
    assert file.take_cut() == []


def out_of_memory(root: Path, state: Path) -> None:
    (root / "proc/vmstat").write_text("oom_kill 4\n")


def reboot(root: Path, state: Path) -> None:
    (root / "proc/sys/kernel/random/boot_id").write_text("second-boot\n")


def fault(root: Path, state: Path) -> None:
    [path] = state.glob("run-*.json")
    text = "Fatal Python error: Segmentation fault\n\nThread 0x1 (most recent call first):\n"
    path.with_suffix(".fault").write_text(text)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (out_of_memory, "out_of_memory", ""),
        (reboot, "machine_restarted", ""),
        (fault, "crashed", "Segmentation fault"),
    ],
)
def test_the_reason_of_an_end_is_told_as_far_as_it_is_known(
    tmp_path: Path,
    machine: Path,
    change: Callable[[Path, Path], None],
    reason: str,
    detail: str,
) -> None:
    state = tmp_path / "state"
    killed_run(state, machine, STREAM)
    change(machine, state)
    previous = begun(state, machine).previous
    assert previous is not None
    assert (previous.reason, previous.detail, previous.num_cut) == (reason, detail, 1)
    assert not list(state.glob("*.fault"))


def test_a_clean_end_is_no_crash_and_earlier_crashes_are_still_known(
    tmp_path: Path, machine: Path
) -> None:
    state = tmp_path / "state"
    killed_run(state, machine, STREAM)
    begun(state, machine).end("SIGTERM", 2)
    file = begun(state, machine)
    assert file.previous is not None
    assert (file.previous.reason, file.previous.detail) == ("stopped", "SIGTERM")
    assert file.previous.num_cut == 2
    assert [crash.num_cut for crash in file.crashes] == [1]
    assert file.take_cut() == []
    assert len(list(state.glob("run-*.json"))) == 1


def test_a_crash_is_forgotten_after_a_week(tmp_path: Path, machine: Path) -> None:
    state = tmp_path / "state"
    killed_run(state, machine, STREAM)
    week = 8 * 86_400
    file = RunFile(state, root=machine, clock=lambda: state.stat().st_mtime + week)
    file.begin()
    assert file.previous is not None
    assert file.crashes == []


def test_the_file_of_a_run_that_is_on_is_left_alone(tmp_path: Path, machine: Path) -> None:
    first = begun(tmp_path, machine)
    second = begun(tmp_path, machine)
    assert second.previous is None
    assert len(list(tmp_path.glob("run-*.json"))) == 2
    first.end("SIGTERM", 0)
    assert begun(tmp_path, machine).previous is not None
    second.end("SIGTERM", 0)


def test_it_is_written_only_when_something_has_changed_or_now_and_then(
    tmp_path: Path, machine: Path
) -> None:
    now = 1000.0
    file = RunFile(tmp_path, root=machine, clock=lambda: now)
    file.begin()
    assert not file.needs_renewal([])
    assert file.needs_renewal([STREAM])
    file.renew([STREAM])
    assert not file.needs_renewal([STREAM])
    now += HEARTBEAT_SECONDS
    assert file.needs_renewal([STREAM])
    file.end("SIGTERM", 0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"started_at": 1}', "\x00" * 100])
def test_a_file_that_is_not_ours_is_ignored(tmp_path: Path, machine: Path, text: str) -> None:
    (tmp_path / "run-other.json").write_text(text)
    assert begun(tmp_path, machine).previous is None
    assert (tmp_path / "run-other.json").read_text() == text


def test_a_folder_that_cannot_be_written_is_a_problem_and_heals(
    tmp_path: Path, machine: Path
) -> None:
    state = tmp_path / "state"
    state.write_text("a file where the folder should be")
    file = RunFile(state, root=machine)
    file.begin()
    assert "cannot be written" in file.problem
    file.renew([STREAM])
    state.unlink()
    file.renew([STREAM, STREAM])
    assert file.problem == ""
    [path] = state.glob("run-*.json")
    assert json.loads(path.read_text())["open_requests"][0]["count"] == 2
    assert path.stat().st_mode & 0o777 == 0o600
    file.end("SIGTERM", 0)
