"""The batched engine on its thread: streams, the bounded inbox, cancellation, failure, drain."""

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from llm_service.engine import (
    FinishReason,
    GenerationRequest,
    NullObserver,
    Phase,
    Prompt,
    SamplingParams,
    StepStats,
    TokenStream,
)
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.kernels.library import KernelError, Status
from llm_service.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    RequestCancelled,
    Unavailable,
)
from tests.engine.cores import GREEDY, make_engine
from tests.engine.models import MAX_CONTEXT, VOCAB_SIZE, fresh_model, greedy_reference

pytestmark = pytest.mark.anyio

PROMPT = tuple(range(40, 60))
ENDLESS = SamplingParams(max_tokens=MAX_CONTEXT, temperature=0.0, ignore_eos=True)
PATIENCE_SECONDS = 60


@dataclass
class Recorder(NullObserver):
    """Keeps what it hears, and wakes who waits for it."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    def _hear(self, *event: Any) -> None:
        self.events.append(event)
        self.loop.call_soon_threadsafe(self._heard.set)

    def step_finished(self, stats: StepStats) -> None:
        self._hear("step", stats)

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        self._hear("queue", num_running, num_waiting)

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        self._hear("cancelled", phase, seconds_to_free)

    def ready_changed(self, is_ready: bool, reason: str) -> None:
        self._hear("ready", is_ready, reason)

    def engine_failed(self, error: BaseException) -> None:
        self._hear("failed", error)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == name]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


class Gate:
    """Stands before the model's forward pass: it can be shut, and made to raise."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.error: Exception | None = None
        self._permits = threading.Semaphore(0)
        self._is_shut = False
        self._arrived = threading.Semaphore(0)
        model.register_forward_pre_hook(self._pass)

    def _pass(self, *_: object) -> None:
        if self._is_shut:
            self._arrived.release()
            assert self._permits.acquire(timeout=PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error

    def shut(self) -> None:
        self._is_shut = True

    async def arrival(self) -> None:
        """Wait until a step stands before the gate."""
        assert await asyncio.to_thread(self._arrived.acquire, timeout=PATIENCE_SECONDS)

    def let_one_pass(self) -> None:
        self._permits.release()

    def open(self) -> None:
        self._is_shut = False
        self._permits.release()


@asynccontextmanager
async def running(engine: BatchedEngine) -> AsyncIterator[BatchedEngine]:
    await engine.start()
    try:
        yield engine
        async with asyncio.timeout(PATIENCE_SECONDS):
            await engine.stop(0)
    finally:
        await engine.stop(0)


def ask(
    prompt: tuple[int, ...] = PROMPT, sampling: SamplingParams = GREEDY, **fields: Any
) -> GenerationRequest:
    return GenerationRequest("r", Prompt(prompt), sampling, **fields)


async def tokens(stream: TokenStream) -> tuple[int, ...]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return tuple([i async for _, chunk in stream for i in chunk.token_ids])


async def tokens_of_each(stream: TokenStream) -> list[tuple[int, ...]]:
    answers: list[tuple[int, ...]] = [() for _ in stream.sequences]
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for index, chunk in stream:
            answers[index] += chunk.token_ids
    return answers


async def first_chunk(stream: TokenStream) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await anext(stream)


async def test_many_streams_at_once_give_what_generate_gives() -> None:
    prompts = [PROMPT[i:] for i in range(12)]
    async with running(make_engine(fresh_model("qwen3"), num_blocks=30)) as engine:
        streams = [engine.submit(ask(prompt)) for prompt in prompts]
        answers = await asyncio.gather(*map(tokens, streams))
        assert engine.status().num_running == engine.status().num_waiting == 0
        assert engine.status().kv_cache_used_bytes == 0
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer == greedy_reference("qwen3", prompt, GREEDY.max_tokens)


async def test_a_streams_timings_and_usage_are_told_in_order() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        stream = engine.submit(ask())
        answer = await tokens(stream)
    (sequence,) = stream.sequences
    timings = sequence.timings
    assert timings.first_scheduled is not None
    assert timings.first_token is not None
    assert timings.finished is not None
    assert timings.submitted <= timings.first_scheduled <= timings.first_token
    assert timings.first_token <= timings.finished <= time.monotonic()
    assert sequence.usage.num_prompt_tokens == len(PROMPT)
    assert sequence.usage.num_output_tokens == len(answer)


async def test_iterating_a_finished_stream_again_yields_nothing() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        stream = engine.submit(ask())
        assert await tokens(stream) != ()
        assert await tokens(stream) == ()
        stream.abort()


async def test_a_step_crosses_back_to_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    async with running(make_engine(fresh_model("llama"), recorder)) as engine:
        crossings = 0
        original = engine._loop.call_soon_threadsafe  # type: ignore[union-attr]

        def count(callback: Callable[..., object], *args: Any) -> object:
            nonlocal crossings
            crossings += getattr(callback, "__name__", "") == "_deliver"
            return original(callback, *args)

        monkeypatch.setattr(engine._loop, "call_soon_threadsafe", count)
        await asyncio.gather(*(tokens(engine.submit(ask(PROMPT[i:]))) for i in range(6)))
        assert 0 < crossings <= len(recorder.named("step"))


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    engine = make_engine(fresh_model("llama"), max_batch_size=1, max_waiting=2)
    async with running(engine):
        streams = [engine.submit(ask(sampling=ENDLESS)) for _ in range(3)]
        with pytest.raises(Overloaded) as refused:
            engine.submit(ask())
        assert refused.value.retry_after is not None
        assert refused.value.retry_after >= 1.0
        await first_chunk(streams[0])
        assert engine.status().num_waiting == 2
        with pytest.raises(Overloaded):
            engine.submit(ask())
        for stream in streams:
            stream.abort()
        for stream in streams:
            with pytest.raises(RequestCancelled):
                await tokens(stream)
        assert await tokens(engine.submit(ask())) != ()


async def test_a_request_of_more_sequences_than_the_queue_holds_waits_in_it() -> None:
    engine = make_engine(fresh_model("llama"), max_batch_size=1, max_waiting=2)
    async with running(engine):
        stream = engine.submit(*[ask()] * 9)
        with pytest.raises(Overloaded):
            engine.submit(*[ask()] * 2)
        answers = await tokens_of_each(stream)
        assert len(answers) == 9
        assert set(answers) == {await tokens(engine.submit(ask()))}


async def test_one_stream_yields_the_chunks_of_all_its_sequences_each_with_its_index() -> None:
    prompts = [PROMPT[i:] for i in range(6)]
    async with running(make_engine(fresh_model("llama"), max_batch_size=2)) as engine:
        stream = engine.submit(*map(ask, prompts))
        answers = await tokens_of_each(stream)
        usages = [sequence.usage for sequence in stream.sequences]
        assert [usage.num_prompt_tokens for usage in usages] == [len(p) for p in prompts]
        assert [usage.num_output_tokens for usage in usages] == [len(a) for a in answers]
        assert await tokens(stream) == ()  # it has ended
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer == greedy_reference("llama", prompt, GREEDY.max_tokens)


async def test_chunks_of_one_stream_come_while_other_sequences_of_it_wait() -> None:
    model = fresh_model("llama")
    gate = Gate(model)
    async with running(make_engine(model, max_batch_size=1)) as engine:
        gate.shut()
        stream = engine.submit(ask(sampling=ENDLESS), ask(sampling=ENDLESS))
        await gate.arrival()
        gate.let_one_pass()
        index, _ = await anext(stream)
        assert index == 0
        assert stream.sequences[1].timings.first_scheduled is None
        stream.abort()
        gate.open()


async def test_the_first_sequence_that_fails_ends_its_stream() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        stream = engine.submit(ask(sampling=ENDLESS), ask(deadline=time.monotonic()))
        with pytest.raises(DeadlineExceeded):
            await tokens(stream)
        assert await tokens(stream) == ()
        stream.abort()


async def test_an_abort_frees_every_sequence_of_its_stream() -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    async with running(make_engine(model, recorder, max_batch_size=2)) as engine:
        gate.shut()
        stream = engine.submit(*[ask(sampling=ENDLESS)] * 5)
        await gate.arrival()
        stream.abort()
        gate.open()
        with pytest.raises(RequestCancelled):
            await tokens(stream)
        await recorder.until(lambda: len(recorder.named("cancelled")) == 5)
        await recorder.until(lambda: engine.status().kv_cache_used_bytes == 0)


async def test_of_a_request_with_one_impossible_sequence_none_is_submitted() -> None:
    engine = make_engine(fresh_model("llama"))
    async with running(engine):
        with pytest.raises(InvalidRequest):
            engine.submit(ask(), ask((VOCAB_SIZE,)))
        assert engine.status().num_waiting == engine.status().num_running == 0


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (ask(()), InvalidRequest, "at least one token"),
        (
            ask(sampling=dataclasses.replace(GREEDY, max_tokens=-1)),
            InvalidRequest,
            "max_tokens must",
        ),
        (ask((VOCAB_SIZE,)), InvalidRequest, f"{VOCAB_SIZE - 1}"),
        (ask((-1,)), InvalidRequest, "0"),
        (ask((9,) * 256), ContextLengthExceeded, r"is 256 tokens\. .* in 256 tokens"),
        (ask((9,) * 300), ContextLengthExceeded, r"is 256 tokens\. .* in 300 tokens"),
    ],
)
async def test_what_could_never_run_is_refused_at_once(
    request_: GenerationRequest, error: type[Exception], words: str
) -> None:
    engine = make_engine(fresh_model("llama"), num_blocks=100)
    with pytest.raises(error, match=words):
        engine.submit(request_)


