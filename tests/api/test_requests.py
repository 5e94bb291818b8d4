"""/api/requests: what runs, how far it has come, one request by its id, and cancelling."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from pydantic import SecretStr

from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
USER_KEY = "user-key-for-tests-0123456789"
WAIT_SECONDS = 30


def body(**options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "my deepest wish"}]
    return {"model": "pocket", "messages": messages, "max_tokens": 900, **options}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def leashed(tmp_path: Path, engine: FakeEngine) -> Iterator[RunningService]:
    keys = SecretStr(f"user:{USER_KEY}")
    with RunningService(tmp_path, engine=engine, api_keys=keys, drain_seconds=1) as service:
        yield service


@pytest.fixture
def admin(leashed: RunningService) -> Iterator[httpx.Client]:
    with leashed.client() as http:
        yield http


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def running(http: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/api/requests").json()["running"]
    return found


def send(
    pool: ThreadPoolExecutor, service: RunningService, request_id: str, **options: Any
) -> "Future[httpx.Response]":
    """A request of the user's, under way in another thread."""

    def post() -> httpx.Response:
        with service.client(USER_KEY) as http:
            return http.post(CHAT, json=body(**options), headers={"x-request-id": request_id})

    return pool.submit(post)


def sample(http: httpx.Client, line: str) -> float:
    rows = [row for row in http.get("/metrics").text.splitlines() if row.startswith(line + " ")]
    return float(rows[0].rpartition(" ")[2])


