"""The batched engine's async face: submit requests, iterate over their answers.

Owns the streams. It runs on the event loop and never blocks
it; the work is `EngineWorker`'s, on its own thread. The two meet in `submit` (a bounded
inbox) and in `_deliver` (one crossing back per step).
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from llm_service.engine import (
    EngineStatus,
    Grammars,
    ModelInfo,
    PromptTokenizer,
    TokenStream,
    Vision,
)
from llm_service.engine.admission_queue import AdmissionQueue
from llm_service.engine.batched.core import Core, Delivery
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.batched.worker import Backoff, EngineWorker
from llm_service.engine.budget import Turn
from llm_service.engine.delivery import DeliveryMeter
from llm_service.engine.formats import ModelFormat
from llm_service.engine.observer import EngineObserver
from llm_service.engine.request import GenerationChunk, GenerationRequest
from llm_service.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ServiceError,
    Unavailable,
)


class BatchedEngine:
    """Implements `Engine` for models that can be batched."""

    def __init__(
        self,
        build_core: Callable[[], Core],
        info: ModelInfo,
        tokenizer: PromptTokenizer,
        grammars: Grammars,
        observer: EngineObserver,
        backoff: Backoff,
        turn: Turn,
        model_format: ModelFormat,
        vision: Vision | None = None,
    ) -> None:
        self._info = info
        self._vision = vision
        self._format = model_format
        self._tokenizer = tokenizer
        self._grammars = grammars
        self._worker = EngineWorker(build_core, self._cross_back, observer, backoff, turn)
        self._meter = DeliveryMeter(observer)
        self._streams: dict[Sequence, tuple[BatchedStream, int]] = {}  # and the index in it
        self._queue = AdmissionQueue(info.max_waiting, info.max_batch_size)
        self._is_stopping = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def tokenizer(self) -> PromptTokenizer:
        return self._tokenizer

    @property
    def format(self) -> ModelFormat:
        return self._format

    @property
    def grammars(self) -> Grammars:
        return self._grammars

    @property
    def vision(self) -> Vision | None:
        return self._vision

    async def start(self) -> None:
        """Returns when the engine has proved that it steps; raises what keeps it from that."""
        self._loop = asyncio.get_running_loop()
        await asyncio.wrap_future(self._worker.start())

    async def stop(self, drain_seconds: float) -> None:
        self._is_stopping = True
        with suppress(TimeoutError):  # then the worker fails what is left
            await asyncio.wait_for(self._is_idle.wait(), drain_seconds)
        self._worker.stop()
        await asyncio.to_thread(self._worker.join)

    def submit(self, *requests: GenerationRequest) -> TokenStream:
        """Also raises InvalidRequest or ContextLengthExceeded for what could never run."""
        if self._is_stopping:
            raise Unavailable("The service is stopping.")
        for request in requests:
            self._refuse_impossible(request)
        snapshot = self._worker.snapshot
        self._queue.refuse_overload(
            self._num_waiting, snapshot.num_running, is_blocked=snapshot.num_waiting > 0
        )
        now = time.monotonic()
        sequences = [Sequence.from_request(request, now) for request in requests]
        self._worker.submit(sequences)
        if not self._streams:
            self._queue.became_busy()
        stream = BatchedStream(sequences, self._worker.abort)
        self._streams |= {sequence: (stream, i) for i, sequence in enumerate(sequences)}
        self._is_idle.clear()
        return stream

    def status(self) -> EngineStatus:
        reason = "stopping" if self._is_stopping else self._worker.reason
        snapshot = self._worker.snapshot
        return EngineStatus(
            is_ready=not reason,
            reason=reason,
            num_running=snapshot.num_running,
            num_waiting=self._num_waiting,
            kv_cache_used_bytes=snapshot.kv_cache_used_bytes,
            num_restarts=self._worker.num_restarts,
            stalled_seconds=self._stalled_seconds,
        )

    @property
    def _num_waiting(self) -> int:
        return max(0, len(self._streams) - self._worker.snapshot.num_running)

    @property
    def _stalled_seconds(self) -> float:
        if not self._streams:
            return 0.0
        return time.monotonic() - max(self._worker.last_progress, self._queue.busy_since)

    def _refuse_impossible(self, request: GenerationRequest) -> None:
        ids, limit = request.prompt.token_ids, self._info.max_context
        if not ids or request.sampling.max_tokens < 0:
            raise InvalidRequest(
                "The prompt needs at least one token, and max_tokens must not be negative."
            )
        if min(ids) < 0 or max(ids) >= self._info.vocab_size:
            raise InvalidRequest(f"Token ids lie between 0 and {self._info.vocab_size - 1}.")
        if len(ids) >= limit:
            raise ContextLengthExceeded.of_prompt(limit, len(ids))
        self._refuse_attachments(request)

    def _refuse_attachments(self, request: GenerationRequest) -> None:
        """Raise InvalidRequest for attachments that the model cannot read."""
        assert self._info.local is not None
        for attachment in request.prompt.attachments:
            found = tuple(attachment.embeddings.shape)
            expected = (attachment.num_tokens, self._info.local.hidden_size)
            if found != expected:
                raise InvalidRequest(f"An attachment has embeddings {found}, not {expected}.")

    def _cross_back(self, deliveries: list[Delivery]) -> None:
        """Called on the engine's thread."""
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, deliveries)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        self._meter.measure(
            (d.sequence.request.request_id, d.sequence.timings, d.event) for d in deliveries
        )
        for delivery in deliveries:
            stream, index = self._streams[delivery.sequence]
            stream.put(index, delivery.event)
            if delivery.is_last:
                del self._streams[delivery.sequence]
                self._queue.finished()
        if not self._streams:
            self._is_idle.set()


class BatchedStream:
    """Implements `TokenStream` with one queue for all of its sequences."""

    def __init__(self, sequences: list[Sequence], abort: Callable[[Sequence], None]) -> None:
        self.sequences = sequences
        self._abort = abort
        self._num_unfinished = len(sequences)
        self._events: asyncio.Queue[tuple[int, GenerationChunk] | ServiceError] = asyncio.Queue()

    def __aiter__(self) -> "BatchedStream":
        return self

    async def __anext__(self) -> tuple[int, GenerationChunk]:
        if not self._num_unfinished:
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, ServiceError):
            self._num_unfinished = 0
            raise event
        _, chunk = event
        self._num_unfinished -= chunk.finish_reason is not None
        return event

    def put(self, index: int, event: GenerationChunk | ServiceError) -> None:
        self._events.put_nowait(event if isinstance(event, ServiceError) else (index, event))

    def abort(self) -> None:
        for sequence in self.sequences:
            if sequence.timings.finished is None:
                self._abort(sequence)