async def test_what_the_cache_could_never_hold_is_refused_at_once() -> None:
    engine = make_engine(fresh_model("llama"), num_blocks=8, block_size=4)
    assert engine.info.max_context == 32
    with pytest.raises(ContextLengthExceeded, match=r"is 32 tokens\. .* in 32 tokens"):
        engine.submit(ask((9,) * 32))


async def test_before_it_is_started_the_engine_takes_nothing() -> None:
    engine = make_engine(fresh_model("llama"))
    assert not engine.status().is_ready
    with pytest.raises(Unavailable, match="starting"):
        engine.submit(ask())


@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
async def test_an_abort_frees_within_one_step_in_every_phase(phase: Phase) -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    engine = make_engine(model, recorder, max_batch_size=2, max_batched_tokens=8)
    async with running(engine):
        bystander = engine.submit(ask(PROMPT[:4], ENDLESS))
        await first_chunk(bystander)
        gate.shut()
        await gate.arrival()
        prefill = engine.submit(ask(sampling=ENDLESS))  # 20 tokens, 7 in a step
        for _ in range(4 if phase == "decode" else 1):
            gate.let_one_pass()
            await gate.arrival()
        victim = engine.submit(ask()) if phase == "queue" else prefill
        num_steps = len(recorder.named("step"))
        victim.abort()
        gate.open()
        with pytest.raises(RequestCancelled):
            await tokens(victim)
        (cancelled,) = recorder.named("cancelled")
        before = recorder.events[: recorder.events.index(("cancelled", *cancelled))]
        assert cancelled[0] == phase
        assert sum(name == "step" for name, *_ in before) <= num_steps + 1
        assert victim.sequences[0].timings.finished is not None
        bystander.abort()
        prefill.abort()
        await recorder.until(lambda: engine.status().kv_cache_used_bytes == 0)


