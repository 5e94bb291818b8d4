"""What a log line holds, what it never holds, and that a log that fails hurts nobody."""

import errno
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from llm_service.observability.logging import configure_logging

KEY = "llms_Zk3-9_abcdefghijklmnopqrstuvwxyz0123456789"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_both_kinds_of_logger_write_the_same_json(out: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger().info("ours", number=1)
        logging.getLogger("llm_service.engine").warning("theirs %s", "too")
    ours, theirs = lines(out)
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "ours", "number": 1, "level": "info", "request_id": "abc"}
    assert theirs["event"] == "theirs too"
    assert (theirs["level"], theirs["request_id"]) == ("warning", "abc")
    assert theirs["logger"] == "llm_service.engine"


def test_the_level_holds_for_both_kinds(out: io.StringIO) -> None:
    structlog.get_logger().debug("no")
    logging.getLogger("llm_service").debug("no")
    logging.getLogger("llm_service").info("yes")
    assert [line["event"] for line in lines(out)] == ["yes"]


def test_other_libraries_do_not_tell_the_urls_they_call() -> None:
    out = io.StringIO()
    configure_logging("debug", "json", out)
    logging.getLogger("httpx").info("HTTP Request: GET http://x/?secret=1")
    logging.getLogger("httpx").warning("slow")
    assert [line["event"] for line in lines(out)] == ["slow"]


def test_uvicorn_is_heard_once_and_its_access_log_never(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info('GET "/?q=secret"')
    assert [line["event"] for line in lines(out)] == ["started"]


def test_auto_is_console_on_a_terminal_and_json_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    configure_logging("info", "auto", terminal)
    structlog.get_logger().info("hello", number=1)
    configure_logging("info", "auto", file)
    structlog.get_logger().info("hello", number=1)
    assert "\x1b[" in terminal.getvalue()
    assert lines(file)[0]["number"] == 1


def test_a_console_that_is_no_terminal_has_no_colours() -> None:
    out = io.StringIO()
    configure_logging("info", "console", out)
    structlog.get_logger().info("hello")
    assert "hello" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f"Bearer {KEY}",
        "Bearer sk-secretsecret",
        "authorization: Basic c2VjcmV0OnNlY3JldA==",
        {"Authorization": "Basic c2VjcmV0OnNlY3JldA=="},
        [(b"authorization", b"Bearer sk-secretsecret")],
        {"nested": [{"headers": {"authorization": "c2VjcmV0OnNlY3JldA=="}}]},
        ValueError(f"bad key {KEY}!"),
    ],
)
def test_what_looks_like_a_key_is_blotted_out(log_format: Any, value: object) -> None:
    out = io.StringIO()
    configure_logging("info", log_format, out)
    structlog.get_logger().info("event", value=value)
    logging.getLogger("llm_service").error("event %s", value)
    text = out.getvalue()
    assert text.count("[redacted]") >= 2
    for secret in ("Zk3", "secretsecret", "c2VjcmV0"):
        assert secret not in text


def test_a_blotted_line_is_still_json(out: io.StringIO) -> None:
    structlog.get_logger().info(f"a {KEY} b", auth="Bearer abc", path='C:\\x "quoted"')
    (line,) = lines(out)
    assert line["event"] == "a [redacted] b"
    assert line["auth"] == "Bearer [redacted]"
    assert line["path"] == 'C:\\x "quoted"'


def test_blotting_errs_on_the_safe_side(out: io.StringIO) -> None:
    structlog.get_logger().info("the bearer of this has llms and an authorization")
    assert lines(out)[0]["event"] == "the bearer [redacted] this has llms and an authorization"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_is_logged_without_local_variables(log_format: Any) -> None:
    out = io.StringIO()
    configure_logging("info", log_format, out)

    def fail(prompt: str) -> None:
        raise RuntimeError("it broke")

    try:
        fail("my " + "deepest " + "wish")
    except RuntimeError:
        structlog.get_logger().exception("unhandled error")
        logging.getLogger("llm_service").exception("unhandled error")
    text = out.getvalue()
    assert text.count("RuntimeError: it broke") == 2
    assert text.count("in fail") == 2
    assert "deepest wish" not in text
    assert "my deepest" not in text


def test_a_line_break_in_a_value_does_not_make_a_second_line(out: io.StringIO) -> None:
    structlog.get_logger().info("event", value='x\n{"level": "forged"}')
    assert len(out.getvalue().splitlines()) == 1


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_fails_no_caller() -> None:
    configure_logging("info", "json", FullDisk())
    structlog.get_logger().info("lost")
    logging.getLogger("llm_service").warning("lost")


def test_a_closed_stream_fails_no_caller() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    stream.close()
    structlog.get_logger().info("lost")
    logging.getLogger("llm_service").warning("lost")


def test_a_broken_pipe_fails_no_caller() -> None:
    program = """
import logging, structlog, sys
from llm_service.observability.logging import configure_logging
configure_logging("info", "json")
sys.stdin.read()
structlog.get_logger().info("lost")
logging.getLogger("llm_service").warning("lost")
print("still here")
"""
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=writer,
        cwd=Path(__file__).parent.parent.parent,
        text=True,
    ) as process:
        os.close(writer)
        os.close(reader)
        stdout, _ = process.communicate("")
    assert stdout == "still here\n"
