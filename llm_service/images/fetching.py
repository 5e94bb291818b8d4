"""Fetches images from the web, without reaching anything that is not public.

A name is resolved once, where the connection is made: the address that was checked is the one that
is connected to, so that a second answer of the resolver cannot lead elsewhere (DNS rebinding). TLS
still verifies the name. Each redirect is a new URL, checked like the first. Nothing is kept between
fetches: no connection, no cookie.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urljoin

import httpcore2

from llm_service.images.addresses import is_public
from llm_service.images.errors import BadImage
from llm_service.images.sources import too_large
from llm_service.images.urls import Place, UrlPolicy

MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 10.0  # of one image, with its redirects
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_HOST = "is a URL whose host cannot be reached or is not on the public internet"
_FAILED = "is a URL that could not be fetched"

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns all addresses of a host. Raises OSError."""


async def resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Fetches one image at a time per call; `reader` bounds how many run."""

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        resolve: Resolve = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`network` connects to addresses that were checked."""
        self._policy = policy
        self._backend = _PinnedBackend(resolve, network or httpcore2.AnyIOBackend())
        self._tls = tls
        self._timeout_seconds = timeout_seconds

    def check(self, url: str) -> None:
        """Raise BadImage if `url` may not be fetched, as far as its text shows."""
        self._policy.place(url)

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Return the body. Raises BadImage, which says nothing of what is not public."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._follow(self._policy.place(url), max_bytes)
        except TimeoutError:
            raise BadImage(
                f"is a URL that could not be fetched within {self._timeout_seconds:g} seconds"
            ) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout, OSError):
            raise BadImage(_NO_HOST) from None
        except (
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.TimeoutException,
            httpcore2.UnsupportedProtocol,
        ):
            raise BadImage(_FAILED) from None

    async def _follow(self, place: Place, max_bytes: int) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._get(place, max_bytes)
            if isinstance(answer, bytes):
                return answer
            place = self._policy.place(urljoin(place.url, answer))
        raise BadImage(f"is a URL that redirects more than {MAX_REDIRECTS} times")

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Reading the certificates of all authorities takes tens of milliseconds.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls

    async def _get(self, place: Place, max_bytes: int) -> bytes | str:
        """Return the body, or the URL to which the answer redirects."""
        async with (
            httpcore2.AsyncConnectionPool(
                ssl_context=await self._tls_context(),
                network_backend=self._backend,
                max_connections=1,
                http2=False,
            ) as pool,
            pool.stream("GET", place.url, headers=_HEADERS) as response,
        ):
            if response.status in _REDIRECTS:
                return _header(response, b"location") or _raise(_FAILED)
            if response.status != 200:
                _raise(f"is a URL whose server answered with the status {response.status}")
            return await _body(response, max_bytes)


_HEADERS = [
    (b"User-Agent", b"llm_service"),
    (b"Accept", b"image/png, image/jpeg, image/webp, image/gif"),
    (b"Accept-Encoding", b"identity"),
]


class _PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to a checked address of a host in place of the host."""

    def __init__(self, resolve: Resolve, network: httpcore2.AsyncNetworkBackend) -> None:
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        # One private address among public ones is a sign of an attack, not a choice.
        if not addresses or not all(map(is_public, addresses)):
            raise OSError("not public")
        return await self._network.connect_tcp(addresses[0], port, timeout)


async def _body(response: httpcore2.Response, max_bytes: int) -> bytes:
    declared = _header(response, b"content-length")
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise too_large(max_bytes)
    content = bytearray()
    async for piece in response.aiter_stream():
        content += piece
        if len(content) > max_bytes:
            raise too_large(max_bytes)
    return bytes(content)


def _header(response: httpcore2.Response, name: bytes) -> str:
    values = [value for key, value in response.headers if key.lower() == name]
    return values[0].decode("latin-1") if values else ""


def _raise(words: str) -> Any:
    raise BadImage(words)
