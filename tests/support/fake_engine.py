"""An engine whose every token is the test's to give: for faults that a real one rarely has.

One token is one byte. Streams say "ok " for ever, or until max_tokens, but only while
the engine is open; `hold` and `release` are called from the test's thread.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llm_service.engine import (
    EngineStatus,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    KVCacheInfo,
    LocalEngineInfo,
    ModelInfo,
    Timings,
    Usage,
)
from llm_service.errors import Overloaded, RequestCancelled, ServiceError, Unavailable

LOCAL = LocalEngineInfo(
    architecture="Fake",
    num_parameters=1,
    hidden_size=1,
    device="cpu",
    dtype="float32",
    quantization="none",
    kernels=None,
    threads=1,
    max_batched_tokens=64,
    weights_bytes=1,
    compute_bytes=1,
    load_seconds=0.0,
    kv_cache=KVCacheInfo(
        dtype="float32", num_blocks=1, block_size=16, num_bytes=1, has_prefix_cache=False
    ),
)
INFO = ModelInfo(
    model_id="pocket",
    engine="fake",
    vocab_size=256,
    max_context=1000,
    max_batch_size=8,
    max_waiting=8,
    local=LOCAL,
)


class ByteTokenizer:
    has_chat_template = True

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        max_tokens: int | None = None,
    ) -> list[int]:
        return self.encode_text("\n".join(message["content"] for message in messages) + "\n")

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        return list(text.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode(errors="replace")


class FakeEngine:
    """Implements `llm_service.engine.Engine`."""

    def __init__(self) -> None:
        self.info = INFO
        self.tokenizer = ByteTokenizer()
        self.streams: list[FakeStream] = []
        self.submitted = threading.Semaphore(0)
        self.aborted = threading.Semaphore(0)
        self.refuses_with: ServiceError | None = None
        self._is_open = True
        self._free_tokens = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_ready = True

    async def stop(self, drain_seconds: float) -> None:
        self._is_ready = False
        deadline = time.monotonic() + drain_seconds
        for stream in self.streams:
            await stream.wait_finished(deadline - time.monotonic())
            stream.fail(Unavailable("The service is stopping."))

    def submit(self, request: GenerationRequest) -> "FakeStream":
        return self.submit_all([request])[0]

    def submit_all(self, requests: list[GenerationRequest]) -> "list[FakeStream]":
        if self.refuses_with is not None:
            raise self.refuses_with
        if not self._is_ready:
            raise Unavailable("The service is stopping.")
        if len(self.active) >= INFO.max_waiting:
            raise Overloaded("The queue is full.", retry_after=3)
        streams = [FakeStream(r, self, self._is_open, self._free_tokens) for r in requests]
        self.streams += streams
        self.submitted.release(len(streams))
        return streams

    def status(self) -> EngineStatus:
        reason = "" if self._is_ready else "stopping"
        return EngineStatus(self._is_ready, reason, len(self.active), 0, 0, 0)

    @property
    def active(self) -> "list[FakeStream]":
        return [stream for stream in self.streams if not stream.is_finished]

    def hold(self, after: int = 0) -> None:
        """Give no more tokens to present streams, and only the first `after` to future ones."""
        self._is_open = False
        self._free_tokens = after
        self._on_loop(lambda: [stream.gate.clear() for stream in self.streams])

    def release(self) -> None:
        self._is_open = True
        self._on_loop(lambda: [stream.gate.set() for stream in self.streams])

    def fail_all(self, error: ServiceError) -> None:
        self._on_loop(lambda: [stream.fail(error) for stream in self.streams])

    def _on_loop(self, action: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(action)


class FakeStream:
    """Implements `llm_service.engine.TokenStream`."""

    def __init__(
        self, request: GenerationRequest, engine: FakeEngine, is_open: bool, free_tokens: int
    ) -> None:
        self.request = request
        self.timings = Timings(submitted=time.monotonic())
        self.usage = Usage(num_prompt_tokens=len(request.prompt))
        self.gate = asyncio.Event()
        self._free_tokens = free_tokens
        self._engine = engine
        self._error: ServiceError | None = None
        self._finished = asyncio.Event()
        if is_open:
            self.gate.set()

    @property
    def num_computed_tokens(self) -> int:
        is_computed = self.timings.first_token is not None
        return self.usage.num_prompt_tokens + self.usage.num_output_tokens if is_computed else 0

    @property
    def is_finished(self) -> bool:
        return self._finished.is_set()

    def __aiter__(self) -> "FakeStream":
        return self

    async def __anext__(self) -> GenerationChunk:
        if self.is_finished and self._error is None:
            raise StopAsyncIteration
        if self.usage.num_output_tokens >= self._free_tokens:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self._error is not None:
            self._finished.set()
            raise self._error
        return self._next_token()

    def _next_token(self) -> GenerationChunk:
        now = time.monotonic()
        self.timings.first_scheduled = self.timings.first_scheduled or now
        self.timings.first_token = self.timings.first_token or now
        text = "ok "[self.usage.num_output_tokens % 3]
        self.usage.num_output_tokens += 1
        is_last = self.usage.num_output_tokens >= self.request.sampling.max_tokens
        if is_last:
            self.timings.finished = now
            self._finished.set()
        reason = FinishReason.LENGTH if is_last else None
        return GenerationChunk(text, (ord(text),), finish_reason=reason)

    def fail(self, error: ServiceError) -> None:
        self._error = error
        self.gate.set()

    def abort(self) -> None:
        if not self.is_finished:
            self.fail(RequestCancelled("The request was cancelled."))
            self._finished.set()
            self._engine.aborted.release()

    async def wait_finished(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._finished.wait(), max(0.0, seconds))
        except TimeoutError:
            return
