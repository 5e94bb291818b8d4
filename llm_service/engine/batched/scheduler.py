"""Decides which sequences run in the next step, and for how many tokens.

Owns the waiting and running queues and asks BlockManager for room. It knows
nothing of tensors: a plan leaves as a ScheduledBatch and returns via `commit`.
"""

from collections import Counter, deque
from collections.abc import Iterator
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, field, replace

from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.drafts import Drafter
from llm_service.engine.batched.sequence import Sequence, SequenceStatus
from llm_service.engine.observer import Phase, StepStats
from llm_service.engine.request import FinishReason
from llm_service.errors import DeadlineExceeded, ServiceError

_MAX_DRAFTED_SEQUENCES = 2  # with more, a step computes more than it reads
_MIN_CHUNK_TOKENS = 16  # so that prefill makes progress, however slow the machine is
# A step computes at most so many rows of logits for prompts, because each is as wide as the
# vocabulary. `loading/memory` plans for them.
MAX_SCORED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class ScheduledSequence:
    """The sequence's next `num_scheduled_tokens` uncomputed tokens run in this step."""

    sequence: Sequence
    num_scheduled_tokens: int
    is_sampled: bool  # the sequence's last token runs, so that the next one can be sampled
    is_decode: bool  # all its tokens belong to the answer
    # drafted tokens that follow the sequence's own; `num_scheduled_tokens` includes them
    draft: tuple[int, ...] = ()
    # tokens of the prompt that the item's first rows score
    targets: tuple[int, ...] = ()

    @property
    def num_rows(self) -> int:
        """Count the positions, the last ones of the item, whose logits are computed."""
        if self.targets and not self.is_sampled:
            return len(self.targets)
        return len(self.targets) + 1 + len(self.draft)


