"""Streams of which nothing is there yet: headers, signs of life, and the end if it fails."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_service.api import sse
from llm_service.errors import EngineFailed
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/api/chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "/api/generate": {"prompt": "Hi"},
}
paths = pytest.mark.parametrize("path", BODIES)


@pytest.fixture
def held(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningService]:
    monkeypatch.setattr(sse, "HEADERS_SECONDS", 0.05)
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.05)
    state = tmp_path_factory.mktemp("state")
    with RunningService(state, engine=FakeEngine()) as running:
        running.engine.hold()
        yield running
        running.engine.release()


def is_sign_of_life(path: str, line: str) -> bool:
    if not path.startswith("/api/"):
        return line == ": keep-alive"
    fields = json.loads(line)
    text = fields["response"] if "response" in fields else fields["message"]["content"]
    return text == "" and fields["done"] is False


@paths
def test_headers_and_signs_of_life_come_before_the_first_token(
    held: RunningService, path: str
) -> None:
    body = {"model": "pocket", "stream": True, **BODIES[path]}
    with held.client() as http, http.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        num_signs = 0
        for line in answer.iter_lines():
            num_signs += is_sign_of_life(path, line)
            if num_signs == 2:
                break
        assert num_signs == 2
        (sequence,) = held.engine.streams[-1].sequences
        assert sequence.usage.num_output_tokens == 0


@paths
def test_an_error_after_the_headers_ends_the_stream_in_the_endpoints_form(
    held: RunningService, path: str
) -> None:
    body = {"model": "pocket", "stream": True, **BODIES[path]}
    with held.client() as http, http.stream("POST", path, json=body) as answer:
        held.engine.fail_all(EngineFailed("The engine failed."))
        last = [line for line in answer.iter_lines() if line][-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    if path.startswith("/api/"):
        assert error == "The engine failed."
    else:
        assert (error["message"], error["code"]) == ("The engine failed.", "engine_failed")


def test_an_error_before_the_headers_has_a_status_of_its_own(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    state = tmp_path_factory.mktemp("state")
    with RunningService(state, engine=FakeEngine()) as service, service.client() as http:
        service.engine.refuses_with = EngineFailed("The engine failed.")
        for path, body in BODIES.items():
            answer = http.post(path, json={"model": "pocket", "stream": True, **body})
            assert answer.status_code == 500, path
            assert answer.headers["content-type"] == "application/json"