def test_what_runs_is_listed_with_its_progress_and_without_its_text(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    engine.hold()
    answer = send(pool, leashed, "look-1", max_tokens=5)
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    response = admin.get("/api/requests")
    (waiting,) = response.json()["running"]
    assert "wish" not in response.text
    assert (
        waiting.items()
        >= {
            "request_id": "look-1",
            "operation": "chat",
            "key_name": "user",
            "model": "pocket",
            "stream": False,
            "phase": "queue",
            "num_computed_tokens": 0,
            "output_tokens": 0,
            "max_tokens": 5,
            "queue_seconds": None,
            "ttft_seconds": None,
        }.items()
    )
    assert waiting["prompt_tokens"] > 0
    assert waiting["elapsed_seconds"] >= 0
    engine.release()
    assert answer.result(WAIT_SECONDS).status_code == 200
    assert running(admin) == []


def test_a_stream_in_decode_shows_how_far_it_has_come(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client
) -> None:
    engine.hold(after=3)
    request = body(stream=True, n=2)
    with leashed.client(USER_KEY) as http, http.stream("POST", CHAT, json=request) as response:
        lines = (line for line in response.iter_lines() if '"content":"' in line)
        texts = [next(lines) for _ in range(8)]  # two openings and three tokens of each choice
        assert len(texts) == 8
        (streaming,) = running(admin)
        assert (streaming["phase"], streaming["stream"]) == ("decode", True)
        assert streaming["num_computed_tokens"] == streaming["prompt_tokens"]
        assert (streaming["output_tokens"], streaming["max_tokens"]) == (6, 1800)
        assert streaming["ttft_seconds"] >= streaming["queue_seconds"] >= 0


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_request_cancelled_before_its_first_token_is_499_in_words(
    leashed: RunningService,
    engine: FakeEngine,
    admin: httpx.Client,
    pool: ThreadPoolExecutor,
    is_stream: bool,
) -> None:
    engine.hold()
    answer = send(pool, leashed, "stop-1", stream=is_stream)
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    cancelled = admin.delete("/api/requests/stop-1")
    assert (cancelled.status_code, cancelled.json()) == (
        202,
        {"request_id": "stop-1", "outcome": "cancelled"},
    )
    response = answer.result(WAIT_SECONDS)
    assert response.status_code == 499
    assert response.json()["error"] == {
        "message": "An operator of this service cancelled this request.",
        "type": "request_cancelled_error",
        "param": None,
        "code": "cancelled_by_operator",
    }
    assert engine.active == []
    assert running(admin) == []
    (record,) = admin.get("/api/requests?limit=1").json()["requests"]
    assert (record["request_id"], record["outcome"]) == ("stop-1", "cancelled")
    line = 'llm_requests_total{model="pocket",operation="chat",outcome="cancelled"}'
    assert sample(admin, line) == 1


@pytest.mark.parametrize("n", [1, 3])
def test_a_cancelled_stream_ends_with_an_error_event_and_no_done(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, n: int
) -> None:
    engine.hold(after=1)
    headers = {"x-request-id": "stop-2"}
    request = body(stream=True, n=n)
    with (
        leashed.client(USER_KEY) as http,
        http.stream("POST", CHAT, json=request, headers=headers) as response,
    ):
        lines = (line for line in response.iter_lines() if line)
        next(lines)
        assert admin.delete("/api/requests/stop-2").status_code == 202
        last = json.loads(list(lines)[-1].removeprefix("data: "))
    assert last["error"]["code"] == "cancelled_by_operator"
    assert engine.active == []
    (record,) = admin.get("/api/requests?limit=1").json()["requests"]
    assert record["outcome"] == "cancelled"
    assert record["output_tokens"] >= 1


def test_the_official_client_does_not_try_a_cancelled_request_again(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    engine.hold()
    with openai.OpenAI(base_url=f"{leashed.url}/v1", api_key=USER_KEY, max_retries=3) as client:
        create: Any = client.chat.completions.create  # of its overloads one returns a stream
        call = pool.submit(create, **body())
        assert engine.submitted.acquire(timeout=WAIT_SECONDS)
        (request,) = running(admin)
        admin.delete(f"/api/requests/{request['request_id']}")
        with pytest.raises(openai.APIStatusError, match="operator of this service cancelled"):
            call.result(WAIT_SECONDS)
    assert len(engine.streams) == 1


def test_cancelling_what_does_not_run_is_404(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    assert send(pool, leashed, "over", max_tokens=1).result(WAIT_SECONDS).status_code == 200
    for request_id in ("over", "never"):
        refused = admin.delete(f"/api/requests/{request_id}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


def test_a_request_is_found_by_its_id_while_it_runs_and_when_it_has_ended(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    engine.hold()
    answer = send(pool, leashed, "one-1", max_tokens=5)
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    while_running = admin.get("/api/requests/one-1")
    assert while_running.status_code == 200
    (listed,) = running(admin)
    found = while_running.json()
    assert found.keys() == listed.keys()
    assert (found["request_id"], found["phase"]) == ("one-1", "queue")
    engine.release()
    assert answer.result(WAIT_SECONDS).status_code == 200
    ended = admin.get("/api/requests/one-1")
    assert "wish" not in while_running.text + ended.text
    assert ended.json() == admin.get("/api/requests").json()["requests"][0]
    assert ended.json()["outcome"] == "length"


def test_of_several_requests_with_one_id_the_running_one_is_found_then_the_latest(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    for max_tokens in (1, 2):
        assert send(pool, leashed, "twin", max_tokens=max_tokens).result(WAIT_SECONDS)
    assert admin.get("/api/requests/twin").json()["output_tokens"] == 2
    engine.hold()
    for _ in range(2):
        engine.submitted.acquire(blocking=False)
    answer = send(pool, leashed, "twin", max_tokens=3)
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    assert admin.get("/api/requests/twin").json()["max_tokens"] == 3
    engine.release()
    assert answer.result(WAIT_SECONDS).status_code == 200


def test_a_refused_request_is_found_by_its_id_too(
    leashed: RunningService, admin: httpx.Client
) -> None:
    with leashed.client(USER_KEY) as user:
        refused = user.post(CHAT, json=body(top_p=7), headers={"x-request-id": "bad-1"})
    assert refused.status_code == 400
    record = admin.get("/api/requests/bad-1").json()
    assert (record["outcome"], record["error_kind"]) == ("rejected", "validation")


@pytest.mark.parametrize("request_id", ["never", "%00", "%F0%9F%A6%8A" * 100])
def test_an_unknown_id_is_404_in_words(admin: httpx.Client, request_id: str) -> None:
    refused = admin.get(f"/api/requests/{request_id}")
    assert refused.status_code == 404
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("not_found", "request_id")
    assert "is running or among the last 1,000 on this replica" in error["message"]


def test_a_request_is_shown_by_its_id_only_to_keys_with_the_scope_metrics(
    leashed: RunningService, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    assert send(pool, leashed, "mine", max_tokens=1).result(WAIT_SECONDS).status_code == 200
    key = {"name": "chatter", "scopes": ["inference"]}
    secret = admin.post("/api/keys", json=key).json()["key"]
    with leashed.client(secret) as chatter, leashed.client(key=None) as nobody:
        refused = chatter.get("/api/requests/mine")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")
        assert nobody.get("/api/requests/mine").status_code == 401


def test_only_the_scope_admin_cancels(
    leashed: RunningService, engine: FakeEngine, admin: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    engine.hold()
    answer = send(pool, leashed, "mine", max_tokens=1)
    assert engine.submitted.acquire(timeout=WAIT_SECONDS)
    with leashed.client(USER_KEY) as user:
        assert user.delete("/api/requests/mine").status_code == 403
    assert len(running(admin)) == 1
    engine.release()
    assert answer.result(WAIT_SECONDS).status_code == 200


def test_a_thousand_requests_are_kept_and_no_more(
    leashed: RunningService, admin: httpx.Client
) -> None:
    with leashed.client(USER_KEY) as user:
        user.post(CHAT, json=body(max_tokens=1))
        history = leashed.app.state.services.history
        (record,) = history.recent_requests(1)
        for _ in range(1100):
            history.request_finished(record)
    assert len(admin.get("/api/requests?limit=1000").json()["requests"]) == 1000
    assert admin.get("/api/requests?limit=1001").status_code == 400


def test_a_cancelled_request_gives_its_memory_back(service: RunningService) -> None:
    """On the bundled model: one in decode and one that waits for it, both cancelled.

    Random tokens repeat no earlier text, so that no draft is right and they last.
    """
    used = 'llm_kv_cache_used_bytes{model="pocket"}'
    endless = {
        "model": "pocket",
        "prompt": "Count:",
        "max_tokens": 1900,
        "ignore_eos": True,
        "temperature": 2,
    }

    def stream(request_id: str, has_begun: threading.Event) -> list[str]:
        headers = {"x-request-id": request_id}
        request = {**endless, "stream": True}
        with (
            service.client() as http,
            http.stream("POST", "/v1/completions", json=request, headers=headers) as response,
        ):
            lines = []
            for line in response.iter_lines():
                lines.append(line)
                has_begun.set()
            return [line for line in lines if line]

    with service.client() as http, ThreadPoolExecutor() as pool:
        begun = [threading.Event() for _ in range(2)]
        streams = [pool.submit(stream, f"endless-{i}", event) for i, event in enumerate(begun)]
        assert all(event.wait(WAIT_SECONDS) for event in begun)
        assert {request["request_id"] for request in running(http)} >= {"endless-0", "endless-1"}
        assert sample(http, used) > 0
        for number in range(2):
            assert http.delete(f"/api/requests/endless-{number}").status_code == 202
        for answer in streams:
            assert "cancelled_by_operator" in answer.result(WAIT_SECONDS)[-1]
        assert sample(http, used) == 0  # the caller hears of the end when the blocks are free
        assert running(http) == []
