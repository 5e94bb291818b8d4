"""Which inputs go together, how long they wait, and what ends them before they are computed."""

import asyncio
import threading
import time
from collections.abc import Sequence as Ordered
from typing import Any

import pytest
import torch
from torch import Tensor

from llm_service.engine import NO_ANSWER, EmbeddingInfo, GenerationRequest, ModelInfo, Prompt
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.budget import Turn
from llm_service.engine.embedding.core import EmbeddingCore
from llm_service.engine.embedding.engine import EmbeddingEngine
from llm_service.engine.embedding.input_queue import InputQueue
from llm_service.engine.observer import NullObserver
from llm_service.engine.request import SamplingParams
from llm_service.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    RequestCancelled,
)
from tests.support.fake_engine import INFO, ByteTokenizer


def sequence(name: str, length: int, deadline: float | None = None) -> Sequence:
    request = GenerationRequest(name, Prompt((1,) * length), NO_ANSWER, deadline=deadline)
    return Sequence.from_request(request, submitted=0.0)


def filled(lengths: dict[str, list[int]], max_inputs: int = 8) -> InputQueue:
    queue = InputQueue(max_inputs)
    for name, each in lengths.items():
        for i, length in enumerate(each):
            queue.add(sequence(f"{name}-{i}", length))
    return queue


def batches(queue: InputQueue, max_tokens: int) -> list[list[tuple[str, int]]]:
    found = []
    while len(queue):
        batch = queue.next_batch(max_tokens)
        found.append([(s.request.request_id[0], s.num_prompt_tokens) for s in batch])
    return found


def test_inputs_of_similar_length_go_together_and_long_ones_go_first() -> None:
    queue = filled({"a": [10, 100, 9, 90, 8, 99]})
    assert batches(queue, 1000) == [
        [("a", 100), ("a", 99), ("a", 90)],
        [("a", 10), ("a", 9), ("a", 8)],
    ]


def test_a_batch_is_within_its_tokens_padding_included_but_has_an_input() -> None:
    queue = filled({"a": [100, 80, 80, 300]})
    assert batches(queue, 200) == [[("a", 300)], [("a", 100), ("a", 80)], [("a", 80)]]


def test_a_batch_is_within_its_places() -> None:
    assert [len(batch) for batch in batches(filled({"a": [5] * 20}), 1000)] == [8, 8, 4]


def test_a_small_request_waits_for_one_step_of_a_large_one() -> None:
    queue = filled({"a": [100] * 50, "b": [7]})
    assert batches(queue, 400)[:3] == [[("a", 100)] * 4, [("b", 7)], [("a", 100)] * 4]


def test_inputs_of_other_requests_fill_a_batch_after_those_whose_turn_it_is() -> None:
    queue = filled({"a": [10, 10], "b": [9, 10, 50], "c": [3]})
    assert batches(queue, 1000)[0] == [("a", 10), ("a", 10), ("b", 10), ("b", 9)]


