"""Callers with a clock of their own, as light as they can be: the client must not be what is slow.

A caller sends one streamed chat after another on one connection. It knows nothing of the service's
metrics: it notes when bytes left and arrived, and what the answer said.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

QUESTIONS = ("What is 7 plus 5?", "What is a KV cache?", "Tell me a short story.", "Count to nine.")

WORDS = " a b c d e f g h i k l m n o p r s t w"


@dataclass(slots=True)
class Call:
    """One request. Times are unix seconds."""

    request_id: str
    sent: float
    arrivals: list[float] = field(default_factory=list)  # of tokens
    ended: float | None = None
    status: int = 0
    num_tokens: int = 0
    is_error: bool = False

    @property
    def ttft(self) -> float:
        return self.arrivals[0] - self.sent

    @property
    def duration(self) -> float:
        assert self.ended is not None
        return self.ended - self.sent

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """(when, how long) between tokens; 0 for those that came together."""
        pairs = zip(self.arrivals, self.arrivals[1:], strict=False)
        return [(late, late - early) for early, late in pairs]


class Callers:
    """`calls` has every request that was sent, in the order of sending."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._address = parts.hostname, parts.port
        self._key = key
        self._numbers = count(1)
        self._words: list[int] = []
        self.calls: list[Call] = []
        self.round_trips: list[tuple[float, float]] = []  # (when, how long) of readings

    async def choose_words(self) -> None:
        """Find tokens whose text is never held back. In random order, they cannot be guessed."""
        reader, writer = await asyncio.open_connection(*self._address)
        body = json.dumps({"prompt": WORDS}).encode()
        writer.write(self._head("POST", "/tokenize", len(body), "word") + body)
        headers = await _read_headers(reader)
        answer = json.loads(await reader.readexactly(int(headers["content-length"])))
        self._words = answer["tokens"]
        # A space that is a token of its own would be held back until more than spaces follow.
        assert len(self._words) == len(WORDS.split()), "each word is one token"
        writer.close()

    async def repeat(self, num_callers: int, max_tokens: int, until: float) -> None:
        """`num_callers` send requests, each as soon as its last one was answered."""
        await asyncio.gather(
            *(self._caller(max_tokens, until) for _ in range(num_callers)), self._knock(until)
        )

    async def once(self, num_callers: int, max_tokens: int) -> None:
        await asyncio.gather(*(self._caller(max_tokens, 0.0) for _ in range(num_callers)))

    async def _caller(self, max_tokens: int, until: float) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            await self._chat(reader, writer, max_tokens)
            while time.time() < until:
                await self._chat(reader, writer, max_tokens)
        finally:
            writer.close()

    async def _chat(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_tokens: int
    ) -> None:
        number = next(self._numbers)
        question = f"{QUESTIONS[number % 4]} ({number})"
        body = json.dumps(
            {
                "model": "pocket",
                "messages": [{"role": "user", "content": question}],
                "max_tokens": max_tokens,
                "ignore_eos": True,
                "temperature": 2,
                "logit_bias": dict.fromkeys(map(str, self._words), 100),
                "logprobs": True,  # an entry for each token of a chunk
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        call = Call(f"truth-{number}", time.time())
        self.calls.append(call)
        writer.write(self._head("POST", "/v1/chat/completions", len(body), call.request_id) + body)
        headers = await _read_headers(reader)
        call.status = int(headers[""])
        if "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
            call.is_error = True
        else:
            await _read_events(reader, call)
        call.ended = time.time()

    async def _knock(self, until: float) -> None:
        """Have a chat read, rendered and tokenized but not answered: what each pays at the door."""
        reader, writer = await asyncio.open_connection(*self._address)
        body = json.dumps({"messages": [{"role": "user", "content": QUESTIONS[2]}]}).encode()
        while time.time() < until:
            sent = time.time()
            writer.write(self._head("POST", "/tokenize", len(body), "knock") + body)
            headers = await _read_headers(reader)
            assert headers[""] == "200", "a limit refused what must not be refused"
            await reader.readexactly(int(headers["content-length"]))
            self.round_trips.append((time.time(), time.time() - sent))
            await asyncio.sleep(0.05)
        writer.close()

    def _head(self, method: str, path: str, length: int, request_id: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address[0]}"]
        lines += [f"Authorization: Bearer {self._key}", f"X-Request-Id: {request_id}"]
        lines += ["Content-Type: application/json", f"Content-Length: {length}", "", ""]
        return "\r\n".join(lines).encode()


async def _read_headers(reader: asyncio.StreamReader) -> dict[str, str]:
    """By lower-case name; the status is under the empty name."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return {"": status.split()[1], **headers}


async def _read_events(reader: asyncio.StreamReader, call: Call) -> None:
    """The server-sent events of a chunked body."""
    while (line := await reader.readline()) != b"0\r\n":
        if not line:
            raise ConnectionError("the stream broke off")
        if not line.startswith(b"data: {"):
            continue
        if num_tokens := line.count(b'"token":'):
            call.arrivals += [time.time()] * num_tokens
        elif b'"usage":{' in line:
            call.num_tokens = _tokens(json.loads(line.removeprefix(b"data: ")))
        elif b'"error":{' in line:
            call.is_error = True
    await reader.readline()


def _tokens(event: dict[str, Any]) -> int:
    return int(event["usage"]["completion_tokens"])
