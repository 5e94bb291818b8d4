"""Masks of allowed tokens, with the bundled model: they restrict their own sequence only."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from torch import Tensor

from llm_service.engine.batched.core import EngineCore, Runner
from llm_service.engine.batched.scheduler import ScheduledBatch
from llm_service.engine.batched.sequence import Sequence as Answer
from llm_service.engine.config import EngineConfig, Quantization, Speculation
from llm_service.engine.kernels.head import LogitNeeds
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.loader import LoadedModel, Resources, load_model
from llm_service.engine.request import SamplingParams
from llm_service.errors import EngineFailed
from llm_service.machine import Machine
from tests.engine.cores import make_sequence, output, run_to_end
from tests.engine.masks import AllowedIds
from tests.engine.tokenizers import pocket

GREEDY = SamplingParams(max_tokens=40, temperature=0.0, ignore_eos=True)
DRAWN = replace(GREEDY, temperature=0.9, seed=3)
CUT = replace(DRAWN, top_p=0.9, top_k=50)
PENALIZED = replace(GREEDY, frequency_penalty=0.3, repetition_penalty=1.1)
every_sampling = pytest.mark.parametrize("sampling", [GREEDY, DRAWN, CUT, PENALIZED])
PROMPT = tuple(pocket().encode("The sun and the moon and the sun and the moon and the sun"))
OTHER = tuple(pocket().encode("Why is the sky blue?"))


@cache
def loaded(quantization: Quantization) -> LoadedModel:
    """In 8 bits, the kernels compute only the logits exactly that are needed."""
    config = EngineConfig(model_id="pocket", quantization=quantization)
    return load_model(config, Machine.detect(), lambda line: None)


def make_core(
    speculation: Speculation = "none",
    *,
    quantization: Quantization = "none",
    wrap_runner: Callable[[Runner], Runner] = lambda runner: runner,
) -> EngineCore:
    config = EngineConfig(model_id="pocket", speculation=speculation)
    resources = Resources(threads=1, kv_cache_bytes=100_000_000, max_batch_size=8, max_context=512)
    model = loaded(quantization)
    core = build_core(model, model_info(model, resources, config), config, wrap_runner=wrap_runner)
    core.warm_up()
    return core


def vocab_size() -> int:
    return int(loaded("none").model.config.vocab_size)


def sequence_of(
    sampling: SamplingParams,
    ids: Callable[[int], Iterable[int] | None] | None = None,
    prompt: tuple[int, ...] = PROMPT,
) -> Answer:
    sequence = make_sequence(prompt, sampling)
    sequence.constraint = AllowedIds(ids, vocab_size()) if ids else None
    return sequence


def run(core: EngineCore, *sequences: Answer) -> tuple[int, int]:
    """Run to the end; how many tokens were drafted, and how many of them accepted."""
    for sequence in sequences:
        core.add(sequence)
    stats = [result.stats for result in run_to_end(core)]
    return sum(s.num_draft_tokens for s in stats), sum(s.num_accepted_draft_tokens for s in stats)


FEW = tuple(random.Random(1).sample(range(300, 4000), 7))


@every_sampling
def test_only_allowed_tokens_are_chosen(sampling: SamplingParams) -> None:
    sequence = sequence_of(sampling, lambda position: FEW)
    run(make_core(), sequence)
    assert len(output(sequence)) == GREEDY.max_tokens
    assert set(output(sequence)) <= set(FEW)


@every_sampling
@pytest.mark.parametrize("speculation", ["none", "prompt_lookup"])
def test_a_mask_of_all_tokens_changes_nothing(
    sampling: SamplingParams, speculation: Speculation
) -> None:
    sampling = replace(sampling, num_logprobs=3)
    free = sequence_of(sampling)
    masked = sequence_of(sampling, lambda position: range(vocab_size()))
    events = []
    for sequence in (free, masked):
        core = make_core(speculation)
        core.add(sequence)
        events.append([d.event for result in run_to_end(core) for d in result.deliveries])
    assert output(masked) == output(free)
    assert events[0] == events[1]  # with log-probabilities


def test_masked_and_free_sequences_do_not_disturb_each_other() -> None:
    def made() -> list[Answer]:
        constraints = [None, lambda position: FEW, None, lambda position: FEW[: 1 + position % 3]]
        samplings = [GREEDY, GREEDY, CUT, DRAWN]
        return [
            sequence_of(replace(sampling, max_tokens=16), ids, prompt)
            for sampling, ids in zip(samplings, constraints, strict=True)
            for prompt in (PROMPT, OTHER)
        ]

    together = made()
    run(make_core(), *together)
    core = make_core()
    for alone, sequence in zip(made(), together, strict=True):
        run(core, alone)
        assert output(alone) == output(sequence)


@every_sampling
def test_a_masked_answer_is_the_same_with_drafts(sampling: SamplingParams) -> None:
    few = set(PROMPT)
    plain, drafted = (sequence_of(sampling, lambda position: few) for _ in range(2))
    run(make_core(), plain)
    num_drafted, _ = run(make_core("prompt_lookup"), drafted)
    assert output(drafted) == output(plain)
    assert num_drafted > 0


def test_a_mask_applies_to_its_own_position_within_a_draft() -> None:
    cycle = FEW[:3]
    sequence = sequence_of(GREEDY, lambda position: (cycle[position % 3],))
    _, num_accepted = run(make_core("prompt_lookup"), sequence)
    assert output(sequence) == tuple(cycle[i % 3] for i in range(GREEDY.max_tokens))
    assert num_accepted > 10


def test_a_request_whose_mask_allows_nothing_fails_alone() -> None:
    bad = sequence_of(GREEDY, lambda position: None if position < 5 else ())
    good, expected = sequence_of(GREEDY), sequence_of(GREEDY)
    run(make_core(), bad, good)
    run(make_core(), expected)
    assert isinstance(bad.error, EngineFailed)
    assert "mask" in bad.error.message
    assert len(output(bad)) == 5
    assert output(good) == output(expected)


class ExactRunner:
    """Computes every logit exactly, whatever is needed."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.block_bytes = runner.block_bytes

    def forward(self, batch: ScheduledBatch, needs: Sequence[LogitNeeds] = ()) -> Tensor:
        return self._runner.forward(batch)


