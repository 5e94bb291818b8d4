"""Attachments take the place of placeholder tokens, and positions are the model's own affair."""

import asyncio
from collections.abc import Sequence as Ordered
from hashlib import sha256
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from llm_service.engine import Attachment, GenerationRequest, Prompt
from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.errors import InvalidRequest
from tests.engine.cores import GREEDY, make_engine, make_sequence
from tests.engine.models import (
    EOS,
    EOS_TOKEN_IDS,
    fresh_model,
    greedy_reference,
    served_model,
    shapes_of,
    tiny_model,
)
from tests.engine.test_batched_engine import Recorder, running, tokens
from tests.engine.test_sequential import sequential

PLACEHOLDER = 3
START, SIZE = 5, 21
PROMPT = (*range(10, 10 + START), *[PLACEHOLDER] * SIZE, 40, 41, 42)


def picture(hidden_size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SIZE, hidden_size, generator=generator)


def attached(embeddings: Tensor, token_ids: tuple[int, ...] = PROMPT) -> Prompt:
    content_hash = sha256(embeddings.numpy().tobytes()).digest()
    return Prompt(token_ids, (Attachment(START, SIZE, content_hash, embeddings),))


def request(prompt: Prompt) -> GenerationRequest:
    return GenerationRequest("r", prompt, GREEDY)


def generated_from(model: PreTrainedModel, embeddings: Tensor) -> tuple[int, ...]:
    """What transformers generates after PROMPT with `embeddings` at its placeholders."""
    inputs = model.get_input_embeddings()(torch.tensor([PROMPT])).detach().clone()
    inputs[0, START : START + SIZE] = embeddings
    generate: Any = model.generate  # which torch takes for a tensor or a module
    output = generate(
        inputs_embeds=inputs,
        attention_mask=torch.ones(1, len(PROMPT)),
        max_new_tokens=GREEDY.max_tokens,
        do_sample=False,
        eos_token_id=sorted(EOS_TOKEN_IDS),
        pad_token_id=EOS,
    )
    return tuple(output[0].tolist())


@pytest.mark.anyio
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3"])
async def test_answers_to_attachments_are_those_of_generate(architecture: str) -> None:
    reference = tiny_model(architecture)
    pictures = [picture(reference.config.hidden_size, seed) for seed in (1, 2)]
    expected = [generated_from(reference, each) for each in pictures]
    # Chunks of eight tokens: they begin and end within the attachment.
    engine = make_engine(fresh_model(architecture), max_batched_tokens=8)
    async with running(engine):
        streams = [engine.submit(request(attached(each))) for each in pictures]
        plain = engine.submit(request(Prompt(PROMPT)))
        found = await asyncio.gather(*map(tokens, [*streams, plain]))
        again = await tokens(engine.submit(request(attached(pictures[0]))))
    assert found == [*expected, greedy_reference(architecture, PROMPT, GREEDY.max_tokens)]
    assert again == expected[0], "also from the prefix cache"


@pytest.mark.anyio
@pytest.mark.parametrize("architecture", ["llama", "fused llama"])
async def test_what_is_computed_is_shared_between_equal_attachments_only(
    architecture: str,
) -> None:
    model = served_model(architecture) if "fused" in architecture else fresh_model(architecture)
    first, other = (attached(picture(model.config.hidden_size, seed)) for seed in (1, 2))
    async with running(make_engine(model)) as engine:
        cached = []
        for prompt in (first, other, first, Prompt(PROMPT), other):
            stream = engine.submit(request(prompt))
            await tokens(stream)
            cached.append(stream.sequences[0].usage.num_cached_tokens)
    # A block has four tokens, so the first one ends before the attachment.
    assert cached == [0, 4, 28, 4, 28]


@pytest.mark.anyio
@pytest.mark.parametrize("quantization", ["none", "8bit"])
async def test_embeddings_of_tokens_answer_as_these_tokens_do(quantization: str) -> None:
    model = served_model("fused qwen3", quantization)
    words = tuple(range(50, 50 + SIZE))
    same = (*PROMPT[:START], *words, *PROMPT[START + SIZE :])
    embeddings = model.get_input_embeddings()(torch.tensor(words)).detach().float()
    async with running(make_engine(model)) as engine:
        by_ids = await tokens(engine.submit(request(Prompt(same))))
        by_embeddings = await tokens(engine.submit(request(attached(embeddings))))
    assert by_embeddings == by_ids


@pytest.mark.anyio
async def test_attachments_of_another_size_are_refused_before_they_run() -> None:
    engine = make_engine(fresh_model("llama"))
    with pytest.raises(InvalidRequest, match=r"has embeddings \(21, 7\), not \(21, 32\)"):
        engine.submit(request(attached(picture(7))))


@pytest.mark.anyio
async def test_the_sequential_engine_refuses_attachments() -> None:
    engine = sequential(fresh_model("llama"), Recorder())
    with pytest.raises(InvalidRequest, match="takes no attachments"):
        engine.submit(request(attached(picture(32))))


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(0, 0)], "not empty"),
        ([(2, 3), (4, 2)], "not overlap"),
        ([(4, 2), (0, 2)], "in order"),
        ([(25, 5)], "ends after the prompt"),
    ],
)
def test_a_prompt_whose_attachments_do_not_fit_is_no_prompt(
    places: list[tuple[int, int]], words: str
) -> None:
    attachments = [Attachment(start, size, bytes(32), None) for start, size in places]
    with pytest.raises(ValueError, match=words):
        Prompt(PROMPT, tuple(attachments))


class Strides:
    """Every token is two positions after the one before."""

    num_axes = 1

    def shift(self, sequence: Sequence, start: int, end: int) -> int | None:
        return None

    def positions(self, sequence: Sequence, start: int, end: int) -> Ordered[Ordered[int]]:
        return [range(2 * start, 2 * end, 2)]


@pytest.mark.parametrize("architecture", ["llama", "fused llama"])
def test_tokens_stand_where_the_models_scheme_says(architecture: str) -> None:
    reference = tiny_model("llama")
    ids = torch.tensor([range(5, 14)])
    with torch.inference_mode():
        expected = reference(ids, position_ids=torch.arange(0, 18, 2)[None]).logits[0]
        usual = reference(ids).logits[0]
    model = served_model(architecture) if "fused" in architecture else fresh_model(architecture)
    shapes = shapes_of(model)
    cache = KVCache(shapes, 8, 16, dtype=torch.float32, device=torch.device("cpu"))
    runner = ModelRunner(model, cache, Strides())
    sequence = make_sequence(tuple(range(5, 14)))
    sequence.block_table = [1]
    for start, end in ((0, 6), (6, 9)):
        item = ScheduledSequence(sequence, end - start, is_sampled=True, is_decode=False)
        (found,) = runner.forward(ScheduledBatch([item]))
        assert torch.allclose(found, expected[end - 1], atol=1e-4)
        assert not torch.allclose(found, usual[end - 1], atol=1e-2)
        sequence.num_computed_tokens = end
