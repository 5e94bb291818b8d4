"""A handle on the process that renders a model's chat template.

Owns that process: starts it when it is first needed, ends it when it exceeds its memory limit, and
starts it again after it has ended. `template_worker` is the program that runs in it.

The kernel also limits the process if it can (`template_worker`). macOS cannot limit an address
space; the check of the resident memory in this module is the only limit there.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from llm_service.engine.conversation import Conversation
from llm_service.engine.template_worker import (
    MEMORY_BYTES,
    TOO_LARGE,
    pack,
    read_frame,
    write_frame,
)
from llm_service.errors import InvalidRequest, Unavailable

# -P: do not search the working directory for modules
_COMMAND = (sys.executable, "-P", "-m", "llm_service.engine.template_worker")
COMPUTE_SECONDS = 2.0
MAX_MESSAGES_BYTES = 16 * 2**20
# How often the memory of a working process is read. Most answers come before the first reading.
LOOK_MILLISECONDS = 10


class TemplateProcess:
    """Renders one conversation at a time; may be used from several threads."""

    def __init__(
        self,
        template: str,
        special_tokens: Mapping[str, str],
        control: Mapping[str, int],
        *,
        compute_seconds: float = COMPUTE_SECONDS,
    ) -> None:
        """`special_tokens`: the template's names for them; `control`: control tokens and ids.

        `compute_seconds`: limit on the CPU time of one conversation.
        """
        self._compute_seconds = compute_seconds
        self._setup = {
            "compute_seconds": compute_seconds,
            "template": template,
            "special_tokens": dict(special_tokens),
            "control": dict(control),
        }
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Any = None

    def render(self, conversation: Conversation) -> str:
        """Return the sealed prompt, with private names for control tokens.

        Raises InvalidRequest when the template refuses the messages or takes too long, and
        Unavailable when the process could not start or was ended from outside.
        """
        request = _request(conversation)
        with self._lock:
            answer = self._ask(request)
        if "refusal" in answer:
            raise InvalidRequest(str(answer["refusal"]), param=answer["param"])
        return str(answer["text"])

    def _ask(self, request: bytes) -> Any:
        try:
            process, setup = self._running()
        except OSError as error:  # no memory, or no process can be started
            raise Unavailable(f"Chat templates cannot be run now: {error}") from error
        try:
            for frame in (*setup, request):
                answer = _exchange(process, frame)
        except _TooLarge:
            process.kill()
            process.wait()
            raise InvalidRequest(TOO_LARGE, param="messages") from None
        except (EOFError, OSError, ValueError):
            raise self._failure(process) from None
        return answer

    def _running(self) -> tuple[subprocess.Popen[bytes], list[bytes]]:
        """Return the process, and the frames to send to it before a conversation."""
        if self._process is not None and self._process.poll() is None:
            return self._process, []
        self._process = self._start()
        return self._process, [pack(self._setup)]

    def _start(self) -> subprocess.Popen[bytes]:
        if self._end is not None:
            self._end()
        # The process does not get the service's environment, which has secrets. It has its own
        # session, so that Ctrl-C does not end it while requests are drained.
        paths = (path or str(Path.cwd()) for path in sys.path)
        environment = {"PYTHONPATH": os.pathsep.join(paths)}
        if "TZ" in os.environ:  # templates may write the date
            environment["TZ"] = os.environ["TZ"]
        process = subprocess.Popen(  # noqa: S603  # our own program
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, process)
        return process

    def _failure(self, process: subprocess.Popen[bytes]) -> Exception:
        process.kill()
        if process.wait() == -signal.SIGPROF:
            return InvalidRequest(
                "The model's chat template refuses these messages:"
                f" it did not finish within {self._compute_seconds:g} seconds of computing.",
                param="messages",
            )
        return Unavailable("The process that renders chat templates ended.", retry_after=1)


def _request(conversation: Conversation) -> bytes:
    try:
        request = pack(conversation.as_dict())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The messages cannot be read: {error}", param="messages") from error
    if len(request) > MAX_MESSAGES_BYTES:
        raise InvalidRequest(
            f"The messages take {len(request)} bytes; at most {MAX_MESSAGES_BYTES} are accepted.",
            param="messages",
        )
    return request


class _TooLarge(Exception):
    """The process has exceeded its memory limit."""


def _exchange(process: subprocess.Popen[bytes], frame: bytes) -> Any:
    """Send a frame and return the answer to it.

    Raises _TooLarge, and EOFError, OSError or ValueError if the process ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it has ended already: reading its answer shows that
        write_frame(process.stdin, frame)
    _wait_within_memory(process, process.stdout)
    return read_frame(process.stdout)


def _wait_within_memory(process: subprocess.Popen[bytes], answers: IO[bytes]) -> None:
    """Wait until an answer begins or the process ends. Raises _TooLarge.

    The process cannot watch itself, because one operation in C holds its interpreter's lock.
    """
    ready = select.poll()  # `select.select` takes no descriptor above 1023
    ready.register(answers, select.POLLIN)
    while not ready.poll(LOOK_MILLISECONDS):
        if _resident_bytes(process.pid) > MEMORY_BYTES:
            raise _TooLarge


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # it has ended: reading its answer shows that
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):  # it still had data to write
            stream.close()
