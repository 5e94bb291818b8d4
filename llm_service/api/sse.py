"""Sends a Generation to its caller: whole, or as server-sent events.

It knows how answers are sent; a `WireFormat` knows their shape.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import structlog
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from llm_service.api.choice import Choice, Delta
from llm_service.api.disconnect import unless_client_leaves
from llm_service.api.generation import Event, Generation
from llm_service.api.responses import UsageOut
from llm_service.engine import Timings
from llm_service.errors import EngineFailed, RequestCancelled, ServiceError
from llm_service.observability.record import RequestRecord

log = structlog.get_logger()

DONE = b"data: [DONE]\n\n"


class WireFormat(ABC):
    """The shape that one request's answer has at its endpoint. It keeps nothing of the answer."""

    id_prefix: ClassVar[str]
    event_object: ClassVar[str]

    def __init__(
        self, record: RequestRecord, *, includes_usage: bool, includes_logprobs: bool
    ) -> None:
        self.includes_usage = includes_usage
        self.includes_logprobs = includes_logprobs
        self.head = {
            "id": f"{self.id_prefix}-{record.request_id}",
            "created": int(time.time()),
            "model": record.model,
        }

    def opening(self, num_choices: int) -> list[dict[str, Any]]:
        """Return the events that come before the first increment."""
        return []

    @abstractmethod
    def increment(self, index: int, deltas: list[Delta]) -> dict[str, Any]:
        """Return the event for `deltas`, what one chunk has added to choice `index`."""

    @abstractmethod
    def whole(self, choices: list[Choice], usage: UsageOut) -> BaseModel:
        """Return the whole answer."""

    def usage(self, usage: UsageOut) -> dict[str, Any]:
        """Return the last event when the caller asked for usage."""
        return {**self.event([]), "usage": usage.model_dump()}

    def event(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self.head, "object": self.event_object, "choices": choices}


async def respond(
    request: Request, generation: Generation, wire: WireFormat, *, is_stream: bool
) -> Response:
    """Answer `request`.

    The first increment is awaited before headers are sent: an error before it then has a status
    of its own, and the headers can carry the queue and prefill times.
    """
    try:
        if is_stream:
            first = await unless_client_leaves(request, generation.next_event())
            return EventStream(generation, _events(generation, first, wire))
        await unless_client_leaves(request, _run(generation))
        body = wire.whole(generation.choices, generation.usage()).model_dump()
        generation.close()
        return JSONResponse(body, headers=answer_headers(generation))
    except BaseException as error:
        generation.close(error)
        raise


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

    media_type = "text/event-stream"

    def __init__(self, generation: Generation, content: AsyncIterator[bytes]) -> None:
        headers = {
            **answer_headers(generation),
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",  # nginx would hold back tokens
        }
        super().__init__(content, headers=headers)
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
        for opening in wire.opening(len(generation.choices)):
            yield encode(opening)
        event = first
        while event is not None:
            index, deltas = event
            if deltas:
                yield encode(wire.increment(index, deltas))
            event = await generation.next_event()
        if wire.includes_usage:
            yield encode(wire.usage(generation.usage()))
        generation.close()
        yield DONE
    except ServiceError as error:
        generation.close(error)
        yield encode(error.envelope())
    except Exception as error:
        log.exception("a stream failed")
        generation.close(error)
        yield encode(EngineFailed("The service failed while answering.").envelope())


def encode(event: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
