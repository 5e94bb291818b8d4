"""The outermost layer of every HTTP request: its id, its clock, its count, its one log line.

Pure ASGI: messages pass through untouched in both directions, except for some headers of
the response. It knows no route and no model by name.
"""

import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm_service.errors import ServiceError
from llm_service.observability.families import ANONYMOUS, OTHER
from llm_service.observability.metrics import Metrics
from llm_service.observability.record import RequestRecord

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLIENT_LEFT = 499
# Headers of every answer without its own: browsers guess no type, and caches keep no secret.
DEFAULT_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
STREAM_TYPES = (b"text/event-stream", b"application/x-ndjson")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

_CRASH = ServiceError("The service failed to answer.")

log = structlog.get_logger()


class Observability:
    """Gives each request an id and its time in its state; answers what nobody caught.

    Sets `request_id`, `started_at` (unix time) and `arrived` (monotonic) in the state. At the end,
    reads `key` and `record` from it, where others have left them. `quiet_routes` are asked every
    few seconds for ever: their lines are for debugging, except for errors. `on_crash` gets what
    nobody caught, before the answer, whose body `envelope` makes.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        quiet_routes: frozenset[str] = frozenset(),
        on_crash: Callable[[Scope, Exception], None] = lambda _scope, _error: None,
        envelope: Callable[[ServiceError, Scope], dict[str, Any]] = lambda error, _: (
            error.envelope()
        ),
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._quiet_routes = quiet_routes
        self._on_crash = on_crash
        self._envelope = envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                await self.app(scope, receive, exchange.send)
            except ClientDisconnect:
                pass  # counted as 499
            except Exception as error:
                log.exception("unhandled error")
                self._on_crash(scope, error)
                await exchange.fail(self._envelope(_CRASH, scope))
            finally:
                self._finish(exchange)

    def _finish(self, exchange: "Exchange") -> None:
        seconds = time.monotonic() - exchange.arrived
        route, method = exchange.route(), exchange.method()
        self._metrics.http_finished(
            route, method, exchange.status, None if exchange.is_stream else seconds
        )
        is_quiet = route in self._quiet_routes and exchange.status < 400
        (log.debug if is_quiet else log.info)(
            "request",
            method=method,
            route=route,
            status=exchange.status,
            seconds=round(seconds, 6),
            **_facts(exchange.state),
        )


class Exchange:
    """One HTTP request and what has been seen of its response."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.state: dict[str, Any] = scope.setdefault("state", {})
        self.request_id = self.state["request_id"] = _request_id(scope)
        self.state["started_at"] = time.time()
        self.arrived = self.state["arrived"] = time.monotonic()
        self.is_stream = False
        self._scope = scope
        self._send = send
        self._root_path = scope.get("root_path", "")
        self._status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message)
        await self._send(message)

    async def fail(self, envelope: dict[str, Any]) -> None:
        """Answer 500 if nothing was sent; else the server ends the connection mid-answer."""
        if self._status is not None:
            return
        body = json.dumps(envelope).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    @property
    def status(self) -> int:
        """The status that was sent; 499 without an answer: a client that stayed would get a 500."""
        return CLIENT_LEFT if self._status is None else self._status

    def method(self) -> str:
        method: str = self._scope["method"]
        return method if method in METHODS else OTHER

    def route(self) -> str:
        """The template of the route that matched: a scanner must not make label values."""
        # A route of an included router knows its own part only; FastAPI keeps the whole.
        context = self._scope.get("fastapi", {}).get("effective_route_context")
        route = context or self._scope.get("route")
        if route is not None:
            return str(getattr(route, "path_format", OTHER))
        # Mounted applications and plain routes are named by the endpoint alone.
        if "endpoint" not in self._scope:
            return OTHER
        mount = self._scope.get("root_path", "").removeprefix(self._root_path)
        return mount or (OTHER if self._scope.get("path_params") else self._scope["path"])

    def _begin(self, message: Message) -> None:
        self._status = message["status"]
        milliseconds = int((time.monotonic() - self.arrived) * 1000)
        headers = list(message.get("headers", ()))
        self.is_stream = any(
            name.lower() == b"content-type" and value.startswith(STREAM_TYPES)
            for name, value in headers
        )
        names = {name.lower() for name, _ in headers}
        headers.extend(header for header in DEFAULT_HEADERS if header[0] not in names)
        # Anthropic's clients read the second name.
        headers += ((name, self.request_id.encode()) for name in (b"x-request-id", b"request-id"))
        headers.append((b"openai-processing-ms", str(milliseconds).encode()))
        message["headers"] = headers


def _request_id(scope: Scope) -> str:
    """The caller's id if it is sane, else one of ours."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return uuid.uuid4().hex


def _facts(state: dict[str, Any]) -> dict[str, object]:
    """Who asked and, for inference, how it went; numbers and names only."""
    record = state.get("record")
    if not isinstance(record, RequestRecord):
        return {"key_name": getattr(state.get("key"), "name", ANONYMOUS)}
    return {
        "key_name": record.key_name,
        "model": record.model,
        "outcome": record.outcome,
        "stream": record.stream,
        "prompt_tokens": record.prompt_tokens,
        "cached_tokens": record.cached_tokens,
        "output_tokens": record.output_tokens,
        "queue_seconds": _rounded(record.queue_seconds),
        "ttft_seconds": _rounded(record.ttft_seconds),
        "duration_seconds": _rounded(record.duration_seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
