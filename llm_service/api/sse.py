"""Sends a Generation to its caller: whole, or as a stream of events.

It knows how answers are sent; a `WireFormat` knows their shape.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, ClassVar

import structlog
from fastapi import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from llm_service.api.choice import Choice
from llm_service.api.disconnect import unless_client_leaves
from llm_service.api.generation import Event, Generation
from llm_service.api.model_list import system_fingerprint
from llm_service.api.responses import UsageOut
from llm_service.api.schemas import SamplingFields
from llm_service.engine import ModelInfo, Timings
from llm_service.engine.answer import Delta
from llm_service.errors import EngineFailed, RequestCancelled, ServiceError
from llm_service.observability.record import RequestRecord

log = structlog.get_logger()

# The headers of a stream are sent when its first increment is there, but no later than this, so
# that clients and proxies do not give up while a long prompt is computed.
HEADERS_SECONDS = 1.0
# A stream without an increment for so long sends a sign of life.
KEEP_ALIVE_SECONDS = 10.0

_NOTHING_YET: Event = (0, [])


class WireFormat(ABC):
    """The shape that one request's answer has at its endpoint.

    What its methods return is sent as it is, so it includes the framing of events.
    """

    media_type: ClassVar[str] = "text/event-stream"

    def opening(self, num_choices: int) -> Iterable[bytes]:
        """Return the events that come before the first increment."""
        return ()

    @abstractmethod
    def increment(self, index: int, deltas: list[Delta]) -> Iterable[bytes]:
        """Return the events for `deltas`, what one chunk has added to choice `index`."""

    @abstractmethod
    def closing(self, choices: list[Choice], usage: UsageOut) -> Iterable[bytes]:
        """Return the events that come after the last increment."""

    def failure(self, error: ServiceError) -> Iterable[bytes]:
        """Return the events that end a stream that could not be completed."""
        return (event(error.envelope()),)

    def keep_alive(self) -> bytes:
        """Return a sign of life, which is no part of the answer."""
        return b": keep-alive\n\n"

    @abstractmethod
    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        """Return the whole answer."""


class CompletionsFormat(WireFormat):
    """What chat and text completions have in common. It keeps nothing of the answer."""

    id_prefix: ClassVar[str]
    event_object: ClassVar[str]

    def __init__(self, record: RequestRecord, body: SamplingFields, info: ModelInfo) -> None:
        self.includes_logprobs = body.num_logprobs is not None
        self._includes_usage = body.includes_usage
        self.head = {
            "id": f"{self.id_prefix}-{record.request_id}",
            "created": int(time.time()),
            "model": record.model,
            "system_fingerprint": system_fingerprint(info),
        }

    def closing(self, choices: list[Choice], usage: UsageOut) -> Iterable[bytes]:
        if self._includes_usage:
            yield event({**self.chunk([]), "usage": usage.model_dump()})
        yield b"data: [DONE]\n\n"

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self.head, "object": self.event_object, "choices": choices}


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """Encode a server-sent event."""
    line = b"" if name is None else b"event: %b\n" % name.encode()
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return b"%bdata: %b\n\n" % (line, text.encode())


async def respond(
    request: Request, generation: Generation, wire: WireFormat, *, is_stream: bool
) -> Response:
    """Answer `request`.

    The first increment is awaited for a moment before headers are sent: an error before it then
    has a status of its own, and the headers can carry the queue and prefill times.
    """
    try:
        if is_stream:
            first = await unless_client_leaves(request, _first_event(generation))
            return EventStream(generation, _events(generation, first, wire), wire.media_type)
        await unless_client_leaves(request, _run(generation))
        body = wire.whole(generation.choices, generation.usage())
        generation.close()
        return JSONResponse(body, headers=answer_headers(generation))
    except BaseException as error:
        generation.close(error)
        raise


async def _first_event(generation: Generation) -> Event | None:
    try:
        async with asyncio.timeout(HEADERS_SECONDS):
            return await generation.next_event()
    except TimeoutError:
        return _NOTHING_YET


async def _run(generation: Generation) -> None:
    while await generation.next_event() is not None:
        pass


def answer_headers(generation: Generation) -> dict[str, str]:
    timing = server_timing(generation.timings)
    return {**generation.limit_headers, **({"Server-Timing": timing} if timing else {})}


def server_timing(timings: Timings) -> str:
    """Return the Server-Timing header: each phase that is over, in milliseconds."""
    phases = {
        "queue": timings.queue_seconds,
        "prefill": timings.prefill_seconds,
        "decode": timings.decode_seconds,
    }
    return ", ".join(
        f"{name};dur={seconds * 1000:.1f}"
        for name, seconds in phases.items()
        if seconds is not None
    )


class EventStream(StreamingResponse):
    """A streaming answer that always closes its Generation, also if the connection breaks."""

    def __init__(
        self, generation: Generation, content: AsyncIterator[bytes], media_type: str
    ) -> None:
        headers = {
            **answer_headers(generation),
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",  # nginx would hold back tokens
        }
        super().__init__(content, headers=headers, media_type=media_type)
        self._generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A connection that breaks while bytes are being sent never re-enters the iterator.
            self._generation.close(RequestCancelled("The client left."))


async def _events(
    generation: Generation, first: Event | None, wire: WireFormat
) -> AsyncIterator[bytes]:
    try:
        for block in wire.opening(len(generation.choices)):
            yield block
        increment = first
        while increment is not None:
            index, deltas = increment
            if deltas:
                for block in wire.increment(index, deltas):
                    yield block
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    increment = await generation.next_event()
            except TimeoutError:
                increment = _NOTHING_YET
                yield wire.keep_alive()
        closing = list(wire.closing(generation.choices, generation.usage()))
        generation.close()
        for block in closing:
            yield block
    except ServiceError as error:
        generation.close(error)
        for block in wire.failure(error):
            yield block
    except Exception as error:
        log.exception("a stream failed")
        generation.close(error)
        for block in wire.failure(EngineFailed("The service failed while answering.")):
            yield block
