"""A Prometheus that is wrong, away, slow or strange is told in words; the own history steps in."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from llm_service.access.keys import Scope
from llm_service.observability import prometheus as module
from llm_service.observability.prometheus import Prometheus, PrometheusUnavailable
from tests.redis_server import free_port
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

PASSWORD = "SENTINEL"


class Odd(BaseHTTPRequestHandler):
    """Answers everything with `answer`, and remembers who asked for what."""

    answer: ClassVar[tuple[int, str]] = (200, "{}")
    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization", "")))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def odd_server(status: int, body: str) -> Iterator[str]:
    handler = type("Handler", (Odd,), {"answer": (status, body)})
    Odd.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def client_of(url: str) -> Iterator[Prometheus]:
    prometheus = Prometheus(url)
    try:
        yield prometheus
    finally:
        prometheus.close()


@contextmanager
def served(folder: Path, url: str | None) -> Iterator[httpx.Client]:
    secret = None if url is None else SecretStr(url)
    with (
        RunningService(folder, engine=FakeEngine(), prometheus_url=secret) as service,
        service.client() as http,
    ):
        yield http


@pytest.mark.parametrize("url", [f"ftp://u:{PASSWORD}@host", f"u:{PASSWORD}@host:9090", "http://"])
def test_what_is_no_url_is_refused_at_the_start_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="LLM_PROMETHEUS_URL") as caught:
        Prometheus(url)
    assert PASSWORD not in str(caught.value)


def test_user_password_and_path_of_the_url_are_used() -> None:
    body = json.dumps({"status": "success", "data": {"groups": []}})
    with (
        odd_server(200, body) as address,
        client_of(f"http://ada:pass%2Fword@{address}/metrics/") as prometheus,
    ):
        assert prometheus.alerting_rules() == []
    expected = base64.b64encode(b"ada:pass/word").decode()
    assert Odd.seen == [("/metrics/api/v1/rules?type=alert", f"Basic {expected}")]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<html>", "gave an answer that is not Prometheus'."),
        (200, "{}", "gave an answer that is not Prometheus'."),
        (200, "[]", "gave an answer that is not Prometheus'."),
        (401, "{}", "answered 401"),
        (422, '{"status": "error", "error": "too many samples"}', "422: too many samples"),
        (200, '{"status": "success", "data": {"activeTargets": []}}', "has no target with the job"),
    ],
)
def test_a_strange_answer_is_told_in_words(status: int, body: str, words: str) -> None:
    with (
        odd_server(status, body) as address,
        client_of(f"http://u:{PASSWORD}@{address}") as prometheus,
        pytest.raises(PrometheusUnavailable) as caught,
    ):
        prometheus.target()
    assert words in str(caught.value)
    assert address in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_one_that_does_not_answer_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    now = [0.0]
    with silent_server() as address:
        prometheus = Prometheus(f"http://{address}", clock=lambda: now[0])
        with pytest.raises(PrometheusUnavailable, match=r"did not answer within 0\.2 s"):
            prometheus.alerting_rules()
    # The server is gone; were it asked now, it could not be reached.
    with pytest.raises(PrometheusUnavailable, match="did not answer"):
        prometheus.alerting_rules()
    now[0] += module.RETRY_SECONDS
    with pytest.raises(PrometheusUnavailable, match="cannot be reached"):
        prometheus.alerting_rules()
    prometheus.close()


def test_one_that_refuses_a_query_is_asked_the_next() -> None:
    with (
        odd_server(503, '{"status": "error", "error": "query timed out"}') as address,
        client_of(f"http://{address}") as prometheus,
    ):
        for _ in range(2):
            with pytest.raises(PrometheusUnavailable, match="answered 503: query timed out"):
                prometheus.samples("sum(up)")
    assert [path for path, _ in Odd.seen] == ["/api/v1/query"] * 2


def test_the_own_history_steps_in_and_the_note_says_why(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with served(tmp_path, f"http://u:{PASSWORD}@{address}") as http:
        answer = http.get("/api/series", params={"panels": "requests"})
        week = http.get("/api/series", params={"panels": "requests", "range_seconds": 604800})
        alerts = http.get("/api/alerts")
    source = answer.json()["source"]
    assert (source["kind"], source["max_range_seconds"]) == ("history", 3600)
    assert source["note"] == f"Prometheus at {address} cannot be reached."
    assert week.json()["end"] - week.json()["start"] <= 3600
    assert alerts.json()["source"] == "history"
    assert alerts.json()["reason"] == source["note"]
    assert PASSWORD not in answer.text + week.text + alerts.text


def test_a_silent_prometheus_does_not_stop_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 20)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        served(tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}") as http,
    ):
        asked: list[Any] = []
        poll = threading.Thread(
            target=lambda: asked.append(http.get("/api/series", params={"panels": "requests"}))
        )
        poll.start()
        connection, _ = server.accept()  # the service waits for an answer now
        assert http.get("/healthz").status_code == 200
        assert not asked
        connection.close()
        poll.join(30)
    assert asked[0].json()["source"]["kind"] == "history"


def test_without_prometheus_more_than_the_own_history_is_refused_with_both_numbers(
    tmp_path: Path,
) -> None:
    with served(tmp_path, None) as http:
        refused = http.get("/api/series", params={"range_seconds": 86400})
        alerts = http.get("/api/alerts").json()
        source = http.get("/api/series").json()["source"]
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == "range_seconds"
    assert "3600" in error["message"]
    assert "86400" in error["message"]
    assert source["note"] == ""
    assert alerts["source"] == "history"
    assert "LLM_PROMETHEUS_URL" in alerts["reason"]
    assert [objective["name"] for objective in alerts["objectives"]] == ["availability", "ttft"]
    assert all(objective["window_seconds"] <= 3600 for objective in alerts["objectives"])
    active = {
        each["name"]: each["state"] for each in alerts["alerts"] if each["state"] != "inactive"
    }
    # The model was not loaded at first, for less than the five minutes of the rule.
    assert active in ({}, {"NotReady": "pending"})


def test_a_runbook_is_read_by_its_alerts_name_and_by_no_other(tmp_path: Path) -> None:
    with RunningService(tmp_path, engine=FakeEngine()) as service, service.client() as http:
        found = http.get("/api/runbooks/TargetDown")
        missing = [http.get(f"/api/runbooks/{name}") for name in ("nope", "..", "%2e%2e%2fx")]
        _, secret = service.app.state.runtime.keys.create(
            "chatter", frozenset({Scope.INFERENCE}), 0
        )
        with service.client(secret) as chatter:
            refused = [chatter.get(path) for path in ("/api/alerts", "/api/runbooks/TargetDown")]
    assert found.json()["name"] == "TargetDown"
    assert "docker compose ps llm_service" in found.json()["markdown"]
    assert "## " not in found.json()["markdown"]
    assert {answer.status_code for answer in missing} == {404}
    assert all(answer.json()["error"]["message"] for answer in missing)
    assert [answer.status_code for answer in refused] == [403, 403]
