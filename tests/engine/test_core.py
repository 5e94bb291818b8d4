"""What a token means for its sequence: its text, and whether it is the last one."""

import dataclasses
from typing import Any

import pytest
import torch

from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.request import FinishReason, GenerationChunk, SamplingParams
from llm_service.errors import EngineFailed
from tests.engine.cores import (
    GREEDY,
    make_core,
    make_sequence,
    output,
    run_to_end,
    vocabulary,
)
from tests.engine.models import (
    EOS_TOKEN_IDS,
    byte_tokenizer,
    fresh_model,
    greedy_reference,
    served_model,
)

PROMPT = tuple(range(40, 60))


def answer(core: EngineCore, prompt: tuple[int, ...], sampling: SamplingParams) -> "Answer":
    sequence = make_sequence(prompt, sampling)
    core.add(sequence)
    events = [d.event for result in run_to_end(core) for d in result.deliveries]
    chunks = [event for event in events if isinstance(event, GenerationChunk)]
    assert len(chunks) == len(events)
    return Answer(sequence, chunks)


def shown(token_ids: tuple[int, ...]) -> str:
    """As text, without control tokens, which a random model says now and then."""
    return str(byte_tokenizer().decode(list(token_ids), skip_special_tokens=True))


@dataclasses.dataclass
class Answer:
    sequence: Sequence
    chunks: list[GenerationChunk]

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def reason(self) -> FinishReason | None:
        assert all(chunk.finish_reason is None for chunk in self.chunks[:-1])
        return self.chunks[-1].finish_reason


@pytest.fixture(scope="module")
def core() -> EngineCore:
    return make_core(served_model("llama"), max_batched_tokens=300, num_blocks=64)


@pytest.fixture(scope="module")
def free_run(core: EngineCore) -> tuple[int, ...]:
    """What the model says when no end-of-sequence token stops it."""
    free = dataclasses.replace(GREEDY, ignore_eos=True, max_tokens=60)
    return output(answer(core, PROMPT, free).sequence)


def _ends_with_eos() -> tuple[int, ...]:
    """A prompt to which the model's own end-of-sequence token ends the answer."""
    for start in range(8, 200):
        prompt = tuple(range(start, start + 5))
        reference = greedy_reference("llama", prompt, GREEDY.max_tokens)
        if reference[-1] in EOS_TOKEN_IDS and 1 < len(reference) < GREEDY.max_tokens:
            return prompt
    raise AssertionError("no such prompt")


def test_the_end_token_is_counted_but_its_text_is_not_shown(core: EngineCore) -> None:
    prompt = _ends_with_eos()
    reference = greedy_reference("llama", prompt, GREEDY.max_tokens)
    got = answer(core, prompt, dataclasses.replace(GREEDY, num_logprobs=1))
    assert got.reason is FinishReason.STOP
    assert got.sequence.usage.num_output_tokens == len(reference)
    assert got.text == shown(reference[:-1])
    assert got.chunks[-1].token_ids == reference[-1:]
    assert got.chunks[-1].logprobs == ()
    assert all(len(chunk.logprobs) == 1 for chunk in got.chunks[:-1])


def test_ignore_eos_goes_on_to_the_length(core: EngineCore) -> None:
    got = answer(core, _ends_with_eos(), dataclasses.replace(GREEDY, ignore_eos=True))
    assert got.reason is FinishReason.LENGTH
    assert len(output(got.sequence)) == GREEDY.max_tokens


def test_an_answer_has_min_tokens_before_its_end_token(core: EngineCore) -> None:
    sampling = dataclasses.replace(GREEDY, min_tokens=GREEDY.max_tokens)
    got = answer(core, _ends_with_eos(), sampling)
    assert len(output(got.sequence)) == GREEDY.max_tokens
    assert not set(output(got.sequence)[:-1]) & EOS_TOKEN_IDS


def test_a_stop_token_ends_the_answer_without_its_text(
    core: EngineCore, free_run: tuple[int, ...]
) -> None:
    stop = free_run[5]
    sampling = dataclasses.replace(GREEDY, ignore_eos=True, stop_token_ids=(stop,))
    got = answer(core, PROMPT, sampling)
    end = free_run.index(stop)
    assert got.reason is FinishReason.STOP
    assert output(got.sequence) == free_run[: end + 1]
    assert got.text == shown(free_run[:end])


def test_a_stop_string_ends_the_answer_and_is_not_shown(
    core: EngineCore, free_run: tuple[int, ...]
) -> None:
    text = shown(free_run)
    stop = next(pair for i in range(3, 50) if (pair := text[i : i + 2]).isascii())
    free = dataclasses.replace(GREEDY, ignore_eos=True, max_tokens=60)
    got = answer(core, PROMPT, dataclasses.replace(free, stop=(stop,)))
    assert got.reason is FinishReason.STOP
    assert got.text == text[: text.index(stop)]
    assert len(output(got.sequence)) < len(free_run)