@dataclass(slots=True)
class ScheduledBatch:
    """Holds one step's work: items of a single token come first, short sequences before long."""

    items: list[ScheduledSequence] = field(default_factory=list)
    started: float = 0.0  # time.monotonic() seconds
    num_preemptions: int = 0
    num_cached_prompt_tokens: int = 0

    @property
    def sampled(self) -> list[Sequence]:
        return [item.sequence for item in self.items if item.is_sampled]

    @property
    def num_scheduled_tokens(self) -> int:
        return sum(item.num_scheduled_tokens for item in self.items)

    @property
    def num_scored_tokens(self) -> int:
        return sum(item.num_scheduled_tokens for item in self.items if item.sequence.is_scored)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Carries an item's tokens, with a finish reason if they are the last, or its error.

    There are several tokens where drafted ones were accepted. An item that has computed only a
    part of its prompt has none of the three.
    """

    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    error: ServiceError | None = None
    num_forced: int = 0  # of the tokens, the last ones, which were not sampled


class Scheduler:
    """Gives a free slot to the key that has the fewest; among equal keys, first come, first served.

    A step never has more than `max_batched_tokens` tokens.
    """

    def __init__(
        self,
        block_manager: BlockManager,
        *,
        max_batch_size: int,
        max_batched_tokens: int,
        max_context: int,
        max_inter_token_seconds: float = 0.2,
        drafter: Drafter | None = None,
    ) -> None:
        """While sequences decode, prefill is limited so that a step takes about
        `max_inter_token_seconds`: whoever reads a decoding answer sees the step's time as the
        gap between two tokens. Without `drafter`, no tokens are drafted.
        """
        assert 0 < max_batch_size <= max_batched_tokens
        # so that any sequence fits when it runs alone
        assert max_context <= block_manager.num_blocks * block_manager.block_size
        self._blocks = block_manager
        self._max_batch_size = max_batch_size
        self._max_batched_tokens = max_batched_tokens
        self._max_context = max_context
        self._max_inter_token_seconds = max_inter_token_seconds
        self._drafter = drafter
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._seconds_per_token = 0.0  # in steps with prefill; 0: there was none yet

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_used_blocks(self) -> int:
        return self._blocks.num_used_blocks

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def live(self) -> Iterator[Sequence]:
        yield from self._running
        yield from self._waiting

    def add(self, sequence: Sequence) -> None:
        assert sequence.num_prompt_tokens < self._max_context  # refused at submit
        self._waiting.append(sequence)

    def schedule(self, now: float) -> ScheduledBatch:
        """Plan the next step: every decode, and then chunks of prefill within the budget."""
        batch = ScheduledBatch(started=now)
        self._grow_decodes(batch)
        budget = self._token_budget()
        for sequence in sorted(self._running, key=_turn):  # stable: keeps arrival order
            budget -= _schedule(batch, sequence, budget)
        while budget > 0 and (admitted := self._admit_next(batch, now)):
            budget -= _schedule(batch, admitted, budget)
        if self._drafter and all(i.is_decode and i.num_scheduled_tokens == 1 for i in batch.items):
            self._add_drafts(batch, self._drafter)
        batch.items.sort(key=_layout_order)
        return batch

    def commit(self, batch: ScheduledBatch, outcomes: Ordered[Outcome], now: float) -> StepStats:
        """Record a computed step; `outcomes` has one element per item, in order.

        Only here does a sequence finish because of a step.
        """
        stats = StepStats(
            num_sequences=len(batch.items),
            num_preemptions=batch.num_preemptions,
            num_cached_prompt_tokens=batch.num_cached_prompt_tokens,
        )
        for item, outcome in zip(batch.items, outcomes, strict=True):
            stats.num_computed_prompt_tokens += _num_prompt_tokens(item)
            self._record(item, outcome, stats)
        self._learn_speed(batch, now)
        stats.num_running, stats.num_waiting = self.num_running, self.num_waiting
        return stats

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase:
        """Finish the sequence now, in whatever phase it is; return that phase."""
        phase = sequence.phase
        self._finish(sequence, FinishReason.ABORT, error)
        return phase

    def expire(self, now: float) -> list[tuple[Sequence, ServiceError]]:
        """Finish, with DeadlineExceeded, the sequences that are past their deadline."""
        late: list[tuple[Sequence, ServiceError]] = []
        for sequence in [s for s in self.live if s.is_late(now)]:
            seconds = now - sequence.timings.submitted
            error = DeadlineExceeded(f"The request was not finished after {seconds:.1f} seconds.")
            self.abort(sequence, error)
            late.append((sequence, error))
        return late

    def check_integrity(self) -> None:
        """Raise AssertionError unless queues, statuses and blocks agree."""
        assert all(s.status is SequenceStatus.WAITING for s in self._waiting)
        assert all(s.status is SequenceStatus.RUNNING for s in self._running)
        assert len(self._running) <= self._max_batch_size
        assert not any(s.block_table or s.num_computed_tokens for s in self._waiting)
        self._blocks.check_integrity(self._running)

    def _token_budget(self) -> int:
        """Return `max_batched_tokens`, or less if a long prompt would delay the decodes."""
        num_decodes = sum(s.num_uncomputed_tokens == 1 for s in self._running)
        if not num_decodes or not self._seconds_per_token:
            return self._max_batched_tokens
        in_time = int(self._max_inter_token_seconds / self._seconds_per_token)
        return min(max(in_time, num_decodes + _MIN_CHUNK_TOKENS), self._max_batched_tokens)

    def _learn_speed(self, batch: ScheduledBatch, now: float) -> None:
        """Update the seconds per token: a slower step counts in full, a faster one by half.

        An estimate that is too low makes gaps too long, which is worse than slow prefill.
        """
        num_tokens = batch.num_scheduled_tokens
        # the time of a shorter step consists mostly of fixed costs
        if num_tokens >= len(batch.items) + _MIN_CHUNK_TOKENS - 1:
            seconds, before = (now - batch.started) / num_tokens, self._seconds_per_token
            self._seconds_per_token = max(seconds, (before + seconds) / 2) if before else seconds

    def _grow_decodes(self, batch: ScheduledBatch) -> None:
        """Give each decode a position for its new token; preempt the youngest if none is free."""
        for sequence in list(self._running):
            while sequence.status is SequenceStatus.RUNNING and not self._blocks.append(sequence):
                self._preempt(self._running[-1])
                batch.num_preemptions += 1

    def _add_drafts(self, batch: ScheduledBatch, drafter: Drafter) -> None:
        """Add drafts to a batch of few decodes, where they cost almost no time."""
        if len(batch.items) > _MAX_DRAFTED_SEQUENCES:
            return
        for i, item in enumerate(batch.items):
            sequence = item.sequence
            max_new_tokens = min(
                sequence.request.sampling.max_tokens - sequence.num_output_tokens,
                self._max_context - len(sequence.token_ids),
                self._max_batched_tokens // len(batch.items),
            )
            # the row after the last drafted token samples one more
            draft = drafter.propose(sequence, max_new_tokens - 1)
            if sequence.constraint is not None:
                draft = sequence.constraint.trim(draft)
            if draft and self._blocks.append(sequence, len(draft)):
                batch.items[i] = replace(item, num_scheduled_tokens=1 + len(draft), draft=draft)

    def _preempt(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        self._blocks.free(sequence)
        sequence.status = SequenceStatus.WAITING
        self._waiting.appendleft(sequence)

    def _admit_next(self, batch: ScheduledBatch, now: float) -> Sequence | None:
        if not self._waiting or len(self._running) >= self._max_batch_size:
            return None
        sequence = self._next_waiting()
        # One spare block per running sequence, so that the new one is not preempted at once.
        allocation = self._blocks.allocate(sequence, num_spare_blocks=len(self._running))
        if allocation is None:
            return None
        self._waiting.remove(sequence)
        self._running.append(sequence)
        sequence.status = SequenceStatus.RUNNING
        if sequence.timings.first_scheduled is None:
            sequence.timings.first_scheduled = now
            sequence.usage.num_cached_tokens = allocation.num_cached_tokens
            batch.num_cached_prompt_tokens += allocation.num_cached_tokens
        return sequence

    def _next_waiting(self) -> Sequence:
        """Return the oldest sequence of the key that runs the fewest; preempted ones come first."""
        num_running = Counter(sequence.request.cache_salt for sequence in self._running)

        def turn(sequence: Sequence) -> tuple[bool, int]:
            is_new = sequence.timings.first_scheduled is None
            return is_new, num_running[sequence.request.cache_salt] if is_new else 0

        return min(self._waiting, key=turn)  # the first of equal ones

    def _record(self, item: ScheduledSequence, outcome: Outcome, stats: StepStats) -> None:
        sequence = item.sequence
        if outcome.error is not None:
            # The KV itself may be wrong, so it must not become a prefix for other sequences.
            self._finish(sequence, FinishReason.ABORT, outcome.error)
            return
        for token_id in outcome.token_ids:
            sequence.record_token(token_id)
        stats.num_output_tokens += len(outcome.token_ids)
        stats.num_forced_tokens += outcome.num_forced
        num_computed = item.num_scheduled_tokens
        if item.draft:
            num_computed = (
                len(outcome.token_ids) - outcome.num_forced
            )  # KV of rejected tokens is overwritten later
            self._learn(item, num_computed - 1, stats)
        self._blocks.advance(sequence, num_computed)
        if outcome.finish_reason is not None:
            self._finish(sequence, outcome.finish_reason)

    def _learn(self, item: ScheduledSequence, num_accepted: int, stats: StepStats) -> None:
        assert self._drafter is not None
        stats.num_draft_tokens += len(item.draft)
        stats.num_accepted_draft_tokens += num_accepted
        self._drafter.learn(item.sequence, len(item.draft), num_accepted)

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        error: ServiceError | None = None,
    ) -> None:
        queue: deque[Sequence] | list[Sequence] = self._running
        if sequence.status is SequenceStatus.WAITING:
            queue = self._waiting
        queue.remove(sequence)
        self._blocks.free(sequence)
        sequence.finish(reason, error)


def _is_prefill(sequence: Sequence) -> bool:
    """Whether tokens of the prompt are to be computed, and not the answer's only."""
    return (
        sequence.num_uncomputed_tokens > 1
        and sequence.num_computed_tokens < sequence.num_prompt_tokens
    )