async def test_a_stream_tells_how_much_of_its_prompt_is_computed() -> None:
    model = fresh_model("llama")
    gate = Gate(model)
    async with running(make_engine(model, max_batched_tokens=8)) as engine:
        gate.shut()
        stream = engine.submit(ask(sampling=ENDLESS))  # 20 tokens, 8 in a step
        progress = []
        for _ in range(4):
            await gate.arrival()
            progress.append(stream.sequences[0].num_computed_tokens)
            gate.let_one_pass()
        assert progress == [0, 8, 16, 20]
        gate.open()
        stream.abort()


async def test_an_aborted_stream_leaves_the_others_unharmed() -> None:
    async with running(make_engine(fresh_model("llama"), max_batched_tokens=8)) as engine:
        prompts = [PROMPT[i:] for i in range(8)]
        streams = [engine.submit(ask(prompt)) for prompt in prompts]
        for stream in streams[::2]:
            stream.abort()
        for prompt, stream in list(zip(prompts, streams, strict=True))[1::2]:
            assert await tokens(stream) == greedy_reference("llama", prompt, GREEDY.max_tokens)


async def test_a_stream_past_its_deadline_ends_with_an_error() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        late = engine.submit(ask(deadline=time.monotonic()))
        early = engine.submit(ask(deadline=time.monotonic() + PATIENCE_SECONDS))
        with pytest.raises(DeadlineExceeded):
            await tokens(late)
        assert await tokens(early) == greedy_reference("llama", PROMPT, GREEDY.max_tokens)


async def test_a_prefix_is_shared_under_one_salt_and_not_under_another() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        cached = []
        for salt in ("alice", "bob", "alice"):
            stream = engine.submit(ask(cache_salt=salt))
            await tokens(stream)
            cached.append(stream.sequences[0].usage.num_cached_tokens)
    assert cached == [0, 0, 16]


