"""Who runs in a step, for how many tokens, and who has to wait. No torch here."""

import hypothesis.strategies as st
from hypothesis import given, settings

from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.scheduler import (
    Outcome,
    ScheduledBatch,
    ScheduledSequence,
    Scheduler,
)
from llm_service.engine.batched.sequence import Sequence, SequenceStatus
from llm_service.engine.observer import StepStats
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import FinishReason, GenerationRequest, SamplingParams
from llm_service.errors import DeadlineExceeded, RequestCancelled

BLOCK_SIZE = 4


def make_scheduler(
    *, num_blocks: int = 64, max_batch_size: int = 8, max_batched_tokens: int = 16
) -> Scheduler:
    return Scheduler(
        BlockManager(num_blocks, BLOCK_SIZE),
        max_batch_size=max_batch_size,
        max_batched_tokens=max_batched_tokens,
        max_context=num_blocks * BLOCK_SIZE,
    )


def add(
    scheduler: Scheduler, num_prompt_tokens: int, *, deadline: float | None = None, key: str = ""
) -> Sequence:
    first = 1000 * (scheduler.num_waiting + scheduler.num_running)  # prompts share no prefix
    prompt = tuple(range(first, first + num_prompt_tokens))
    request = GenerationRequest(
        f"r{first}",
        Prompt(prompt),
        SamplingParams(max_tokens=99),
        cache_salt=key,
        deadline=deadline,
    )
    sequence = Sequence.from_request(request, submitted=0.0)
    scheduler.add(sequence)
    return sequence


def commit(scheduler: Scheduler, batch: ScheduledBatch, now: float = 1.0) -> StepStats:
    """Every sampled sequence gets token 7 and goes on."""
    stats = scheduler.commit(
        batch, [Outcome((7,) if item.is_sampled else ()) for item in batch.items], now
    )
    scheduler.check_integrity()
    return stats


def step(scheduler: Scheduler, now: float = 1.0) -> dict[Sequence, int]:
    """One step; how many tokens each sequence ran."""
    batch = scheduler.schedule(now)
    commit(scheduler, batch, now)
    return {item.sequence: item.num_scheduled_tokens for item in batch.items}


def test_a_long_prompt_runs_in_chunks_of_the_token_budget() -> None:
    scheduler = make_scheduler(max_batched_tokens=16)
    long = add(scheduler, 40)
    chunks = [step(scheduler)[long] for _ in range(4)]
    assert chunks == [16, 16, 8, 1]
    assert long.num_output_tokens == 2


def test_a_chunk_that_does_not_end_the_prompt_is_not_sampled() -> None:
    scheduler = make_scheduler(max_batched_tokens=16)
    add(scheduler, 17)
    batch = scheduler.schedule(0.0)
    assert batch.sampled == []
    commit(scheduler, batch)
    assert len(scheduler.schedule(0.0).sampled) == 1


def test_decodes_run_in_every_step_beside_a_long_prompt() -> None:
    scheduler = make_scheduler(max_batched_tokens=16)
    short = add(scheduler, 3)
    step(scheduler)
    long = add(scheduler, 40)
    for expected in (15, 15, 10):
        assert step(scheduler) == {short: 1, long: expected}


def run(scheduler: Scheduler, seconds: float) -> list[int]:
    """One step that takes so long: how many tokens of each sequence ran."""
    batch = scheduler.schedule(10.0)
    commit(scheduler, batch, 10.0 + seconds)
    return [item.num_scheduled_tokens for item in batch.items]


def test_on_a_slow_machine_chunks_get_smaller_while_others_decode() -> None:
    scheduler = make_scheduler(num_blocks=200, max_batched_tokens=100)
    add(scheduler, 100)
    assert run(scheduler, 0.5) == [100]  # alone it gets the whole budget, however long it takes
    add(scheduler, 300)
    assert run(scheduler, 0.2) == [1, 39]  # at 5 ms a token
    assert run(scheduler, 0.39) == [1, 39]
    assert run(scheduler, 0.1) == [1, 19]  # at almost 10 ms a token, which counts at once
    assert run(scheduler, 0.135) == [1, 26]  # 5 ms a token count by half: almost 7.5
    assert run(scheduler, 3.2) == [1, 31]  # likewise
    assert run(scheduler, 1.7) == [1, 16]  # at 100 ms a token, but never less than this
    assert run(scheduler, 1.7) == [1, 16]


def test_short_steps_say_nothing_of_the_speed() -> None:
    scheduler = make_scheduler(num_blocks=200, max_batched_tokens=100)
    add(scheduler, 100)
    assert run(scheduler, 0.5) == [100]
    assert run(scheduler, 9.0) == [1]
    add(scheduler, 300)
    assert run(scheduler, 0.2) == [1, 39]  # at 5 ms a token, as before


