"""A handle on the process that renders a model's chat template.

Owns that process: starts it when it is first needed, and again after it was ended for taking
too long. `template_worker` is what runs in it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_service.engine.template_worker import pack, read_frame, write_frame
from llm_service.errors import InvalidRequest, Unavailable

# -P: the working directory is not searched for modules
_COMMAND = (sys.executable, "-P", "-m", "llm_service.engine.template_worker")
COMPUTE_SECONDS = 2.0
MAX_MESSAGES_BYTES = 16 * 2**20


class TemplateProcess:
    """Safe to use from several threads; one conversation is rendered at a time."""

    def __init__(
        self,
        template: str,
        special_tokens: Mapping[str, str],
        control: Mapping[str, int],
        *,
        compute_seconds: float = COMPUTE_SECONDS,
    ) -> None:
        """`special_tokens`: the template's names for them; `control`: control tokens and ids.

        `compute_seconds`: how long one conversation may compute, on however busy a machine.
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

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
        """The sealed prompt, with control tokens by their private names.

        Raises InvalidRequest when the template refuses the messages or takes too long, and
        Unavailable when its process could not start or was ended by somebody else.
        """
        request = _request(messages, add_generation_prompt)
        with self._lock:
            answer = self._ask(request)
        if "refusal" in answer:
            raise InvalidRequest(str(answer["refusal"]), param=answer["param"])
        return str(answer["text"])

    def _ask(self, request: bytes) -> Any:
        try:
            process = self._running()
        except OSError as error:  # no memory or no process to be had
            raise Unavailable(f"Chat templates cannot be run now: {error}") from error
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            write_frame(process.stdin, request)
            return read_frame(process.stdout)
        except (EOFError, OSError, ValueError):
            raise self._failure(process) from None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        if self._end is not None:
            self._end()
        # Nothing of the service's environment, which holds secrets; its own session, so that
        # Ctrl-C leaves it alone while requests are drained.
        paths = (path or str(Path.cwd()) for path in sys.path)
        environment = {"PYTHONPATH": os.pathsep.join(paths)}
        if "TZ" in os.environ:  # templates write the date
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
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already: reading its answer shows that
            write_frame(process.stdin, pack(self._setup))
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


def _request(messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> bytes:
    try:
        request = pack({"messages": list(messages), "add_generation_prompt": add_generation_prompt})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The messages cannot be read: {error}", param="messages") from error
    if len(request) > MAX_MESSAGES_BYTES:
        raise InvalidRequest(
            f"The messages take {len(request)} bytes; at most {MAX_MESSAGES_BYTES} are accepted.",
            param="messages",
        )
    return request


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):  # it still had something to write
            stream.close()
