"""What every peer is: something to install, weights to convert, a server to start and watch.

Everything lands under build/, which git does not see: build/peers/NAME/ holds a peer's own
virtual environment, build/checkpoints/NAME/ the weights and what peers made of them.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import httpx2 as httpx
import psutil

ROOT = Path(__file__).parent.parent.parent
PEERS = ROOT / "build" / "peers"
START_SECONDS = 900
STOP_SECONDS = 30
# Servers hold a prompt of 2,048 tokens, or 16 streams of 128 + 128 tokens, with room to spare.
CONTEXT_TOKENS = 4096
CACHE_TOKENS = 16_384
MAX_STREAMS = 16


class PeerError(Exception):
    """A peer cannot be installed, converted for or started; its text is for the user."""


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server; `key` and `model` are what its clients must send."""

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    model: str | None = None


class Peer(Protocol):
    """`name` is also its module's; `schemes` are the weights it can serve."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def schemes(self) -> tuple[str, ...]: ...

    def install(self) -> None:
        """Bring the pinned version, once. Raises PeerError."""

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        """Write what the server reads, once, beside the checkpoint; return where it is."""

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command: ...


class Server:
    """A peer that serves: `with Server(...) as server:`, ready once a completion was answered."""

    def __init__(self, peer: Peer, checkpoint: Path, scheme: str, threads: int) -> None:
        peer.install()
        model = peer.convert(checkpoint, scheme)
        port = free_port()
        self._command = peer.command(model, scheme, port, threads)
        self._peer = peer
        self._log = tempfile.TemporaryFile()  # noqa: SIM115, closed in __exit__
        self.url = f"http://127.0.0.1:{port}"
        self.key = self._command.key
        self.model = self._command.model

    def __enter__(self) -> Self:
        started = time.perf_counter()
        try:
            self.process = subprocess.Popen(
                self._command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "HF_HUB_OFFLINE": "1", **self._command.environment},
                start_new_session=True,
            )
        except OSError as error:
            raise PeerError(f"{self._peer.name} cannot be started: {error}") from None
        self.memory = MemoryWatch(self.process.pid)
        try:
            self._wait_ready(started)
        except BaseException:
            self.__exit__()
            raise
        self.ready_seconds = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.stop()
        # Its children can outlive it; they are all in the session that it began.
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def log_tail(self) -> str:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def _wait_ready(self, started: float) -> None:
        """Until one token came back. A server can listen, and say it is well, long before that."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with httpx.Client(base_url=self.url, headers=headers, timeout=START_SECONDS) as http:
            while not self._answers(http):
                if self.process.poll() is not None:
                    raise PeerError(
                        f"{self._peer.name} ended with status {self.process.returncode}:\n"
                        f"{self.log_tail()}"
                    )
                if time.perf_counter() - started > START_SECONDS:
                    raise PeerError(
                        f"{self._peer.name} was not ready after {START_SECONDS} s:\n"
                        f"{self.log_tail()}"
                    )
                time.sleep(0.05)

    def _answers(self, http: httpx.Client) -> bool:
        try:
            self.model = self.model or http.get("/v1/models").json()["data"][0]["id"]
            request = {"model": self.model, "prompt": "Hello", "max_tokens": 1}
            response = http.post("/v1/completions", json=request)
        except (httpx.TransportError, ValueError, LookupError):
            return False
        return response.status_code == 200


class MemoryWatch:
    """The most anonymous memory that a process and all its children held at one moment."""

    INTERVAL_SECONDS = 0.25

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._is_stopped = False
        self._changed = threading.Condition()
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()

    def wait_for(self, num_bytes: int, seconds: float) -> bool:
        """Whether so much was held, waiting that long for it."""
        with self._changed:
            return self._changed.wait_for(lambda: self.peak_bytes >= num_bytes, seconds)

    def _watch(self) -> None:
        with self._changed:
            while not self._is_stopped:
                self.peak_bytes = max(self.peak_bytes, self._held())
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_stopped, self.INTERVAL_SECONDS)

    def _held(self) -> int:
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(anonymous_bytes(process.pid) for process in family)


def anonymous_bytes(pid: int) -> int:
    """Memory that is the process's own, neither files nor shared; 0 once it is gone (Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    lines = (line.split() for line in status.splitlines())
    return sum(int(line[1]) * 1024 for line in lines if line[:1] == ["RssAnon:"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run(arguments: list[str | Path], **options: Any) -> None:
    """Run a step of an installation or conversion at low priority; raise PeerError with its end."""
    words = " ".join(str(argument) for argument in arguments)
    print(f"benchmarks: {words}", file=sys.stderr)
    result = subprocess.run(
        ["nice", "-n", "10", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **options,
    )
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-15:])
        raise PeerError(f"failed ({result.returncode}): {words}\n{tail}")


def make_environment(name: str, *packages: str, without: tuple[str, ...] = ()) -> Path:
    """The Python of build/peers/NAME/venv with these packages, made where it is not.

    `without` names what comes along with them and must go again.
    """
    venv = PEERS / name / "venv"
    wanted = "\n".join(packages) + "\n"
    stamp = venv / "installed.txt"
    python = venv / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        run([sys.executable, "-m", "venv", venv])
        run([python, "-m", "pip", "install", "--quiet", *packages])
        if without:
            run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *without])
        stamp.write_text(wanted)
    return python