def test_a_step_never_exceeds_the_budget_of_tokens_or_sequences() -> None:
    scheduler = make_scheduler(max_batch_size=3, max_batched_tokens=16)
    for _ in range(6):
        add(scheduler, 7)
    for _ in range(10):
        ran = step(scheduler)
        assert sum(ran.values()) <= 16
        assert len(ran) <= 3
    assert scheduler.num_running == 3
    assert scheduler.num_waiting == 3


def test_the_first_to_come_is_the_first_to_run() -> None:
    scheduler = make_scheduler(max_batch_size=2)
    first, second, third = (add(scheduler, 5) for _ in range(3))
    assert set(step(scheduler)) == {first, second}
    scheduler.abort(first, RequestCancelled("left"))
    assert set(step(scheduler)) == {second, third}


def test_the_youngest_is_preempted_and_is_first_to_run_again() -> None:
    scheduler = make_scheduler(num_blocks=5)
    old, young = add(scheduler, 7), add(scheduler, 7)
    later = add(scheduler, 1)
    ran = [step(scheduler) for _ in range(3)]
    assert set(ran[0]) == {old, young}  # two blocks each, and one that both need next
    assert young.status is SequenceStatus.WAITING
    assert young.block_table == []
    assert young.num_computed_tokens == 0
    assert set(ran[-1]) == {old}
    assert list(scheduler.live) == [old, young, later]
    scheduler.abort(old, RequestCancelled("left"))
    assert step(scheduler)[young] > 0


def test_preemptions_are_counted_once_each() -> None:
    scheduler = make_scheduler(num_blocks=5)
    add(scheduler, 7), add(scheduler, 7)
    total = 0
    for _ in range(7):
        total += commit(scheduler, scheduler.schedule(1.0)).num_preemptions
    assert total == 1


def test_a_newcomer_waits_rather_than_be_preempted_at_once() -> None:
    scheduler = make_scheduler(num_blocks=4)
    old = add(scheduler, 7)
    step(scheduler)
    new = add(scheduler, 8)  # two blocks are free, but the old one needs one of them soon
    assert set(step(scheduler)) == {old}
    assert new.status is SequenceStatus.WAITING


def test_an_aborted_sequence_frees_its_blocks_in_every_phase() -> None:
    scheduler = make_scheduler(max_batch_size=2, max_batched_tokens=16)
    decode = add(scheduler, 3)
    step(scheduler)
    prefill, queued = add(scheduler, 40), add(scheduler, 3)
    step(scheduler)
    left = RequestCancelled("left")
    phases = [scheduler.abort(s, left) for s in (decode, prefill, queued)]
    assert phases == ["decode", "prefill", "queue"]
    assert scheduler.num_used_blocks == 0
    assert not scheduler.has_work
    scheduler.check_integrity()
    for sequence in (decode, prefill, queued):
        assert sequence.finish_reason is FinishReason.ABORT
        assert sequence.error is left


def test_a_deadline_ends_what_waits_and_what_runs() -> None:
    scheduler = make_scheduler(max_batch_size=1)
    running, waiting = add(scheduler, 3, deadline=5.0), add(scheduler, 3, deadline=5.0)
    patient = add(scheduler, 3)
    step(scheduler)
    assert scheduler.expire(5.0) == []
    late = scheduler.expire(5.5)
    assert {sequence for sequence, _ in late} == {running, waiting}
    assert all(isinstance(error, DeadlineExceeded) for _, error in late)
    assert set(step(scheduler)) == {patient}


def test_an_error_ends_its_sequence_alone() -> None:
    scheduler = make_scheduler()
    bad, good = add(scheduler, 3), add(scheduler, 4)
    batch = scheduler.schedule(0.0)
    error = RequestCancelled("bad row")
    outcomes = [Outcome(error=error) if s is bad else Outcome((7,)) for s in batch.sampled]
    scheduler.commit(batch, outcomes, 1.0)
    assert bad.error is error
    assert bad.num_output_tokens == 0
    assert good.token_ids[-1] == 7
    assert set(step(scheduler)) == {good}


def test_stats_tell_computed_and_cached_prompt_tokens_apart() -> None:
    scheduler = make_scheduler(max_batched_tokens=16)
    prompt = tuple(range(10))
    seen = []
    for _ in range(2):
        request = GenerationRequest("r", Prompt(prompt), SamplingParams(max_tokens=1))
        scheduler.add(Sequence.from_request(request, submitted=0.0))
        batch = scheduler.schedule(0.0)
        stats = scheduler.commit(batch, [Outcome((7,), FinishReason.LENGTH)], 1.0)
        seen.append((stats.num_computed_prompt_tokens, stats.num_cached_prompt_tokens))
    assert seen == [(10, 0), (2, 8)]