@pytest.mark.parametrize("speculation", ["none", "prompt_lookup"])
@pytest.mark.parametrize("num_allowed", [None, 7, 400, 4000])
@every_sampling
def test_answers_are_those_of_exact_logits(
    sampling: SamplingParams, num_allowed: int | None, speculation: Speculation
) -> None:
    """Where likely tokens are ruled out, approximate logits of the others would choose wrongly."""
    ids = random.Random(2).sample(range(vocab_size()), num_allowed or 0)
    plain, exact = (
        sequence_of(sampling, (lambda position: ids) if num_allowed else None) for _ in range(2)
    )
    run(make_core(speculation, quantization="8bit"), plain)
    run(make_core(speculation, quantization="8bit", wrap_runner=ExactRunner), exact)
    assert output(plain) == output(exact)


@pytest.mark.parametrize(
    "sampling",
    [
        PENALIZED,
        replace(GREEDY, presence_penalty=0.5),
        replace(GREEDY, presence_penalty=-0.5),
        replace(GREEDY, repetition_penalty=1.02),
        replace(CUT, frequency_penalty=0.1),
    ],
)
def test_penalized_answers_are_the_same_with_drafts(sampling: SamplingParams) -> None:
    sampling = replace(sampling, max_tokens=150)
    plain, drafted = sequence_of(sampling), sequence_of(sampling)
    run(make_core(), plain)
    num_drafted, num_accepted = run(make_core("prompt_lookup"), drafted)
    assert output(drafted) == output(plain)
    assert num_drafted > num_accepted > 0
