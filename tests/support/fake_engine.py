"""An engine whose every token is the test's to give: for faults that a real one rarely has.

One token is one byte. Sequences say "ok " for ever, or until max_tokens; or they say what `says`
has, one text per token, and stop. They do so only while the engine is open; `hold` and `release`
are called from the test's thread. The sequences of a stream take turns.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from llm_service.engine import (
    Conversation,
    EngineStatus,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Grammar,
    GrammarSource,
    InfillTokens,
    KVCacheInfo,
    LocalEngineInfo,
    ModelInfo,
    Picture,
    Prompt,
    Timings,
    Usage,
)
from llm_service.engine.formats import ModelFormat
from llm_service.engine.formats.declarations import PLAIN
from llm_service.errors import (
    InvalidRequest,
    Overloaded,
    RequestCancelled,
    ServiceError,
    Unavailable,
)

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


# What the tokenizer writes for an image part, and the vision repeats for each picture.
PLACEHOLDER = 1
TOKENS_PER_PICTURE = 4


class ByteTokenizer:
    has_chat_template = True
    infill = InfillTokens(begin=1, hole=2, end=3, stops=(4,))

    def encode_chat(
        self, conversation: Conversation, *, max_tokens: int | None = None
    ) -> list[int]:
        contents = [_text_of(message["content"]) for message in conversation.messages]
        return self.encode_text("\n".join(contents) + "\n")

    def encode_text(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        return list(text.encode())

    def encode_infill(self, before: str, after: str, *, max_tokens: int | None = None) -> list[int]:
        return self.infill.prompt(before.encode(), after.encode())

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token_ids).decode(errors="replace")


def _text_of(content: str | list[dict[str, str]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", chr(PLACEHOLDER)) for part in content)


class FakeVision:
    """Implements `llm_service.engine.Vision`: each picture becomes four tokens, no features."""

    def __init__(self) -> None:
        self.placed: list[Picture] = []
        self.refuses_with: ServiceError | None = None

    async def place(
        self, token_ids: Sequence[int], pictures: Sequence[Picture], salt: str
    ) -> Prompt:
        if self.refuses_with is not None:
            raise self.refuses_with
        if list(token_ids).count(PLACEHOLDER) != len(pictures):
            raise InvalidRequest("Placeholders and pictures differ in number.", param="messages")
        self.placed += pictures
        placed = []
        for token_id in token_ids:
            is_picture = token_id == PLACEHOLDER
            placed += [token_id] * (TOKENS_PER_PICTURE if is_picture else 1)
        return Prompt(tuple(placed))


class NoGrammars:
    async def compile(self, source: GrammarSource) -> Grammar:
        raise InvalidRequest("This engine takes no grammars.")


class FakeEngine:
    """Implements `llm_service.engine.Engine`."""

    def __init__(self) -> None:
        self.info = INFO
        self.tokenizer = ByteTokenizer()
        self.format = ModelFormat(PLAIN)
        self.grammars = NoGrammars()
        # A test of images sets both: `FakeVision()`, and an `info` with `sees=True`.
        self.vision: FakeVision | None = None
        self.streams: list[FakeStream] = []
        self.submitted = threading.Semaphore(0)
        self.aborted = threading.Semaphore(0)
        self.refuses_with: ServiceError | None = None
        self.says: Sequence[str] = ()
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

    def submit(self, *requests: GenerationRequest) -> "FakeStream":
        if self.refuses_with is not None:
            raise self.refuses_with
        if not self._is_ready:
            raise Unavailable("The service is stopping.")
        if len(self.active) >= INFO.max_waiting:
            raise Overloaded("The queue is full.", retry_after=3)
        stream = FakeStream(requests, self, self._is_open, self._free_tokens)
        self.streams.append(stream)
        self.submitted.release(len(requests))
        return stream

    def status(self) -> EngineStatus:
        reason = "" if self._is_ready else "stopping"
        return EngineStatus(self._is_ready, reason, len(self.active), 0, 0, 0)

    @property
    def active(self) -> "list[FakeSequence]":
        return [sequence for stream in self.streams for sequence in stream.unfinished()]

    def hold(self, after: int = 0) -> None:
        """Give no more tokens to present streams, and only the first `after` to future ones."""
        self._is_open = False
        self._free_tokens = after
        self._on_loop(lambda stream: stream.gate.clear())

    def release(self) -> None:
        self._is_open = True
        self._on_loop(lambda stream: stream.gate.set())

    def fail_all(self, error: ServiceError) -> None:
        self._on_loop(lambda stream: stream.fail(error))

    def _on_loop(self, action: "Callable[[FakeStream], None]") -> None:
        """Do it to all streams there are by then."""

        def do_to_all() -> None:
            for stream in self.streams:
                action(stream)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(do_to_all)


class FakeSequence:
    """Implements `llm_service.engine.SequenceProgress`."""

    def __init__(self, request: GenerationRequest, says: Sequence[str] = ()) -> None:
        self._says = says
        self.timings = Timings(submitted=time.monotonic())
        self.usage = Usage(num_prompt_tokens=len(request.prompt))
        self._max_tokens = request.sampling.max_tokens

    @property
    def num_computed_tokens(self) -> int:
        is_computed = self.timings.first_token is not None
        return self.usage.num_prompt_tokens + self.usage.num_output_tokens if is_computed else 0

    def next_token(self) -> GenerationChunk:
        now = time.monotonic()
        self.timings.first_scheduled = self.timings.first_scheduled or now
        self.timings.first_token = self.timings.first_token or now
        says = self._says or "ok "
        text = says[self.usage.num_output_tokens % len(says)]
        self.usage.num_output_tokens += 1
        reason = None
        if self.usage.num_output_tokens == len(self._says):
            reason = FinishReason.STOP
        elif self.usage.num_output_tokens >= self._max_tokens:
            reason = FinishReason.LENGTH
        if reason is not None:
            self.timings.finished = now
        return GenerationChunk(text, tuple(text.encode()[:1]), finish_reason=reason)


class FakeStream:
    """Implements `llm_service.engine.TokenStream`."""

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        engine: FakeEngine,
        is_open: bool,
        free_tokens: int,
    ) -> None:
        self.sequences = [FakeSequence(request, engine.says) for request in requests]
        self.gate = asyncio.Event()
        self._free_tokens = free_tokens  # of each sequence
        self._engine = engine
        self._error: ServiceError | None = None
        self._finished = asyncio.Event()
        if is_open:
            self.gate.set()

    def unfinished(self) -> list[FakeSequence]:
        if self._finished.is_set():
            return []
        return [sequence for sequence in self.sequences if sequence.timings.finished is None]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, GenerationChunk]:
        if self._finished.is_set() and self._error is None:
            raise StopAsyncIteration
        index, sequence = self._next_in_turn()
        if sequence.usage.num_output_tokens >= self._free_tokens:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self._error is not None:
            self._finished.set()
            raise self._error
        chunk = sequence.next_token()
        if not self.unfinished():
            self._finished.set()
        return index, chunk

    def _next_in_turn(self) -> tuple[int, FakeSequence]:
        """The first of the unfinished sequences that have the fewest tokens."""
        return min(
            enumerate(self.sequences),
            key=lambda s: (s[1].timings.finished is not None, s[1].usage.num_output_tokens),
        )

    def fail(self, error: ServiceError) -> None:
        self._error = error
        self.gate.set()

    def abort(self) -> None:
        num_unfinished = len(self.unfinished())
        if num_unfinished:
            self.fail(RequestCancelled("The request was cancelled."))
            self._finished.set()
            self._engine.aborted.release(num_unfinished)

    async def wait_finished(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._finished.wait(), max(0.0, seconds))
        except TimeoutError:
            return
