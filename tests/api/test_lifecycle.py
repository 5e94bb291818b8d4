"""Every accepted request ends exactly once, whoever hangs up. Mostly with an engine on a leash."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from llm_service.errors import DeadlineExceeded, EngineFailed
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

CHAT = "/v1/chat/completions"
WAIT_SECONDS = 10


def body(**options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hi"}]
    return {"model": "pocket", "messages": messages, "max_tokens": 50, **options}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def leashed(tmp_path: Path, engine: FakeEngine) -> Iterator[RunningService]:
    with RunningService(tmp_path, engine=engine, drain_seconds=1) as service:
        yield service


def last_record(service: RunningService) -> dict[str, Any]:
    with service.client() as http:
        return http.get("/api/requests", params={"limit": 1}).json()["requests"][0]


@contextmanager
def begun_stream(service: RunningService, engine: FakeEngine) -> Iterator[Iterator[str]]:
    """The lines of a stream that stands still after its first; leaving hangs up."""
    engine.hold(after=1)
    request = body(stream=True, max_tokens=900)
    with service.client() as http, http.stream("POST", CHAT, json=request) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def last_error(lines: Iterator[str]) -> dict[str, Any]:
    """What the last event says, which must be an error."""
    last = [line for line in lines if line][-1]
    error: dict[str, Any] = json.loads(last.removeprefix("data: "))["error"]
    return error


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_while_it_waits_frees_its_slot(
    leashed: RunningService, engine: FakeEngine, is_stream: bool
) -> None:
    engine.hold()
    with leashed.client() as http, pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=body(stream=is_stream), timeout=0.3)
    assert engine.aborted.acquire(timeout=WAIT_SECONDS)
    engine.release()
    assert last_record(leashed)["outcome"] == "cancelled"


def test_a_client_that_leaves_mid_stream_frees_its_slot(
    leashed: RunningService, engine: FakeEngine
) -> None:
    with begun_stream(leashed, engine):
        pass
    assert engine.aborted.acquire(timeout=WAIT_SECONDS)
    record = last_record(leashed)
    assert record["outcome"] == "cancelled"
    assert record["prompt_tokens"] > 0


def test_one_of_several_choices_does_not_outlive_the_client(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with leashed.client() as http, pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=body(n=3), timeout=0.3)
    assert all(engine.aborted.acquire(timeout=WAIT_SECONDS) for _ in range(3))


def test_an_engine_that_fails_before_the_first_token_is_a_500_in_the_envelope(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with ThreadPoolExecutor() as pool, leashed.client() as http:
        answer = pool.submit(http.post, CHAT, json=body(stream=True))
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        engine.fail_all(EngineFailed("The engine failed."))
        response = answer.result(WAIT_SECONDS)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "engine_failed"
    assert last_record(leashed)["outcome"] == "error"


def test_an_engine_that_fails_mid_stream_ends_it_with_an_error_event_and_counts_an_error(
    leashed: RunningService, engine: FakeEngine
) -> None:
    with begun_stream(leashed, engine) as lines:
        engine.fail_all(EngineFailed("The engine failed."))
        assert last_error(lines)["code"] == "engine_failed"
    record = last_record(leashed)
    assert (record["outcome"], record["error_phase"]) == ("error", "decode")


def test_the_official_client_raises_when_a_stream_breaks(
    leashed: RunningService, engine: FakeEngine
) -> None:
    client = openai.OpenAI(base_url=f"{leashed.url}/v1", api_key=ADMIN_KEY, max_retries=0)
    engine.hold(after=1)
    with client, pytest.raises(openai.APIError, match="engine failed"):  # noqa: PT012
        for _ in client.chat.completions.create(**body(stream=True, max_tokens=900)):
            engine.fail_all(EngineFailed("The engine failed."))


def test_a_deadline_is_a_timeout_in_the_record(leashed: RunningService, engine: FakeEngine) -> None:
    engine.hold()
    with ThreadPoolExecutor() as pool, leashed.client() as http:
        answer = pool.submit(http.post, CHAT, json=body())
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        engine.fail_all(DeadlineExceeded("It took too long."))
        assert answer.result(WAIT_SECONDS).status_code == 503
    assert last_record(leashed)["outcome"] == "timeout"


def test_a_full_queue_is_503_with_a_time_to_wait_and_leaves_nothing_behind(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with ThreadPoolExecutor(20) as pool, leashed.client() as http:
        waiting = [pool.submit(http.post, CHAT, json=body()) for _ in range(8)]
        assert all(engine.submitted.acquire(timeout=WAIT_SECONDS) for _ in waiting)
        refused = http.post(CHAT, json=body())
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        engine.release()
        assert [answer.result(WAIT_SECONDS).status_code for answer in waiting] == [200] * 8
    assert engine.active == []


def test_a_full_queue_takes_none_of_a_requests_answers(
    leashed: RunningService, engine: FakeEngine
) -> None:
    engine.hold()
    with ThreadPoolExecutor() as pool, leashed.client() as http:
        waiting = pool.submit(http.post, CHAT, json=body(n=8))
        assert all(engine.submitted.acquire(timeout=WAIT_SECONDS) for _ in range(8))
        assert http.post(CHAT, json=body(n=3)).status_code == 503
        assert len(engine.active) == 8
        engine.release()
        assert waiting.result(WAIT_SECONDS).status_code == 200


def test_health_follows_the_engine_and_liveness_does_not(
    leashed: RunningService, engine: FakeEngine
) -> None:
    with leashed.client(key=None) as http:
        assert http.get("/health").status_code == 200
        engine._is_ready = False
        response = http.get("/health")
        assert response.status_code == 503
        assert response.json()["reason"]
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200


def test_shutdown_lets_a_short_answer_finish(leashed: RunningService, engine: FakeEngine) -> None:
    engine.hold()
    with ThreadPoolExecutor() as pool, leashed.client() as http:
        answer = pool.submit(http.post, CHAT, json=body(stream=True, max_tokens=5))
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        stopping = threading.Thread(target=leashed.stop)
        stopping.start()
        engine.release()
        assert answer.result(WAIT_SECONDS).text.endswith("data: [DONE]\n\n")
        stopping.join(WAIT_SECONDS)


def test_shutdown_ends_a_long_stream_with_an_error_event(
    leashed: RunningService, engine: FakeEngine
) -> None:
    with begun_stream(leashed, engine) as lines:
        stopping = threading.Thread(target=leashed.stop)
        stopping.start()
        assert last_error(lines)["code"] == "engine_unavailable"
        stopping.join(WAIT_SECONDS)


def test_a_request_while_the_model_loads_is_503_and_not_lost(tmp_path: Path) -> None:
    class SlowToStart(FakeEngine):
        def __init__(self) -> None:
            super().__init__()
            self.may_start = threading.Event()

        async def start(self) -> None:
            import asyncio

            await asyncio.to_thread(self.may_start.wait, WAIT_SECONDS)
            await super().start()

    engine = SlowToStart()
    service = RunningService(tmp_path, engine=engine)
    service._thread.start()
    assert service.server.is_listening.wait(WAIT_SECONDS)
    with service.client() as http:
        refused = http.post(CHAT, json=body())
        assert refused.status_code == 503
        assert "loading" in refused.json()["error"]["message"]
        record = http.get(f"/api/requests/{refused.headers['x-request-id']}").json()
        # A kind that no objective counts: nothing was ready that could have failed.
        assert (record["error_kind"], record["error_phase"]) == ("loading", "admission")
        engine.may_start.set()
        assert service.server.is_up.wait(WAIT_SECONDS)
        assert http.post(CHAT, json=body()).status_code == 200
    service.stop()
