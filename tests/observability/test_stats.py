"""/metrics, /api/status, /api/series and /api/requests of a running service, over HTTP."""

import subprocess
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from llm_service.access.keys import Scope
from llm_service.errors import EngineFailed
from llm_service.observability.series import PANELS
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

USER_KEY = "user-key-for-tests-0123456789"
PROMPT = "my deepest wish"


def body(**options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": PROMPT}]
    return {"model": "pocket", "messages": messages, "max_tokens": 4, **options}


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine
) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    keys = SecretStr(f"user:{USER_KEY}")
    with RunningService(state, engine=engine, api_keys=keys, drain_seconds=1) as running:
        yield running


@pytest.fixture
def http(running: RunningService) -> Iterator[httpx.Client]:
    with running.client() as http:
        yield http


def sample(http: httpx.Client, line: str) -> float:
    text = http.get("/metrics").text
    found = [row for row in text.splitlines() if row.startswith(line + " ")]
    assert len(found) == 1, line
    return float(found[0].rpartition(" ")[2])


def test_metrics_are_prometheus_text_unless_openmetrics_is_accepted(http: httpx.Client) -> None:
    plain = http.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE llm_requests_total counter" in plain.text
    asked = http.get(
        "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"}
    )
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")
    assert list(text_string_to_metric_families(asked.text))


def test_metrics_are_compressed_where_accepted(http: httpx.Client) -> None:
    compressed = http.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "llm_build_info{" in compressed.text
    plain = http.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert int(compressed.headers["content-length"]) < int(plain.headers["content-length"]) / 4


def test_promtool_accepts_what_a_running_service_serves(http: httpx.Client) -> None:
    http.post("/v1/chat/completions", json=body())
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=http.get("/metrics").content,
        capture_output=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


@pytest.mark.parametrize("path", ["/metrics", "/api/series", "/api/requests", "/api/status"])
def test_nothing_is_told_to_one_without_a_key(running: RunningService, path: str) -> None:
    with running.client(key=None) as http:
        response = http.get(path)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/metrics", "/api/series", "/api/requests"])
def test_a_key_without_the_scope_sees_nobodys_numbers(running: RunningService, path: str) -> None:
    store = running.app.state.runtime.keys
    _, secret = store.create(path.strip("/").replace("/", "-"), {Scope.INFERENCE})
    with running.client(key=secret) as http:
        response = http.get(path)
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "insufficient_scope"
        assert http.get("/api/status").status_code == 200


def test_status_tells_the_key_the_model_and_the_engine(running: RunningService) -> None:
    with running.client(USER_KEY) as http:
        status = http.get("/api/status").json()
    assert status["health"] == {"is_ready": True, "reason": ""}
    assert status["requires_keys"] is True
    assert status["key"] == {"name": "user", "scopes": ["inference", "metrics"], "rpm": 0}
    assert status["model"]["id"] == "pocket"
    assert status["model"]["is_demonstration"] is True
    assert "demonstration model" in status["model"]["summary"]
    assert status["engine"]["max_batch_size"] == 8
    assert status["limits"] == {"storage": "in-process"}
    assert status["started_at"] < status["now"]


def test_status_without_an_engine_has_nulls_and_the_reason(running: RunningService) -> None:
    models = running.app.state.services.models
    model = models.remove("pocket")
    try:
        with running.client() as http:
            status = http.get("/api/status").json()
    finally:
        models.add(model)
    assert status["model"] is None
    assert status["engine"] is None
    assert status["health"] == {"is_ready": False, "reason": "The model is loading."}


def test_series_answer_as_agreed(http: httpx.Client) -> None:
    answer = http.get("/api/series", params={"range_seconds": 60}).json()
    assert answer["source"]["kind"] == "history"
    assert answer["source"]["resolution_seconds"] == 2
    assert answer["source"]["max_range_seconds"] == 3600
    assert answer["times"][0] == answer["start"]
    assert answer["times"][-1] == answer["end"]
    assert answer["panels"].keys() == PANELS.keys()
    for panel in answer["panels"].values():
        for line in panel["series"]:
            assert len(line["values"]) == len(answer["times"])


