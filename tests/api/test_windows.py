"""A window in the past, over HTTP: charts, requests and refusals from `start` to `end`."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.observability.history import KEPT_SECONDS
from llm_service.observability.record import RequestRecord
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

CHAT = "/v1/chat/completions"
USER_KEY = "user-key-for-tests-0123456789"


def body(**options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "my deepest wish"}]
    return {"model": "pocket", "messages": messages, "max_tokens": 2, **options}


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine
) -> Iterator[RunningService]:
    keys = SecretStr(f"user:{USER_KEY}")
    state = tmp_path_factory.mktemp("state")
    with RunningService(state, engine=engine, api_keys=keys, drain_seconds=1) as running:
        yield running


@pytest.fixture
def http(running: RunningService) -> Iterator[httpx.Client]:
    with running.client() as http:
        yield http


def make_record(request_id: str, started_at: float) -> RequestRecord:
    return RequestRecord(
        request_id=request_id,
        started_at=started_at,
        key_name="user",
        operation="chat",
        model="pocket",
        stream=False,
        outcome="stop",
        duration_seconds=1.0,
    )


def test_series_answer_for_the_window_that_is_asked_for(http: httpx.Client) -> None:
    now = time.time()
    window = {"start": now - 600, "end": now - 300}
    answer = http.get("/api/series", params={**window, "panels": "requests"}).json()
    assert now - 600 - 2 <= answer["start"] <= answer["end"] <= now - 300
    assert answer["end"] - answer["start"] >= 290
    # The service was not there yet: unknown, not 0.
    assert set(answer["panels"]["requests"]["series"][0]["values"]) == {None}


def test_an_end_in_the_future_is_now(http: httpx.Client) -> None:
    now = time.time()
    answer = http.get("/api/series", params={"start": now - 60, "end": now + 900}).json()
    assert answer["end"] <= time.time()


@pytest.mark.parametrize("path", ["/api/series", "/api/requests"])
@pytest.mark.parametrize(
    ("ago", "param"),
    [
        ({"start": 60}, "end"),
        ({"end": 60}, "start"),
        ({"start": 60, "end": 60}, "end"),
        ({"start": 60, "end": 120}, "end"),
        ({"start": -60, "end": -120}, "start"),
        ({"start": 8 * 86400, "end": 0}, "end"),
    ],
)
def test_what_is_no_window_is_400_by_the_parameters_name(
    http: httpx.Client, path: str, ago: dict[str, float], param: str
) -> None:
    params = {name: time.time() - seconds for name, seconds in ago.items()}
    refused = http.get(path, params=params)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "now", "1e99", ""])
def test_a_time_that_is_no_time_is_400(http: httpx.Client, value: str) -> None:
    refused = http.get("/api/series", params={"start": value, "end": time.time()})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "start")


def test_a_range_and_a_window_are_not_sent_together(http: httpx.Client) -> None:
    now = time.time()
    params = {"start": now - 60, "end": now, "range_seconds": 60}
    refused = http.get("/api/series", params=params)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "range_seconds")


@pytest.mark.parametrize(
    ("start", "end", "param"),
    [(2 * KEPT_SECONDS, 0, "start"), (KEPT_SECONDS + 600, KEPT_SECONDS + 300, "end")],
)
def test_a_window_that_the_service_does_not_keep_is_400_in_words(
    http: httpx.Client, start: float, end: float, param: str
) -> None:
    now = time.time()
    refused = http.get("/api/series", params={"start": now - start, "end": now - end})
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, param)
    assert "keeps only the last 3600 s" in error["message"]
    assert "LLM_PROMETHEUS_URL" in error["message"]


def test_requests_of_a_window_are_those_that_ran_in_it(
    running: RunningService, http: httpx.Client
) -> None:
    now, history = time.time(), running.app.state.services.history
    for ago in (100, 50, 20):
        history.request_finished(make_record(f"ago-{ago}", now - ago))
    params: dict[str, float] = {"start": now - 60, "end": now - 49.5, "limit": 1000}
    answer = http.get("/api/requests", params=params).json()
    assert [record["request_id"] for record in answer["requests"]] == ["ago-50"]
    assert answer["complete_since"] <= now


def test_a_storm_of_refusals_is_one_line_and_leaves_the_requests_alone(
    running: RunningService, http: httpx.Client
) -> None:
    made = http.post("/api/keys", json={"name": "storm", "scopes": ["inference"], "rpm": 1}).json()
    began = time.time()
    with running.client(made["key"]) as user:
        headers = {"x-request-id": "served"}
        assert user.post(CHAT, json=body(), headers=headers).status_code == 200
        for number in range(20):
            headers = {"x-request-id": f"refused-{number}"}
            assert user.post(CHAT, json=body(), headers=headers).status_code == 429
    answer = http.get("/api/requests", params={"limit": 1000}).json()
    ours = [record for record in answer["requests"] if record["key_name"] == "storm"]
    assert [record["request_id"] for record in ours] == ["served"]
    (refused,) = [each for each in answer["refused"] if each["key_name"] == "storm"]
    assert (refused["reason"], refused["count"]) == ("rate_limit", 20)
    assert refused["last_request_id"] == "refused-19"
    assert began <= refused["first_at"] <= refused["last_at"] <= time.time()
    assert http.get("/api/requests/refused-19").json()["outcome"] == "rejected"
    past = {"start": began - 300, "end": began - 240}
    assert http.get("/api/requests", params=past).json()["refused"] == []


def test_a_cancelled_request_keeps_the_time_that_it_decoded(
    running: RunningService, engine: FakeEngine, http: httpx.Client
) -> None:
    engine.hold(after=2)
    headers = {"x-request-id": "cut-off"}
    request = body(stream=True, max_tokens=100)
    try:
        with (
            running.client(USER_KEY) as user,
            user.stream("POST", CHAT, json=request, headers=headers) as response,
        ):
            lines = (line for line in response.iter_lines() if '"content":"k' in line)
            next(lines)
            shown = time.time()
            assert http.delete("/api/requests/cut-off").status_code == 202
            list(lines)
    finally:
        engine.release()
    record = http.get("/api/requests/cut-off").json()
    assert (record["outcome"], record["output_tokens"]) == ("cancelled", 2)
    assert 0 < record["decode_seconds"] <= record["duration_seconds"]
    parts = record["queue_seconds"] + record["prefill_seconds"] + record["decode_seconds"]
    assert parts <= record["duration_seconds"]
    assert record["started_at"] + record["duration_seconds"] >= shown


def test_the_panels_of_one_key_leave_out_the_others(http: httpx.Client) -> None:
    params = {"key_name": "storm", "panels": "requests,ttft,tokens,errors,memory"}
    answer = http.get("/api/series", params=params).json()
    assert answer["panels"].keys() == {"requests", "ttft", "tokens", "errors"}
    assert answer["source"]["kind"] == "history"
    assert len(answer["panels"]["ttft"]["samples"]) == len(answer["times"])
    assert "storm" in answer["key_names"]


@pytest.mark.parametrize("name", ["", "A", 'a"}', "x" * 33])
def test_what_is_no_name_of_a_key_is_400(http: httpx.Client, name: str) -> None:
    refused = http.get("/api/series", params={"key_name": name})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "key_name")


def test_the_start_the_load_and_a_changed_limit_are_events(http: httpx.Client) -> None:
    key = {"name": "changed", "scopes": ["inference"], "rpm": 60}
    made = http.post("/api/keys", json=key).json()
    http.patch(f"/api/keys/{made['id']}", json={"rpm": 0})
    http.patch(f"/api/keys/{made['id']}", json={"expires_at": None})  # changes no limit
    events = http.get("/api/events").json()["events"]
    assert [event["kind"] for event in events] == ["start", "load", "limit"]
    assert events[0]["words"].startswith("The service started (version ")
    assert events[1]["words"] == "pocket was loaded."
    words = "The limit of changed was changed from 60 requests per minute to no limit."
    assert events[2]["words"] == words
    assert events[0]["at"] <= events[1]["at"] <= events[2]["at"] <= time.time()


def test_events_are_told_only_to_keys_with_the_scope_metrics(running: RunningService) -> None:
    with running.client() as admin, running.client(key=None) as nobody:
        key = {"name": "chatter", "scopes": ["inference"]}
        secret = admin.post("/api/keys", json=key).json()["key"]
        assert nobody.get("/api/events").status_code == 401
    with running.client(secret) as chatter:
        assert chatter.get("/api/events").status_code == 403
