"""The engine on one screen: schedule, forward, sample, commit.

Owns a sequence's way through a step and when it is finished. No threads, no asyncio:
`engine` drives it.
"""

import time
from collections.abc import Callable
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from torch import Tensor

from llm_service.engine.batched.detokenizer import Detokenizer, TextDecoder
from llm_service.engine.batched.kernels.head import Wanted
from llm_service.engine.batched.sampler import SampledToken, Sampler, SamplingError
from llm_service.engine.batched.scheduler import (
    Outcome,
    ScheduledBatch,
    ScheduledSequence,
    Scheduler,
)
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.observer import Phase, StepStats
from llm_service.engine.request import (
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    PositionLogprobs,
    SamplingParams,
    TokenLogprob,
)
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.errors import EngineFailed, ServiceError


class Runner(Protocol):
    """Computes a batch; `ModelRunner` is the batched engine's."""

    @property
    def block_bytes(self) -> int: ...

    def forward(self, batch: ScheduledBatch, wanted: Rows[Wanted] = ()) -> Tensor:
        """Logits [sum of the items' num_rows, vocab_size] after the last tokens of each.

        Of every row at least those are exact that the sampler asks for: `wanted`, if given.
        """


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one sequence gets from a step: an increment, or the error that ended it."""

    sequence: Sequence
    event: GenerationChunk | ServiceError

    @property
    def is_last(self) -> bool:
        return isinstance(self.event, ServiceError) or self.event.finish_reason is not None


@dataclass(frozen=True, slots=True)
class StepResult:
    deliveries: list[Delivery]
    stats: StepStats


class EngineCore:
    """Sequences in, deliveries out, one step at a time."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        sampler: Sampler,
        tokenizer: SealedTokenizer,
        decoder: TextDecoder,
        *,
        eos_token_ids: frozenset[int],
        max_context: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._sampler = sampler
        self._tokenizer = tokenizer
        self._decoder = decoder
        self._eos_token_ids = eos_token_ids
        self._max_context = max_context
        self._clock = clock

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work

    @property
    def num_running(self) -> int:
        return self._scheduler.num_running

    @property
    def num_waiting(self) -> int:
        return self._scheduler.num_waiting

    @property
    def kv_cache_used_bytes(self) -> int:
        return self._scheduler.num_used_blocks * self._runner.block_bytes

    def add(self, sequence: Sequence) -> None:
        request = sequence.request
        sequence.detokenizer = Detokenizer(
            self._decoder, request.prompt_token_ids, request.sampling.stop
        )
        self._scheduler.add(sequence)

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase:
        """Free its slot and blocks now; returns the phase that it was in."""
        return self._scheduler.abort(sequence, error, self._clock())

    def expire(self) -> list[Delivery]:
        """End what is past its deadline, waiting or running."""
        return [Delivery(s, error) for s, error in self._scheduler.expire(self._clock())]

    def step(self) -> StepResult:
        """Advance the scheduled sequences by one step. Raises what the model raises."""
        started = self._clock()
        batch = self._scheduler.schedule(started)
        sequences = [item.sequence for item in batch.items for _ in range(item.num_rows)]
        logits = self._runner.forward(batch, [self._sampler.wanted(s) for s in sequences])
        advances = self._sample(batch, sequences, logits)
        stats = self._scheduler.commit(batch, [outcome for outcome, _ in advances], self._clock())
        stats.kv_cache_used_bytes = self.kv_cache_used_bytes
        _split_time(stats, batch, self._clock() - started)
        return StepResult([d for _, delivery in advances for d in delivery], stats)

    def warm_up(self) -> None:
        """Prove that it steps, before anybody waits for it; raises if it does not."""
        sampling = SamplingParams(max_tokens=2, temperature=0.0, ignore_eos=True)
        request = GenerationRequest("warm-up", prompt_token_ids=(0,), sampling=sampling)
        sequence = Sequence.from_request(request, self._clock())
        self.add(sequence)
        while self.has_work:
            self.step()
        self.check_integrity()
        if sequence.error is not None:
            raise sequence.error

    def check_is_idle(self) -> None:
        """Raise AssertionError if a block is still held though no sequence is left."""
        assert self._scheduler.num_used_blocks == 0

    def check_integrity(self) -> None:
        self._scheduler.check_integrity()

    def _sample(
        self, batch: ScheduledBatch, sequences: list[Sequence], logits: Tensor
    ) -> list[tuple[Outcome, list[Delivery]]]:
        """What the step means for each item, in order; `sequences` are those of the rows."""
        ahead = [i for item in batch.items for i in range(item.num_rows)]
        # A chunk's row is sampled only to see that it can be: its token is not used.
        sampled = iter(self._sampler.sample(logits, sequences, ahead))
        return [self._advance(item, list(islice(sampled, item.num_rows))) for item in batch.items]

    def _advance(
        self, item: ScheduledSequence, sampled: list[SampledToken | SamplingError]
    ) -> tuple[Outcome, list[Delivery]]:
        """What sampled tokens mean for their sequence: text, and whether they are the last.

        Each holds as long as the draft before it was right.
        """
        sequence = item.sequence
        chunks: list[GenerationChunk] = []
        for i, token in enumerate(sampled):
            if isinstance(token, SamplingError):
                error = EngineFailed(f"No token could be chosen: {token}")
                return Outcome(error=error), [Delivery(sequence, error)]
            if not item.is_sampled:
                return Outcome(), []
            chunks.append(self._chunk(sequence, token, ahead=i))
            is_right = i < len(item.draft) and item.draft[i] == token.token_id
            if not is_right or chunks[-1].finish_reason is not None:
                break
        chunk = _joined(chunks)
        return Outcome(chunk.token_ids, chunk.finish_reason), [Delivery(sequence, chunk)]

    def _chunk(self, sequence: Sequence, token: SampledToken, ahead: int) -> GenerationChunk:
        """The token's text; it is the sequence's next but `ahead`."""
        detokenizer, token_id = sequence.detokenizer, token.token_id
        assert detokenizer is not None
        if self._ends_answer(sequence, token_id):
            return GenerationChunk(detokenizer.flush(), (token_id,), (), FinishReason.STOP)
        logprobs = self._logprobs(token, detokenizer.num_characters)
        piece = detokenizer.feed((token_id,))
        reason = FinishReason.STOP if piece.is_stopped else self._length_reached(sequence, ahead)
        text = piece.text + (detokenizer.flush() if reason is FinishReason.LENGTH else "")
        return GenerationChunk(text, (token_id,), logprobs, reason)

    def _ends_answer(self, sequence: Sequence, token_id: int) -> bool:
        """End-of-sequence and stop tokens end the answer and are not part of its text."""
        sampling = sequence.request.sampling
        is_eos = token_id in self._eos_token_ids and not sampling.ignore_eos
        return is_eos or token_id in sampling.stop_token_ids

    def _length_reached(self, sequence: Sequence, ahead: int) -> FinishReason | None:
        """LENGTH if the token just sampled, not yet counted, is the last one allowed."""
        num_new = ahead + 1
        is_last = (
            sequence.num_output_tokens + num_new >= sequence.request.sampling.max_tokens
            or len(sequence.token_ids) + num_new >= self._max_context
        )
        return FinishReason.LENGTH if is_last else None

    def _logprobs(self, sampled: SampledToken, text_offset: int) -> tuple[PositionLogprobs, ...]:
        if sampled.logprob is None:
            return ()
        chosen = self._token_logprob(sampled.token_id, sampled.logprob)
        top = tuple(self._token_logprob(*token) for token in sampled.top)
        return (PositionLogprobs(chosen, top, text_offset),)

    def _token_logprob(self, token_id: int, logprob: float) -> TokenLogprob:
        return TokenLogprob(
            token_id=token_id,
            text=self._tokenizer.token_text(token_id),
            token_bytes=self._tokenizer.token_bytes(token_id),
            logprob=logprob,
        )


def _joined(chunks: list[GenerationChunk]) -> GenerationChunk:
    if len(chunks) == 1:
        return chunks[0]
    return GenerationChunk(
        "".join(chunk.text for chunk in chunks),
        tuple(token_id for chunk in chunks for token_id in chunk.token_ids),
        tuple(position for chunk in chunks for position in chunk.logprobs),
        chunks[-1].finish_reason,
    )


def _split_time(stats: StepStats, batch: ScheduledBatch, seconds: float) -> None:
    """Share the step's wall time between prefill and decode by their tokens."""
    num_tokens = batch.num_scheduled_tokens
    num_decodes = sum(item.is_decode for item in batch.items)
    stats.decode_seconds = seconds * num_decodes / num_tokens
    stats.prefill_seconds = seconds - stats.decode_seconds