def test_series_give_only_the_panels_asked_for(http: httpx.Client) -> None:
    answer = http.get("/api/series", params={"panels": "ttft,requests"}).json()
    assert list(answer["panels"]) == ["ttft", "requests"]
    assert len(answer["panels"]["ttft"]["samples"]) == len(answer["times"])


@pytest.mark.parametrize(
    ("query", "param"),
    [("panels=nonsense", "panels"), ("range_seconds=99999", "range_seconds")],
)
def test_series_refuse_what_there_is_not_by_name(
    http: httpx.Client, query: str, param: str
) -> None:
    response = http.get(f"/api/series?{query}")
    assert response.status_code == 400
    assert param in response.json()["error"]["param"]


def test_a_request_shows_in_the_list_without_its_text(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=body(), headers={"x-request-id": "look-1"})
    assert answer.status_code == 200
    response = http.get("/api/requests", params={"limit": 1})
    (record,) = response.json()["requests"]
    assert record["request_id"] == "look-1"
    assert record["outcome"] == "length"
    assert record["key_name"] == "admin"
    assert record["output_tokens"] == 4
    assert record["duration_seconds"] >= record["ttft_seconds"] >= 0
    assert PROMPT not in response.text
    assert answer.json()["choices"][0]["message"]["content"] not in response.text


def test_a_200_that_dies_mid_stream_is_an_error(http: httpx.Client, engine: FakeEngine) -> None:
    errors = 'llm_requests_total{model="pocket",operation="chat",outcome="error"}'
    kinds = 'llm_request_errors_total{kind="backend",phase="decode"}'
    before = sample(http, errors), sample(http, kinds)
    engine.hold(after=1)
    with http.stream(
        "POST", "/v1/chat/completions", json=body(stream=True, max_tokens=900)
    ) as response:
        lines = response.iter_lines()
        next(lines)
        engine.fail_all(EngineFailed("boom"))
        last = [line for line in lines if line]
    engine.release()
    assert response.status_code == 200
    assert any('"error"' in line for line in last)
    assert (sample(http, errors), sample(http, kinds)) == (before[0] + 1, before[1] + 1)


def test_a_fault_before_the_engine_is_an_error_in_admission(
    http: httpx.Client, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = 'llm_requests_total{model="pocket",operation="chat",outcome="error"}'
    kinds = 'llm_request_errors_total{kind="internal",phase="admission"}'
    before = sample(http, errors), sample(http, kinds)

    def fail(*_: object, **__: object) -> list[int]:
        raise RuntimeError("boom")

    monkeypatch.setattr(engine.tokenizer, "encode_chat", fail)
    answer = http.post("/v1/chat/completions", json=body())
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert (sample(http, errors), sample(http, kinds)) == (before[0] + 1, before[1] + 1)
    record = http.get("/api/requests", params={"limit": 1}).json()["requests"][0]
    assert (record["outcome"], record["error_kind"]) == ("error", "internal")
    assert record["error_phase"] == "admission"


def test_prompts_and_keys_are_in_no_answer(running: RunningService, http: httpx.Client) -> None:
    http.post("/v1/chat/completions", json=body())
    for path in ("/metrics", "/api/status", "/api/series", "/api/requests"):
        text = http.get(path).text
        assert PROMPT not in text
        assert USER_KEY not in text


def test_the_schema_tells_the_shape_of_each_answer(http: httpx.Client) -> None:
    schema = http.get("/openapi.json").json()
    for path in ("/api/status", "/api/series", "/api/requests"):
        content = schema["paths"][path]["get"]["responses"]["200"]["content"]
        assert "$ref" in content["application/json"]["schema"], path
