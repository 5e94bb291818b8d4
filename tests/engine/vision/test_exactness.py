"""Greedy answers to images equal `transformers.generate` token for token, whatever lies between.

float32, a tiny random model of each family; the reference runs alone, in transformers, on what the
model's own processor makes of the whole conversation.
"""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from llm_service.engine import Conversation, Prompt
from llm_service.engine.batched.core import EngineCore, StepResult
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.config import Quantization
from llm_service.engine.kernels.model import FusedModel
from tests.engine.cores import output, run_to_end
from tests.engine.vision.engines import GREEDY, Seeing, core_of, seeing, start
from tests.engine.vision.families import (
    FAMILIES,
    answer_of,
    conversation,
    inputs_of,
    picture,
    reader_of,
)

pytestmark = pytest.mark.anyio
families = pytest.mark.parametrize("name", FAMILIES)
# The kernels compute all layers: of these the text layers have the form for that.
forms = pytest.mark.parametrize("form", [*FAMILIES, *(f"fused {name}" for name in FAMILIES)])

# Each way of positions and of placing features, by torch and by the kernels.
few_forms = pytest.mark.parametrize(
    "form", ["qwen2_5_vl", "qwen3_vl", "idefics3", "fused qwen2_5_vl", "fused qwen3_vl"]
)

FIRST, SECOND, WIDE = picture(1), picture(2), picture(3, 90, 30)
CONVERSATIONS: dict[str, Conversation] = {
    "one image": conversation([FIRST, "What is this?"]),
    "text first": conversation(["What is this? ", SECOND]),
    "several images": conversation([FIRST, "and ", SECOND, WIDE, "compared?"]),
    "several turns": conversation(
        [FIRST, "What?"], ["A cat."], ["And ", WIDE], ["A dog."], ["Sure?"]
    ),
    "text alone": conversation(["Tell me a story of some length, please."]),
}


def see(form: str) -> Seeing:
    name = form.removeprefix("fused ")
    return seeing(name, "none" if form.startswith("fused ") else None)


def expected(form: str, asked: Conversation) -> tuple[int, ...]:
    return answer_of(form.removeprefix("fused "), asked, GREEDY.max_tokens)


async def prompts_of(model: Seeing) -> list[Prompt]:
    return [await model.prompt(asked) for asked in CONVERSATIONS.values()]


def assert_exact(form: str, sequences: list[Sequence]) -> None:
    for asked, each in zip(CONVERSATIONS.values(), sequences, strict=True):
        assert output(each) == expected(form, asked)


def run(core: EngineCore, prompts: list[Prompt]) -> tuple[list[Sequence], list[StepResult]]:
    sequences = start(core, prompts)
    return sequences, run_to_end(core)


@families
async def test_a_prompt_has_the_tokens_that_the_models_own_processor_makes(name: str) -> None:
    model = seeing(name)
    for asked in CONVERSATIONS.values():
        prompt = await model.prompt(asked)
        assert list(prompt.token_ids) == inputs_of(name, asked)["input_ids"][0].tolist()


@forms
async def test_texts_and_images_side_by_side_are_answered_as_by_generate(form: str) -> None:
    model = see(form)
    prompts = await prompts_of(model)
    core = core_of(model, block_size=3)
    for _ in range(2):  # from nothing, and then from the prefix cache
        assert_exact(form, run(core, prompts)[0])


@few_forms
async def test_chunks_that_begin_and_end_within_images_change_nothing(form: str) -> None:
    model = see(form)
    core = core_of(model, max_batched_tokens=8, prefix_cache=False)
    assert_exact(form, run(core, await prompts_of(model))[0])


@few_forms
async def test_a_preempted_sequence_with_images_resumes_with_the_same_tokens(form: str) -> None:
    model = see(form)
    seen = [asked for asked in CONVERSATIONS.values() if asked.pictures]
    asked = max(seen, key=lambda asked: len(expected(form, asked)))
    prompt = await model.prompt(asked)
    num_blocks = max(2 * len(prompt) + 4, len(prompt) + GREEDY.max_tokens)
    core = core_of(model, num_blocks=num_blocks, block_size=1, prefix_cache=False)
    sequences, results = run(core, [prompt, prompt])
    assert sum(result.stats.num_preemptions for result in results) > 0
    assert [output(each) for each in sequences] == [expected(form, asked)] * 2


@few_forms
async def test_the_next_turn_finds_the_images_of_the_turns_before(form: str) -> None:
    model = see(form)
    core = core_of(model)
    before = await model.prompt(conversation([FIRST, "What is it?"]))
    run(core, [before])
    asked = conversation([FIRST, "What is it?"], ["A cat."], ["Really?"])
    (after,), _ = run(core, [await model.prompt(asked)])
    assert after.usage.num_cached_tokens >= before.attachments[-1].end // 4 * 4
    assert output(after) == expected(form, asked)


@families
def test_answers_depend_on_the_images(name: str) -> None:
    """Else the tests above would not see a picture that is lost or exchanged."""
    asked = [conversation([each, "What is this?"]) for each in (FIRST, SECOND, WIDE)]
    assert len({expected(name, each) for each in asked}) > 1


@pytest.mark.parametrize("scheme", ["none", "8bit"])
@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
async def test_only_steps_with_features_are_computed_part_by_part(
    name: str, scheme: Quantization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others, the answer's included, are one call of the kernels."""
    by_parts: list[int] = []
    at_once: list[int] = []

    def counted(found: list[int], compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*arguments: Any) -> Tensor:
            found.append(1)
            return compute(*arguments)

        return call

    monkeypatch.setattr(FusedModel, "by_parts", counted(by_parts, FusedModel.by_parts))
    monkeypatch.setattr(FusedModel, "forward", counted(at_once, FusedModel.forward))
    model = seeing(name, scheme)
    core = core_of(model, max_batched_tokens=8, speculation="none")
    core.warm_up()  # proves once that both give the same
    assert (len(by_parts), len(at_once)) == (1, 1)
    asked = conversation(["What is in this picture? ", FIRST, "Tell me all of it."])
    prompt = await model.prompt(asked)
    (sequence,), results = run(core, [prompt])
    (picture_,) = prompt.attachments
    num_with_features = (picture_.end - 1) // 8 - picture_.start // 8 + 1
    assert len(by_parts) == 1 + num_with_features
    assert len(at_once) == 1 + len(results) - num_with_features
    assert len(output(sequence)) > 1


async def test_smolvlm_needs_no_more_than_its_predecessors_processor() -> None:
    """Its own would ask for a package that it uses for videos; for images both write the same."""
    for rows, columns in ((0, 0), (1, 2), (2, 2)):
        own = get_image_prompt_string(
            rows, columns, 4, "<fake_token_around_image>", "<image>", "<global-img>"
        )
        inputs = {"rows": [[rows]], "cols": [[columns]]}
        assert reader_of("smolvlm").processor.replace_image_token(inputs, 0) == own
