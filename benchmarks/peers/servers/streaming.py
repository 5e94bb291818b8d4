"""The least server that streams completions, for peers that come as a library without one.

Stands alone: it runs in a peer's own environment, on the standard library only. An `Engine` takes
token ids and tells, from its own thread, of each piece of text.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Callable
from typing import Any, Protocol

MODEL = "benchmark"
# (text, number of tokens so far, whether it was the last)
Emit = Callable[[str, int, bool], None]


class Engine(Protocol):
    def encode(self, text: str) -> list[int]: ...

    def submit(self, number: int, token_ids: list[int], max_tokens: int, emit: Emit) -> None:
        """Begin; `emit` may be called from any thread."""


def serve(engine: Engine, port: int) -> None:
    """Answer until the process ends."""
    asyncio.run(_Server(engine).run(port))


class _Server:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._numbers = itertools.count()

    async def run(self, port: int) -> None:
        server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        print(f"listening on {port}", file=sys.stderr, flush=True)
        await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            method, path = head.split(" ", 2)[:2]
            length = next(
                (
                    int(line[15:])
                    for line in head.split("\r\n")
                    if line.startswith("content-length:")
                ),
                0,
            )
            body = json.loads(await reader.readexactly(length)) if length else {}
            if (method, path) == ("get", "/v1/models"):
                _send(writer, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
            elif (method, path) == ("post", "/v1/completions"):
                await self._complete(body, writer)
            else:
                _send(writer, {"error": {"message": f"no {path} here"}}, "404 Not Found")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async def _complete(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        token_ids = self._engine.encode(body["prompt"])
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[tuple[str, int, bool]]()

        def emit(text: str, num_tokens: int, is_last: bool) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, (text, num_tokens, is_last))

        self._engine.submit(next(self._numbers), token_ids, body.get("max_tokens", 16), emit)
        is_stream, texts = body.get("stream", False), []
        if is_stream:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
        is_last = False
        while not is_last:
            text, num_tokens, is_last = await pieces.get()
            texts.append(text)
            if is_stream and text:
                _event(writer, {"choices": [_choice(text, None)]})
                await writer.drain()
        usage = {"prompt_tokens": len(token_ids), "completion_tokens": num_tokens}
        if not is_stream:
            _send(writer, {"choices": [_choice("".join(texts), "length")], "usage": usage})
            return
        _event(writer, {"choices": [_choice("", "length")], "usage": usage})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": reason}


def _event(writer: asyncio.StreamWriter, fields: dict[str, Any]) -> None:
    data = b"data: %b\n\n" % json.dumps({"model": MODEL, **fields}).encode()
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def _send(writer: asyncio.StreamWriter, answer: dict[str, Any], status: str = "200 OK") -> None:
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Detokenizer:
    """Ids in, text out, holding back what is not a whole character yet."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._pending: list[int] = []

    def feed(self, token_ids: list[int]) -> str:
        self._pending += token_ids
        text = self._decode(self._pending)
        if text.endswith("�"):
            return ""
        self._pending = []
        return text