async def test_an_engine_failure_ends_what_is_in_flight_and_the_engine_restarts() -> None:
    model, recorder = fresh_model("llama"), Recorder()
    gate = Gate(model)
    async with running(make_engine(model, recorder, max_batch_size=1)) as engine:
        running_, waiting = engine.submit(ask(sampling=ENDLESS)), engine.submit(ask())
        await first_chunk(running_)
        gate.error = RuntimeError("out of memory")
        for stream in (running_, waiting):
            with pytest.raises(EngineFailed):
                await tokens(stream)
        await recorder.until(lambda: len(recorder.named("failed")) >= 3)
        assert not engine.status().is_ready
        assert "RuntimeError" in engine.status().reason
        with pytest.raises(Unavailable, match="not ready"):
            engine.submit(ask())
        gate.error = None
        await recorder.until(lambda: engine.status().is_ready)
        assert engine.status().num_restarts == 1
        assert await tokens(engine.submit(ask())) == greedy_reference(
            "llama", PROMPT, GREEDY.max_tokens
        )
    readiness = [is_ready for is_ready, _ in recorder.named("ready")]
    assert readiness[0] is True
    assert readiness[-2:] == [True, False]
    assert set(readiness[1:-2]) == {False}


def _allocation_error() -> Exception:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)  # more than any address space
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_allocation_error(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory."), "oom"),
        (MemoryError(), "oom"),
        (KernelError("f", Status.OUT_OF_MEMORY, "memory cannot be allocated"), "oom"),
        (KernelError("f", Status.OUT_OF_BOUNDS, "too much was taken"), "backend"),
        (RuntimeError("boom"), "backend"),
    ],
)
async def test_requests_are_told_apart_that_failed_for_want_of_memory(
    error: Exception, kind: str
) -> None:
    model = fresh_model("llama")
    gate = Gate(model)
    async with running(make_engine(model)) as engine:
        gate.error = error
        with pytest.raises(EngineFailed) as failed:
            await tokens(engine.submit(ask()))
    assert failed.value.kind == kind
    assert failed.value.code == "engine_failed"


async def test_an_engine_that_stands_still_with_work_says_for_how_long() -> None:
    model = fresh_model("llama")
    gate = Gate(model)
    async with running(make_engine(model)) as engine:
        assert engine.status().stalled_seconds == 0.0
        gate.shut()
        stream = engine.submit(ask())
        await gate.arrival()
        assert 0.0 < engine.status().stalled_seconds < engine.status().stalled_seconds
        gate.open()
        await tokens(stream)
        assert engine.status().stalled_seconds == 0.0


def test_the_pause_before_a_restart_doubles_up_to_a_limit() -> None:
    backoff = Backoff(first_seconds=1.0, max_seconds=5.0)
    assert [backoff.delay(n) for n in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


async def test_an_engine_that_cannot_step_does_not_start() -> None:
    model = fresh_model("llama")
    engine = make_engine(model)
    Gate(model).error = RuntimeError("bad weights")
    with pytest.raises(RuntimeError, match="bad weights"):
        await engine.start()


async def test_stopping_lets_what_runs_finish() -> None:
    model = fresh_model("llama")
    async with running(make_engine(model)) as engine:
        stream = engine.submit(ask())
        stop = asyncio.create_task(engine.stop(PATIENCE_SECONDS))
        answer = await tokens(stream)
        await stop
        assert answer == greedy_reference("llama", PROMPT, GREEDY.max_tokens)
        with pytest.raises(Unavailable, match="stopping"):
            engine.submit(ask())


async def test_stopping_fails_what_does_not_finish_in_time() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        stream = engine.submit(ask(sampling=ENDLESS))
        await engine.stop(0)
        with pytest.raises(Unavailable):
            await tokens(stream)
        assert engine.status().kv_cache_used_bytes == 0
        assert not engine.status().is_ready


async def test_a_length_finish_is_told_in_the_last_chunk() -> None:
    async with running(make_engine(fresh_model("llama"))) as engine:
        sampling = dataclasses.replace(GREEDY, max_tokens=3, ignore_eos=True)
        chunks = [chunk async for _, chunk in engine.submit(ask(sampling=sampling))]
    assert [c.finish_reason for c in chunks] == [None, None, FinishReason.LENGTH]