def test_max_tokens_ends_the_answer_with_its_whole_text(
    core: EngineCore, free_run: tuple[int, ...]
) -> None:
    """Text that was held back, for it might have become a stop string, comes at the end."""
    text = shown(free_run[:7])
    sampling = dataclasses.replace(
        GREEDY, ignore_eos=True, max_tokens=7, stop=(text[-1] + "\u2603",)
    )
    got = answer(core, PROMPT, sampling)
    assert got.reason is FinishReason.LENGTH
    assert output(got.sequence) == free_run[:7]
    assert got.text == text


def test_the_context_ends_the_answer_before_max_tokens() -> None:
    core = make_core(served_model("llama"), num_blocks=8, block_size=4)  # a context of 32
    sampling = dataclasses.replace(GREEDY, ignore_eos=True, max_tokens=1000)
    got = answer(core, PROMPT, sampling)
    assert got.reason is FinishReason.LENGTH
    assert len(got.sequence.token_ids) == 32


def test_logprobs_name_the_chosen_token_and_the_likeliest(core: EngineCore) -> None:
    sampling = dataclasses.replace(GREEDY, ignore_eos=True, max_tokens=3, num_logprobs=4)
    for chunk in answer(core, PROMPT, sampling).chunks:
        (position,) = chunk.logprobs
        assert position.chosen.token_id == chunk.token_ids[0]
        assert position.chosen == position.top[0]  # greedy
        assert len(position.top) == 4
        assert position.chosen.token_bytes == vocabulary().token_bytes(chunk.token_ids[0])


def test_a_seeded_answer_does_not_depend_on_the_rest_of_the_batch() -> None:
    sampling = SamplingParams(max_tokens=20, temperature=1.0, seed=5, ignore_eos=True)
    alone = output(answer(make_core(served_model("qwen2")), PROMPT, sampling).sequence)
    core = make_core(served_model("qwen2"), num_blocks=20, max_batched_tokens=8)
    seeded = make_sequence(PROMPT, sampling)
    unseeded = SamplingParams(max_tokens=20, ignore_eos=True)
    others = [make_sequence(PROMPT[i:], unseeded) for i in range(1, 6)]
    for sequence in [*others[:3], seeded, *others[3:]]:
        core.add(sequence)
    run_to_end(core)
    assert output(seeded) == alone
    assert len({output(other) for other in others}) == len(others)


@pytest.mark.parametrize("max_batched_tokens", [8, 32])
def test_a_request_whose_logits_are_nan_fails_alone(max_batched_tokens: int) -> None:
    """Though they share a prefix, and later the blocks that the failed one has used."""
    expected = greedy_reference("llama", PROMPT, GREEDY.max_tokens)
    poison = next(i for i in range(8, 256) if i not in expected and i not in PROMPT)
    model = fresh_model("llama")
    with torch.no_grad():
        embedding: Any = model.get_input_embeddings()
        embedding.weight[poison] = float("nan")
    core = make_core(model, num_blocks=24, max_batched_tokens=max_batched_tokens)
    for _ in range(3):
        good, bad = make_sequence(PROMPT), make_sequence((*PROMPT[:17], poison, *PROMPT))
        core.add(bad)
        core.add(good)
        run_to_end(core)
        assert isinstance(bad.error, EngineFailed)
        assert "nan" in bad.error.message
        assert good.error is None
        assert output(good) == expected


def test_a_sampler_error_fails_its_request_alone(core: EngineCore) -> None:
    bad = make_sequence(PROMPT, dataclasses.replace(GREEDY, logit_bias={10**6: 1.0}))
    good = make_sequence(PROMPT)
    core.add(bad)
    core.add(good)
    run_to_end(core)
    assert isinstance(bad.error, EngineFailed)
    assert output(good) == greedy_reference("llama", PROMPT, GREEDY.max_tokens)


def test_a_steps_stats_add_up(core: EngineCore) -> None:
    sequences = [make_sequence((9, 9, 9, *PROMPT[:i])) for i in (4, 9)]
    for sequence in sequences:
        core.add(sequence)
    stats = [result.stats for result in run_to_end(core)]
    assert sum(s.num_computed_prompt_tokens + s.num_cached_prompt_tokens for s in stats) == 19
    assert sum(s.num_output_tokens for s in stats) == sum(len(output(s)) for s in sequences)
    assert stats[0].kv_cache_used_bytes > 0
    assert stats[0].decode_seconds == 0.0 < stats[0].prefill_seconds
    assert stats[1].prefill_seconds == 0.0 < stats[1].decode_seconds
    assert stats[-1].kv_cache_used_bytes == 0
