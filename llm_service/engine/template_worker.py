"""The process in which a chat template runs: `python -m llm_service.engine.template_worker`.

A template comes with a model and is a foreign program. It may loop forever or allocate gigabytes,
and no check of its source can detect that. It therefore runs in this process, where the kernel
limits the resources of one prompt. It does not share memory, environment or the interpreter's lock
with the service. `template_process` is the other end; it also watches this process's memory, for
systems whose kernel does not limit it.

Frames in both directions are a length followed by JSON. The first request has the template and the
control tokens; its answer is `{}`. Each later request is a conversation; its answer is
`{"text": ...}` or `{"refusal": ...}`.
"""

import contextlib
import json
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from llm_service.engine.chat_renderer import ChatRenderer
from llm_service.engine.chat_template import ChatTemplate, TemplateFailed
from llm_service.engine.conversation import Conversation
from llm_service.engine.sealing import Sealer, encodable
from llm_service.errors import InvalidRequest

MEMORY_BYTES = 512 * 2**20
_LENGTH = struct.Struct(">I")


def pack(value: Any) -> bytes:
    """Encode a frame. Raises ValueError, TypeError or RecursionError if JSON cannot hold it."""
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(data)) + data


def write_frame(stream: IO[bytes], frame: bytes) -> None:
    """Write a frame. Raises OSError if the reader is gone."""
    stream.write(frame)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Any:
    """Read a frame. Raises EOFError at the end of the stream."""
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    return json.loads(_read(stream, length).decode("utf-8", "surrogatepass"))


def main() -> None:
    _limit_memory()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):  # the service has ended
        setup = read_frame(requests)
        seconds = setup["compute_seconds"]
        with _limited_time(seconds):
            renderer = _renderer(setup)
        write_frame(answers, pack({}))
        while True:
            request = read_frame(requests)
            with _limited_time(seconds):
                answer = pack(_answer(renderer, request))
            write_frame(answers, answer)


def _renderer(setup: dict[str, Any]) -> ChatRenderer | str:
    """Return a renderer, or the reason why there is none."""
    try:
        template = ChatTemplate(setup["template"], setup["special_tokens"])
    except TemplateFailed as error:
        return f"This model's chat template is not valid: {encodable(str(error))[:500]}"
    except MemoryError:
        return TOO_LARGE
    return ChatRenderer(template, Sealer(setup["control"]))


def _answer(renderer: ChatRenderer | str, request: dict[str, Any]) -> dict[str, Any]:
    if isinstance(renderer, str):
        return {"refusal": renderer, "param": "messages"}
    try:
        text = renderer.render(Conversation(**request))
    except InvalidRequest as error:
        return {"refusal": error.message, "param": error.param}
    except MemoryError:
        return {"refusal": TOO_LARGE, "param": "messages"}
    except RecursionError:
        return {"refusal": "The messages are nested too deeply.", "param": "messages"}
    return {"text": text}


TOO_LARGE = (
    "The model's chat template refuses these messages:"
    f" it needs more than {MEMORY_BYTES // 2**20} MiB of memory."
)


@contextlib.contextmanager
def _limited_time(seconds: float) -> Iterator[None]:
    """Have the kernel end this process if the body uses more CPU time than `seconds`.

    Waiting does not count, so a busy machine does not end a template too early.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    with contextlib.suppress(
        OSError, ValueError
    ):  # macOS refuses this; the service watches the memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # if memory runs out, the kernel ends this process first
        Path("/proc/self/oom_score_adj").write_text("1000")


def _read(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


if __name__ == "__main__":
    main()
