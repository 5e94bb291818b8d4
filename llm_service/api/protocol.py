"""HTTP/1.1 on one connection: uvicorn's protocol with bounds where it has none.

Bounds the size and number of headers before they are parsed, the number of chunks of a body, the
time that a client may take to send headers or to take its answer, the requests that may queue on
a connection, and what is read after a refusal. What the parser refuses is answered in the
envelope. `connections.py` decides how many connections there may be.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from llm_service.api.connections import Connections
from llm_service.api.handlers import error_response
from llm_service.errors import (
    HeadersTooLarge,
    InvalidRequest,
    RequestTimeout,
    ServiceError,
    TooManyConnections,
    UriTooLong,
)

MAX_HEADERS = 100
MAX_LINE_BYTES = 8192
# Requests that a client may send ahead of answers. Hardly any does; uvicorn would queue thousands.
MAX_PIPELINED = 8
# The parser calls back for each chunk, so bodies of tiny chunks would hold up the event loop.
MAX_CHUNKS = 8192
# After an answer to a request that has not ended, the rest of the request is dropped for so long,
# up to so many bytes: closing at once would reset the connection, and the client could lose the
# answer. After so many bytes it has had time to see the answer.
LINGER_SECONDS = 5
MAX_DROPPED_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """The bounds of one connection, from the settings."""

    max_header_bytes: int
    header_timeout_seconds: float
    write_timeout_seconds: float


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head is a request's line and headers."""

    def __init__(self, bounds: HttpBounds, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._open_connections = connections
        self._is_in_body = False
        self._has_body_come = False
        self._has_begun_head = False
        self._num_heads = 0
        self._num_fed_bytes = 0  # bytes received of this head, or of what frames the body
        self._num_head_bytes = 0  # bytes of this head that were parsed
        self._num_chunks = 0  # chunks of this body
        self._num_dropped_bytes = 0  # bytes received after a refusal
        self._is_lingering = False
        self._refusal: ServiceError | None = None
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self._open_connections.add(self, self.client)
        except TooManyConnections as error:
            self.transport.write(_error_bytes(error, self.server_state.default_headers))
            self.transport.close()
            return
        self._arm_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.remove(self)
        for timer in (self._head_timer, self._write_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Close at once: another connection needs the place, or the client was idle too long."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_over or self._is_refused:
            self._drop(len(data))
            return
        was_in_body, num_heads = self._is_in_body, self._num_heads
        self._has_body_come = False
        super().data_received(data)
        if self._is_over or self._is_refused:
            return
        if was_in_body == self._is_in_body and num_heads == self._num_heads:
            self._count_fed(len(data))
        if not self._is_in_body:
            self._expect_rest_of_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self._bounds.write_timeout_seconds
        self._write_timer = self.loop.call_later(seconds, self.evict)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # The parser's callbacks; what they raise ends in `send_400_response`

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._raise(InvalidRequest("Too many requests were sent ahead of their answers."))
        self._has_begun_head = True
        self._num_head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_LINE_BYTES:
            self._raise(UriTooLong(f"The address is longer than {MAX_LINE_BYTES} bytes."))
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            self._raise(HeadersTooLarge(f"The request has more than {MAX_HEADERS} headers."))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_body = True
        self._has_begun_head = False
        self._num_heads += 1
        self._num_fed_bytes = self._num_head_bytes = self._num_chunks = 0
        self._cancel_head_timer()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._num_chunks += 1
        if self._num_chunks > MAX_CHUNKS:
            self._raise(
                InvalidRequest(
                    f"The body has more than {MAX_CHUNKS} chunks. Send larger chunks, or the"
                    " whole body with a Content-Length."
                )
            )

    def on_body(self, body: bytes) -> None:
        self._has_body_come = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_body = False
        self._num_fed_bytes = 0
        self._open_connections.set_waiting(self, not self._is_answering)

    def send_400_response(self, msg: str) -> None:
        """Called when the parser, or one of our callbacks, has refused the request."""
        self._refuse(self._refusal or InvalidRequest("The request is not valid HTTP."))

    # Requests and answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._open_connections.set_waiting(self, cycle.more_body)
        polite: Any = _answering_politely(app, cycle)
        super()._start_asgi_task(cycle, polite)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_over or self._is_answering:  # the latter: a pipelined request
            return
        self._open_connections.set_waiting(self, True)
        if self._is_refused:
            self.send_400_response("")
        elif self.cycle.more_body:
            self._linger()
        else:
            self._expect_rest_of_head()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_over(self) -> bool:
        return self._is_lingering or self.transport.is_closing()

    def _refuse(self, error: ServiceError) -> None:
        """Answer with `error`, after the answers that are on their way, and end the connection."""
        self._refusal, self._is_refused = error, True
        if self._is_answering:
            if not self.cycle.more_body or self.cycle.response_started or self.pipeline:
                return
            # The rest of this body is not read any more, so the endpoint must not wait for it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        scope = self.scope if self._is_in_body else None  # a head that has not ended has no path
        self.transport.write(_error_bytes(error, self.server_state.default_headers, scope))
        self._linger()

    def _linger(self) -> None:
        """Send nothing more; drop what arrives until the client leaves or its time is over."""
        self._cancel_head_timer()
        self._unset_keepalive_if_required()
        self._is_lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.evict)

    def _drop(self, num_bytes: int) -> None:
        self._num_dropped_bytes += num_bytes
        if self._num_dropped_bytes > MAX_DROPPED_BYTES:
            self.evict()

    def _expect_rest_of_head(self) -> None:
        has_part = self._has_begun_head or self._num_fed_bytes > 0
        if has_part and self._head_timer is None and not self._is_answering:
            self._arm_head_timer()

    def _arm_head_timer(self) -> None:
        seconds = self._bounds.header_timeout_seconds
        self._head_timer = self.loop.call_later(seconds, self._head_timed_out)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        if not (self._has_begun_head or self._num_fed_bytes):  # nobody waits for an answer
            self.evict()
            return
        seconds = self._bounds.header_timeout_seconds
        self._refuse(RequestTimeout(f"The headers did not arrive within {seconds:g} seconds."))

    def _count_fed(self, num_bytes: int) -> None:
        """Count bytes that all belong to one head, or came in place of a body's."""
        self._num_fed_bytes = 0 if self._has_body_come else self._num_fed_bytes + num_bytes
        if self._num_fed_bytes > self._bounds.max_header_bytes:
            self._refuse(self._head_too_large())

    def _count_head(self, num_bytes: int) -> None:
        self._num_head_bytes += num_bytes
        if self._num_head_bytes > self._bounds.max_header_bytes:
            self._raise(self._head_too_large())

    def _head_too_large(self) -> ServiceError:
        limit = self._bounds.max_header_bytes
        return HeadersTooLarge(f"The request line and headers are larger than {limit} bytes.")

    def _raise(self, error: ServiceError) -> NoReturn:
        """Raise `error` to end the parse. It is kept, because the parser wraps what is raised."""
        self._refusal = error
        raise error


def _answering_politely(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Return `app` with a change to two kinds of answers that a client could lose otherwise.

    An answer of unknown length to an HTTP/1.0 client ends with the connection: uvicorn would send
    chunks, which such a client cannot read. After an answer that precedes the end of the request's
    body the protocol lingers: uvicorn would close at once, and so reset the connection.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        is_open_ended = False
        is_early = False

        async def send_politely(message: Message) -> None:
            nonlocal is_open_ended, is_early
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                has_length = any(name.lower() == b"content-length" for name, _ in headers)
                is_open_ended = scope["http_version"] == "1.0" and not has_length
                is_early = cycle.more_body
                if is_open_ended:
                    cycle.chunked_encoding = False
                if is_early:
                    message["headers"] = [*headers, (b"connection", b"close")]
            else:
                if is_open_ended:
                    cycle.expected_content_length = len(message.get("body", b""))
                if is_early and cycle.more_body:
                    cycle.keep_alive = True  # so that closing is left to the protocol
            await send(message)

        await app(scope, receive, send_politely)

    return run


def _error_bytes(
    error: ServiceError, default_headers: list[tuple[bytes, bytes]], scope: Any = None
) -> bytes:
    response = error_response(error, scope)
    headers = [*default_headers, *response.raw_headers, (b"connection", b"close")]
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(response.body)])


def protocol_factory(
    bounds: HttpBounds, connections: Connections
) -> Callable[..., asyncio.Protocol]:
    """Return the function that `uvicorn.Config(http=...)` calls for each connection."""

    def create(**options: Any) -> asyncio.Protocol:
        return cast(asyncio.Protocol, BoundedProtocol(bounds, connections, **options))

    return create
