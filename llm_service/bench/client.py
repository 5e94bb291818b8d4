"""Sends one HTTP request on one connection and records when each piece of the answer arrived.

It is not a general client. It does as little work per piece as possible, because on a small
machine it competes with the server that it measures. Bytes are only stored; `answers` parses
them after the stream has ended.
"""

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools

from llm_service import __version__
from llm_service.bench import BenchError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base URL of a server's API, without /v1, and the API key for it."""

    url: str
    key: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, key: str = "") -> Self:
        """Raises BenchError if `url` is malformed."""
        text = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(text)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
            is_url = is_url and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or not text.isascii() or set(text) & set(" \r\n"):
            raise BenchError(f"{url!r} is no address of a server, like http://127.0.0.1:8000.")
        if set(key) & set("\r\n") or not key.isascii():
            raise BenchError("The key has characters that are not allowed in a key.")
        base = text.rstrip("/").removesuffix("/v1")
        return cls(base, key)


@dataclass(slots=True)
class Exchange:
    """The answer. `pieces` are (perf_counter seconds, bytes of the body)."""

    started: float
    status: int = 0
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    broke: str = ""  # why the answer is incomplete; empty if it is complete

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)


async def exchange(
    endpoint: Endpoint, method: str, path: str, body: dict[str, Any] | None, max_seconds: float
) -> Exchange:
    """Send a request and wait for the whole answer. Raises BenchError if no server answers."""
    parts = urlsplit(endpoint.url)
    assert parts.hostname is not None
    is_tls = parts.scheme == "https"
    request = _request_bytes(endpoint, method, f"{parts.path}{path}", parts.netloc, body)
    protocol = _Connection(request)
    try:
        async with asyncio.timeout(max_seconds):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                parts.hostname,
                parts.port or (443 if is_tls else 80),
                ssl=ssl.create_default_context() if is_tls else None,
            )
            try:
                await protocol.is_over.wait()
            finally:
                transport.close()
    except TimeoutError:
        protocol.exchange.broke = f"no whole answer within {max_seconds:g} s"
    except OSError as error:
        raise BenchError(f"No server answers at {endpoint.url}: {_words(error)}.") from None
    return protocol.exchange


def _words(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).rstrip(".")


def _request_bytes(
    endpoint: Endpoint, method: str, path: str, host: str, body: dict[str, Any] | None
) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {
        "Host": host.rpartition("@")[2],
        "User-Agent": f"llm-service-bench/{__version__}",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._now = 0.0
        self._has_ended = False
        self._has_length = False
        self.is_over = asyncio.Event()
        self.exchange = Exchange(started=time.perf_counter())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(self._request)
        self.exchange.started = time.perf_counter()

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("what answers there does not speak HTTP")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._has_length |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.exchange.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.exchange.pieces.append((self._now, body))

    def on_message_complete(self) -> None:
        if self.exchange.status >= 200:  # before it there can be 100 Continue
            self._end("")

    def connection_lost(self, error: Exception | None) -> None:
        # An answer without a length ends with its connection.
        is_whole = error is None and bool(self.exchange.status) and not self._has_length
        self._end("" if is_whole else "the connection broke before the answer was whole")

    def _end(self, broke: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.exchange.broke = broke
            self.is_over.set()
