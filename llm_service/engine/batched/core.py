"""The engine on one screen: schedule, forward, sample, commit.

Owns what a step does for a sequence and decides when the sequence is finished. It knows no
threads and no asyncio: `engine` drives it.
"""

import time
from collections.abc import Callable
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from torch import Tensor

from llm_service.engine.batched.detokenizer import Detokenizer
from llm_service.engine.batched.row import Row
from llm_service.engine.batched.sampler import SampledToken, Sampler, SamplingError
from llm_service.engine.batched.scheduler import (
    Outcome,
    ScheduledBatch,
    ScheduledSequence,
    Scheduler,
)
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.constraints import constraint_of
from llm_service.engine.grammar import TokenConstraint
from llm_service.engine.kernels.head import LogitNeeds
from llm_service.engine.observer import Phase, StepStats
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import (
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    Marker,
    PositionLogprobs,
    SamplingParams,
    TokenLogprob,
)
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import EngineFailed, ServiceError


class Runner(Protocol):
    """Computes the logits of a batch; `ModelRunner` does so for the batched engine."""

    @property
    def block_bytes(self) -> int: ...

    def forward(self, batch: ScheduledBatch, needs: Ordered[LogitNeeds] = ()) -> Tensor:
        """Return logits [rows, vocab_size]: `num_rows` rows of each item, item after item.

        `needs` [rows] names the logits that are exact; the others are approximate. Without
        `needs`, all are exact.
        """


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carries what a step made for one sequence: an increment, or the error that ended it."""

    sequence: Sequence
    event: GenerationChunk | ServiceError

    @property
    def is_last(self) -> bool:
        return isinstance(self.event, ServiceError) or self.event.finish_reason is not None


@dataclass(frozen=True, slots=True)
class StepResult:
    deliveries: list[Delivery]
    stats: StepStats


class Core(Protocol):
    """What the engine's thread drives. Its methods are `EngineCore`'s."""

    @property
    def has_work(self) -> bool: ...

    @property
    def num_running(self) -> int: ...

    @property
    def num_waiting(self) -> int: ...

    @property
    def kv_cache_used_bytes(self) -> int: ...

    def add(self, sequence: Sequence) -> None: ...

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase: ...

    def expire(self) -> list[Delivery]: ...

    def step(self) -> StepResult: ...

    def warm_up(self) -> None: ...

    def check_is_idle(self) -> None: ...


class EngineCore:
    """Turns sequences into deliveries, one step at a time."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        sampler: Sampler,
        vocabulary: Vocabulary,
        *,
        max_context: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._sampler = sampler
        self._vocabulary = vocabulary
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
            self._vocabulary, request.prompt.token_ids, request.sampling.stop
        )
        sequence.constraint = constraint_of(request, self._vocabulary.size) or sequence.constraint
        self._scheduler.add(sequence)

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase:
        """Free the sequence's slot and blocks now; return the phase that it was in."""
        return self._scheduler.abort(sequence, error)

    def expire(self) -> list[Delivery]:
        """End the sequences, waiting or running, that are past their deadline."""
        return [Delivery(s, error) for s, error in self._scheduler.expire(self._clock())]

    def step(self) -> StepResult:
        """Advance the scheduled sequences by one step. Raises what the model raises."""
        started = self._clock()
        batch = self._scheduler.schedule(started)
        rows = _rows(batch)
        logits = self._runner.forward(batch, [self._sampler.needs(row) for row in rows])
        # The row of a chunk within a prompt is sampled only to find out whether it can be.
        sampled = iter(self._sampler.sample(logits, rows))
        advances = [self._advance(i, list(islice(sampled, i.num_rows))) for i in batch.items]
        stats = self._scheduler.commit(batch, [outcome for outcome, _ in advances], self._clock())
        stats.kv_cache_used_bytes = self.kv_cache_used_bytes
        _split_time(stats, batch, self._clock() - started)
        return StepResult([d for _, delivery in advances for d in delivery], stats)

    def warm_up(self) -> None:
        """Run a request of two tokens; raises whatever keeps the engine from finishing it."""
        sampling = SamplingParams(max_tokens=2, temperature=0.0, ignore_eos=True)
        request = GenerationRequest("warm-up", Prompt((0,)), sampling=sampling)
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

    def _advance(
        self, item: ScheduledSequence, results: list[SampledToken | SamplingError]
    ) -> tuple[Outcome, list[Delivery]]:
        """Turn the tokens of an item, one per row, into its outcome and its delivery.

        A sampled token counts if every drafted token before its row was the one sampled there.
        """
        sequence, constraint = item.sequence, item.sequence.constraint
        if constraint is not None and constraint.error is not None:
            return _failed(sequence, constraint.error)
        num_scored = len(item.targets)
        scored = [token for token in results[:num_scored] if isinstance(token, SampledToken)]
        if len(scored) < num_scored:
            return _failed(sequence, _first_error(results))
        prompt_logprobs = self._prompt_logprobs(sequence, scored)
        chunks: list[GenerationChunk] = []
        for i, token in enumerate(results[num_scored:]):
            if isinstance(token, SamplingError):
                return _failed(sequence, _first_error([token]))
            if not item.is_sampled:
                break
            if sequence.request.sampling.max_tokens == 0:
                chunks.append(GenerationChunk("", (), (), FinishReason.LENGTH))
                break
            chunks.append(self._chunk(sequence, token, num_accepted=i))
            is_accepted = i < len(item.draft) and item.draft[i] == token.token_id
            if not is_accepted or chunks[-1].finish_reason is not None:
                break
            if constraint is not None and constraint.forced():
                break
        if not chunks:
            chunk = GenerationChunk("", (), prompt_logprobs=prompt_logprobs)
            return Outcome(), [Delivery(sequence, chunk)] if prompt_logprobs else []
        num_sampled = len(chunks)
        if constraint is not None and sequence.request.sampling.num_logprobs is None:
            self._follow(sequence, constraint, chunks)
        if constraint is not None and constraint.error is not None:
            return _failed(sequence, constraint.error)
        chunk = replace(_joined(chunks), prompt_logprobs=prompt_logprobs)
        outcome = Outcome(
            chunk.token_ids, chunk.finish_reason, num_forced=len(chunks) - num_sampled
        )
        return outcome, [Delivery(sequence, chunk)]

    def _follow(
        self, sequence: Sequence, constraint: TokenConstraint, chunks: list[GenerationChunk]
    ) -> None:
        """Add the tokens to `chunks` that have to follow. The next step computes their KV."""
        while chunks[-1].finish_reason is None and (forced := constraint.forced()):
            token = SampledToken(forced[0])
            chunks.append(self._chunk(sequence, token, num_accepted=len(chunks)))

    def _prompt_logprobs(
        self, sequence: Sequence, scored: list[SampledToken]
    ) -> tuple[PositionLogprobs, ...]:
        """Return what is new: the first token, which has no probability, and those in `scored`."""
        if not sequence.is_scored:
            return ()
        positions: list[PositionLogprobs] = []
        if sequence.num_scored_tokens == 0:
            first = sequence.request.prompt.token_ids[0]
            positions.append(PositionLogprobs(self._token_logprob(first, None)))
        for token in scored:
            positions += self._logprobs(token, 0)
        sequence.num_scored_tokens += len(positions)
        return tuple(positions)

    def _chunk(self, sequence: Sequence, token: SampledToken, num_accepted: int) -> GenerationChunk:
        """Make the increment of one token, before which the step accepted `num_accepted` others."""
        detokenizer, token_id = sequence.detokenizer, token.token_id
        assert detokenizer is not None
        logprobs = self._logprobs(token, detokenizer.num_characters)
        if self._ends_answer(sequence, token_id):
            # Who scores a prompt has one token generated and cuts off one logprob, whatever it is.
            is_scorer = sequence.request.sampling.num_prompt_logprobs is not None
            shown = logprobs if is_scorer else ()
            return GenerationChunk(detokenizer.flush(), (token_id,), shown, FinishReason.STOP)
        if sequence.constraint is not None:
            sequence.constraint.accept(token_id)
        is_marker = token_id in sequence.request.markers
        piece = detokenizer.pass_over(token_id) if is_marker else detokenizer.feed((token_id,))
        reason = FinishReason.STOP if piece.is_stopped else self._reason(sequence, num_accepted + 1)
        markers = (Marker(len(piece.text), token_id),) if is_marker and not piece.is_stopped else ()
        is_flushed = reason is not None and not piece.is_stopped
        text = piece.text + (detokenizer.flush() if is_flushed else "")
        return GenerationChunk(text, (token_id,), logprobs, reason, markers, piece.stop)

    def _ends_answer(self, sequence: Sequence, token_id: int) -> bool:
        """End-of-sequence and stop tokens end the answer and are not part of its text."""
        sampling, constraint = sequence.request.sampling, sequence.constraint
        is_in_grammar = constraint is not None and constraint.is_in_grammar
        is_eos = token_id in self._vocabulary.eos_token_ids
        is_eos = is_eos and (is_in_grammar or not sampling.ignore_eos)
        return is_eos or token_id in sampling.stop_token_ids

    def _reason(self, sequence: Sequence, num_new: int) -> FinishReason | None:
        """Return STOP if the grammar is complete, and LENGTH if the limit is reached.

        The step's `num_new` tokens are not recorded yet.
        """
        if sequence.constraint is not None and sequence.constraint.is_complete:
            return FinishReason.STOP
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

    def _token_logprob(self, token_id: int, logprob: float | None) -> TokenLogprob:
        return TokenLogprob(
            token_id=token_id,
            text=self._vocabulary.token_text(token_id),
            token_bytes=self._vocabulary.token_bytes(token_id),
            logprob=logprob,
        )