def test_a_sequence_waits_until_its_first_step_begins() -> None:
    scheduler = make_scheduler(max_batched_tokens=16)
    sequence = add(scheduler, 20)
    first = commit(scheduler, scheduler.schedule(1.0), 2.0)
    second = commit(scheduler, scheduler.schedule(2.0), 3.5)
    assert (first.num_output_tokens, second.num_output_tokens) == (0, 1)
    assert sequence.timings.queue_seconds == 1.0


@settings(deadline=None)
@given(data=st.data())
def test_every_sequence_ends_exactly_once_and_none_waits_for_ever(data: st.DataObject) -> None:
    num_blocks = data.draw(st.integers(4, 12))
    max_batch_size = data.draw(st.integers(1, 5))
    budget = data.draw(st.integers(max_batch_size, 12))
    scheduler = make_scheduler(
        num_blocks=num_blocks, max_batch_size=max_batch_size, max_batched_tokens=budget
    )
    context = num_blocks * BLOCK_SIZE
    everyone = [_some_sequence(data, context) for _ in range(data.draw(st.integers(1, 6)))]
    arrivals = [data.draw(st.integers(0, 20)) for _ in everyone]
    ended: list[Sequence] = []
    # one after the other they need no more steps than they have tokens; together, not many more
    num_tokens = sum(s.num_prompt_tokens + s.request.sampling.max_tokens for s in everyone)
    for now in range(21 + 4 * num_tokens):
        for sequence, arrival in zip(everyone, arrivals, strict=True):
            if arrival == now:
                scheduler.add(sequence)
        batch = scheduler.schedule(1.0)
        assert batch.num_scheduled_tokens <= budget
        assert len(batch.items) <= max_batch_size
        before = set(scheduler.live)
        scheduler.commit(batch, [_outcome(item) for item in batch.items], 1.0)
        scheduler.check_integrity()
        ended += before - set(scheduler.live)
    assert set(ended) == set(everyone)
    assert len(ended) == len(everyone)
    assert all(s.num_output_tokens == s.request.sampling.max_tokens for s in everyone)
    assert scheduler.num_used_blocks == 0


def _some_sequence(data: st.DataObject, context: int) -> Sequence:
    num_prompt_tokens = data.draw(st.integers(1, context - 1))
    max_tokens = data.draw(st.integers(1, context - num_prompt_tokens))
    prompt = data.draw(st.sampled_from([(0,), (0, 1)])) * context  # prefixes are shared
    sampling = SamplingParams(max_tokens=max_tokens)
    request = GenerationRequest("r", Prompt(prompt[:num_prompt_tokens]), sampling)
    return Sequence.from_request(request, submitted=0.0)


def _outcome(item: ScheduledSequence) -> Outcome:
    if not item.is_sampled:
        return Outcome()
    sequence = item.sequence
    is_last = sequence.num_output_tokens + 1 == sequence.request.sampling.max_tokens
    return Outcome((7,), FinishReason.LENGTH if is_last else None)


def test_a_key_that_runs_nothing_gets_the_next_slot_however_many_of_another_wait() -> None:
    scheduler = make_scheduler(max_batch_size=4)
    many = [add(scheduler, 2, key="many") for _ in range(40)]
    assert set(step(scheduler)) == set(many[:4])
    late = add(scheduler, 2, key="few")
    scheduler.abort(many[0], RequestCancelled("It ended."))
    assert late in step(scheduler)
    scheduler.abort(late, RequestCancelled("It ended."))
    assert many[4] in step(scheduler)


def test_keys_that_all_have_enough_waiting_share_the_slots_evenly() -> None:
    scheduler = make_scheduler(max_batch_size=6)
    waiting = {key: [add(scheduler, 1, key=key) for _ in range(9)] for key in "abc"}
    running = step(scheduler)
    assert set(running) == {sequence for key in "abc" for sequence in waiting[key][:2]}


def test_one_key_alone_is_served_first_come_first_served() -> None:
    scheduler = make_scheduler(max_batch_size=1)
    order = [add(scheduler, 1, key="one") for _ in range(5)]
    served = []
    for _ in order:
        [sequence] = step(scheduler)
        served.append(sequence)
        scheduler.abort(sequence, RequestCancelled("It ended."))
    assert served == order
