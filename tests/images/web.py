"""A resolver, a network and a server with TLS, all of the test's own: nothing leaves 127.0.0.1."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpcore2

from llm_service.images.fetching import Fetcher
from llm_service.images.urls import UrlPolicy

CERTIFICATE = Path(__file__).parent / "server.pem"  # for images.example and cdn.example
PUBLIC = "93.184.216.34"

Answer = Callable[[str, asyncio.StreamWriter], Any]
"""Gets the path that was asked for, and writes the whole response."""


class Web:
    """The internet of a test: `names` has what the resolver answers, one list for each question.

    The last list is repeated. A connection to any address leads to the test's server.
    """

    def __init__(self, names: dict[str, list[list[str]]], answer: Answer) -> None:
        self._names = {name: list(answers) for name, answers in names.items()}
        self._answer = answer
        self.asked: list[str] = []  # hosts
        self.connected: list[tuple[str, int]] = []
        self.paths: list[str] = []
        self.port = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self._names:
            raise OSError("no such name")
        answers = self._names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.paths.append(path)
            result = self._answer(path, writer)
            if result is not None:
                await result
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _Network(httpcore2.AsyncNetworkBackend):
    def __init__(self, web: Web) -> None:
        self._web = web
        self._real = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self._web.connected.append((host, port))
        return await self._real.connect_tcp("127.0.0.1", self._web.port, timeout)


@asynccontextmanager
async def serving(
    setting: str, names: dict[str, list[list[str]]], answer: Answer, *, seconds: float = 10
) -> AsyncIterator[tuple[Fetcher, Web]]:
    """Yield a fetcher for `LLM_IMAGE_URLS=setting`, and the web that it sees."""
    web = Web(names, answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(web.handle, "127.0.0.1", 0, ssl=context)
    web.port = server.sockets[0].getsockname()[1]
    fetcher = Fetcher(
        UrlPolicy.of(setting),
        resolve=web.resolve,
        network=_Network(web),
        tls=ssl.create_default_context(cafile=str(CERTIFICATE)),
        timeout_seconds=seconds,
    )
    try:
        yield fetcher, web
    finally:
        server.close()
        await server.wait_closed()


def reply(writer: asyncio.StreamWriter, body: bytes, status: int = 200, **headers: str) -> None:
    lines = [f"HTTP/1.1 {status} X"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if not {"Content_Length", "Transfer_Encoding"} & headers.keys():
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