def _turn(sequence: Sequence) -> tuple[bool, bool]:
    """Single tokens come first, then answers with several new tokens, and then prompts."""
    return _is_prefill(sequence), sequence.num_uncomputed_tokens > 1


def _layout_order(item: ScheduledSequence) -> tuple[bool, int]:
    return item.num_scheduled_tokens > 1, len(item.sequence.token_ids)


def _schedule(batch: ScheduledBatch, sequence: Sequence, budget: int) -> int:
    """Add the sequence with as many tokens as the budget allows; return how many."""
    num_tokens = min(budget, sequence.num_uncomputed_tokens)
    if sequence.is_scored:
        num_tokens = min(num_tokens, MAX_SCORED_TOKENS - batch.num_scored_tokens)
    if num_tokens <= 0:
        return 0
    is_sampled = num_tokens == sequence.num_uncomputed_tokens
    is_decode = not _is_prefill(sequence) and sequence.num_output_tokens > 0
    targets = sequence.targets(sequence.num_computed_tokens + num_tokens)
    batch.items.append(
        ScheduledSequence(sequence, num_tokens, is_sampled, is_decode, targets=targets)
    )
    return num_tokens


def _num_prompt_tokens(item: ScheduledSequence) -> int:
    uncomputed_prompt = item.sequence.num_prompt_tokens - item.sequence.num_computed_tokens
    return max(0, min(item.num_scheduled_tokens, uncomputed_prompt))
