"""The core of the embedding engine: choose inputs, compute them, deliver one vector for each.

An input is a sequence that is finished after one step. The core knows no threads and no asyncio:
`batched.worker` drives it, as it drives the core that generates.
"""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from llm_service.engine.batched.core import Delivery, StepResult
from llm_service.engine.batched.sequence import Sequence, SequenceStatus
from llm_service.engine.budget import Turn
from llm_service.engine.embedding.input_queue import InputQueue
from llm_service.engine.observer import Phase, StepStats
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import NO_ANSWER, FinishReason, GenerationChunk, GenerationRequest
from llm_service.errors import DeadlineExceeded, EngineFailed, ServiceError


class Encode(Protocol):
    def __call__(self, inputs: list[tuple[int, ...]]) -> Tensor:
        """Return embeddings [inputs, dimensions] in float32, on the CPU."""


class EmbeddingCore:
    """Turns inputs into embeddings, one batch at a time. It implements `batched.core.Core`."""

    kv_cache_used_bytes = 0

    def __init__(
        self,
        encode: Encode,
        turn: Turn,
        *,
        max_inputs: int,
        max_tokens: int,
        max_shared_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A step has up to `max_inputs` inputs and `max_tokens` tokens, but at least one input.

        While another engine waits for the `turn`, a step also takes about `max_shared_seconds`
        at most, as far as it has more than one input.
        """
        self._encode = encode
        self._turn = turn
        self._max_inputs = max_inputs
        self._max_tokens = max_tokens
        self._max_shared_seconds = max_shared_seconds
        self._clock = clock
        self._queue = InputQueue(max_inputs)
        self._seconds_per_token = 0.0  # of the last step

    @property
    def has_work(self) -> bool:
        return len(self._queue) > 0

    @property
    def num_running(self) -> int:
        """The inputs that have one of the places of a step."""
        return min(len(self._queue), self._max_inputs)

    @property
    def num_waiting(self) -> int:
        return len(self._queue) - self.num_running

    def add(self, sequence: Sequence) -> None:
        self._queue.add(sequence)

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase:
        """Forget the input; return the phase that it was in, which is always the queue."""
        self._queue.remove(sequence)
        sequence.finish(FinishReason.ABORT, error)
        return "queue"

    def expire(self) -> list[Delivery]:
        """End the inputs that are past their deadline."""
        now = self._clock()
        late = [sequence for sequence in self._queue if sequence.is_late(now)]
        return [self._expired(sequence, now) for sequence in late]

    def step(self) -> StepResult:
        """Compute one batch of inputs. Raises what the model raises."""
        started = self._clock()
        batch = self._queue.next_batch(self._token_limit())
        for sequence in batch:
            sequence.status = SequenceStatus.RUNNING
            sequence.timings.first_scheduled = started
        vectors = self._encode([sequence.request.prompt.token_ids for sequence in batch])
        seconds = self._clock() - started
        num_tokens = sum(sequence.num_prompt_tokens for sequence in batch)
        self._seconds_per_token = seconds / num_tokens
        stats = StepStats(
            num_sequences=len(batch),
            num_running=self.num_running,
            num_waiting=self.num_waiting,
            num_computed_prompt_tokens=num_tokens,
            prefill_seconds=seconds,
        )
        return StepResult(_deliveries(batch, vectors), stats)

    def warm_up(self) -> None:
        """Compute one input; raises whatever keeps the engine from finishing it."""
        request = GenerationRequest("warm-up-0", Prompt((0,)), sampling=NO_ANSWER)
        sequence = Sequence.from_request(request, self._clock())
        self.add(sequence)
        while self.has_work:
            self.step()
        if sequence.error is not None:
            raise sequence.error

    def check_is_idle(self) -> None:
        assert not self.has_work

    def _token_limit(self) -> int:
        if not (self._turn.is_wanted and self._seconds_per_token):
            return self._max_tokens
        return min(self._max_tokens, int(self._max_shared_seconds / self._seconds_per_token))

    def _expired(self, sequence: Sequence, now: float) -> Delivery:
        seconds = now - sequence.timings.submitted
        error = DeadlineExceeded(f"The request was not finished after {seconds:.1f} seconds.")
        self.abort(sequence, error)
        return Delivery(sequence, error)


def _deliveries(batch: Iterable[Sequence], vectors: Tensor) -> list[Delivery]:
    is_finite = torch.isfinite(vectors).all(dim=1).tolist()
    numbers = vectors.numpy().astype("<f4")
    deliveries = []
    for sequence, row, is_usable in zip(batch, numbers, is_finite, strict=True):
        sequence.num_computed_tokens = sequence.num_prompt_tokens
        if is_usable:
            sequence.finish(FinishReason.STOP)
            chunk = GenerationChunk(
                "", (), finish_reason=FinishReason.STOP, embedding=row.tobytes()
            )
            deliveries.append(Delivery(sequence, chunk))
        else:
            error = EngineFailed(
                "The model's embedding of an input has numbers that are not finite."
            )
            sequence.finish(FinishReason.ABORT, error)
            deliveries.append(Delivery(sequence, error))
    return deliveries