class HeldEncode:
    """Computes nothing; waits for `release` in each call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None
        self.value = 1.0

    def __call__(self, inputs: list[tuple[int, ...]]) -> Tensor:
        self.calls.append([len(ids) for ids in inputs])
        self.entered.release()
        assert self.gate.acquire(timeout=60)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return torch.full((len(inputs), 2), self.value)


INFO_OF_EMBEDDINGS = ModelInfo(
    model_id="tiny", engine="embedding", vocab_size=256, max_context=100, max_batch_size=2,
    max_waiting=8, local=INFO.local, embedding=EmbeddingInfo(2, "mean", is_normalized=False),
)  # fmt: skip


def make_core(encode: Any, turn: Turn | None = None, **options: Any) -> EmbeddingCore:
    return EmbeddingCore(
        encode,
        turn or Turn(),
        **{"max_inputs": 2, "max_tokens": 100, "max_shared_seconds": 0.2, **options},
    )


class ReadyObserver(NullObserver):
    def __init__(self) -> None:
        self.is_ready = threading.Event()

    def ready_changed(self, is_ready: bool, reason: str) -> None:
        if is_ready:
            self.is_ready.set()


class Held:
    """A running engine whose every step the test lets go."""

    def __init__(self, turn: Turn | None = None) -> None:
        self.encode = HeldEncode()
        self.observer = ReadyObserver()
        self.turn = turn or Turn()
        self.engine = EmbeddingEngine(
            lambda: make_core(self.encode, self.turn),
            INFO_OF_EMBEDDINGS,
            ByteTokenizer(),
            self.observer,
            Backoff(first_seconds=0.001),
            self.turn,
        )

    async def __aenter__(self) -> "Held":
        self.encode.gate.release()  # the warm-up
        await self.engine.start()
        self.encode.calls.clear()
        self.encode.entered.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        stopping = asyncio.create_task(self.engine.stop(0))
        for _step in range(100):
            self.encode.gate.release()
        await stopping

    async def entered(self) -> None:
        assert await asyncio.to_thread(self.encode.entered.acquire, timeout=60)

    def submit(self, *lengths: int, salt: str = "", **options: Any) -> Any:
        return self.engine.submit(
            *(
                GenerationRequest(
                    f"{salt}r-{i}", Prompt((1,) * length), NO_ANSWER, cache_salt=salt, **options
                )
                for i, length in enumerate(lengths)
            )
        )


async def collect(stream: Any) -> dict[int, bytes]:
    return {index: chunk.embedding async for index, chunk in stream}


def test_an_aborted_request_is_never_computed_and_others_are() -> None:
    async def run() -> None:
        async with Held() as held:
            first = held.submit(50, 50)
            await held.entered()
            second, third = held.submit(*[40] * 6, salt="b"), held.submit(30, salt="c")
            second.abort()
            held.encode.gate.release(2)
            assert len(await collect(first)) == 2
            assert len(await collect(third)) == 1
            with pytest.raises(RequestCancelled):
                await collect(second)
            assert held.encode.calls == [[50, 50], [30]]

    asyncio.run(run())


def test_inputs_past_their_deadline_are_ended_before_they_are_computed() -> None:
    async def run() -> None:
        async with Held() as held:
            first = held.submit(50)
            await held.entered()
            late = held.submit(40, salt="b", deadline=time.monotonic() - 1)
            held.encode.gate.release()
            assert len(await collect(first)) == 1
            with pytest.raises(DeadlineExceeded):
                await collect(late)
            assert held.encode.calls == [[50]]

    asyncio.run(run())


def test_a_full_queue_and_a_key_that_fills_half_of_it_are_refused() -> None:
    async def run() -> None:
        async with Held() as held:
            held.submit(50)
            await held.entered()
            held.submit(*[9] * 20, salt="greedy")  # one request may exceed the queue
            with pytest.raises(Overloaded, match="20 inputs of this key"):
                held.submit(9, salt="greedy")
            with pytest.raises(Overloaded, match="the queue is full"):
                held.submit(9, salt="modest")
            status = held.engine.status()
            assert (status.num_running + status.num_waiting, status.is_ready) == (21, True)

    asyncio.run(run())


def test_a_failed_step_fails_what_is_in_flight_and_the_engine_goes_on() -> None:
    async def run() -> None:
        async with Held() as held:
            stream = held.submit(50)
            await held.entered()
            held.encode.error = RuntimeError("broken")
            held.observer.is_ready.clear()
            held.encode.gate.release(2)  # and the warm-up of the restart
            with pytest.raises(EngineFailed):
                await collect(stream)
            await held.entered()
            assert await asyncio.to_thread(held.observer.is_ready.wait, 60)
            again = held.submit(50)
            await held.entered()
            held.encode.gate.release()
            assert len(await collect(again)) == 1

    asyncio.run(run())


def test_numbers_that_are_not_finite_fail_their_input_instead_of_being_sent() -> None:
    async def run() -> None:
        async with Held() as held:
            held.encode.value = float("nan")
            stream = held.submit(50)
            held.encode.gate.release()
            with pytest.raises(EngineFailed, match="not finite"):
                await collect(stream)

    asyncio.run(run())


def test_a_request_to_generate_is_refused() -> None:
    async def run() -> None:
        async with Held() as held:
            request = GenerationRequest("r-0", Prompt((1,)), SamplingParams(max_tokens=1))
            with pytest.raises(InvalidRequest, match="does not generate text"):
                held.engine.submit(request)

    asyncio.run(run())


class Clock:
    """Each step takes as long as its tokens."""

    def __init__(self, seconds_per_token: float) -> None:
        self.now = 0.0
        self._seconds_per_token = seconds_per_token

    def __call__(self) -> float:
        return self.now

    def encode(self, inputs: Ordered[Ordered[int]]) -> Tensor:
        self.now += self._seconds_per_token * sum(map(len, inputs))
        return torch.zeros(len(inputs), 2)


class WantedTurn(Turn):
    is_wanted = False


def test_steps_are_short_while_another_engine_waits_for_its_turn() -> None:
    clock, turn = Clock(0.01), WantedTurn()
    core = make_core(
        clock.encode, turn, max_inputs=64, max_tokens=500, max_shared_seconds=0.5, clock=clock
    )
    for i in range(200):
        core.add(sequence(f"a-{i}", 10))
    assert core.step().stats.num_sequences == 50
    turn.is_wanted = True
    assert core.step().stats.num_sequences == 5
    turn.is_wanted = False
    assert core.step().stats.num_sequences == 50


def test_a_turn_is_wanted_while_another_engine_waits_for_it() -> None:
    turn = Turn()
    with turn:
        assert not turn.is_wanted
        other = threading.Thread(target=lambda: turn.__enter__())
        other.start()
        while not turn.is_wanted:
            other.join(0.001)
            assert other.is_alive()
    other.join(60)
    assert not turn.is_wanted
