"""One accepted inference request, from admission to its one end.

Owns the permit, the token streams and the record. Whoever hangs up, `close` runs once:
streams aborted, permit settled, one record to metrics, history and the access line.
It knows nothing of wire formats.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from fastapi import Request

from llm_service.access.limits import Permit
from llm_service.api.dependencies import Services
from llm_service.api.records import new_record
from llm_service.api.responses import UsageOut, usage_out
from llm_service.engine import (
    Engine,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Phase,
    PositionLogprobs,
    SamplingParams,
    Timings,
    TokenStream,
)
from llm_service.errors import (
    CancelledByOperator,
    ContextLengthExceeded,
    DeadlineExceeded,
    InvalidRequest,
    RequestCancelled,
    ServiceError,
)
from llm_service.observability.record import RequestRecord

Event = tuple[int, GenerationChunk]


def allowed_tokens(
    prompt_tokens: int,
    requested: int | None,
    engine: Engine,
    *,
    prompt_param: str,
    tokens_param: str = "max_tokens",
) -> int:
    """How many tokens may be generated; raises ContextLengthExceeded, with the numbers.

    The last two are the fields in which the caller sent the prompt and `requested`.
    """
    limit = engine.info.max_context
    room = limit - prompt_tokens
    if prompt_tokens == 0:
        raise InvalidRequest("The prompt is empty: send at least one token.", param=prompt_param)
    if room < 1:
        raise ContextLengthExceeded.of_prompt(limit, prompt_tokens, param=prompt_param)
    if requested is not None and requested > room:
        raise ContextLengthExceeded.of_request(
            limit, prompt_tokens, requested, prompt_param=prompt_param, param=tokens_param
        )
    return room if requested is None else requested


class Generation:
    """The choices of one request. `open`, then `next_event` until None, then `close`."""

    def __init__(
        self,
        services: Services,
        record: RequestRecord,
        permit: Permit,
        streams: list[TokenStream],
        choices_per_prompt: int,
        max_tokens: int,
    ) -> None:
        self._services = services
        self._permit = permit
        self._streams = streams
        self._choices_per_prompt = choices_per_prompt
        self._is_closed = False
        self._cancellation: CancelledByOperator | None = None
        self._reasons: dict[int, FinishReason] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        self._events = self._merge()
        self.record = record
        self.max_tokens = max_tokens
        services.running[self] = None

    @classmethod
    def open(
        cls,
        services: Services,
        request: Request,
        permit: Permit,
        prompts: list[tuple[int, ...]],
        samplings: list[SamplingParams],
        *,
        choices_per_prompt: int,
        is_stream: bool,
    ) -> "Generation":
        """Submit `choices_per_prompt` sequences per prompt, each with its own seed.

        `prompts` and `samplings` go together. Raises Overloaded or Unavailable, and then nothing
        runs and the permit is still the caller's to end; `close` ends it otherwise.
        """
        engine = services.engine.get()
        key = permit.key
        request_id = request.scope["state"]["request_id"]
        deadline = time.monotonic() + services.request_timeout_seconds
        choices = [
            (prompt, _for_choice(sampling, choice))
            for prompt, sampling in zip(prompts, samplings, strict=True)
            for choice in range(choices_per_prompt)
        ]
        sequences = [
            GenerationRequest(
                request_id=f"{request_id}-{i}",
                prompt_token_ids=prompt,
                sampling=sampling,
                cache_salt=key.cache_salt,
                deadline=deadline,
            )
            for i, (prompt, sampling) in enumerate(choices)
        ]
        streams = engine.submit_all(sequences)
        record = new_record(request, key, engine.info.model_id, is_stream)
        record.prompt_tokens = sum(map(len, prompts))
        max_tokens = choices_per_prompt * sum(sampling.max_tokens for sampling in samplings)
        return cls(services, record, permit, streams, choices_per_prompt, max_tokens)

    @property
    def timings(self) -> Timings:
        """Of the first choice, which stands for the request."""
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
        """Of each prompt once, as its first choice found it."""
        firsts = self._streams[:: self._choices_per_prompt]
        return sum(stream.usage.num_cached_tokens for stream in firsts)

    @property
    def num_computed_tokens(self) -> int:
        """Of the prompts, each as far as its first choice has come."""
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
        """The next increment of any choice, with the choice's index; None at the end."""
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
        """End the request now, in whatever phase; whoever awaits an event gets the reason."""
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
        del self._services.running[self]
        for stream in self._streams:
            stream.abort()
        for pump in self._pumps:
            pump.cancel()
        self._finish_record(error)
        self._services.metrics.request_finished(self.record)
        self._services.history.request_finished(self.record)
        record, key = self.record, self._permit.key
        self._permit.settle(record.prompt_tokens + record.output_tokens)
        self._services.usage.add(key.id, record.prompt_tokens, record.output_tokens)

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
    """What one choice has said so far."""

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


def _for_choice(sampling: SamplingParams, choice: int) -> SamplingParams:
    """Choices of a seeded request differ, and each is reproducible."""
    if sampling.seed is None or choice == 0:
        return sampling
    return replace(sampling, seed=sampling.seed + choice)


def _phase(timings: Timings) -> Phase:
    if timings.first_scheduled is None:
        return "queue"
    return "prefill" if timings.first_token is None else "decode"
