"""Turns the pieces of a streamed answer into tokens, times and error messages."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_service.bench.client import Exchange

# A server that answers with one of these would do so every time, so measuring stops.
REFUSALS = (400, 401, 403, 404, 405, 413, 422, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one request. Times are in seconds; `error` is empty on success."""

    started: float
    token_times: tuple[float, ...]  # when text arrived; one event can hold several tokens
    finished: float  # when the last event with a choice arrived, with text or a finish reason
    ended: float
    prompt_tokens: int | None  # None: the server reported no usage
    output_tokens: int | None
    status: int
    error: str
    text: str

    @property
    def is_refused(self) -> bool:
        return bool(self.error) and self.status in REFUSALS

    @property
    def first_token_seconds(self) -> float:
        return self.token_times[0] - self.started

    @property
    def gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.token_times)]

    @property
    def num_output_tokens(self) -> int:
        """The number of tokens that the server reported, else the number of events with text."""
        return len(self.token_times) if self.output_tokens is None else self.output_tokens


def read(exchange: Exchange) -> Answer:
    """Parse a stream. A status other than 200 becomes an error with the server's message."""
    ended = exchange.pieces[-1][0] if exchange.pieces else exchange.started
    if exchange.status != 200:
        error = exchange.broke or f"{exchange.status}: {error_words(exchange.body)}"
        return Answer(exchange.started, (), ended, ended, None, None, exchange.status, error, "")
    times: list[float] = []
    texts: list[str] = []
    finished = ended
    usage: dict[str, Any] = {}
    error = exchange.broke
    for moment, event in _events(exchange.pieces):
        if event.get("error") and not event.get("choices"):
            error = error or f"in the stream: {error_words(json.dumps(event).encode())}"
        if event.get("choices"):
            finished = moment
        if text := _text(event):
            times.append(moment)
            texts.append(text)
        usage = event.get("usage") or usage
    # Tokens without text, such as an ignored end-of-sequence token, count as tokens.
    if not times and not usage.get("completion_tokens") and not error:
        error = "a stream without any text"
    return Answer(
        exchange.started,
        tuple(times),
        finished,
        ended,
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        exchange.status,
        error,
        "".join(texts),
    )


def error_words(body: bytes) -> str:
    """The message of an error body: OpenAI's envelope, FastAPI's detail, or its beginning."""
    try:
        said = json.loads(body)
    except ValueError:
        said = body.decode(errors="replace")
    while isinstance(said, dict):
        said = next((said[name] for name in ("error", "message", "detail") if said.get(name)), "")
    words = " ".join(str(said).split())
    return words[:300] or "no words"


def _events(pieces: list[tuple[float, bytes]]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each event with the time of the piece that completed its line."""
    rest = b""
    for moment, piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and (event := _parsed(line[5:])) is not None:
                yield moment, event


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(data)
    except ValueError:  # [DONE]
        return None
    return event if isinstance(event, dict) else None


def _text(event: dict[str, Any]) -> str:
    texts = []
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        texts += [choice.get("text"), delta.get("reasoning_content"), delta.get("content")]
    return "".join(text for text in texts if text)
