"""Greedy output equals `transformers.generate` token for token, whatever happens in between.

float32, tiny random models of each architecture; the reference runs alone, in transformers.
"""

from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from llm_service.engine.batched.core import EngineCore, StepResult
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.config import Speculation
from llm_service.engine.request import FinishReason, SamplingParams
from llm_service.errors import RequestCancelled
from tests.engine.cores import GREEDY, PROMPTS, make_core, make_sequence, output, run_to_end
from tests.engine.models import CONFIGS, EOS_TOKEN_IDS, FUSED, greedy_reference, served_model

architectures = pytest.mark.parametrize("architecture", [*CONFIGS, *FUSED])


@dataclass(frozen=True)
class Arrival:
    """A request that comes before step `at`, and leaves before step `leaves`, if that is set."""

    prompt: tuple[int, ...]
    max_tokens: int
    at: int
    leaves: int | None
    salt: str


arrivals = st.builds(
    Arrival,
    prompt=st.sampled_from(PROMPTS),
    max_tokens=st.integers(1, GREEDY.max_tokens),
    at=st.integers(0, 25),
    leaves=st.none() | st.none() | st.integers(0, 40),
    salt=st.sampled_from(["", "a"]),
)


@architectures
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    arrivals=st.lists(arrivals, min_size=1, max_size=8),
    max_batch_size=st.integers(1, 6),
    max_batched_tokens=st.integers(6, 40),
    block_size=st.sampled_from([1, 3, 4, 16]),
    spare_positions=st.integers(0, 100),
    prefix_cache=st.booleans(),
)
def test_greedy_output_is_what_generate_gives(
    architecture: str,
    arrivals: list[Arrival],
    max_batch_size: int,
    max_batched_tokens: int,
    block_size: int,
    spare_positions: int,
    prefix_cache: bool,
) -> None:
    longest = len(max(PROMPTS, key=len)) + GREEDY.max_tokens  # the least that must fit
    core = make_core(
        served_model(architecture),
        num_blocks=-(-(longest + spare_positions) // block_size),
        block_size=block_size,
        max_batch_size=max_batch_size,
        max_batched_tokens=max_batched_tokens,
        prefix_cache=prefix_cache,
    )
    for arrival, sequence in _play(core, arrivals):
        expected = greedy_reference(architecture, arrival.prompt, GREEDY.max_tokens)
        if sequence.finish_reason is FinishReason.ABORT:
            assert output(sequence) == expected[: sequence.num_output_tokens]
        else:
            assert output(sequence) == expected[: arrival.max_tokens]


def _play(core: EngineCore, arrivals: list[Arrival]) -> list[tuple[Arrival, Sequence]]:
    """Let every request come and leave as told; the books are checked after each step."""
    played: list[tuple[Arrival, Sequence]] = []
    to_come = sorted(arrivals, key=lambda arrival: arrival.at)
    step = 0
    while to_come or core.has_work:
        while to_come and to_come[0].at <= step:
            arrival = to_come.pop(0)
            sampling = SamplingParams(max_tokens=arrival.max_tokens, temperature=0.0)
            sequence = make_sequence(arrival.prompt, sampling, cache_salt=arrival.salt)
            core.add(sequence)
            played.append((arrival, sequence))
        for arrival, sequence in played:
            if arrival.leaves == step and sequence.finish_reason is None:
                core.abort(sequence, RequestCancelled("left"))
        if core.has_work:
            core.step()
        core.check_integrity()
        step += 1
    core.check_is_idle()
    return played


@architectures
def test_a_preempted_sequence_resumes_with_the_same_tokens(architecture: str) -> None:
    core = make_core(served_model(architecture), num_blocks=19, prefix_cache=False)
    sequences = _start(core, PROMPTS)
    assert _sum(run_to_end(core), "num_preemptions") > 0
    _assert_exact(architecture, sequences)


@pytest.mark.parametrize("speculation", ["none", "prompt_lookup"])
def test_a_preempted_sequence_resumes_with_the_same_penalties(speculation: Speculation) -> None:
    """Its tokens are computed again, but not counted again."""
    sampling = SamplingParams(
        max_tokens=24, temperature=0.0, frequency_penalty=0.4, repetition_penalty=1.1
    )
    answers = []
    for num_blocks in (100, 19):
        core = make_core(
            served_model("llama"),
            num_blocks=num_blocks,
            prefix_cache=False,
            speculation=speculation,
        )
        sequences = [make_sequence(prompt, sampling) for prompt in PROMPTS]
        for sequence in sequences:
            core.add(sequence)
        num_preemptions = _sum(run_to_end(core), "num_preemptions")
        assert (num_preemptions > 0) == (num_blocks == 19)
        answers.append([output(sequence) for sequence in sequences])
    assert answers[0] == answers[1]


@architectures
def test_a_prompt_in_chunks_gives_the_same_tokens(architecture: str) -> None:
    core = make_core(served_model(architecture), max_batched_tokens=8)
    sequences = _start(core, [PROMPTS[4]])
    results = run_to_end(core)
    chunks = [r.stats.num_computed_prompt_tokens for r in results]
    assert chunks[:6] == [8] * 6
    _assert_exact(architecture, sequences)


@architectures
def test_a_cached_prefix_gives_the_same_tokens(architecture: str) -> None:
    core = make_core(served_model(architecture))
    _start(core, [PROMPTS[4]])
    run_to_end(core)
    sequences = _start(core, [PROMPTS[2], PROMPTS[3], PROMPTS[4]])
    results = run_to_end(core)
    assert [s.usage.num_cached_tokens for s in sequences] == [16, 12, 44]
    assert _sum(results, "num_cached_prompt_tokens") == 16 + 12 + 44
    _assert_exact(architecture, sequences)


@architectures
def test_decodes_of_very_different_lengths_give_the_same_tokens(architecture: str) -> None:
    core = make_core(served_model(architecture), num_blocks=200, max_batched_tokens=256)
    long = tuple(8 + i * i % 248 for i in range(220))
    sequences = _start(core, [PROMPTS[0], PROMPTS[1], long, long[1:]])
    run_to_end(core)
    _assert_exact(architecture, sequences)


def test_some_answers_end_by_themselves_and_some_by_length() -> None:
    """Else the tests above would not see both ends."""
    ends = {
        greedy_reference(architecture, prompt, GREEDY.max_tokens)[-1] in EOS_TOKEN_IDS
        for architecture in CONFIGS
        for prompt in PROMPTS
    }
    assert ends == {True, False}


def _start(core: EngineCore, prompts: list[tuple[int, ...]]) -> list[Sequence]:
    sequences = [make_sequence(prompt) for prompt in prompts]
    for sequence in sequences:
        core.add(sequence)
    return sequences


def _sum(results: list[StepResult], counter: str) -> int:
    return sum(getattr(result.stats, counter) for result in results)


def _assert_exact(architecture: str, sequences: list[Sequence]) -> None:
    for sequence in sequences:
        prompt = sequence.request.prompt.token_ids
        assert output(sequence) == greedy_reference(architecture, prompt, GREEDY.max_tokens)
