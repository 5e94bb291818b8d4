"""Log-probabilities of prompts equal those of transformers, whatever happens in between."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from llm_service.engine.batched import scheduler
from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import FinishReason, GenerationChunk, PositionLogprobs
from llm_service.errors import InvalidRequest
from tests.engine.cores import GREEDY, make_core, make_engine, make_sequence, output, run_to_end
from tests.engine.models import (
    CONFIGS,
    FUSED,
    fresh_model,
    greedy_reference,
    served_model,
    tiny_model,
)
from tests.engine.test_batched_engine import Recorder
from tests.engine.test_sequential import sequential

architectures = pytest.mark.parametrize("architecture", [*CONFIGS, *FUSED])
SCORED = replace(GREEDY, num_prompt_logprobs=2, max_tokens=5)
NUM_LOGPROBS = 2


def prompt_of(num_tokens: int, seed: int = 1) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randrange(8, 256) for _ in range(num_tokens))


@torch.inference_mode()
def reference(architecture: str, prompt: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities [tokens, vocab_size]; a row is about the token after its own."""
    model: Any = tiny_model(FUSED.get(architecture, architecture))
    return model(torch.tensor([prompt])).logits[0].float().log_softmax(dim=-1)


def run(core: EngineCore, *sequences: Sequence) -> dict[Sequence, list[GenerationChunk]]:
    chunks: dict[Sequence, list[GenerationChunk]] = {sequence: [] for sequence in sequences}
    for sequence in sequences:
        core.add(sequence)
    for result in run_to_end(core):
        for delivery in result.deliveries:
            assert isinstance(delivery.event, GenerationChunk), delivery.event
            chunks[delivery.sequence].append(delivery.event)
    return chunks


def prompt_logprobs(chunks: list[GenerationChunk]) -> list[PositionLogprobs]:
    return [position for chunk in chunks for position in chunk.prompt_logprobs]


def check(architecture: str, prompt: tuple[int, ...], found: list[PositionLogprobs]) -> None:
    expected = reference(architecture, prompt)
    assert [position.chosen.token_id for position in found] == list(prompt)
    assert found[0].chosen.logprob is None
    assert found[0].top == ()
    for i, position in enumerate(found[1:]):
        assert position.chosen.logprob == pytest.approx(expected[i, prompt[i + 1]].item(), abs=1e-3)
        best = expected[i].topk(NUM_LOGPROBS)
        assert [token.token_id for token in position.top] == best.indices.tolist()
        assert [t.logprob for t in position.top] == pytest.approx(best.values.tolist(), abs=1e-3)


@architectures
def test_each_prompt_token_has_the_log_probability_that_transformers_gives_it(
    architecture: str,
) -> None:
    core = make_core(served_model(architecture), max_batched_tokens=300, num_blocks=200)
    prompts = [prompt_of(n, seed=n) for n in (1, 2, 64, 65, 150)]
    sequences = [make_sequence(prompt, SCORED) for prompt in prompts]
    for sequence, chunks in run(core, *sequences).items():
        prompt = sequence.request.prompt.token_ids
        check(architecture, prompt, prompt_logprobs(chunks))
        assert output(sequence) == greedy_reference(architecture, prompt, SCORED.max_tokens)


def test_a_step_computes_few_rows_of_logits_however_long_the_prompts_are() -> None:
    core = make_core(served_model("llama"), max_batched_tokens=300, num_blocks=200)
    runner, counts = core._runner, list[int]()
    forward = runner.forward

    def counted(*args: Any) -> torch.Tensor:
        logits = forward(*args)
        counts.append(len(logits))
        return logits

    runner.forward = counted  # type: ignore[assignment, method-assign]
    run(core, *(make_sequence(prompt_of(200, seed), SCORED) for seed in range(3)))
    assert max(counts) <= scheduler.MAX_SCORED_TOKENS + 8
    assert sum(counts) >= 3 * 200


def test_a_scored_prompt_is_computed_whole_although_its_prefix_is_cached() -> None:
    core = make_core(served_model("llama"), max_batched_tokens=300)
    prompt = prompt_of(40)
    run(core, make_sequence(prompt))
    again = make_sequence(prompt)
    run(core, again)
    assert again.usage.num_cached_tokens > 0
    scored = make_sequence(prompt, SCORED)
    check("llama", prompt, prompt_logprobs(run(core, scored)[scored]))
    assert scored.usage.num_cached_tokens == 0


def test_a_preempted_prompt_is_scored_once() -> None:
    core = make_core(served_model("llama"), num_blocks=24, block_size=4, max_batched_tokens=12)
    free = replace(SCORED, ignore_eos=True, max_tokens=30)
    sequences = [make_sequence(prompt_of(30, seed), free) for seed in range(3)]
    for sequence in sequences:
        core.add(sequence)
    chunks: dict[Sequence, list[GenerationChunk]] = {sequence: [] for sequence in sequences}
    num_preemptions = 0
    while core.has_work:
        result = core.step()
        core.check_integrity()
        num_preemptions += result.stats.num_preemptions
        for delivery in result.deliveries:
            assert isinstance(delivery.event, GenerationChunk)
            chunks[delivery.sequence].append(delivery.event)
    assert num_preemptions > 0
    for sequence in sequences:
        check("llama", sequence.request.prompt.token_ids, prompt_logprobs(chunks[sequence]))


def test_scored_and_other_sequences_share_steps_and_do_not_change_each_other() -> None:
    core = make_core(served_model("fused qwen2"), max_batched_tokens=100, num_blocks=200)
    plain = make_sequence(prompt_of(70, seed=3))
    scored = make_sequence(prompt_of(70, seed=4), SCORED)
    chunks = run(core, plain, scored)
    check("fused qwen2", scored.request.prompt.token_ids, prompt_logprobs(chunks[scored]))
    assert prompt_logprobs(chunks[plain]) == []
    expected = greedy_reference("qwen2", plain.request.prompt.token_ids, GREEDY.max_tokens)
    assert output(plain) == expected


def test_without_tokens_to_generate_a_sequence_ends_with_its_prompt() -> None:
    core = make_core(served_model("llama"))
    prompt = prompt_of(9)
    scored = make_sequence(prompt, replace(SCORED, max_tokens=0))
    chunks = run(core, scored)[scored]
    check("llama", prompt, prompt_logprobs(chunks))
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    assert output(scored) == ()
    assert scored.usage.num_output_tokens == 0
    assert "".join(chunk.text for chunk in chunks) == ""
    unscored = make_sequence(prompt, replace(GREEDY, max_tokens=0))
    (last,) = run(core, unscored)[unscored]
    assert (last.token_ids, last.finish_reason) == ((), FinishReason.LENGTH)


@pytest.mark.anyio
async def test_an_engine_refuses_what_it_cannot_score() -> None:
    request = make_sequence(prompt_of(5), SCORED).request
    engine = sequential(fresh_model("llama"), Recorder())
    await engine.start()
    with pytest.raises(InvalidRequest, match="leave out echo or logprobs"):
        engine.submit(request)
    await engine.stop(0)
    batched = make_engine(served_model("llama"))
    await batched.start()
    with pytest.raises(InvalidRequest, match="must not be negative"):
        batched.submit(replace(request, sampling=replace(SCORED, max_tokens=-1)))
    await batched.stop(0)
