"""Request bodies: read, bounded, parsed and validated before FastAPI sees them.

FastAPI would hold any body, parse it in one call on the event loop and validate it in another.
Here each step has a bound: bytes, time, memory over all requests, structure. Large bodies are
parsed in one worker thread, so that they wait for each other and other requests do not.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
from anyio import to_thread
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from llm_service.api.structure import PIECE_BYTES, StructureCount
from llm_service.errors import (
    BodyMemoryFull,
    BodyTooLarge,
    InvalidRequest,
    RequestTimeout,
    UnsupportedMediaType,
)

# Bodies up to this size are parsed and validated on the event loop: it takes a few milliseconds.
SMALL_BYTES = 16_384
# The server holds this much of any body before it is asked for, so counting it protects nothing.
UNCOUNTED_BYTES = 65_536
MIN_BYTES_PER_SECOND = 16_384  # for a body that takes longer than the timeout
MAX_FIELDS = 256
NOT_JSON = "The body must be a JSON object, sent as application/json."


class Bodies:
    """Reads bodies. One per service: `max_total_bytes` bounds all bodies that are held at once."""

    def __init__(self, *, max_bytes: int, max_total_bytes: int, timeout_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._parser = anyio.CapacityLimiter(1)
        self.num_held_bytes = 0

    @contextmanager
    def hold(self) -> Iterator["HeldBody"]:
        """Yield an empty body whose bytes are counted until the block is left."""
        body = HeldBody(self)
        try:
            yield body
        finally:
            self.num_held_bytes -= body.num_counted

    async def read(self, request: Request, body: "HeldBody") -> None:
        """Read the whole body into `body`.

        Raises a ServiceError as soon as it exceeds a bound, and ClientDisconnect when the client
        leaves.
        """
        self._check_headers(request.headers)
        try:
            async with asyncio.timeout(self._timeout_seconds) as timer:
                started = asyncio.get_running_loop().time()
                while await self._read_message(request, body):
                    seconds = self._timeout_seconds + len(body.content) / MIN_BYTES_PER_SECOND
                    timer.reschedule(started + seconds)
        except TimeoutError:
            raise RequestTimeout(
                f"The body came too slowly. It may take {self._timeout_seconds:g} seconds, and one"
                f" more for each {MIN_BYTES_PER_SECOND} bytes that have arrived."
            ) from None

    async def parse(self, route: APIRoute, body: "HeldBody") -> Any:
        """Return the validated body. Raises InvalidRequest or RequestValidationError."""
        if len(body.content) <= SMALL_BYTES:
            return _parse(route, body.content)
        return await to_thread.run_sync(_parse, route, body.content, limiter=self._parser)

    def count(self, body: "HeldBody") -> None:
        """Count the bytes that `body` holds now. Raises BodyTooLarge or BodyMemoryFull."""
        num_bytes = len(body.content)
        if num_bytes > self._max_bytes:
            raise self._too_large()
        more = max(0, num_bytes - UNCOUNTED_BYTES) - body.num_counted
        if self.num_held_bytes + more > self._max_total_bytes:
            raise BodyMemoryFull(
                "The service holds as many large request bodies as it can. Try again in a second.",
                retry_after=1,
            )
        self.num_held_bytes += more
        body.num_counted += more

    def _check_headers(self, headers: Headers) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedMediaType(
                f"Bodies with Content-Encoding {encoding[:40]!r} are not accepted:"
                " send the JSON uncompressed."
            )
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self._max_bytes:
            raise self._too_large()
        if declared in ("", "0") and "transfer-encoding" not in headers:
            return  # some routes allow a request without a body
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        main, _, subtype = media_type.partition("/")
        if main != "application" or not (subtype == "json" or subtype.endswith("+json")):
            raise InvalidRequest(NOT_JSON)

    async def _read_message(self, request: Request, body: "HeldBody") -> bool:
        """Return whether more of the body follows."""
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content = memoryview(message.get("body", b""))
        for start in range(0, len(content), PIECE_BYTES):
            piece = bytes(content[start : start + PIECE_BYTES])
            if len(body.content) + len(piece) <= SMALL_BYTES:
                body.add(piece)
                continue
            # A piece takes about a millisecond. They take turns, so that the loop can do other
            # work between two pieces, however many bodies arrive.
            async with self._turn:
                body.add(piece)
                await asyncio.sleep(0)
        return bool(message.get("more_body", False))

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is larger than {self._max_bytes} bytes.")


class HeldBody:
    """The part of one body that has arrived."""

    def __init__(self, bodies: Bodies) -> None:
        self.content = bytearray()
        self.num_counted = 0
        self._bodies = bodies
        self._structure = StructureCount()

    def add(self, piece: bytes) -> None:
        """Raise a ServiceError if the body exceeds a bound."""
        self.content += piece
        self._bodies.count(self)
        self._structure.feed(piece)


def _parse(route: APIRoute, content: bytearray) -> Any:
    assert route.body_field is not None
    if not content:
        if route.body_field.field_info.is_required():
            raise InvalidRequest(NOT_JSON)
        return None
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error.msg}.") from None
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise InvalidRequest(f"The body has more than {MAX_FIELDS} fields.")
    model, errors = route.body_field.validate(value, {}, loc=("body",))
    if errors:
        raise RequestValidationError(cast(list[Any], errors))
    return model
