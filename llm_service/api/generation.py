"""One accepted inference request, from admission to its end.

Owns the permit, the token streams and the record. However the request ends, `close` runs once: it
aborts the streams, settles the permit, completes the record and reports the end. It does not know
wire formats.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from llm_service.access.api_key import ApiKey
from llm_service.access.limits import Permit
from llm_service.api.responses import UsageOut, usage_out
from llm_service.engine import (
    FinishReason,
    GenerationChunk,
    Phase,
    PositionLogprobs,
    Timings,
    TokenStream,
)
from llm_service.errors import (
    CancelledByOperator,
    DeadlineExceeded,
    RequestCancelled,
    ServiceError,
)
from llm_service.observability.record import RequestRecord

Event = tuple[int, GenerationChunk]


class Generation:
    """The choices of one request: `next_event` until None, then `close`."""

    def __init__(
        self,
        record: RequestRecord,
        permit: Permit,
        streams: list[TokenStream],
        *,
        choices_per_prompt: int,
        max_tokens: int,
        ended: Callable[["Generation"], None],
    ) -> None:
        """`max_tokens` is for all choices; `ended` is called once, with the record complete."""
        self._permit = permit
        self._streams = streams
        self._choices_per_prompt = choices_per_prompt
        self._ended = ended
        self._is_closed = False
        self._cancellation: CancelledByOperator | None = None
        self._reasons: dict[int, FinishReason] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self._events = self._merge()
        self.record = record
        self.max_tokens = max_tokens

    @property
    def key(self) -> ApiKey:
        return self._permit.key

    @property
    def timings(self) -> Timings:
        """The timings of the first choice, which stand for the request."""
        return self._streams[0].timings

    @property
    def limit_headers(self) -> dict[str, str]:
        snapshot = self._permit.snapshot
        return {} if snapshot is None else snapshot.headers()

    @property
    def num_choices(self) -> int:
        return len(self._streams)

    @property
    def num_cached_tokens(self) -> int:
        """Cached tokens of the prompts, each counted once, as its first choice found it."""
        firsts = self._streams[:: self._choices_per_prompt]
        return sum(stream.usage.num_cached_tokens for stream in firsts)

    @property
    def num_computed_tokens(self) -> int:
        """Computed tokens of the prompts, each counted as far as its first choice has come."""
        firsts = self._streams[:: self._choices_per_prompt]
        return sum(min(s.num_computed_tokens, s.usage.num_prompt_tokens) for s in firsts)

    @property
    def phase(self) -> Phase:
        return _phase(self.timings)

    @property
    def elapsed_seconds(self) -> float:
        return time.time() - self.record.started_at

    @property
    def num_output_tokens(self) -> int:
        return sum(stream.usage.num_output_tokens for stream in self._streams)

    def usage(self) -> UsageOut:
        return usage_out(self.record.prompt_tokens, self.num_cached_tokens, self.num_output_tokens)

    async def next_event(self) -> Event | None:
        """Return the next increment of any choice, with the choice's index; None at the end."""
        try:
            event = await anext(self._events, None)
        except RequestCancelled as error:
            raise self._cancellation or error from None
        if self._cancellation is not None:
            raise self._cancellation
        if event is not None and event[1].finish_reason is not None:
            self._reasons[event[0]] = event[1].finish_reason
        return event

    def cancel(self) -> None:
        """End the request now, in any phase; a caller that awaits an event gets the reason."""
        self._cancellation = CancelledByOperator(
            "An operator of this service cancelled this request."
        )
        self.close(self._cancellation)
        self._queue.put_nowait(self._cancellation)

    def close(self, error: BaseException | None = None) -> None:
        """End the request; only the first call counts."""
        if self._is_closed:
            return
        self._is_closed = True
        for stream in self._streams:
            stream.abort()
        for pump in self._pumps:
            pump.cancel()
        self._finish_record(error)
        self._permit.settle(self.record.prompt_tokens + self.record.output_tokens)
        self._ended(self)

    def _finish_record(self, error: BaseException | None) -> None:
        record, timings = self.record, self.timings
        record.cached_tokens = self.num_cached_tokens
        record.output_tokens = self.num_output_tokens
        record.queue_seconds = timings.queue_seconds
        record.prefill_seconds = timings.prefill_seconds
        record.decode_seconds = timings.decode_seconds
        record.ttft_seconds = timings.ttft_seconds
        record.duration_seconds = self.elapsed_seconds
        record.outcome = self._outcome(error)
        if record.outcome in ("error", "timeout"):
            record.error_kind = error.kind if isinstance(error, ServiceError) else "internal"
            record.error_phase = _phase(timings)

    def _outcome(self, error: BaseException | None) -> str:
        match error:
            case None if len(self._reasons) == len(self._streams):
                return str(self._reasons[0])
            case None | RequestCancelled() | asyncio.CancelledError() | GeneratorExit() | OSError():
                return "cancelled"
            case DeadlineExceeded():
                return "timeout"
            case _:
                return "error"

    async def _merge(self) -> AsyncIterator[Event]:
        if len(self._streams) == 1:
            async for chunk in self._streams[0]:
                yield 0, chunk
            return
        queue = self._queue
        self._pumps = [
            asyncio.create_task(_pump(index, stream, queue))
            for index, stream in enumerate(self._streams)
        ]
        num_open = len(self._pumps)
        while num_open:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                num_open -= 1
            else:
                yield item


class Answer:
    """The text, logprobs and finish reason of one choice so far."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.logprobs: list[PositionLogprobs] = []
        self.finish_reason = ""

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def add(self, chunk: GenerationChunk) -> None:
        self._texts.append(chunk.text)
        self.logprobs.extend(chunk.logprobs)
        self.finish_reason = chunk.finish_reason or self.finish_reason


async def _pump(
    index: int, stream: TokenStream, queue: asyncio.Queue[Event | Exception | None]
) -> None:
    try:
        async for chunk in stream:
            queue.put_nowait((index, chunk))
        queue.put_nowait(None)
    except Exception as error:
        queue.put_nowait(error)


def _phase(timings: Timings) -> Phase:
    if timings.first_scheduled is None:
        return "queue"
    return "prefill" if timings.first_token is None else "decode"