def _rows(batch: ScheduledBatch) -> list[Row]:
    """Return one row for each row of logits that the batch makes, in the same order."""
    rows: list[Row] = []
    for item in batch.items:
        constraint = item.sequence.constraint if item.is_sampled else None
        rows += (Row(item.sequence, target=token_id) for token_id in item.targets)
        num_sampled = item.num_rows - len(item.targets)
        masks = [None] * num_sampled if constraint is None else constraint.masks(item.draft)
        rows += (Row(item.sequence, item.draft[:i], mask) for i, mask in enumerate(masks))
    return rows


def _first_error(results: Ordered[SampledToken | SamplingError]) -> EngineFailed:
    reason = next(each for each in results if isinstance(each, SamplingError))
    return EngineFailed(f"No token could be chosen: {reason}")


def _failed(sequence: Sequence, error: ServiceError) -> tuple[Outcome, list[Delivery]]:
    return Outcome(error=error), [Delivery(sequence, error)]


def _joined(chunks: list[GenerationChunk]) -> GenerationChunk:
    if len(chunks) == 1:
        return chunks[0]
    text, markers = "", list[Marker]()
    for chunk in chunks:
        markers += (replace(marker, offset=len(text) + marker.offset) for marker in chunk.markers)
        text += chunk.text
    return GenerationChunk(
        text,
        tuple(token_id for chunk in chunks for token_id in chunk.token_ids),
        tuple(position for chunk in chunks for position in chunk.logprobs),
        chunks[-1].finish_reason,
        tuple(markers),
        chunks[-1].stop,
    )


def _split_time(stats: StepStats, batch: ScheduledBatch, seconds: float) -> None:
    """Share the step's wall time between prefill and decode by their tokens."""
    num_tokens = batch.num_scheduled_tokens
    num_decoded = sum(item.num_scheduled_tokens for item in batch.items if item.is_decode)
    stats.decode_seconds = seconds * num_decoded / num_tokens
    stats.prefill_seconds = seconds - stats.decode_seconds
