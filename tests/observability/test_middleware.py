"""One id, one count and one line per HTTP request, over a real socket."""

import io
import json
import logging
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.staticfiles import StaticFiles

from llm_service.observability.logging import configure_logging
from llm_service.observability.metrics import Metrics
from llm_service.observability.middleware import Observability
from tests.observability.conftest import MakeRecord

WAIT_SECONDS = 30


class Door:
    """A small app behind the middleware, on a real server, with its log and its metrics."""

    def __init__(self, folder: Path, make_record: MakeRecord) -> None:
        self.metrics = Metrics()
        self.finished = threading.Semaphore(0)
        self.was_abandoned = threading.Event()
        self.out = io.StringIO()
        configure_logging("info", "json", self.out)
        self._server = uvicorn.Server(
            uvicorn.Config(self._app(folder, make_record), log_config=None, access_log=False)
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=self.url, timeout=WAIT_SECONDS) as client:
            response = client.request(method, path, **options)
        self.wait()
        return response

    def wait(self) -> None:
        """Until the next request is over, count and line included."""
        assert self.finished.acquire(timeout=WAIT_SECONDS)

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def counted(self) -> dict[tuple[str, str, str], float]:
        family = next(f for f in self.metrics.registry.collect() if f.name == "http_requests")
        return {
            (s.labels["method"], s.labels["route"], s.labels["code"]): s.value
            for s in family.samples
        }

    def _app(self, folder: Path, make_record: MakeRecord) -> Any:
        app = FastAPI()
        router = APIRouter()

        @router.get("/things/{thing}")
        async def thing(thing: str) -> dict[str, str]:
            return {"thing": thing}

        @app.post("/infer")
        async def infer(request: Request) -> JSONResponse:
            await request.json()
            request.state.record = make_record(outcome="length")
            return JSONResponse({})

        @app.get("/health")
        async def health(is_ready: bool) -> JSONResponse:
            return JSONResponse({}, status_code=200 if is_ready else 503)

        @app.get("/fails")
        async def fails() -> None:
            raise RuntimeError("llms_abcdefgh broke it")

        @app.get("/stream")
        async def stream(breaks: bool = False) -> StreamingResponse:
            async def chunks() -> AsyncIterator[str]:
                yield "data: one\n\n"
                if breaks:
                    raise RuntimeError("mid-stream")
                yield "data: two\n\n"

            return StreamingResponse(chunks(), media_type="text/event-stream")

        @app.get("/waits")
        async def waits(request: Request) -> JSONResponse:
            while not await request.is_disconnected():
                message = await request.receive()
                assert message["type"] in ("http.request", "http.disconnect")
            self.was_abandoned.set()
            return JSONResponse({}, status_code=499)

        app.include_router(router, prefix="/v1")
        app.mount("/assets", StaticFiles(directory=folder))
        app.add_middleware(Observability, metrics=self.metrics, quiet_routes=frozenset({"/health"}))
        return self._telling_when_finished(app)

    def _telling_when_finished(self, app: FastAPI) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            finally:
                if scope["type"] == "http":
                    self.finished.release()

        return wrapped


@pytest.fixture
def door(tmp_path: Path, make_record: MakeRecord) -> Iterator[Door]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    door = Door(tmp_path, make_record)
    try:
        yield door
    finally:
        door.close()
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_request_is_counted_timed_and_logged_once(door: Door) -> None:
    response = door.get("/v1/things/7?secret=word")
    assert response.json() == {"thing": "7"}
    assert door.counted() == {("GET", "/v1/things/{thing}", "200"): 1}
    labels = {"route": "/v1/things/{thing}", "method": "GET"}
    count = door.metrics.registry.get_sample_value("http_request_duration_seconds_count", labels)
    assert count == 1
    (line,) = door.lines()
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/things/{thing}", 200)
    assert line["key_name"] == "anonymous"
    assert 0 < line["seconds"] < WAIT_SECONDS
    assert "secret" not in door.out.getvalue()


def test_what_is_asked_for_ever_is_counted_and_its_line_is_for_debugging(door: Door) -> None:
    door.get("/health?is_ready=true")
    assert door.lines() == []
    configure_logging("debug", "json", door.out)
    door.get("/health?is_ready=true")
    (line,) = door.lines()
    assert (line["level"], line["route"], line["status"]) == ("debug", "/health", 200)
    assert door.counted() == {("GET", "/health", "200"): 2}


def test_an_error_on_a_quiet_route_is_logged_like_any_other(door: Door) -> None:
    door.get("/health?is_ready=false")
    (line,) = door.lines()
    assert (line["level"], line["route"], line["status"]) == ("info", "/health", 503)


