"""Streams through the nginx of the stack, with its own configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from llm_service.api import sse
from tests.support.fake_engine import FakeEngine
from tests.support.nginx_server import NginxServer
from tests.support.service import ADMIN_KEY, RunningService

ASKED = [{"role": "user", "content": "Hi"}]
# Each endpoint that streams: a body, and the sign of life while nothing is there.
STREAMS: dict[str, tuple[dict[str, Any], str]] = {
    "/v1/chat/completions": ({"messages": ASKED}, ": keep-alive"),
    "/v1/completions": ({"prompt": "Hi"}, ": keep-alive"),
    "/v1/responses": ({"input": "Hi"}, "event: response.in_progress"),
    "/v1/messages": ({"messages": ASKED, "max_tokens": 9}, "event: ping"),
    "/api/chat": ({"messages": ASKED}, '"content":""'),
    "/api/generate": ({"prompt": "Hi"}, '"response":""'),
}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    monkeypatch.setattr(sse, "HEADERS_SECONDS", 0.05)
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.05)
    with RunningService(tmp_path, engine=FakeEngine()) as running:
        yield running


@pytest.fixture
def through_nginx(service: RunningService, tmp_path: Path) -> Iterator[httpx.Client]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with (
        NginxServer(folder, service.url.removeprefix("http://")) as nginx,
        httpx.Client(base_url=nginx.url, headers=headers, timeout=60) as client,
    ):
        yield client


def read_until(lines: Iterator[str], words: str, times: int = 1) -> None:
    for line in lines:
        times -= words in line
        if not times:
            return
    pytest.fail(f"{words!r} did not come")


@pytest.mark.parametrize("path", STREAMS)
def test_signs_of_life_and_each_token_pass_at_once(
    service: RunningService, through_nginx: httpx.Client, path: str
) -> None:
    body, sign = STREAMS[path]
    body = {"model": "pocket", "stream": True, **body}
    service.engine.says = ("Ω",)
    service.engine.hold()
    with through_nginx.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        # Nothing has been generated: what comes is not held back for more.
        read_until(lines, sign, times=3)
        (sequence,) = service.engine.streams[-1].sequences
        assert sequence.usage.num_output_tokens == 0
        service.engine.release()
        read_until(lines, "Ω")


def test_a_service_that_is_away_is_told_in_the_services_envelope(
    service: RunningService, through_nginx: httpx.Client
) -> None:
    assert through_nginx.get("/healthz").status_code == 200
    service.stop()
    answer = through_nginx.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_unavailable"
    assert answer.headers["retry-after"] == "5"
