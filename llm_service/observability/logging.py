"""Logging, configured once: structlog and the standard library's loggers share one output.

One line per event, JSON or for a console. No code logs secrets on purpose. If
something that looks like a key is logged anyway, it is redacted in the finished line. If the log
cannot be written, lines are lost, but no request fails.
"""

import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.typing import Processor, WrappedLogger

# Our keys, and whatever stands after "Bearer" or "Authorization".
_SECRETS = re.compile(
    r"llms_[\w-]+"
    r"|(?P<scheme>\bbearer\s+)[^\s\"',;)}\\\]]+"
    r"|(?P<header>\bauthorization\W+(?:b')?(?:basic |token )?)(?!bearer\b)[^\s\"',;)}\\\]]+",
    re.IGNORECASE,
)
_MARKS = ("llms_", "bearer", "authorization")
# The only ones whose information is about this service. Others', such as HTTP clients, log
# the URLs and headers that they send.
_OUR_LOGGERS = ("llm_service", "uvicorn")


def configure_logging(
    level: str = "info",
    log_format: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of `level` and above to `stream`, standard error by default.

    Run uvicorn with `log_config=None, access_log=False`: the middleware has the access line.
    """
    stream = stream or sys.stderr
    is_console = log_format == "console" or (log_format == "auto" and stream.isatty())
    out = cast(TextIO, SafeStream(stream))
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [format_exc_info, JSONRenderer()]
    if is_console:
        last = [_console(stream.isatty())]
    last.append(redact)
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
    )
    _route_stdlib(level, out, common, last)


class SafeStream:
    """A text stream that swallows its own failures: a full disk, a closed pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def redact(logger: WrappedLogger, method: str, line: Any) -> str:
    """A processor that runs after the renderer and redacts keys and Authorization values."""
    assert isinstance(line, str)
    lowered = line.lower()
    if not any(mark in lowered for mark in _MARKS):  # ten times as fast as the expression
        return line
    return _SECRETS.sub(lambda m: (m["scheme"] or m["header"] or "") + "[redacted]", line)


def _console(has_colors: bool) -> Processor:
    # The default formatter prints local variables, and prompts with them.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=plain)


def _route_stdlib(level: str, out: TextIO, common: list[Processor], last: list[Processor]) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