def test_a_sane_request_id_is_kept_and_any_other_replaced(door: Door) -> None:
    kept = door.get("/v1/things/1", headers={"x-request-id": "a.B_c-9"})
    assert kept.headers["x-request-id"] == "a.B_c-9"
    for bad in ("x" * 65, "a b", "a\tb", "é", '"quoted"', ""):
        headers = [("x-request-id", bad.encode("latin-1"))]
        response = door.get("/v1/things/1", headers=headers)
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"]), bad
    assert len({line["request_id"] for line in door.lines()}) == 7


def test_the_processing_time_is_told_in_milliseconds(door: Door) -> None:
    assert 0 <= int(door.get("/v1/things/1").headers["openai-processing-ms"]) < 30_000


def test_a_scanner_makes_one_series_not_thousands(door: Door) -> None:
    with httpx.Client(base_url=door.url, timeout=WAIT_SECONDS) as client:
        for number in range(100):
            assert client.get(f"/wp-admin/{number}.php").status_code == 404
            door.wait()
    assert door.counted() == {("GET", "other", "404"): 100}


def test_unknown_methods_are_one_label(door: Door) -> None:
    for method in ("MKCOL", "PROPFIND"):
        assert door.send(method, "/v1/things/1").status_code == 405
    assert door.counted() == {("other", "/v1/things/{thing}", "405"): 2}


def test_mounted_files_are_named_by_their_mount(door: Door, tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("1")
    assert door.get("/assets/app.js").status_code == 200
    assert door.get("/assets/nothing.js").status_code == 404
    assert door.get("/assets/../etc/passwd").status_code == 404
    codes = {(route, code) for _, route, code in door.counted()}
    assert codes == {("/assets", "200"), ("/assets", "404"), ("other", "404")}


def test_a_route_without_a_template_is_named_by_its_path(door: Door) -> None:
    assert door.get("/openapi.json").status_code == 200
    assert door.counted() == {("GET", "/openapi.json", "200"): 1}


def test_an_error_nobody_caught_is_a_500_in_the_envelope_and_a_traceback(door: Door) -> None:
    response = door.get("/fails")
    assert response.status_code == 500
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "broke" not in response.text
    assert response.headers["x-request-id"]
    (line,) = door.lines("unhandled error")
    assert line["request_id"] == response.headers["x-request-id"]
    assert "RuntimeError: [redacted] broke it" in line["exception"]
    assert door.counted() == {("GET", "/fails", "500"): 1}


def test_a_stream_that_breaks_ends_as_broken_and_not_as_complete(door: Door) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        door.get("/stream?breaks=true")
    door.wait()
    assert "mid-stream" in door.lines("unhandled error")[0]["exception"]
    assert door.lines()[0]["status"] == 200


def test_a_stream_is_counted_but_not_timed(door: Door) -> None:
    assert door.get("/stream").text == "data: one\n\ndata: two\n\n"
    assert door.counted() == {("GET", "/stream", "200"): 1}
    labels = {"route": "/stream", "method": "GET"}
    name = "http_request_duration_seconds_count"
    assert door.metrics.registry.get_sample_value(name, labels) is None


def test_the_line_of_an_inference_request_tells_how_it_went(door: Door) -> None:
    door.send("POST", "/infer", json={"prompt": "my deepest wish"})
    (line,) = door.lines()
    expected = {
        "key_name": "admin",
        "model": "pocket",
        "outcome": "length",
        "prompt_tokens": 20,
        "cached_tokens": 16,
        "output_tokens": 5,
        "queue_seconds": 0.004,
        "ttft_seconds": 0.034,
        "duration_seconds": 0.44,
    }
    assert {name: line[name] for name in expected} == expected
    assert "wish" not in door.out.getvalue()


def test_a_client_that_leaves_is_seen_through_the_middleware(door: Door) -> None:
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=door.url) as client:
        client.get("/waits", timeout=0.2)
    assert door.was_abandoned.wait(WAIT_SECONDS)
    door.wait()
    assert door.counted() == {("GET", "/waits", "499"): 1}


def test_a_client_that_leaves_before_its_body_came_counts_as_499(door: Door) -> None:
    host, port = door.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    door.wait()
    assert door.counted() == {("POST", "/infer", "499"): 1}
    assert door.lines("unhandled error") == []


def test_requests_at_the_same_time_keep_their_own_ids(door: Door) -> None:
    def ask(number: int) -> None:
        with httpx.Client(base_url=door.url, timeout=WAIT_SECONDS) as client:
            client.get(f"/v1/things/{number}", headers={"x-request-id": f"id-{number}"})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        door.wait()
    assert sorted(line["request_id"] for line in door.lines()) == [f"id-{n}" for n in range(8)]
